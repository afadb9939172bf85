"""Types, shapes and forms of operators that people meet and benches do not: many in one export, against eager."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
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


def agree(
    calls: Callable[..., Any],
    tensors: tuple[Tensor, ...],
    folder: Path,
    example: tuple[Tensor, ...] | None = None,
    dims: dict[str, int] | None = None,
    **options: Any,
) -> None:
    """Each result, natively and in PyTorch. `example`: what is exported on, where `dims` change the sizes."""
    module = calls if isinstance(calls, nn.Module) else Calls(calls)
    with torch.no_grad():
        expected = Calls(module)(*tensors)
    path = folder / "model.kiln"
    export(module, example or tensors, path, output_names=[f"out{i}" for i in range(len(expected))], **options)
    assert opinfo.compare(opinfo.run(path, tensors, folder, dims), expected, folder) == opinfo.Outcome("agrees")


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


def of_nothing(none: Tensor, some: Tensor) -> list[Tensor]:
    """none: [0, 3]; some: [2, 3]."""
    images = none.view(0, 1, 1, 3)
    return [
        none, none + 1, none.sum(0), none.sum(), none.sum(1), none.prod(0), none.mean(0), none.mean(), none.var(0),
        none.amax(1), *none.max(1), none.argmin(1), none.logsumexp(0), none.norm(), none.cumsum(0), none.softmax(0),
        (none > 0).any(0), (none > 0).all(0), torch.cat([none, some]), torch.cat([none, none]),
        torch.cat([none[:, 0], none[:, 1]]), torch.stack([none, none]), torch.cat([some[:, :0], some[:, 3:]], 1),
        some @ none.T, none @ some.T,
        none.T @ none, torch.addmm(some, some[:, :0], none), F.linear(none, some, some[:, 0]),
        F.pad(none, (1, 2, 0, 1), value=3.0), F.scaled_dot_product_attention(some[None], none[None], none[None]),
        none[None].expand(4, 0, 3) * 2, some[:, 2:1], some[5:], some[torch.zeros(0, dtype=torch.int64)],
        F.embedding(torch.zeros(2, 0).long(), some), none.reshape(3, 0), none.flip(0), none.roll(1, 0),
        none.repeat(2, 2), some.repeat(0, 1), none.T.tril(), some.new_zeros(2, 0), F.max_pool2d(images, (1, 2)),
        F.conv2d(images, some.view(1, 1, 2, 3)[:, :, :1, :2]), F.adaptive_avg_pool2d(images, 1),
        F.interpolate(images, scale_factor=2), F.layer_norm(none, (3,)), F.group_norm(none, 3),
        *some.split([0, 3], 1), *none.chunk(2), torch.arange(0.0), some.gather(1, some[:0].long()),
        some[0].gather(0, none[None].long()),
        torch.where(none > 0, none, 1.0), none.long().max(1).values, none.sum() + some,
    ]  # fmt: skip


def test_values_without_elements(tmp_path: Path) -> None:
    agree(of_nothing, (torch.zeros(0, 3), torch.randn(2, 3)), tmp_path)


class Step(nn.Module):
    """A decoder's."""

    def forward(self, past: Tensor, now: Tensor) -> tuple[Tensor, ...]:
        keys = torch.cat([past, now], 2)
        return F.scaled_dot_product_attention(now, keys, keys), keys, now @ past.transpose(2, 3), past * 2


@pytest.mark.parametrize("past", [0, 1, 4])
def test_a_cache_that_may_be_empty(past: int, tmp_path: Path) -> None:
    example, now = torch.randn(1, 2, 3, 8), torch.randn(1, 2, 2, 8)
    shapes = ({2: torch.export.Dim("past", min=0, max=64)}, None)
    tensors = (example[:, :, :1].expand(1, 2, past, 8), now)
    agree(Step(), tensors, tmp_path, (example, now), {"past": past}, dynamic_shapes=shapes)


class KeepsNothing(nn.Module):
    """As a cache of transformers begins."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("keys", torch.zeros(0))
        self.register_buffer("rows", torch.zeros(2, 0))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.cat([self.keys, x]), torch.cat([self.rows, x], 1)


def test_stored_tensors_without_elements(tmp_path: Path) -> None:
    agree(KeepsNothing(), (torch.randn(2, 3),), tmp_path)


def test_many_dims(tmp_path: Path) -> None:
    """Windows of windows: [2, 3, …] split, permuted, reduced and normalised in 12 dims."""
    x = torch.randn(2, 3, 2, 2, 1, 3, 2, 1, 2, 2, 1, 3)
    order = [3, 11, 0, 5, 1, 2, 10, 8, 9, 7, 4, 6]
    agree(
        lambda x: [x.permute(order) * 2, x.permute(order).sum((1, 4)), x.softmax(3), x.amax((0, 5, 11))], (x,), tmp_path
    )


def windows(x: Tensor, ints: Tensor) -> list[Tensor]:
    """x: [1, 2, 7, 10]; ints: [7, 10]."""
    y, z, n, wide = x.clone(), x.clone(), ints.clone(), x.repeat(1, 1, 1, 3)
    y[:, :, ::2] = 0
    z[..., 1:8:3] = x[..., :3]
    n[:, ::2] = 0
    return [
        y, z, n, F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), F.avg_pool2d(x, (2, 4), (3, 3), (1, 2), ceil_mode=True),
        F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), F.avg_pool2d(x, 2, 2, ceil_mode=True),
        F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, divisor_override=5), F.avg_pool1d(x[0], 4, 3, 2, ceil_mode=True),
        F.max_pool2d(x, 3, 2, 1, 2, ceil_mode=True), F.adaptive_max_pool2d(x, (3, 4)), F.adaptive_max_pool2d(x, (7, 3)),
        F.adaptive_max_pool1d(x[0], 6), F.adaptive_max_pool2d(wide, (9, 8)), F.adaptive_max_pool2d(-wide, 1),
    ]  # fmt: skip


def test_windows_that_do_not_fit(tmp_path: Path) -> None:
    agree(windows, (torch.randn(1, 2, 7, 10), torch.arange(70, dtype=torch.int32).view(7, 10)), tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 3},
        {"padding": (4, 1), "stride": 3, "output_padding": (2, 1)},
        {"padding": (0, 3), "stride": 2, "dilation": (2, 1)},
        {"padding": 5, "stride": 4, "groups": 2},
    ],
)
def test_transposed_convolutions_with_much_padding(options: dict[str, Any], tmp_path: Path) -> None:
    agree(nn.ConvTranspose2d(4, 6, (3, 2), **options), (torch.randn(2, 4, 9, 11),), tmp_path)


def integer_products(a: Tensor, b: Tensor) -> list[Tensor]:
    scaled = torch.addmm(a[:, :2], a, b[:, :2], beta=2, alpha=3)
    batches = torch.bmm(a.expand(2, 3, 4), b.expand(2, 4, 5))
    return [a @ b, a @ b[:, 0], a[0] @ b, a[0] @ a[1], F.linear(a, a[:2], a[0, :2]), scaled, batches]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int32, torch.int64])
def test_integer_products_wrap(dtype: torch.dtype, tmp_path: Path) -> None:
    largest = 1000 if dtype == torch.int64 else torch.iinfo(dtype).max
    a = torch.tensor([[1, 2, 3, largest], [largest, 5, 6, 7], [8, 9, 10, 100]]).to(dtype)
    agree(integer_products, (a, torch.arange(20).view(4, 5).to(dtype)), tmp_path)
