"""PyTorch's samples of operators through export and the native runtime: a few, the same ones every time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import opinfo

SAMPLES = 2
MORE_SAMPLES = {  # the last one must agree
    "gather": 5,
    "index_select": 3,
    "nn.functional.adaptive_avg_pool2d": 5,
    "nn.functional.grid_sample": 18,
    "nn.functional.scaled_dot_product_attention": 6,
}
# One of each family, and those that models live on.
OPERATORS = (
    "acos", "add", "amax", "argmax", "asin", "atan2", "bmm", "cat", "chunk", "clamp", "cummax", "cumprod", "cumsum",
    "div (floor_rounding)", "exp", "expand", "gather", "index_add", "index_put", "index_reduce (mean)",
    "index_select", "kthvalue", "logcumsumexp", "masked_fill", "masked_scatter", "matmul", "mean", "median",
    "nn.functional.adaptive_avg_pool2d", "nn.functional.avg_pool2d", "nn.functional.conv1d", "nn.functional.conv2d",
    "nn.functional.cross_entropy", "nn.functional.embedding", "nn.functional.gelu", "nn.functional.grid_sample",
    "nn.functional.group_norm", "nn.functional.interpolate (nearest)", "nn.functional.layer_norm",
    "nn.functional.linear", "nn.functional.max_pool2d", "nn.functional.nll_loss", "nn.functional.pad (constant)",
    "nn.functional.scaled_dot_product_attention",
    "nn.functional.silu", "permute", "pow", "scatter", "scatter_reduce (amax)", "softmax", "sort", "split", "sum",
    "tanh", "topk", "tril", "var", "where",
)  # fmt: skip

# What files hold beside floats. One operator of each way to compute them.
OTHERS = (torch.bool, torch.uint8, torch.int32, torch.int64)
OPERATORS_OF_OTHERS = (
    "add", "any", "argmax", "bitwise_and", "cat", "clamp", "cummin", "cumsum", "div (floor_rounding)", "eq",
    "gather", "matmul", "nn.functional.max_pool2d", "nn.functional.pad (constant)", "pow", "repeat_interleave",
    "roll", "scatter_add", "sort", "split", "sum", "where",
)  # fmt: skip

# What some samples ask for and the runtime refuses, in words.
REFUSED = {
    "index_put": ("a mask as an index",),  # of several values
    "nn.functional.embedding": ("aten.embedding_renorm.default",),  # max_norm writes into the weights
    "nn.functional.scaled_dot_product_attention": ("evaluation mode",),  # dropout, which only training has
}


@pytest.mark.parametrize("name", OPERATORS)
def test_agrees_with_eager(name: str, tmp_path: Path) -> None:
    outcomes = [opinfo.judge(call, tmp_path) for call in opinfo.samples(name, MORE_SAMPLES.get(name, SAMPLES))]
    assert outcomes
    assert name not in MORE_SAMPLES or outcomes[-1].kind == "agrees"
    for outcome in outcomes:
        known = any(reason in outcome.detail for reason in REFUSED.get(name, ()))
        assert outcome.kind in ("agrees", "passed over") or known, outcome


@pytest.mark.parametrize("dtype", OTHERS, ids=str)
@pytest.mark.parametrize("name", OPERATORS_OF_OTHERS)
def test_other_types_are_computed_or_refused(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """What export wrote is right or refused in words. It is never a bad file."""
    for call in opinfo.samples(name, 1, dtype):
        assert opinfo.judge(call, tmp_path).kind in ("agrees", "passed over", "unsupported", "refused")
