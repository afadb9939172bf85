"""Writes what the demos, tests and bench read of a model: the model files, and inputs with PyTorch's outputs.

DIR/<id>/io.json                      names, dtypes, shapes and files of the two folders below
DIR/<id>/inputs/*.bin outputs/*.bin   raw little-endian, C order; outputs by PyTorch eager on one thread
DIR/<id>/model.onnx, model.kiln       as asked for
DIR/<id>/…                            what the model adds: held-out digits, tokenizer.json, …
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import zoo
from zoo import operators
from zoo.common import ZooModel

OPSET = 20  # the first with Gelu as one operator
ONNX_TOLERANCE = 1e-4  # of the output's largest magnitude: float32 sums in another order, up to 50 layers deep


@cache
def source_digest(what: str = "zoo/*.py") -> str:
    """Changes whenever the zoo, or what of it a model is made of, the exporter or PyTorch does."""
    digest = hashlib.sha256(torch.__version__.encode())
    root = Path(__file__).resolve().parent.parent
    for path in sorted([*root.glob(what), *root.glob("py-sdk/wasmkiln/*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build_one(model_id: str, out: Path, formats: list[str], quiet: bool = False) -> None:
    """Builds one model's files below `out`, those that are not up to date; `quiet` of those that are."""
    directory = out / model_id
    stamp = directory / "stamp.json"
    done = json.loads(stamp.read_text()) if stamp.exists() else {}
    digest = source_digest("zoo/operators/*.py") if model_id.startswith(operators.PREFIX) else source_digest()
    missing = [name for name in ("io", *formats) if done.get(name) != digest]
    if not missing:
        if not quiet:
            print(f"{model_id}: up to date")
        return
    directory.mkdir(parents=True, exist_ok=True)
    model = zoo.build(model_id)
    for name in missing:
        message = WRITERS[name](model, directory)
        done[name] = digest
        stamp.write_text(json.dumps(done))
        print(f"{model_id}: {message}", flush=True)


def write_tensors(tensors: dict[str, Tensor], directory: Path, folder: str) -> list[dict[str, object]]:
    """Writes raw tensors; returns their rows of io.json."""
    (directory / folder).mkdir(exist_ok=True)
    rows: list[dict[str, object]] = []
    for name, tensor in tensors.items():
        array = tensor.contiguous().numpy()
        file = f"{folder}/{name}.bin"
        array.astype(array.dtype.newbyteorder("<")).tofile(directory / file)
        rows.append({"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "file": file})
    return rows


def write_io(model: ZooModel, directory: Path) -> str:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    outputs = model.run()
    model.write_extras(directory)
    torch.set_num_threads(threads)
    io = {
        "description": model.description,
        "inputs": write_tensors(model.inputs, directory, "inputs"),
        "outputs": write_tensors(outputs, directory, "outputs"),
    }
    (directory / "io.json").write_text(json.dumps(io, indent=1) + "\n")
    return ", ".join(f"{name} {list(out.shape)} std {out.float().std():.3f}" for name, out in outputs.items())


def write_onnx(model: ZooModel, directory: Path) -> str:
    """model.onnx by torch.onnx, checked with onnxruntime against PyTorch."""
    path = directory / "model.onnx"
    for name in ("torch.onnx", "onnxscript"):  # they warn of torchvision and of constants that they cannot fold
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.module,
            tuple(model.inputs.values()),
            input_names=list(model.inputs),
            output_names=list(model.output_names),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    graph = program.model.graph
    for value in (value for node in graph for value in node.outputs):
        if value.name in model.output_names and not value.is_graph_output():
            value.name += "_inner"  # MiniLM has aten.embedding and an output called so: torch.onnx names both alike
    program.save(path, external_data=False)
    absolute, relative = onnx_error(model, path)
    if not relative <= ONNX_TOLERANCE:
        raise RuntimeError(f"{path}: onnxruntime differs from PyTorch by {relative:.2e} of the output's scale")
    size = path.stat().st_size / 1e6
    return f"model.onnx {size:.2f} MB, onnxruntime against PyTorch: max abs {absolute:.2e}, {relative:.2e} of scale"


def onnx_error(model: ZooModel, path: Path) -> tuple[float, float]:
    """The largest difference between onnxruntime and PyTorch: absolute, and as a part of the output's maximum."""
    import onnxruntime  # only who exports onnx needs it

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {name: tensor.numpy() for name, tensor in model.inputs.items()}
    got = session.run(list(model.output_names), feeds)
    absolute = relative = 0.0
    for actual, expected in zip(got, model.run().values(), strict=True):
        difference = float(np.abs(actual - expected.numpy()).max())
        absolute = max(absolute, difference)
        relative = max(relative, difference / float(expected.abs().max()))
    return absolute, relative


def write_kiln(model: ZooModel, directory: Path) -> str:
    """model.kiln by wasmkiln.export."""
    import wasmkiln  # installed from py-sdk

    path = directory / "model.kiln"
    names = {"input_names": list(model.inputs), "output_names": list(model.output_names)}
    wasmkiln.export(model.module, tuple(model.inputs.values()), path, **names)
    return f"model.kiln {path.stat().st_size / 1e6:.2f} MB"


WRITERS = {"io": write_io, "onnx": write_onnx, "kiln": write_kiln}
