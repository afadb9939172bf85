"""python -m wasmkiln export|inspect|verify."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from torch.utils import _pytree as pytree

from wasmkiln import model_generated as fb
from wasmkiln import onnx_file
from wasmkiln.compiler import CompilerMissingError, refusal
from wasmkiln.errors import ExportError, FileError, readable
from wasmkiln.exporter import call_of, export
from wasmkiln.ports import Argument, arguments
from wasmkiln.reader import integrity, read_model
from wasmkiln.sizes import solved
from wasmkiln.writer import DTYPES, raw_bytes

DTYPE_NAMES = {number: str(dtype).removeprefix("torch.") for dtype, number in DTYPES.items()}


class CliError(Exception):
    """An error that the user can correct. It is printed without a traceback."""


def shown(text: bytes | None) -> str:
    """What a file says, for a terminal: characters that cannot be shown are escaped."""
    said = (text or b"").decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)


def file_of(folder: Path, name: bytes) -> Path:
    """Where `kiln run` writes an output."""
    return folder / f"{quote(name, safe=':')}.bin"


def read_head(path: Path) -> fb.ModelT:
    """The head of a .kiln file as objects, without the weights."""
    return read_model(path)[0]


def load_source(source: str) -> tuple[torch.nn.Module, Any, Any]:
    """Calls `package.module:callable` without arguments. It returns (model, inputs) or (model, inputs,
    dynamic_shapes)."""
    module, _, name = source.partition(":")
    if not name:
        raise CliError(f"'{source}' is not of the form module:callable")
    sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's code raises
        raise CliError(f"cannot import {source}: {readable(error)}") from error
    try:
        model, inputs, *rest = factory()
    except Exception as error:  # whatever the user's code raises
        raise CliError(f"{source} failed: {readable(error)}") from error
    if not isinstance(model, torch.nn.Module) or len(rest) > 1:
        raise CliError(f"{source} must give (model, inputs) or (model, inputs, dynamic_shapes)")
    return model.eval(), inputs, rest[0] if rest else None


def export_source(source: str, path: Path) -> None:
    model, inputs, dynamic_shapes = load_source(source)
    logging.disable(logging.WARNING)  # PyTorch's warnings repeat what its errors say, with tracebacks
    export(model, inputs, path, dynamic_shapes)


def shape_text(model: fb.ModelT, value: fb.ValueT) -> str:
    dims = (shown(model.symbols[d.symbol].name) if d.symbol >= 0 else str(d.value) for d in value.dims or [])
    return escape(f"{DTYPE_NAMES[value.dtype]}[{'x'.join(dims)}]")  # a name in brackets would be markup


def inspect(path: Path) -> None:
    """Prints ports, operators with their counts, sizes, its integrity, and whether the compiler takes the file."""
    model, head = read_model(path)
    whole = integrity(path)
    console = Console()
    ports = Table(
        "port", "name", "type", title=escape(f"{shown(model.name)}: format {model.version}, {shown(model.producer)}")
    )
    for kind, ids in (("input", model.inputs), ("output", model.outputs)):
        for i in ids:
            ports.add_row(kind, escape(shown(model.values[i].name)), shape_text(model, model.values[i]))
    console.print(ports)
    operators = Table("operator", "nodes")
    for name, count in Counter(shown(model.opNames[node.op]) for node in model.nodes).most_common():
        operators.add_row(escape(name), str(count))
    console.print(operators)
    for symbol in model.symbols or []:
        if symbol.code is None or len(symbol.code) == 0:
            console.print(f"{shown(symbol.name)}: {symbol.min} to {symbol.max or 'any size'}", markup=False)
    for guard in model.guards or []:
        console.print(f"only where {shown(guard.text)} ({shown(guard.where) or 'PyTorch'})", markup=False)
    console.print(
        f"{len(model.nodes)} nodes, {len(model.segments)} weights, {model.weightsBytes / 1e6:.2f} MB of weights"
    )
    console.print(f"integrity: {whole}", markup=False, soft_wrap=True)
    try:
        refused = refusal(model, head, path.stat().st_size)
    except CompilerMissingError as missing:
        console.print(f"not asked whether a page takes it: {missing}", markup=False)
        return
    if refused:
        raise CliError(f"the compiler does not take this file: {refused.message}")
    console.print("the compiler takes it")


def find_kiln(given: str | None) -> str:
    """The native command: the given one, else $KILN, else the one that `./dev build` made here, else one on PATH."""
    built = Path(__file__).resolve().parents[2] / "build/native/kiln"
    found = given or os.environ.get("KILN") or (str(built) if built.exists() else shutil.which("kiln"))
    if not found or not shutil.which(found):
        raise CliError(
            "verify runs the native `kiln` command, which was not found: build it by `./dev build`, pass --kiln PATH, "
            "or put it on PATH"
        )
    return found


def sizes_of(head: fb.ModelT, leaves: list[Argument]) -> dict[str, int]:
    """The sizes of the file's symbolic dims for these arguments."""
    names = [symbol.name.decode() for symbol in head.symbols or []]
    codes = [[] if symbol.code is None else symbol.code for symbol in head.symbols or []]
    dims = [
        (dim.symbol, size)
        for i, tensor in zip(head.inputs, tensors_of(leaves), strict=True)
        for dim, size in zip(head.values[i].dims or [], tensor.shape, strict=True)
        if dim.symbol >= 0
    ]
    numbers = {leaf.name: leaf.value for leaf in leaves if type(leaf.value) is int}  # one may be a size, too
    dims += [(i, numbers[name]) for i, name in enumerate(names) if name in numbers and not len(codes[i])]
    return {names[i]: size for i, size in solved(codes, dims).items()}


def tensors_of(leaves: list[Argument]) -> list[Tensor]:
    return [leaf.value for leaf in leaves if isinstance(leaf.value, Tensor)]


def run(path: Path, head: fb.ModelT, leaves: list[Argument], kiln: str, folder: Path) -> None:
    """Runs the file natively. Writes the outputs to the folder."""
    tensors = tensors_of(leaves)
    if len(tensors) != len(head.inputs):
        raise CliError(f"{path} has {len(head.inputs)} inputs, the example {len(tensors)} tensors: export it again")
    # The file is judged, not what a faster precision would round.
    command = [kiln, "run", str(path), "--precision", "exact", "--output-dir", str(folder)]
    for i, (value, tensor) in enumerate(zip(head.inputs, tensors, strict=True)):
        file = folder / f"input{i}"
        file.write_bytes(raw_bytes(tensor))
        command += ["--input", f"{head.values[value].name.decode()}={file}"]
    for name, size in sizes_of(head, leaves).items():
        command += ["--dim", f"{name}={size}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CliError(f"kiln run failed: {done.stderr.strip()}")


def differences(file: Path, want: Tensor) -> tuple[float, float]:
    """The largest difference between an output and PyTorch's, absolute and relative to the output's scale."""
    wanted = want.numpy()
    got = np.fromfile(file, dtype=wanted.dtype)
    if got.size != wanted.size:
        raise CliError(f"the output {file.stem} has {got.size} elements, PyTorch's {wanted.size}")
    a, b = got.astype(np.longdouble), wanted.ravel().astype(np.longdouble)  # which holds every int64
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    error = float(np.abs(np.where(same, 0, a - b)).max(initial=0))
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0))
    return error, error / scale if scale else error


def verify(path: Path, source: str, kiln: str, tolerance: float) -> bool:
    """Runs the file natively and the model in PyTorch on the same inputs, and prints the errors. True if they are
    small."""
    head = read_head(path)
    module, inputs, _ = load_source(source)
    args, kwargs = call_of(inputs, None)
    leaves = arguments(module, args, kwargs)
    table = Table("output", "max abs error", "max rel error (of scale)")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        run(path, head, leaves, kiln, Path(folder))  # first: forward may change its inputs
        try:
            with torch.no_grad():
                results = pytree.tree_leaves(module(*args, **kwargs))
        except Exception as error:  # whatever the user's code raises
            raise CliError(f"{source} failed: {readable(error)}") from error
        expected = [torch.as_tensor(result) for result in results if result is not None]
        if len(expected) != len(head.outputs):
            raise CliError(f"{path} has {len(head.outputs)} outputs, the model {len(expected)}: export it again")
        for value, want in zip(head.outputs, expected, strict=True):
            name = head.values[value].name
            error, relative = differences(file_of(Path(folder), name), want)
            table.add_row(escape(shown(name)), f"{error:.3e}", f"{relative:.3e}")
            good = good and relative <= tolerance  # false for NaN too
    Console().print(table)
    return good


def dims_of(words: list[str]) -> dict[str, int]:
    """The sizes of `--dim name=size`."""
    dims = {}
    for word in words:
        name, _, size = word.rpartition("=")
        if not name or not size.isdecimal():
            raise CliError(f"--dim is name=size, not '{word}'")
        dims[name] = int(size)
    return dims


def judge(args: argparse.Namespace) -> bool:
    kiln = find_kiln(args.kiln)
    if onnx_file.is_onnx(args.path):
        return onnx_file.verify(args.path, dims_of(args.dim), kiln, args.tolerance)
    if not args.source:
        raise CliError("a .kiln file is compared with the model that it was made of: name its MODULE:CALLABLE")
    return verify(args.path, args.source, kiln, args.tolerance)


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasmkiln", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    source = {
        "metavar": "MODULE:CALLABLE",
        "help": "gives (model, inputs[, dynamic_shapes]); inputs as a tuple, or a dict by name",
    }
    one = commands.add_parser("export", help="write a .kiln file")
    one.add_argument("source", **source)
    one.add_argument("path", type=Path)
    one = commands.add_parser("inspect", help="print what a .kiln or .onnx file holds, and its integrity")
    one.add_argument("path", type=Path)
    one.add_argument("--kiln", help="the native command, which looks into .onnx files")
    one = commands.add_parser(
        "verify", help="compare a file, run natively and exactly, with PyTorch or, if it is .onnx, onnxruntime"
    )
    one.add_argument("path", type=Path)
    one.add_argument("source", nargs="?", **source)
    one.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE", help="of an .onnx file's open dims")
    one.add_argument("--kiln", help="the native command (default: $KILN, the one in build/native, PATH)")
    one.add_argument(
        "--tolerance", type=float, default=1e-4, help="of the output's largest magnitude (default %(default)s)"
    )
    args = parser.parse_args()
    try:
        if args.command == "export":
            export_source(args.source, args.path)
        elif args.command == "inspect":
            onnx_file.inspect(args.path, find_kiln(args.kiln)) if onnx_file.is_onnx(args.path) else inspect(args.path)
        elif not judge(args):
            raise CliError("the outputs differ by more than the tolerance")
    except (CliError, ExportError, FileError, OSError) as error:
        sys.exit(f"wasmkiln: {error}")
