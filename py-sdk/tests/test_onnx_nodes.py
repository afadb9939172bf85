"""ONNX's node tests, as the PyTorch calls that say the same, through export and the native runtime.

All cases of an operator stand side by side in one model: a tenth of the exports, and of the time.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from wasmkiln import ExportError

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import onnx_nodes
from tools.onnx_ops import OPERATORS

JUDGED = 760  # cases, at least

# What makes a case no test of ours. Another reason is a failure of the table.
PASSED_OVER = {
    "types": "inputs or outputs of types that kernels do not compute in (float16, int16, …) or sequences",
    "the greatest of nothing": "PyTorch refuses it",
    "training": "dropout that drops",
    "training_mode=1": "statistics that change",
    "antialias=1": "PyTorch's weights differ",
    "block_size=2": "scales per block",
    "batch_dims=1": "no such gather in PyTorch",
    "storage_order=1": "column-major places",
    "exclude_outside=1": "PyTorch counts what lies outside",
    "coordinate_transformation_mode=tf_crop_and_resize": "not in PyTorch",
    "coordinate_transformation_mode=half_pixel_symmetric": "not in PyTorch",
    "coordinate_transformation_mode=asymmetric": "not in PyTorch",
    "extrapolation_value=10.0": "not in PyTorch",
    "keep_aspect_ratio_policy=not_larger": "not in PyTorch",
    "keep_aspect_ratio_policy=not_smaller": "not in PyTorch",
    "rounding between places": "PyTorch rounds down",
    "corners of a size with a fraction": "PyTorch rounds the size first",
    "coordinate_transformation_mode=pytorch_half_pixel": "PyTorch does otherwise in a size of 1",
    "nearest_mode=floor": "not in PyTorch",
    "nearest_mode=ceil": "not in PyTorch",
    "nearest_mode=round_prefer_ceil": "not in PyTorch",
}

# Operators of ONNX without a row. An operator that gains one leaves this list; one that ONNX adds is decided upon.
WITHOUT_ROW = set(
    """
    Acosh Adagrad Adam ArrayFeatureExtractor Asinh Atanh Bernoulli Binarizer BitCast BitShift
    BlackmanWindow Cast CastLike CausalConvWithState CenterCropPad Col2Im Compress Constant ConstantOfShape
    ConvInteger CumProd DFT
    DeformConv Det DynamicQuantizeLinear EyeLike FlexAttention GRU GridSample HammingWindow HannWindow If ImageDecoder
    LSTM LabelEncoder LinearAttention Loop MatMulInteger MaxUnpool MelWeightMatrix Momentum NonMaxSuppression NonZero
    OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul RNN Range RegexFullMatch ReverseSequence RoiAlign
    STFT Scan Scatter ScatterElements ScatterND SequenceInsert SequenceMap Shape Size SplitToSequence StringConcat
    StringNormalizer StringSplit TensorScatter TfIdfVectorizer TopK TreeEnsemble Unique
""".split()
)

# What the exporter or the runtime refuses, in these words.
REFUSED = {
    "maxpool_2d_uint8": "only float32 is supported",
    "einsum_batch_diagonal": "aten.diagonal.default",
    "maxpool_with_argmax_2d_precomputed_pads": "output 1 is read, but cannot be computed here",
}

ROUNDED = {"averagepool_2d_ceil_last_window_starts_on_pad": 2e-4}  # what ONNX expects is written with four digits


def test_no_case_is_skipped_silently() -> None:
    cases = onnx_nodes.cases()
    assert set(cases) - set(OPERATORS) == WITHOUT_ROW
    assert set(OPERATORS) <= set(cases)
    reasons = Counter(onnx_nodes.why_not(case) for op in OPERATORS for case in cases[op])
    assert set(reasons) - {""} <= set(PASSED_OVER)
    assert reasons[""] >= JUDGED
    assert set(REFUSED) <= {case.name for op in OPERATORS for case in cases[op]}


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_agrees_with_onnx(op: str, tmp_path: Path) -> None:
    judged = [case for case in onnx_nodes.cases()[op] if not onnx_nodes.why_not(case)]
    refused = [case for case in judged if case.name in REFUSED]
    assert judged
    for case in refused:
        try:
            answer = str(onnx_nodes.judge([case], tmp_path))
        except ExportError as error:
            answer = str(error)
        assert REFUSED[case.name] in answer
    accepted = [case for case in judged if case not in refused]
    assert not accepted or onnx_nodes.judge(accepted, tmp_path, ROUNDED) == {}
