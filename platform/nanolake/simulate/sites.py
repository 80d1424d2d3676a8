"""Sites thought out before the particles are drawn: lattice islands and jammed heaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.families import Draws, margin_px
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.superellipse import outline

Anchors = NDArray[np.int64]
Floats = NDArray[np.float64]
ROUNDS = 40
"""Rounds in which jammed discs push one another apart; few overlap by more than 2 % after it."""
HEAP_DENSITY = 0.85
"""Part of its own area that a heap of jammed discs fills: random packing of discs in the plane."""


@dataclass(frozen=True)
class Sites:
    """Lattice sites: anchors (n, 2) (y, x), px, and the turn of the particle on each."""

    anchors: Anchors
    phi_rad: NDArray[np.float64]


def find_sites(
    settings: MicrographSettings, draws: Draws, rng: np.random.Generator
) -> Sites | None:
    """Return the sites of ``close_packed`` and ``jammed``; None where each place is searched."""
    if not draws.p.size:
        return None
    if settings.arrangement == "close_packed":
        return _lattice_sites(settings, draws, rng)
    if settings.arrangement == "jammed":
        return _jammed_sites(settings, draws, rng)
    return None


def cluster_centres(settings: MicrographSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return ``cluster_count`` places (n, 2) (y, x), px, away from the border."""
    size = np.array([settings.height_px, settings.width_px])
    centres = rng.uniform(0.15, 0.85, (settings.cluster_count, 2)) * size
    return np.asarray(centres, np.float64)


def _lattice_sites(settings: MicrographSettings, draws: Draws, rng: np.random.Generator) -> Sites:
    """Return sites of lattice islands.

    Outlines with d = 2 stand along the lattice, boxes on a rectangular and ellipses on a brick
    lattice; all others stand at random on a hexagonal one. At most one site a particle: fewer
    where the islands meet the border.
    """
    cell = _cell(settings, draws)
    shares = _shares(draws.p.size, settings.cluster_count)
    anchors, angles = [], []
    for share, centre in zip(shares, cluster_centres(settings, rng), strict=True):
        angle = rng.uniform(0.0, 2.0 * np.pi)
        places = _in_frame(settings, centre + _island(4 * share, cell, angle, rng))[:share]
        anchors.append(places)
        angles.append(np.full(len(places), angle))
    turn = np.concatenate(angles)
    phi = -turn if cell.aligned else rng.uniform(0.0, 2.0 * np.pi, turn.size)
    phi = phi + rng.normal(0.0, 0.02, turn.size)
    return Sites(np.rint(np.concatenate(anchors)).astype(np.int64), phi)


def _jammed_sites(settings: MicrographSettings, draws: Draws, rng: np.random.Generator) -> Sites:
    """Return places where discs of the particles' area just touch, in heaps or over the frame.

    The discs start anywhere within their heap and push one another apart.
    """
    radius = 0.5 * draws.diameter_px + 0.5 * settings.gap_px
    places = _start(settings, radius, rng)
    for _ in range(ROUNDS):
        places += _push_apart(places, radius)
    return Sites(np.rint(places).astype(np.int64), draws.phi_rad)


def _start(settings: MicrographSettings, radius: Floats, rng: np.random.Generator) -> Floats:
    """Spread the discs over heaps of ``HEAP_DENSITY``, over the whole frame where they fill it."""
    size = np.array([settings.height_px, settings.width_px])
    area = np.pi * np.sum(radius**2) / HEAP_DENSITY
    if area > 0.6 * size.prod():
        margin = margin_px(settings)
        return np.asarray(rng.uniform(-margin, size + margin, (radius.size, 2)))
    heaps = cluster_centres(settings, rng)
    reach = np.sqrt(area / np.pi / len(heaps))
    angle, far = rng.uniform(0, 2 * np.pi, radius.size), reach * np.sqrt(rng.random(radius.size))
    off = np.stack([far * np.sin(angle), far * np.cos(angle)], axis=1)
    return np.asarray(heaps[np.arange(radius.size) % len(heaps)] + off)


def _push_apart(places: Floats, radius: Floats) -> Floats:
    """Return a step for each disc that takes it out of half of every overlap."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(places).query_pairs(2.0 * radius.max(), output_type="ndarray")
    first, second = pairs.T
    line = places[first] - places[second]
    distance = np.maximum(np.hypot(*line.T), 1e-6)
    push = 0.5 * np.maximum(radius[first] + radius[second] - distance, 0.0) / distance
    step = [
        np.bincount(first, push * axis, radius.size) - np.bincount(second, push * axis, radius.size)
        for axis in line.T
    ]
    return np.stack(step, axis=1)


@dataclass(frozen=True)
class _Cell:
    step_y: float
    step_x: float
    brick: bool
    """Every second row is shifted by half a step."""
    aligned: bool


def _cell(settings: MicrographSettings, draws: Draws) -> _Cell:
    """Return the lattice cell, px, of the commonest family, with room for its spread."""
    family = settings.families[int(np.bincount(draws.family).argmax())]
    room = 1.0 + 1.5 * family.diameter_sd_nm / family.diameter_nm
    diameter_px = room * family.diameter_nm / settings.pixel_size_nm
    points = outline(family.p, family.d, family.l_ratio, area=np.pi / 4.0 * diameter_px**2)
    aligned = family.d == 2
    brick = not (aligned and family.p > 2.5)
    step_y, step_x = np.ptp(points, axis=0)
    if not aligned:
        step_y = step_x = 2.0 * np.hypot(*points.T).max()
    squeeze = np.sqrt(0.75) if brick else 1.0
    gap = settings.gap_px
    return _Cell(float(squeeze * (step_y + gap)), float(step_x + gap), brick, aligned)


def _island(
    number: int, cell: _Cell, angle: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return ``number`` lattice points about the origin, a ragged disc, nearest first."""
    reach = int(np.ceil(np.sqrt(number))) + 2
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).astype(float)
    y = row * cell.step_y + rng.normal(0.0, 0.3, row.size)
    x = (column + 0.5 * cell.brick * (row % 2)) * cell.step_x + rng.normal(0.0, 0.3, row.size)
    near = np.argsort(np.hypot(y, x) * rng.uniform(0.9, 1.1, y.size), kind="stable")[:number]
    y, x = y[near], x[near]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([y * cos + x * sin, x * cos - y * sin], axis=1)


def _in_frame(settings: MicrographSettings, places: NDArray[np.float64]) -> NDArray[np.float64]:
    margin = margin_px(settings)
    size = np.array([settings.height_px, settings.width_px])
    inside = np.all((places > -margin) & (places < size - 1 + margin), axis=1)
    return np.asarray(places[inside], np.float64)


def _shares(number: int, parts: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(number), parts)]
