"""An operator in a shape, and the model that times it.

A model of nothing but an operator would time the copies of its input and output, which take longer than most operators.
So the inputs are made in the model: constants times a number that the page gives. Images and sequences lie in memory as
each engine likes them best, as a convolution would leave them: the constant has its channels last and is permuted,
which onnxruntime folds and wasmkiln sees as a view. Of the result a corner is an output; where nobody would compute
the rest then, its rows are summed up first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# What is computed where it is read, or need not be copied.
SUMMED = ("batch-norm", "concat", "transpose", "pad and slice", "pointwise", "gather")
# What convolutions stand beside.
CHANNELS_LAST = ("group-norm", "instance-norm", "max-pool", "average-pool", "resize")
# Elements of all inputs together up to which a model has the operator several times, so that the call weighs less.
FEW, MOST_TIMES = 200_000, 8
CORNER = 4


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class Timed(nn.Module):
    """The operator, `times` times: scales (one number for each time) and indices (a row for each) are the inputs."""

    def __init__(self, operator: nn.Module, constants: list[Tensor], times: int, summed: bool, last: bool) -> None:
        super().__init__()
        self.operator, self.times, self.summed, self.last = operator, times, summed, last
        self.count = len(constants)
        for i, constant in enumerate(constants):
            self.register_buffer(f"constant{i}", constant.movedim(1, -1).contiguous() if last else constant)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.once([x[i] for x in inputs]) for i in range(self.times))

    def once(self, inputs: list[Tensor]) -> Tensor:
        operands = []
        if self.count:
            scale, *inputs = inputs
            for i in range(self.count):
                constant = self.get_buffer(f"constant{i}")
                operands.append((constant.movedim(-1, 1) if self.last else constant) * scale)
        y = self.operator(*operands, *inputs)
        if self.summed:
            y = y.sum(-1)
        for dim in sorted(range(y.dim()), key=lambda d: -y.shape[d]):
            y = y.narrow(dim, 0, min(CORNER, y.shape[dim]))
        return y


@dataclass(frozen=True)
class Case:
    kind: str
    name: str
    module: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...] | Callable[[int, torch.Generator], Tensor], ...]  # shapes; indices

    def build(self, rng: torch.Generator) -> tuple[nn.Module, dict[str, Tensor]]:
        shapes = [shape for shape in self.inputs if not callable(shape)]
        elements = sum(math.prod(shape) for shape in shapes)
        times = max(1, min(MOST_TIMES, FEW // max(1, elements)))
        inputs = {f"index{i}": make(times, rng) for i, make in enumerate(self.inputs) if callable(make)}
        if shapes:
            inputs = {"scale": 0.5 + torch.rand(times, generator=rng), **inputs}
        last = self.kind in CHANNELS_LAST or "convolution" in self.kind
        constants = [torch.randn(shape, generator=rng) for shape in shapes]
        return Timed(self.module(), constants, times, self.kind in SUMMED, last).eval(), inputs


def call(kind: str, name: str, function: Callable[..., Tensor], *inputs: object) -> Case:
    return Case(kind, name, lambda: Call(function), inputs)


def layer(kind: str, name: str, make: Callable[[], nn.Module], *inputs: object) -> Case:
    return Case(kind, name, make, inputs)


def below(limit: int, *shape: int) -> Callable[[int, torch.Generator], Tensor]:
    """Indices."""
    return lambda times, rng: torch.randint(limit, (times, *shape), generator=rng)
