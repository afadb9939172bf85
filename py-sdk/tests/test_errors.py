"""Whatever a module does, export writes a file or raises an ExportError that says where and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_ports import Of, agrees
from torch import Tensor, nn
from wasmkiln import ExportError, UnsupportedOperatorError, export

X = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
LINE = r"at test_errors.py:\d+ in forward"


class Cond(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, (x,))


class Masked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class Cut(nn.Module):
    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        return x[:, : n.item()]


class Scaled(nn.Module):
    def forward(self, x: Tensor, n: Tensor) -> Tensor:
        return x * n.item()


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.double() * 2).exp()


class Chosen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such layer")


class Frequencies(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x).abs()


@pytest.mark.parametrize(
    ("module", "args", "words"),
    [
        (Cond(), (X,), rf"torch.cond\(bool\[\], float32\[2x3\]\)  {LINE} — files hold no control flow.*torch.where"),
        (Masked(), (X,), rf"aten.index.Tensor\(.*\)  {LINE} — the size of its result depends on data.*torch.where"),
        (Cut(), (X, torch.tensor(2)), rf"aten.slice.Tensor\(.*\)  {LINE} — the size of its result depends on data"),
        (Scaled(), (X, torch.tensor(2.0)), rf"aten.mul.Tensor, {LINE}: .*without .item\(\)"),
        (Double(), (X,), rf"^1 operation .*\n  aten._to_copy.*{LINE} — its result is float64.*call .float\(\)"),
        (nn.ReLU(), (X.double(),), r"the input input is float64, .* call .float\(\)"),
        (nn.ReLU(), (X + 1j,), "the input input is complex64"),
        (Of(lambda self, x: x * self.scale, scale=X.double()), (X,), "scale is float64"),
        (Of(lambda self, x: self.w @ x, w=torch.eye(2).to_sparse()), (X,), r"w is torch.sparse_coo.*to_dense"),
        (nn.Linear(3, 2, device="meta"), (X.to("meta"),), "weight has a shape and no values"),
        (nn.Linear(3, 2, device="meta"), (X,), "PyTorch cannot export"),
        (Frequencies(), (X,), rf"aten._fft_r2c.default\(.*\)  {LINE} — its result is complex64"),
        (Chosen(), (X,), r"(?s)PyTorch cannot export.*choose by torch.where"),
        (Fails(), (X,), r"(?s)KeyError: 'no such layer'\n  at .*test_errors.py:\d+ in forward"),
        (nn.ReLU(), (X, X), "forward cannot be called with the example inputs: too many positional"),
    ],
)
def test_what_has_no_form_is_refused(module: nn.Module, args: tuple[Any, ...], words: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=words):
        export(module, args, tmp_path / "m")
    assert not (tmp_path / "m").exists()


class Layered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.FractionalMaxPool2d(2, output_size=2, _random_samples=torch.rand(1, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


def test_lines_are_the_models_not_pytorchs(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperatorError, match=LINE):
        export(Layered(), (torch.ones(1, 1, 4, 4),), tmp_path / "m")
    with pytest.raises(UnsupportedOperatorError, match=r"at pooling.py:\d+ in forward"):  # there is no other
        export(Layered().pool, (torch.ones(1, 1, 4, 4),), tmp_path / "m")


def test_missing_operators_are_another_kind(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperatorError):
        export(Cond(), (X,), tmp_path / "m")
    with pytest.raises(ExportError) as raised:
        export(Masked(), (X,), tmp_path / "m")
    assert not isinstance(raised.value, UnsupportedOperatorError)


def transposed() -> nn.Module:
    linear = nn.Linear(3, 3)
    linear.weight = nn.Parameter(torch.arange(9.0).reshape(3, 3).t())
    return linear


def expanded() -> nn.Module:
    linear = nn.Linear(3, 3)
    linear.weight = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0]]).expand(3, 3))
    return linear


def hooked() -> nn.Module:
    linear = nn.Linear(3, 2)
    linear.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    linear.register_forward_hook(lambda module, args, result: result * 2)
    return linear


def shared() -> nn.Module:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
    second.weight = first.weight
    return nn.Sequential(first, second)


class Graded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            return x * 2


@pytest.mark.parametrize(
    "make",
    [
        transposed,
        expanded,
        hooked,
        shared,
        Graded,
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)),
        lambda: Of(lambda self, x: (x + self.i) * self.b, i=torch.arange(3), b=torch.tensor([True, False, True])),
        lambda: Of(lambda self, x: x * self.s, s=torch.tensor(3.0)),
        lambda: Of(lambda self, x: torch.add(x, 1, out=torch.empty(2, 3))),
        lambda: Of(lambda self, x: torch.cat([x, self.nothing]), nothing=torch.zeros(0, 3)),
        lambda: Of(lambda self, x: (x + 1e300).isinf()),
    ],
)
def test_odd_modules_agree(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    agrees(make(), (X,), tmp_path / "m.kiln")


def test_a_model_without_inputs(tmp_path: Path) -> None:
    class Constant(nn.Module):
        def forward(self) -> Tensor:
            return torch.ones(2, 3) + 1

    agrees(Constant(), (), tmp_path / "m.kiln")
