"""The conditions on sizes that torch.export assumes: branches that `forward` took, and its checks."""

from __future__ import annotations

import inspect
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sympy
import torch
from sympy.printing.precedence import PRECEDENCE
from torch import Tensor, fx
from torch._guards import SLoc
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.traceback import get_current_meta
from torch.utils._sympy.printers import PythonPrinter

from wasmkiln.errors import ExportError, line_of, place_of

aten = torch.ops.aten

DATA_CHECKS = (aten._assert_scalar.default, aten._assert_async.msg, aten._assert_async.default)

TORCH = str(Path(torch.__file__).parent)
OWN = str(Path(__file__).parent)
STANDARD = sysconfig.get_paths()["stdlib"]
INSTALLED = sysconfig.get_paths()["purelib"]  # beneath it
MAX_DEPTH = 10  # of an expression that is shown
MAX_TEXT = 120  # of a condition or size

# Where tensors lie in memory, which a .kiln file does not say.
LAYOUT = "IsNonOverlappingAndDenseIndicator"


@dataclass(frozen=True)
class Guard:
    """A condition on sizes, and the line of the user's code that asked for it."""

    condition: sympy.Basic
    where: str


def is_users(file: str) -> bool:
    """Whether a line of this file may be the user's. It must be a real file, and not PyTorch's or Python's."""
    standard = file.startswith(STANDARD) and not file.startswith(INSTALLED)
    return not (standard or file.startswith((TORCH, OWN, "<")))


def current_line() -> str:
    """The innermost line of the user's code. If there is none, that of the graph node that is being decomposed."""
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if is_users(code.co_filename):
            return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"
        if code.co_filename.startswith(OWN) and code.co_filename != __file__:
            break  # who called the exporter is no part of the model
        frame = frame.f_back
    return line_of(get_current_meta().get("stack_trace") or "")


@contextmanager
def user_lines() -> Iterator[None]:
    """During tracing, makes each guard note the user's line. Otherwise it often names a line of PyTorch."""
    summarise = ShapeEnv._get_stack_summary

    def with_user_line(self: ShapeEnv, *args: Any, **kwargs: Any) -> tuple[SLoc, str]:
        place, more = summarise(self, *args, **kwargs)
        return SLoc(place.framework_loc, current_line() or place.maybe_user_loc), more

    with patch.object(ShapeEnv, "_get_stack_summary", with_user_line):
        yield


def shape_env(program: ExportedProgram) -> ShapeEnv | None:
    """The tracer's knowledge of sizes. None for a program without tensors."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        mode = getattr(value, "fake_mode", None)
        if isinstance(value, Tensor) and mode is not None:
            return mode.shape_env
    return None


def parts_of(expression: sympy.Basic) -> set[sympy.Basic]:
    """All parts of an expression, each once. As a tree an expression may be exponentially large."""
    found, rest = set(), [expression]
    while rest:
        part = rest.pop()
        if part not in found:
            found.add(part)
            rest += part.args
    return found


def guards_of(program: ExportedProgram) -> list[Guard]:
    """The conditions under which the program is valid, each once, in the order of tracing."""
    env = shape_env(program)
    found: dict[sympy.Basic, Guard] = {}
    for guard in env.guards if env else ():
        condition = env.replace(guard.expr)
        if condition != sympy.true and LAYOUT not in {part.func.__name__ for part in parts_of(condition)}:
            found.setdefault(condition, Guard(condition, guard.sloc.maybe_user_loc or ""))
    return list(found.values())


def checks_data(node: fx.Node) -> bool:
    """Whether a node is the program's own check of data. Its checks of sizes are guards."""
    return node.op == "call_function" and node.target in DATA_CHECKS


def refuse_data_checks(program: ExportedProgram) -> None:
    for node in filter(checks_data, program.graph.nodes):
        raise ExportError(
            f"the model checks its data, {place_of(node)}, which a .kiln file cannot: take the check out of forward, "
            "and check what you give to the model"
        )


class Text(PythonPrinter):
    """Prints expressions as Python, with the user's names. Deep parts are left out, because expressions nest and
    repeat."""

    def __init__(self, names: Mapping[sympy.Symbol, str]) -> None:
        super().__init__()
        self.names = names

    def _print(self, expression: Any, **kwargs: Any) -> str:
        return super()._print(expression, **kwargs) if self._print_level < MAX_DEPTH else "…"

    def _print_Symbol(self, symbol: sympy.Symbol) -> str:
        return self.names.get(symbol, symbol.name)

    def _print_Pow(self, power: sympy.Pow) -> str:  # PyTorch's own takes no fractions
        return "**".join(self.parenthesize(part, PRECEDENCE["Pow"]) for part in power.args)


def text_of(condition: sympy.Basic, names: Mapping[sympy.Symbol, str]) -> str:
    """The text of an expression, at most MAX_TEXT long."""
    text = Text(names).doprint(condition)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
