"""Sums of many terms, and sums of few of them where an input is no number: against PyTorch, natively."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from wasmkiln import ExportError, export

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import opinfo


class Calls(nn.Module):
    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


def run(call: Callable[[Tensor], Tensor], x: Tensor, folder: Path) -> np.ndarray:
    path = folder / "m.kiln"
    export(Calls(call), (x,), path, output_names=["y"])
    error = opinfo.run(path, (x,), folder)
    assert not error, error
    want = call(x)
    return np.fromfile(folder / "y.bin", dtype=want.numpy().dtype).reshape(want.shape)


def random(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


# In float32, against float64.
SUMS = {
    "sum": (lambda x: x.sum(), torch.full((10_000_000,), 0.1)),
    "mean of pixels": (lambda x: x.mean((0, 1)), torch.full((1080, 1920, 3), 0.1)),
    "mean of rows": (lambda x: x.mean(0), random(300_000, 5) + 100),
    "mean of every other": (lambda x: x[:, ::2].mean((0, 1)), random(1000, 2000) + 1),
    "variance": (lambda x: x.var(0), random(100_000, 2) + 1000),
    "standard deviation": (lambda x: x.std((0, 2)), random(300, 3, 1000) + 1000),
    "norm": (lambda x: x.norm(dim=0), random(1_000_000, 2)),
    "1-norm": (lambda x: torch.linalg.vector_norm(x, 1), random(3_000_000) + 1),
    "logsumexp": (lambda x: x.logsumexp(0), random(1_000_000, 2)),
    "cosine similarity": (lambda x: F.cosine_similarity(x, x.flip(0), -1), random(2, 1_000_000) + 1),
    "softmax": (lambda x: x.softmax(-1), random(2, 1_000_000)),
    "softmax of columns": (lambda x: x.softmax(0), random(1_000_000, 2)),
    "log softmax": (lambda x: x.log_softmax(-1), random(2, 1_000_000)),
    "layer norm": (lambda x: F.layer_norm(x, (1_000_000,)), random(2, 1_000_000) + 3),
    "rms norm": (lambda x: F.rms_norm(x, (1_000_000,)), random(2, 1_000_000) + 3),
    "group norm": (lambda x: F.group_norm(x, 2), random(1, 4, 600, 700) + 3),
    "instance norm": (lambda x: F.instance_norm(x), random(1, 4, 600, 700) + 3),
    "batch's own statistics": (lambda x: F.batch_norm(x, None, None, training=True), random(2, 3, 600, 700) + 3),
    "average pooling": (lambda x: F.avg_pool2d(x, 700), random(1, 3, 700, 1400) + 3),
    "adaptive average pooling": (lambda x: F.adaptive_avg_pool2d(x, 1), random(1, 3, 1080, 1920) + 3),
    "unequal average pooling": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), random(1, 3, 1081, 1921) + 3),
    "matrix times vector": (lambda x: x @ torch.ones(1_000_000, dtype=x.dtype), torch.full((3, 1_000_000), 0.1)),
    "matrix product": (lambda x: x @ torch.ones(200_000, 5, dtype=x.dtype), torch.full((3, 200_000), 0.1)),
    "running sum": (lambda x: x.cumsum(0), torch.full((1_000_000,), 0.1)),
    "running sums of columns": (lambda x: x.cumsum(0), random(200_000, 3) - 0.5),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_of_many_terms(name: str, tmp_path: Path) -> None:
    call, x = SUMS[name]
    got = run(call, x, tmp_path)
    want = call(x.double()).numpy()
    tolerance = 2e-5 if "matri" in name else 4e-6  # PyTorch's own products: 1e-3 to 1e-2
    assert not opinfo.difference(want, got, tolerance)


def one(value: float, *shape: int) -> Tensor:
    """Small numbers with `value` in the middle."""
    x = random(*shape)
    x[tuple(size // 2 for size in shape)] = value
    return x


SHAPES = {
    "running sum": (lambda x: x.cumsum(-1), (3, 9)),
    "running sum of columns": (lambda x: x.cumsum(0), (9, 3)),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (1, 2, 9, 11)),
    "bilinear with corners": (lambda x: F.interpolate(x, (7, 23), mode="bilinear", align_corners=True), (1, 2, 9, 11)),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), (1, 2, 9, 11)),
    "linear": (lambda x: F.interpolate(x, scale_factor=1.7, mode="linear"), (1, 2, 11)),
    # Sizes at which no weight is 0: whether rounding makes it one decides between infinity and NaN.
    "antialiased": (lambda x: F.interpolate(x, (4, 15), mode="bilinear", antialias=True), (1, 2, 9, 11)),
    "antialiased cubic": (lambda x: F.interpolate(x, (4, 6), mode="bicubic", antialias=True), (1, 2, 9, 11)),
    "trilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), (1, 2, 5, 6, 7)),
    "nearest": (lambda x: F.interpolate(x, scale_factor=1.5), (1, 2, 9, 11)),
    "nearest-exact": (lambda x: F.interpolate(x, scale_factor=0.7, mode="nearest-exact"), (1, 2, 9, 11)),
    "nearest of channels last": (lambda x: F.interpolate(x.permute(0, 3, 1, 2), scale_factor=1.5), (1, 9, 11, 7)),
    "bilinear of channels last": (
        lambda x: F.interpolate(x.permute(0, 3, 1, 2), (31, 5), mode="bilinear") + 1,
        (1, 9, 11, 7),
    ),
    "adaptive average": (lambda x: F.adaptive_avg_pool2d(x, (4, 3)), (1, 2, 9, 11)),
    "adaptive maximum": (lambda x: F.adaptive_max_pool2d(x, (4, 3)), (1, 2, 9, 11)),
    "area": (lambda x: F.interpolate(x, (4, 13), mode="area"), (1, 2, 9, 11)),
    "average pooling": (lambda x: F.avg_pool2d(x, 3, 2, 1), (1, 2, 9, 11)),
    "logsumexp": (lambda x: x.logsumexp(-1), (3, 9)),
    "variance": (lambda x: x.var(-1), (3, 9)),
    "roll and flip": (lambda x: x.roll(2, 1).flip(0), (3, 9)),
    "triangle": (lambda x: x.tril() + x.triu(1), (9, 9)),
    "masks": (lambda x: x.masked_fill(x > 0.5, 0) + torch.where(x < 0.5, x, 1) + F.relu(x), (3, 9)),
    "padding": (lambda x: F.pad(x, (1, 2), mode="reflect"), (1, 3, 9)),
}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", SHAPES)
def test_what_is_no_number_reaches_what_it_reaches(name: str, value: float, tmp_path: Path) -> None:
    call, shape = SHAPES[name]
    x = one(value, *shape)
    assert not opinfo.difference(call(x).numpy(), run(call, x, tmp_path), 1e-6)


# Factors that round to other sizes, and PyTorch's odd cases: a size that stays, or doubles, in a plane.
FACTORS = [(n, f) for n in (2, 4, 5, 10, 13) for f in (0.5, 0.77, 1.2, 1.5, 2.2, 2.6, 3.3)]


ANTIALIASED = ("bilinear", "bicubic")


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "linear", "bilinear", "bicubic"])
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("antialias", [False, True])
def test_any_factor(mode: str, dims: int, antialias: bool, tmp_path: Path) -> None:
    if mode in ANTIALIASED and dims == 1 or mode == "linear" and dims == 2 or antialias and mode not in ANTIALIASED:
        return

    def call(x: Tensor) -> Tensor:
        parts = (
            F.interpolate(x[(..., *[slice(n)] * dims)], scale_factor=f, mode=mode, antialias=antialias)
            for n, f in FACTORS
        )
        return torch.cat([part.flatten() for part in parts])

    x = random(1, 2, *[13] * dims)
    assert not opinfo.difference(call(x).numpy(), run(call, x, tmp_path), 2e-6)


# As photographs are made small; with corners; of one dim alone; of channels that lie last; to one pixel.
SHRUNK = [
    ((224, 150), (32, 31), False),
    ((96, 130), (7, 9), True),
    ((40, 50), (40, 9), False),
    ((31, 33), (1, 1), False),
]


@pytest.mark.parametrize("mode", ANTIALIASED)
@pytest.mark.parametrize(("size", "to", "corners"), SHRUNK)
@pytest.mark.parametrize("channels_last", [False, True])
def test_antialiased(
    mode: str, size: tuple[int, int], to: tuple[int, int], corners: bool, channels_last: bool, tmp_path: Path
) -> None:
    def call(x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2) if channels_last else x
        return F.interpolate(x, to, mode=mode, antialias=True, align_corners=corners)

    x = random(1, *size, 3) if channels_last else random(1, 3, *size)
    assert not opinfo.difference(call(x).numpy(), run(call, x, tmp_path), 4e-6)  # of up to 58 terms, twice


def test_too_much_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="antialias: pool before"):
        run(lambda x: F.interpolate(x, (4, 4), mode="bicubic", antialias=True), random(1, 1, 4, 400), tmp_path)


def test_running_sums_of_integers(tmp_path: Path) -> None:
    x = torch.arange(5_000 * 3).reshape(5_000, 3) % 1000
    assert np.array_equal(run(lambda x: x.cumsum(0), x, tmp_path), x.cumsum(0).numpy())
    flags = x > 500
    assert np.array_equal(run(lambda x: x.cumsum(1), flags, tmp_path), flags.cumsum(1).numpy())


def test_a_norm_adds_what_has_a_last_dim_of_one(tmp_path: Path) -> None:
    """Its stride is anything, and says nothing of the columns. Float32 rounds once more or less: 4e-7 of 3."""

    def residual(x: Tensor) -> Tensor:
        return F.rms_norm(x.abs(), x.shape[-2:], eps=1e-3) + x.abs()

    x = torch.randn(3, 4, 5, 1)
    got = torch.from_numpy(run(residual, x, tmp_path)).reshape(x.shape)
    torch.testing.assert_close(got, residual(x), rtol=0, atol=1e-6)
