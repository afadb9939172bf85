"""python -m wasmkiln export|inspect|verify."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from wasmkiln import model_generated as fb
from wasmkiln.exporter import ExportError, export
from wasmkiln.writer import DTYPES, raw_bytes

DTYPE_NAMES = {number: str(dtype).removeprefix("torch.") for dtype, number in DTYPES.items()}


class CliError(Exception):
    """Something the user can put right; printed without a traceback."""


def read_head(path: Path) -> fb.ModelT:
    """The head of a .kiln file as objects, without the weights; only the runtime's reader verifies it."""
    with path.open("rb") as file:
        prefix = file.read(12)
        if len(prefix) < 12 or prefix[8:] != b"KILN":
            raise CliError(f"{path} is not a .kiln file")
        size = struct.unpack_from("<I", prefix)[0] + 4
        head = prefix + file.read(size - 12)
    if len(head) < size:
        raise CliError(f"{path} is truncated: its head is {size} bytes long, the file only {len(head)}")
    return fb.ModelT.InitFromObj(fb.Model.GetRootAs(head, 4))


MAX_LINES = 12  # of someone else's error


def readable(error: Exception) -> str:
    """What an error of PyTorch or of the user's code says, and where the user's code raised it."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    shown = lines[:MAX_LINES] + (["…"] if len(lines) > MAX_LINES else [])
    at = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if not any(part in frame.filename for part in ("site-packages", "wasmkiln", "<")):
            at = f"\n  at {frame.filename}:{frame.lineno} in {frame.name}"
    return f"{type(error).__name__}: " + "\n  ".join(shown) + at


def load_source(source: str) -> tuple[torch.nn.Module, Any, Any]:
    """`package.module:callable`, called without arguments, gives (model, inputs) or (model, inputs, dynamic_shapes)."""
    module, _, name = source.partition(":")
    if not name:
        raise CliError(f"'{source}' is not of the form module:callable")
    sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise CliError(f"cannot import {source}: {error}") from error
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
    try:
        export(model, inputs, path, dynamic_shapes)
    except (ExportError, OSError):
        raise
    except Exception as error:  # torch.export has dozens
        raise CliError(f"PyTorch cannot export this model: {readable(error)}") from error


def shape_text(model: fb.ModelT, value: fb.ValueT) -> str:
    dims = (model.symbols[d.symbol].name.decode() if d.symbol >= 0 else str(d.value) for d in value.dims or [])
    return escape(f"{DTYPE_NAMES[value.dtype]}[{'x'.join(dims)}]")  # a name in brackets would be markup


def inspect(path: Path) -> None:
    """Prints ports, operators with their counts, and sizes."""
    model = read_head(path)
    console = Console()
    ports = Table(
        "port", "name", "type", title=f"{model.name.decode()}: format {model.version}, {model.producer.decode()}"
    )
    for kind, ids in (("input", model.inputs), ("output", model.outputs)):
        for i in ids:
            ports.add_row(kind, model.values[i].name.decode(), shape_text(model, model.values[i]))
    console.print(ports)
    operators = Table("operator", "nodes")
    for name, count in Counter(model.opNames[node.op].decode() for node in model.nodes).most_common():
        operators.add_row(name, str(count))
    console.print(operators)
    console.print(
        f"{len(model.nodes)} nodes, {len(model.segments)} weights, {model.weightsBytes / 1e6:.2f} MB of weights"
    )


def find_kiln(given: str | None) -> str:
    """The native runtime's command: as given, else $KILN, else what `./dev build` made here, else on PATH."""
    built = Path(__file__).resolve().parents[2] / "build/native/kiln"
    found = given or os.environ.get("KILN") or (str(built) if built.exists() else shutil.which("kiln"))
    if not found or not shutil.which(found):
        raise CliError(
            "verify runs the native `kiln` command, which was not found: build it by `./dev build`, pass --kiln PATH, "
            "or put it on PATH"
        )
    return found


def sizes_of(head: fb.ModelT, tensors: list[Tensor]) -> dict[str, int]:
    """What these inputs make of the file's symbolic dims."""
    sizes = {}
    for i, tensor in zip(head.inputs, tensors, strict=True):
        for dim, size in zip(head.values[i].dims or [], tensor.shape, strict=True):
            symbol = head.symbols[dim.symbol] if dim.symbol >= 0 else None
            if symbol and (symbol.code is None or len(symbol.code) == 0):  # the others follow from these
                sizes[symbol.name.decode()] = size
    return sizes


def verify(path: Path, source: str, kiln: str, tolerance: float) -> bool:
    """Runs the file natively and the model in PyTorch on the same inputs, prints the errors; True if small."""
    head = read_head(path)
    module, inputs, _ = load_source(source)
    keywords: dict[str, Tensor] = dict(inputs) if isinstance(inputs, Mapping) else {}
    positional = () if keywords else tuple(inputs)
    names = [head.values[i].name.decode() for i in head.inputs]
    tensors = [keywords[name] for name in names] if keywords else list(positional)
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(module(*positional, **keywords))
    table = Table("output", "max abs error", "max rel error (of scale)")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        # The file is judged, not what a faster precision would round.
        command = [kiln, "run", str(path), "--precision", "exact", "--output-dir", folder]
        for i, (name, tensor) in enumerate(zip(names, tensors, strict=True)):
            file = Path(folder) / f"input{i}"
            file.write_bytes(raw_bytes(tensor))
            command += ["--input", f"{name}={file}"]
        for name, size in sizes_of(head, tensors).items():
            command += ["--dim", f"{name}={size}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CliError(f"kiln run failed: {done.stderr.strip()}")
        for i, want in zip(head.outputs, expected, strict=True):
            name = head.values[i].name.decode()
            got = (
                np.fromfile(Path(folder) / f"{name}.bin", dtype=want.numpy().dtype)
                .reshape(want.shape)
                .astype(np.float64)
            )
            error = float(np.abs(got - want.double().numpy()).max(initial=0))
            scale = float(want.double().abs().max()) if want.numel() else 0.0
            relative = error / scale if scale else error
            table.add_row(name, f"{error:.3e}", f"{relative:.3e}")
            good = good and relative <= tolerance  # false for NaN too
    Console().print(table)
    return good


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
    one = commands.add_parser("inspect", help="print what a .kiln file holds")
    one.add_argument("path", type=Path)
    one = commands.add_parser("verify", help="compare a .kiln file, run natively and exactly, with PyTorch")
    one.add_argument("path", type=Path)
    one.add_argument("source", **source)
    one.add_argument("--kiln", help="the native command (default: $KILN, the one in build/native, PATH)")
    one.add_argument(
        "--tolerance", type=float, default=1e-4, help="of the output's largest magnitude (default %(default)s)"
    )
    args = parser.parse_args()
    try:
        if args.command == "export":
            export_source(args.source, args.path)
        elif args.command == "inspect":
            inspect(args.path)
        elif not verify(args.path, args.source, find_kiln(args.kiln), args.tolerance):
            raise CliError("the outputs differ by more than the tolerance")
    except (CliError, ExportError, OSError) as error:
        sys.exit(f"wasmkiln: {error}")
