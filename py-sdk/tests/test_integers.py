"""Integers through export and the native runtime are PyTorch's, bit by bit: around 2^24, 2^31, 2^32, 2^53 and 2^63."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from wasmkiln import export

from tools import opinfo

INT32, INT64, UINT8, INT8 = torch.int32, torch.int64, torch.uint8, torch.int8
EDGES = [0, 1, 2, 3, 7, 100, 2**24 - 1, 2**24 + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40 + 3, 2**53 + 1, 2**62 + 5]
WIDE = torch.tensor([sign * x for x in EDGES for sign in (1, -1)] + [2**63 - 1, -(2**63)])
DIVISORS = torch.tensor([1, -1, 2, -3, 7, 86400, -(2**24) - 1, 2**31, -(2**33), 2**53 + 1, 2**63 - 1]).repeat(3)[
    : len(WIDE)
]
NARROW = torch.tensor([0, 1, -1, 7, -7, 2**24 + 1, -(2**24) - 3, 2**31 - 1, -(2**31), 1767225599], dtype=INT32)
NARROW_DIVISORS = torch.tensor([1, -1, 2, 3, -3, 7, -(2**24) - 1, 60, -(2**31), 86400], dtype=INT32)
BYTES = torch.arange(0, 256, 5, dtype=UINT8)


class Function(nn.Module):
    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return self.function(*tensors)


def check(function: Callable[..., tuple[Tensor, ...]], *tensors: Tensor, folder: Path) -> None:
    expected = function(*tensors)
    names = [f"out{i}" for i in range(len(expected))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(Function(function), tensors, folder / "model.kiln", output_names=names)
    assert opinfo.run(folder / "model.kiln", tensors, folder) == ""
    for name, want in zip(names, expected, strict=True):
        got = np.fromfile(folder / f"{name}.bin", dtype=want.numpy().dtype).reshape(want.shape)
        np.testing.assert_array_equal(got, want.numpy(), err_msg=name, strict=True)


def test_what_was_reported(tmp_path: Path) -> None:
    x, y = torch.tensor([13, 19, 7, 2]), torch.tensor([2, 2, 3, 15])
    t, z = torch.tensor([1767225599]), torch.tensor([2**31 - 1, 2**40, 5])

    def f(x: Tensor, y: Tensor, t: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        clock = (t // 86400, t // 60 % 60, t % 60)
        return (x**y, 2**y, *clock, z + 1, z > 0, z.float(), z < 3_000_000_000, z.clone(), torch.cat([z, z + 1]))

    literal = f(x, y, t, z)
    assert [r.tolist() for r in literal[:5]] == [[169, 361, 343, 32768], [4, 4, 8, 32768], [20453], [59], [59]]
    check(f, x, y, t, z, folder=tmp_path)


def test_arithmetic_of_int64(tmp_path: Path) -> None:
    def f(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        return (
            *(
                a + b,
                a - b,
                a * b,
                a // b,
                a % b,
                torch.fmod(a, b),
                torch.div(a, b, rounding_mode="trunc"),
                -a,
                a.abs(),
            ),
            *(
                a // 7,
                a % 7,
                a // -60,
                a % -60,
                a // 64,
                a % 64,
                a // (2**40),
                a % (2**33 + 1),
                5 - a,
                a * 3_000_000_007,
            ),
            *(a & b, a | b, a ^ b, ~a, a << 3, a >> 3, a << 40, a >> 40, a << (b & 63), a >> (b & 63), a.sign()),
            *(a == b, a != b, a < b, a <= b, a > b, a >= b, a > 2**33, a == 2**40 + 3, a != -1, a < 3_000_000_000),
            *(
                torch.minimum(a, b),
                torch.maximum(a, b),
                a.clamp(-(2**40), 2**33),
                a.clamp_min(5),
                torch.where(a > b, a, b),
            ),
            *(a**2, a**3, a**5, a ** (b & 15), 3 ** (b & 127), a.square(), a.relu(), a.masked_fill(a > b, 2**62 + 1)),
            *(a.float(), a.bool(), a.to(INT32), a.to(UINT8), a.to(INT8), a / b, a.float() * 2, a + 0.5, a == 0.5),
            *(
                torch.addcmul(a, a, b, value=3),
                torch.add(a, b, alpha=2**33),
                torch.clamp(a, b, b + 2**50),
                a.logical_not(),
                (a > b).long() - a,
            ),
        )

    check(f, WIDE, DIVISORS, folder=tmp_path)


def test_arithmetic_of_narrower_types(tmp_path: Path) -> None:
    def f(a: Tensor, b: Tensor, u: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        return (
            *(a + b, a * b, a // b, a % b, torch.fmod(a, b), a // 60, a % 60, a // 8, a % 8, a**3, a >> 3, a << 30),
            *(
                a < 3_000_000_000,
                a + 3_000_000_000,
                a.long() * b,
                a.float(),
                a & 255,
                torch.maximum(a, b),
                a ** (b & 7),
            ),
            *(
                (u + u) // 2,
                u + 300,
                u - 1,
                u * u,
                -u,
                u // 7,
                u % 7,
                u // -1,
                u < 300,
                u**3,
                u >> 1,
                u << 1,
                ~u,
                u / 2,
            ),
            *(s + s, s * s, s // 2, s % 3, -s, s.abs(), s >> 1, s << 1, u < s, s.long() + u, (u + u).float(), s**2),
            *(u.to(INT8), s.to(UINT8), u.to(INT32) - 300, u.long() * 2**40, u.bool(), torch.where(u > 9, u, -1)),
        )

    check(f, NARROW, NARROW_DIVISORS, BYTES, BYTES.to(INT8), folder=tmp_path)


def test_floats_become_int64(tmp_path: Path) -> None:
    x = torch.tensor([3e9, -3e9, 2.5e18, -9e18, 0.9, -0.9, 2.0**31, 2.0**33 + 1024, 1e10, -0.0])
    check(lambda x: (x.long(), (x * 1.5).long() % 1000, x.long().float()), x, folder=tmp_path)


def test_reductions(tmp_path: Path) -> None:
    image = torch.full((3, 100, 130), 255, dtype=UINT8)

    def f(w: Tensor, a: Tensor, u: Tensor, i: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        both = torch.stack([w, w.flip(0)])
        return (
            *(w.sum(), w.prod(), w.max(), w.min(), w.argmax(), w.argmin(), both.sum(0), both.sum(1), both.amax(0)),
            *(
                both.max(1).values,
                both.max(1).indices,
                both.min(0).values,
                both.argmin(0),
                (w > 5).sum(),
                w.bool().any(),
            ),
            *(a.sum(), a.prod(), a.max(), a.sum(dtype=INT32), u.sum(), u.sum((1, 2)), u.sum(0), u.prod(2), u.amax(0)),
            *(
                i.sum(),
                i.sum(1),
                i.sum((0, 1)),
                i.max(),
                u.min(),
                u.sum(dtype=torch.float32),
                m.sum(),
                m.sum(0),
                m.max(),
            ),
            *(w.cumsum(0), both.cumsum(1), a.cumsum(0), u.cumsum(1), m.cumsum(0), u.cumsum(2, dtype=UINT8)),
            *(m.any(), m.all(1), m.prod(0), m.amax(1), u.argmax(), m.min(1).values, m.min(1).indices, a.min(0).values),
        )

    mask = torch.arange(35).reshape(5, 7) % 3 > 0
    check(f, WIDE, NARROW, BYTES[:48].reshape(4, 3, 4), image, mask, folder=tmp_path)


def test_moves(tmp_path: Path) -> None:
    x = torch.arange(24).reshape(2, 3, 4) * (2**40 + 3) - 2**62

    def f(x: Tensor) -> tuple[Tensor, ...]:
        return (
            *(
                x.clone(),
                x.transpose(0, 2),
                x[:, 1:, ::2],
                x.flip(2),
                x.permute(1, 2, 0).reshape(4, 6),
                x.repeat(2, 1, 1),
            ),
            *(
                torch.cat([x, x[:1]]),
                torch.stack([x, x]),
                x.roll(1, 2),
                x[:, :1].expand(2, 3, 4),
                x[1],
                x.tril(),
                x.unbind(1)[2],
            ),
            *(
                torch.full((3,), 2**62 + 1) + x[0, 0, :3],
                torch.arange(2**40, 2**40 + 4) - x,
                torch.zeros_like(x),
                x.view(-1),
            ),
            nn.functional.pad(x, (1, 2), value=2**40 + 1),
        )

    check(f, x, folder=tmp_path)


def test_indices(tmp_path: Path) -> None:
    x = torch.arange(60.0).reshape(3, 4, 5)
    i, j = torch.tensor([2, 0, -1]), torch.tensor([-4, 3, 1])
    g = torch.tensor([[[0, 4, 2]], [[1, 1, 3]]])
    check(lambda x, i, j, g: (x[i], x[i, j], x[:, j], x.gather(2, g), x[i, :, j]), x, i, j, g, folder=tmp_path)


@pytest.mark.parametrize("bad", [2**32, 2**32 + 1, -(2**32), 2**63 - 1, -(2**63), 3, -4])
@pytest.mark.parametrize("form", ["one", "two", "gather", "embedding"])
def test_indices_out_of_range_are_refused(bad: int, form: str, tmp_path: Path) -> None:
    functions = {
        "one": lambda x, i: (x[i],),
        "two": lambda x, i: (x[i, i.clamp(0, 1)],),
        "gather": lambda x, i: (x.gather(0, i[:, None]),),
        "embedding": lambda x, i: (nn.functional.embedding(i, x),),
    }
    x, good = torch.arange(12.0).reshape(3, 4), torch.tensor([0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(Function(functions[form]), (x, good), tmp_path / "model.kiln", output_names=["out"])
    assert opinfo.run(tmp_path / "model.kiln", (x, good), tmp_path) == ""
    assert "index" in opinfo.run(tmp_path / "model.kiln", (x, torch.tensor([0, bad])), tmp_path)


def test_division_by_zero(tmp_path: Path) -> None:
    """PyTorch raises; a divisor that only the run knows makes 0, and leaves the dividend."""
    a, b = torch.tensor([7, -7, 0, 9]), torch.tensor([1, 1, 1, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(Function(lambda a, b: (a // b, a % b)), (a, b), tmp_path / "model.kiln", output_names=["q", "r"])
    assert opinfo.run(tmp_path / "model.kiln", (a, torch.tensor([0, 0, 0, 2])), tmp_path) == ""
    assert np.fromfile(tmp_path / "q.bin", dtype=np.int64).tolist() == [0, 0, 0, 4]
    assert np.fromfile(tmp_path / "r.bin", dtype=np.int64).tolist() == [7, -7, 0, 1]


INTEGER_OPERATORS = (
    "add", "amax", "argmax", "bitwise_left_shift", "bitwise_xor", "cat", "clamp", "cumsum", "div (floor_rounding)",
    "div (trunc_rounding)", "eq", "floor_divide", "fmod", "gather", "index_select", "lt", "masked_fill", "maximum",
    "mul", "permute", "pow", "prod", "remainder", "sign", "sub", "sum", "tril", "where",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [INT64, INT32, UINT8], ids=["int64", "int32", "uint8"])
@pytest.mark.parametrize("name", INTEGER_OPERATORS)
def test_agrees_with_eager(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    for call in opinfo.samples(name, 1, dtype):
        outcome = opinfo.judge(call, tmp_path)
        assert outcome.kind in ("agrees", "passed over"), outcome


def test_thresholds(tmp_path: Path) -> None:
    """What a bound and a replacement with a fraction are beside integers is PyTorch's affair: their whole part."""

    def f(a: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, ...]:
        bounds = ((2**31, -(2**40)), (-1.5, 7.9), (7, 0))
        return (*(F.threshold(a, *bound) for bound in bounds), F.threshold(b, 60, -(2**31)), F.threshold(u, 9.5, 3.7))

    check(f, WIDE, NARROW, BYTES, folder=tmp_path)
