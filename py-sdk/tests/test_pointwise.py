"""Functions of single floats against PyTorch, natively: over floats of every exponent, and pairs of special ones.

The bounds are those of docs/precision.md, in units of the result's last place. One of PyTorch's two answers, float32 or
rounded from float64, meets them: it is not exact either. NaN, infinities and zeros with their sign have no tolerance.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from wasmkiln import export

KILN = Path(__file__).resolve().parents[2] / "build/native/kiln"
LEAST_NORMAL = 2.0**-126
SPECIAL = [
    *(float("nan"), float("inf"), 0.0, 1e-45, 1e-40, LEAST_NORMAL, 1e-20, 1e-6, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
    *(2.5, 3.0, 3.5, 7.0, 10.0, 13.0, 88.8, 100.0, 149.0, 8192.0, 2.0**23 + 1, 2.0**24, 1.7e9, 1e10, 1e20, 3.4e38),
]  # fmt: skip
SPECIAL += [-x for x in SPECIAL[1:]]

# What is allowed beside, as a share of the argument and absolutely: to functions that flush what is below the least
# normal number, that add numbers that cancel, and next to a sine's zeros.
SLACK = {name: (LEAST_NORMAL, LEAST_NORMAL) for name in ("erf", "mish", "sigmoid", "silu")}
SLACK |= {name: (3e-7, LEAST_NORMAL) for name in ("gelu", "gelu tanh", "logaddexp")}
SLACK |= {name: (0, 5e-11) for name in ("cos", "sin")}

# Units of the last place.
UNARY: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "abs": (torch.abs, 0),
    "acos": (torch.acos, 4),
    "asin": (torch.asin, 4),
    "atan": (torch.atan, 4),
    "ceil": (torch.ceil, 0),
    "celu": (lambda x: F.celu(x, 0.7), 6),
    "clamp": (lambda x: x.clamp(-2, 2), 0),
    "clamp inf": (lambda x: x.clamp(min=float("inf")), 0),
    "clamp nan": (lambda x: x.clamp(min=float("nan")), 0),
    "clamp_max": (lambda x: x.clamp(max=0), 0),
    "clamp_min": (lambda x: x.clamp(min=0), 0),
    "cos": (torch.cos, 2.5),
    "cosh": (torch.cosh, 4),
    "elu": (F.elu, 5),
    "erf": (torch.erf, 8),
    "exp": (torch.exp, 2),
    "exp2": (torch.exp2, 1.5),
    "expm1": (torch.expm1, 5),
    "floor": (torch.floor, 0),
    "frac": (torch.frac, 0),
    "gelu": (F.gelu, 6),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), 8),
    "hardsigmoid": (F.hardsigmoid, 2),
    "hardswish": (F.hardswish, 2),
    "hardtanh": (F.hardtanh, 0),
    "leaky_relu": (F.leaky_relu, 1),
    "log": (torch.log, 2),
    "log10": (torch.log10, 1),
    "log1p": (torch.log1p, 4),
    "log2": (torch.log2, 1),
    "logsigmoid": (F.logsigmoid, 6),
    "mish": (F.mish, 8),
    "neg": (torch.neg, 0),
    "pow -0.5": (lambda x: x**-0.5, 2),
    "pow -1": (lambda x: x**-1, 1),
    "pow -2": (lambda x: x**-2, 2),
    "pow 0": (lambda x: x**0, 0),
    "pow 0.5": (lambda x: x**0.5, 1),
    "pow 2": (lambda x: x**2, 1),
    "pow 2.5": (lambda x: x**2.5, 2),
    "pow 3": (lambda x: x**3, 2),
    "pow 4": (lambda x: x**4, 2),
    "pow 5": (lambda x: x**5, 2),
    "pow of 2": (lambda x: 2.0**x, 1.5),
    "pow of -2.5": (lambda x: torch.pow(-2.5, x), 2),
    "reciprocal": (torch.reciprocal, 1),
    "relu": (torch.relu, 0),
    "relu6": (F.relu6, 0),
    "round": (torch.round, 0),
    "rsqrt": (torch.rsqrt, 2),
    "selu": (F.selu, 6),
    "sigmoid": (torch.sigmoid, 4),
    "sign": (torch.sign, 0),
    "silu": (F.silu, 4),
    "sin": (torch.sin, 2.5),
    "sinh": (torch.sinh, 8),
    "softplus": (F.softplus, 4),
    "softplus threshold": (lambda x: F.softplus(x, 2, 1), 4),
    "softsign": (F.softsign, 1),
    "sqrt": (torch.sqrt, 1),
    "square": (torch.square, 1),
    "tan": (torch.tan, 4),
    "tanh": (torch.tanh, 6),
    "threshold": (lambda x: F.threshold(x, 0.5, 7), 0),
    "trunc": (torch.trunc, 0),
    "x * 0": (lambda x: x * 0, 0),
    "x + 0": (lambda x: x + 0.0, 0),
    "x - 0": (lambda x: x - 0.0, 0),
    "0 - x": (lambda x: 0.0 - x, 0),
    "x - x": (lambda x: x - x, 0),
    "x // 0.1": (lambda x: x // 0.1, 0),
    "x % 3": (lambda x: x % 3, 0),
    "x % -0.75": (lambda x: x % -0.75, 0),
}  # fmt: skip
BINARY: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float]] = {
    "add": (torch.add, 0),
    "atan2": (torch.atan2, 4),
    "div": (torch.div, 0),
    "div trunc": (lambda a, b: torch.div(a, b, rounding_mode="trunc"), 0),
    "floor_divide": (torch.floor_divide, 0),
    "fmod": (torch.fmod, 0),
    "logaddexp": (torch.logaddexp, 6),
    "maximum": (torch.maximum, 0),
    "minimum": (torch.minimum, 0),
    "mul": (torch.mul, 0),
    "pow": (torch.pow, 2),
    "remainder": (torch.remainder, 0),
    "sub": (torch.sub, 0),
    "where": (lambda a, b: torch.where(a > b, a, b), 0),
    "xlogy": (torch.xlogy, 4),
}


class All(nn.Module):
    def __init__(self, functions: Iterable[Callable[..., Tensor]]) -> None:
        super().__init__()
        self.functions = list(functions)

    def forward(self, *x: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(*x) for function in self.functions)


def run(functions: list[Callable[..., Tensor]], inputs: list[Tensor], folder: Path) -> list[np.ndarray]:
    names = [f"x{i}" for i in range(len(inputs))]
    outputs = [f"y{i}" for i in range(len(functions))]
    model = All(functions).eval()
    export(model, tuple(inputs), folder / "m.kiln", input_names=names, output_names=outputs)
    command = [str(KILN), "run", str(folder / "m.kiln"), "--output-dir", str(folder)]
    for name, x in zip(names, inputs, strict=True):
        x.numpy().tofile(folder / name)
        command += ["--input", f"{name}={folder / name}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return [np.fromfile(folder / f"{name}.bin", np.float32) for name in outputs]


def off_by(got: np.ndarray, wanted: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """In units of the last place of `wanted`; infinite where only one is NaN or infinite, or zeros differ in sign."""
    with np.errstate(all="ignore"):
        scale = np.maximum(np.abs(wanted.astype(np.float64)), LEAST_NORMAL)
        unit = np.exp2(np.floor(np.log2(scale)) - 23)
        off = np.maximum(np.abs(got.astype(np.float64) - wanted) - slack, 0) / unit
    both_nan = np.isnan(got) & np.isnan(wanted)
    other_zero = (wanted == 0) & (got == 0) & (np.signbit(got) != np.signbit(wanted))
    off[np.isnan(off) | other_zero] = np.inf
    off[(got == wanted) & ~other_zero | both_nan] = 0
    return off


def judge(functions: dict[str, tuple[Callable[..., Tensor], float]], inputs: list[Tensor], folder: Path) -> list[str]:
    complaints = []
    for (name, (function, bound)), got in zip(
        functions.items(), run([function for function, _ in functions.values()], inputs, folder), strict=True
    ):
        share, absolute = SLACK.get(name, (0, 0))
        slack = share * np.nan_to_num(np.abs(inputs[0].double().numpy())) + absolute
        finer = function(*(x.double() for x in inputs)).float().numpy()
        off = np.minimum(off_by(got, function(*inputs).numpy(), slack), off_by(got, finer, slack))
        if (worst := int(off.argmax())) is not None and off[worst] > bound:
            at = ", ".join(f"{x[worst].item():.9g}" for x in inputs)
            wanted = function(*inputs)[worst].item()
            complaints.append(f"{name}({at}) = {got[worst]:.9g}, not {wanted:.9g}: {off[worst]:.1f} units of {bound}")
    return complaints


def every_exponent() -> Tensor:
    """65,536 bit patterns, evenly spread with random low bits, the special ones, and everyday numbers more closely."""
    low = np.random.default_rng(7).integers(0, 1 << 16, 1 << 16, dtype=np.uint32)
    patterns = (np.arange(1 << 16, dtype=np.uint32) << 16 | low).view(np.float32)
    everyday = np.linspace(-20, 20, 1 << 14, dtype=np.float32)
    whole = np.arange(-300, 300, dtype=np.float32)
    halves = whole + np.float32(0.5)
    return torch.from_numpy(np.concatenate([patterns, np.float32(SPECIAL), everyday, whole, halves]))


def test_functions_of_one_float(tmp_path: Path) -> None:
    complaints = judge(UNARY, [every_exponent()], tmp_path)
    assert not complaints, "\n".join(complaints)


def test_functions_of_two_floats(tmp_path: Path) -> None:
    special = torch.tensor(SPECIAL)
    grid = [x.flatten().contiguous() for x in torch.meshgrid(special, special, indexing="ij")]
    torch.manual_seed(0)
    near = [torch.rand(20000) * 20, torch.rand(20000) * 40 - 20]
    whole = [x.flatten().float() for x in torch.meshgrid(torch.arange(-20, 21), torch.arange(-9, 10), indexing="ij")]
    inputs = [torch.cat(parts) for parts in zip(grid, near, whole, strict=True)]
    complaints = judge(BINARY, inputs, tmp_path)
    assert not complaints, "\n".join(complaints)


def test_what_is_whole_stays_whole(tmp_path: Path) -> None:
    base = torch.tensor([13.0, 7, 10, 2, 3, 5, -3, -2, 1.5, 2])
    exponent = torch.tensor([2.0, 3, 5, 15, 15, 10, 13, 21, 9, -149])
    whole = torch.arange(-149, 128).float()
    power_of_two, rest = run([lambda x: 2.0**x, lambda x: torch.log2(torch.exp2(x))], [whole], tmp_path)
    assert np.array_equal(power_of_two, 2.0 ** whole.double().numpy())
    assert np.array_equal(rest, whole.numpy())
    (powers,) = run([torch.pow], [base, exponent], tmp_path)
    assert np.array_equal(powers, base.double().numpy() ** exponent.double().numpy())
    tens = 10.0 ** torch.arange(-37, 39).double()
    (logs,) = run([torch.log10], [tens.float()], tmp_path)
    assert np.array_equal(logs, np.arange(-37, 39))


def test_rotary_tables_of_long_contexts(tmp_path: Path) -> None:
    positions = torch.linspace(0, 1e6, 4001).round()[:, None]
    frequencies = 1 / 10000 ** (torch.arange(0, 64, 2) / 64)
    angles = (positions * frequencies).flatten()
    sine, cosine = run([torch.sin, torch.cos], [angles], tmp_path)
    assert np.abs(sine - angles.double().sin().numpy()).max() < 1e-6
    assert np.abs(cosine - angles.double().cos().numpy()).max() < 1e-6
