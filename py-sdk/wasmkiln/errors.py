"""Errors of an export, in sentences: what is wrong, at which line of the model's code, and what to do."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

import torch
from torch import fx

TORCH = str(Path(torch.__file__).parent)
MAX_LINES = 12  # of someone else's error
NOT_THE_USERS = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), "site-packages", "<")
ADVICE = {  # on errors of torch.export that many meet
    "GuardOnDataDependentSymNode": "A branch or a size depends on what a tensor holds: choose by torch.where.",
    "ConstraintViolationError": "An example of size 1 fixes a dim, and so does code that works for one size only.",
}


class ExportError(RuntimeError):
    """A .kiln file cannot express the model. The message says what to do."""


class UnsupportedOperatorError(ExportError):
    """Lists every node that the runtime has no operator for, with its shapes and its line in the model's code."""


class FileError(ValueError):
    """What should be a .kiln file is none, or is damaged."""


class UncheckedWarning(UserWarning):
    """A file was written, but no compiler checked it, because this installation has none."""


def readable(error: Exception) -> str:
    """The text of an error of PyTorch or of the user's code, and the line of the user's code that raised it."""
    text = str(error).partition("The error above occurred when calling torch.export")[0]
    lines = [line for line in text.splitlines() if line.strip()]
    shown = lines[:MAX_LINES] + (["…"] if len(lines) > MAX_LINES else [])
    advice = f"\n  {ADVICE[type(error).__name__]}" if type(error).__name__ in ADVICE else ""
    return f"{type(error).__name__}: " + "\n  ".join(shown) + raised_at(error) + advice


def raised_at(error: BaseException | None) -> str:
    """Where the user's code raised it, or the error that caused it."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if not any(part in frame.filename for part in NOT_THE_USERS)]
        if theirs and theirs[-1].name != "<module>":
            return f"\n  at {theirs[-1].filename}:{theirs[-1].lineno} in {theirs[-1].name}"
        error = error.__cause__ or error.__context__
    return ""


def user_line(node: fx.Node) -> str:
    """Where the user's code made this node: `model.py:31 in forward`."""
    return line_of(node.meta.get("stack_trace") or "")


def line_of(stack_trace: str) -> str:
    """The innermost line of a trace that is not PyTorch's, or PyTorch's if there is no other."""
    lines = (line.strip() for line in stack_trace.splitlines())
    trace = [line for line in lines if line.startswith("File ") and not line.startswith('File "<')]
    if not trace:
        return ""
    theirs = [line for line in trace if TORCH not in line] or trace
    file, line, *rest = theirs[-1].removeprefix("File ").split(", ")
    return f"{Path(file.strip(chr(34))).name}:{line.removeprefix('line ')} {' '.join(rest)}".strip()


def place_of(node: fx.Node) -> str:
    """`at model.py:31 in forward`, for the end of a sentence."""
    return f"at {user_line(node) or 'an unknown line'}"
