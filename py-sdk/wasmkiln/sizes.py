"""Sizes that depend on dynamic dims: from sympy's expressions to the file's postfix code."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import fx

from wasmkiln.ports import Argument, entry_at

# format/model.fbs, Symbol.code
NUMBER, SYMBOL, ADD, SUBTRACT, MULTIPLY, DIVIDE, MODULO, LESSER, GREATER = range(9)
EQUAL, LESS, CHOOSE, POWER, REAL, QUOTIENT, FLOOR, CEILING, TRUNCATE, ROUND, ROOT, AND, OR, XOR = range(9, 23)

# By the name of sympy's or PyTorch's function; those of several arguments go from left to right.
OPERATIONS = {
    "Add": ADD,
    "Mul": MULTIPLY,
    "FloorDiv": DIVIDE,
    "CleanDiv": DIVIDE,
    "Mod": MODULO,
    "PythonMod": MODULO,
    "Min": LESSER,
    "Max": GREATER,
    "And": LESSER,
    "Or": GREATER,
    "Equality": EQUAL,
    "StrictLessThan": LESS,
    "IntTrueDiv": QUOTIENT,
    "FloatTrueDiv": QUOTIENT,
    "PowByNatural": POWER,
    "BitwiseFn_bitwise_and": AND,
    "BitwiseFn_bitwise_or": OR,
    "BitwiseFn_bitwise_xor": XOR,
    "FloorToInt": FLOOR,
    "floor": FLOOR,
    "CeilToInt": CEILING,
    "ceiling": CEILING,
    "TruncToInt": TRUNCATE,
    "RoundToInt": ROUND,
    "OpaqueUnaryFn_sqrt": ROOT,
}
Code = list[int]


class UnknownSizeError(ValueError):
    """A size that does not follow from the inputs' dims, such as one that depends on data."""


def real(value: float) -> Code:
    return [REAL, *struct.unpack("<q", struct.pack("<d", value))]


def whole(value: int | sympy.Integer) -> Code:
    if abs(int(value)) >= 1 << 63:
        raise UnknownSizeError(f"{value} has no form in a .kiln file")
    return [NUMBER, int(value)]


def negated(condition: Code) -> Code:
    return [*condition, NUMBER, 0, EQUAL, 0]


# What else is made of these, from the codes of the arguments.
REWRITES: dict[str, Callable[..., Code]] = {
    "Not": negated,
    "Unequality": lambda a, b: negated([*a, *b, EQUAL, 0]),
    "StrictGreaterThan": lambda a, b: [*b, *a, LESS, 0],
    "LessThan": lambda a, b: negated([*b, *a, LESS, 0]),
    "GreaterThan": lambda a, b: negated([*a, *b, LESS, 0]),
    "ToFloat": lambda a: [*a, *real(1.0), MULTIPLY, 0],
    "TruncToFloat": lambda a: [*a, TRUNCATE, 0, *real(1.0), MULTIPLY, 0],
    "Identity": lambda a: a,
    "Abs": lambda a: [*a, NUMBER, 0, *a, SUBTRACT, 0, GREATER, 0],
    "LShift": lambda a, b: [*a, NUMBER, 2, *b, POWER, 0, MULTIPLY, 0],
    "RShift": lambda a, b: [*a, NUMBER, 2, *b, POWER, 0, DIVIDE, 0],
    "ModularIndexing": lambda a, b, c: [*a, *b, DIVIDE, 0, *c, MODULO, 0],
    "Where": lambda condition, a, b: [*condition, *a, *b, CHOOSE, 0],
}


def postfix(expression: sympy.Basic, symbols: Mapping[sympy.Basic, int]) -> Code:
    """The code of an expression. `symbols` has the index of each free symbol, and of expressions that have a symbol
    already."""
    if expression in symbols:
        return [SYMBOL, symbols[expression]]
    if expression.is_Symbol:
        raise UnknownSizeError(f"{expression} is no dim of an input")
    if expression in (sympy.true, sympy.false):
        return [NUMBER, int(bool(expression))]
    if expression.is_Integer:
        return whole(expression)
    if expression.is_Rational:
        return [*whole(expression.p), *whole(expression.q), QUOTIENT, 0]
    if expression.is_Float:
        return real(float(expression))
    if isinstance(expression, sympy.Piecewise):
        return piecewise(expression, symbols)
    name = expression.func.__name__
    if name in ("Pow", "FloatPow"):
        return power(expression, symbols)
    parts = [postfix(argument, symbols) for argument in expression.args]
    if name in REWRITES:
        return REWRITES[name](*parts)
    operation = OPERATIONS.get(name)
    if operation is None:
        raise UnknownSizeError(f"{expression} has no form in a .kiln file")
    if len(parts) == 1:
        return [*parts[0], operation, 0]
    code = parts[0]
    for part in parts[1:]:
        code = [*code, *part, operation, 0]
    return code


def piecewise(expression: sympy.Piecewise, symbols: Mapping[sympy.Basic, int]) -> Code:
    *cases, (last, always) = expression.args
    if always != sympy.true:
        raise UnknownSizeError(f"{expression} is not a size in every case")
    code = postfix(last, symbols)
    for value, condition in reversed(cases):
        code = [*postfix(condition, symbols), *postfix(value, symbols), *code, CHOOSE, 0]
    return code


def power(expression: sympy.Expr, symbols: Mapping[sympy.Basic, int]) -> Code:
    base, exponent = expression.args
    code = postfix(base, symbols)
    if exponent == 0.5:
        return [*code, ROOT, 0]
    if not exponent.is_Integer:
        raise UnknownSizeError(f"{expression} has no form in a .kiln file")
    raised = code if abs(exponent) == 1 else [*code, NUMBER, abs(int(exponent)), POWER, 0]
    return raised if exponent > 0 else [NUMBER, 1, *raised, QUOTIENT, 0]


def evaluate(code: Sequence[int], sizes: Mapping[int, int]) -> int | float:
    """The result of a code for the symbols' sizes, as in ir/size_code.cpp. ArithmeticError if there is none."""
    stack: list[Any] = []
    for operation, argument in zip(code[::2], code[1::2], strict=True):
        if operation == NUMBER:
            stack.append(int(argument))
        elif operation == SYMBOL:
            stack.append(sizes[argument])
        elif operation == REAL:
            stack.append(struct.unpack("<d", struct.pack("<q", int(argument)))[0])
        else:
            function, count = FUNCTIONS[operation]
            stack[-count:] = [function(*stack[-count:])]
    (result,) = stack
    return result


def solved(codes: Sequence[Sequence[int]], dims: Sequence[tuple[int, int]]) -> dict[int, int]:
    """The sizes of the free symbols (those without a code) for which the symbols of `dims` have these sizes. A
    symbol's own size counts first, else that of a dim that depends on it linearly, like 2*n. Nothing is checked
    here: a load refuses sizes that do not fit."""

    def named_in(symbol: int) -> set[int]:
        return {int(i) for op, i in zip(codes[symbol][::2], codes[symbol][1::2], strict=True) if op == SYMBOL}

    def roots_of(symbol: int) -> set[int]:
        return set().union(*map(roots_of, named_in(symbol))) if len(codes[symbol]) else {symbol}

    def size_of(symbol: int, at: int) -> int | float:
        return evaluate(codes[symbol], {i: size_of(i, at) for i in named_in(symbol)}) if len(codes[symbol]) else at

    found = {symbol: size for symbol, size in dims if not len(codes[symbol])}
    for symbol, size in dims:
        roots = roots_of(symbol)
        if len(roots) == 1 and roots.isdisjoint(found):
            first, second = size_of(symbol, 0), size_of(symbol, 1)
            if second != first:
                found[roots.pop()] = int((size - first) // (second - first))
    return found


FUNCTIONS: dict[int, tuple[Callable[..., Any], int]] = {
    ADD: (lambda a, b: a + b, 2),
    SUBTRACT: (lambda a, b: a - b, 2),
    MULTIPLY: (lambda a, b: a * b, 2),
    DIVIDE: (lambda a, b: a // b, 2),
    MODULO: (lambda a, b: a % b, 2),
    LESSER: (min, 2),
    GREATER: (max, 2),
    EQUAL: (lambda a, b: int(a == b), 2),
    LESS: (lambda a, b: int(a < b), 2),
    CHOOSE: (lambda a, b, c: b if a else c, 3),
    POWER: (lambda a, b: a**b, 2),
    QUOTIENT: (lambda a, b: a / b, 2),
    FLOOR: (math.floor, 1),
    CEILING: (math.ceil, 1),
    TRUNCATE: (math.trunc, 1),
    ROUND: (round, 1),
    ROOT: (math.sqrt, 1),
    AND: (lambda a, b: a & b, 2),
    OR: (lambda a, b: a | b, 2),
    XOR: (lambda a, b: a ^ b, 2),
}


def expression_of(value: Any) -> sympy.Expr | None:
    """The expression of a symbolic integer or of its graph node. None for anything else."""
    if isinstance(value, fx.Node):
        value = value.meta.get("val")
    if isinstance(value, torch.SymInt):
        return sympy.sympify(value.node.expr)
    return None


def dim_names(inputs: Iterable[tuple[fx.Node, Argument]]) -> dict[sympy.Symbol, str]:
    """The user's name for each symbol: the name of its torch.export.Dim, else `<input>_<dim>`. A number has its own
    name.

    For a dim that is given as `2 * Dim("half")` the symbol is `half`, even if no dim is `half` itself."""
    names: dict[sympy.Symbol, str] = {}
    roots: dict[sympy.Symbol, str] = {}
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
            if expression is not None and expression.is_Symbol:
                names.setdefault(expression, getattr(dim, "__name__", default))
            elif expression is not None:
                root = getattr(getattr(dim, "root", None), "__name__", None)
                roots.update((symbol, root or str(symbol)) for symbol in expression.free_symbols)
    return {**roots, **names}
