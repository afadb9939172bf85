"""Types of numbers through export and the native runtime: 16-bit floats as PyTorch has them, computed in float32, and
every integer bit by bit."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from native import run
from torch import Tensor, nn
from wasmkiln import export

HALVES = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}  # the distance of neighbours at 1


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)


def computed(model: nn.Module, tensors: tuple[Tensor, ...], folder: Path) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(model.eval(), tensors, folder / "model.kiln")
    (result,) = run(folder / "model.kiln", list(tensors)).values()
    return result


class Network(nn.Module):
    """A convolution with its norm, an embedding, attention and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(3, 16, 3, stride=2)
        self.norm = nn.BatchNorm2d(16)
        self.words = nn.Embedding(10, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, image: Tensor, words: Tensor) -> Tensor:
        x = F.gelu(self.norm(self.image(image))).flatten(2).transpose(1, 2)
        return self.head(self.layer(torch.cat([x, self.words(words)], 1))).softmax(-1)


@pytest.mark.parametrize("half", HALVES)
def test_networks_of_halves_are_computed_in_float32(half: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Network().eval()
    model.norm.running_var.uniform_(0.5, 2)
    model.to(half)
    image, words = torch.randn(2, 3, 12, 12).to(half), torch.randint(0, 10, (2, 7))
    got = computed(model, (image, words), tmp_path)
    with torch.no_grad():
        exact, own = copy.deepcopy(model).float()(image.float(), words), model(image, words)
    assert got.dtype == own.dtype == half
    # One rounding, that of the output; the batch norm is folded into weights that are rounded once more.
    assert (got.float() - exact).abs().max() <= HALVES[half] * exact.abs().max()
    # PyTorch rounds behind each operator.
    assert (got.float() - own.float()).abs().max() <= 8 * HALVES[half] * exact.abs().max()


@pytest.mark.parametrize("half", HALVES)
def test_single_operators_round_once(half: torch.dtype, tmp_path: Path) -> None:
    """As PyTorch does: of one operator the bits are the same."""
    torch.manual_seed(2)
    x, y = (torch.randn(33, 7) * 50).to(half), torch.randn(7).to(half)
    for i, function in enumerate(
        (lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y, lambda x, _: x.relu(), lambda x, y: x.maximum(y))
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert torch.equal(computed(Function(function), (x, y), folder), function(x, y))


@pytest.mark.parametrize("half", HALVES)
def test_casts_round(half: torch.dtype, tmp_path: Path) -> None:
    x = torch.tensor([0.1, 1 + 2.0**-11, 65519.99, 65520, 1e-8, 3e38, -(2.0**-25), float("inf"), float("nan")])
    got = computed(Function(lambda x: x.to(half).float() * 3), (x,), tmp_path)
    torch.testing.assert_close(got, x.to(half).float() * 3, rtol=0, atol=0, equal_nan=True)
    for i, function in enumerate(
        (
            lambda x: x.to(half),
            lambda x: x + torch.full((9,), 0.1, dtype=half, device=x.device),
            lambda x: x[:8].clamp(-100, 100).to(half).to(torch.int64),
        )
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        got = computed(Function(function), (x,), folder)
        torch.testing.assert_close(got, function(x), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("half", HALVES)
def test_halves_move_and_sort_as_they_are(half: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(3)
    x, at = torch.randn(5, 9).to(half), torch.tensor([3, 0, 4])
    for i, function in enumerate(
        (
            lambda x, at: x[at].flip(0),
            lambda x, at: x.sort(dim=1).values[at],
            lambda x, at: torch.where(x > 0, x, x.new_zeros(())).amax(1)[at],
            lambda x, at: F.pad(x, (1, 2), value=0.1)[at],
            lambda x, at: x.index_add(0, at, x[:3] * 0),
        )
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert torch.equal(computed(Function(function), (x, at), folder), function(x, at))


def numbers(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two tensors with the ends of the type, and divisors that are not 0."""
    torch.manual_seed(4)
    info = torch.iinfo(dtype)
    ends = [0, 1, 2, 7, info.max, info.max - 1, info.max // 2 + 1, info.min, info.min + 1, 255]
    a = torch.tensor(ends * 2, dtype=dtype)
    b = torch.tensor([1, 2, 3, info.max, 7, 10, info.max - 2, 1, 3, 5] * 2, dtype=dtype)
    return a, b


WRAPPING = (lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x & y, lambda x, y: x ^ y)
ORDER = (
    lambda x, y: x < y,
    lambda x, y: x.maximum(y),
    lambda x, y: torch.where(x >= y, x, y),
    lambda x, y: x.sort().values + y * 0,
)
DIVISIONS = (lambda x, y: x // y, lambda x, y: x % y, lambda x, y: (x // y).float())


def test_int16(tmp_path: Path) -> None:
    x, y = numbers(torch.int16)
    more = (lambda x, y: x.sum() + y.prod(), lambda x, y: x >> (y & 7), lambda x, y: x.cumsum(0).to(torch.int16) * y)
    for i, function in enumerate(WRAPPING + ORDER + DIVISIONS + more):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert torch.equal(computed(Function(function), (x, y), folder), function(x, y)), i


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_unsigned(dtype: torch.dtype, tmp_path: Path) -> None:
    """PyTorch has few operators of them: the numbers are those of NumPy."""
    x, y = numbers(dtype)
    a, b = x.numpy(), y.numpy()
    checked = 0
    for i, function in enumerate(WRAPPING + ORDER[:2] + DIVISIONS[:2]):
        folder = tmp_path / str(i)
        folder.mkdir()
        try:
            function(x, y)
        except (RuntimeError, NotImplementedError):
            continue
        checked += 1
        want = [a + b, a - b, a * b, a & b, a ^ b, a < b, a.clip(b), a // b, a % b][i]
        assert computed(Function(function), (x, y), folder).numpy().tolist() == want.tolist(), i
    assert checked >= 3
    moved = computed(Function(lambda x, y: torch.cat([x, y])[3:].to(torch.float32)), (x, y), tmp_path)
    assert torch.equal(moved, torch.cat([x, y])[3:].to(torch.float32))


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_conversions(dtype: torch.dtype, tmp_path: Path) -> None:
    x, y = numbers(dtype)
    to = [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64]
    for i, other in enumerate([*to, torch.float32, torch.bool, torch.float16]):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert torch.equal(computed(Function(lambda x, other=other: x.to(other)), (x,), folder), x.to(other)), other
    reals = torch.tensor([0.0, 0.9, 1.5, 200.7, 32767.0, 2.0**20 + 0.5])
    folder = tmp_path / "reals"
    folder.mkdir()
    assert torch.equal(computed(Function(lambda x: x.to(dtype)), (reals,), folder), reals.to(dtype))
