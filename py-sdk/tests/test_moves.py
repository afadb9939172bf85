"""What moves elements: constant indices that are runs, transposes in steps of powers of two, windows of many taps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import wasmkiln
from native import run
from torch import Tensor, nn
from torch.nn import functional as F


class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


CASES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "reflected": (lambda x: F.pad(x, (3, 2, 1, 4), mode="reflect"), (2, 3, 7, 9)),
    "replicated": (lambda x: F.pad(x, (3, 1, 2, 2), mode="replicate"), (1, 5, 6, 7)),
    "circular": (lambda x: F.pad(x, (2, 3, 1, 2), mode="circular"), (1, 3, 5, 6)),
    "runs": (lambda x: x[:, torch.tensor([4, 3, 2, 0, 0, 0, 1, 3, 5])], (3, 7, 5)),
    "from the end": (lambda x: x[:, torch.tensor([-1, -2, -3, 0, 2, 4])], (3, 7, 5)),
    "many runs": (lambda x: x[:, torch.tensor([0, 3, 1, 5, 2, 6, 4, 0, 5])], (3, 7, 5)),
    "one": (lambda x: x[torch.tensor([2])], (3, 7)),
    "transposed, steps of 2 KB": (lambda x: x.transpose(1, 2).contiguous(), (2, 64, 512)),
    "transposed, steps of 16 KB": (lambda x: x.transpose(0, 1).contiguous(), (36, 4096)),
    "transposed, odd": (lambda x: x.transpose(0, 1).contiguous(), (37, 1024)),
    "largest of 5×5": (lambda x: F.max_pool2d(x, 5, 1, 2), (1, 37, 9, 11)),
    "largest of 3×3, 61 channels": (lambda x: F.max_pool2d(x, 3, 2, 1), (2, 61, 9, 11)),
    "mean of shares": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), (1, 45, 17, 19)),
    "hardswish": (F.hardswish, (5, 101)),
    "parts read before the others": (
        lambda x: torch.cat([torch.stack([x, x]).abs(), torch.stack([x, x])], 1),
        (1, 1, 1, 1, 1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name: str, tmp_path: Path) -> None:
    function, shape = CASES[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(len(name)))
    path = tmp_path / "model.kiln"
    wasmkiln.export(Call(function).eval(), (x,), path)
    (y,) = run(path, [x]).values()
    # moves and maxima are exact; the means add up to 48 terms in another order, hardswish may multiply and add at once
    tolerance = 1e-6 if name in ("mean of shares", "hardswish") else 0
    torch.testing.assert_close(y, function(x), rtol=tolerance, atol=tolerance)
