"""C = A·B of two square inputs, both known only at run time: what GEMM peers without a model format can run too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.common import ZooModel


class MatMul(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


def build(size: int) -> ZooModel:
    rng = torch.Generator().manual_seed(size)
    inputs = {name: torch.randn(size, size, generator=rng) for name in ("a", "b")}
    return ZooModel(MatMul().eval(), inputs, ("c",), f"{size}×{size} by {size}×{size}, float32")
