"""Layers of graphitic carbon as a microscope of high resolution shows them. (y, x) float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.noise import fractal

Single = NDArray[np.float32]

TRAINS = 3
"""Wave trains of different direction that follow one another in patches (turbostratic order)."""
STRENGTH = 0.5
"""Amplitude of a stripe where its train is strong, relative to the thickness."""


def striped(shape: tuple[int, int], rng: np.random.Generator, period_px: float) -> Single:
    """Return curved stripes of about ``period_px`` in patches a few periods wide, mean about 0."""
    y = np.arange(shape[0], dtype=np.float32)[:, None]
    x = np.arange(shape[1], dtype=np.float32)[None, :]
    wave = 2.0 * np.pi / period_px
    angle = rng.uniform(0.0, np.pi)
    total = np.zeros(shape, np.float32)
    for train in range(TRAINS):
        turn = angle + train * np.pi / TRAINS + rng.normal(0.0, 0.3)
        along = x * np.float32(wave * np.cos(turn)) + y * np.float32(wave * np.sin(turn))
        along = along + np.float32(5.0) * fractal(shape, rng, 15.0 * period_px, 2)
        patch = np.maximum(fractal(shape, rng, 5.0 * period_px, 2), 0.0)
        total += patch * np.cos(along)
    return np.asarray(np.float32(STRENGTH) * total, np.float32)
