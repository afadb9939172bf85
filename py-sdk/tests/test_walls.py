"""What reached beyond its tensor, or would have: against PyTorch, natively."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from wasmkiln import export

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from native import KILN, run
from wasmkiln.writer import raw_bytes

from tests.flips import Flips, images


class Calls(nn.Module):
    def __init__(self, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.call(*tensors)


def agrees(call: Callable[..., Tensor], tensors: tuple[Tensor, ...], folder: Path) -> None:
    path = folder / "model.kiln"
    export(Calls(call), tensors, path, output_names=["y"])
    got = run(path, list(tensors))["y"]
    torch.testing.assert_close(got, call(*tensors), rtol=1e-5, atol=1e-5)


def test_every_family_takes_flipped_inputs(tmp_path: Path) -> None:
    path = tmp_path / "flips.kiln"
    model, tensors = Flips(), images()
    export(model, tensors, path, output_names=["many", "one"])
    got = run(path, list(tensors))
    for name, expected in zip(("many", "one"), model(*tensors), strict=True):
        # float32 sums of up to a few hundred products of numbers of order one
        torch.testing.assert_close(got[name], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 5, 8), (3, 2, 5, 8), (3, 2, 5, 8)),
        ((5, 8), (3, 2, 5, 8), (3, 2, 5, 8)),
        ((5, 8), (2, 5, 8), (3, 1, 5, 4)),
        ((3, 2, 5, 8), (2, 5, 8), (2, 5, 8)),
        ((3, 2, 1, 8), (5, 8), (2, 5, 8)),
        ((1, 8), (4, 3, 2, 5, 8), (4, 3, 2, 5, 8)),
        ((2, 5, 8), (4, 3, 2, 5, 8), (2, 5, 8)),
    ],
)
def test_attention_of_operands_with_different_dims(
    shapes: tuple[tuple[int, ...], ...], causal: bool, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = tuple(torch.rand(*shape, generator=generator) for shape in shapes)
    agrees(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), tensors, tmp_path)


TABLE = torch.arange(12.0).reshape(4, 3)
LOOKUPS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...], list[Tensor]]] = {
    "gather": (lambda x, i: x.gather(1, i), (torch.tensor([[2, 0]] * 4),), [torch.tensor([[2, 5]] * 4)]),
    "gather rows": (lambda x, i: x.gather(0, i), (torch.tensor([[3, 0, 1]]),), [torch.tensor([[4, 0, 1]])]),
    "two indices": (
        lambda x, i, j: x[i, j],
        (torch.tensor([3, -4]), torch.tensor([-3, 2])),
        [torch.tensor([0, 0]), torch.tensor([0, 3])],
    ),
    "rows": (lambda x, i: x[i], (torch.tensor([3, -4]),), [torch.tensor([0, 4])]),
    "columns": (lambda x, i: x.index_select(1, i), (torch.tensor([2, 0]),), [torch.tensor([3, 0])]),
    "embedding": (lambda x, i: F.embedding(i, x), (torch.tensor([3, 0]),), [torch.tensor([4, 0])]),
}


def outcome(path: Path, tensors: tuple[Tensor, ...], folder: Path) -> str:
    command = [str(KILN), "run", str(path), "--output-dir", str(folder)]
    for i, tensor in enumerate(tensors):
        (folder / f"in{i}").write_bytes(raw_bytes(tensor))
        command += ["--input", f"in{i}={folder / f'in{i}'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize("name", LOOKUPS)
def test_an_index_beyond_its_own_axis_is_an_error(name: str, tmp_path: Path) -> None:
    call, good, bad = LOOKUPS[name]
    agrees(call, (TABLE, *good), tmp_path)
    path = tmp_path / "model.kiln"
    export(Calls(call), (TABLE, *good), path, input_names=[f"in{i}" for i in range(1 + len(good))])
    assert outcome(path, (TABLE, *good), tmp_path) == ""
    far = [good[-1] + distance for distance in (1 << 32, 1 << 40, -(1 << 63))]
    for wrong in (tuple(bad), *((*good[:-1], index) for index in far)):
        assert "outside its table" in outcome(path, (TABLE, *wrong), tmp_path)


def test_an_index_among_the_weights_is_an_error_of_the_load(tmp_path: Path) -> None:
    class Lookup(nn.Module):
        def __init__(self, index: Tensor) -> None:
            super().__init__()
            self.register_buffer("index", index)
            self.table = nn.Parameter(torch.arange(3000.0).reshape(1000, 3))

        def forward(self, x: Tensor) -> Tensor:
            return x + F.embedding(self.index, self.table).sum(0)

    x, path = torch.zeros(3), tmp_path / "model.kiln"
    index = torch.arange(2000) % 1000
    export(Lookup(index), (x,), path, input_names=["in0"])
    assert outcome(path, (x,), tmp_path) == ""
    index[1234] = 1000
    export(Lookup(index), (x,), path, input_names=["in0"])
    assert "outside its table" in outcome(path, (x,), tmp_path)
