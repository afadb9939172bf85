"""MobileNetV2 1.0 of `transformers` at 1×3×224×224, with seeded weights and calibrated batch norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

from zoo.common import ZooModel, calibrate_batch_norms, images, seed_convnet, spread_logits


class MobileNetV2(nn.Module):
    """image 1×3×224×224 → logits 1×1001 (class 0 is background)."""

    def __init__(self) -> None:
        super().__init__()
        self.model = MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=1001))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image).logits


def build() -> ZooModel:
    rng = torch.Generator().manual_seed(2)
    module = MobileNetV2()
    seed_convnet(module, rng)
    calibrate_batch_norms(module, [images(8, 224, rng) for _ in range(3)])
    with torch.no_grad():
        features = module.model.mobilenet_v2(images(8, 224, rng)).pooler_output
    spread_logits(module.model.classifier, features)
    return ZooModel(
        module=module,
        inputs={"image": images(1, 224, rng)},
        output_names=("logits",),
        description="MobileNetV2 1.0, 224×224, random weights",
    )
