"""The network: a picture in, four maps out. Plain convolutions, no global step.

A U-Net (Ronneberger et al. 2015) that folds 2 x 2 pixels into channels first, so that the widest
convolutions run at half the resolution, and unfolds the maps at the end. Skips are added, not
joined. Nothing in it looks at the whole picture at once (no global pooling, no instance norm): the
maps at a pixel depend on `HALO_PX` pixels around it only, so tiles with that halo have no seams.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from nanolake.segment.learned.model import MAPS

STRIDE = 32
"""Height and width must be multiples of this."""
HALO_PX = 192
"""Radius of the receptive field, rounded up to the stride."""


class SegmenterNetwork(nn.Module):
    """Pictures (n, 1, h, w) float32 in 0 … 1 to logits (n, 4, h, w) of `MAPS`."""

    def __init__(self, channels: tuple[int, ...] = (32, 48, 64, 96, 128)) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(2)
        widths = (4, *channels)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(before, after), _conv(after, after))
            for before, after in itertools.pairwise(widths)
        )
        self.bottom = _conv(channels[-1], channels[-1])
        pairs = list(zip(channels[1:], channels[:-1], strict=True))[::-1]
        self.lift = nn.ModuleList(nn.Conv2d(deep, wide, 1) for deep, wide in pairs)
        self.up = nn.ModuleList(_conv(wide, wide) for _, wide in pairs)
        self.head = nn.Conv2d(channels[0], 4 * len(MAPS), 1)
        self.unfold = nn.PixelShuffle(2)

    def forward(self, grey: Tensor) -> Tensor:
        """Return the logits of the maps."""
        x = self.fold(grey - 0.5)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(nn.functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = x + self.bottom(x)
        for lift, up, skip in zip(self.lift, self.up, skips[-2::-1], strict=True):
            x = up(skip + nn.functional.interpolate(lift(x), scale_factor=2.0, mode="nearest"))
        maps: Tensor = self.unfold(self.head(x))
        return maps


class Exported(nn.Module):
    """The network as inference runs it: maps in 0 … 1."""

    def __init__(self, network: SegmenterNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, grey: Tensor) -> Tensor:
        """Return the maps (n, 4, h, w) in 0 … 1."""
        return torch.sigmoid(self.network(grey))


def _conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after, momentum=0.03),
        nn.ReLU(inplace=True),
    )
