"""Random fields and fast smoothing, (y, x) float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Single = NDArray[np.float32]


def fractal(
    shape: tuple[int, ...], rng: np.random.Generator, size_px: float, octaves: int
) -> Single:
    """Return smooth noise, mean 0, sd 1: waves of ``size_px``, then of half, each half as high.

    Octaves below 2 px are left out.
    """
    import cv2

    field = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = size_px / 2.0**octave
        if step < 2.0 and octave:
            break
        step = max(step, 1.0)
        coarse = rng.standard_normal([int(n / step) + 4 for n in shape], np.float32)
        scale = np.array([[1.0 / step, 0.0, 1.0 + rng.random()], [0.0, 1.0 / step, 1.5]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        wave = cv2.warpAffine(coarse, scale, (shape[1], shape[0]), flags=flags,
                              borderMode=cv2.BORDER_REFLECT)  # fmt: skip
        field += np.float32(0.5**octave) * wave
    field -= field.mean()
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def smooth(field: Single, sd_px: float) -> Single:
    """Gaussian blur; a wide one is done on a reduced picture."""
    import cv2

    if sd_px <= 0.0:
        return field
    factor = int(sd_px // 4)
    if factor < 2:
        return np.asarray(cv2.GaussianBlur(field, (0, 0), sd_px), np.float32)
    height, width = field.shape
    small = (max(width // factor, 1), max(height // factor, 1))
    reduced = cv2.resize(field, small, interpolation=cv2.INTER_AREA)
    reduced = cv2.GaussianBlur(reduced, (0, 0), sd_px * small[0] / width)
    return np.asarray(cv2.resize(reduced, (width, height)), np.float32)
