"""Norms, windows, copies, reductions and what works element by element."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.operators.case import Case, below, call, layer


def norms() -> list[Case]:
    cases = [
        layer("layer-norm", f"{rows}×{cols} ({of})", lambda c=cols: nn.LayerNorm(c), (1, rows, cols))
        for rows, cols, of in (
            (128, 768, "BERT"), (197, 768, "ViT-B"), (1500, 384, "Whisper tiny"), (3136, 96, "Swin, stage 1"),
            (784, 192, "Swin, stage 2"), (49, 768, "Swin, stage 4"), (16384, 32, "SegFormer-B0, stage 1"),
            (4096, 64, "SegFormer-B0, stage 2"), (1024, 160, "SegFormer-B0, stage 3"), (256, 1024, "ViT-L, DINOv2"),
        )
    ]  # fmt: skip
    cases += [
        layer("rms-norm", f"{'×'.join(map(str, shape))} ({of})", lambda c=shape[-1]: nn.RMSNorm(c, eps=1e-6), shape)
        for shape, of in (
            ((1, 128, 2048), "Llama 3.2 1B"), ((1, 256, 896), "Qwen2 0.5B"), ((1, 64, 4096), "Llama 3 8B"),
            ((1, 128, 16, 128), "Qwen3, heads"), ((1, 256, 8, 64), "heads of 64"), ((1, 512, 512), "T5 small"),
            ((1, 128, 768), "T5 base"), ((1, 256, 1152), "Gemma 3 1B"), ((1, 256, 576), "SmolLM 135M"),
            ((1, 197, 384), "ViT-S of RMS norms"),
        )
    ]  # fmt: skip
    cases += [
        layer("group-norm", f"{c}×{h}×{w}, {g} groups ({of})", lambda g=g, c=c: nn.GroupNorm(g, c), (1, c, h, w))
        for c, h, w, g, of in (
            (320, 64, 64, 32, "Stable Diffusion"), (640, 32, 32, 32, "Stable Diffusion"),
            (1280, 16, 16, 32, "Stable Diffusion"), (1280, 8, 8, 32, "Stable Diffusion"),
            (128, 128, 128, 32, "its VAE"), (256, 64, 64, 32, "its VAE"), (512, 32, 32, 32, "its VAE"),
            (64, 56, 56, 1, "PoolFormer"), (320, 14, 14, 1, "PoolFormer"), (256, 80, 80, 32, "detection heads"),
        )
    ]  # fmt: skip
    cases += [
        layer("instance-norm", f"{c}×{h}×{w} ({of})", lambda c=c: nn.InstanceNorm2d(c, affine=True), (1, c, h, w))
        for c, h, w, of in (
            (32, 224, 224, "fast style transfer"), (64, 112, 112, "fast style transfer"),
            (128, 56, 56, "fast style transfer"), (64, 128, 128, "CycleGAN"), (128, 64, 64, "CycleGAN"),
            (256, 32, 32, "pix2pix"), (512, 16, 16, "pix2pix"), (512, 8, 8, "pix2pix"), (64, 96, 128, "RAFT"),
            (128, 48, 64, "RAFT"),
        )
    ]  # fmt: skip
    return cases + [
        layer("batch-norm", f"{c}×{h}×{w} and ReLU ({of})", lambda c=c: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU()),
              (1, c, h, w))
        for c, h, w, of in (
            (64, 112, 112, "DenseNet stem"), (64, 56, 56, "DenseNet"), (128, 56, 56, "DenseNet"),
            (256, 56, 56, "DenseNet"), (512, 28, 28, "DenseNet"), (256, 28, 28, "DenseNet"), (1024, 14, 14, "DenseNet"),
            (640, 14, 14, "DenseNet"), (1024, 7, 7, "DenseNet"), (16, 32, 32, "ResNet v2, CIFAR"),
        )
    ]  # fmt: skip


def softmaxes() -> list[Case]:
    def cases(kind: str, rows: tuple) -> list[Case]:
        return [
            call(kind, f"{'×'.join(map(str, shape))}, axis {dim} ({of})", lambda x, d=dim: x.softmax(d), shape)
            for *shape, dim, of in rows
        ]

    inner = cases("softmax", (
        (1, 12, 128, 128, -1, "BERT"), (1, 12, 197, 197, -1, "ViT-B"), (1, 6, 500, 500, -1, "speech encoder"),
        (64, 3, 49, 49, -1, "Swin"), (1, 1000, -1, "classifier"), (1, 16, 77, 77, -1, "CLIP text"),
        (1, 8, 256, 77, -1, "Stable Diffusion, cross"), (1, 32, 1, 512, -1, "Llama, a step"),
        (1, 5, 1024, 256, -1, "SegFormer"), (64, 30522, -1, "BERT, masked words"),
    ))  # fmt: skip
    outer = cases("softmax-outer", (
        (1, 21, 129, 129, 1, "DeepLab"), (1, 19, 128, 256, 1, "Cityscapes"), (1, 150, 64, 64, 1, "ADE20K"),
        (1, 16, 4, 2100, 1, "YOLOv8, 320"), (1, 16, 4, 8400, 1, "YOLOv8, 640"), (1, 2, 320, 320, 1, "matting"),
        (1, 8, 1024, 32, -2, "linear attention, keys"), (1, 64, 4096, 1, "slots"),
        (1, 9, 64, 64, 1, "RAFT, upsampling"),
        (4, 8, 100, 100, 0, "experts"),
    ))  # fmt: skip
    return inner + outer


def pools() -> list[Case]:
    cases = [
        call("max-pool", f"{c}×{h}×{w}, {k}×{k} stride {s} ({of})",
             lambda x, k=k, s=s, p=p: F.max_pool2d(x, k, s, p), (1, c, h, w))
        for c, h, w, k, s, p, of in (
            (64, 112, 112, 3, 2, 1, "ResNet"), (64, 224, 224, 2, 2, 0, "VGG"), (128, 112, 112, 2, 2, 0, "VGG"),
            (256, 56, 56, 2, 2, 0, "VGG"), (512, 28, 28, 2, 2, 0, "VGG"), (128, 20, 20, 5, 1, 2, "YOLO, SPPF"),
            (192, 28, 28, 3, 1, 1, "GoogLeNet"), (64, 55, 55, 3, 2, 0, "AlexNet"), (256, 27, 27, 3, 2, 0, "SqueezeNet"),
            (32, 128, 128, 2, 2, 0, "U-Net"),
        )
    ]  # fmt: skip
    cases += [
        call("average-pool", f"{c}×{h}×{w}, {k}×{k} stride {s} ({of})",
             lambda x, k=k, s=s, p=p: F.avg_pool2d(x, k, s, p, count_include_pad=False), (1, c, h, w))
        for c, h, w, k, s, p, of in (
            (128, 56, 56, 2, 2, 0, "DenseNet"), (256, 28, 28, 2, 2, 0, "DenseNet"), (512, 14, 14, 2, 2, 0, "DenseNet"),
            (64, 56, 56, 3, 1, 1, "PoolFormer"), (320, 14, 14, 3, 1, 1, "PoolFormer"),
            (192, 35, 35, 3, 1, 1, "Inception v3"),
        )
    ]  # fmt: skip
    return cases + [
        call("average-pool", f"{c}×{h}×{w} to {o}×{o} ({of})", lambda x, o=o: F.adaptive_avg_pool2d(x, o),
             (1, c, h, w))
        for c, h, w, o, of in (
            (2048, 7, 7, 1, "ResNet-50"), (240, 28, 28, 1, "squeeze and excitation"), (512, 60, 60, 6, "PSPNet"),
            (96, 112, 112, 1, "EfficientNet, squeeze"),
        )
    ]  # fmt: skip


def resizes() -> list[Case]:
    def resize(mode: str, **options: bool) -> Callable[[Tensor, int], Tensor]:
        return lambda x, size: F.interpolate(x, size=(size, size), mode=mode, **options)

    nearest, bilinear = resize("nearest"), resize("bilinear", align_corners=False)
    corners, bicubic = resize("bilinear", align_corners=True), resize("bicubic", align_corners=False)
    return [
        call("resize", f"{name} {c}×{h}×{h} to {to}×{to} ({of})", lambda x, f=f, to=to: f(x, to), (1, c, h, h))
        for name, f, c, h, to, of in (
            ("nearest", nearest, 256, 20, 40, "YOLO"), ("nearest", nearest, 128, 40, 80, "YOLO"),
            ("nearest", nearest, 320, 32, 64, "Stable Diffusion"), ("bilinear", bilinear, 21, 33, 129, "DeepLab"),
            ("bilinear", bilinear, 256, 32, 64, "SegFormer"), ("bilinear", bilinear, 3, 256, 224, "preprocessing"),
            ("bilinear with corners", corners, 64, 64, 128, "U-Net"), ("bicubic", bicubic, 3, 112, 224, "SR"),
            ("bicubic", bicubic, 384, 14, 20, "positions of ViT-S"),
            ("bilinear", bilinear, 64, 40, 10, "GhostNet"),
        )
    ]  # fmt: skip


def concats() -> list[Case]:
    rows = (
        ("DenseNet", 1, (1, 256, 28, 28), (1, 32, 28, 28)), ("U-Net", 1, (1, 64, 128, 128), (1, 64, 128, 128)),
        ("YOLO", 1, (1, 128, 40, 40), (1, 256, 40, 40)), ("SPPF", 1, *[(1, 128, 20, 20)] * 4),
        ("Inception", 1, (1, 64, 35, 35), (1, 64, 35, 35), (1, 96, 35, 35), (1, 32, 35, 35)),
        ("YOLO heads", 2, (1, 84, 6400), (1, 84, 1600), (1, 84, 400)), ("class token", 1, (1, 1, 768), (1, 196, 768)),
        ("cache of keys", 2, (1, 12, 511, 64), (1, 12, 1, 64)), ("points", -1, (1, 4096, 64), (1, 4096, 3)),
    )  # fmt: skip
    cases = [call("concat", f"{of}, axis {dim}", lambda *x, d=dim: torch.cat(x, d), *parts) for of, dim, *parts in rows]
    rotate = lambda x: torch.cat((-x[..., x.shape[-1] // 2 :], x[..., : x.shape[-1] // 2]), -1)  # noqa: E731
    return [*cases, call("concat", "rotated halves of 32×256×64 (Llama)", rotate, (1, 32, 256, 64))]


def transposes() -> list[Case]:
    cases = [
        call("transpose", f"{'×'.join(map(str, shape))} by {dims} ({of})", lambda x, d=dims: x.permute(d).contiguous(),
             shape)
        for shape, dims, of in (
            ((1, 3, 224, 224), (0, 2, 3, 1), "image"), ((1, 224, 224, 3), (0, 3, 1, 2), "image"),
            ((1, 64, 56, 56), (0, 2, 3, 1), "ConvNeXt"), ((1, 56, 56, 96), (0, 3, 1, 2), "ConvNeXt"),
            ((1, 128, 12, 64), (0, 2, 1, 3), "heads of BERT"), ((1, 12, 64, 197), (0, 1, 3, 2), "keys of ViT"),
            ((1, 8, 7, 8, 7, 96), (0, 1, 3, 2, 4, 5), "windows of Swin"), ((1, 1500, 384), (0, 2, 1), "Whisper"),
        )
    ]  # fmt: skip
    shuffle = lambda x: x.view(1, 2, 116, 28, 28).transpose(1, 2).reshape(1, 232, 28, 28)  # noqa: E731
    return [
        *cases,
        call("transpose", "pixel shuffle of 256×64×64 (SR)", lambda x: F.pixel_shuffle(x, 2), (1, 256, 64, 64)),
        call("transpose", "channel shuffle of 232×28×28 (ShuffleNet)", shuffle, (1, 232, 28, 28)),
    ]


def reductions() -> list[Case]:
    mean = lambda x, d: x.mean(d)  # noqa: E731
    return [
        call("reduce", f"{name} of {'×'.join(map(str, shape))} over {dim} ({of})", lambda x, f=f, d=dim: f(x, d),
             shape)
        for name, f, shape, dim, of in (
            ("mean", mean, (1, 1280, 7, 7), (2, 3), "MobileNet"), ("mean", mean, (1, 64, 112, 112), 1, "CBAM"),
            ("max", lambda x, d: x.amax(d), (1, 64, 112, 112), 1, "CBAM"),
            ("mean", mean, (1, 512, 768), 1, "sentence"), ("mean", mean, (1, 512, 768), -1, "token"),
            ("sum", lambda x, d: x.sum(d), (32, 128, 128), 0, "heads"),
            ("norm", lambda x, d: x.norm(dim=d), (512, 768), -1, "embedding"),
            ("argmax", lambda x, d: x.argmax(d), (1, 21, 129, 129), 1, "DeepLab"),
            ("argmax", lambda x, d: x.argmax(d), (32, 30522), -1, "BERT, words"),
            ("logsumexp", lambda x, d: x.logsumexp(d), (512, 1000), -1, "energy"),
        )
    ]  # fmt: skip


def gathers() -> list[Case]:
    def embedding(kind: str, rows: int, width: int, count: int, of: str) -> Case:
        return layer(
            kind, f"{count} of {rows}×{width} ({of})", lambda: nn.Embedding(rows, width), below(rows, 1, count)
        )

    elements = lambda x, i: x.gather(-1, i)  # noqa: E731
    return [
        *(embedding("gather", *row) for row in (
            (30522, 384, 128, "MiniLM"), (30522, 768, 512, "BERT"), (8192, 256, 1024, "VQ-VAE"),
            (49408, 512, 77, "CLIP"), (2048, 64, 4096, "hashed grid"),
        )),
        call("gather", "49² of 169×12 (positions of Swin)", lambda x, i: x[i], (169, 12), below(169, 2401)),
        call("gather", "elements of 12×128×256 (DeBERTa)", elements, (1, 12, 128, 256), below(256, 1, 12, 128, 128)),
        call("gather", "tokens of 1×197×768 (EViT)", lambda x, i: x.index_select(1, i), (1, 197, 768),
             below(197, 138)),
        call("gather", "neighbours of 1×1024×64 (DGCNN)", lambda x, i: x[:, i], (1, 1024, 64), below(1024, 20480)),
        call("gather", "roll of 56×56×96 (Swin)", lambda x: x.roll((-3, -3), (1, 2)), (1, 56, 56, 96)),
    ]  # fmt: skip


def pointwise() -> list[Case]:
    n = (1, 128, 3072)
    image = (1, 96, 112, 112)
    return [
        call("pointwise", f"{name} ({of})", f, *shapes)
        for name, of, f, *shapes in (
            ("gelu 128×3072", "BERT", F.gelu, n),
            ("gelu by tanh 128×3072", "GPT-2", lambda x: F.gelu(x, approximate="tanh"), n),
            ("silu of one times the other 128×2048", "Llama", lambda a, b: F.silu(a) * b, *[(1, 128, 2048)] * 2),
            ("hardswish 96×112×112", "MobileNetV3", F.hardswish, image),
            ("leaky relu 96×112×112", "YOLOv4", lambda x: F.leaky_relu(x, 0.1), image),
            ("sum of two 256×56×56 and relu", "ResNet", lambda a, b: F.relu(a + b), *[(1, 256, 56, 56)] * 2),
            ("channels' weights on 96×112×112", "EfficientNet", lambda x, w: x * torch.sigmoid(w), image,
             (1, 96, 1, 1)),
            ("mask on 12×197×197", "ViT", lambda x, m: x.masked_fill(m > 0, -1e9), (1, 12, 197, 197),
             (1, 1, 197, 197)),
            ("mish 64×80×80", "YOLOv4", F.mish, (1, 64, 80, 80)),
            ("exp and sum of squares 512×512", "kernels", lambda x, y: torch.exp(-(x - y) ** 2), (512, 1), (1, 512)),
        )
    ]  # fmt: skip


def pads() -> list[Case]:
    return [
        call("pad and slice", f"{name} ({of})", f, shape)
        for name, of, f, shape in (
            ("zeros around 64×56×56", "convolution", lambda x: F.pad(x, (1, 1, 1, 1)), (1, 64, 56, 56)),
            ("reflected 3×256×256", "style transfer", lambda x: F.pad(x, (4, 4, 4, 4), mode="reflect"),
            (1, 3, 256, 256)),
            ("reflected 256×64×64", "CycleGAN", lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), (1, 256, 64, 64)),
            ("replicated 64×128×128", "video", lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"), (1, 64, 128, 128)),
            ("zeros before 512×1000", "causal convolution", lambda x: F.pad(x, (6, 0)), (1, 512, 1000)),
            ("half of the channels 256×28×28", "ShuffleNet", lambda x: x[:, 128:].contiguous(), (1, 256, 28, 28)),
            ("every other pixel of 64×112×112", "space to depth", lambda x: x[:, :, ::2, ::2].contiguous(),
            (1, 64, 112, 112)),
            ("crop of 64×128×128", "U-Net", lambda x: x[:, :, 8:120, 8:120].contiguous(), (1, 64, 128, 128)),
            ("queries of 128×2304", "GPT-2", lambda x: x[..., :768].contiguous(), (1, 128, 2304)),
            ("flipped 3×224×224", "test-time augmentation", lambda x: x.flip(-1), (1, 3, 224, 224)),
        )
    ]  # fmt: skip


def scans() -> list[Case]:
    return [
        call("cumsum", f"{'×'.join(map(str, shape))} over {dim} ({of})", lambda x, d=dim: x.cumsum(d), shape)
        for shape, dim, of in (
            ((1, 128), -1, "positions"), ((8, 512), -1, "positions"), ((1, 512, 64), 1, "linear attention"),
            ((1, 8, 256, 64), 2, "linear attention"), ((64, 1000), -1, "probabilities"), ((1, 32000), -1, "nucleus"),
            ((1, 256, 256), 1, "integral image"), ((1, 256, 256), 2, "integral image"), ((1024, 64), -1, "NeRF"),
            ((1, 80, 1500), -1, "features"),
        )
    ]  # fmt: skip


GROUPS = (norms, softmaxes, pools, resizes, concats, transposes, reductions, gathers, pointwise, pads, scans)
