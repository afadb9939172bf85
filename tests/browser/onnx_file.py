"""Writes an .onnx file and what PyTorch answers: `onnx_file.py DIR` → small.onnx, small-onnx.bin (the same) and
small-onnx.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    x = torch.randn(2, 3, 24, 24)
    filters, bias = torch.randn(32, 3, 3, 3) / 5, torch.randn(32)
    product, shift = torch.randn(32 * 12 * 12, 40) / 70, torch.randn(40)  # 737 KB
    scale = torch.randn(2, 32, 12, 12)  # 37 KB, which stays in the skeleton
    field = torch.randn(2, 32, 24, 24)  # 295 KB
    h = torch.relu(torch.nn.functional.conv2d(x, filters, bias, padding=1) + field)
    y = (torch.nn.functional.max_pool2d(h, 2) * scale).flatten(1) @ product + shift

    def tensor(name: str, value: torch.Tensor) -> onnx.TensorProto:
        return numpy_helper.from_array(value.numpy(), name)

    nodes = [
        helper.make_node("Constant", [], ["field"], value=tensor("field", field)),
        helper.make_node("Conv", ["x", "filters", "bias"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "field"], ["a"]),
        helper.make_node("Relu", ["a"], ["h"]),
        helper.make_node("MaxPool", ["h"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Mul", ["p", "scale"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "product", "shift"], ["y"]),
    ]
    weights = {"filters": filters, "bias": bias, "scale": scale, "shift": shift, "product": product}
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(v.shape))
        for name, v in [("x", x), ("product", product)]
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, list(y.shape))
    graph = helper.make_graph(nodes, "small", ports, [output], [tensor(name, value) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    for name in ("small.onnx", "small-onnx.bin"):
        (folder / name).write_bytes(model.SerializeToString())
    numbers = {name: np.ravel(value.numpy()).tolist() for name, value in [("x", x), ("y", y)]}
    (folder / "small-onnx.json").write_text(json.dumps(numbers))


if __name__ == "__main__":
    main()
