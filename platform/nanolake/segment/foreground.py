"""Particles against background by one level, with the background flattened and noise heeded.

Everything here takes particles as *bright* and is called with the picture turned round where
they are dark, so that both polarities take the same path.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)
_COARSE_PX = 128
_SAMPLED_PX = 512
_BIMODAL = 0.72
_CLEAR = 3.0
_SPARSE = 5.5
_FLOOR = 2.5


@dataclass(frozen=True, kw_only=True)
class Foreground:
    """A picture's particles as one mask, and how it was come by."""

    mask: Mask
    background: Grey
    """Level of the empty background (y, x) on the grey scale, the level's zero."""
    level: float
    """Grey values above ``background`` by more than this are particles; infinite for none."""
    noise: float
    """Robust standard deviation of the smoothed background."""
    sigma_px: float
    """Width of the Gaussian that the picture was smoothed with."""
    clear: bool
    """Whether two levels of grey stood apart; otherwise only single bright spots were taken."""


def find_foreground(grey: Grey, share: float) -> Foreground:
    """Smooth as little as needed for particles to stand out from the noise.

    Gaussians of 1, 2, 4 and 8 px are tried in turn until background and particles stand apart.
    If they never do, the picture is taken for an empty one with perhaps single spots of at
    least 5.5 times the noise.
    """
    trials = []
    for sigma in _SIGMAS_PX:
        found = foreground_at(grey, sigma, share)
        if found.clear:
            return found
        trials.append(found)
    return trials[1]


def foreground_at(grey: Grey, sigma_px: float, share: float) -> Foreground:
    """Flatten, smooth with ``sigma_px`` and cut at ``share`` of Otsu's level.

    ``share`` below 1 moves the outline outwards: the edge of a domed particle fades into the
    background, and Otsu's level lies inside it.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), sigma_px)
    flat = np.full(grey.shape, np.float32(0))
    step = max(2, max(grey.shape) // _SAMPLED_PX)
    thin = (slice(None, None, step), slice(None, None, step))
    split = _two_levels(smooth[thin])
    if not split.clear:
        everywhere = fit_background(smooth, np.ones(grey.shape, dtype=bool))
        again = _two_levels((smooth - everywhere)[thin])
        if again.clear:
            flat, split = everywhere, again
    for _ in range(2):
        above = smooth - flat > split.middle + split.otsu
        flat = fit_background(smooth, ~_grown(above))
        split = _two_levels((smooth - flat)[thin])
    flat = flat + np.float32(split.middle)
    level = split.level(share)
    return Foreground(
        mask=smooth - flat > level,
        background=flat,
        level=level,
        noise=split.noise,
        sigma_px=sigma_px,
        clear=split.clear,
    )


def fit_background(smooth: Grey, empty: Mask) -> Grey:
    """Fit a quadratic surface to the empty part, on a coarse grid of about 128 px.

    Its values stay within the range seen in the empty part. Where less than 3 % is empty the
    median of the empty part is taken.
    """
    height, width = smooth.shape
    step = max(1, max(height, width) // _COARSE_PX)
    size = (max(width // step, 3), max(height // step, 3))
    coarse = cv2.resize(smooth, size, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(empty.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.95
    if inside.mean() < 0.03:
        level = float(np.median(smooth[empty][::7])) if empty.any() else float(smooth.min())
        return np.full(smooth.shape, np.float32(level))
    surface = _quadratic(coarse, inside)
    low, high = np.percentile(coarse[inside], [1, 99])
    surface = np.clip(surface, low, high).astype(np.float32)
    return np.asarray(cv2.resize(surface, (width, height), interpolation=cv2.INTER_LINEAR))


def _quadratic(values: Grey, inside: Mask) -> NDArray[np.float64]:
    rows, columns = values.shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    terms = np.stack([t.ravel() for t in (np.ones_like(x), x, y, x * x, x * y, y * y)], axis=1)
    weights, *_ = np.linalg.lstsq(terms[inside.ravel()], values[inside], rcond=None)
    return np.asarray((terms @ weights).reshape(values.shape))


def _grown(mask: Mask) -> Mask:
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((5, 5), np.uint8))).view(bool)


@dataclass(frozen=True)
class _Split:
    middle: float
    """Median of the background."""
    noise: float
    otsu: float
    """Otsu's level above the middle."""
    clear: bool
    spots: float
    """Half the contrast of single spots above the middle, infinite without any."""

    def level(self, share: float) -> float:
        if not self.clear:
            return self.spots
        return max(share * self.otsu, min(_FLOOR * self.noise, self.otsu))


def _two_levels(values: Grey) -> _Split:
    """Background and particle level of grey values with bright particles.

    The darkest 3 % are cut off first: on that side there is only print and shadow.
    """
    values = np.maximum(values, np.float32(np.percentile(values, 3)))
    cut, separation = otsu(values)
    middle, noise = _background_level(values[values <= cut])
    clipped = np.maximum(values, np.float32(middle - 2 * noise))
    cut, separation = otsu(clipped)
    middle, noise = _background_level(values[values <= cut])
    if separation > _BIMODAL or cut - middle > _CLEAR * noise:
        return _Split(middle, noise, cut - middle, True, np.inf)
    middle, noise = _background_level(values)
    far = values[values > middle + _SPARSE * noise]
    spots = max(_SPARSE * noise, (float(np.median(far)) - middle) / 2) if far.size else np.inf
    return _Split(middle, noise, max(cut - middle, 0.0), False, spots)


def _background_level(values: Grey) -> tuple[float, float]:
    """Median, and the standard deviation from the side away from the particles."""
    middle = float(np.median(values))
    below = values[values < middle]
    spread = 1.4826 * float(np.median(middle - below)) if below.size else 0.0
    return middle, max(spread, 1e-6)


def otsu(values: Grey) -> tuple[float, float]:
    """Otsu's level over 256 bins and the share of the variance that it explains (0 … 1).

    Noise of one level explains 0.64, two narrow levels near 1. Otsu 1979, eq. 18.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low, 0.0
    bins = ((values - low) * (255.999 / (high - low))).astype(np.uint8)
    counts = np.bincount(bins.ravel(), minlength=256).astype(np.float64)
    centres = np.arange(256) + 0.5
    below, sums = np.cumsum(counts), np.cumsum(counts * centres)
    total, mean = below[-1], sums[-1] / below[-1]
    weight = np.maximum(below * (total - below), 1e-9)
    between = np.where(below < total, (mean * below - sums) ** 2 / weight, 0)
    best = int(np.flatnonzero(between >= between.max() * (1 - 1e-9)).mean())
    variance = float((counts * (centres - mean) ** 2).sum() / total)
    explained = between[best] / variance if variance else 0.0
    return low + (best + 1) * (high - low) / 256, float(explained)
