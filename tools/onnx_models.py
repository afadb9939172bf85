"""The zoo's models as .onnx files, by both exporters of torch.onnx, through the native runtime.

`python -m tools.onnx_models [MODEL …]` exports them to build/onnx, compares outputs with PyTorch's and with
onnxruntime's, and times each against the same model's .kiln file, in turn (`--rounds 0`: does not).
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch

import zoo
from tools import opinfo
from zoo.artifacts import onnx_error, write_onnx

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "build/deps/models"
TOLERANCE = 1e-4  # of an output's largest element


def export(model: zoo.ZooModel, name: str, exporter: str) -> Path:
    folder = ROOT / "build/onnx" / f"{name}-{exporter}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    if path.exists():
        return path
    if exporter == "dynamo":
        write_onnx(model, folder)
        return path
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": list(model.inputs), "output_names": list(model.output_names)}
        torch.onnx.export(model.module, tuple(model.inputs.values()), path, opset_version=14, dynamo=False, **names)
    return path


def difference(path: Path, model: zoo.ZooModel) -> float:
    """The largest, as a part of the output's largest element."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        command = [str(opinfo.KILN), "run", str(path), "--output-dir", folder]
        for name, tensor in model.inputs.items():
            file = Path(folder) / f"{name}.in"
            file.write_bytes(tensor.contiguous().numpy().tobytes())
            command += ["--input", f"{name}={file}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        for name, expected in model.run().items():
            want = expected.numpy()
            got = np.fromfile(Path(folder) / f"{name}.bin", want.dtype).reshape(want.shape)
            worst = max(worst, float(np.abs(got - want).max()) / float(np.abs(want).max()))
    return worst


def median_ms(path: Path, rounds: int) -> float:
    command = [str(opinfo.KILN), "bench", str(path), "--threads", "1", "--rounds", str(rounds), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return statistics.median(json.loads(done.stdout)["samples_ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "models", nargs="*", default=["resnet50", "mobilenetv2", "minilm", "yolov8n", "whisper-encoder"]
    )
    parser.add_argument("--exporters", nargs="*", default=["dynamo", "torchscript"])
    parser.add_argument("--rounds", type=int, default=10, help="turns of each file")
    arguments = parser.parse_args()
    for name in arguments.models:
        model = zoo.build(name)
        for exporter in arguments.exporters:
            try:
                path = export(model, name, exporter)
                nodes = len(onnx.load(path).graph.node)
                error, peer = difference(path, model), onnx_error(model, path)[1]
            except Exception as failed:  # noqa: BLE001  a line of the table, too
                print(f"{name} {exporter}: {str(failed)[:1500]}", flush=True)
                continue
            line = f"{name} {exporter}: {nodes} nodes, differs from PyTorch by {error:.1e} (onnxruntime by {peer:.1e})"
            if not error <= TOLERANCE:
                line += ", WRONG"
            kiln = MODELS / name / "model.kiln"
            if arguments.rounds and kiln.exists():
                pairs = [(median_ms(path, 10), median_ms(kiln, 10)) for _ in range(arguments.rounds)]
                ratio = statistics.median(ours / theirs for ours, theirs in pairs)
                line += f", {ratio:.3f} of the .kiln file's time ({statistics.median(p[1] for p in pairs):.1f} ms)"
            print(line, flush=True)


if __name__ == "__main__":
    main()
