"""Writes a model that needs more than 4 GB of addresses and touches few: `far_memory.py DIR` → far.kiln, far.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import wasmkiln
from torch import Tensor, nn

NEAR, FAR = 8, 3  # columns that are read, at either end of the rows


class Ends(nn.Module):
    """Products with the first columns of long rows, and sums of the last ones."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(NEAR, 5))

    def forward(self, rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return rows[:, :NEAR] @ self.weight, rows[:, -FAR:].sum(1) + x


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    model = Ends().eval().requires_grad_(False)
    rows, x = torch.randn(4, NEAR + FAR), torch.randn(4)
    products, sums = model(rows, x)
    wasmkiln.export(
        model,
        (rows.repeat(1, 2), x),
        folder / "far.kiln",
        dynamic_shapes=({1: torch.export.Dim("n", min=16, max=1 << 30)}, None),
        input_names=["rows", "x"],
        output_names=["products", "sums"],
    )
    described = {"near": rows[:, :NEAR].tolist(), "far": rows[:, -FAR:].tolist(), "x": x.tolist()}
    answers = {"products": products.flatten().tolist(), "sums": sums.tolist()}
    (folder / "far.json").write_text(json.dumps({**described, "outputs": answers}))


if __name__ == "__main__":
    main()
