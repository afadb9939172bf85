"""The operator inventory: what torch.export leaves of each model, by operator and by kinds of operands."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch.export import ExportedProgram
from wasmkiln import decompositions

from zoo.common import ZooModel


def export(model: ZooModel) -> ExportedProgram:
    """The model as Core ATen, plus what the exporter keeps whole."""
    with torch.no_grad():
        program = torch.export.export(model.module, tuple(model.inputs.values()), strict=False)
        return program.run_decompositions(decompositions())


def describe(value: Any) -> str:
    """An operand: `f32[1,64]` for a tensor, else the attribute itself."""
    if isinstance(value, torch.fx.Node):
        return describe(value.meta["val"])
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind}[{','.join(map(str, value.shape))}]"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    return str(value)


def inventory(program: ExportedProgram) -> str:
    """A Markdown list: each operator with its count, and below it each distinct call with its count."""
    calls: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        operands = [describe(arg) for arg in node.args]
        operands += [f"{name}={describe(arg)}" for name, arg in node.kwargs.items()]
        calls[str(node.target)][f"({', '.join(operands)}) → {describe(node.meta.get('val'))}"] += 1
    lines = []
    for op in sorted(calls):
        lines.append(f"- **{op}** ×{sum(calls[op].values())}")
        lines += [f"  - ×{count} `{call}`" for call, count in calls[op].items()]
    return "\n".join(lines)
