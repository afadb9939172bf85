"""Types, shapes and forms of operators that people meet and benches do not: many in one export, against eager."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from wasmkiln import export

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import opinfo

BYTES = torch.tensor([[1, 200, 255], [0, 3, 127]], dtype=torch.uint8)
NARROW = {
    "uint8": BYTES,
    "int8": torch.tensor([[1, -128, 127], [0, 3, -7]], dtype=torch.int8),
    "int32": torch.tensor([[1, -200, 255], [0, 3, 127]], dtype=torch.int32),
    "int64": torch.tensor([[1, -200, 255], [0, 3, 127]]),
    "bool": BYTES > 3,
    "float32": torch.tensor([[1, -200, 2.5], [0, 3, 127]]),
}


class Calls(nn.Module):
    def __init__(self, calls: Callable[..., Any]) -> None:
        super().__init__()
        self.calls = calls

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        result = self.calls(*tensors)
        return (result,) if isinstance(result, Tensor) else tuple(result)


def agree(calls: Callable[..., Any], tensors: tuple[Tensor, ...], folder: Path) -> None:
    """Each result, natively and in PyTorch."""
    module = Calls(calls)
    with torch.no_grad():
        expected = module(*tensors)
    path = folder / "model.kiln"
    export(module, tensors, path, output_names=[f"out{i}" for i in range(len(expected))])
    assert opinfo.compare(opinfo.run(path, tensors, folder), expected, folder) == opinfo.Outcome("agrees")


def with_numbers(x: Tensor) -> list[Tensor]:
    """A number takes the tensor's type, unless it is of a higher kind; in a narrow integer's it wraps."""
    return [
        255 - x, x - 1, x + 300, x > 300, x == -1, x * 1.5, 1.5 - x, x / 2, 2 / (x | 1), x // 300, x % 3, x * -1, x & 5,
        torch.where(x > 3, x, 1), torch.where(x > 3, 1, x), torch.where(x > 3, x, 1.5), x + x.shape[0], x**2, -x, ~x,
        (x + 200) // 2 > 60, x.masked_fill(x > 3, 7), x.clamp(2, 100), x.clamp(0.5, 2.5), torch.rsub(x, 3, alpha=2),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_numbers_beside_integers(dtype: str, tmp_path: Path) -> None:
    agree(with_numbers, (NARROW[dtype],), tmp_path)


def with_scalars(x: Tensor) -> list[Tensor]:
    """A tensor without dims gives way to one with dims, and counts more than a number."""
    three = torch.tensor(3, dtype=torch.int32)
    return [1 - three, three + torch.tensor(4), x + torch.tensor(3), torch.maximum(x, torch.tensor(300)), x * three]


@pytest.mark.parametrize("dtype", list(NARROW))
def test_scalars_beside_tensors(dtype: str, tmp_path: Path) -> None:
    agree(with_scalars, (NARROW[dtype],), tmp_path)


def mixed(*tensors: Tensor) -> list[Tensor]:
    return [a + b for i, a in enumerate(tensors) for b in tensors[i:]] + [torch.cat(tensors), torch.where(*tensors[:3])]


def test_types_together(tmp_path: Path) -> None:
    agree(mixed, tuple(NARROW[name] for name in ("bool", "uint8", "int32", "int64", "float32")), tmp_path)


def extremes(x: Tensor) -> list[Tensor]:
    both = [x.max(1), x.min(0), x.max(0, keepdim=True)]
    ways = [x.max(), x.min(), x.amax(1), x.amin(0, keepdim=True), *(part for pair in both for part in pair)]
    return ways if x.dtype == torch.bool else [*ways, x.argmax(1), x.argmin(), x.sum(0, dtype=torch.uint8)]


@pytest.mark.parametrize("dtype", list(NARROW))
def test_extremes_of_every_type(dtype: str, tmp_path: Path) -> None:
    agree(extremes, (NARROW[dtype].flip(0),), tmp_path)
