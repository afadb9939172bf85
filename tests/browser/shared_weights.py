"""Writes models whose large weights are read several times, each read in another way, and what PyTorch answers.

`shared_weights.py DIR` → DIR/weights-<i>/{model.kiln, io.json, …} (zoo/artifacts.py), DIR/weights.json: their names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.artifacts import write_io, write_kiln
from zoo.common import ZooModel

MODELS = 12
LEAST_BYTES = 1 << 20  # so many bytes of weights lie in the model's memory before they are packed
READS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda x, w: functional.linear(x[:, : w.shape[1]], w),
    lambda x, w: x[:, : w.shape[0]] @ w,
    lambda x, w: functional.relu(x[:, : w.shape[1]] @ w.T) @ w,
    lambda x, w: functional.linear(x[:1, : w.shape[1]], w),
    lambda x, w: functional.linear(x[:, : w.shape[1]], w[len(w) // 3 : len(w) // 2]),
    lambda x, w: x[:, : w.shape[0]] @ w[:, :100],
    lambda x, w: functional.linear(x[:, : w.shape[1]], 2 * w + 1),
    lambda x, w: w.sum(0),
    lambda x, w: w.amax(1),
    lambda x, w: functional.embedding((x[:, :3] * 1000).long().abs() % len(w), w),
    lambda x, w: w.T,
]


class Reads(nn.Module):
    """Each read of each matrix is an output; a convolution's weights are read as a matrix too."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()

        def pick(low: int, high: int) -> int:
            return int(torch.randint(low, high + 1, (), generator=rng))

        def weights(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=rng) / 20)

        self.convolution = weights(pick(100, 130), pick(40, 60), 3, 3) if pick(0, 2) == 0 else None
        self.matrices = nn.ParameterList()
        while sum(p.numel() * 4 for p in self.parameters()) < LEAST_BYTES or pick(0, 2) == 0:
            self.matrices.append(weights(pick(150, 700), pick(150, 700)))
        count = len(self.matrices) + (self.convolution is not None)
        self.reads = [[pick(0, len(READS) - 1) for _ in range(pick(2, 4))] for _ in range(count)]

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        matrices = list(self.matrices)
        outputs = []
        if self.convolution is not None:
            outputs.append(functional.conv2d(image[:, : self.convolution.shape[1]], self.convolution, padding=1))
            matrices.append(self.convolution.flatten(1))
        for w, reads in zip(matrices, self.reads, strict=True):
            outputs += [READS[read](x, w) for read in reads]
        return tuple(outputs)


def main() -> None:
    folder = Path(sys.argv[1])
    names = []
    for seed in range(MODELS):
        rng = torch.Generator().manual_seed(seed)
        module = Reads(rng).eval().requires_grad_(False)
        inputs = {"x": torch.randn(5, 700, generator=rng), "image": torch.randn(1, 60, 9, 7, generator=rng)}
        outputs = tuple(f"read{i}" for i in range(len(module(*inputs.values()))))
        model = ZooModel(module, inputs, outputs, "weights that are read several times")
        names.append(f"weights-{seed}")
        (folder / names[-1]).mkdir(exist_ok=True)
        write_io(model, folder / names[-1])
        write_kiln(model, folder / names[-1])
    (folder / "weights.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()
