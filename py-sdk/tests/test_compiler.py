"""What export asks the compiler that pages download, and what it says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from wasmkiln import ExportError, UncheckedWarning, compiler, export


@pytest.fixture
def built() -> Path:
    try:
        return compiler.find_compiler()
    except compiler.CompilerMissingError as missing:
        pytest.skip(str(missing))


class Two(nn.Module):
    """Two nodes that the compiler refuses, and one that it takes."""

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.dropout(x + 1)
        return nn.functional.dropout(x * 2) + y


def test_every_refused_node_is_listed(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as raised:
        export(Two(), (torch.ones(2, 3),), tmp_path / "m")
    lines = str(raised.value).splitlines()
    assert [line.split("(")[0] for line in lines[1:]] == [
        "  aten.native_dropout.default",
        "  aten.native_dropout.default",
    ]
    assert all("test_compiler.py:" in line and "[2x3]" in line for line in lines[1:])
    assert not (tmp_path / "m").exists()


def training_dropout() -> tuple[nn.Module, Any]:
    return nn.Dropout(), (torch.ones(3),)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (training_dropout, r"aten.native_dropout.default.*model.eval\(\)"),
    ],
)
def test_what_the_compiler_refuses_is_not_written(
    make: Callable[[], tuple[nn.Module, Any]], words: str, built: Path, tmp_path: Path
) -> None:
    module, args = make()
    with pytest.raises(ExportError, match=words):
        export(module, args, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def sizes_of(
    dims: Any,
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: nn.Module | None = None,
    args: tuple[Any, ...] = (torch.ones(4, 5),),
) -> list[dict[str, int]]:
    """Which sizes export tries."""
    tried = []
    original = compiler.Compiler.open

    def spied(self: compiler.Compiler, head: bytes, file_bytes: int, sizes: dict[str, int]) -> Any:
        tried.append(sizes)
        return original(self, head, file_bytes, sizes)

    monkeypatch.setattr(compiler.Compiler, "open", spied)
    export(module or nn.ReLU(), args, tmp_path / "m.kiln", dims)
    monkeypatch.undo()
    return tried


def test_sizes_are_the_examples_and_the_ends(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sizes_of(None, built, tmp_path, monkeypatch) == [{}]
    rows, columns = Dim("rows", min=2, max=8), Dim("columns", max=5)
    tried = sizes_of(({0: rows, 1: columns},), built, tmp_path, monkeypatch)
    assert tried[0] == {"rows": 4, "columns": 5}
    assert sorted(size["rows"] for size in tried) == [2, 4, 8]
    tried = sizes_of(({0: Dim("rows")},), built, tmp_path, monkeypatch)
    assert tried == [{"rows": 4}]
    tried = sizes_of(({0: 2 * Dim("half", max=8)},), built, tmp_path, monkeypatch)
    assert tried[0] == {"half": 2}


def test_sizes_of_numbers_are_the_examples(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ones(nn.Module):
        def forward(self, x: Tensor, n: int) -> Tensor:
            return x.new_ones(n)

    assert sizes_of((None, Dim.DYNAMIC), built, tmp_path, monkeypatch, Ones(), (torch.ones(1), 7))[0] == {"n": 7}


def test_a_refusal_at_an_end_names_the_size(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = compiler.Compiler.open

    def refuses(self: compiler.Compiler, head: bytes, file_bytes: int, sizes: dict[str, int]) -> Any:
        found = original(self, head, file_bytes, sizes)
        return compiler.Refusal("unsupported-operator", "no", "") if sizes["rows"] == 8 else found

    monkeypatch.setattr(compiler.Compiler, "open", refuses)
    with pytest.raises(ExportError, match=r"^no \(with rows = 8, an end of the range"):
        export(nn.ReLU(), (torch.ones(4, 5),), tmp_path / "m", ({0: Dim("rows", min=2, max=8)},))


def test_what_export_wrote_is_never_a_bad_file(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = compiler.Refusal("bad-file", "aten.relu.default: the axis is out of range", "")
    monkeypatch.setattr(compiler.Compiler, "open", lambda *_: refusal)
    with pytest.raises(ExportError, match=r"out of range\nThis is a bug of wasmkiln"):
        export(nn.ReLU(), (torch.ones(4, 5),), tmp_path / "m")


def test_damage_is_refused(built: Path, tmp_path: Path) -> None:
    export(nn.Linear(3, 2), (torch.ones(2, 3),), tmp_path / "m.kiln")
    data = (tmp_path / "m.kiln").read_bytes()
    head = data[: int.from_bytes(data[:4], "little") + 4]
    one = compiler.Compiler(built)
    assert one.open(head, len(data), {}) is None
    assert one.open(head, len(data) - 1, {}).code == "bad-file"
    assert one.open(head[:-1] + bytes([head[-1] ^ 1]), len(data), {}).code == "bad-file"
    assert one.open(head, len(data), {"n": 2}).code == "bad-option"
    assert one.open(head, len(data), {}) is None  # it takes one file after another


def test_a_missing_compiler_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "PACKAGE", tmp_path)
    monkeypatch.setattr(compiler, "CHECKOUT", tmp_path)
    with pytest.warns(UncheckedWarning, match="unchecked.*./dev build"):
        export(nn.ReLU(), (torch.ones(3),), tmp_path / "m.kiln")
    assert (tmp_path / "m.kiln").exists()


def test_an_old_compiler_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(compiler, "CHECKOUT", tmp_path)
    file, source = tmp_path / "build/wasm/runtime/kiln_compiler_full.wasm", tmp_path / "ir/passes/fuse.cpp"
    native = tmp_path / "runtime/cli/run.cpp"  # which is no part of it
    for each in (file, source, native):
        each.parent.mkdir(parents=True)
        each.touch()
    os.utime(source, (1000, 1000))
    os.utime(file, (2000, 2000))
    assert compiler.find_compiler() == file
    os.utime(source, (3000, 3000))
    with pytest.raises(compiler.CompilerMissingError, match="older than its sources"):
        compiler.find_compiler()
