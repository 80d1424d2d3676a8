"""The shape network: a crop in, p, d and L_ratio with their uncertainties out.

Strategy: an outline of eq. 1 is a radius over an angle, so the crop is unwrapped about its centre
into (radius, angle) first. A turned particle is then a shifted one: convolutions run around the
circle without an edge, and what leaves them is their power spectrum along the angle and their means
and maxima, none of which knows where the circle starts. That makes the answer invariant to rotation
but for the sampling, and lets d, the period of the outline, be read off the spectrum.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from nanolake.shape.surroundings import MAPS

CLASSES = 6
"""d = 1 … 6."""
ANGLES = 180
"""Directions of the unwrapped crop: a multiple of 2, 3, 4, 5, 6, two degrees apart."""
HARMONICS = 13
"""Waves around the circle whose power is read: 0 to 12, two to every axis of d = 6."""


class ShapeNetwork(nn.Module):
    """Circular convolutions over the unwrapped crop and a dense layer; about 0.25 million weights.

    Takes (n, 3, size, size) float32 maps in 0 … 1 of `surroundings.cut_maps`: mask, grey, others,
    the particle's centroid in the middle; returns (n, 30) raw outputs that `read_out` understands.
    """

    def __init__(
        self,
        *,
        crop_px: int = 64,
        channels: tuple[int, int] = (40, 64),
        hidden: int = 160,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        near, far = channels
        self.unwrap = Unwrap(crop_px)
        self.features = nn.Sequential(
            _block(MAPS * (crop_px // 2), near, kernel=7, stride=2),
            _block(near, far, kernel=5, stride=2),
            _Residual(far),
            _Residual(far, dilation=3),
        )
        self.summary = CircleSummary(far, positions=ANGLES // 4)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(self.summary.width, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 5 * CLASSES),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the raw outputs (n, 30)."""
        around = 2.0 * self.unwrap(maps) - 1.0
        raw: Tensor = self.head(self.summary(self.features(around)))
        return raw


class Unwrap(nn.Module):
    """(n, m, size, size) -> (n, m size / 2, ANGLES): bilinear samples at rings a pixel apart."""

    corners: Tensor
    weights: Tensor

    def __init__(self, crop_px: int) -> None:
        super().__init__()
        corners, weights = _polar_samples(crop_px)
        self.register_buffer("corners", torch.from_numpy(corners), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)
        self.rings = crop_px // 2

    def forward(self, maps: Tensor) -> Tensor:
        """Return the unwrapped maps one after another; ring k has the radius k + 0.5 px."""
        # A row a pixel: each sample is then a run of memory over the whole batch, and ONNX Runtime
        # gathers those several times as fast as single numbers.
        flat = maps.flatten(2).flatten(0, 1).t().contiguous()
        around = flat.index_select(0, self.corners[0]) * self.weights[0][:, None]
        for corner in range(1, 4):
            sampled = flat.index_select(0, self.corners[corner])
            around = around + sampled * self.weights[corner][:, None]
        return around.t().reshape(-1, maps.shape[1] * self.rings, ANGLES)


def _polar_samples(crop_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flat pixel indices and bilinear weights (4, rings * ANGLES) of the samples."""
    ring = np.arange(crop_px // 2) + 0.5
    theta = np.arange(ANGLES) * (2.0 * math.pi / ANGLES)
    middle = 0.5 * (crop_px - 1)
    y = np.clip(middle + ring[:, None] * np.sin(theta), 0.0, crop_px - 1.0).ravel()
    x = np.clip(middle + ring[:, None] * np.cos(theta), 0.0, crop_px - 1.0).ravel()
    y0, x0 = np.minimum(y.astype(int), crop_px - 2), np.minimum(x.astype(int), crop_px - 2)
    fy, fx = y - y0, x - x0
    corners = np.stack([(y0 + a) * crop_px + x0 + b for a in (0, 1) for b in (0, 1)])
    weights = np.stack(
        [(fy if a else 1 - fy) * (fx if b else 1 - fx) for a in (0, 1) for b in (0, 1)]
    )
    return corners, weights.astype(np.float32)


class CircleSummary(nn.Module):
    """Maps over the circle (n, channels, positions) -> numbers that do not know its start."""

    waves: Tensor

    def __init__(self, channels: int, *, positions: int, spectra: int = 48) -> None:
        super().__init__()
        self.narrow = nn.Conv1d(channels, spectra, 1)
        turns = np.outer(np.arange(positions), np.arange(HARMONICS)) * (2 * math.pi / positions)
        waves = np.concatenate([np.cos(turns), np.sin(turns)], axis=1) / positions
        self.register_buffer("waves", torch.from_numpy(waves.astype(np.float32)), persistent=False)
        self.width = spectra * HARMONICS + 2 * channels

    def forward(self, maps: Tensor) -> Tensor:
        """Return (n, width): amplitude of each wave of each narrowed map, means and maxima."""
        real, imaginary = (self.narrow(maps) @ self.waves).split(HARMONICS, dim=2)
        power = (real.square() + imaginary.square() + 1e-6).sqrt()
        return torch.cat([power.flatten(1), maps.mean(dim=2), maps.amax(dim=2)], dim=1)


def _block(
    inputs: int, outputs: int, *, kernel: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(
            inputs,
            outputs,
            kernel,
            stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            padding_mode="circular",
            bias=False,
        ),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two circular convolutions added to what went in."""

    def __init__(self, channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.change = nn.Sequential(
            _block(channels, channels, kernel=5, dilation=dilation),
            _block(channels, channels, kernel=5, dilation=dilation),
        )

    def forward(self, maps: Tensor) -> Tensor:
        changed: Tensor = maps + self.change(maps)
        return changed


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
    """The network as it is shipped: maps (n, 3, size, size) to the arrays that a user reads."""

    def __init__(self, network: ShapeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return d_probability, log_p, log_p_sd, l_ratio, l_ratio_sd, each (n, 6)."""
        logits, log_p, log_p_sd, l_ratio, l_sd = read_out(self.network(maps))
        return logits.softmax(dim=1), log_p, log_p_sd, l_ratio, l_sd
