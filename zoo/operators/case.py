"""An operator in a shape: a small module and its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


@dataclass(frozen=True)
class Case:
    kind: str
    name: str
    module: Callable[[], nn.Module]
    inputs: tuple[tuple[int, ...] | Callable[[torch.Generator], Tensor], ...]


def call(kind: str, name: str, function: Callable[..., Tensor], *inputs: object) -> Case:
    return Case(kind, name, lambda: Call(function), inputs)


def layer(kind: str, name: str, make: Callable[[], nn.Module], *inputs: object) -> Case:
    return Case(kind, name, make, inputs)


def below(limit: int, *shape: int) -> Callable[[torch.Generator], Tensor]:
    """Indices."""
    return lambda rng: torch.randint(limit, shape, generator=rng)
