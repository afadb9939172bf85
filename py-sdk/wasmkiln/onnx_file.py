"""What the command line does with .onnx files: shows them, and compares them with onnxruntime."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wasmkiln.errors import FileError

KINDS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def is_onnx(path: Path) -> bool:
    return path.suffix == ".onnx"


def inspect(path: Path, kiln: str) -> None:
    """Prints what the native command finds in the file."""
    done = subprocess.run([kiln, "inspect", str(path)], capture_output=True, text=True, check=False)
    Console().print(done.stdout.rstrip(), markup=False, soft_wrap=True)
    if done.returncode:
        raise FileError(done.stderr.strip())


def drawn(name: str, kind: str, shape: list[int], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Numbers for an input: normal floats, whole numbers below 10, masks of ones."""
    if kind not in KINDS:
        raise FileError(f"the input '{name}' is a {kind}, which is not supported")
    dtype = KINDS[kind]
    if np.issubdtype(dtype, np.floating):
        return rng.standard_normal(shape).astype(dtype)
    if dtype is np.bool_ or "mask" in name.lower():
        return np.ones(shape, dtype)
    return rng.integers(0, 10, shape).astype(dtype)


def sized(ports: list[Any], dims: dict[str, int]) -> tuple[dict[str, list[int]], list[str]]:
    """Each input's shape, and the words of `kiln run` that give its open dims their sizes."""
    shapes: dict[str, list[int]] = {}
    given: dict[str, int] = {}
    missing: dict[str, None] = {}
    for port in ports:
        shapes[port.name] = []
        for axis, dim in enumerate(port.shape):
            if isinstance(dim, int):
                shapes[port.name].append(dim)
                continue
            name = dim if dim and not dim.startswith(("unk__", "?")) else f"{port.name}.{axis}"
            if name not in dims:
                missing[name] = None
            given[name] = dims.get(name, 1)
            shapes[port.name].append(given[name])
    if missing:
        raise FileError("give sizes: " + " ".join(f"--dim {name}=…" for name in missing))
    if strangers := set(dims) - set(given):
        raise FileError(f"the file has no dim {', '.join(sorted(strangers))}; it has {', '.join(given) or 'none'}")
    return shapes, [word for name, size in given.items() for word in ("--dim", f"{name}={size}")]


def verify(path: Path, dims: dict[str, int], kiln: str, tolerance: float) -> bool:
    """Runs the file natively and in onnxruntime on the same made-up inputs, and prints the errors. True if they are
    small."""
    from wasmkiln.cli import differences, file_of, shown

    try:
        import onnxruntime
    except ImportError:
        raise FileError("onnxruntime is what .onnx files are compared with: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        peer = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many kinds of its own
        raise FileError(f"onnxruntime does not take {path}: {error}") from error
    shapes, words = sized(peer.get_inputs(), dims)
    rng = np.random.default_rng(0)
    inputs = {port.name: drawn(port.name, port.type, shapes[port.name], rng) for port in peer.get_inputs()}
    table = Table("output", "max abs error", "max rel error (of scale)")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        command = [kiln, "run", str(path), "--precision", "exact", "--output-dir", folder, *words]
        for i, (name, array) in enumerate(inputs.items()):
            array.tofile(Path(folder) / f"input{i}")
            command += ["--input", f"{name}={folder}/input{i}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FileError(f"kiln run failed: {done.stderr.strip()}")
        for port, want in zip(peer.get_outputs(), peer.run(None, inputs), strict=True):
            error, relative = differences(file_of(Path(folder), port.name.encode()), torch.as_tensor(want))
            table.add_row(escape(shown(port.name.encode())), f"{error:.3e}", f"{relative:.3e}")
            good = good and relative <= tolerance  # false for NaN too
    Console().print(table)
    return good
