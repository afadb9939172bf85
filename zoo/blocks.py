"""Parts of networks that upsample or normalise groups: a step of a vocoder, a U-Net, residual blocks of a diffuser."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.common import ZooModel


class Vocoder(nn.Module):
    """A stage of HiFi-GAN: ×8 by a transposed convolution, then residual blocks of dilated convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose1d(64, 32, 16, 8, 4)
        kernels, dilations = (3, 7, 11), (1, 3, 5)
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.Conv1d(32, 32, k, dilation=d, padding=d * (k - 1) // 2) for d in dilations)
            for k in kernels
        )

    def forward(self, mel: Tensor) -> Tensor:
        x = self.up(F.leaky_relu(mel, 0.1))
        total = torch.zeros_like(x)
        for block in self.blocks:
            y = x
            for conv in block:
                y = y + conv(F.leaky_relu(y, 0.1))
            total = total + y
        return total / len(self.blocks)


class UNet(nn.Module):
    """Two steps down, two up by ConvTranspose2d(4, 2, 1), skips joined by channels."""

    def __init__(self) -> None:
        super().__init__()
        conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1)  # noqa: E731
        self.down0, self.down1, self.middle = conv(3, 32), conv(32, 64), conv(64, 64)
        self.up1, self.join1 = nn.ConvTranspose2d(64, 32, 4, 2, 1), conv(96, 32)
        self.up0, self.join0 = nn.ConvTranspose2d(32, 32, 4, 2, 1), conv(64, 32)
        self.head = nn.Conv2d(32, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        a = F.relu(self.down0(image))
        b = F.relu(self.down1(F.max_pool2d(a, 2)))
        c = F.relu(self.middle(F.max_pool2d(b, 2)))
        b = F.relu(self.join1(torch.cat((F.relu(self.up1(c)), b), 1)))
        a = F.relu(self.join0(torch.cat((F.relu(self.up0(b)), a), 1)))
        return self.head(a)


class GroupNormBlocks(nn.Module):
    """Residual blocks as diffusion models have them: GroupNorm, SiLU, 3×3 convolution, twice, and the input."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(32, 128) for _ in range(4))
        self.convs = nn.ModuleList(nn.Conv2d(128, 128, 3, padding=1) for _ in range(4))

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for i in (0, 2):
            y = self.convs[i](F.silu(self.norms[i](x)))
            x = x + self.convs[i + 1](F.silu(self.norms[i + 1](y)))
        return x


def seeded(module: nn.Module, name: str, shape: tuple[int, ...], description: str) -> ZooModel:
    rng = torch.Generator().manual_seed(len(description))
    for parameter in module.parameters():
        fan = parameter[0].numel() if parameter.dim() > 1 else 1
        nn.init.normal_(parameter, mean=0.0 if parameter.dim() > 1 else 0.5, std=fan**-0.5, generator=rng)
    return ZooModel(module.eval(), {name: torch.randn(shape, generator=rng)}, ("y",), description)


def vocoder() -> ZooModel:
    return seeded(Vocoder(), "mel", (1, 64, 512), "a stage of HiFi-GAN, 512 frames ×8, random weights")


def unet() -> ZooModel:
    return seeded(UNet(), "image", (1, 3, 128, 128), "U-Net, 128×128, random weights")


def group_norm() -> ZooModel:
    return seeded(GroupNormBlocks(), "image", (1, 128, 32, 32), "GroupNorm blocks, 128×32×32, random weights")
