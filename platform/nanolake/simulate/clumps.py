"""Aggregates of balls, as oxides and carbon blacks that carry a catalyst. Arrays (y, x) float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.noise import fractal, smooth
from nanolake.simulate.stage_settings import Support

Single = NDArray[np.float32]

MOST_BALLS = 300
"""Balls in one aggregate: more cost time and look like `granular`."""
ROUNDED = 0.3
"""How uneven and unlike the balls of ``grains`` are, relative to those of ``clumps``."""


def add_clumps(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Balls grown one on another from a few seeds; thickness adds up, as in a real aggregate."""
    added = np.zeros_like(depth)
    cover = min(support.cover, 0.95)
    wanted = -np.log(1.0 - cover) * depth.size / (0.6 * support.size_px**2)
    number = int(np.clip(1.5 * wanted, 12, MOST_BALLS))
    odd = ROUNDED if support.kind == "grains" else 1.0
    radius = 0.5 * support.size_px * np.exp(odd * rng.normal(0.0, 0.45, number))
    centre = _grown(_seeds(support, where, rng, max(1, number // 30)), radius, rng)
    flat, shear = rng.uniform(0.25, 0.6), rng.uniform(-0.6, 0.6, (number, 2))
    for place, size, lean in zip(centre, radius, shear, strict=True):
        _add_ball(added, place, float(size), float(flat), odd * lean)
    added = _bent(added, odd * 0.1 * support.size_px, 0.7 * support.size_px, rng)
    rough = 1.0 + 0.15 * fractal(depth.shape, rng, max(4.0, 0.3 * support.size_px), 3)
    return np.asarray(
        depth + support.depth * smooth(added, 0.4 * support.soft_px) * np.maximum(rough, 0.3),
        np.float32,
    )


def _grown(
    seeds: NDArray[np.float64], radius: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return a centre for each ball: the seeds, then each against an earlier ball."""
    centre = np.zeros((radius.size, 2))
    angle, pick = rng.uniform(0.0, 2.0 * np.pi, radius.size), rng.random(radius.size)
    for index in range(radius.size):
        if index < len(seeds):
            centre[index] = seeds[index]
            continue
        parent = int(pick[index] * index)
        step = 0.7 * (radius[index] + radius[parent])
        centre[index] = centre[parent] + step * np.array(
            [np.sin(angle[index]), np.cos(angle[index])]
        )
    return centre


def _add_ball(
    added: Single, place: NDArray[np.float64], radius: float, flat: float, lean: NDArray[np.float64]
) -> None:
    """Add (1 - r^2)^flat within one sheared ball, to the part within the frame."""
    reach = 1.7 * radius
    low = np.clip(np.floor(place - reach), 0, added.shape).astype(int)
    high = np.clip(np.ceil(place + reach), 0, added.shape).astype(int)
    y = (np.arange(low[0], high[0], dtype=np.float32)[:, None] - np.float32(place[0])) / radius
    x = (np.arange(low[1], high[1], dtype=np.float32)[None, :] - np.float32(place[1])) / radius
    part = (y + np.float32(lean[0]) * x) ** 2 + (x + np.float32(lean[1]) * y) ** 2
    ball = np.maximum(1.0 - part, 0.0) ** np.float32(flat)
    added[low[0] : high[0], low[1] : high[1]] += ball


def _bent(field: Single, shift_px: float, wave_px: float, rng: np.random.Generator) -> Single:
    """Move every part by smooth random steps (sd ``shift_px``): round things become lumps."""
    import cv2

    y = np.arange(field.shape[0], dtype=np.float32)[:, None]
    x = np.arange(field.shape[1], dtype=np.float32)[None, :]
    y = y + np.float32(shift_px) * fractal(field.shape, rng, wave_px, 4)
    x = x + np.float32(shift_px) * fractal(field.shape, rng, wave_px, 4)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR), np.float32)


def _seeds(
    support: Support, where: Single, rng: np.random.Generator, number: int
) -> NDArray[np.float64]:
    """Return (number, 2) places, (y, x) px: on particles for a support that follows them."""
    under = np.flatnonzero(where) if support.follow else np.zeros(0, np.int64)
    if under.size:
        picked = rng.choice(under, 3 * number)
        return np.stack(np.unravel_index(picked, where.shape), axis=1).astype(float)
    return rng.uniform([0.0, 0.0], where.shape, (number, 2))
