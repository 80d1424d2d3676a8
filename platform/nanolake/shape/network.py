"""The shape network: a mask crop in, p, d and L_ratio with their uncertainties out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLASSES = 6
"""d = 1 … 6."""


class ShapeNetwork(nn.Module):
    """Four convolutions and a dense layer; about 120,000 weights.

    Takes (n, 1, size, size) float32 masks in 0 … 1; returns (n, 30) raw outputs that `read_out`
    understands. Wider than the paper's network (26,900 weights) and without its pooling to one
    number per map: what tells d from d + 1 is where the corners lie.
    """

    def __init__(
        self,
        *,
        crop_px: int = 64,
        channels: tuple[int, int, int, int] = (16, 32, 48, 64),
        hidden: int = 96,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        a, b, c, d = channels
        self.features = nn.Sequential(
            _block(1, a, kernel=5, stride=2),
            _block(a, b, stride=2),
            _block(b, c),
            nn.MaxPool2d(2),
            _block(c, d),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(d * (crop_px // 16) ** 2, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 5 * CLASSES),
        )

    def forward(self, masks: Tensor) -> Tensor:
        """Return the raw outputs (n, 30)."""
        raw: Tensor = self.head(self.features(2.0 * masks - 1.0))
        return raw


def _block(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def read_out(raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return class logits, log p, its sd, L and its sd, each (n, 6): one answer for every d.

    p and L mean different things under another d, so each d has its own pair: what is reported is
    the pair of the most probable d, never a mean over classes.
    """
    logits, log_p, log_p_scale, l_ratio, l_scale = raw.view(-1, 5, CLASSES).unbind(1)
    log_p_sd = 0.01 + 3.0 * torch.sigmoid(log_p_scale - 2.0)
    l_mean = 0.05 + 0.96 * torch.sigmoid(l_ratio)  # to 1.01: 1 is no limit that is never met
    l_sd = 0.003 + 0.5 * torch.sigmoid(l_scale - 2.0)
    return logits, 1.0 + log_p, log_p_sd, l_mean, l_sd


class Exported(nn.Module):
    """The network as it is shipped: crops (n, size, size) to the arrays that a user reads."""

    def __init__(self, network: ShapeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return d_probability, log_p, log_p_sd, l_ratio, l_ratio_sd, each (n, 6)."""
        logits, log_p, log_p_sd, l_ratio, l_sd = read_out(self.network(crops.unsqueeze(1)))
        return logits.softmax(dim=1), log_p, log_p_sd, l_ratio, l_sd
