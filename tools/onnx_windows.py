"""Convolutions, pooling and resizing as ONNX describes them, in PyTorch's words; part of the table in onnx_ops.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812, as everybody calls it
from torch import Tensor

from tools.onnx_attributes import Attributes, PassedOver

Pads = list[tuple[int, int]]
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
LARGEST = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class Window:
    """Kernel, strides, dilations and pads of a node over the spatial dims of `x`."""

    def __init__(self, a: Attributes, x: Tensor, kernel: list[int]) -> None:
        self.rank = rank = len(kernel)
        self.kernel = kernel
        self.strides: list[int] = a.get("strides", [1] * rank)
        self.dilations: list[int] = a.get("dilations", [1] * rank)
        pads, auto = a.get("pads", [0] * 2 * rank), a.get("auto_pad", "NOTSET")
        self.pads: Pads = list(zip(pads[:rank], pads[rank:], strict=True))
        if auto.startswith("SAME"):
            self.pads = [self.same(auto, size, i) for i, size in enumerate(x.shape[2:])]
        self.even = all(before == after for before, after in self.pads)

    def same(self, auto: str, size: int, i: int) -> tuple[int, int]:
        reach = (self.kernel[i] - 1) * self.dilations[i] + 1
        missing = max(0, (math.ceil(size / self.strides[i]) - 1) * self.strides[i] + reach - size)
        small = missing // 2
        return (small, missing - small) if auto == "SAME_UPPER" else (missing - small, small)

    def begin(self) -> list[int]:
        return [before for before, _ in self.pads]

    def padded(self, x: Tensor, value: float) -> Tensor:
        return F.pad(x, [n for both in reversed(self.pads) for n in both], value=value)


def convolve(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    window = Window(a, x, list(weight.shape[2:]))
    x, pads = (x, window.begin()) if window.even else (window.padded(x, 0), [0] * window.rank)
    return CONVOLVE[window.rank](x, weight, bias, window.strides, pads, window.dilations, a.get("group", 1))


def convolve_transposed(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    window = Window(a.but(auto_pad="NOTSET"), x, list(weight.shape[2:]))
    extra, rank = a.get("output_padding", [0] * window.rank), window.rank
    f, group = TRANSPOSED[rank], a.get("group", 1)
    if window.even and "output_shape" not in a and not a.get("auto_pad", "NOTSET").startswith("SAME"):
        return f(x, weight, bias, window.strides, window.begin(), extra, group, window.dilations)
    y = f(x, weight, bias, window.strides, 0, extra, group, window.dilations)  # all of it, then a part
    for i, (before, after) in enumerate(window.pads):
        size = y.shape[2 + i] - before - after
        if "output_shape" in a or "auto_pad" in a:
            size = a["output_shape"][i] if "output_shape" in a else x.shape[2 + i] * window.strides[i]
            over = y.shape[2 + i] - size
            before = over // 2 if a.get("auto_pad") == "SAME_UPPER" else over - over // 2
            if over < 0:  # more is asked for than there is
                y, before = F.pad(y, [0, 0] * (rank - 1 - i) + [0, -over]), 0
        y = y.narrow(2 + i, before, size)
    return y.clone()


def covered(window: Window, x: Tensor, ceil: bool) -> list[int]:
    """What is missing behind, per dim, for the last window of ONNX's `ceil_mode`."""
    behind = []
    for i, (before, after) in enumerate(window.pads):
        reach = (window.kernel[i] - 1) * window.dilations[i] + 1
        span = x.shape[2 + i] + before + after - reach
        steps = math.ceil(span / window.strides[i]) if ceil else span // window.strides[i]
        if ceil and steps * window.strides[i] >= x.shape[2 + i] + before:
            steps -= 1  # a window that would begin in the padding behind
        behind.append(max(0, steps * window.strides[i] - span))
    return behind


def average_pool(a: Attributes, x: Tensor) -> Tensor:
    window, ceil = Window(a, x, a["kernel_shape"]), bool(a.get("ceil_mode", 0))
    f, counted = AVERAGE[window.rank], bool(a.get("count_include_pad", 0))
    if any(d != 1 for d in window.dilations):
        return dilated_average(window, x, ceil, counted)
    if window.even and all(2 * pad <= size for pad, size in zip(window.begin(), window.kernel, strict=True)):
        return f(x, window.kernel, window.strides, window.begin(), ceil, counted)
    behind = covered(window, x, ceil)
    ones = window.padded(torch.ones_like(x), 1.0 if counted else 0.0)
    extra = [n for size in reversed(behind) for n in (0, size)]
    totals, counts = F.pad(window.padded(x, 0), extra), F.pad(ones, extra)
    return f(totals, window.kernel, window.strides) / f(counts, window.kernel, window.strides)


def dilated_average(window: Window, x: Tensor, ceil: bool, counted: bool) -> Tensor:
    """By a convolution of each channel with ones, which may be dilated."""
    extra = [n for size in reversed(covered(window, x, ceil)) for n in (0, size)]
    channels = x.shape[1]
    weight = torch.ones(channels, 1, *window.kernel)
    ones = F.pad(window.padded(torch.ones_like(x), 1.0 if counted else 0.0), extra)

    def sums(y: Tensor) -> Tensor:
        return CONVOLVE[window.rank](y, weight, None, window.strides, 0, window.dilations, channels)

    return sums(F.pad(window.padded(x, 0), extra)) / sums(ones)


def max_pool(a: Attributes, x: Tensor) -> Any:
    window, ceil = Window(a, x, a["kernel_shape"]), bool(a.get("ceil_mode", 0))
    asked = len(a.outputs) > 1
    if asked:
        a.refuse(storage_order=0)
    pads = window.begin()
    if not (window.even and all(2 * pad <= size for pad, size in zip(pads, window.kernel, strict=True))):
        x, pads = window.padded(x, -math.inf), [0] * window.rank
    return LARGEST[window.rank](x, window.kernel, window.strides, pads, window.dilations, ceil, return_indices=asked)


def lp_pool(a: Attributes, x: Tensor) -> Tensor:
    p = a.get("p", 2)
    means = average_pool(a.but(count_include_pad=1), x.abs() ** p)
    return (means * math.prod(a["kernel_shape"])) ** (1 / p)


def resize(a: Attributes, x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None) -> Tensor:
    a.refuse(antialias=0, exclude_outside=0, keep_aspect_ratio_policy="stretch", extrapolation_value=0.0)
    mode, where = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    axes = [axis % x.dim() for axis in a.get("axes", range(x.dim()))]
    given = scales if scales is not None and np.size(scales) else sizes
    by_axis = dict(zip(axes, np.asarray(given).tolist(), strict=True))
    chosen = [by_axis.get(axis, 1.0 if given is scales else x.shape[axis]) for axis in range(2, x.dim())]
    factor = [n / (1 if given is scales else size) for n, size in zip(chosen, x.shape[2:], strict=True)]
    if mode == "nearest":
        a.refuse(nearest_mode="round_prefer_floor")
        if any(f != round(f) for f in factor):
            raise PassedOver("rounding between places")
    elif (
        where == "align_corners"
        and given is scales
        and any(f * n % 1 for f, n in zip(factor, x.shape[2:], strict=True))
    ):
        raise PassedOver("corners of a size with a fraction")
    elif where not in ("half_pixel", "align_corners"):
        a.refuse(coordinate_transformation_mode="half_pixel")
    how = {"nearest": "nearest", "linear": {1: "linear", 2: "bilinear"}[x.dim() - 2], "cubic": "bicubic"}[mode]
    corners = None if mode == "nearest" else where == "align_corners"
    if given is scales:
        return F.interpolate(x, scale_factor=chosen, mode=how, align_corners=corners)
    return F.interpolate(x, size=[int(n) for n in chosen], mode=how, align_corners=corners)
