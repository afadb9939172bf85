"""A small CNN, trained here on scikit-learn's 8×8 handwritten digits."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.common import DEFAULT_OUT, ZooModel

MAX_PIXEL = 16  # load_digits counts 0..16; the network takes 0..1
EPOCHS = 50
BATCH = 64


class Digits(nn.Module):
    """image N×1×8×8 in 0..1 → logits N×10."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *conv_bn_relu(1, 32, 3),
            *conv_bn_relu(32, 32, 3, groups=32),
            *conv_bn_relu(32, 64, 1),
            nn.MaxPool2d(2),
            *conv_bn_relu(64, 64, 3),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(64 * 2 * 2, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).flatten(1))


def conv_bn_relu(cin: int, cout: int, size: int, groups: int = 1) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(cin, cout, size, padding=size // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(cout), nn.ReLU()


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, then held-out images and labels (a fixed, stratified fifth)."""
    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels, labels, test_size=0.2, random_state=8, stratify=labels)
    train_x, test_x = (torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / MAX_PIXEL for x in split[:2])
    train_y, test_y = (torch.tensor(y, dtype=torch.int64) for y in split[2:])
    return train_x, train_y, test_x, test_y


def augment(image: Tensor, rng: torch.Generator) -> Tensor:
    """Small turns, shears, zooms, shifts, pen widths and pressures: what a drawn digit differs by."""
    count = image.shape[0]

    def spread(limit: float) -> Tensor:
        return (torch.rand(count, generator=rng) * 2 - 1) * limit

    angle, shear, zoom = spread(0.2), spread(0.15), 1 + spread(0.12)
    shift_x, shift_y = spread(0.2), spread(0.2)  # ±0.8 pixel
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [torch.stack([cos, shear - sin, shift_x], 1), torch.stack([sin, cos, shift_y], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, grid, align_corners=False)
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1)), 3, stride=1)
    amount = spread(0.35).view(-1, 1, 1, 1)  # below 0 sharpens
    gain = (1.1 + spread(0.3)).view(-1, 1, 1, 1)
    return ((moved + amount * (blurred - moved)) * gain).clamp(0, 1)


def train() -> Digits:
    torch.manual_seed(8)
    rng = torch.Generator().manual_seed(8)
    train_x, train_y, _, _ = data()
    module = Digits()
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.02)
    steps = EPOCHS * math.ceil(len(train_x) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(train_x), generator=rng).split(BATCH):
            logits = module(augment(train_x[batch], rng))
            loss = F.cross_entropy(logits, train_y[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return module.eval()


def trained() -> Digits:
    """The trained network, from the cache when this file has not changed since."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    cache = DEFAULT_OUT / ".cache" / f"digits-{digest}.pt"
    if cache.exists():
        module = Digits().eval()
        module.load_state_dict(torch.load(cache))
        return module
    module = train()
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), cache)
    return module


def build(batch: int = 1) -> ZooModel:
    module = trained()
    _, _, test_x, _ = data()
    return ZooModel(
        module=module,
        inputs={"image": test_x[:batch].clone()},
        output_names=("logits",),
        description="handwritten digits, 8×8, trained CNN",
        write_extras=lambda directory: write_held_out(module, directory),
    )


def write_held_out(module: nn.Module, directory: Path) -> None:
    """heldout.json and heldout.bin: per image 64 pixels 0..16, its label, and PyTorch's answer (66 bytes)."""
    _, _, test_x, test_y = data()
    with torch.inference_mode():
        answer = module(test_x).argmax(1)
    pixels = (test_x.flatten(1) * MAX_PIXEL).round()
    rows = torch.cat([pixels, test_y[:, None], answer[:, None]], 1).numpy().astype(np.uint8)
    rows.tofile(directory / "heldout.bin")
    meta = {
        "count": len(test_y),
        "accuracy": (answer == test_y).double().mean().item(),
        "max_pixel": MAX_PIXEL,
        "row": ["64 pixels, 0..max_pixel; divide by max_pixel", "label", "class that PyTorch answered"],
    }
    (directory / "heldout.json").write_text(json.dumps(meta, indent=1))
