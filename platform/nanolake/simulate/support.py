"""Supports and dirt: each adds to, or cuts into, the optical depth of the film.

Every piece has the same form: ``piece(support, depth, where, rng)`` returns the new depth; depth is
(y, x) float32, ``where`` (y, x) the optical depth of the particles, for supports that carry them.
Nothing drawn here is a particle in the truth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.carbon import striped
from nanolake.simulate.clumps import add_clumps
from nanolake.simulate.noise import fractal, smooth
from nanolake.simulate.stage_settings import Support

Single = NDArray[np.float32]
Piece = Callable[[Support, Single, Single, np.random.Generator], Single]


def add_support(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Return the optical depth with the support added (or its holes cut)."""
    return _PIECES[support.kind](support, depth, where, rng)


def _granular(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """A carrier of fine grains over a ragged part of the picture."""
    grains = np.maximum(1.0 + 0.55 * fractal(depth.shape, rng, support.size_px, 3), 0.0)
    slow = 1.0 + 0.35 * fractal(depth.shape, rng, 0.3 * min(depth.shape), 2)
    area = _ragged(support, where, rng, border_px=3.0 * support.size_px)
    return np.asarray(depth + support.depth * area * grains * np.maximum(slow, 0.2), np.float32)


def _stain(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    area = _ragged(support, where, rng, border_px=support.soft_px)
    rim = area * (1.0 - smooth(area, 0.5 * support.size_px))
    return np.asarray(
        depth + support.depth * (0.5 * area + rng.uniform(0.0, 1.5) * rim), np.float32
    )


def _dirt(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Irregular specks: the highest peaks of a noise of their size, each of its own depth."""
    field = fractal(depth.shape, rng, 1.5 * support.size_px, 2)
    level = _level(field, support.cover)
    speck = np.clip((field - level) / 0.25, 0.0, 1.0)
    uneven = np.maximum(0.6 + 0.5 * fractal(depth.shape, rng, 6.0 * support.size_px, 2), 0.0)
    return np.asarray(depth + support.depth * speck * uneven, np.float32)


def _graphite(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """A ragged piece of layered carbon, uneven in thickness."""
    area = _ragged(support, where, rng, border_px=support.soft_px)
    thick = 1.0 + 0.25 * fractal(depth.shape, rng, 0.2 * min(depth.shape), 3)
    layers = np.maximum(thick, 0.2) + striped(
        (depth.shape[0], depth.shape[1]), rng, support.size_px
    )
    return np.asarray(depth + support.depth * area * layers, np.float32)


def _blotches(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Irregular patches in which the film is thinner or gone; seldom under a particle."""
    field = fractal(depth.shape, rng, 1.5 * support.size_px, 3)
    if where.any():
        field -= 3.0 * np.minimum(2.0 * smooth((where > 0).astype(np.float32), 3.0), 1.0)
    sharp = 2.0 * support.soft_px / support.size_px
    patch = np.clip((field - _level(field, support.cover)) / sharp, 0.0, 1.0)
    return np.asarray(depth * (1.0 - min(support.depth, 1.0) * patch), np.float32)


def _lacey(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Strands between rounded holes: where the two nearest of random points are about as far."""
    import cv2
    from scipy.spatial import KDTree

    height, width = depth.shape
    number = max(4, round(1.6 * depth.size / support.size_px**2))
    places = rng.uniform([-0.2 * height, -0.2 * width], [1.2 * height, 1.2 * width], (number, 2))
    rows, columns = np.linspace(0, height, 112), np.linspace(0, width, 112)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    near = np.asarray(KDTree(places).query(grid.reshape(-1, 2), k=2)[0], np.float32)
    gap = cv2.resize((near[:, 1] - near[:, 0]).reshape(112, 112), (width, height))
    gap += 0.06 * support.size_px * fractal(depth.shape, rng, 0.6 * support.size_px, 3)
    level = _level(-gap, support.cover)
    strand = np.clip(0.5 + (-gap - level) / (2.0 * support.soft_px), 0.0, 1.0)
    thick = np.clip((-gap - level) / (0.3 * support.size_px), 0.0, 1.0)
    return np.asarray(strand * (depth + support.depth * (0.4 + 0.6 * thick)), np.float32)


def _sheets(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Flakes of a few depths, uneven and with dark creases."""
    number = int(np.clip(2.0 * support.cover * depth.size / support.size_px**2, 1, 25))
    added = np.zeros_like(depth)
    for _ in range(number):
        centre = rng.uniform([0.0, 0.0], depth.shape)
        angle = np.sort(rng.uniform(0.0, 2.0 * np.pi, rng.integers(8, 16)))
        reach = 0.5 * support.size_px * rng.uniform(0.7, 1.3, angle.size)
        corners = centre + reach[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        added += rng.uniform(0.3, 1.0) * _filled(depth.shape, corners)
        crease = _wander(centre, support.size_px, rng)
        added += rng.uniform(0.2, 1.0) * _stroke(depth.shape, crease, rng.uniform(1.0, 4.0))
    uneven = np.maximum(1.0 + 0.3 * fractal(depth.shape, rng, 0.4 * support.size_px, 5), 0.2)
    return np.asarray(
        depth + support.depth * _softened(added, support.soft_px) * uneven, np.float32
    )


def _fibres(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """Threads or hollow tubes across the picture."""
    side = float(max(depth.shape))
    number = int(np.clip(support.cover * min(depth.shape) / support.size_px, 1, 20))
    hollow = rng.uniform(0.0, 0.8) if rng.random() < 0.5 else 0.0
    added = np.zeros_like(depth)
    for _ in range(number):
        path = _wander(rng.uniform([0.0, 0.0], depth.shape), 2.0 * side, rng)
        width = support.size_px * rng.uniform(0.6, 1.5)
        added += _stroke(depth.shape, path, width)
        if hollow:
            added -= 0.6 * _stroke(depth.shape, path, hollow * width)
    return np.asarray(
        depth + support.depth * _softened(added, max(support.soft_px, 0.12 * support.size_px)),
        np.float32,
    )


def _edge(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """The film ends along a wavy line: exactly nothing beyond, a rim that may be curled up."""
    inward = _half_plane(support, depth.shape, rng, waves=0.06)
    film = np.clip(0.5 + inward / support.soft_px, 0.0, 1.0)
    rim = np.exp(-((inward / support.size_px) ** 2)) * (inward > 0)
    return np.asarray(film * (depth + support.depth * rim), np.float32)


def _grid_bar(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    inward = _half_plane(support, depth.shape, rng, waves=0.01)
    if rng.random() < 0.3:
        inward = np.maximum(inward, _half_plane(support, depth.shape, rng, waves=0.01))
    return np.asarray(
        depth + support.depth * np.clip(0.5 + inward / support.soft_px, 0.0, 1.0), np.float32
    )


def _aperture(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    """A round opening wider than the picture is high cuts its corners or one of its sides."""
    height, width = depth.shape
    size = np.float32(np.hypot(height, width) * rng.uniform(0.42, 0.6))
    centre_y, centre_x = rng.normal(0.5, 0.08, 2) * [height, width]
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre_y)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre_x)
    outside = np.sqrt(x * x + y * y) - size
    return np.asarray(
        depth + support.depth * np.clip(0.5 + outside / support.soft_px, 0.0, 1.0), np.float32
    )


def _ring(support: Support, depth: Single, where: Single, rng: np.random.Generator) -> Single:
    height, width = depth.shape
    centre_y, centre_x = rng.uniform(-0.2, 1.2, 2) * [height, width]
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre_y)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre_x)
    wobble = 0.06 * fractal(depth.shape, rng, 0.3 * min(depth.shape), 2)
    radius = rng.uniform(0.2, 0.8) * min(depth.shape)
    inward = radius - np.sqrt(x * x + y * y) * (1.0 + wobble)
    band = np.asarray(np.exp(-((inward / support.size_px) ** 2)) + 0.2 * (inward > 0), np.float32)
    return np.asarray(depth + support.depth * _softened(band, support.soft_px), np.float32)


def _half_plane(
    support: Support, shape: tuple[int, ...], rng: np.random.Generator, waves: float
) -> Single:
    """Return the distance inward of a wavy line that leaves ``cover`` of the picture inside, px."""
    y = np.arange(shape[0], dtype=np.float32)[:, None]
    x = np.arange(shape[1], dtype=np.float32)[None, :]
    angle = rng.uniform(0.0, 2.0 * np.pi)
    along = np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y
    side = min(shape)
    along = along + waves * side * fractal((shape[0], shape[1]), rng, 0.6 * side, 5)
    return np.asarray(along - _level(along, support.cover), np.float32)


def _ragged(support: Support, where: Single, rng: np.random.Generator, border_px: float) -> Single:
    """Return 1 in a ragged area of ``cover``, 0 outside, fading over about ``border_px``."""
    field = fractal((where.shape[0], where.shape[1]), rng, 0.6 * min(where.shape), 6)
    if support.follow and where.any():
        near = smooth((where > 0).astype(np.float32), 0.08 * min(where.shape))
        field += 2.5 * near / near.max()
    slope = 3.0 * border_px / min(where.shape)
    area = 0.5 + (field - _level(field, support.cover)) / max(slope, 1e-3)
    return np.asarray(np.clip(area, 0.0, 1.0), np.float32)


def _level(field: Single, above: float) -> float:
    """Return the level above which the fraction ``above`` of the field lies (from every 16th)."""
    return float(np.quantile(field[::4, ::4], 1.0 - above))


def _wander(
    through: NDArray[np.float64], length: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return 24 points (y, x) of a smooth path through a point."""
    turn = rng.uniform(0.0, 2.0 * np.pi) + np.cumsum(rng.normal(0.0, 0.15, 24))
    steps = length / 24.0 * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    path = np.cumsum(steps, axis=0)
    return np.asarray(path - path[12] + through, np.float64)


def _filled(shape: tuple[int, ...], corners: NDArray[np.float64]) -> Single:
    import cv2

    sheet = np.zeros(shape, np.uint8)
    cv2.fillPoly(sheet, [np.rint(corners[:, ::-1]).astype(np.int32)], 255, cv2.LINE_AA)
    return sheet.astype(np.float32) / np.float32(255.0)


def _stroke(shape: tuple[int, ...], path: NDArray[np.float64], width: float) -> Single:
    import cv2

    sheet = np.zeros(shape, np.uint8)
    points = [np.rint(path[:, ::-1]).astype(np.int32)]
    cv2.polylines(sheet, points, False, 255, max(1, round(width)), cv2.LINE_AA)
    return sheet.astype(np.float32) / np.float32(255.0)


def _softened(field: Single, soft_px: float) -> Single:
    return smooth(field, 0.4 * soft_px) if soft_px > 1.0 else field


_PIECES: dict[str, Piece] = {
    "clumps": add_clumps,
    "grains": add_clumps,
    "granular": _granular,
    "lacey": _lacey,
    "sheets": _sheets,
    "fibres": _fibres,
    "edge": _edge,
    "grid_bar": _grid_bar,
    "aperture": _aperture,
    "stain": _stain,
    "ring": _ring,
    "dirt": _dirt,
    "graphite": _graphite,
    "blotches": _blotches,
}
