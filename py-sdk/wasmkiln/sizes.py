"""Sizes that depend on dynamic dims: from sympy's expressions to the file's postfix code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy
import torch
from torch import fx
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Max, Min, Mod, PythonMod

from wasmkiln.ports import Argument, entry_at

# format/model.fbs, Symbol.code
NUMBER, SYMBOL, ADD, SUBTRACT, MULTIPLY, DIVIDE, MODULO, LESSER, GREATER = range(9)

OPERATIONS = {
    sympy.Add: ADD,
    sympy.Mul: MULTIPLY,
    FloorDiv: DIVIDE,
    CleanDiv: DIVIDE,
    Mod: MODULO,
    PythonMod: MODULO,
    Min: LESSER,
    Max: GREATER,
}


class UnknownSizeError(ValueError):
    """A size that no arithmetic on the inputs' dims gives, as one that depends on data."""


def postfix(expression: sympy.Expr, symbols: Mapping[sympy.Symbol, int]) -> list[int]:
    """The code of an expression; `symbols`: index of each free one."""
    if expression.is_Integer:
        return [NUMBER, int(expression)]
    if expression.is_Symbol:
        if expression not in symbols:
            raise UnknownSizeError(f"{expression} is no dim of an input")
        return [SYMBOL, symbols[expression]]
    if isinstance(expression, sympy.Pow) and expression.exp.is_Integer and expression.exp > 0:
        once = postfix(expression.base, symbols)
        return once + (once + [MULTIPLY, 0]) * (int(expression.exp) - 1)
    operation = OPERATIONS.get(expression.func)
    if operation is None:
        raise UnknownSizeError(f"{expression} has no form in a .kiln file")
    code = postfix(expression.args[0], symbols)
    for argument in expression.args[1:]:
        code += [*postfix(argument, symbols), operation, 0]
    return code


def expression_of(value: Any) -> sympy.Expr | None:
    """Of a symbolic integer, or of the graph's node of one; None for anything else."""
    if isinstance(value, fx.Node):
        value = value.meta.get("val")
    if isinstance(value, torch.SymInt):
        return sympy.sympify(value.node.expr)
    return None


def dim_names(inputs: Iterable[tuple[fx.Node, Argument]]) -> dict[sympy.Symbol, str]:
    """What the user calls each symbol: the name of its torch.export.Dim, else `<input>_<dim>`; of a number, its own."""
    names: dict[sympy.Symbol, str] = {}
    for node, argument in inputs:
        value = node.meta.get("val")
        sizes = (
            [(value, argument.dims, argument.name)]
            if isinstance(value, torch.SymInt)
            else [
                (size, entry_at(argument.dims, (i,)), f"{argument.name}_{i}")
                for i, size in enumerate(getattr(value, "shape", ()))
            ]
        )
        for size, dim, default in sizes:
            expression = expression_of(size)
            if expression is not None and expression.is_Symbol and expression not in names:
                names[expression] = getattr(dim, "__name__", default)
    return names
