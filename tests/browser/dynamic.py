"""Writes models of dynamic sizes, and what PyTorch answers: `dynamic.py DIR` → dynamic.{kiln,json}, large.kiln."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import wasmkiln
from torch import Tensor, nn

SIZES = ((1, 4), (3, 17), (8, 64))  # batch, length


class Sentences(nn.Module):
    """A little of everything whose size depends: products, a norm, attention over the length, a mean of it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(24, 32)
        self.norm = nn.LayerNorm(32)
        self.mix = nn.Conv1d(32, 32, 3, padding=1)
        self.classify = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.norm(self.embed(x)).unflatten(-1, (4, 8)).transpose(1, 2)
        h = nn.functional.scaled_dot_product_attention(h, h, h).transpose(1, 2).flatten(-2)
        h = h + self.mix(h.transpose(1, 2)).transpose(1, 2).relu()
        return self.classify(h.mean(1)), h


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    model = Sentences().eval()
    batch, length = torch.export.Dim("batch", min=1, max=16), torch.export.Dim("length", min=2, max=128)
    wasmkiln.export(
        model,
        (torch.randn(3, 12, 24),),
        folder / "dynamic.kiln",
        dynamic_shapes=({0: batch, 1: length},),
        input_names=["x"],
        output_names=["classes", "tokens"],
    )
    cases = []
    for sizes in SIZES:
        x = torch.randn(*sizes, 24)
        with torch.no_grad():
            answers = dict(zip(("classes", "tokens"), model(x), strict=True))
        outputs = {name: answer.flatten().tolist() for name, answer in answers.items()}
        dims = dict(zip(("batch", "length"), sizes, strict=True))
        cases.append({"dims": dims, "x": {"shape": x.shape, "data": x.flatten().tolist()}, "outputs": outputs})
    (folder / "dynamic.json").write_text(json.dumps(cases))
    # 8 MB of weights, the same at every length.
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(512, 512), nn.GELU()) for _ in range(8))).eval()
    wasmkiln.export(
        layers,
        (torch.randn(12, 512),),
        folder / "large.kiln",
        dynamic_shapes=({0: length},),
        input_names=["x"],
        output_names=["y"],
    )


if __name__ == "__main__":
    main()
