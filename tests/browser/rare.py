"""Writes a model with operators that compiler.wasm lacks, and what PyTorch answers: `rare.py DIR` → rare.kiln and
rare.json, and plain.kiln, whose operators it has."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from wasmkiln import export


class Rare(nn.Module):
    """A layer, the best of its results, and where they stood."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 500)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = torch.topk(self.layer(x), 7)
        return values, indices


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    x = torch.randn(3, 64)
    rare = Rare().eval()
    names = ("values", "indices")
    export(rare, (x,), folder / "rare.kiln", input_names=("x",), output_names=names)
    export(rare.layer, (x,), folder / "plain.kiln", input_names=("x",), output_names=("y",))
    answers = dict(zip(names, rare(x), strict=True))
    numbers = {name: np.ravel(v.detach().numpy()).tolist() for name, v in {"x": x, **answers}.items()}
    (folder / "rare.json").write_text(json.dumps(numbers))


if __name__ == "__main__":
    main()
