"""Models of free sizes at many of them: the file answers what the exported program answers, or both refuse."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim
from wasmkiln import ExportError, cli, export
from wasmkiln.ports import arguments

KILN = Path(__file__).resolve().parents[2] / "build/native/kiln"
Forward = Callable[..., Any]


class Model(nn.Module):
    """A function as a module."""

    def __init__(self, function: Forward) -> None:
        super().__init__()
        self.forward = function


def expected(program: nn.Module, inputs: Sequence[Tensor]) -> tuple[Tensor, ...] | None:
    """What the exported program answers; None where it refuses, or cannot."""
    try:
        return tuple(torch.utils._pytree.tree_leaves(program(*inputs)))
    except (AssertionError, RuntimeError):
        return None


def run(path: Path, module: nn.Module, inputs: Sequence[Tensor]) -> tuple[list[np.ndarray], str]:
    """The file's answers (flat), or an error."""
    head = cli.read_head(path)
    try:
        cli.run(path, head, arguments(module, tuple(inputs), {}), str(KILN), path.parent)
    except cli.CliError as error:
        assert "bad-option" in str(error) or "bad-input" in str(error), error
        return [], str(error)
    names = [head.values[port].name.decode() for port in head.outputs]
    return [np.fromfile(path.parent / f"{name}.bin", dtype=np.float32) for name in names], ""


class Exported:
    """A model as PyTorch exports it and as a file."""

    def __init__(self, forward: Forward | nn.Module, example: Sequence[Tensor], shapes: Any, folder: Path) -> None:
        module = forward if isinstance(forward, nn.Module) else Model(forward)
        self.module = module
        self.path = folder / "model.kiln"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.program = torch.export.export(module, tuple(example), dynamic_shapes=shapes, strict=False).module()
            export(module, tuple(example), self.path, dynamic_shapes=shapes)

    def takes(self, inputs: Sequence[Tensor]) -> bool:
        """Whether the file takes these inputs; what it answers must be PyTorch's, and PyTorch must take them too."""
        got, self.error = run(self.path, self.module, inputs)
        if not got:
            return False
        wanted = expected(self.program, inputs)
        assert wanted is not None, f"PyTorch refuses {[t.shape for t in inputs]}"
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b.detach().float().numpy().ravel(), rtol=1e-5, atol=1e-5)
        return True


def parity(x: Tensor) -> Tensor:
    return x * 2 if x.shape[1] % 2 == 0 else x * 3


def padded(x: Tensor) -> Tensor:
    pad = (8 - x.shape[1] % 8) % 8
    if pad:
        x = F.pad(x, (0, pad))
    return x * 2


def not_seven(x: Tensor) -> Tensor:
    return x + 1 if x.shape[1] != 7 else x - 1


def large(x: Tensor) -> Tensor:
    n = x.shape[1]
    return x + 1 if n * n > 50 else x - 1


def checked(x: Tensor) -> Tensor:
    torch._check(x.shape[1] % 4 == 0)
    return x + 1


def asserted(x: Tensor) -> Tensor:
    n = x.shape[1]
    assert n % 3 == 1 and n > 4, "one more than a multiple of three"
    return x + 1


def power_of_two(x: Tensor) -> Tensor:
    n = x.shape[1]
    assert n & (n - 1) == 0
    return x.view(x.shape[0], 2, -1).sum(1)


def scaled(x: Tensor) -> Tensor:
    return F.pad(x, (0, max(int(x.shape[1] * 0.7), 3)))


# What PyTorch's own programs take, found by running them.
BRANCHES = [
    (parity, 4, {2, 4, 6, 8, 10, 12, 14, 16}),
    (padded, 12, {2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15}),
    (padded, 16, {8, 16}),
    (not_seven, 4, set(range(2, 17)) - {7}),
    (large, 9, set(range(8, 17))),
    (large, 4, set(range(2, 8))),
    (checked, 12, {4, 8, 12, 16}),
    (asserted, 7, {7, 10, 13, 16}),
    (power_of_two, 8, {4, 8, 16}),
]


@pytest.mark.parametrize(("forward", "example", "sizes"), BRANCHES, ids=lambda v: getattr(v, "__name__", None))
def test_a_branch_holds_for_the_sizes_that_take_it(
    forward: Forward, example: int, sizes: set[int], tmp_path: Path
) -> None:
    model = Exported(forward, (torch.randn(3, example),), ({1: Dim.AUTO},), tmp_path)
    taken = {n for n in range(2, 17) if model.takes((torch.randn(3, n),))}
    assert taken == sizes
    assert taken == {n for n in range(2, 17) if expected(model.program, (torch.randn(3, n),)) is not None}


def test_the_error_names_condition_line_and_sizes(tmp_path: Path) -> None:
    model = Exported(parity, (torch.randn(3, 4),), ({1: Dim.AUTO},), tmp_path)
    assert not model.takes((torch.randn(3, 5),))
    assert "x_1 % 2" in model.error
    assert "x_1 = 5" in model.error
    line = next(i for i, text in enumerate(Path(__file__).read_text().splitlines(), 1) if "def parity" in text) + 1
    assert f"{Path(__file__).name}:{line} in parity" in model.error


def compared(x: Tensor, y: Tensor) -> Tensor:
    return x.sum() if x.shape[0] < y.shape[0] else y.sum()


def doubled(x: Tensor, y: Tensor) -> Tensor:
    assert x.shape[0] == 2 * y.shape[0]
    return x[: y.shape[0]] + y


def unequal(x: Tensor, y: Tensor) -> Tensor:
    return x.sum() if x.shape[0] + 1 != y.shape[0] else y.sum()


TWO = [
    (compared, (3, 5), lambda a, b: a < b),
    (compared, (5, 3), lambda a, b: a >= b),
    (doubled, (6, 3), lambda a, b: a == 2 * b),
    (unequal, (3, 5), lambda a, b: a + 1 != b),
]


@pytest.mark.parametrize(("forward", "example", "holds"), TWO)
def test_sizes_of_two_inputs(forward: Forward, example: tuple[int, int], holds: Any, tmp_path: Path) -> None:
    model = Exported(forward, [torch.randn(n, 2) for n in example], ({0: Dim.AUTO}, {0: Dim.AUTO}), tmp_path)
    for a in range(2, 9):
        for b in range(2, 9):
            if model.takes((torch.randn(a, 2), torch.randn(b, 2))):
                assert holds(a, b)
            else:
                assert not holds(a, b) or expected(model.program, (torch.randn(a, 2), torch.randn(b, 2))) is None


def test_dims_that_follow_from_a_name(tmp_path: Path) -> None:
    n = Dim("n", min=2, max=8)

    def pairs(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.reshape(-1, 2, 3).sum(1), y[1:] * 2

    model = Exported(pairs, (torch.randn(6, 3), torch.randn(7, 3)), ({0: 2 * n}, {0: 2 * n + 1}), tmp_path)
    head = cli.read_head(model.path)
    assert [s.name for s in head.symbols if s.code is None or not len(s.code)] == [b"n"]
    taken = [
        (a, b) for a in range(3, 20) for b in (a - 1, a, a + 1) if model.takes((torch.randn(a, 3), torch.randn(b, 3)))
    ]
    assert taken == [(a, a + 1) for a in range(4, 17, 2)]


SHAPES = [
    (lambda x: x[:, : x.shape[1] // 2] * 2, 12),
    (lambda x: torch.arange(x.shape[1] - 1, -1, -2).float() + x.sum(), 9),
    (lambda x: torch.arange(0, 3 * x.shape[1], 2).float() + x.sum(), 9),
    (lambda x: F.pad(x, (0, max(x.shape[1] - 5, 1))), 9),
    (lambda x: F.pad(x, (0, -(-x.shape[1] // 3))) * 2, 9),
    (lambda x: F.pad(x, (-x.shape[1] % 4, 0)) * 2, 9),
    (lambda x: x.new_zeros(2, 2 ** (x.shape[1] // 5)) + 1, 9),
    (lambda x: x.repeat(1, x.shape[1] >> 1), 9),
    (scaled, 10),
    (lambda x: F.avg_pool1d(x, 2, 2, ceil_mode=True), 9),
    (lambda x: F.avg_pool1d(x, 3, 2, 1), 9),
    (lambda x: F.max_pool1d(x.unsqueeze(0), 3, 2, 1, ceil_mode=True), 9),
    (lambda x: F.max_pool1d(x.unsqueeze(0), 3, 2, 1, ceil_mode=True), 8),
    (lambda x: F.max_pool1d(x.unsqueeze(0), 2, 3, ceil_mode=True), 8),
    (lambda x: F.interpolate(x[None, None], scale_factor=(1.0, 2.0)), 8),
    (lambda x: x.mean() / x.shape[1] * (x.shape[1] // 3), 8),
]


@pytest.mark.parametrize(("forward", "example"), SHAPES)
def test_sizes_that_follow(forward: Forward, example: int, tmp_path: Path) -> None:
    model = Exported(forward, (torch.randn(2, example),), ({1: Dim.AUTO},), tmp_path)
    for n in range(2, 20):
        x = torch.randn(2, n)
        assert model.takes((x,)) == (expected(model.program, (x,)) is not None), (n, model.error)


def windows(x: Tensor) -> Tensor:
    """As Swin has it: pads an image to whole windows, shifts it, and takes it apart."""
    _, height, width, channels = x.shape
    right, below = (4 - width % 4) % 4, (4 - height % 4) % 4
    if right or below:
        x = F.pad(x, (0, 0, 0, right, 0, below))
    rows, columns = x.shape[1], x.shape[2]
    x = x.roll((-1, -1), (1, 2)).view(1, rows // 4, 4, columns // 4, 4, channels)
    return x.softmax(4).mean((2, 4))


def test_windows_of_free_height_and_width(tmp_path: Path) -> None:
    model = Exported(windows, (torch.randn(1, 18, 22, 4),), ({1: Dim.AUTO, 2: Dim.AUTO},), tmp_path)
    taken = []
    for height, width in ((18, 22), (19, 21), (24, 26), (30, 44), (22, 18), (10, 40), (24, 40)):
        x = torch.randn(1, height, width, 4)
        if model.takes((x,)):
            taken.append((height, width))
        else:
            assert expected(model.program, (x,)) is None or "exported for sizes where" in model.error, model.error
    assert (18, 22) in taken
    assert (24, 40) not in taken  # needs no padding, and the program pads
    assert len(taken) > 1


def test_checks_of_data_are_refused(tmp_path: Path) -> None:
    def forward(x: Tensor) -> Tensor:
        torch._check(x.sum().item() > 0)
        return x * 2

    with pytest.raises(ExportError, match=r"test_dynamic_sizes.py:\d+ in forward"):
        export(Model(forward), (torch.ones(3),), tmp_path / "m.kiln")


class Arithmetic:
    """Random expressions of sizes, and conditions on them, as a model's code would have them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def size(self, depth: int) -> Callable[[Any, Any], Any]:
        kind = self.random.randrange(9) if depth else self.random.randrange(2)
        c = self.random.randint(1, 5)
        if kind == 0:
            return lambda n, m: n
        if kind == 1:
            return lambda n, m: m
        a, b = self.size(depth - 1), self.size(depth - 1)
        return {
            2: lambda n, m: a(n, m) + b(n, m),
            3: lambda n, m: a(n, m) - c * b(n, m),
            4: lambda n, m: a(n, m) * c,
            5: lambda n, m: a(n, m) // c,
            6: lambda n, m: a(n, m) % (c + 1),
            7: lambda n, m: torch.sym_max(a(n, m), b(n, m) - c),
            8: lambda n, m: torch.sym_min(a(n, m), b(n, m) + c),
        }[kind]

    def condition(self) -> Callable[[Any, Any], Any]:
        a, b, c = self.size(2), self.size(1), self.random.randint(0, 4)
        return self.random.choice(
            [
                lambda n, m: a(n, m) < b(n, m),
                lambda n, m: a(n, m) >= b(n, m) + c,
                lambda n, m: a(n, m) % 3 == c % 3,
                lambda n, m: a(n, m) != c,
                lambda n, m: a(n, m) > c and b(n, m) % 2 == 0,
                lambda n, m: a(n, m) == b(n, m) or b(n, m) < 5,
            ]
        )

    def forward(self) -> Forward:
        condition, width, factor = self.condition(), self.size(2), self.size(2)

        def forward(x: Tensor, y: Tensor) -> Tensor:
            n, m = x.shape[0], y.shape[0]
            z = x.sum() + y.sum() * factor(n, m)
            if condition(n, m):
                z = z * 2
            return F.pad(z.reshape(1, 1), (0, width(n, m) % 7 + 1), value=3.0)

        return forward


@pytest.mark.parametrize("seed", range(12))
def test_random_arithmetic(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(1000 + seed)
    shapes = ({0: Dim.AUTO}, {0: Dim.AUTO})
    example = [torch.randn(chosen.randint(3, 9)), torch.randn(chosen.randint(3, 9))]
    model = Exported(Arithmetic(seed).forward(), example, shapes, tmp_path)
    for _ in range(24):
        inputs = [torch.randn(chosen.randint(2, 12)), torch.randn(chosen.randint(2, 12))]
        taken = model.takes(inputs)
        if not taken and expected(model.program, inputs) is not None:
            assert "exported for sizes where" in model.error or "cannot be" in model.error, model.error
