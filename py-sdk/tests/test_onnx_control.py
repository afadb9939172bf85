"""If, Loop and Scan in .onnx files, against onnxruntime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import opinfo


def model(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]>\n' + text)


def run(proto: onnx.ModelProto, inputs: dict, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    command = [str(opinfo.KILN), "run", str(path), "--output-dir", str(folder), *more]
    for name, x in inputs.items():
        (folder / f"{name}.in").write_bytes(np.ascontiguousarray(x).tobytes())
        command += ["--input", f"{name}={folder / name}.in"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, errors="replace")


def check(text: str, cases: list[dict], folder: Path, tolerance: float = 1e-5) -> None:
    """The same outputs as onnxruntime's, on one thread and on two."""
    proto = model(text)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for inputs in cases:
        wanted = session.run(None, inputs)
        for threads in ("1", "2"):
            done = run(proto, inputs, folder, "--threads", threads)
            assert done.returncode == 0, done.stderr
            for port, want in zip(proto.graph.output, wanted, strict=True):
                got = np.fromfile(folder / f"{port.name}.bin", want.dtype).reshape(want.shape)
                np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=f"{inputs} {threads}")


def yes(*values: bool) -> list[dict]:
    return [{"c": np.array(v)} for v in values]


X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], np.float32)


def test_a_branch_that_a_run_chooses(tmp_path: Path) -> None:
    """With values from around it, views and constants as results, and nothing done in the other branch."""
    text = """
    g (float[2,3] x, bool c) => (float[2,3] y, float[3,2] z, float[2,3] w) {
      d = Mul(x, x)
      y, t, w = If (c) <
        then_branch = a () => (float[2,3] p, float[3,2] q, float[2,3] r) {
          s = Add(d, x)  p = Relu(s)  q = Transpose(x)  r = Identity(x) },
        else_branch = b () => (float[2,3] p, float[3,2] q, float[2,3] r) {
          p = Neg(d)  e = Exp(x)  q = Reshape(e, to)  r = Constant <value = float[2,3] {1, 2, 3, 4, 5, 6}> () }>
      t2 = Abs(t)  z = Sqrt(t2)
    }"""
    text = text.replace("d = Mul(x, x)", "d = Mul(x, x)  to = Constant <value = int64[2] {3, 2}> ()")
    check(text, [{"x": X, **c} for c in yes(True, False)], tmp_path)


def test_branches_in_branches(tmp_path: Path) -> None:
    text = """
    g (float[2,3] x, bool c, bool e) => (float[2,3] y) {
      y = If (c) <
        then_branch = a () => (float[2,3] y) {
          s = ReduceSum<keepdims = 0>(x)  zero = Constant <value = float {0}> ()  more = Greater(s, zero)
          both = And(more, e)
          y = If (both) <then_branch = aa () => (float[2,3] u) { u = Exp(x) },
                         else_branch = ab () => (float[2,3] u) { u = Sin(x) }> },
        else_branch = b () => (float[2,3] y) {
          y = If (e) <then_branch = ba () => (float[2,3] u) { u = Cos(x) },
                      else_branch = bb () => (float[2,3] u) { u = Identity(x) }> }>
    }"""
    cases = [{"x": x, "c": np.array(c), "e": np.array(e)} for x in (X, -X) for c in (0, 1) for e in (0, 1)]
    for case in cases:
        case["c"], case["e"] = case["c"].astype(bool), case["e"].astype(bool)
    check(text, cases, tmp_path)


def test_a_branch_that_is_known_is_the_only_one(tmp_path: Path) -> None:
    """The other holds an operator that nobody knows and another shape."""
    text = """
    g (float[2,3] x) => (float[2,3] y) {
      s = Shape(x)  i = Constant <value = int64 {0}> ()  n = Gather(s, i)  two = Constant <value = int64 {2}> ()
      c = Equal(n, two)
      y = If (c) <then_branch = a () => (float[2,3] u) { u = Relu(x) },
                  else_branch = b () => (float[1] u) { v = nowhere.Unknown(x)  u = ReduceSum(v) }>
    }"""
    done = run(model(text), {"x": X}, tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.bin", np.float32).reshape(2, 3), np.maximum(X, 0))


LOOP = """
    g (float[2,3] x) => (float[2,3] y, float[N,2,3] z) {
      most = Constant <value = int64 {ROUNDS}> ()
      y, z = Loop (most, , x) <body = b (int64 i, bool c, float[2,3] v) => (bool go, float[2,3] w, float[2,3] u) {
        go = Identity(c)  f = Cast <to = 1> (i)  ten = Constant <value = float {0.01}> ()
        h = Mul(f, ten)  s = Sin(v)  w = Add(s, h)  u = Mul(v, x) }>
    }"""


@pytest.mark.parametrize("rounds", [1, 3, 100, 1000])
def test_loops_of_a_known_length(rounds: int, tmp_path: Path) -> None:
    check(LOOP.replace("ROUNDS", str(rounds)), [{"x": X}], tmp_path)


def test_a_loop_that_data_end(tmp_path: Path) -> None:
    """A condition, with and without a bound that only the run knows; no round at all; what is carried is swapped."""
    for most in ("most", ""):
        text = f"""
        g (float[2,3] x, int64 most, bool c) => (float[2,3] y, float[2,3] z) {{
          limit = Constant <value = float {{0.05}}> ()  half = Constant <value = float {{0.75}}> ()
          y, z = Loop ({most}, c, x, h) <body = b (int64 i, bool c1, float[2,3] v, float[2,3] w)
                                   => (bool go, float[2,3] w1, float[2,3] v1) {{
            v1 = Mul(v, half)  w1 = Identity(w)  a = Abs(v1)  s = ReduceSum<keepdims = 0>(a)
            go = Greater(s, limit) }}>
        }}""".replace("limit =", "h = Neg(x)  limit =")
        cases = [
            {"x": X, "most": np.array(n, np.int64), "c": np.array(c)} for n in (0, 1, 4, 1000) for c in (True, False)
        ]
        check(text, cases, tmp_path)


def test_greedy_search(tmp_path: Path) -> None:
    """Tokens by argmax until one ends it, in a tensor that is carried; a branch in the loop."""
    text = """
    g (float[8,8] weights, int64[1] first) => (int64[16] tokens, int64 count) {
      most = Constant <value = int64 {15}> ()  yes = Constant <value = bool {1}> ()
      n = Constant <value = int64[1] {16}> ()
      row = Constant <value = int64[16] {0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}> ()
      end = Constant <value = int64 {7}> ()  one = Constant <value = int64 {1}> ()
      zero = Constant <value = int64 {0}> ()
      start = Expand(first, n)
      tokens, last, count = Loop (most, yes, start, first, zero) <body =
          b (int64 i, bool c, int64[16] t, int64[1] at, int64 k) => (bool go, int64[16] t1, int64[1] next, int64 k1) {
        scores = Gather(weights, at)
        next = ArgMax<axis = 1, keepdims = 0>(scores)
        j = Add(i, one)  here = Equal(row, j)  t1 = Where(here, next, t)
        ends = Equal(next, end)  e0 = Squeeze(ends)  go = Not(e0)
        even = Mod(i, two)  is_even = Equal(even, zero)
        k1 = If (is_even) <then_branch = p () => (int64 k2) { k2 = Add(k, one) },
                           else_branch = q () => (int64 k2) { k2 = Identity(k) }> }>
    }""".replace("start =", "two = Constant <value = int64 {2}> ()  start =")
    rng = np.random.default_rng(3)
    cases = [
        {"weights": rng.standard_normal((8, 8)).astype(np.float32), "first": np.array([i % 7], np.int64)}
        for i in range(6)
    ]
    check(text, cases, tmp_path, 0)


def test_loops_in_loops_and_branches(tmp_path: Path) -> None:
    text = """
    g (float[2,3] x, bool c, int64 n) => (float[2,3] y) {
      y = If (c) <
        then_branch = a () => (float[2,3] y) {
          five = Constant <value = int64 {500}> ()
          y = Loop (five, , x) <body = b (int64 i, bool g, float[2,3] v) => (bool go, float[2,3] w) {
            go = Identity(g)
            s = Loop (n, , v) <body = d (int64 j, bool g2, float[2,3] p) => (bool go2, float[2,3] q) {
              go2 = Identity(g2)  r = Add(p, x)  q = Tanh(r) }>
            t = Cos(s)  w = Mul(t, x) }> },
        else_branch = e () => (float[2,3] y) { y = Neg(x) }>
    }"""
    cases = [{"x": X / 4, "c": np.array(c), "n": np.array(n, np.int64)} for c in (True, False) for n in (0, 1, 7)]
    check(text, cases, tmp_path, 1e-4)


@pytest.mark.parametrize("length", [1, 4, 300])
def test_scans(length: int, tmp_path: Path) -> None:
    """Two states, along different axes, forwards and backwards."""
    text = f"""
    g (float[3] a, float[3] b, float[{length},3] x, float[3,{length}] u) =>
      (float[3] p, float[3] q, float[3,{length}] y, float[{length},3] z) {{
      p, q, y, z = Scan (a, b, x, u) <num_scan_inputs = 2, scan_input_axes = [0, 1], scan_input_directions = [0, 1],
        scan_output_axes = [1, -2], scan_output_directions = [0, 1],
        body = s (float[3] a0, float[3] b0, float[3] x0, float[3] u0) =>
                 (float[3] a1, float[3] b1, float[3] y0, float[3] z0) {{
          m = Mul(a0, x0)  a1 = Sin(m)  b1 = Add(a0, u0)  y0 = Add(b0, x0)  z0 = Identity(a0) }}>
    }}"""
    rng = np.random.default_rng(4)
    inputs = {n: rng.standard_normal(s).astype(np.float32) for n, s in
              (("a", 3), ("b", 3), ("x", (length, 3)), ("u", (3, length)))}  # fmt: skip
    check(text, [inputs], tmp_path)


def test_products_in_a_loop(tmp_path: Path) -> None:
    """Weights are packed once, however often the loop goes round; a convolution's zeros are stored."""
    rng = np.random.default_rng(5)
    text = """
    g (float[4,16] x, float[1,2,6,6] m) => (float[4,16] y, float[1,2,6,6] k) {
      most = Constant <value = int64 {300}> ()
      y, k = Loop (most, , x, m) <body = b (int64 i, bool c, float[4,16] v, float[1,2,6,6] f) =>
                                  (bool go, float[4,16] w, float[1,2,6,6] f1) {
        go = Identity(c)  p = MatMul(v, weights)  w = Tanh(p)
        q = Conv<pads = [1, 1, 1, 1]>(f, kernel)  f1 = Tanh(q) }>
    }"""
    proto = model(text)
    for name, shape in (("weights", (16, 16)), ("kernel", (2, 2, 3, 3))):
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array((rng.standard_normal(shape) / 3).astype(np.float32), name)
        )
    inputs = {n: rng.standard_normal(s).astype(np.float32) for n, s in (("x", (4, 16)), ("m", (1, 2, 6, 6)))}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    done = run(proto, inputs, tmp_path, "--threads", "2")
    assert done.returncode == 0, done.stderr
    for port, want in zip(proto.graph.output, session.run(None, inputs), strict=True):
        got = np.fromfile(tmp_path / f"{port.name}.bin", np.float32).reshape(want.shape)
        np.testing.assert_allclose(got, want, atol=2e-4)


def test_a_value_that_grows(tmp_path: Path) -> None:
    text = """
    g (float[1,2] x) => (float[5,2] y) {
      most = Constant <value = int64 {4}> ()
      y = Loop (most, , x) <body = b (int64 i, bool c, float[N,2] v) => (bool go, float[M,2] w) {
        go = Identity(c)  s = ReduceSum<keepdims = 1>(v, axes)  w = Concat<axis = 0>(v, s) }>
    }""".replace("most =", "axes = Constant <value = int64[1] {0}> ()  most =")
    check(text, [{"x": np.ones((1, 2), np.float32)}], tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            """g (float[2,3] x, bool c) => (float[N] y) {
              y = If (c) <then_branch = a () => (float[N] u) {
                            one = Constant <value = int64[1] {-1}> () u = Reshape(x, one) },
                          else_branch = b () => (float[N] u) { u = Constant <value = float[2] {1, 2}> () }> }""",
            "float32[6] or float32[2]",
        ),
        (
            """g (float[2,3] x, int64 n) => (float[N,2,3] y) {
              z, y = Loop (n, , x) <body = b (int64 i, bool c, float[2,3] v) => (bool go, float[2,3] w, float[2,3] u) {
                go = Identity(c)  w = Neg(v)  u = Identity(v) }> }""",
            "known only when it runs",
        ),
        (
            """g (float[2,3] x, bool c) => (float[2,3] y) {
              y = Loop (, c, x) <body = b (int64 i, bool c1, float[2,3] v) => (bool go, float[2,3] w) {
                go = Constant <value = bool {1}> ()  w = Neg(v) }> }""",
            "never ends",
        ),
    ],
)
def test_what_is_refused(text: str, why: str, tmp_path: Path) -> None:
    inputs = {"x": X, "c": np.array(True), "n": np.array(2, np.int64)}
    proto = model(text)
    done = run(proto, {p.name: inputs[p.name] for p in proto.graph.input}, tmp_path)
    assert done.returncode == 1
    assert why in done.stderr


def test_graphs_too_deep(tmp_path: Path) -> None:
    """A thousand, as a stranger would write them: no library that is well kept writes or reads so many."""

    def field(number: int, content: bytes) -> bytes:
        size, out = len(content), [number * 8 + 2]
        while size > 127:
            out.append(size % 128 + 128)
            size //= 128
        return bytes([*out, size]) + content

    graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Relu"))
    for _ in range(1000):
        branch = field(5, field(1, b"then_branch") + field(6, graph + field(12, field(1, b"y"))))
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + branch)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08" + field(8, b"\x10\x11") + field(7, graph))
    command = [str(opinfo.KILN), "inspect", str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "more than 32 deep" in done.stderr
