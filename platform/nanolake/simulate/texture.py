"""What is not a particle: carbon film, dirt, uneven beam. Arrays are (y, x) float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.settings import MicrographSettings

Single = NDArray[np.float32]


def film_depth(settings: MicrographSettings, rng: np.random.Generator) -> Single:
    """Return the optical depth of the film, never below 0: grain, slow mottle, dirt, holes."""
    shape = settings.height_px, settings.width_px
    depth = np.full(shape, settings.film_depth, np.float32)
    if settings.film_texture:
        depth += settings.film_texture * _grain(shape, rng)
    if settings.film_mottle:
        depth += settings.film_mottle * _mottle(shape, rng)
    _add_specks(depth, settings, rng)
    for _ in range(settings.hole_count):
        depth *= _hole(shape, rng)
    return np.maximum(depth, 0.0)


def beam(settings: MicrographSettings, rng: np.random.Generator) -> Single:
    """Return the beam over the picture, at most 1: a slope in a random direction and a bow."""
    y = np.linspace(-1.0, 1.0, settings.height_px, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, settings.width_px, dtype=np.float32)[None, :]
    angle = rng.uniform(0.0, 2.0 * np.pi)
    centre_y, centre_x = rng.uniform(-0.5, 0.5, 2)
    slope = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    bow = (y - np.float32(centre_y)) ** 2 + (x - np.float32(centre_x)) ** 2
    fall = bow - slope
    fall = (fall - fall.min()) / (fall.max() - fall.min())
    return np.asarray(1.0 - np.float32(settings.illumination) * fall, np.float32)


def _grain(shape: tuple[int, int], rng: np.random.Generator) -> Single:
    """Amorphous carbon: noise in the band between 1 and 3 px, sd 1."""
    import cv2

    noise = rng.standard_normal(shape, np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.0) - 0.7 * cv2.GaussianBlur(noise, (0, 0), 3.0)
    return np.asarray(grain / grain.std(), np.float32)


def _mottle(shape: tuple[int, int], rng: np.random.Generator) -> Single:
    import cv2

    coarse = rng.standard_normal((12, 12), np.float32)
    slow = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(slow, np.float32)


def _add_specks(depth: Single, settings: MicrographSettings, rng: np.random.Generator) -> None:
    """Add soft blots of 2 to 8 px, too faint and too blurred to be called particles."""
    height, width = depth.shape
    for _ in range(settings.debris_count):
        sd, strength = rng.uniform(1.0, 4.0), rng.uniform(0.03, 0.12)
        centre = rng.uniform([0.0, 0.0], [height, width])
        low = np.maximum(centre - 4.0 * sd, 0).astype(int)
        high = np.minimum(centre + 4.0 * sd + 1.0, [height, width]).astype(int)
        y = np.arange(low[0], high[0])[:, None] - centre[0]
        x = np.arange(low[1], high[1])[None, :] - centre[1]
        blot = strength * np.exp(-(x * x + y * y) / (2.0 * sd * sd))
        depth[low[0] : high[0], low[1] : high[1]] += blot.astype(np.float32)


def _hole(shape: tuple[int, int], rng: np.random.Generator) -> Single:
    """Return 1 on the film and 0 in one round hole, with an edge of about 2 px."""
    side = min(shape)
    centre_y, centre_x = rng.uniform([0.0, 0.0], shape)
    size = rng.uniform(0.08, 0.3) * side
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(centre_y)
    x = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(centre_x)
    distance = np.sqrt(x * x + y * y) - np.float32(size)
    return np.asarray(np.clip(0.5 + distance / 2.0, 0.0, 1.0), np.float32)
