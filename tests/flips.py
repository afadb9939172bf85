"""Every kernel family behind every way to turn its input: a module of two results, of many channels and of one."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Weights(nn.Module):
    """Random ones of each shape that is asked for, the same ones every time."""

    def forward(self, *shape: int) -> Tensor:
        name = "x".join(str(size) for size in shape)
        if not hasattr(self, name):
            self.register_buffer(name, torch.randn(*shape, generator=torch.Generator().manual_seed(len(name))))
        return getattr(self, name)


def families(x: Tensor, y: Tensor, weights: Weights) -> list[Tensor]:
    """Of an image that was turned; `y` is as large, and was not."""
    c, w = x.shape[1], x.shape[3]
    rows = x.flatten(0, 1)
    return [
        x * 2 + y,
        F.relu(x).to(torch.int64).float(),
        F.conv2d(x, weights(3, c, 3, 3)),
        F.conv2d(x, weights(3, c, 3, 3), padding=1),
        F.conv2d(x, weights(3, c, 2, 3), stride=2, dilation=(1, 2)),
        F.conv2d(x, weights(5, c, 1, 1)),
        F.conv2d(x, weights(c, 1, 3, 3), groups=c),
        F.conv2d(y, weights(c, c, 3, 3), padding=1) + x,
        F.conv_transpose2d(x, weights(c, 3, 3, 3), stride=2),
        x @ weights(w, 5),
        y @ x,
        y[0, 0, :1] @ x[0, 0],
        F.scaled_dot_product_attention(x, y, y),
        F.scaled_dot_product_attention(y, x, x, is_causal=True),
        F.scaled_dot_product_attention(y[..., :1, :], x, x),
        F.max_pool2d(x, 2),
        F.max_pool2d(x, 3, stride=1, padding=1),
        F.avg_pool2d(x, (2, 3), stride=1),
        F.adaptive_avg_pool2d(x, (4, 5)),
        x.sum(1),
        x.mean((2, 3)),
        x.amax(3),
        x.argmax(2).float(),
        rows.to(torch.int32).sum(0).float(),
        x.softmax(1),
        x.log_softmax(3),
        F.layer_norm(x, (w,)),
        F.layer_norm(x, x.shape[1:]) + x,
        x.cumsum(2),
        F.interpolate(x, scale_factor=2, mode="bilinear"),
        F.interpolate(x, size=(4, 9)),
        F.pad(x, (1, 0, 2, 1), value=0.5),
        torch.cat([x, y, x], 1),
        x[:, :, ::2, 1::3],
        F.embedding(rows.abs().long() % 3, weights(3, 2)),
        x.permute(2, 0, 3, 1).reshape(-1) + 1,
    ]


class Flips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = Weights()
        self(*images())  # makes them

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        def every(a: Tensor, b: Tensor) -> Tensor:
            subsets = [axes for count in range(1, 5) for axes in combinations(range(4), count)]
            return torch.cat([part.flatten() for axes in subsets for part in families(a.flip(axes), b, self.weights)])

        return every(x, y), every(x[:, :1], y[:, :1])


def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 6, 6, generator=generator), torch.randn(2, 4, 6, 6, generator=generator)
