"""YOLOv8n at 640×640, written out from its public description, with seeded weights and calibrated batch norms.

CSPDarknet of C2f blocks and SPPF, a PAN neck, a decoupled head whose box edges are distributions (DFL).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.common import ZooModel, calibrate_batch_norms, images, seed_convnet

SIZE = 640
CLASSES = 80
BINS = 16  # of the distribution of each box edge's distance, in units of the level's stride
STRIDES = (8, 16, 32)
WIDTHS = (64, 128, 256)  # channels of the three levels


class ConvBlock(nn.Sequential):
    """Convolution that keeps the size (but for its stride), batch norm, SiLU."""

    def __init__(self, cin: int, cout: int, size: int = 1, stride: int = 1) -> None:
        conv = nn.Conv2d(cin, cout, size, stride, padding=size // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(cout, eps=1e-3), nn.SiLU())


class Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(channels, channels, 3), ConvBlock(channels, channels, 3))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class C2f(nn.Module):
    """Two halves; a chain of bottlenecks over the second; everything joined and mixed."""

    def __init__(self, cin: int, cout: int, blocks: int, shortcut: bool) -> None:
        super().__init__()
        half = cout // 2
        self.enter = ConvBlock(cin, cout)
        self.blocks = nn.ModuleList(Bottleneck(half, shortcut) for _ in range(blocks))
        self.leave = ConvBlock((2 + blocks) * half, cout)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Maxima over windows of 5, 9 and 13, as one of 5 over and over."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = ConvBlock(channels, channels // 2)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.leave = ConvBlock(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class Head(nn.Module):
    """Boxes (centre, size in pixels) and class scores of every cell: N×(4 + classes)×cells."""

    def __init__(self) -> None:
        super().__init__()
        edges, classes = 64, 80
        self.boxes = nn.ModuleList(self.branch(width, edges, 4 * BINS) for width in WIDTHS)
        self.scores = nn.ModuleList(self.branch(width, classes, CLASSES) for width in WIDTHS)
        centers, strides = [], []
        for stride in STRIDES:
            at = torch.arange(SIZE // stride) + 0.5
            y, x = torch.meshgrid(at, at, indexing="ij")
            centers.append(torch.stack((x, y)).flatten(1))
            strides.append(torch.full((1, at.numel() ** 2), float(stride)))
        self.register_buffer("centers", torch.cat(centers, 1))  # 2×cells, in strides
        self.register_buffer("strides", torch.cat(strides, 1))
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32).view(1, BINS, 1, 1))

    @staticmethod
    def branch(cin: int, width: int, cout: int) -> nn.Sequential:
        return nn.Sequential(ConvBlock(cin, width, 3), ConvBlock(width, width, 3), nn.Conv2d(width, cout, 1))

    def forward(self, levels: list[Tensor]) -> Tensor:
        each = zip(self.boxes, self.scores, levels, strict=True)
        found = torch.cat([torch.cat((box(x), score(x)), 1).flatten(2) for box, score, x in each], 2)
        edges, scores = found.split((4 * BINS, CLASSES), 1)
        edges = edges.view(-1, 4, BINS, edges.shape[2]).transpose(1, 2).softmax(1)
        distances = nn.functional.conv2d(edges, self.bins)[:, 0]
        near, far = distances.chunk(2, 1)
        low, high = self.centers - near, self.centers + far
        boxes = torch.cat(((low + high) / 2, high - low), 1) * self.strides
        return torch.cat((boxes, scores.sigmoid()), 1)


class YOLOv8n(nn.Module):
    """image N×3×640×640 → detections N×84×8400."""

    def __init__(self) -> None:
        super().__init__()
        small, middle, large = WIDTHS
        self.stem = nn.Sequential(ConvBlock(3, 16, 3, 2), ConvBlock(16, 32, 3, 2), C2f(32, 32, 1, True))
        self.down8 = nn.Sequential(ConvBlock(32, small, 3, 2), C2f(small, small, 2, True))
        self.down16 = nn.Sequential(ConvBlock(small, middle, 3, 2), C2f(middle, middle, 2, True))
        self.down32 = nn.Sequential(ConvBlock(middle, large, 3, 2), C2f(large, large, 1, True), SPPF(large))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.up16 = C2f(large + middle, middle, 1, False)
        self.up8 = C2f(middle + small, small, 1, False)
        self.again16 = ConvBlock(small, small, 3, 2)
        self.out16 = C2f(small + middle, middle, 1, False)
        self.again32 = ConvBlock(middle, middle, 3, 2)
        self.out32 = C2f(middle + large, large, 1, False)
        self.head = Head()

    def forward(self, image: Tensor) -> Tensor:
        at8 = self.down8(self.stem(image))
        at16 = self.down16(at8)
        at32 = self.down32(at16)
        up16 = self.up16(torch.cat((self.up(at32), at16), 1))
        out8 = self.up8(torch.cat((self.up(up16), at8), 1))
        out16 = self.out16(torch.cat((self.again16(out8), up16), 1))
        out32 = self.out32(torch.cat((self.again32(out16), at32), 1))
        return self.head([out8, out16, out32])


def build() -> ZooModel:
    rng = torch.Generator().manual_seed(8)
    module = YOLOv8n()
    seed_convnet(module, rng)
    calibrate_batch_norms(module, [images(2, SIZE, rng) for _ in range(2)])
    return ZooModel(
        module=module,
        inputs={"image": images(1, SIZE, rng)},
        output_names=("detections",),
        description="YOLOv8n, 640×640, random weights",
    )
