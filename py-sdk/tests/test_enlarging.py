"""1×1 convolutions of enlarged images, whose channels are mixed before they are enlarged: against PyTorch, natively."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from wasmkiln import export

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import opinfo


class Mixes(nn.Module):
    """Three images, the first of 67 channels and the second of 64 enlarged by `enlarge`, joined and mixed."""

    def __init__(self, enlarge: Callable[[Tensor, tuple[int, int]], Tensor], again: bool, bias: bool) -> None:
        super().__init__()
        self.enlarge, self.again = enlarge, again
        self.mix = nn.Conv2d(67 + 64 + 5, 31, 1, bias=bias)
        self.alone = nn.Conv2d(67, 13, 1, bias=bias)

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        size = (c.shape[2], c.shape[3])
        a, b = self.enlarge(a, size), self.enlarge(b, size)
        y = F.silu(self.mix(torch.cat((a, c, b), 1))) + c[:, :1]
        return y, self.alone(self.enlarge(a[:, :, :3, :5], (7, 8))), *((b,) if self.again else ())


def resize(**options: object) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    return lambda x, size: F.interpolate(x, size=size, **options)  # type: ignore[arg-type]


def times(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, scale_factor=(float(size[0] // x.shape[2]), float(size[1] // x.shape[3])))


WAYS = {
    "bilinear": resize(mode="bilinear"),
    "bilinear, corners aligned": resize(mode="bilinear", align_corners=True),
    "bicubic": resize(mode="bicubic"),
    "nearest": resize(mode="nearest"),
    "repeated": times,
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("again", [False, True], ids=["once", "read twice"])
@pytest.mark.parametrize("way", WAYS)
def test_mixes_enlarged_images(way: str, again: bool, bias: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Mixes(WAYS[way], again, bias).eval()
    inputs = (torch.randn(2, 67, 3, 5), torch.randn(2, 64, 6, 5), torch.randn(2, 5, 12, 15))
    names = ["y", "z", "b"][: 2 + again]
    export(module, inputs, tmp_path / "m.kiln", output_names=names)
    error = opinfo.run(tmp_path / "m.kiln", inputs, tmp_path)
    assert not error, error
    for name, want in zip(names, module(*inputs), strict=True):
        got = np.fromfile(tmp_path / f"{name}.bin", dtype=np.float32).reshape(want.shape)
        # Sums of up to 136 products of order one, in another order.
        np.testing.assert_allclose(got, want.detach().numpy(), rtol=0, atol=2e-6, err_msg=name)


def test_an_infinite_pixel_goes_where_it_does_in_pytorch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    mix = nn.Conv2d(64, 8, 1)
    module = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), mix).eval()
    x = torch.randn(1, 64, 5, 4)
    x[0, 3, 2, 1] = torch.inf
    export(module, (x,), tmp_path / "m.kiln", output_names=["y"])
    error = opinfo.run(tmp_path / "m.kiln", (x,), tmp_path)
    assert not error, error
    want = module(x).detach().numpy()
    got = np.fromfile(tmp_path / "y.bin", dtype=np.float32).reshape(want.shape)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)
