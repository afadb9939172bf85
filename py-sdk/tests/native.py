"""What the native runtime computes from a file, for tests to compare with PyTorch."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch
from torch import Tensor
from wasmkiln.cli import read_head
from wasmkiln.writer import DTYPES, raw_bytes

KILN = Path(__file__).resolve().parents[2] / "build/native/kiln"
TYPES = {number: dtype for dtype, number in DTYPES.items()}


def ports(path: Path) -> tuple[list[str], list[str]]:
    """The names of inputs and of outputs."""
    head = read_head(path)
    return [head.values[i].name.decode() for i in head.inputs], [head.values[i].name.decode() for i in head.outputs]


def run(path: Path, tensors: list[Tensor], dims: dict[str, int] | None = None) -> dict[str, Tensor]:
    """The outputs by name, flat where a dim is symbolic."""
    head = read_head(path)
    folder = path.with_suffix(".out")
    folder.mkdir(exist_ok=True)
    command = [str(KILN), "run", str(path), "--output-dir", str(folder)]
    for i, (name, tensor) in enumerate(zip(ports(path)[0], tensors, strict=True)):
        (folder / f"in{i}").write_bytes(raw_bytes(tensor))
        command += ["--input", f"{name}={folder / f'in{i}'}"]
    command += [word for name, size in (dims or {}).items() for word in ("--dim", f"{name}={size}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = {}
    for value in (head.values[i] for i in head.outputs):
        name = value.name.decode()
        raw, dtype = bytearray((folder / f"{name}.bin").read_bytes()), TYPES[value.dtype]
        data = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        shape = [-1] if any(dim.symbol >= 0 for dim in value.dims) else [dim.value for dim in value.dims]
        outputs[name] = data.reshape(shape)
    return outputs
