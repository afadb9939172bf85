"""Times a native peer: `native.py ort-native|torch MODEL THREADS ROUNDS` prints the ms of each round as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import zoo

MODELS = Path(__file__).resolve().parent.parent / "build/deps/models"


def torch_runner(model_id: str, threads: int) -> Callable[[], object]:
    torch.set_num_threads(threads)
    model = zoo.build(model_id)
    inputs = tuple(model.inputs.values())

    def run() -> object:
        with torch.inference_mode():
            return model.module(*inputs)

    return run


def ort_runner(model_id: str, threads: int) -> Callable[[], object]:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    directory = MODELS / model_id
    session = onnxruntime.InferenceSession(directory / "model.onnx", options, providers=["CPUExecutionProvider"])
    ports = json.loads((directory / "io.json").read_text())["inputs"]
    feeds = {p["name"]: np.fromfile(directory / p["file"], p["dtype"]).reshape(p["shape"]) for p in ports}
    return lambda: session.run(None, feeds)


def main() -> None:
    engine, model_id, threads, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    run = {"torch": torch_runner, "ort-native": ort_runner}[engine](model_id, threads)
    for _ in range(5):
        run()
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        samples.append((time.perf_counter() - start) * 1e3)
    print(json.dumps(samples))


if __name__ == "__main__":
    main()
