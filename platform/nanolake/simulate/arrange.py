"""Where particles lie: apart, clustered, touching, overlapping, or on lattice islands.

Collisions are tested with the particles' own pixels, so rods may lie side by side. When no free
place is found for a particle, placing stops there: going on would let only the small ones in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.families import Draws, margin_px
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.stamp import Stamp
from nanolake.simulate.superellipse import outline

TRIES = 400
HOSTS = 24
Anchors = NDArray[np.int64]


@dataclass(frozen=True)
class Sites:
    """Lattice sites: anchors (n, 2) (y, x), px, and the turn of the particle on each."""

    anchors: Anchors
    phi_rad: NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """Which stamps found a place, in painting order, and their anchors (m, 2) (y, x), px."""

    index: NDArray[np.int64]
    anchors: Anchors


class Canvas:
    """The frame with a rim on every side, and which of its pixels are taken."""

    def __init__(self, settings: MicrographSettings, largest_half: int) -> None:
        self.settings = settings
        self.margin = margin_px(settings)
        self.rim = largest_half + int(np.ceil(self.margin)) + 2
        shape = settings.height_px + 2 * self.rim, settings.width_px + 2 * self.rim
        self.taken = np.zeros(shape, np.uint8)

    def window(self, stamp: Stamp, y: int, x: int) -> tuple[slice, slice]:
        """Return the canvas window of a stamp whose anchor is frame pixel (y, x)."""
        low_y, low_x = y + self.rim - stamp.half, x + self.rim - stamp.half
        side = 2 * stamp.half + 1
        return slice(low_y, low_y + side), slice(low_x, low_x + side)

    def allowed(self, stamp: Stamp, y: int, x: int) -> bool:
        """Whether the anchor lies where centres may lie."""
        low = stamp.reach + 1.0 if self.settings.keep_inside else -self.margin
        height, width = self.settings.height_px, self.settings.width_px
        return low <= y <= height - 1 - low and low <= x <= width - 1 - low

    def is_free(self, stamp: Stamp, y: int, x: int) -> bool:
        """Whether the stamp fits with its gap."""
        return not np.any(stamp.reserve & self.taken[self.window(stamp, y, x)])

    def covered(self, stamp: Stamp, y: int, x: int) -> int:
        """Return how many pixels of the stamp are taken already."""
        return int(np.count_nonzero(self.taken[self.window(stamp, y, x)][stamp.mask]))

    def add(self, stamp: Stamp, y: int, x: int) -> None:
        """Take the stamp's pixels."""
        self.taken[self.window(stamp, y, x)] |= stamp.mask


def arrange(
    settings: MicrographSettings,
    stamps: list[Stamp],
    sites: Sites | None,
    rng: np.random.Generator,
) -> Placement:
    """Place the stamps in their order; fewer are placed than asked where the picture is full."""
    canvas = Canvas(settings, max((s.half for s in stamps), default=0))
    if sites is not None:
        return _fill_sites(canvas, stamps, sites.anchors)
    wish = rng.random(len(stamps))
    centres = _cluster_centres(settings, rng)
    anchors: list[tuple[int, int]] = []
    for index, stamp in enumerate(stamps):
        cover = _cover_asked(settings, wish[index], index, rng)
        place = None
        if cover is not None:
            place = _against(canvas, stamp, stamps, anchors, cover, rng)
        place = place or _apart(canvas, stamp, centres, rng)
        if place is None:
            break
        canvas.add(stamp, *place)
        anchors.append(place)
    return _placement(list(range(len(anchors))), anchors)


def lattice_sites(
    settings: MicrographSettings, draws: Draws, rng: np.random.Generator
) -> Sites | None:
    """Return sites of lattice islands for ``close_packed``, None for other arrangements.

    Outlines with d = 2 stand along the lattice, boxes on a rectangular and ellipses on a brick
    lattice; all others stand at random on a hexagonal one. At most one site a particle: fewer
    where the islands meet the border.
    """
    if settings.arrangement != "close_packed" or not draws.p.size:
        return None
    cell = _cell(settings, draws)
    shares = _shares(draws.p.size, settings.cluster_count)
    anchors, angles = [], []
    for share, centre in zip(shares, _cluster_centres(settings, rng), strict=True):
        angle = rng.uniform(0.0, 2.0 * np.pi)
        places = _in_frame(settings, centre + _island(4 * share, cell, angle, rng))[:share]
        anchors.append(places)
        angles.append(np.full(len(places), angle))
    turn = np.concatenate(angles)
    phi = -turn if cell.aligned else rng.uniform(0.0, 2.0 * np.pi, turn.size)
    phi = phi + rng.normal(0.0, 0.02, turn.size)
    return Sites(np.rint(np.concatenate(anchors)).astype(np.int64), phi)


def _cover_asked(
    settings: MicrographSettings, wish: float, index: int, rng: np.random.Generator
) -> float | None:
    """Return the part of itself by which a particle shall cover others, None to keep apart."""
    depth = float(settings.overlap_depth * rng.uniform(0.3, 1.0))
    if index == 0:
        return None
    if wish < settings.overlap_fraction:
        return depth
    if settings.arrangement == "touching":
        return 0.0 if index >= settings.cluster_count else None
    return 0.0 if wish < settings.overlap_fraction + settings.touching_fraction else None


def _apart(
    canvas: Canvas, stamp: Stamp, centres: NDArray[np.float64], rng: np.random.Generator
) -> tuple[int, int] | None:
    for y, x in _proposals(canvas, centres, rng):
        if canvas.allowed(stamp, y, x) and canvas.is_free(stamp, y, x):
            return y, x
    return None


def _proposals(
    canvas: Canvas, centres: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield places whose own pixel is free, spreading out around clusters as tries fail."""
    settings = canvas.settings
    size = np.array([settings.height_px, settings.width_px])
    if settings.arrangement == "clustered":
        spread = np.linspace(0.06, 0.3, TRIES)[:, None] * size.min()
        near = centres[rng.integers(len(centres), size=TRIES)]
        places = near + rng.standard_normal((TRIES, 2)) * spread
        places = np.clip(places, -canvas.margin, size - 1 + canvas.margin)
    else:
        places = rng.uniform(-canvas.margin, size - 1 + canvas.margin, (TRIES, 2))
    whole = np.rint(places).astype(np.int64)
    free = canvas.taken[whole[:, 0] + canvas.rim, whole[:, 1] + canvas.rim] == 0
    yield from (tuple(place) for place in whole[free].tolist())


def _against(
    canvas: Canvas,
    stamp: Stamp,
    stamps: list[Stamp],
    anchors: list[tuple[int, int]],
    cover: float,
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """Push the stamp towards earlier ones until it touches, or covers ``cover`` of itself."""
    hosts = rng.integers(len(anchors), size=HOSTS)
    angles = rng.uniform(0.0, 2.0 * np.pi, HOSTS)
    most = int(cover * np.count_nonzero(stamp.mask))
    for host, angle in zip(hosts.tolist(), angles.tolist(), strict=True):
        distance = stamp.reach + stamps[host].reach + 2.0
        path = _path(anchors[host], angle, distance)
        place = _push(canvas, stamp, path, most)
        if place is not None and canvas.allowed(stamp, *place):
            return place
    return None


def _path(start: tuple[int, int], angle: float, distance: float) -> list[tuple[int, int]]:
    steps = np.arange(distance, 0.0, -1.0)
    y = np.rint(start[0] + steps * np.sin(angle)).astype(int)
    x = np.rint(start[1] + steps * np.cos(angle)).astype(int)
    return list(zip(y.tolist(), x.tolist(), strict=True))


def _push(
    canvas: Canvas, stamp: Stamp, path: list[tuple[int, int]], most: int
) -> tuple[int, int] | None:
    """Return the last place on the path before more than ``most`` pixels are covered."""
    if not canvas.allowed(stamp, *path[0]) or canvas.covered(stamp, *path[0]):
        return None
    last = path[0]
    for place in path[1:]:
        if not canvas.allowed(stamp, *place):
            return None
        if canvas.covered(stamp, *place) > most:
            return last
        last = place
    return None


def _fill_sites(canvas: Canvas, stamps: list[Stamp], sites: Anchors) -> Placement:
    """Put stamp k, which was turned for site k, there; one that does not fit leaves a vacancy."""
    index, anchors = [], []
    for k, (stamp, (y, x)) in enumerate(zip(stamps, sites.tolist(), strict=True)):
        if canvas.allowed(stamp, y, x) and not canvas.covered(stamp, y, x):
            canvas.add(stamp, y, x)
            index.append(k)
            anchors.append((y, x))
    return _placement(index, anchors)


def _placement(index: list[int], anchors: list[tuple[int, int]]) -> Placement:
    return Placement(np.array(index, np.int64), np.array(anchors, np.int64).reshape(-1, 2))


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


def _cluster_centres(settings: MicrographSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    size = np.array([settings.height_px, settings.width_px])
    centres = rng.uniform(0.15, 0.85, (settings.cluster_count, 2)) * size
    return np.asarray(centres, np.float64)


def _shares(number: int, parts: int) -> list[int]:
    return [len(part) for part in np.array_split(np.arange(number), parts)]
