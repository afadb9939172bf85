"""Sympy's and PyTorch's expressions of sizes as postfix code: the same numbers."""

from __future__ import annotations

import pytest
import sympy
from torch.utils._sympy import functions as f
from wasmkiln import model_generated as fb
from wasmkiln.guards import Guard
from wasmkiln.sizes import UnknownSizeError, evaluate, postfix, solved
from wasmkiln.writer import LONG_CODE, KilnWriter

n, m = sympy.symbols("n m", integer=True, positive=True)
HALF = sympy.Rational(1, 2)

# An expression, and what Python says of it.
CASES = [
    (f.FloorDiv(n - 9, 2), lambda n, m: (n - 9) // 2),
    (f.FloorDiv(-n - 1, -2), lambda n, m: (-n - 1) // -2),
    (f.PythonMod(3 - n, 4), lambda n, m: (3 - n) % 4),
    (f.PythonMod(n, -m), lambda n, m: n % -m),
    (f.Mod(n * m, 3), lambda n, m: n * m % 3),
    (f.CleanDiv(6 * n, 3), lambda n, m: 2 * n),
    (f.Max(n, m, 4) - f.Min(n, m), lambda n, m: max(n, m, 4) - min(n, m)),
    (f.PowByNatural(2, n), lambda n, m: 2**n),
    (n**3 - m**2, lambda n, m: n**3 - m**2),
    (f.CeilToInt(f.IntTrueDiv(n, m)), lambda n, m: -(-n // m)),
    (f.FloorToInt(f.IntTrueDiv(n, m)), lambda n, m: n // m),
    (f.TruncToInt(sympy.Float(0.3) * f.ToFloat(n)), lambda n, m: int(n * 0.3)),
    (f.RoundToInt(sympy.Float(0.5) * f.ToFloat(n)), lambda n, m: round(n * 0.5)),
    (f.TruncToInt(f.OpaqueUnaryFn_sqrt(n)), lambda n, m: int(n**0.5)),
    (sympy.ceiling(n * HALF), lambda n, m: -(-n // 2)),
    (sympy.floor(n / m), lambda n, m: n // m),
    (
        sympy.Piecewise((n, n < m), (m + 1, sympy.Eq(n, 5)), (0, True)),
        lambda n, m: n if n < m else m + 1 if n == 5 else 0,
    ),
    (f.BitwiseFn_bitwise_and(n, m), lambda n, m: n & m),
    (f.BitwiseFn_bitwise_or(n, m), lambda n, m: n | m),
    (f.RShift(n, 1), lambda n, m: n >> 1),
    (f.LShift(n, 2), lambda n, m: n << 2),
    (sympy.Abs(n - m), lambda n, m: abs(n - m)),
    (sympy.Eq(n, m), lambda n, m: n == m),
    (sympy.Ne(n, m), lambda n, m: n != m),
    (n < m, lambda n, m: n < m),
    (n <= m, lambda n, m: n <= m),
    (n > m, lambda n, m: n > m),
    (n >= m, lambda n, m: n >= m),
    (sympy.And(n < m, m > 3), lambda n, m: n < m and m > 3),
    (sympy.Or(n < m, n > 7), lambda n, m: n < m or n > 7),
    (sympy.Not(sympy.And(n < m, sympy.Ne(m, 5))), lambda n, m: not (n < m and m != 5)),
    (sympy.true, lambda n, m: True),
]


@pytest.mark.parametrize(("expression", "wanted"), CASES, ids=lambda case: str(case)[:40])
def test_codes_say_what_python_says(expression: sympy.Basic, wanted: object) -> None:
    code = postfix(expression, {n: 0, m: 1})
    for a in range(1, 12):
        for b in range(1, 12):
            assert evaluate(code, {0: a, 1: b}) == int(wanted(a, b)), (a, b)


@pytest.mark.parametrize(
    "expression", [sympy.sin(n), n ** sympy.Rational(1, 3), sympy.Symbol("u0"), sympy.Integer(2**63)]
)
def test_what_has_no_form_is_refused(expression: sympy.Basic) -> None:
    with pytest.raises(UnknownSizeError):
        postfix(expression, {n: 0, m: 1})


def padded(size: sympy.Expr) -> sympy.Expr:
    return size + f.Mod(4 - f.Mod(size, 4), 4)


def test_long_parts_are_shared() -> None:
    """Sizes that nest, each naming the one before several times, would be exponentially long."""
    writer = KilnWriter("nested", "test")
    writer.free_symbol(n, "n", None)
    size, wanted = n, 37
    for _ in range(5):
        size = padded(f.FloorDiv(padded(size), 2)) * 3
        half = (wanted + -wanted % 4) // 2
        wanted = (half + -half % 4) * 3
    index = writer.symbol(size)
    writer.guard(Guard(sympy.Gt(size, 7), "somewhere"))
    codes = [list(symbol.code) for symbol in writer.model.symbols]
    assert max(map(len, codes)) < 8 * LONG_CODE
    assert sum(map(len, codes)) < 5 * 16 * LONG_CODE
    sizes = {0: 37}
    for i, code in enumerate(codes[1:], 1):
        sizes[i] = evaluate(code, sizes)
    assert sizes[index] == wanted
    assert isinstance(writer.model.guards[0], fb.GuardT)
    assert evaluate(writer.model.guards[0].code, sizes) == 1


def test_sizes_are_solved_for_names() -> None:
    double, beside = postfix(2 * n, {n: 0}), postfix(n + m, {n: 0, m: 1})
    assert solved([[], double], [(1, 8)]) == {0: 4}
    assert solved([[], double], [(1, 8), (0, 5)]) == {0: 5}  # a dim that is the name itself
    assert solved([[], double, [1, 1, 0, 1, 2, 0]], [(2, 9)]) == {0: 4}  # by way of another: 2*n + 1
    assert solved([[], [], beside], [(2, 8)]) == {}  # two names, one size
