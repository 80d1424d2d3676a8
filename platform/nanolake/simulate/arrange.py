"""Where particles lie: apart, clustered, touching, overlapping, in chains, on given sites.

Collisions are tested with the particles' own pixels, so rods may lie side by side. When no free
place is found for a particle, placing stops there: going on would let only the small ones in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.families import margin_px
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.sites import Anchors, Sites, cluster_centres
from nanolake.simulate.stamp import Stamp

TRIES = 400
HOSTS = 24
BARE = 0.3
"""Film less than this part of the way from its thinnest to its thickest carries no particle."""
SQUEEZE = 0.06
"""Part of itself by which a jammed particle that is no disc may cover its neighbours."""


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
        self.support: Carrier | None = None

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


class Carrier:
    """Where particles may sit on an uneven film: the likelier, the more film is under a pixel."""

    def __init__(self, film: NDArray[np.float32]) -> None:
        thin, thick = np.percentile(film[::3, ::3], [1.0, 99.0])
        bare = thin + BARE * (thick - thin)
        self.width = film.shape[1]
        self.sum = np.cumsum(np.where(film > bare, film - thin, 0.0), dtype=np.float64)

    def places(self, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw places (number, 2) (y, x), px; anywhere on a film without any unevenness."""
        share = rng.random(number)
        if self.sum[-1] <= 0.0:
            pixel = (share * self.sum.size).astype(np.int64)
        else:
            pixel = np.searchsorted(self.sum, share * self.sum[-1], side="right")
        return np.stack(np.divmod(pixel, self.width), axis=1).astype(np.float64)


def arrange(
    settings: MicrographSettings,
    stamps: list[Stamp],
    sites: Sites | None,
    rng: np.random.Generator,
    film: NDArray[np.float32] | None = None,
) -> Placement:
    """Place the stamps in their order; fewer are placed than asked where the picture is full.

    ``film`` (y, x) is the film's optical depth, needed for ``on_support``.
    """
    canvas = Canvas(settings, max((s.half for s in stamps), default=0))
    if sites is not None:
        return _fill_sites(canvas, stamps, sites.anchors)
    if settings.on_support and film is not None:
        canvas.support = Carrier(film)
    wish = rng.random(len(stamps))
    centres = cluster_centres(settings, rng)
    anchors: list[tuple[int, int]] = []
    for index, stamp in enumerate(stamps):
        cover = _cover_asked(settings, wish[index], index, rng)
        place = None
        if cover is not None:
            hosts = _hosts(settings, len(anchors), rng)
            place = _against(canvas, stamp, stamps, anchors, cover, hosts, rng)
        place = place or _apart(canvas, stamp, centres, rng)
        if place is None:
            break
        canvas.add(stamp, *place)
        anchors.append(place)
    return _placement(list(range(len(anchors))), anchors)


def _cover_asked(
    settings: MicrographSettings, wish: float, index: int, rng: np.random.Generator
) -> float | None:
    """Return the part of itself by which a particle shall cover others, None to keep apart."""
    depth = float(settings.overlap_depth * rng.uniform(0.3, 1.0))
    if index == 0:
        return None
    if wish < settings.overlap_fraction:
        return depth
    if settings.arrangement in ("touching", "chain"):
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
    elif canvas.support is not None:
        places = canvas.support.places(TRIES, rng)
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
    hosts: Anchors,
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """Push the stamp towards earlier ones until it touches, or covers ``cover`` of itself."""
    angles = rng.uniform(0.0, 2.0 * np.pi, HOSTS)
    most = int(cover * np.count_nonzero(stamp.mask))
    for host, angle in zip(hosts.tolist(), angles.tolist(), strict=True):
        distance = stamp.reach + stamps[host].reach + 2.0
        path = _path(anchors[host], angle, distance)
        place = _push(canvas, stamp, path, most)
        if place is not None and canvas.allowed(stamp, *place):
            return place
    return None


def _hosts(settings: MicrographSettings, placed: int, rng: np.random.Generator) -> Anchors:
    """Return which earlier particles to try, in turn: any; in a chain the last one first."""
    if settings.arrangement == "chain" and rng.random() >= settings.branching:
        return np.maximum(placed - 1 - np.arange(HOSTS) // 8, 0)
    return rng.integers(placed, size=HOSTS)


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
    squeeze = SQUEEZE if canvas.settings.arrangement == "jammed" else 0.0
    for k, (stamp, (y, x)) in enumerate(zip(stamps, sites.tolist(), strict=True)):
        if not canvas.allowed(stamp, y, x):
            continue
        if canvas.covered(stamp, y, x) <= squeeze * np.count_nonzero(stamp.mask):
            canvas.add(stamp, y, x)
            index.append(k)
            anchors.append((y, x))
    return _placement(index, anchors)


def _placement(index: list[int], anchors: list[tuple[int, int]]) -> Placement:
    return Placement(np.array(index, np.int64), np.array(anchors, np.int64).reshape(-1, 2))
