"""Times an engine outside of browsers: `native.py wasmkiln-native|ort-native|torch MODEL THREADS ROUNDS`.

Prints one JSON object: `samples_ms` of every round, and where the engine loads the model from a file also
`first_output_ms` (from opening the file, libraries loaded, to the first answer), `peak_memory_bytes` (of the process),
`max_abs_error`, and `max_error_ratio`, which is that as a share of an output's largest element.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "build/deps/models"
WARM_UP = 5


def ports(model_id: str, kind: str) -> dict[str, dict[str, Any]]:
    """The model's example inputs or PyTorch's outputs, by name."""
    described = json.loads((MODELS / model_id / "io.json").read_text())[kind]
    return {port["name"]: port | {"path": MODELS / model_id / port["file"]} for port in described}


def array(port: Mapping[str, Any], path: Path) -> np.ndarray:
    return np.fromfile(path, port["dtype"]).reshape(port["shape"])


def errors(model_id: str, got: Mapping[str, np.ndarray]) -> dict[str, float]:
    wanted = {name: array(port, port["path"]) for name, port in ports(model_id, "outputs").items()}
    worst = {name: float(np.abs(got[name].astype(np.float64) - wanted[name]).max(initial=0)) for name in wanted}
    shares = [worst[name] and worst[name] / float(np.abs(wanted[name]).max()) for name in wanted]
    return {"max_abs_error": max(worst.values()), "max_error_ratio": max(shares)}


def sample(run: Callable[[], object], rounds: int) -> list[float]:
    for _ in range(WARM_UP):
        run()
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        samples.append((time.perf_counter() - start) * 1e3)
    return samples


def measure_torch(model_id: str, threads: int, rounds: int) -> dict[str, Any]:
    import torch

    import zoo

    torch.set_num_threads(threads)
    model = zoo.build(model_id)
    inputs = tuple(model.inputs.values())

    def run() -> object:
        with torch.inference_mode():
            return model.module(*inputs)

    return {"samples_ms": sample(run, rounds)}


def measure_ort(model_id: str, threads: int, rounds: int) -> dict[str, Any]:
    import onnxruntime

    feeds = {name: array(port, port["path"]) for name, port in ports(model_id, "inputs").items()}
    start = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        MODELS / model_id / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    outputs = session.run(None, feeds)
    first_ms = (time.perf_counter() - start) * 1e3
    names = [output.name for output in session.get_outputs()]
    samples = sample(lambda: session.run(None, feeds), rounds)
    return {
        "samples_ms": samples,
        "first_output_ms": first_ms,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    } | errors(model_id, dict(zip(names, outputs, strict=True)))


def measure_wasmkiln(model_id: str, threads: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [ROOT / "build/native/kiln", "bench", MODELS / model_id / "model.kiln", "--json"]
        command += ["--no-device-wisdom", "--output-dir", folder]
        command += ["--threads", str(threads), "--rounds", str(rounds), "--warm-up", str(WARM_UP)]
        for name, port in ports(model_id, "inputs").items():
            command += ["--input", f"{name}={port['path']}"]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        got = {n: array(port, Path(folder) / f"{n}.bin") for n, port in ports(model_id, "outputs").items()}
    kept = ("samples_ms", "first_output_ms", "peak_memory_bytes")
    return {key: told[key] for key in kept} | errors(model_id, got)


MEASURES = {"wasmkiln-native": measure_wasmkiln, "ort-native": measure_ort, "torch": measure_torch}


def main() -> None:
    engine, model_id, threads, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(MEASURES[engine](model_id, threads, rounds)))


if __name__ == "__main__":
    main()
