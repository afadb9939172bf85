"""LSTM, GRU and RNN: ONNX's operators against onnxruntime, PyTorch's modules against PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import wasmkiln
from onnx import helper
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import native
from test_onnx_control import run

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("more", [{}, {"clip": 0.5}, {"lengths": True}, {"special": True}])
def test_onnx(op: str, direction: str, more: dict, tmp_path: Path) -> None:
    """At odd sizes, over 1 and 9 steps; `special` is what one operator has: peepholes, the reset gate's place."""
    rng = np.random.default_rng(2)
    for steps, batch, inputs, hidden in ((1, 1, 5, 7), (9, 3, 4, 6)):
        sides, gates = 1 + (direction == "bidirectional"), GATES[op]
        f32 = lambda *shape: (rng.standard_normal(shape) / 2).astype(np.float32)  # noqa: E731
        weights = {
            "w": f32(sides, gates * hidden, inputs),
            "r": f32(sides, gates * hidden, hidden),
            "b": f32(sides, 2 * gates * hidden),
            "h": f32(sides, batch, hidden),
        }
        names = ["x", "w", "r", "b", "", "h"]
        attributes = {"hidden_size": hidden, "direction": direction}
        if "clip" in more:
            attributes["clip"] = more["clip"]
        if more.get("lengths"):
            weights["lengths"] = rng.integers(1, steps + 1, batch).astype(np.int32)
            names[4] = "lengths"
        if op == "LSTM":
            weights["c"] = f32(sides, batch, hidden)
            names.append("c")
        if more.get("special") and op == "LSTM":
            weights["p"] = f32(sides, 3 * hidden)
            names.append("p")
        if more.get("special") and op == "GRU":
            attributes["linear_before_reset"] = 1
        if more.get("special") and op == "RNN":
            attributes |= {"activations": ["Elu", "Softplus"][:sides], "activation_alpha": [0.7]}
        outputs = ["y", "yh", "yc"][: 3 if op == "LSTM" else 2]
        port = lambda n: helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None)  # noqa: E731
        graph = helper.make_graph(
            [helper.make_node(op, names, outputs, **attributes)],
            "g",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [steps, batch, inputs])],
            [port(n) for n in outputs],
            [onnx.numpy_helper.from_array(a, n) for n, a in weights.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        x = {"x": f32(steps, batch, inputs)}
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        done = run(proto, x, tmp_path, "--threads", "2")
        assert done.returncode == 0, done.stderr
        for name, want in zip(outputs, session.run(None, x), strict=True):
            got = np.fromfile(tmp_path / f"{name}.bin", np.float32).reshape(want.shape)
            np.testing.assert_allclose(got, want, atol=2e-6, err_msg=f"{name} {steps}")


class Whole(nn.Module):
    """A recurrent module, all of whose results are outputs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, state = self.inner(x)
        return (y, *(state if isinstance(state, tuple) else (state,)))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    "more",
    [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}, {"special": True}],
)
def test_pytorch(kind: type[nn.RNNBase], more: dict, tmp_path: Path) -> None:
    """At odd sizes; `special` is what one module has."""
    torch.manual_seed(3)
    special = {nn.LSTM: {"proj_size": 5}, nn.GRU: {"num_layers": 3}, nn.RNN: {"nonlinearity": "relu"}}
    options = special[kind] if "special" in more else more
    module = Whole(kind(5, 9, **options)).eval()
    for steps in (1, 11):
        x = torch.randn(steps, 3, 5)
        path = tmp_path / "model.kiln"
        wasmkiln.export(module, (x,), path)
        wanted = module(x)
        for got, want in zip(native.run(path, [x]).values(), wanted, strict=True):
            assert torch.allclose(got, want, atol=2e-6), (got - want).abs().max()
