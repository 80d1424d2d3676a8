"""What is not a particle: carbon film, dirt, uneven beam. Arrays are (y, x) float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.noise import smooth
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.support import add_support

Single = NDArray[np.float32]


def film_depth(
    settings: MicrographSettings, rng: np.random.Generator, particles: Single | None = None
) -> Single:
    """Return the optical depth of the film, never below 0: grain, mottle, dirt, holes, supports.

    ``particles`` is their optical depth, where known: some supports lie under them.
    """
    shape = settings.height_px, settings.width_px
    depth = np.full(shape, settings.film_depth, np.float32)
    if settings.film_texture:
        depth += settings.film_texture * _grain(shape, rng, settings.film_grain_px)
    if settings.film_speckle:
        depth += settings.film_speckle * _speckle(shape, rng, settings.film_speckle_px)
    if settings.film_mottle:
        depth += settings.film_mottle * _mottle(shape, rng)
    _add_specks(depth, settings, rng)
    for _ in range(settings.hole_count):
        depth *= _hole(shape, rng)
    where = np.zeros(shape, np.float32) if particles is None else particles
    for support in settings.supports:
        depth = add_support(support, depth, where, rng)
    return np.maximum(depth, 0.0)


def with_cloud(settings: MicrographSettings, film: Single, particles: Single) -> Single:
    """Return the film with the faint cloud around the particles, fading over twice its reach."""
    if not settings.ligand_depth:
        return film
    near = smooth((particles > 0).astype(np.float32), settings.ligand_px)
    return np.asarray(film + settings.ligand_depth * np.minimum(2.0 * near, 1.0), np.float32)


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
    light = np.asarray(1.0 - np.float32(settings.illumination) * fall, np.float32)
    if settings.vignette:
        light *= 1.0 - np.float32(settings.vignette) * (0.5 * (x * x + y * y)) ** 2
    return light


def _grain(shape: tuple[int, int], rng: np.random.Generator, size_px: float) -> Single:
    """Amorphous carbon: noise in the band between ``size_px`` and three times that, sd 1."""
    noise = rng.standard_normal(shape, np.float32)
    grain = smooth(noise, size_px) - 0.7 * smooth(noise, 3.0 * size_px)
    return np.asarray(grain / grain.std(), np.float32)


def _speckle(shape: tuple[int, int], rng: np.random.Generator, wave_px: float) -> Single:
    """Noise of one wavelength, sd 1: what a contrast transfer function leaves of white noise.

    The difference of two blurs of sd s and 1.25 s passes waves of about 5.6 s best.
    """
    sd = wave_px / 5.6
    noise = rng.standard_normal(shape, np.float32)
    wave = smooth(noise, sd) - smooth(noise, 1.25 * sd)
    return np.asarray(wave / wave.std(), np.float32)


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
