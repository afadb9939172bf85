"""Random PyTorch programs, as lists of steps: what one is made of can be left out again when a failure is shrunk.

Every step was run once by PyTorch when it was drawn, so a program is valid. Ranks 0 to 8, sizes of 0 and 1, all dtypes,
several outputs, weights with several readers, some of more than a MiB.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_ELEMENTS = 4000  # of a result
FAR = 1e9  # what is further is no integer, or overflows where another order of sums does not
DTYPES = [torch.float32, torch.int64, torch.int32, torch.uint8, torch.int8, torch.bool]
UNARY = """abs neg relu sigmoid tanh exp sqrt erf floor round sign reciprocal rsqrt log log1p expm1 sin cos tan atan
square ceil trunc frac logical_not exp2 log2 log10 sinh cosh asin acos isnan isinf bitwise_not""".split()
ACTIVATIONS = """silu gelu hardswish hardsigmoid relu6 mish softplus elu celu selu leaky_relu hardtanh logsigmoid
softsign""".split()
BINARY = """add sub mul div maximum minimum eq ne lt le gt ge atan2 pow fmod remainder floor_divide logical_and
logical_or logical_xor bitwise_and bitwise_or bitwise_xor""".split()
REDUCTIONS = "sum mean amax amin any all prod var std logsumexp norm argmax argmin".split()


def unary(x: Tensor, name: str) -> Tensor:
    return getattr(torch, name)(x)


def activation(x: Tensor, name: str) -> Tensor:
    return getattr(functional, name)(x)


def binary(x: Tensor, y: Tensor, name: str) -> Tensor:
    return getattr(torch, name)(x, y)


def with_number(x: Tensor, name: str, number: float) -> Tensor:
    return getattr(torch, name)(x, number)


def reduction(x: Tensor, name: str, dims: list[int], keepdim: bool) -> Tensor:
    if name in ("argmax", "argmin", "prod"):
        return getattr(torch, name)(x, dim=dims[0], keepdim=keepdim)
    return getattr(torch, name)(x, dim=dims, keepdim=keepdim)


def extreme_of(x: Tensor, most: bool, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    values, places = (torch.max if most else torch.min)(x, dim=dim, keepdim=keepdim)
    return values, places


def convolution(x: Tensor, w: Tensor, *bias: Tensor, transposed: bool, **how: Any) -> Tensor:
    name = ("conv_transpose" if transposed else "conv") + ("1d" if w.dim() == 3 else "2d")
    return getattr(functional, name)(x, w, *bias, **how)


def pool(x: Tensor, name: str, **how: Any) -> Tensor:
    return getattr(functional, name)(x, **how)


def attention(q: Tensor, k: Tensor, v: Tensor, *mask: Tensor, is_causal: bool) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v, mask[0] if mask else None, is_causal=is_causal)


def joined(*parts: Tensor, dim: int, stacked: bool) -> Tensor:
    return torch.stack(parts, dim) if stacked else torch.cat(parts, dim)


def sliced(x: Tensor, dim: int, start: int, end: int, step: int) -> Tensor:
    return x[(slice(None),) * dim + (slice(start, end, step),)]


def parts_of(x: Tensor, dim: int, size: int) -> tuple[Tensor, ...]:
    return torch.split(x, size, dim)


def indexed(x: Tensor, dim: int, rows: list[int], columns: list[int] | None) -> Tensor:
    index: list[Any] = [slice(None)] * dim + [torch.tensor(rows)]
    return x[tuple(index if columns is None else [*index, torch.tensor(columns)])]


def gathered(x: Tensor, dim: int, rows: list[int]) -> Tensor:
    shape = [1] * x.dim()
    shape[dim] = len(rows)
    sizes = list(x.shape)
    sizes[dim] = len(rows)
    return torch.gather(x, dim, torch.tensor(rows).view(shape).expand(sizes))


def index_selected(x: Tensor, dim: int, rows: list[int]) -> Tensor:
    return torch.index_select(x, dim, torch.tensor(rows))


def resized(x: Tensor, size: list[int], mode: str, align: bool | None) -> Tensor:
    return functional.interpolate(x, size=size, mode=mode, align_corners=align)


def normed(x: Tensor, *affine: Tensor, name: str, how: Any) -> Tensor:
    if name == "group_norm":
        return functional.group_norm(x, how, *affine)
    return getattr(functional, name)(x, how, *affine)


def in_place_of(x: Tensor, y: Tensor, dim: int, start: int, step: int) -> Tensor:
    out = x.clone()
    out[(slice(None),) * dim + (slice(start, None, step),)] = y
    return out


OPS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (unary, activation, binary, with_number, reduction, extreme_of, convolution, pool)},
    **{
        f.__name__: f for f in (attention, joined, sliced, parts_of, indexed, gathered, index_selected, resized, normed)
    },
    "in_place_of": in_place_of,
    "linear": functional.linear,
    "matmul": torch.matmul,
    "softmax": functional.softmax,
    "log_softmax": functional.log_softmax,
    "flip": torch.flip,
    "roll": torch.roll,
    "permute": torch.permute,
    "reshape": torch.reshape,
    "expand": lambda x, size: x.expand(size),
    "repeat": lambda x, repeats: x.repeat(repeats),
    "pad": functional.pad,
    "unbind": torch.unbind,
    "cumsum": torch.cumsum,
    "where": lambda x, y: torch.where(x > y, x, y * 2),
    "masked_fill": lambda x: x.masked_fill(x > 0, 3),
    "cast": lambda x, dtype: x.to(dtype),
    "tril": torch.tril,
    "triu": torch.triu,
    "embedding": lambda w, rows: functional.embedding(torch.tensor(rows), w),
}


@dataclass
class Step:
    op: str
    operands: list[int]  # places of values: inputs, then weights, then results of steps, in order
    args: dict[str, Any]
    results: int = 1


@dataclass
class Program:
    inputs: list[Tensor]
    weights: list[Tensor] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def run(
        self, inputs: list[Tensor], weights: list[Tensor], after: Callable[[Tensor], Tensor] | None = None
    ) -> list[Tensor]:
        """All values: inputs, weights, results."""
        values = [*inputs, *weights]
        for step in self.steps:
            values += self.results(step, values, after)
        return values

    @staticmethod
    def results(step: Step, values: list[Tensor], after: Callable[[Tensor], Tensor] | None = None) -> list[Tensor]:
        made = OPS[step.op](*(values[i] for i in step.operands), **step.args)
        listed = list(made) if isinstance(made, (tuple, list)) else [made]
        return [after(t) for t in listed] if after else listed

    def without(self, dropped: int) -> Program | None:
        """The same without step `dropped` and what needs it; None if no output is left."""
        first = len(self.inputs) + len(self.weights)
        places: dict[int, int] = {i: i for i in range(first)}
        at, next_at = first, first
        steps = []
        for number, step in enumerate(self.steps):
            stays = number != dropped and all(i in places for i in step.operands)
            if stays:
                steps.append(Step(step.op, [places[i] for i in step.operands], step.args, step.results))
                for k in range(step.results):
                    places[at + k] = next_at + k
                next_at += step.results
            at += step.results
        outputs = [places[i] for i in self.outputs if i in places]
        if not outputs and steps:
            outputs = [next_at - 1]
        return Program(self.inputs, self.weights, steps, outputs) if outputs else None

    def __str__(self) -> str:
        lines = [f"  %{i} = input {t.dtype}{list(t.shape)}" for i, t in enumerate(self.inputs)]
        at = len(lines)
        lines += [f"  %{at + i} = weight {list(t.shape)}" for i, t in enumerate(self.weights)]
        at = len(lines)
        for step in self.steps:
            names = ", ".join(f"%{at + k}" for k in range(step.results))
            operands = [f"%{i}" for i in step.operands] + [f"{k}={v!r}" for k, v in step.args.items()]
            lines.append(f"  {names} = {step.op}({', '.join(operands)})")
            at += step.results
        return "\n".join([*lines, f"  return {', '.join(f'%{i}' for i in self.outputs)}"])


class Module(nn.Module):
    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        self.weights = nn.ParameterList(nn.Parameter(w, requires_grad=False) for w in program.weights)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values = self.program.run(list(inputs), list(self.weights))
        return tuple(values[i] for i in self.program.outputs)


class Drawer:
    def __init__(self, seed: int, nodes: int = 9) -> None:
        self.r = random.Random(seed)
        self.g = torch.Generator().manual_seed(seed)
        self.p = Program([self.fresh(self.shape(), self.dtype()) for _ in range(self.r.randint(1, 3))])
        large = self.r.random() < 0.04
        sizes = [[self.r.randint(513, 560)] * 2] if large else []
        # Weights are drawn before the steps, some of which will fit them.
        last = [s for t in self.p.inputs if (s := list(t.shape[-1:])) and s[0] > 0]
        for k in self.r.sample(last, min(2, len(last))):
            sizes += [[self.r.randint(1, 20), k[0]], k]
        self.p.weights = [torch.randn(*s, generator=self.g) / max(s[-1], 1) ** 0.5 for s in sizes]
        self.values = [*self.p.inputs, *self.p.weights]
        if large:
            self.add("embedding", [len(self.p.inputs)], {"rows": [self.r.randrange(513) for _ in range(2)]})
        for _ in range(nodes * 4):
            if len(self.p.steps) < nodes:
                self.step()
        count = len(self.values)
        wanted = {count - 1, *(count - 1 - self.r.randrange(min(count, 6)) for _ in range(2))}
        self.p.outputs = sorted(wanted)

    def dtype(self) -> torch.dtype:
        return self.r.choice(DTYPES) if self.r.random() < 0.25 else torch.float32

    def shape(self) -> list[int]:
        rank = self.r.choice([4, 4, 3, 3, 2, 2, 1, 0, 5, 6, 7, 8])
        sizes = [self.r.randint(1, 3 if rank > 4 else 9) for _ in range(rank)]
        if rank and self.r.random() < 0.04:
            sizes[self.r.randrange(rank)] = 0
        return sizes

    def fresh(self, shape: list[int], dtype: torch.dtype) -> Tensor:
        if dtype == torch.float32:
            return torch.randn(shape, generator=self.g)
        if dtype == torch.bool:
            return torch.randint(0, 2, shape, generator=self.g).bool()
        low = 0 if dtype == torch.uint8 else -4
        return torch.randint(low, 8, shape, generator=self.g).to(dtype)

    def add(self, op: str, operands: list[int], args: dict[str, Any]) -> bool:
        """Keeps the step if PyTorch takes it, and if what it makes can be compared."""
        step = Step(op, operands, args)
        try:
            made = self.p.results(step, self.values)
        except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError):
            return False
        for t in made:
            large = t.numel() > MOST_ELEMENTS or t.dim() > 8 or t.dtype not in DTYPES
            if large or (t.numel() and t.dtype != torch.bool and bool((t.abs() > FAR).any())):
                return False
        step.results = len(made)
        self.p.steps.append(step)
        self.values += made
        return True

    def any(self) -> int:
        return len(self.values) - 1 - self.r.randrange(min(len(self.values), 6))

    def real(self, least_rank: int = 0) -> int | None:
        fits = [i for i, t in enumerate(self.values) if t.dtype == torch.float32 and t.dim() >= least_rank]
        return self.r.choice(fits[-5:]) if fits else None

    def dims(self, x: Tensor) -> list[int]:
        return self.r.sample(range(x.dim()), self.r.randint(min(1, x.dim()), x.dim()))

    def step(self) -> None:
        draw = self.r.choice(
            [
                self.pointwise,
                self.pointwise,
                self.product,
                self.window,
                self.moved,
                self.moved,
                self.cut,
                self.cut,
                self.reduced,
                self.chosen,
                self.changed,
            ]
        )
        draw()

    def pointwise(self) -> None:
        x, r = self.any(), self.r
        kind = r.randrange(6)
        if kind == 0:
            self.add("unary", [x], {"name": r.choice(UNARY)})
        elif kind == 1 and (y := self.real()) is not None:
            self.add("activation", [y], {"name": r.choice(ACTIVATIONS)})
        elif kind == 2:
            number = r.choice([-3, -1, 0, 1, 2, 5]) if r.random() < 0.5 else r.randint(-8, 8) / 4 + 0.125
            self.add("with_number", [x], {"name": r.choice(BINARY[:12] + BINARY[14:17]), "number": number})
        elif kind == 3:
            self.add("where", [x, self.any()], {})
        elif kind == 4:
            self.add("masked_fill", [x], {})
        else:
            self.add("binary", [x, self.any()], {"name": r.choice(BINARY)}) or self.add(
                "binary", [x, x], {"name": "add"}
            )

    def product(self) -> None:
        r, first = self.r, len(self.p.inputs)
        weights = range(first, first + len(self.p.weights))
        x = self.real(1)
        if x is None:
            return
        kind = r.randrange(4)
        if kind == 0 and weights:
            self.add("linear", [x, r.choice(weights)], {})
        elif kind == 1:
            self.add("matmul", [x, r.choice([self.any(), *weights])], {})
        elif kind == 2:
            q = self.real(2)
            if q is not None:
                masks = [self.any()] if r.random() < 0.2 else []
                causal = not masks and r.random() < 0.5
                k = q if r.random() < 0.6 else self.any()
                v = k if r.random() < 0.7 else self.any()
                self.add("attention", [q, k, v, *masks], {"is_causal": causal})
        else:
            t = self.values[x]
            if t.dim() > 1 and self.add("permute", [x], {"dims": [*range(t.dim() - 2), t.dim() - 1, t.dim() - 2]}):
                self.add("matmul", [x, len(self.values) - 1], {})

    def window(self) -> None:
        r, x = self.r, self.real(3)
        if x is None:
            return
        t = self.values[x]
        flat = t.dim() == 3
        n = 1 if flat else 2
        kind = r.randrange(4)
        if kind == 0 and t.dim() < 5:  # its weight is a slice of the image itself: any sizes fit
            kernel = [r.randint(1, 3) for _ in range(n)]
            size = [s if i < 2 else min(k, s) for i, (s, k) in enumerate(zip(t.shape, [0, 0, *kernel], strict=True))]
            made = x
            for dim, s in enumerate(size):
                if not self.add("sliced", [made], {"dim": dim, "start": 0, "end": s, "step": 1}):
                    return
                made = len(self.values) - 1
            transposed = r.random() < 0.4
            if transposed and not self.add("permute", [made], {"dims": [1, 0, *range(2, t.dim())]}):
                return
            how = {
                "stride": [r.randint(1, 3) for _ in range(n)],
                "padding": [r.randint(0, 2) for _ in range(n)],
                "dilation": [r.randint(1, 2) for _ in range(n)],
            }
            self.add("convolution", [x, len(self.values) - 1], {"transposed": transposed, **how})
        elif kind in (1, 2):
            by = f"{n}d"
            most = r.random() < 0.5
            if r.random() < 0.3:
                self.add(
                    "pool",
                    [x],
                    {
                        "name": f"adaptive_{'max' if most and n == 2 else 'avg'}_pool{by}",
                        "output_size": [r.randint(1, 4) for _ in range(n)],
                    },
                )
                return
            kernel = [r.randint(1, 4) for _ in range(n)]
            how: dict[str, Any] = {
                "kernel_size": kernel,
                "stride": [r.randint(1, 3) for _ in range(n)],
                "padding": [r.randint(0, k // 2) for k in kernel],
                "ceil_mode": r.random() < 0.5,
            }
            how |= (
                {"dilation": [r.randint(1, 2) for _ in range(n)]} if most else {"count_include_pad": r.random() < 0.5}
            )
            self.add("pool", [x], {"name": f"{'max' if most else 'avg'}_pool{by}", **how})
        else:
            dims = t.dim() - 2
            modes = {
                1: ["nearest", "linear", "nearest-exact"],
                2: ["nearest", "bilinear", "bicubic", "nearest-exact"],
                3: ["nearest", "trilinear", "nearest-exact"],
            }.get(dims)
            if modes:
                mode = r.choice(modes)
                align = None if "nearest" in mode else r.random() < 0.5
                self.add("resized", [x], {"size": [r.randint(1, 9) for _ in range(dims)], "mode": mode, "align": align})

    def moved(self) -> None:
        r, x = self.r, self.any()
        t = self.values[x]
        kind = r.randrange(6)
        if kind == 0:
            self.add("flip", [x], {"dims": self.dims(t)})
        elif kind == 1:
            dims = self.dims(t)
            self.add("roll", [x], {"shifts": [r.randint(-3, 3) for _ in dims], "dims": dims})
        elif kind == 2:
            self.add("permute", [x], {"dims": r.sample(range(t.dim()), t.dim())})
        elif kind == 3:
            sizes = list(t.shape)
            if len(sizes) > 1 and r.random() < 0.6:
                at = r.randrange(len(sizes) - 1)
                sizes[at : at + 2] = [sizes[at] * sizes[at + 1]]
            elif sizes:
                at = r.randrange(len(sizes))
                by = r.choice([d for d in (1, 2, 3, 4) if sizes[at] % d == 0])
                sizes[at : at + 1] = [by, sizes[at] // by]
            self.add("reshape", [x], {"shape": sizes})
        elif kind == 4:
            sizes = [r.randint(1, 4) if s == 1 else s for s in t.shape]
            self.add("expand", [x], {"size": [r.randint(1, 3), *sizes] if r.random() < 0.5 else sizes})
        else:
            self.add("repeat", [x], {"repeats": [r.randint(1, 2) for _ in t.shape] or [2]})

    def cut(self) -> None:
        r, x = self.r, self.any()
        t = self.values[x]
        if t.dim() == 0:
            return
        dim = r.randrange(t.dim())
        size = t.shape[dim]
        kind = r.randrange(6)
        if kind == 0:
            self.add("joined", [x, x if r.random() < 0.4 else self.any()], {"dim": dim, "stacked": r.random() < 0.3})
        elif kind == 1:
            self.add("parts_of", [x], {"dim": dim, "size": max((size + 2) // 3, 1)})
        elif kind == 2 and 0 < size <= 4:
            self.add("unbind", [x], {"dim": dim})
        elif kind == 3:
            self.add(
                "pad",
                [x],
                {"pad": [r.randint(-1, 2) for _ in range(2 * r.randint(1, t.dim()))], "value": r.choice([0, 1, -2])},
            )
        elif kind == 4:
            start, step = r.randint(0, max(size - 1, 0)), r.randint(1, 2)
            if self.add("sliced", [x], {"dim": dim, "start": start, "end": size, "step": step}):
                cut = len(self.values) - 1
                if self.add("unary", [cut], {"name": "neg"}):
                    self.add("in_place_of", [x, len(self.values) - 1], {"dim": dim, "start": start, "step": step})
        else:
            start = r.randint(-size, size)
            self.add(
                "sliced", [x], {"dim": dim, "start": start, "end": r.randint(-size, size + 2), "step": r.randint(1, 3)}
            )

    def reduced(self) -> None:
        r, x = self.r, self.any()
        t = self.values[x]
        kind = r.randrange(6)
        if kind < 3:
            self.add(
                "reduction",
                [x],
                {"name": r.choice(REDUCTIONS), "dims": self.dims(t) or [0], "keepdim": r.random() < 0.5},
            )
        elif kind == 3 and t.dim():
            self.add(
                "extreme_of", [x], {"most": r.random() < 0.5, "dim": r.randrange(t.dim()), "keepdim": r.random() < 0.5}
            )
        elif kind == 4 and t.dim():
            self.add(r.choice(["softmax", "log_softmax", "cumsum"]), [x], {"dim": r.randrange(-t.dim(), t.dim())})
        elif t.dim() > 1 and t.dtype == torch.float32:
            if r.random() < 0.5:
                self.add(
                    "normed",
                    [x],
                    {"name": r.choice(["layer_norm", "rms_norm"]), "how": list(t.shape[-r.randint(1, t.dim()) :])},
                )
            else:
                self.add("normed", [x], {"name": "group_norm", "how": 2 if t.shape[1] % 2 == 0 else 1})

    def chosen(self) -> None:
        r, x = self.r, self.any()
        t = self.values[x]
        if t.dim() == 0 or 0 in t.shape:
            return
        dim = r.randrange(t.dim())
        size = t.shape[dim]
        rows = [r.randint(0, size - 1) for _ in range(r.randint(1, 5))]
        kind = r.randrange(3)
        if kind == 0:
            self.add(r.choice(["gathered", "index_selected"]), [x], {"dim": dim, "rows": rows})
        else:
            columns = None
            if dim + 1 < t.dim() and r.random() < 0.5:
                columns = [r.randint(-t.shape[dim + 1], t.shape[dim + 1] - 1) for _ in rows]
            self.add(
                "indexed",
                [x],
                {"dim": dim, "rows": [i - size if r.random() < 0.3 else i for i in rows], "columns": columns},
            )

    def changed(self) -> None:
        x = self.any()
        t = self.values[x]
        if self.r.random() < 0.3 and t.dim() > 1:
            self.add(self.r.choice(["tril", "triu"]), [x], {"diagonal": self.r.randint(-2, 2)})
            return
        dtype = self.r.choice(DTYPES)
        small = t.dtype in (torch.float32, torch.int64, torch.int32) and dtype not in (torch.float32, torch.bool)
        if small and t.numel() and not bool((t.abs() < (100 if t.dtype == torch.float32 else FAR)).all()):
            return  # what a type does not hold is whatever a processor makes of it
        if t.dtype == torch.float32 and dtype == torch.uint8 and t.numel() and bool((t < 0).any()):
            return
        self.add("cast", [x], {"dtype": dtype})
