"""A part of ONNX's node tests as .onnx files (tools/onnx_files.py), and files made to be refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
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
    assert agree >= 95


def run(model: onnx.ModelProto, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    command = [str(opinfo.KILN), "run", str(path), "--output-dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, errors="replace")


def model_of(nodes: list[onnx.NodeProto], tensors: list[onnx.TensorProto] = (), dims: list = (2, 3), **more) -> onnx.ModelProto:  # noqa: B006
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


def big(location: str) -> onnx.TensorProto:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1024], np.zeros(1024, np.float32).tobytes(), raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


ADD = [helper.make_node("Add", ["x", "w"], ["y"])]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (model_of([helper.make_node("Neg", ["u"], ["y"]), helper.make_node("Neg", ["y"], ["u"])]), "circle"),
        (model_of([helper.make_node("Neg", ["z"], ["y"])]), "nothing makes 'z'"),
        (model_of([helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]), "two nodes make 'y'"),
        (model_of(ADD, [big("../secret")], [1024]), "outside the model's folder"),
        (model_of(ADD, [big("/etc/passwd")], [1024]), "outside the model's folder"),
        (model_of([helper.make_node("Softmax", ["x"], ["y"], axis=1, tilt=3)]), "the attribute 'tilt' is not supported"),
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
