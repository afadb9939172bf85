"""A part of ONNX's node tests as .onnx files (tools/onnx_files.py), and files made to be refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools import onnx_files, opinfo


def test_a_part_of_the_node_tests(tmp_path: Path) -> None:
    """Every seventh: each agrees or is refused by name."""
    agree, wrong = 0, {}
    for case in onnx_files.cases()[::7]:
        said = onnx_files.judge(case, tmp_path)
        agree += not said
        if said and not said.startswith("refused: "):
            wrong[case.name] = said
    assert not wrong
    assert agree >= 105


def run(model: onnx.ModelProto, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    command = [str(opinfo.KILN), "run", str(path), "--output-dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, errors="replace")


def model_of(
    nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto] = (), dims: list = (2, 3), **more
) -> onnx.ModelProto:  # noqa: B006
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(dims))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), *more.pop("opsets", [])], **more)


def test_sizes_that_a_model_computes(tmp_path: Path) -> None:
    """Shape → Gather → Mul → Concat → Reshape, as old exporters spell a view."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["n"]),
        helper.make_node("Mul", ["n", "two"], ["m"]),
        helper.make_node("Unsqueeze", ["m", "axis"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    tensors = [
        helper.make_tensor("one", TensorProto.INT64, [], [1]),
        helper.make_tensor("two", TensorProto.INT64, [], [2]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
        helper.make_tensor("rest", TensorProto.INT64, [1], [-1]),
    ]
    x = np.arange(6, dtype=np.float32)
    (tmp_path / "x").write_bytes(x.tobytes())
    dims = ["batch", 3]
    done = run(model_of(nodes, tensors, dims), tmp_path, "--dim", "batch=2", "--input", f"x={tmp_path / 'x'}")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.bin", np.float32), x)


def test_weights_of_16_bits_between_casts(tmp_path: Path) -> None:
    """As converters to float16 write a model; one weight as whole numbers, as ONNX has them too."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((7, 24)).astype(np.float32)
    weights = {name: rng.standard_normal(shape) / 4 for name, shape in (("w1", (24, 32)), ("b1", 32), ("w2", (32, 5)))}
    tensors = [onnx.numpy_helper.from_array(w.astype(np.float16), name) for name, w in weights.items()]
    half = rng.standard_normal(5).astype(np.float16)
    tensors.append(TensorProto(name="b2", dims=[5], data_type=TensorProto.FLOAT16, int32_data=half.view(np.uint16)))
    tensors.append(onnx.numpy_helper.from_array(np.float16(1.7), "gain"))
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["h", "w1"], ["p"]),
        helper.make_node("Add", ["p", "b1"], ["q"]),
        helper.make_node("Sigmoid", ["q"], ["s"]),
        helper.make_node("Mul", ["q", "s"], ["r"]),
        helper.make_node("Mul", ["r", "gain"], ["t"]),
        helper.make_node("MatMul", ["t", "w2"], ["u"]),
        helper.make_node("Add", ["u", "b2"], ["v"]),
        helper.make_node("Cast", ["v"], ["y"], to=TensorProto.FLOAT),
    ]
    model = model_of(nodes, tensors, (7, 24))
    model.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT16, None))
    (tmp_path / "x").write_bytes(x.tobytes())
    done = run(model, tmp_path, "--input", f"x={tmp_path / 'x'}")
    assert done.returncode == 0, done.stderr
    h, w1, b1, w2 = (a.astype(np.float16).astype(np.float64) for a in (x, *weights.values()))
    q = h @ w1 + b1
    r = q / (1 + np.exp(-q))
    y = np.fromfile(tmp_path / "y.bin", np.float32).reshape(7, 5)
    exact = r * np.float64(np.float16(1.7)) @ w2 + half.astype(np.float64)
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)  # what lies between is float32
    # an output is rounded once, by half a unit in the last place
    middle = np.fromfile(tmp_path / "r.bin", np.float16).reshape(7, 32)
    np.testing.assert_allclose(middle.astype(np.float64), r, rtol=2.0**-11 + 1e-6, atol=1e-6)
    model.ir_version = 10
    peer = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert np.abs(peer[0] - y).max() <= 2.0**-9 * np.abs(y).max()


def test_norms_that_are_spelled_out(tmp_path: Path) -> None:
    """As old exporters write layer norm: found again, and right. So is RMS norm."""
    rng = np.random.default_rng(1)
    x, scale, shift = (rng.standard_normal(n).astype(np.float32) for n in ((2, 16), 16, 16))
    (tmp_path / "x").write_bytes(x.tobytes())
    tensors = [
        onnx.numpy_helper.from_array(a, name)
        for name, a in (("two", np.float32(2)), ("eps", np.float32(1e-5)), ("w", scale), ("b", shift))
    ]
    spread = [
        helper.make_node("Pow", ["d", "two"], ["q"]),
        helper.make_node("ReduceMean", ["q"], ["v"], axes=[-1]),
        helper.make_node("Add", ["v", "eps"], ["e"]),
        helper.make_node("Sqrt", ["e"], ["s"]),
        helper.make_node("Div", ["d", "s"], ["n"]),
        helper.make_node("Mul", ["n", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    centre = [helper.make_node("ReduceMean", ["x"], ["u"], axes=[-1]), helper.make_node("Sub", ["x", "u"], ["d"])]
    for nodes in ([*centre, *spread], [helper.make_node("Neg", ["x"], ["d"]), *spread]):
        done = run(model_of(nodes, tensors, (2, 16)), tmp_path, "--input", f"x={tmp_path / 'x'}")
        assert done.returncode == 0, done.stderr
        d = x - x.mean(-1, keepdims=True) if nodes[0].op_type == "ReduceMean" else -x
        want = d / np.sqrt((d * d).mean(-1, keepdims=True) + 1e-5) * scale + shift
        got = np.fromfile(tmp_path / "y.bin", np.float32).reshape(2, 16)
        np.testing.assert_allclose(got, want, atol=1e-5)
        command = [str(opinfo.KILN), "dump", str(tmp_path / "model.onnx"), "--stage", "graph"]
        graph = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert graph.count(" = layer_norm(") == 1
        assert " = reduce(" not in graph


def test_nodes_in_any_order_and_functions(tmp_path: Path) -> None:
    double = helper.make_function("mine", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
                                  [helper.make_opsetid("", 17)])  # fmt: skip
    nodes = [helper.make_node("Neg", ["t"], ["y"]), helper.make_node("Double", ["x"], ["t"], domain="mine")]
    x = np.arange(6, dtype=np.float32)
    (tmp_path / "x").write_bytes(x.tobytes())
    model = model_of(nodes, functions=[double], opsets=[helper.make_opsetid("mine", 1)])
    done = run(model, tmp_path, "--input", f"x={tmp_path / 'x'}")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.bin", np.float32), -2 * x)


def functions_that_double(depth: int) -> list[onnx.FunctionProto]:
    """Each calls the one before twice: 2^depth calls."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    made = [helper.make_function("mine", "F0", ["a"], ["b"], [helper.make_node("Neg", ["a"], ["b"])], opsets)]
    for i in range(1, depth):
        calls = [helper.make_node(f"F{i - 1}", [x], [y], domain="mine") for x, y in (("a", "t"), ("t", "b"))]
        made.append(helper.make_function("mine", f"F{i}", ["a"], ["b"], calls, opsets))
    return made


def test_functions_that_call_each_other(tmp_path: Path) -> None:
    """A few are inlined; what unfolds to 2^40 nodes is refused at once."""
    (tmp_path / "x").write_bytes(np.ones(6, np.float32).tobytes())
    for depth, says in ((5, ""), (40, "unfolds to far more than it holds")):
        call = helper.make_node(f"F{depth - 1}", ["x"], ["y"], domain="mine")
        model = model_of([call], functions=functions_that_double(depth), opsets=[helper.make_opsetid("mine", 1)])
        done = run(model, tmp_path, "--input", f"x={tmp_path / 'x'}")
        assert (done.returncode == 0) if not says else says in done.stderr
    # 16 times, so nothing is left of it
    model = model_of([helper.make_node("F4", ["x"], ["y"], domain="mine")], functions=functions_that_double(5),
                     opsets=[helper.make_opsetid("mine", 1)])  # fmt: skip
    assert run(model, tmp_path, "--input", f"x={tmp_path / 'x'}").returncode == 0
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.bin", np.float32), np.ones(6))


def test_a_function_that_hands_its_operand_through(tmp_path: Path) -> None:
    """Two outputs are one value, which is also the input: each has its own name."""
    same = helper.make_function("mine", "Same", ["a"], ["a"], [], [helper.make_opsetid("", 17)])
    nodes = [helper.make_node("Same", ["x"], [y], domain="mine") for y in ("y", "z")]
    model = model_of(nodes, functions=[same], opsets=[helper.make_opsetid("mine", 1)])
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    x = np.arange(6, dtype=np.float32)
    (tmp_path / "x").write_bytes(x.tobytes())
    done = run(model, tmp_path, "--input", f"x={tmp_path / 'x'}")
    assert done.returncode == 0, done.stderr
    for name in ("y", "z"):
        np.testing.assert_array_equal(np.fromfile(tmp_path / f"{name}.bin", np.float32), x)


def test_many_empty_messages_are_not_many_structures(tmp_path: Path) -> None:
    """Two bytes each in the file, two hundred in memory."""
    graph = b"\x0a\x00" * 4_000_000  # nodes
    size = len(graph)
    key = b"\x08\x08\x3a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
    (tmp_path / "model.onnx").write_bytes(key + graph)
    command = [str(opinfo.KILN), "inspect", str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "unfolds to far more than it holds" in done.stderr


def big(location: str, **more: int) -> onnx.TensorProto:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1024], np.zeros(1024, np.float32).tobytes(), raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor


def test_weights_beside_the_model(tmp_path: Path) -> None:
    w, x = np.arange(1024, dtype=np.float32), np.full(1024, 2, np.float32)
    (tmp_path / "x").write_bytes(x.tobytes())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/weights.bin").write_bytes(bytes(64) + w.tobytes())
    model = model_of(ADD, [big("deep/weights.bin", offset=64, length=4096)], [1024])
    done = run(model, tmp_path, "--input", f"x={tmp_path / 'x'}")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.bin", np.float32), w + x)
    for location, link in (("link.bin", "deep/weights.bin"), ("folder/weights.bin", "deep")):
        (tmp_path / location.partition("/")[0]).symlink_to(tmp_path / link)
        assert "no link" in run(model_of(ADD, [big(location, offset=64)], [1024]), tmp_path).stderr
    assert "shorter" in run(model_of(ADD, [big("deep/weights.bin", offset=4096)], [1024]), tmp_path).stderr
    assert "no link" in run(model_of(ADD, [big("deep")], [1024]), tmp_path).stderr
    # A small file that many tensors name is no large one.
    nodes = [helper.make_node("Sum", ["x", *(f"w{i}" for i in range(9))], ["y"])]
    tensors = [big("deep/weights.bin", offset=i) for i in range(9)]
    for i, tensor in enumerate(tensors):
        tensor.name = f"w{i}"
    assert "shorter" in run(model_of(nodes, tensors, [1024]), tmp_path).stderr


ADD = [helper.make_node("Add", ["x", "w"], ["y"])]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (model_of([helper.make_node("Neg", ["u"], ["y"]), helper.make_node("Neg", ["y"], ["u"])]), "circle"),
        (model_of([helper.make_node("Neg", ["z"], ["y"])]), "nothing makes 'z'"),
        (model_of([helper.make_node(op, ["x"], ["y"]) for op in ("Neg", "Abs")]), "two nodes make 'y'"),
        (model_of(ADD, [big("../secret")], [1024]), "outside the model's folder"),
        (model_of(ADD, [big("/etc/passwd")], [1024]), "outside the model's folder"),
        (model_of(ADD, [big("a/../../b")], [1024]), "outside the model's folder"),
        (model_of(ADD, [big("nothing")], [1024]), "beside the model cannot be read"),
        (model_of([helper.make_node("Neg", ["x"], ["y"], name="\x1b[2J")]), "cannot be shown"),
        (model_of([helper.make_node("Neg", ["x"], ["y"], name="n" * 5000)]), "a text of 5000 bytes"),
        (model_of([helper.make_node("Softmax", ["x"], ["y"], tilt=3)]), "the attribute 'tilt' is not supported"),
        (model_of([helper.make_node("NoSuch", ["x"], ["y"])]), "onnx.NoSuch(float32[2x3])"),
        (model_of(ADD, [helper.make_tensor("w", TensorProto.DOUBLE, [1], [1.0])]), "'w' is float64"),
        (model_of(ADD, [onnx.TensorProto(name="w", data_type=1, dims=[1 << 40, 1 << 40], raw_data=b"1234")]), "shape"),
        (model_of(ADD, [onnx.TensorProto(name="w", data_type=1, dims=[2], raw_data=b"1234")]), "has 4 bytes"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, model: onnx.ModelProto, says: str) -> None:
    done = run(model, tmp_path)
    assert done.returncode == 1
    assert says in done.stderr
