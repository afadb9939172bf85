"""What every model of the zoo shares: the record it returns, seeded weights, calibrated statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "build" / "deps" / "models"


@dataclass(frozen=True)
class ZooModel:
    """A module in eval mode; `inputs` are its arguments, in the order of `forward`, by name."""

    module: nn.Module
    inputs: dict[str, Tensor]
    output_names: tuple[str, ...]
    description: str
    write_extras: Callable[[Path], None] = lambda directory: None  # held-out data, a tokenizer, …

    def __iter__(self) -> Iterator[object]:
        """As `model, inputs = build()`: what `python -m wasmkiln verify FILE zoo.digits:build` takes."""
        return iter((self.module, tuple(self.inputs.values())))

    def run(self) -> dict[str, Tensor]:
        """The outputs of PyTorch eager for the example inputs, by name."""
        with torch.inference_mode():
            out = self.module(*self.inputs.values())
        out = out if isinstance(out, tuple) else (out,)
        return dict(zip(self.output_names, out, strict=True))


def seed_linear(module: nn.Linear, rng: torch.Generator, gain: float = 1.0) -> None:
    """Weights that keep a unit variance (times gain²), and a small bias so that a lost bias shows."""
    nn.init.normal_(module.weight, std=gain / math.sqrt(module.in_features), generator=rng)
    if module.bias is not None:
        nn.init.normal_(module.bias, std=0.1, generator=rng)


def seed_convnet(module: nn.Module, rng: torch.Generator) -> None:
    """Kaiming convolutions, and batch norms whose gain and shift differ per channel."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", generator=rng)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1, generator=rng)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=rng)
            nn.init.normal_(layer.bias, std=0.3, generator=rng)
        elif isinstance(layer, nn.Linear):
            seed_linear(layer, rng)


def images(count: int, size: int, rng: torch.Generator) -> Tensor:
    """count×3×size×size images of unit scale, with structure at every octave as in photographs.

    White noise would not do: after global pooling all such images look the same to a network.
    """
    total = torch.zeros(count, 3, size, size)
    for octave in (2, 4, 8, 16, 32, size):
        noise = torch.randn(count, 3, octave, octave, generator=rng)
        total += nn.functional.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)
    return (total - total.mean()) / total.std()


@torch.no_grad()
def calibrate_batch_norms(module: nn.Module, batches: list[Tensor]) -> None:
    """Sets running statistics to the average over `batches`, then leaves the module in eval mode."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    module.train()
    for batch in batches:
        module(batch)
    module.eval()


@torch.no_grad()
def spread_logits(head: nn.Linear, features: Tensor) -> None:
    """Scales `head` so that its outputs over `features` (samples×channels) have a deviation near 1."""
    outputs = features @ head.weight.T
    head.weight /= outputs.std()
    head.bias -= (outputs / outputs.std()).mean()
