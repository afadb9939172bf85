"""ONNX's own node tests through export and the native runtime (as .onnx files: onnx_files.py).

Here no ONNX is read: each node becomes the PyTorch calls that say the same (onnx_ops.py), and what comes out of the
runtime is compared with the outputs that ONNX expects. `python -m tools.onnx_nodes` judges all of them, one by one, and
says what is passed over.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnx.backend.test.case.node as node_cases
import torch
from onnx.backend.test.case.utils import import_recursive
from torch import Tensor, nn
from wasmkiln import export

from tools import opinfo
from tools.onnx_attributes import Attributes, PassedOver
from tools.onnx_ops import FIXED, OPERATORS

TYPES = {np.dtype(name) for name in ("float32", "int8", "uint8", "int32", "int64", "bool")}


@dataclass(frozen=True)
class Case:
    name: str
    op: str
    attributes: Attributes
    inputs: tuple[np.ndarray | None, ...]  # by position, None where absent
    outputs: tuple[np.ndarray, ...]


def as_float32(x: Any) -> Any:
    """Doubles are judged as floats: what they lose is far below the tolerance."""
    return x.astype(np.float32) if getattr(x, "dtype", None) == np.float64 else x


def forget_cases() -> None:
    """onnx makes its cases while their modules are imported, which must happen anew for whoever wants them."""
    for name in [name for name in sys.modules if name.startswith(f"{node_cases.__name__}.")]:
        del sys.modules[name]


@cache
def cases() -> dict[str, list[Case]]:
    """Every node test, by operator. They are made when their modules are imported, by a function that we put in."""
    found: dict[str, list[Case]] = defaultdict(list)

    def collect(node: onnx.NodeProto, inputs: Any, outputs: Any, name: str, **_: Any) -> None:
        given = iter(inputs)
        slots = tuple(as_float32(next(given)) if edge else None for edge in node.input)
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        attributes = Attributes(values, tuple(bool(edge) for edge in node.output))
        found[node.op_type].append(
            Case(name.removeprefix("test_"), node.op_type, attributes, slots, tuple(map(as_float32, outputs)))
        )

    forget_cases()
    with mock.patch.object(node_cases, "expect", collect), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_recursive(node_cases)
    return dict(found)


class Nodes(nn.Module):
    """Cases side by side: one model, one export."""

    def __init__(self, chosen: list[Case]) -> None:
        super().__init__()
        self.cases = chosen
        self.tensors = tuple(tensor for case in chosen for tensor in live(case))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given, results = iter(tensors), []
        for case in self.cases:
            fixed = FIXED.get(case.op, ())
            slots = [x if x is None or i in fixed else next(given) for i, x in enumerate(case.inputs)]
            result = OPERATORS[case.op](case.attributes, *slots)
            results += result if isinstance(result, (tuple, list)) else [result]
        return tuple(results)


def live(case: Case) -> list[Tensor]:
    """The inputs that stay inputs in PyTorch."""
    fixed = FIXED.get(case.op, ())
    return [torch.from_numpy(np.array(x)) for i, x in enumerate(case.inputs) if x is not None and i not in fixed]


def why_not(case: Case) -> str:
    """Why a case cannot be judged, or nothing."""
    every = [x for x in (*case.inputs, *case.outputs) if x is not None]
    if not all(isinstance(x, (np.ndarray, np.generic)) and x.dtype in TYPES for x in every):
        return "types"
    try:
        with torch.no_grad():
            Nodes([case])(*live(case))
    except PassedOver as reason:
        return str(reason)
    return ""


def judge(chosen: list[Case], folder: Path, tolerances: Mapping[str, float] = MappingProxyType({})) -> dict[str, str]:
    """What is wrong with which case. One model holds all of them, so a refusal is everybody's."""
    model, path = Nodes(chosen), folder / "model.kiln"
    expected = [(case.name, np.asarray(x)) for case in chosen for x in case.outputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(model, model.tensors, path, output_names=[f"out{i}" for i in range(len(expected))])
    error = opinfo.run(path, model.tensors, folder)
    if error:
        return {"all": opinfo.reason(error)}
    found = {}
    for i, (name, wanted) in enumerate(expected):
        got = np.fromfile(folder / f"out{i}.bin", dtype=wanted.dtype).reshape(wanted.shape)
        wrong = opinfo.difference(wanted, got, tolerances.get(name, opinfo.TOLERANCE))
        if wrong:
            found[name] = wrong
    return found


def main() -> None:
    passed_over: Counter[str] = Counter()
    judged = 0
    for op, chosen in sorted(cases().items()):
        if op not in OPERATORS:
            passed_over[f"no row: {op}"] += len(chosen)
            continue
        for case in chosen:
            reason = why_not(case)
            if reason:
                passed_over[f"{op}: {reason}"] += 1
                continue
            judged += 1
            with tempfile.TemporaryDirectory() as folder:
                try:
                    wrong = judge([case], Path(folder))
                except Exception as error:  # export's refusals
                    wrong = {"export": f"{type(error).__name__} {' '.join(str(error).split())[:300]}"}
            if wrong:
                print(f"{case.name}: {wrong}", flush=True)
    print(
        f"{judged} judged; passed over:", *(f"{n}× {reason}" for reason, n in sorted(passed_over.items())), sep="\n  "
    )


if __name__ == "__main__":
    main()
