"""PyTorch's own samples of every operator (OpInfo) through export and the native runtime, judged against eager.

`python tools/opinfo.py --write` runs the whole of them and writes docs/operators.md; pytest runs a sample of it.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wasmkiln
from torch import Tensor, nn
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree
from wasmkiln import ExportError, UnsupportedOperatorError, export

ROOT = Path(__file__).resolve().parent.parent
KILN = ROOT / "build/native/kiln"
TOLERANCE = 1e-4  # of the result's scale, float32: sums in another order, our own exp, erf and tanh
CRASHED = "it crashed"

# Samples that are no use here: what they compute is random, in place of memory, or of a kind that no model file has.
PASSED_OVER = re.compile(
    r"rand|bernoulli|multinomial|normal|dropout|empty|resize|set_|uniform|cauchy|exponential|geometric"
)


@dataclass(frozen=True)
class Outcome:
    """agrees, unsupported (operators), refused (a reason), differs (by how much), or fails: a bug in any case."""

    kind: str
    detail: str = ""


class Call(nn.Module):
    """An operator with everything but its tensors fixed."""

    def __init__(self, op: Any, sample: Any) -> None:
        super().__init__()
        leaves, self.spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
        self.fixed = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.slots = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self.tensors = tuple(leaves[i].detach().clone() for i in self.slots)
        self.op = op

    def forward(self, *tensors: Tensor) -> Any:
        leaves = list(self.fixed)
        for slot, tensor in zip(self.slots, tensors, strict=True):
            leaves[slot] = tensor
        value, args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        results = pytree.tree_leaves(self.op(value, *args, **kwargs))
        return tuple(result for result in results if isinstance(result, Tensor))


def operators(dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Those that take `dtype`, by name; variants of one operator are told apart."""
    found = {}
    for op in op_db:
        name = op.name + (f" ({op.variant_test_name})" if op.variant_test_name else "")
        if not PASSED_OVER.search(op.name) and op.supports_dtype(dtype, "cpu"):
            found[name] = op
    return found


def samples(name: str, limit: int | None, dtype: torch.dtype = torch.float32) -> Iterator[Call]:
    """The operator's samples, or `limit` of them, the same every time."""
    op = operators(dtype).get(name)
    if op is None:
        return
    torch.manual_seed(0)
    chosen = list(op.sample_inputs("cpu", dtype, requires_grad=False))
    if limit is not None and len(chosen) > limit:
        chosen = random.Random(name).sample(chosen, limit)
    for sample in chosen:
        yield Call(op.op, sample)


def judge(call: Call, folder: Path) -> Outcome:
    """One sample: PyTorch eager, export, the native runtime."""
    try:
        with torch.no_grad():
            expected = call(*call.tensors)
    except Exception as error:  # a sample that PyTorch itself refuses
        return Outcome("passed over", f"eager: {type(error).__name__}")
    if not expected or not call.tensors:
        return Outcome("passed over", "no tensor goes in or comes out")
    if any(t.dtype == torch.bfloat16 for t in (*call.tensors, *expected)):
        return Outcome("passed over", "bfloat16, which NumPy lacks")
    path = folder / "model.kiln"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export(call, call.tensors, path, output_names=[f"out{i}" for i in range(len(expected))])
    except UnsupportedOperatorError as error:
        names = sorted(set(re.findall(r"^  (\S+?)\(", str(error), re.MULTILINE)))
        return Outcome("unsupported", ", ".join(names))
    except ExportError as error:
        return Outcome("fails" if "a bug of wasmkiln" in str(error) else "refused", reason(str(error)))
    except Exception as error:
        if Path(traceback.extract_tb(error.__traceback__)[-1].filename).parent == Path(wasmkiln.__file__).parent:
            return Outcome("fails", f"{type(error).__name__}: {error}"[:200])
        return Outcome("passed over", f"torch.export: {type(error).__name__}")
    return compare(run(path, call.tensors, folder), expected, folder)


def run(path: Path, tensors: tuple[Tensor, ...], folder: Path, dims: dict[str, int] | None = None) -> str:
    """An error's text, or nothing; results lie in the folder."""
    from wasmkiln.cli import read_head

    head = read_head(path)
    command = [str(KILN), "run", str(path), "--output-dir", str(folder)]
    command += [word for name, size in (dims or {}).items() for word in ("--dim", f"{name}={size}")]
    for i, (port, tensor) in enumerate(zip(head.inputs, tensors, strict=True)):
        file = folder / f"in{i}"
        file.write_bytes(tensor.contiguous().numpy().tobytes())
        command += ["--input", f"{head.values[port].name.decode()}={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.stderr.strip() or CRASHED if done.returncode else ""


def reason(error: str) -> str:
    """What the runtime says, without the list of operators around it."""
    return error.rpartition(" — ")[2].splitlines()[0][:200]


def compare(error: str, expected: tuple[Tensor, ...], folder: Path) -> Outcome:
    if error:
        ours = error.startswith(("kiln: bad-file", "kiln: internal", CRASHED))
        return Outcome("fails" if ours else "refused", reason(error))
    for i, want in enumerate(expected):
        wanted = want.detach().numpy()
        wrong = difference(wanted, np.fromfile(folder / f"out{i}.bin", dtype=wanted.dtype).reshape(wanted.shape))
        if wrong:
            return Outcome("differs", wrong)
    return Outcome("agrees")


def difference(wanted: np.ndarray, got: np.ndarray, tolerance: float = TOLERANCE) -> str:
    """In words, or nothing where they agree: numbers with a fraction to `tolerance` of their scale, others exactly."""
    if wanted.dtype.kind != "f":
        wrong = int((got != wanted).sum())
        return f"{wrong} of {wanted.size} elements" if wrong else ""
    finite = np.isfinite(wanted)
    if not np.array_equal(got[~finite], wanted[~finite], equal_nan=True):
        return "where the result is not finite"
    scale = float(np.abs(wanted[finite]).max(initial=0)) or 1.0
    off = float(np.abs(got[finite].astype(np.float64) - wanted[finite]).max(initial=0)) / scale
    return "" if off <= tolerance else f"by {off:.1e} of scale"


def judge_all(names: list[str], limit: int | None, dtype: torch.dtype = torch.float32) -> dict[str, Counter[Outcome]]:
    results: dict[str, Counter[Outcome]] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for call in samples(name, limit, dtype):
                outcome = judge(call, Path(folder))
                results[name][outcome] += 1
                if outcome.kind == "unsupported":
                    break  # the others are too
            summary = "; ".join(f"{n}× {outcome.kind} {outcome.detail}" for outcome, n in results[name].items())
            print(f"{name}: {summary}", file=sys.stderr, flush=True)
    return results


INTRODUCTION = """# Operators

Every operator that `torch.export` leaves in a model must be in the table below. Otherwise export fails with one
error, which lists every such node with its line in the model's code. [Add an operator](add-an-operator.md) says how
to add one.

`python tools/opinfo.py --write` makes this page from the operator table (`kiln ops`) and from PyTorch's own samples
of every operator (`torch.testing`'s OpInfo, float32), {limit} of each. Each sample goes through export and the native
runtime, and is compared with eager PyTorch: floats to {tolerance:g} of the result's scale, everything else exactly.
pytest runs some of the samples each time, also of bool, uint8, int32 and int64 (`--dtype`). It also
runs those of ONNX's node tests that PyTorch can express (`tools/onnx_nodes.py`).

Integers are computed in PyTorch's type and wrap around as they do there. Their sums and products are int64. Two cases
differ from PyTorch:

- An integer divided by 0 is an error in PyTorch. Here the quotient is 0 and the remainder is the dividend. A divisor
  that is known to be 0 is refused.
- PyTorch does not define what a float becomes that an integer type cannot hold. Here it becomes the nearest number
  that the type holds, and NaN becomes 0.
"""

REASONS = {
    "fails": "Bugs",
    "differs": "Different from PyTorch",
    "refused": "Refused, with a reason",
    "unsupported": "Operators that are missing",
}


def document(results: dict[str, Counter[Outcome]], limit: int | None) -> str:
    """docs/operators.md."""
    judged = {name: counts for name, counts in results.items() if any(o.kind != "passed over" for o in counts)}
    whole = [name for name, counts in judged.items() if {o.kind for o in counts} <= {"agrees", "passed over"}]
    lines = [INTRODUCTION.format(tolerance=TOLERANCE, limit=f"up to {limit}" if limit else "all")]
    names = ", ".join(f"`{name}`" for name in whole)
    lines += [f"## Judged\n\n{len(whole)} of {len(judged)} operators agree on every sample: {names}.\n"]
    for kind, title in REASONS.items():
        rows = [(n, o, c) for n, counts in judged.items() for o, c in counts.items() if o.kind == kind]
        if not rows:
            continue
        lines += [f"## {title}\n", "| sampled operator | samples | |", "|---|---|---|"]
        lines += [f"| `{n}` | {c} of {judged[n].total()} | {o.detail.replace('|', '/')} |" for n, o, c in rows] + [""]
    rest = [
        f"{family}\n" + "".join(f"  {name}\n" for name in names)
        for family, names in table().items()
        if family != "onnx"
    ]
    return "\n".join([*lines, "## The table\n", "```", "".join(rest).rstrip(), "```", ""])


def table() -> dict[str, list[str]]:
    """The operator table: names by family."""
    text = subprocess.run([str(KILN), "ops"], capture_output=True, text=True, check=True).stdout
    families: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith(" "):
            families[list(families)[-1]].append(line.strip())
        else:
            families[line] = []
    return families


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a regular expression of operator names")
    parser.add_argument("--limit", type=int, help="samples per operator (default: all)")
    parser.add_argument("--dtype", nargs="+", default=["float32"], help="of the samples (default: float32)")
    parser.add_argument("--write", action="store_true", help="write docs/operators.md (of float32)")
    options = parser.parse_args()
    totals: Counter[str] = Counter()
    for dtype in (getattr(torch, name) for name in options.dtype):
        names = [name for name in operators(dtype) if not options.only or re.search(options.only, name)]
        results = judge_all(names, options.limit, dtype)
        kinds = Counter(kind.kind for counts in results.values() for kind in counts.elements())
        print(f"{dtype}: {dict(kinds)}")
        totals += kinds
    if options.write:
        (ROOT / "docs/operators.md").write_text(document(results, options.limit))
    sys.exit(1 if totals["fails"] else 0)


if __name__ == "__main__":
    main()
