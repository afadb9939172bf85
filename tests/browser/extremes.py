"""Writes models, and what PyTorch answers, where rounding, reordering and turning around would show.

`extremes.py DIR` → DIR/extremes-<name>/ (zoo/artifacts.py), DIR/extremes.json: names by the precision that keeps them.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.flips import Flips, images
from zoo.artifacts import write_io, write_kiln
from zoo.common import ZooModel


class Linears(nn.Module):
    """Layers of which no output depends on another row, or on another layer."""

    def __init__(self, layer: nn.Linear, rows: int) -> None:
        super().__init__()
        self.layer, self.rows = layer, rows

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x[: self.rows]), self.layer(x[-self.rows :])


class Images(nn.Module):
    """3×3 convolutions of 64 channels, large enough for every algorithm there is."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.strided = nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 64, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.same(x), self.strided(x)


def outlier(layer: nn.Linear, column: int, value: float) -> nn.Linear:
    """All weights of one input are large."""
    with torch.no_grad():
        layer.weight[:, column] = value
    return layer


def with_zeros(x: Tensor, column: int) -> Tensor:
    x[..., column] = 0
    return x


def with_value(x: Tensor, at: tuple[int, ...], value: float) -> Tensor:
    x[at] = value
    return x


def models() -> dict[str, tuple[str, nn.Module, Tensor | tuple[Tensor, Tensor]]]:
    """By name: the precision, the module, its input or two of them."""
    pixel, element = (0, 7, 11, 6), (70, 300)
    image, rows = torch.randn(1, 64, 24, 24), torch.randn(256, 768)
    found: dict[str, tuple[str, nn.Module, Tensor | tuple[Tensor, Tensor]]] = {}
    for name, value in {"nan": math.nan, "inf": math.inf}.items():
        found[f"image-{name}"] = "exact", Images(), with_value(image.clone(), pixel, value)
        found[f"rows-{name}"] = "exact", Linears(nn.Linear(768, 768), 128), with_value(rows.clone(), element, value)
    for precision in ("balanced", "fast"):
        row = with_zeros(torch.randn(2, 512), 100)
        found[f"row-{precision}"] = precision, Linears(outlier(nn.Linear(512, 512), 100, 1000), 1), row
    wide = with_zeros(torch.randn(128, 768), 100)
    found["wide-balanced"] = "balanced", Linears(outlier(nn.Linear(768, 3072), 100, 10000), 128), wide
    several = with_zeros(torch.randn(128, 512), 100)
    found["outlier-fast"] = "fast", Linears(outlier(nn.Linear(512, 512), 100, 1000), 64), several
    found["flips"] = "exact", Flips(), images()
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    names: dict[str, list[str]] = {}
    for name, (precision, module, x) in models().items():
        module = module.eval().requires_grad_(False)
        inputs = dict(zip("xy", x if isinstance(x, tuple) else (x,), strict=False))
        model = ZooModel(module, inputs, ("first", "second"), f"extremes of {precision}")
        names.setdefault(precision, []).append(f"extremes-{name}")
        directory = folder / f"extremes-{name}"
        directory.mkdir(exist_ok=True)
        write_io(model, directory)
        write_kiln(model, directory)
    (folder / "extremes.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()
