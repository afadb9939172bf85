"""What goes into a file and comes out of it: which tensors, in which order, under which names."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from native import ports, run
from torch import Tensor, nn
from torch.export import Dim
from torch.utils import _pytree as pytree
from wasmkiln import ExportError, export
from wasmkiln.cli import read_head

X = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
Y = torch.tensor([[0.5, 0.25, -0.125], [2.0, 4.0, 8.0]])


class Of(nn.Module):
    """A function with buffers as a module."""

    def __init__(self, function: Callable[..., Any], **buffers: Tensor) -> None:
        super().__init__()
        self.function = function
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor, *more: Any, **named: Any) -> Any:
        return self.function(self, x, *more, **named)


def agrees(module: nn.Module, args: tuple[Any, ...], path: Path, **options: Any) -> list[str]:
    """Exports, runs, and compares every output with PyTorch's, in order; the outputs' names."""
    export(module.eval(), args, path, **options)
    kwargs = options.get("kwargs") or {}
    given = [leaf.clone() for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    wanted = [torch.as_tensor(leaf) for leaf in pytree.tree_leaves(module(*args, **kwargs)) if leaf is not None]
    got = run(path, given)
    for want, (name, tensor) in zip(wanted, got.items(), strict=True):
        assert tensor.dtype == want.dtype, name
        torch.testing.assert_close(tensor, want.contiguous(), rtol=1e-6, atol=1e-6)
    return list(got)


def in_place(_: nn.Module, x: Tensor) -> Tensor:
    x -= x.mean()
    return x.abs()


def resized(_: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    y = x.view(3, 2)
    y[0].mul_(10)
    return x, y.sum(0)


def rewrites(_: nn.Module, x: Tensor) -> Tensor:
    x.add_(1)
    return x


@pytest.mark.parametrize("function", [in_place, resized, rewrites])
def test_an_input_that_forward_changes_is_no_output(function: Callable[..., Any], tmp_path: Path) -> None:
    agrees(Of(function), (X.clone(),), tmp_path / "m.kiln")


def counts(self: nn.Module, x: Tensor) -> Tensor:
    self.n.add_(1)
    return x + self.n


def keeps(self: nn.Module, x: Tensor) -> Tensor:
    self.n[0] = x.sum()
    return torch.cat([self.n, x.sum(1)])


def replaces(self: nn.Module, x: Tensor) -> Tensor:
    self.n = self.n * 0.9 + x.mean()
    return x - self.n


@pytest.mark.parametrize("function", [counts, keeps, replaces])
def test_a_buffer_that_changes_is_refused(function: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"\n  n, at test_ports.py:\d+ in forward\n.*take the old value as an input"):
        export(Of(function, n=torch.zeros(2, 1) if function is not keeps else torch.zeros(2)), (X,), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_buffer_that_changes_under_another_name_is_refused(tmp_path: Path) -> None:
    module = Of(lambda self, x: (self.a.add_(1), x + self.b)[1], a=torch.zeros(1))
    module.b = module.a
    with pytest.raises(ExportError):  # by PyTorch
        export(module, (X,), tmp_path / "m")


def test_a_buffer_that_no_result_depends_on_may_change(tmp_path: Path) -> None:
    def function(self: nn.Module, x: Tensor) -> Tensor:
        self.calls.add_(1)
        self.mean.copy_(x.mean())
        return x * 2

    module = Of(function, calls=torch.zeros((), dtype=torch.int64), mean=torch.zeros(()))
    assert agrees(module, (X,), tmp_path / "m.kiln", output_names=["y"]) == ["y"]


def test_a_network_in_training_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"(?s)running_mean.*running_var.*call model.eval\(\)"):
        export(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train(), (X,), tmp_path / "m")


@dataclass
class Answer:
    logits: Tensor
    extra: Tensor | None = None


torch.export.register_dataclass(Answer, serialized_type_name="test_ports.Answer")
Pair = namedtuple("Pair", ["first", "second"])


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda self, x: (lambda y: (y, y, y))(x.relu()), ["relu", "relu_2", "relu_3"]),
        (lambda self, x: x, ["x"]),
        (lambda self, x: (x, x, x.view(-1), x[1], x.t()), ["x", "x_2", "view", "select", "permute"]),
        (lambda self, x: (self.w, self.w, self.i, x + self.w), ["w", "w_2", "i", "add"]),
        (lambda self, x: (x.relu(), None, 3, 2.5, True, x.shape[0]), ["relu", *(f"output_{i}" for i in range(2, 6))]),
        (lambda self, x: torch.zeros(2, 3), ["full"]),
        (lambda self, x: (torch.arange(3), x.sum()), ["arange", "sum_1"]),
        (lambda self, x: {"a": x * 2, "b": (x * 3, [x])}, ["a", "b.0", "b.1.0"]),
        (lambda self, x: OrderedDict(z=x + 1, a=x + 2), ["z", "a"]),
        (lambda self, x: [x + 1, {"x": x}], ["add", "1.x"]),
        (lambda self, x: Pair(x + 1, {3: x + 2}), ["first", "second.3"]),
        (lambda self, x: Answer(x * 2, x * 4), ["logits", "extra"]),
        (lambda self, x: Answer(x * 2), ["logits"]),
    ],
)
def test_outputs_are_what_forward_returns(function: Callable[..., Any], names: list[str], tmp_path: Path) -> None:
    module = Of(function, w=Y.clone(), i=torch.arange(100))
    found = agrees(module, (X,), tmp_path / "m.kiln")
    assert found == names
    renamed = [f"o{i}" for i in range(len(names))]
    assert agrees(module, (X,), tmp_path / "n.kiln", output_names=renamed) == renamed


def test_outputs_of_transformers_are_called_as_there(tmp_path: Path) -> None:
    from transformers.modeling_outputs import BaseModelOutput

    module = Of(lambda self, x: BaseModelOutput(last_hidden_state=x + 1, hidden_states=(x, x * 2)))
    assert agrees(module, (X,), tmp_path / "m.kiln") == ["last_hidden_state", "hidden_states.0", "hidden_states.1"]


def test_a_size_is_an_output(tmp_path: Path) -> None:
    module = Of(lambda self, x: (x.shape[0] * 2, x + 1))
    export(module, (X,), tmp_path / "m.kiln", ({0: Dim("n", min=2, max=9)},), output_names=["size", "y"])
    got = run(tmp_path / "m.kiln", [torch.ones(5, 3)], {"n": 5})
    assert got["size"].item() == 10
    assert torch.equal(got["y"], torch.full((15,), 2.0))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda self, x: (x, "text"), "the output output_1 is a str"),
        (lambda self, x: None, "returns no tensor"),
        (lambda self, x: (), "returns no tensor"),
        (lambda self, x: {"a": object()}, "PyTorch cannot export"),
    ],
)
def test_what_is_no_output_is_refused(function: Callable[..., Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=words):
        export(Of(function), (X,), tmp_path / "m")


class Nested(nn.Module):
    def forward(self, x: Tensor, state: Any, flag: bool = True, *, scale: Tensor | None = None) -> Tensor:
        inner, others = state["inner"], state["others"]
        y = x + 2 * inner + 3 * others[0] + 4 * others[1][0]
        return (y if flag else -y) if scale is None else y * scale


STATE = {"inner": X, "others": (Y, [X * Y])}
NAMES = ["x", "state.inner", "state.others.0", "state.others.1.0"]


@pytest.mark.parametrize(
    ("args", "kwargs", "names"),
    [
        ((X, STATE), None, NAMES),
        ((X, STATE, False), None, NAMES),
        ((X, STATE, None), {"scale": Y}, [*NAMES, "scale"]),
        ((X,), {"scale": Y, "state": STATE}, ["x", "scale", *NAMES[1:]]),
    ],
)
def test_nested_arguments_are_inputs(args: Any, kwargs: Any, names: list[str], tmp_path: Path) -> None:
    agrees(Nested(), args, tmp_path / "m.kiln", kwargs=kwargs)
    assert ports(tmp_path / "m.kiln")[0] == names


def test_arguments_by_name(tmp_path: Path) -> None:
    export(Nested(), {"state": STATE, "x": X}, tmp_path / "m.kiln", output_names=["y"])
    assert ports(tmp_path / "m.kiln")[0] == [*NAMES[1:], "x"]
    got = run(tmp_path / "m.kiln", [X, Y, X * Y, X])["y"]
    torch.testing.assert_close(got, Nested()(X, STATE))


def test_one_tensor_in_several_places_is_several_inputs(tmp_path: Path) -> None:
    """torch.export makes one value of them; a page gives four tensors."""
    module = Of(lambda self, x, d, *rest, **named: x + 2 * d["k"] + 3 * rest[0] + 4 * named["z"] + 5 * self.w, w=X)
    export(module, (X, {"k": X}, X), tmp_path / "m.kiln", kwargs={"z": X}, output_names=["y"])
    assert ports(tmp_path / "m.kiln")[0] == ["x", "more.0.k", "more.1", "z"]
    a, b, c, d = (torch.full((2, 3), 10.0**i) for i in range(4))
    torch.testing.assert_close(run(tmp_path / "m.kiln", [a, b, c, d])["y"], a + 2 * b + 3 * c + 4 * d + 5 * X)


def test_inputs_lie_row_by_row(tmp_path: Path) -> None:
    x = torch.arange(48.0).reshape(1, 3, 4, 4).to(memory_format=torch.channels_last)
    agrees(Of(lambda self, x: x.permute(0, 2, 3, 1) * 2), (x,), tmp_path / "m.kiln")
    agrees(Of(lambda self, x: x * 2), (torch.arange(3.0).expand(2, 3),), tmp_path / "m.kiln")


@pytest.mark.parametrize("kind", [{"n": 2, "dims": None}, {"n": 7, "dims": Dim.DYNAMIC}])
def test_numbers_are_fixed_or_dims(kind: dict[str, Any], tmp_path: Path) -> None:
    class Times(nn.Module):
        def forward(self, x: Tensor, n: int) -> tuple[Tensor, Tensor]:
            return x * n, x.new_ones(n)

    dims = kind["dims"] and (None, kind["dims"])
    export(Times(), (X, 2 if dims is None else 3), tmp_path / "m.kiln", dims, output_names=["y", "ones"])
    assert ports(tmp_path / "m.kiln")[0] == ["x"]
    got = run(tmp_path / "m.kiln", [X], {"n": kind["n"]} if dims else None)
    assert torch.equal(got["y"].reshape(2, 3), X * kind["n"])
    assert got["ones"].numel() == kind["n"]


def test_dims_of_nested_inputs_have_their_names(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, state: dict[str, list[Tensor]]) -> tuple[Tensor, Tensor]:
            return x * 2, state["k"][0] + 1

    args = (X, {"k": [torch.ones(4, 3)]})
    for dims, names in (
        (({0: Dim("rows")}, {"k": [{0: Dim("past")}]}), ["rows", "past"]),
        ({"x": {0: Dim.AUTO}, "state": {"k": [{0: Dim.AUTO}]}}, ["x_0", "state.k.0_0"]),
        (({0: Dim("rows")}, {"k": [None]}), ["rows"]),
    ):
        export(Two(), args, tmp_path / "m.kiln", dims)
        assert [symbol.name.decode() for symbol in read_head(tmp_path / "m.kiln").symbols] == names


def test_names_are_kept_exactly(tmp_path: Path) -> None:
    module = Of(lambda self, x, state: (x + state, (state * 2).relu()))
    options = {"input_names": ["x", "state"], "output_names": ["y", "state"]}
    assert agrees(module, (X, Y), tmp_path / "m.kiln", **options) == ["y", "state"]
    assert ports(tmp_path / "m.kiln") == (["x", "state"], ["y", "state"])
    options = {"input_names": ["relu", "add"], "output_names": ["mul", "x"]}  # what inner values are called
    assert agrees(module, (X, Y), tmp_path / "m.kiln", **options) == ["mul", "x"]
    assert ports(tmp_path / "m.kiln") == (["relu", "add"], ["mul", "x"])
    module = Of(lambda self, x: x.relu().exp() * self.w, w=Y)
    assert agrees(module, (X,), tmp_path / "m.kiln", input_names=["w"], output_names=["w"]) == ["w"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output_names": ["a"]}, "output_names has 1 names, and the model has 2 outputs.*: add, mul"),
        ({"output_names": ["a", "b", "c"]}, "output_names has 3 names"),
        ({"output_names": ["a", "a"]}, "output_names has 'a' twice"),
        ({"input_names": []}, "input_names has 0 names, and the model has 1 inputs.*: x"),
        ({"input_names": ["a", "b"]}, "input_names has 2 names"),
        ({"input_names": "x"}, "a sequence of names, not 'x'"),
        ({"input_names": [""]}, "a sequence of names"),
        ({"output_names": ["a", None]}, "a sequence of names"),
    ],
)
def test_other_names_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=words):
        export(Of(lambda self, x: (x + 1, x * 2)), (X,), tmp_path / "m", **options)


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        (X, {}, r"write \(x,\) for one"),
        ("x", {}, "not a str"),
        ((), {}, "missing a required argument: 'x'"),
        ((X, STATE), {"kwargs": {"other": X}}, "unexpected keyword argument 'other'"),
        ((X, STATE), {"kwargs": {"x": X}}, "multiple values for argument 'x'"),
    ],
)
def test_other_arguments_are_refused(args: Any, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=words):
        export(Nested(), args, tmp_path / "m", **options)


def test_a_function_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"takes a torch.nn.Module, not a function"):
        export(torch.nn.functional.normalize, (X,), tmp_path / "m")
