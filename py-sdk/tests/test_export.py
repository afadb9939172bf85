"""What export() writes, read back through the schema."""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

import pytest
import torch
import xxhash
from torch import Tensor, nn
from wasmkiln import ExportError, FileError, UnsupportedOperatorError, export, integrity
from wasmkiln import model_generated as fb


def read(path: Path) -> tuple[fb.ModelT, bytes]:
    """The head as objects, and the weights' bytes."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<I", data)
    assert data[8:12] == b"KILN"
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(data, 4))
    begin = -(-(size + 4) // 64) * 64
    return model, data[begin:]


def ops(model: fb.ModelT) -> list[str]:
    return [model.opNames[node.op].decode() for node in model.nodes]


def stored_values(model: fb.ModelT, weights: bytes, value: int) -> Tensor:
    segment = model.segments[model.values[value].segment]
    return torch.frombuffer(bytearray(weights[segment.offset :][: segment.size]), dtype=torch.float32)


def test_conv_block(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU()).eval()
    export(module, (torch.randn(1, 3, 9, 7),), tmp_path / "m.kiln", input_names=["image"], output_names=["features"])
    model, weights = read(tmp_path / "m.kiln")
    assert ops(model) == [
        "aten.convolution.default",
        "aten.max_pool2d.default",
        "aten._native_batch_norm_legit_no_training.default",
        "aten.relu.default",
    ]
    assert model.values[model.inputs[0]].name == b"image"
    assert model.values[model.outputs[0]].name == b"features"
    assert model.weightsBytes == len(weights)
    assert all(segment.offset % 64 == 0 for segment in model.segments)
    stored = stored_values(model, weights, model.nodes[0].inputs[1])
    assert torch.equal(stored, module[0].weight.detach().flatten())


def test_how_far_apart_weights_are(tmp_path: Path) -> None:
    """As format/model.fbs defines it; nothing where an element is not finite."""

    def segment_of(weight: list[list[float]]) -> fb.SegmentT:
        layer = nn.Linear(len(weight[0]), len(weight), bias=False)
        layer.weight = nn.Parameter(torch.tensor(weight))
        export(layer.eval(), (torch.randn(1, len(weight[0])),), tmp_path / "m.kiln")
        (segment,) = read(tmp_path / "m.kiln")[0].segments
        return segment

    wide = [[1.0, -2.0] * 40, [0.5, 8.0] * 40, [0.0, 0.25] * 40]
    wide[0][3] = -16.0
    told = segment_of([row + [0.0] for row in wide] + [[0.0] * 81])  # what is zero loses nothing
    assert (told.rows, told.rowSpread) == (4, 64.0)
    assert told.columnSpread == pytest.approx((16 * (0.5**2 + 8**2) / 2) ** 0.5)  # of row 2
    for number in (float("nan"), float("inf")):
        wide[1][0] = number
        told = segment_of(wide)
        assert (told.rows, told.rowSpread, told.columnSpread) == (0, 0.0, 0.0)


def normalised(norm: nn.Module) -> nn.Module:
    """With statistics that show where they go."""
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


@pytest.mark.parametrize(
    ("conv", "norm"),
    [
        (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)),
        (nn.Conv2d(4, 8, 3, bias=False, groups=2), nn.BatchNorm2d(8, eps=0.1)),
        (nn.Conv1d(4, 6, 3, bias=False), nn.BatchNorm1d(6, affine=False)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), nn.BatchNorm2d(6)),
    ],
)
def test_batch_norms_go_into_convolutions(conv: nn.Module, norm: nn.Module, tmp_path: Path) -> None:
    module = nn.Sequential(conv, normalised(norm)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.randn(1, 4, *[7] * (conv.weight.dim() - 2))
    export(module, (x,), tmp_path / "m.kiln")
    model, weights = read(tmp_path / "m.kiln")
    assert ops(model) == ["aten.convolution.default"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    _, weight, bias = model.nodes[0].inputs
    with torch.no_grad():
        wanted = module(x)
        conv.weight.copy_(stored_values(model, weights, weight).view_as(conv.weight))
        conv.bias = nn.Parameter(stored_values(model, weights, bias))
        torch.testing.assert_close(conv(x), wanted, rtol=1e-5, atol=1e-5)


class TwoReaders(nn.Module):
    """A convolution whose own result is wanted, and one whose weights two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Conv2d(2, 2, 1)
        self.shared = nn.Conv2d(2, 2, 1)
        self.norms = nn.ModuleList(normalised(nn.BatchNorm2d(2)) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.read(x)
        return self.norms[2](self.shared(self.norms[1](self.shared(self.norms[0](y))))), y


def test_batch_norms_stay_where_others_read(tmp_path: Path) -> None:
    export(TwoReaders().eval(), (torch.randn(1, 2, 3, 3),), tmp_path / "m.kiln")
    assert ops(read(tmp_path / "m.kiln")[0]).count("aten._native_batch_norm_legit_no_training.default") == 3


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids))


def test_shared_weights_are_stored_once(tmp_path: Path) -> None:
    export(Shared().eval(), (torch.tensor([[1, 2, 3]]),), tmp_path / "m.kiln")
    model, weights = read(tmp_path / "m.kiln")
    assert len(model.segments) == 1
    assert len(weights) == 20 * 16 * 4


class Grown(nn.Module):
    """Computes what nobody reads."""

    def forward(self, x: Tensor) -> Tensor:
        torch.linalg.det(x)
        return torch.cat([x, x.relu()], dim=-1)


def test_what_is_never_read_is_left_out(tmp_path: Path) -> None:
    export(Grown(), (torch.randn(3, 3),), tmp_path / "m.kiln")
    model, _ = read(tmp_path / "m.kiln")
    assert ops(model) == ["aten.relu.default", "aten.cat.default"]
    assert len(model.nodes[-1].inputs) == 2


class Odd(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.det(x) + torch.special.i0(x).sum()


def test_unsupported_operators_are_listed_together(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperatorError) as error:
        export(Odd(), (torch.randn(3, 3),), tmp_path / "m.kiln")
    text = str(error.value)
    assert "float32[3x3]" in text
    assert "test_export.py" in text
    assert len(text.splitlines()) >= 3
    assert not (tmp_path / "m.kiln").exists()


def test_symbols_of_dynamic_shapes(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    export(nn.ReLU(), (torch.randn(2, 5),), tmp_path / "m.kiln", dynamic_shapes=({0: batch},))
    model, _ = read(tmp_path / "m.kiln")
    assert len(model.symbols) == 1
    dims = model.values[model.inputs[0]].dims
    assert dims[0].symbol == 0
    assert (dims[1].value, dims[1].symbol) == (5, -1)


class Resized(nn.Module):
    """Sizes as arguments, as numbers and as shapes of results."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        n = x.size(0)
        wide = x.view(n, 2, -1).unsqueeze(0).expand(3, n, 2, -1)
        return wide * n, torch.cat([x, y])[: 2 * n]


def test_sizes_follow_from_dynamic_dims(tmp_path: Path) -> None:
    dims = ({0: torch.export.Dim("batch", min=2, max=64)}, {0: torch.export.Dim.AUTO})
    export(Resized(), (torch.randn(8, 6), torch.randn(30, 6)), tmp_path / "m.kiln", dynamic_shapes=dims)
    model, _ = read(tmp_path / "m.kiln")
    symbols = {symbol.name: symbol for symbol in model.symbols}
    assert list(symbols)[:2] == [b"batch", b"y_0"]
    assert (symbols[b"batch"].min, symbols[b"batch"].max) == (2, 64)
    assert not len(symbols[b"batch"].code)
    assert list(symbols[b"2*batch"].code) == [0, 2, 1, 0, 4, 0]
    by_name = {model.opNames[node.op]: node for node in model.nodes}
    (size,) = (attr for attr in by_name[b"aten.view.default"].attrs if attr.name == b"size")
    assert list(size.ints) == [8, 2, -1]
    assert list(size.symbols) == [0, -1, -1]
    (end,) = (attr for attr in by_name[b"aten.slice.Tensor"].attrs if attr.name == b"end")
    assert [model.symbols[i].name for i in end.symbols] == [b"2*batch"]


class Selected(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / torch.nonzero(x).size(0)


def test_sizes_that_depend_on_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="test_export.py|nonzero"):
        export(Selected(), (torch.randn(3),), tmp_path / "m.kiln")


def test_head_and_weights_have_their_hashes(tmp_path: Path) -> None:
    export(nn.Sequential(nn.Linear(700, 600), nn.Linear(600, 3)), (torch.randn(2, 700),), tmp_path / "m.kiln")
    data = bytearray((tmp_path / "m.kiln").read_bytes())
    head = data[: struct.unpack_from("<I", data)[0] + 4]
    model = fb.ModelT.InitFromObj(fb.Model.GetRootAs(head, 4))
    weights = data[len(data) - model.weightsBytes :]
    block = 1 << 20
    assert len(weights) > block
    blocks = [weights[at : at + block] for at in range(0, len(weights), block)]
    assert list(model.blockHashes) == [xxhash.xxh64_intdigest(bytes(b)) for b in blocks]
    assert bytes(model.blockDigests) == b"".join(hashlib.sha256(b).digest() for b in blocks)
    of_head = base64.b64encode(hashlib.sha256(head).digest()).decode()
    assert integrity(tmp_path / "m.kiln") == f"sha256-{of_head}"
    at = head.index(struct.pack("<Q", model.headHash))
    head[at : at + 8] = bytes(8)
    assert xxhash.xxh64_intdigest(bytes(head)) == model.headHash
    data[-1000] ^= 1
    (tmp_path / "m.kiln").write_bytes(data)
    with pytest.raises(FileError, match="digests"):
        integrity(tmp_path / "m.kiln")


class Attention(nn.Module):
    """Heads as views, and a mask that is a part of a larger, transposed buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.register_buffer("mask", torch.randn(10, 12).T[:5, :5])
        self.register_buffer("same", self.qkv.weight.detach().T)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(1, 5, 3, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.mask), x @ self.same


def test_attention_and_weights_that_are_views(tmp_path: Path) -> None:
    module = Attention()
    export(module, (torch.randn(1, 5, 16),), tmp_path / "m.kiln")
    model, weights = read(tmp_path / "m.kiln")
    assert "aten.scaled_dot_product_attention.default" in ops(model)

    def stored(name: bytes) -> Tensor:
        (value,) = (value for value in model.values if value.name == name)
        if value.segment < 0:
            return torch.frombuffer(bytearray(value.data), dtype=torch.float32)
        segment = model.segments[value.segment]
        return torch.frombuffer(bytearray(weights[segment.offset :][: segment.size]), dtype=torch.float32)

    assert torch.equal(stored(b"mask"), module.mask.flatten())
    assert torch.equal(stored(b"same"), module.same.flatten())  # a transposed view is other bytes than what it views


def test_scalars_and_attributes(tmp_path: Path) -> None:
    class Scale(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.clamp(x * 2.5, min=-1.0).mean(dim=-1, keepdim=True)

    export(Scale(), (torch.randn(4, 6),), tmp_path / "m.kiln")
    model, _ = read(tmp_path / "m.kiln")
    multiply = model.nodes[0]
    assert multiply.inputs[1] == -1  # a number in the place of an operand is no tensor
    assert {attr.name: attr.f for attr in multiply.attrs} == {b"other": 2.5}
    attributes = {attr.name: attr for attr in model.nodes[-1].attrs}
    assert list(attributes[b"dim"].ints) == [-1]
    assert attributes[b"keepdim"].i == 1


def test_schema_code_is_current(tmp_path: Path) -> None:
    """model_generated.py is what flatc 2.0.8 makes of format/model.fbs; other versions write other code."""
    import shutil
    import subprocess

    version = shutil.which("flatc") and subprocess.run(["flatc", "--version"], capture_output=True, text=True).stdout
    if not version or "2.0.8" not in version:
        pytest.skip("flatc 2.0.8 is not installed")
    schema = Path(__file__).parents[2] / "format/model.fbs"
    subprocess.run(
        ["flatc", "--python", "--gen-object-api", "--gen-onefile", "-o", str(tmp_path), str(schema)], check=True
    )
    committed = Path(__file__).parents[1] / "wasmkiln/model_generated.py"
    assert (tmp_path / "model_generated.py").read_text() == committed.read_text()
