"""What each ONNX operator is in PyTorch: a row and a function, for the judge in onnx_nodes.py.

A function takes the node's attributes and its inputs by position (absent ones None): tensors, but for the slots in
`FIXED`, which are NumPy arrays that PyTorch has as plain arguments. It gives a tensor per output of the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, as everybody calls it
from torch import Tensor

from tools.onnx_attributes import Attributes, PassedOver
from tools.onnx_windows import average_pool, convolve, convolve_transposed, lp_pool, max_pool, resize

FIXED: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,), "CumSum": (1,), "Dropout": (1, 2), "Expand": (1,),
    "OneHot": (1,), "Pad": (1, 2, 3), "Reshape": (1,), "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4), "Split": (1,),
    "Squeeze": (1,), "Tile": (1,), "Trilu": (1,), "Unsqueeze": (1,), "Upsample": (1,),
    **{f"Reduce{kind}": (1,) for kind in
       ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")},
}  # fmt: skip


def numbers(array: np.ndarray | None) -> list[int]:
    return [] if array is None else [int(n) for n in np.atleast_1d(array)]


def divide(a: Attributes, x: Tensor, y: Tensor) -> Tensor:
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def remainder(a: Attributes, x: Tensor, y: Tensor) -> Tensor:
    return torch.fmod(x, y) if a.get("fmod", 0) else torch.remainder(x, y)


def is_inf(a: Attributes, x: Tensor) -> Tensor:
    negative, positive = a.get("detect_negative", 1), a.get("detect_positive", 1)
    if negative and positive:
        return torch.isinf(x)
    return x == (math.inf if positive else -math.inf)


def clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return torch.clamp(x, low, high) if low is not None or high is not None else x.clone()


def selu(a: Attributes, x: Tensor) -> Tensor:
    return F.elu(x, a["alpha"]) * a["gamma"] if "alpha" in a else F.selu(x)


def shrink(a: Attributes, x: Tensor) -> Tensor:
    limit, bias = a.get("lambd", 0.5), a.get("bias", 0.0)
    return torch.where(x < -limit, x + bias, torch.where(x > limit, x - bias, torch.zeros_like(x)))


def swish(a: Attributes, x: Tensor) -> Tensor:
    alpha = a.get("alpha", 1.0)
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


def hardmax(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", -1) % x.dim()
    best = torch.argmax(x, axis, keepdim=True)
    places = torch.arange(x.shape[axis]).reshape([-1] + [1] * (x.dim() - axis - 1))
    return (places == best).to(x.dtype)


def dropout(a: Attributes, x: Tensor, ratio: Any = None, training: Any = None) -> Any:
    if training is not None and bool(training) and (ratio is None or float(ratio) != 0):
        raise PassedOver("training")
    return (x.clone(), torch.ones_like(x, dtype=torch.bool)) if len(a.outputs) > 1 else x.clone()


def gemm(a: Attributes, x: Tensor, y: Tensor, z: Tensor | None = None) -> Tensor:
    x, y = (x.T if a.get("transA", 0) else x), (y.T if a.get("transB", 0) else y)
    if z is None:
        return x @ y * a.get("alpha", 1.0)
    return torch.addmm(z, x, y, beta=a.get("beta", 1.0), alpha=a.get("alpha", 1.0))


# -- norms ------------------------------------------------------------------------------------------------------------
def batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    a.refuse(training_mode=0)
    return F.batch_norm(x, mean, var, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def layer_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
    axis, eps = a.get("axis", -1) % x.dim(), a.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    y = F.layer_norm(x, shape, scale.reshape(shape), None if bias is None else bias.reshape(shape), eps)
    axes = list(range(axis, x.dim()))
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (y, mean, torch.rsqrt(var + eps))[: len(a.outputs)]


def rms_norm(a: Attributes, x: Tensor, scale: Tensor) -> Tensor:
    axis = a.get("axis", -1) % x.dim()
    return F.rms_norm(x, x.shape[axis:], scale.expand(x.shape[axis:]), a.get("epsilon", 1e-5))


def lp_normalize(a: Attributes, x: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(x, a.get("p", 2), a.get("axis", -1), keepdim=True)
    return torch.where(norm == 0, torch.zeros_like(x), x / norm)


def mean_variance(a: Attributes, x: Tensor) -> Tensor:
    axes = a.get("axes", [0, 2, 3])
    return (x - x.mean(axes, keepdim=True)) / (x.std(axes, correction=0, keepdim=True) + 1e-9)


# -- reductions -------------------------------------------------------------------------------------------------------
def reduced(f: Callable[[Tensor, list[int], bool], Tensor]) -> Callable[..., Tensor]:
    def row(a: Attributes, x: Tensor, axes: Any = None) -> Tensor:
        chosen = a.get("axes") or numbers(axes)
        if not chosen and a.get("noop_with_empty_axes", 0):
            return f(x, [], True)
        return f(x, [axis % x.dim() for axis in chosen] or list(range(x.dim())), bool(a.get("keepdims", 1)))

    return row


def product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


def total(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.sum(x, axes, keepdim=keep) if axes else x.clone()


def extreme(f: Callable[..., Tensor], any_or_all: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def row(x: Tensor, axes: list[int], keep: bool) -> Tensor:
        if x.numel() == 0:
            raise PassedOver("the greatest of nothing")
        return (any_or_all if x.dtype == torch.bool else f)(x, axes, keepdim=keep)

    return row


def arg(f: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def row(a: Attributes, x: Tensor) -> Tensor:
        axis, keep = a.get("axis", 0), bool(a.get("keepdims", 1))
        if a.get("select_last_index", 0):
            return x.shape[axis] - 1 - f(x.flip(axis), axis, keep)
        return f(x, axis, keep)

    return row


def cumulate(a: Attributes, x: Tensor, axis: np.ndarray) -> Tensor:
    dim = int(axis) % x.dim()
    x = x.flip(dim) if a.get("reverse", 0) else x
    y = torch.cumsum(x, dim, dtype=x.dtype)
    if a.get("exclusive", 0):
        y = torch.cat([torch.zeros_like(y.narrow(dim, 0, 1)), y.narrow(dim, 0, x.shape[dim] - 1)], dim)
    return y.flip(dim) if a.get("reverse", 0) else y


# -- losses -----------------------------------------------------------------------------------------------------------
def nll(a: Attributes, x: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    return F.nll_loss(x, target, weight, ignore_index=a.get("ignore_index", -100), reduction=a.get("reduction", "mean"))


def cross_entropy(a: Attributes, x: Tensor, target: Tensor, weight: Tensor | None = None) -> Any:
    logs = F.log_softmax(x, 1)
    return (nll(a, logs, target, weight), logs)[: len(a.outputs)]


# -- layout -----------------------------------------------------------------------------------------------------------
def expand(a: Attributes, x: Tensor, shape: np.ndarray) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, numbers(shape))).clone()


def flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a.get("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


def reshape(a: Attributes, x: Tensor, shape: np.ndarray) -> Tensor:
    zero_is_zero = a.get("allowzero", 0)
    return x.reshape([x.shape[i] if n == 0 and not zero_is_zero else n for i, n in enumerate(numbers(shape))])


def gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    return x[(slice(None),) * (a.get("axis", 0) % x.dim()) + (index,)]


def gather_elements(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = a.get("axis", 0)
    return torch.gather(x, axis, torch.where(index < 0, index + x.shape[axis], index))


def gather_nd(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    a.refuse(batch_dims=0)
    return x[index.unbind(-1)]


def pad(a: Attributes, x: Tensor, pads: np.ndarray, value: Any = None, axes: Any = None) -> Tensor:
    chosen = [axis % x.dim() for axis in numbers(axes)] or list(range(x.dim()))
    before, after = np.split(np.asarray(pads), 2)
    sides = dict(zip(chosen, zip(before, after, strict=True), strict=True))
    mode = {"edge": "replicate", "wrap": "circular"}.get(a.get("mode", "constant"), a.get("mode", "constant"))
    padded = sorted(axis for axis, both in sides.items() if any(both)) if mode != "constant" else range(x.dim())
    amounts = [int(n) for axis in range(x.dim() - 1, min(padded) - 1, -1) for n in sides.get(axis, (0, 0))]
    return F.pad(x, amounts, mode, *([0 if value is None else value.item()] if mode == "constant" else []))


def slices(a: Attributes, x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    begins, chosen = numbers(starts), numbers(axes)
    for axis, start, end, step in zip(
        chosen or range(len(begins)), begins, numbers(ends), numbers(steps) or [1] * len(begins), strict=True
    ):
        size = x.shape[axis]
        if step > 0:
            low, high, _ = slice(start, end, step).indices(size)
            x = x[(slice(None),) * (axis % x.dim()) + (slice(low, high, step),)]
            continue
        low, high, _ = slice(start, end, step).indices(size)  # high may be -1: from low down to the first
        x = x.flip(axis)[(slice(None),) * (axis % x.dim()) + (slice(size - 1 - low, size - 1 - high, -step),)]
    return x.clone()


def split(a: Attributes, x: Tensor, sizes: Any = None) -> Any:
    axis = a.get("axis", 0)
    parts = numbers(sizes) or -(-x.shape[axis] // len(a.outputs))
    return tuple(part.clone() for part in torch.split(x, parts, axis))


def squeeze(a: Attributes, x: Tensor, axes: Any = None) -> Tensor:
    return x.squeeze(numbers(axes))


def unsqueeze(a: Attributes, x: Tensor, axes: Any) -> Tensor:
    rank = x.dim() + np.size(axes)
    for axis in sorted(n % rank for n in numbers(axes)):
        x = x.unsqueeze(axis)
    return x


def transpose(a: Attributes, x: Tensor) -> Tensor:
    return x.permute(a.get("perm", list(range(x.dim()))[::-1])).clone()


def trilu(a: Attributes, x: Tensor, k: Any = None) -> Tensor:
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if a.get("upper", 1) else torch.tril(x, diagonal)


def depth_to_space(a: Attributes, x: Tensor) -> Tensor:
    if a.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, a["blocksize"])
    (n, c, h, w), b = x.shape, a["blocksize"]
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def space_to_depth(a: Attributes, x: Tensor) -> Tensor:
    (n, c, h, w), b = x.shape, a["blocksize"]
    if a.get("mode", "DCR") == "CRD":
        return F.pixel_unshuffle(x, b)
    return x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)


def one_hot(a: Attributes, index: Tensor, depth: np.ndarray, values: Tensor) -> Tensor:
    n, axis = int(np.asarray(depth).reshape(())), a.get("axis", -1) % (index.dim() + 1)
    places = torch.arange(n, dtype=torch.int64).reshape([-1] + [1] * (index.dim() - axis))
    wanted = index.to(torch.int64).unsqueeze(axis)
    return torch.where(torch.where(wanted < 0, wanted + n, wanted) == places, values[1], values[0])


# -- attention --------------------------------------------------------------------------------------------------------
def heads(x: Tensor, count: int | None) -> Tensor:
    return x if x.dim() == 4 else x.reshape(*x.shape[:2], count, -1).transpose(1, 2)


def attention(
    a: Attributes, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, lengths: Tensor | None = None,
) -> Any:  # fmt: skip
    flat = q.dim() == 3
    q, k, v = heads(q, a.get("q_num_heads")), heads(k, a.get("kv_num_heads")), heads(v, a.get("kv_num_heads"))
    if past_key is not None and past_value is not None:
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
    present = k, v
    rows, columns = q.shape[2], k.shape[2]
    first: Any = past_key.shape[2] if past_key is not None else 0
    if lengths is not None:
        first = (lengths - rows).reshape(-1, 1, 1, 1)
    if mask is not None and mask.shape[-1] < columns:
        missing = torch.full(
            (*mask.shape[:-1], columns - mask.shape[-1]), False if mask.dtype == torch.bool else -math.inf
        )
        mask = torch.cat([mask, missing.to(mask.dtype)], -1)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.where(mask, 0.0, -math.inf)
    diagonal = torch.arange(columns) - torch.arange(rows).reshape(-1, 1) - first  # key's place after the query's
    allowed = []
    if a.get("is_causal", 0):
        allowed.append(diagonal <= 0)
    if a.get("left_window_size", -1) >= 0:
        allowed.append(diagonal >= -a["left_window_size"])
    if a.get("right_window_size", -1) >= 0:
        allowed.append(diagonal <= a["right_window_size"])
    if lengths is not None:
        allowed.append(torch.arange(columns) < lengths.reshape(-1, 1, 1, 1))
    if allowed:
        bias = torch.where(reduce(torch.logical_and, allowed), 0.0, -math.inf)
        mask = bias if mask is None else mask + bias
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scale = a.get("scale", 1 / math.sqrt(q.shape[3]))
    if len(a.outputs) < 4 and not a.get("softcap", 0):
        y, scores = F.scaled_dot_product_attention(q, k, v, mask, scale=scale), None
    else:
        y, scores = spelled_out(a, q * scale, k, v, mask)
    if flat:
        y = y.transpose(1, 2).reshape(y.shape[0], rows, -1)
    results = (y.contiguous(), *(x.clone() for x in present), scores)
    return tuple(result for result, asked in zip(results, a.outputs, strict=False) if asked)


def spelled_out(a: Attributes, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    cap = a.get("softcap", 0.0)
    products = q @ k.transpose(2, 3)
    capped = torch.tanh(products / cap) * cap if cap else products
    biased = capped if mask is None else capped + mask
    weights = torch.softmax(biased, -1)
    if mask is not None:  # ONNX: a row that may see nothing is zero
        weights = torch.where(torch.amax(biased, -1, keepdim=True) == -math.inf, torch.zeros_like(weights), weights)
    return weights @ v, (products, capped, biased, weights)[a.get("qk_matmul_output_mode", 0)].clone()


def rotate(a: Attributes, x: Tensor, cos: Tensor, sin: Tensor, places: Tensor | None = None) -> Tensor:
    flat, shape = x.dim() == 3, x.shape
    x = x.reshape(*shape[:2], a["num_heads"], -1) if flat else x.transpose(1, 2)
    width = a.get("rotary_embedding_dim", 0) or x.shape[3]
    if places is not None:
        cos, sin = cos[places], sin[places]
    cos, sin, turned, rest = cos.unsqueeze(2), sin.unsqueeze(2), x[..., :width], x[..., width:]
    pairs = bool(a.get("interleaved", 0))
    one, two = (turned[..., 0::2], turned[..., 1::2]) if pairs else turned.chunk(2, -1)
    real, imaginary = cos * one - sin * two, sin * one + cos * two
    done = torch.stack([real, imaginary], -1).flatten(-2) if pairs else torch.cat([real, imaginary], -1)
    y = torch.cat([done, rest], -1)
    return y.reshape(shape) if flat else y.transpose(1, 2).contiguous()


# -- quantisation -----------------------------------------------------------------------------------------------------
def along(a: Attributes, x: Tensor, parameter: Tensor) -> Tensor:
    a.refuse(block_size=0)
    return (
        parameter
        if parameter.dim() == 0
        else parameter.reshape([-1] + [1] * (x.dim() - a.get("axis", 1) % x.dim() - 1))
    )


def dequantize(a: Attributes, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    shifted = x.to(torch.float32) - (0 if zero is None else along(a, x, zero).to(torch.float32))
    return shifted * along(a, x, scale)


def quantize(a: Attributes, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
    target = torch.uint8 if zero is None else zero.dtype
    low, high = torch.iinfo(target).min, torch.iinfo(target).max
    shift = 0 if zero is None else along(a, x, zero).to(torch.float32)
    return torch.clamp(torch.round(x / along(a, x, scale)) + shift, low, high).to(target)


def plain(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, *x: f(*x)


def folded(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Any]:
    return lambda a, *x: reduce(f, x) if len(x) > 1 else x[0].clone()


OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: plain(f) for name, f in {
        "Abs": torch.abs, "Acos": torch.acos, "Add": torch.add, "And": torch.logical_and, "Asin": torch.asin,
        "Atan": torch.atan, "BitwiseAnd": torch.bitwise_and,
        "BitwiseNot": torch.bitwise_not, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
        "Ceil": torch.ceil, "Cos": torch.cos, "Cosh": torch.cosh, "Equal": torch.eq, "Erf": torch.erf,
        "Exp": torch.exp, "Floor": torch.floor, "Greater": torch.gt, "GreaterOrEqual": torch.ge,
        "HardSwish": F.hardswish, "Identity": torch.clone, "IsNaN": torch.isnan, "Less": torch.lt,
        "LessOrEqual": torch.le, "Log": torch.log, "MatMul": torch.matmul, "Mish": F.mish, "Mul": torch.mul,
        "Neg": torch.neg, "Not": torch.logical_not, "Or": torch.logical_or, "Reciprocal": torch.reciprocal,
        "Relu": F.relu, "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin,
        "Sinh": torch.sinh, "Softplus": F.softplus, "Softsign": F.softsign, "Sqrt": torch.sqrt, "Sub": torch.sub,
        "Tan": torch.tan, "Tanh": torch.tanh, "Where": torch.where, "Xor": torch.logical_xor,
    }.items()},
    "Div": divide,
    "Mod": remainder,
    "Pow": lambda a, x, y: torch.pow(x, y).to(x.dtype),
    "Max": folded(torch.maximum),
    "Min": folded(torch.minimum),
    "Sum": folded(torch.add),
    "Mean": lambda a, *x: reduce(torch.add, x) / len(x),
    "IsInf": is_inf,
    "Clip": clip,
    "Celu": lambda a, x: F.celu(x, a.get("alpha", 1.0)),
    "Elu": lambda a, x: F.elu(x, a.get("alpha", 1.0)),
    "Selu": selu,
    "LeakyRelu": lambda a, x: F.leaky_relu(x, a.get("alpha", 0.01)),
    "PRelu": lambda a, x, slope: torch.where(x > 0, x, slope * x),
    "Gelu": lambda a, x: F.gelu(x, approximate=a.get("approximate", "none")),
    "HardSigmoid": lambda a, x: torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1),
    "ThresholdedRelu": lambda a, x: F.threshold(x, a.get("alpha", 1.0), 0),
    "Shrink": shrink,
    "Swish": swish,
    "SwiGLU": lambda a, x, y: swish(a, x) * y,
    "Softmax": lambda a, x: torch.softmax(x, a.get("axis", -1)),
    "LogSoftmax": lambda a, x: torch.log_softmax(x, a.get("axis", -1)),
    "Hardmax": hardmax,
    "Dropout": dropout,
    "Gemm": gemm,
    "Einsum": lambda a, *x: torch.einsum(a["equation"], *x),
    "Conv": convolve,
    "ConvTranspose": convolve_transposed,
    "AveragePool": average_pool,
    "MaxPool": max_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": lambda a, x: F.adaptive_avg_pool2d(x, 1),
    "GlobalMaxPool": lambda a, x: F.adaptive_max_pool2d(x, 1),
    "Resize": resize,
    "Upsample": lambda a, x, scales: resize(a, x, None, scales),
    "AffineGrid": lambda a, x, size: F.affine_grid(x, numbers(size), bool(a.get("align_corners", 0))),
    "BatchNormalization": batch_norm,
    "InstanceNormalization": lambda a, x, s, b: F.instance_norm(x, None, None, s, b, eps=a.get("epsilon", 1e-5)),
    "GroupNormalization": lambda a, x, s, b: F.group_norm(x, a["num_groups"], s, b, a.get("epsilon", 1e-5)),
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "LpNormalization": lp_normalize,
    "LRN": lambda a, x: F.local_response_norm(
        x, a["size"], a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("bias", 1.0)),
    "MeanVarianceNormalization": mean_variance,
    "ReduceL1": reduced(lambda x, axes, keep: total(x.abs(), axes, keep)),
    "ReduceL2": reduced(lambda x, axes, keep: torch.sqrt(total(x * x, axes, keep))),
    "ReduceLogSum": reduced(lambda x, axes, keep: torch.log(total(x, axes, keep))),
    "ReduceLogSumExp": reduced(lambda x, axes, keep: torch.logsumexp(x, axes, keep)),
    "ReduceMax": reduced(extreme(torch.amax, torch.any)),
    "ReduceMean": reduced(lambda x, axes, keep: torch.mean(x, axes, keep)),
    "ReduceMin": reduced(extreme(torch.amin, torch.all)),
    "ReduceProd": reduced(product),
    "ReduceSum": reduced(total),
    "ReduceSumSquare": reduced(lambda x, axes, keep: total(x * x, axes, keep)),
    "ArgMax": arg(torch.argmax),
    "ArgMin": arg(torch.argmin),
    "CumSum": cumulate,
    "NegativeLogLikelihoodLoss": nll,
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "Concat": lambda a, *x: torch.cat(x, a["axis"]),
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": slices,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": lambda a, x, repeats: x.repeat(numbers(repeats)),
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": unsqueeze,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Attention": attention,
    "RotaryEmbedding": rotate,
    "DequantizeLinear": dequantize,
    "QuantizeLinear": quantize,
}  # fmt: skip
