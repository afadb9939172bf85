"""What multiplies and adds: convolutions of all kinds, products of matrices, attention."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from zoo.operators.case import Case, call, layer


def convolutions() -> list[Case]:
    def conv(kind: str, rows: tuple) -> list[Case]:
        return [
            layer(kind, f"{i}→{o} at {h}×{h}, {k}×{k}{f' stride {s}' if s > 1 else ''}"
                  f"{f' dilated {d}' if d > 1 else ''}{f', {g} groups' if 1 < g < i else ''} ({of})",
                  lambda i=i, o=o, k=k, s=s, d=d, g=g: nn.Conv2d(i, o, k, s, 0 if k == s else d * (k - 1) // 2, d, g),
                  (1, i, h, h))
            for i, o, h, k, s, d, g, of in rows
        ]  # fmt: skip

    dense = conv("convolution", (
        (64, 64, 56, 3, 1, 1, 1, "ResNet"), (128, 128, 28, 3, 1, 1, 1, "ResNet"), (256, 256, 14, 3, 1, 1, 1, "ResNet"),
        (512, 512, 7, 3, 1, 1, 1, "ResNet"), (64, 256, 56, 1, 1, 1, 1, "ResNet"), (1024, 256, 14, 1, 1, 1, 1, "ResNet"),
        (24, 144, 56, 1, 1, 1, 1, "MobileNetV2"), (320, 1280, 7, 1, 1, 1, 1, "MobileNetV2"),
        (3, 16, 128, 3, 1, 1, 1, "U-Net"), (48, 3, 128, 5, 1, 1, 1, "SR"),
    ))  # fmt: skip
    strided = conv("strided convolution", (
        (3, 64, 224, 7, 2, 1, 1, "ResNet"), (3, 768, 224, 16, 16, 1, 1, "ViT-B/16"),
        (3, 96, 224, 4, 4, 1, 1, "ConvNeXt"),
        (96, 192, 56, 2, 2, 1, 1, "ConvNeXt"), (64, 128, 56, 3, 2, 1, 1, "ResNet"),
        (256, 256, 28, 3, 2, 1, 1, "ResNet"),
        (256, 512, 56, 1, 2, 1, 1, "ResNet"), (3, 32, 224, 3, 2, 1, 1, "MobileNet"),
        (16, 32, 160, 3, 2, 1, 1, "YOLOv8"),
        (3, 32, 224, 7, 4, 1, 1, "SegFormer"),
    ))  # fmt: skip
    grouped = conv("grouped convolution", (
        (128, 128, 56, 3, 1, 1, 32, "ResNeXt"), (256, 256, 28, 3, 1, 1, 32, "ResNeXt"),
        (512, 512, 14, 3, 1, 1, 32, "ResNeXt"),
        (256, 256, 56, 3, 2, 1, 32, "ResNeXt"), (48, 48, 56, 3, 1, 1, 2, "RegNet"),
        (104, 104, 28, 3, 1, 1, 13, "RegNet"),
        (240, 240, 28, 1, 1, 1, 3, "ShuffleNet"), (64, 64, 80, 3, 1, 1, 4, "GhostNet"),
        (256, 256, 13, 5, 1, 1, 2, "AlexNet"),
        (368, 368, 14, 3, 1, 1, 46, "RegNet"),
    ))  # fmt: skip
    depthwise = conv("depthwise convolution", tuple(
        (c, c, h, k, s, 1, c, of) for c, h, k, s, of in (
            (32, 112, 3, 1, "MobileNetV2"), (96, 112, 3, 2, "MobileNetV2"), (144, 56, 3, 1, "MobileNetV2"),
            (192, 28, 3, 1, "MobileNetV2"), (576, 14, 3, 1, "MobileNetV2"), (960, 7, 3, 1, "MobileNetV2"),
            (120, 28, 5, 1, "MobileNetV3"), (672, 14, 5, 2, "MobileNetV3"), (96, 56, 7, 1, "ConvNeXt"),
            (384, 14, 7, 1, "ConvNeXt"),
        )
    ))  # fmt: skip
    dilated = conv("dilated convolution", (
        (256, 64, 33, 3, 1, 6, 1, "ASPP"), (256, 64, 33, 3, 1, 12, 1, "ASPP"), (256, 64, 33, 3, 1, 18, 1, "ASPP"),
        (128, 128, 28, 3, 1, 2, 1, "dilated ResNet"), (256, 256, 28, 3, 1, 2, 1, "dilated ResNet"),
        (256, 256, 14, 3, 1, 4, 1, "DRN"),
        (32, 32, 64, 3, 1, 2, 1, "CSRNet"), (64, 64, 64, 3, 1, 4, 1, "context network"),
        (960, 960, 14, 3, 1, 2, 960, "depthwise, MobileNetV2"), (256, 256, 33, 3, 1, 12, 256, "depthwise, DeepLab"),
    ))  # fmt: skip
    return dense + strided + grouped + depthwise + dilated


def other_convolutions() -> list[Case]:
    sequences = [
        layer("1-d convolution", f"{i}→{o} of {n}, {k}{f' stride {s}' if s > 1 else ''}"
              f"{f' dilated {d}' if d > 1 else ''}{f', {g} groups' if g > 1 else ''} ({of})",
              lambda i=i, o=o, k=k, s=s, d=d, g=g, p=p: nn.Conv1d(i, o, k, s, p, d, g), (1, i, n))
        for i, o, n, k, s, p, d, g, of in (
            (80, 384, 3000, 3, 1, 1, 1, 1, "Whisper"), (384, 384, 1500, 3, 2, 1, 1, 1, "Whisper"),
            (1, 512, 16000, 10, 5, 0, 1, 1, "wav2vec 2.0"), (512, 512, 799, 3, 2, 0, 1, 1, "wav2vec 2.0"),
            (768, 768, 99, 128, 1, 64, 1, 16, "wav2vec 2.0, positions"),
            (256, 256, 500, 31, 1, 15, 1, 256, "Conformer"),
            (32, 32, 4096, 7, 1, 9, 3, 1, "HiFi-GAN"), (64, 64, 2048, 11, 1, 25, 5, 1, "HiFi-GAN"),
            (64, 128, 4000, 2, 1, 0, 16, 1, "WaveNet"), (256, 512, 500, 1, 1, 0, 1, 1, "TDNN"),
        )
    ]  # fmt: skip
    transposed = [
        layer("transposed convolution", f"{i}→{o} at {h}×{h}, {k}×{k} stride {s} ({of})",
              lambda i=i, o=o, k=k, s=s, p=p, q=q: nn.ConvTranspose2d(i, o, k, s, p, q), (1, i, h, h))
        for i, o, h, k, s, p, q, of in (
            (128, 64, 32, 2, 2, 0, 0, "U-Net"), (256, 128, 16, 2, 2, 0, 0, "U-Net"), (64, 32, 64, 4, 2, 1, 0, "DCGAN"),
            (256, 128, 16, 4, 2, 1, 0, "DCGAN"), (128, 64, 32, 3, 2, 1, 1, "style transfer"),
            (256, 64, 32, 2, 2, 0, 0, "SAM"),
            (21, 21, 16, 16, 8, 4, 0, "FCN"), (64, 3, 64, 9, 3, 3, 0, "FSRCNN"),
        )
    ]  # fmt: skip
    transposed += [
        layer("transposed convolution", f"1-d {i}→{o} of {n}, {k} stride {s} (HiFi-GAN)",
              lambda i=i, o=o, k=k, s=s: nn.ConvTranspose1d(i, o, k, s, (k - s) // 2), (1, i, n))
        for i, o, n, k, s in ((256, 128, 64, 16, 8), (64, 32, 1024, 4, 2))
    ]  # fmt: skip
    return sequences + transposed


def products() -> list[Case]:
    batches = [
        call("batched product", f"{b} of {m}×{k} by {k}×{n} ({of})", torch.matmul, (b, m, k), (b, k, n))
        for b, m, k, n, of in (
            (12, 128, 64, 128, "BERT, scores"), (12, 128, 128, 64, "BERT, values"), (192, 49, 32, 49, "Swin, scores"),
            (192, 49, 49, 32, "Swin, values"), (12, 1, 64, 512, "GPT-2, a step"), (64, 16, 64, 16, "windows"),
            (1024, 8, 8, 8, "blocks"), (4096, 4, 4, 4, "transforms"), (8, 77, 64, 77, "CLIP"),
            (8, 4, 512, 1024, "experts"),
        )
    ]  # fmt: skip
    linear = [
        layer("linear", f"{m}×{k} to {n} ({of})", lambda k=k, n=n: nn.Linear(k, n), (m, k))
        for m, k, n, of in (
            (1, 2048, 1000, "ResNet, head"), (1, 768, 3072, "GPT-2, a step"), (8, 512, 512, "batch of 8"),
            (16, 256, 256, "agents"),
            (49, 768, 768, "Swin"), (128, 384, 1536, "MiniLM"), (197, 768, 768, "ViT"), (3136, 96, 384, "Swin"),
            (1024, 64, 64, "NeRF"), (4096, 3, 64, "PointNet"),
        )
    ]  # fmt: skip
    attention = [
        call("attention", f"{h} heads of {d}, {n} queries, {m} keys ({of})", F.scaled_dot_product_attention,
             (1, h, n, d), (1, h, m, d), (1, h, m, d))
        for h, d, n, m, of in (
            (12, 64, 128, 128, "BERT"), (12, 64, 197, 197, "ViT"), (6, 64, 500, 500, "speech"),
            (8, 40, 1024, 1024, "Stable Diffusion"),
            (8, 40, 1024, 77, "Stable Diffusion, cross"), (32, 64, 1, 512, "Llama, a step"),
            (12, 64, 1, 128, "GPT-2, a step"),
            (192, 32, 49, 49, "Swin"), (5, 32, 1024, 64, "SegFormer"), (12, 32, 64, 64, "MiniLM"),
        )
    ]  # fmt: skip
    return batches + linear + attention


GROUPS = (convolutions, other_convolutions, products)
