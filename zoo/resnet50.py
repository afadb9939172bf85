"""ResNet-50 of `transformers` at 1×3×224×224, with seeded weights and calibrated batch norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from zoo.common import ZooModel, calibrate_batch_norms, images, seed_convnet, spread_logits


class ResNet50(nn.Module):
    """image 1×3×224×224 → logits 1×1000."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ResNetForImageClassification(ResNetConfig(num_labels=1000))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image).logits


def build() -> ZooModel:
    rng = torch.Generator().manual_seed(50)
    module = ResNet50()
    seed_convnet(module, rng)
    calibrate_batch_norms(module, [images(8, 224, rng) for _ in range(3)])
    with torch.no_grad():
        features = module.model.resnet(images(8, 224, rng)).pooler_output.flatten(1)
    spread_logits(module.model.classifier[1], features)
    return ZooModel(
        module=module,
        inputs={"image": images(1, 224, rng)},
        output_names=("logits",),
        description="ResNet-50, 224×224, random weights",
    )
