"""Results whose size the data decide, in .onnx files, against onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_onnx_control import check, model, run

GENERATOR = np.random.default_rng(56)


def floats(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def few(*shape: int) -> np.ndarray:
    """Numbers with many equal ones."""
    return GENERATOR.integers(0, 4, shape).astype(np.float32)


def test_what_is_not_zero(tmp_path: Path) -> None:
    """None, some, all; more elements than are written out, and NaN and −0."""
    text = "g (float[{0}] x) => (int64[d,n] y) {{ y = NonZero(x) }}"
    odd = np.array([0.0, -0.0, np.nan, np.inf, -1e-45], np.float32)
    check(text.format("5"), [{"x": x.astype(np.float32)} for x in (odd, np.zeros(5), np.ones(5))], tmp_path)
    check(text.format("3,4,5"), [{"x": np.maximum(floats(3, 4, 5), 0)}], tmp_path)
    check(text.format("100,70"), [{"x": np.maximum(floats(100, 70), 0)}], tmp_path)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parts_along_an_axis(axis: int, tmp_path: Path) -> None:
    shape = [4, 5, 3]
    text = f"g (float[4,5,3] x, bool[{shape[axis]}] c) => (float[a,b,c] y) {{ y = Compress<axis = {axis}>(x, c) }}"
    masks = [GENERATOR.random(shape[axis]) < p for p in (0.5, -1.0, 2.0)]
    check(text, [{"x": floats(4, 5, 3), "c": mask} for mask in masks], tmp_path)


def test_what_follows_part_by_part(tmp_path: Path) -> None:
    """Moves, maps, products and sums that leave the axis alone; two results of one size; an index of another table."""
    text = """
    g (float[6,4] x, bool[6] c, float[4,3] w, float[3] b) => (float[n,3] y, float[3,n] z, float[n] s, int64[n,1] i) {
      k = Compress<axis = 0>(x, c)
      p = MatMul(k, w)  y = Add(p, b)
      r = Relu(y)  z = Transpose<perm = [1, 0]>(r)
      q = Mul(k, k)  s = ReduceMean<axes = [1], keepdims = 0>(q)
      f = Cast<to = 1>(c)  o = NonZero(f)  i = Transpose<perm = [1, 0]>(o)
    }"""
    masks = [GENERATOR.random(6) < p for p in (0.5, -1.0, 2.0)]
    check(text, [{"x": floats(6, 4), "c": m, "w": floats(4, 3), "b": floats(3)} for m in masks], tmp_path)
    text = """
    g (float[6] x, float[6,3] t) => (float[n,3] y) {
      o = NonZero(x)  axes = Constant<value = int64[1] {0}>()  i = Squeeze(o, axes)  y = Gather<axis = 0>(t, i)
    }"""
    check(text, [{"x": np.maximum(floats(6), 0), "t": floats(6, 3)}], tmp_path)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("type_name", ["float", "int64"])
def test_elements_that_differ(order: int, type_name: str, tmp_path: Path) -> None:
    types = {"float": np.float32, "int64": np.int64}
    text = f"""
    g ({type_name}[3,7] x) => ({type_name}[n] y, int64[n] i, int64[m] v, int64[n] c) {{
      y, i, v, c = Unique<sorted = {order}>(x)
    }}"""
    inputs = [few(3, 7), np.ones((3, 7)), GENERATOR.permutation(21).reshape(3, 7)]
    check(text, [{"x": x.astype(types[type_name])} for x in inputs], tmp_path)


@pytest.mark.parametrize(("axis", "order"), [(0, 0), (0, 1), (1, 1), (-1, 0)])
def test_rows_that_differ(axis: int, order: int, tmp_path: Path) -> None:
    text = f"""
    g (float[8,2,5] x) => (float[a,b,c] y, int64[n] i, int64[m] v, int64[n] k) {{
      y, i, v, k = Unique<axis = {axis}, sorted = {order}>(x)
    }}"""
    x = few(8, 2, 5)
    x[3], x[5], x[:, :, 2] = x[1], x[1], x[:, :, 4]
    check(text, [{"x": x}], tmp_path)
    wide = np.repeat(few(6, 1), 300, axis=1)
    wide[4, 299] += 1
    text = text.replace("8,2,5", "6,300").replace(f"axis = {axis}", "axis = 0").replace("a,b,c", "a,b")
    check(text, [{"x": wide}], tmp_path)


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_boxes_that_overlap(most: int, tmp_path: Path) -> None:
    """Several images and classes, corners in any order, without a class, none above the threshold."""
    text = f"""
    g (float[2,40,4] b, float[2,3,40] s) => (int64[n,3] y) {{
      most = Constant<value = int64[1] {{{most}}}>()  o = Constant<value = float[1] {{0.3}}>()
      t = Constant<value = float[1] {{0.4}}>()  y = NonMaxSuppression(b, s, most, o, t)
    }}"""
    corners = GENERATOR.random((2, 40, 4)).astype(np.float32)
    scores = GENERATOR.random((2, 3, 40)).astype(np.float32)
    scores[0, 1] = 0
    check(text, [{"b": corners, "s": scores}, {"b": corners, "s": scores * 0}], tmp_path)
    centres = text.replace("NonMaxSuppression", "NonMaxSuppression<center_point_box = 1>")
    check(centres, [{"b": corners, "s": scores}], tmp_path)


@pytest.mark.parametrize(
    ("refused", "follows"),
    [
        ("onnx.ReduceSum", "y = ReduceSum(k)"),
        ("onnx.Shape", "s = Shape(k)  y = Cast<to = 1>(s)"),
        ("onnx.Add", "y = Add(k, x)"),
        ("onnx.Softmax", "y = Softmax<axis = 0>(k)"),
        ("onnx.Concat", "y = Concat<axis = 0>(k, x)"),
        ("onnx.Gather", "i = Cast<to = 7>(k)  j = Add(i, i)  y = Gather(x, j)"),
    ],
)
def test_what_may_not_follow(refused: str, follows: str, tmp_path: Path) -> None:
    """What would count the elements that are not there."""
    proto = model(f"g (float[6] x, bool[6] c) => (float[n] y) {{ k = Compress<axis = 0>(x, c)  {follows} }}")
    done = run(proto, {"x": floats(6), "c": np.ones(6, bool)}, tmp_path)
    assert done.returncode == 1
    assert f"{refused}: a run decides how many parts of its operand [6]" in done.stderr, done.stderr
