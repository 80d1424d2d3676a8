"""Particles against background by one level, with the background flattened and noise heeded.

Everything here takes particles as *bright* and is called with the picture turned round where
they are dark, so that both polarities take the same path.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.histogram import Histogram

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
    step = max(2, max(grey.shape) // _SAMPLED_PX)
    thin = np.ascontiguousarray(smooth[::step, ::step])
    flat, split = _flattened(thin)
    size = (grey.shape[1], grey.shape[0])
    background = cv2.resize(flat + np.float32(split.middle), size, interpolation=cv2.INTER_LINEAR)
    level = split.level(share)
    return Foreground(
        mask=cv2.subtract(smooth, background, dst=smooth) > level,
        background=background,
        level=level,
        noise=split.noise,
        sigma_px=sigma_px,
        clear=split.clear,
    )


def _flattened(thin: Grey) -> tuple[Grey, _Split]:
    """Background of a thinned picture, and the two levels above it."""
    flat = np.zeros_like(thin)
    split = _two_levels(thin)
    if not split.clear:
        everywhere = fit_background(thin, np.ones(thin.shape, dtype=bool))
        again = _two_levels(thin - everywhere)
        if again.clear:
            flat, split = everywhere, again
    for _ in range(2):
        above = thin - flat > split.middle + split.otsu
        flat = fit_background(thin, ~_grown(above))
        split = _two_levels(thin - flat)
    return flat, split


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
    terms = _terms(*values.shape)
    chosen = terms[inside.ravel()]
    weights, *_ = np.linalg.lstsq(chosen.T @ chosen, chosen.T @ values[inside], rcond=None)
    return np.asarray((terms @ weights).reshape(values.shape))


@functools.lru_cache(maxsize=16)
def _terms(rows: int, columns: int) -> NDArray[np.float64]:
    """The six terms of a quadratic surface over -1 … 1, (pixels, 6)."""
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return np.stack([t.ravel() for t in (np.ones_like(x), x, y, x * x, x * y, y * y)], axis=1)


def _grown(mask: Mask) -> Mask:
    return np.asarray(cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8))).view(bool)


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
    whole = Histogram.of(values)
    trimmed = whole.clipped(whole.quantile(0.03))
    cut, separation = trimmed.otsu()
    middle, noise = _background_level(trimmed.up_to(cut))
    clipped = trimmed.clipped(middle - 2 * noise)
    cut, separation = clipped.otsu()
    middle, noise = _background_level(trimmed.up_to(cut))
    if separation > _BIMODAL or cut - middle > _CLEAR * noise:
        return _Split(middle, noise, cut - middle, True, np.inf)
    middle, noise = _background_level(trimmed)
    far = trimmed.above(middle + _SPARSE * noise)
    height = (far.quantile(0.5) - middle) / 2 if far.counts.any() else np.inf
    return _Split(middle, noise, max(cut - middle, 0.0), False, max(_SPARSE * noise, height))


def _background_level(values: Histogram) -> tuple[float, float]:
    """Median, and the standard deviation from the side away from the particles."""
    middle = values.quantile(0.5)
    below = values.up_to(middle)
    spread = 1.4826 * (middle - below.quantile(0.5)) if below.counts.any() else 0.0
    return middle, max(spread, 1e-6)
