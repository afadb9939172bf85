"""Convolutions and pooling in three dims, against PyTorch and onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import wasmkiln
from native import run
from test_onnx_control import check
from torch import Tensor, nn
from torch.nn import functional as F


class Pool(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


C, T = nn.Conv3d, nn.ConvTranspose3d
MODULES: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: C(6, 8, 3, padding=1),
    "strides and dilations of their own": lambda: C(6, 4, (2, 3, 1), (2, 1, 3), (1, 2, 0), (3, 1, 1), bias=False),
    "groups": lambda: C(6, 9, (3, 1, 2), padding=(1, 0, 1), groups=3),
    "each channel alone": lambda: C(6, 6, 3, 2, 1, groups=6),
    "no depth": lambda: C(6, 5, (1, 3, 3), padding=(0, 1, 1)),
    "the whole depth": lambda: C(6, 5, (5, 1, 1)),
    "transposed": lambda: T(6, 4, 3, 2, 1, output_padding=1),
    "transposed, in groups": lambda: T(6, 8, (3, 2, 3), (1, 2, 3), (0, 1, 2), (0, 1, 0), groups=2, dilation=(2, 1, 1)),
    "transposed, more padding than reach": lambda: T(6, 4, (2, 3, 3), 1, (2, 1, 1)),
    "largest": lambda: Pool(lambda x: F.max_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0), (2, 1, 1))),
    "largest, over the end": lambda: Pool(lambda x: F.max_pool3d(x, 2, ceil_mode=True)),
    "mean": lambda: Pool(lambda x: F.avg_pool3d(x, 3, 2, 1)),
    "mean of what is inside": lambda: Pool(lambda x: F.avg_pool3d(x, (3, 2, 3), 2, 1, count_include_pad=False)),
    "mean, over the end": lambda: Pool(lambda x: F.avg_pool3d(x, 3, 2, 1, ceil_mode=True)),
    "mean by 5": lambda: Pool(lambda x: F.avg_pool3d(x, 2, 1, divisor_override=5)),
    "shares": lambda: Pool(lambda x: F.adaptive_avg_pool3d(x, (2, 3, 4))),
    "largest of shares": lambda: Pool(lambda x: F.adaptive_max_pool3d(x, (2, 3, 4))),
    "one": lambda: Pool(lambda x: F.adaptive_avg_pool3d(x, 1)),
}


@pytest.mark.parametrize("name", MODULES)
def test_in_three_dims(name: str, tmp_path: Path) -> None:
    """Sums of at most 6 · 27 products."""
    torch.manual_seed(56)
    model, x = MODULES[name]().eval(), torch.randn(2, 6, 5, 7, 8)
    path = tmp_path / "model.kiln"
    wasmkiln.export(model, (x,), path, output_names=["y"])
    with torch.no_grad():
        torch.testing.assert_close(run(path, [x])["y"], model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "node",
    [
        "Conv<pads = [0,1,2,2,0,1], strides = [1,2,1]>(x, w)",
        'Conv<auto_pad = "SAME_UPPER", strides = [2,1,2]>(x, w)',
        'Conv<auto_pad = "SAME_LOWER">(x, w)',
        "MaxPool<kernel_shape = [2,3,2], pads = [1,0,0,0,2,1], strides = [1,2,1]>(x)",
        "AveragePool<kernel_shape = [2,3,2], pads = [1,0,0,0,2,1], ceil_mode = 1, strides = [2,2,2]>(x)",
        "ConvTranspose<pads = [0,1,1,1,0,1], strides = [2,1,2], output_padding = [1,0,1]>(x, t)",
    ],
)
def test_onnx_in_three_dims(node: str, tmp_path: Path) -> None:
    text = f"""
    g (float[2,3,5,6,7] x, float[4,3,2,3,2] w, float[3,4,2,3,2] t) => (float[a,b,c,d,e] y) {{
      y = {node}
    }}"""
    generator = np.random.default_rng(56)
    inputs = {"x": (2, 3, 5, 6, 7), "w": (4, 3, 2, 3, 2), "t": (3, 4, 2, 3, 2)}
    check(text, [{name: generator.standard_normal(s).astype(np.float32) for name, s in inputs.items()}], tmp_path)
