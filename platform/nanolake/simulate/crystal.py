"""Single crystals with known truth: parameters, outlines, label strips and the paper's pictures.

Strategy: an outline is a table of radii over angle. Everything that happens to a crystal on its
way to a mask (rounded corners, an uneven edge, a neighbour in front of it, a noisy threshold) is
done to that table or in one pass over the pixels, so that thousands of masks a second can be made
while a network trains.

Which triple owns an outline. (p, d, L) is not unique: besides the exact rules of
`superellipse.canonical`, whole regions draw *nearly* the same outline (d = 2, L = 1, p = 1 is the
square that p = infinity is; a rounded square is also d = 4 with L about 0.75; a lens of d = 1 is
an ellipse of d = 2). A network asked for one of two equal answers learns their mean, so training
and scoring draw only *owned* triples: a triple is dropped where one that comes before it draws the
same outline to a Jaccard of `OWNED_JACCARD`. Order: d = 2, 3, 4, 5, 6, 1; within one d,
p >= 2 before p < 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.simulate.superellipse import canonical, radius

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

POINTS = 720
"""Angles in an outline's table of radii: a multiple of every d, so that a period is whole."""
OWNED_JACCARD = 0.95
"""Two triples whose outlines agree this well are one shape; see the module's text."""
CURVATURE_RANGE = (0.25, 0.99)
"""Range of the paper's c = 2**(-1/p), drawn uniformly: p from 0.5 to 69. The paper starts at
c = 0.05 (p = 0.23): stars with arms thinner than a pixel, whose masks do not hold together."""
COMMON_P_RANGE = (1.0, 16.0)
"""Where hand-drawn particles lie (best fits 1.7 to 11), with room on both sides."""
COMMON_D_SHARES = (0.10, 0.40, 0.25, 0.10, 0.08, 0.07)
"""Shares of d = 1 … 6 among common shapes (best fits to hand-drawn particles: 65 % 2, 28 % 3)."""
COMMON_L_FROM = 0.1
"""Smallest L among common shapes: nanorods of 10 : 1. The paper's draws end at 0.2."""
COMMON_EVEN_SHARE = 0.3
"""Share of common shapes with L = 1 exactly, half of them disks: cubes and spheres are what most
syntheses aim at, and under an even spread of L a network answers 0.92 to each of them."""
_ORDER = (2, 3, 4, 5, 6, 1)


@dataclass(frozen=True, kw_only=True)
class Triples:
    """Canonical parameters of n outlines: ``p`` and ``l_ratio`` (n,) float64, ``d`` (n,) int64."""

    p: Floats
    d: Ints
    l_ratio: Floats

    def __len__(self) -> int:
        return len(self.p)

    def variation(self) -> Floats:
        """Return (largest radius / smallest radius) - 1 of each outline about its own origin."""
        r = profiles(self.p, self.d, self.l_ratio, points=240)
        return np.asarray(r.max(axis=1) / r.min(axis=1) - 1.0)


def profiles(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, phi: ArrayLike = 0.0, *, points: int = POINTS
) -> Floats:
    """Return the radii (n, points) of n outlines about eq. 1's own origin, theta from 0."""
    theta = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    columns = (np.atleast_1d(np.asarray(v, dtype=float))[:, None] for v in (p, d, l_ratio, phi))
    p_, d_, l_, phi_ = np.broadcast_arrays(*columns)
    return radius(theta, p_, d_, l_, phi_)


def centred_profiles(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, phi: ArrayLike = 0.0, *, points: int = POINTS
) -> Floats:
    """Return the radii (n, points) about each outline's centroid, scaled to enclose area pi.

    For d >= 2 the centroid is eq. 1's origin; for d = 1 the outline is moved. Where an outline is
    not star-shaped about its centroid (some d = 1, p < 1) the outermost crossing is taken.
    """
    table = profiles(p, d, l_ratio, phi, points=points)
    lopsided = np.broadcast_to(np.atleast_1d(np.asarray(d)) == 1, (len(table),))
    if lopsided.any():
        table[lopsided] = _about_centroid(table[lopsided])
    return np.asarray(table / np.sqrt(np.mean(table**2, axis=1, keepdims=True)))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _about_centroid(table: Floats) -> Floats:
    """Re-express each row of radii about the centroid of the polygon that it draws."""
    count, points = table.shape
    step = 2.0 * np.pi / points
    out = np.zeros_like(table)
    x = np.empty(points)
    y = np.empty(points)
    for i in range(count):
        for k in range(points):
            x[k] = table[i, k] * np.cos(k * step)
            y[k] = table[i, k] * np.sin(k * step)
        area2, sum_x, sum_y = 0.0, 0.0, 0.0
        for k in range(points):
            m = (k + 1) % points
            cross = x[k] * y[m] - x[m] * y[k]
            area2 += cross
            sum_x += (x[k] + x[m]) * cross
            sum_y += (y[k] + y[m]) * cross
        x -= sum_x / (3.0 * area2)
        y -= sum_y / (3.0 * area2)
        for k in range(points):
            _fill_edge(out[i], x[k], y[k], x[(k + 1) % points], y[(k + 1) % points])
    return out


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _fill_edge(row: Floats, x0: float, y0: float, x1: float, y1: float) -> None:
    """Write the radii of one polygon edge into the angles that it spans, keeping the outermost."""
    points = row.shape[0]
    step = 2.0 * np.pi / points
    start = np.arctan2(y0, x0) / step
    span = np.arctan2(x0 * y1 - x1 * y0, x0 * x1 + y0 * y1) / step
    r0, r1 = np.hypot(x0, y0), np.hypot(x1, y1)
    low, high = min(start, start + span), max(start, start + span)
    # An angle that meets a corner belongs to both edges: rounding must not lose it to neither.
    for k in range(int(np.ceil(low - 1e-9)), int(np.floor(high + 1e-9)) + 1):
        share = (k - start) / span if span != 0.0 else 0.0
        row[k % points] = max(row[k % points], r0 + share * (r1 - r0))


@lru_cache(maxsize=1)
def _ownership() -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the grid (log p, L) and which of its cells (6, log p, L) are owned, by class d - 1."""
    log_p = np.linspace(np.log(0.5), np.log(70.0), 22)
    l_ratio = np.linspace(0.2, 1.0, 17)
    p_cells, l_cells = (grid.ravel() for grid in np.meshgrid(np.exp(log_p), l_ratio, indexing="ij"))
    tables = {
        d: centred_profiles(p_cells, np.full(p_cells.shape, d), l_cells, points=240) for d in _ORDER
    }
    owned = np.ones((6, p_cells.size), dtype=bool)
    for rank, d in enumerate(_ORDER):
        for i in range(p_cells.size):
            rivals = [tables[e] for e in _ORDER[:rank]]
            if p_cells[i] < 2.0:
                rivals.append(tables[d][p_cells >= max(2.0, 1.5 * p_cells[i])])
            owned[d - 1, i] = not any(_drawn_by(tables[d][i], d, rival) for rival in rivals)
    return log_p, l_ratio, owned.reshape(6, log_p.size, l_ratio.size)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _drawn_by(row: Floats, d: int, rivals: Floats) -> bool:
    """Return whether a rival draws the outline ``row`` to `OWNED_JACCARD`.

    Both outlines have a mirror axis and repeat, so the best overlap has extremes on extremes:
    a turn by 0, 1/4, 1/2 or 3/4 of the period.
    """
    points = row.shape[0]
    # Rows have mean square 1, so intersection + union = 2 points, and a Jaccard J means a sum of
    # |difference of squares| of 2 points (1 - J) / (1 + J): a sum that can be given up early.
    allowed = 2.0 * points * (1.0 - OWNED_JACCARD) / (1.0 + OWNED_JACCARD)
    for quarter in range(4):
        turned = np.roll(row, quarter * points // (4 * d)) ** 2
        for i in range(rivals.shape[0]):
            differ = 0.0
            for k in range(points):
                differ += abs(turned[k] - rivals[i, k] ** 2)
                if differ > allowed:
                    break
            if differ <= allowed:
                return True
    return False


def is_owned(p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each triple is the one that stands for its outline (module's text).

    Read from a grid of 22 x 17 cells a class, nearest cell; L > 1 must be folded before.
    """
    log_p, l_grid, owned = _ownership()
    row = np.rint(np.interp(np.log(np.asarray(p, float)), log_p, np.arange(log_p.size)))
    column = np.rint(np.interp(np.asarray(l_ratio, float), l_grid, np.arange(l_grid.size)))
    return np.asarray(owned[np.asarray(d, int) - 1, row.astype(int), column.astype(int)])


def draw_triples(rng: np.random.Generator, count: int, *, paper_share: float = 0.5) -> Triples:
    """Draw ``count`` owned canonical triples.

    A share ``paper_share`` has the paper's p (its code: p = log(1/2) / log(c), c uniform; range
    `CURVATURE_RANGE`)
    and d uniform over 1 to 6, L = 0.2 + 0.8 u; the rest has p log-uniform over `COMMON_P_RANGE`,
    d by `COMMON_D_SHARES` and L uniform from `COMMON_L_FROM`, where real particles lie, a share
    `COMMON_EVEN_SHARE` of it L = 1. Triples that others own are dropped afterwards.
    """
    kept: list[tuple[Floats, Ints, Floats]] = []
    missing = count
    while missing > 0:
        p, d, l_ratio = _propose(rng, 2 * missing + 16, paper_share)
        keep = np.flatnonzero(is_owned(p, d, l_ratio))[:missing]
        kept.append((p[keep], d[keep], l_ratio[keep]))
        missing -= keep.size
    p, d, l_ratio = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    p, d, l_ratio = canonical(p, d, l_ratio)
    return Triples(p=p, d=d, l_ratio=l_ratio)


def _propose(
    rng: np.random.Generator, count: int, paper_share: float
) -> tuple[Floats, Ints, Floats]:
    as_paper = rng.random(count) < paper_share
    curvature = rng.uniform(*CURVATURE_RANGE, count)
    common_p = np.exp(rng.uniform(np.log(COMMON_P_RANGE[0]), np.log(COMMON_P_RANGE[1]), count))
    common_d = rng.choice(np.arange(1, 7), count, p=COMMON_D_SHARES)
    p = np.where(as_paper, np.log(0.5) / np.log(curvature), common_p)
    d = np.where(as_paper, rng.integers(1, 7, count), common_d)
    l_ratio = rng.uniform(np.where(as_paper, 0.2, COMMON_L_FROM), 1.0, count)
    even = ~as_paper & (rng.random(count) < COMMON_EVEN_SHARE)
    disk = even & (rng.random(count) < 0.5)
    d = np.where(disk, 2, d)
    return np.where(disk, 2.0, p), d, np.where(even, 1.0, l_ratio)


def label_strip(
    rng: np.random.Generator,
    triples: Triples,
    *,
    across_px: tuple[float, float] = (12.0, 150.0),
    roughness: float = 0.03,
    rounding_px: float = 1.5,
    edge_noise_px: float = 0.8,
    clipped_share: float = 0.25,
) -> NDArray[np.int32]:
    """Draw every crystal as a segmenter would leave it, one above the other in a label image.

    Returns (sum of tile sides, widest tile) int32, label i + 1 for triple i at a random phase and
    a log-uniform maximum diameter ``across_px``. ``roughness`` bounds the relative amplitude of a
    wavy edge, ``rounding_px`` the blur of the corners, ``edge_noise_px`` the noise of the
    threshold, ``clipped_share`` the share of crystals that a neighbour covers in part.
    """
    n = len(triples)
    table = profiles(triples.p, triples.d, triples.l_ratio, rng.uniform(0, 2 * np.pi, n))
    table *= _radius_px(rng, table, across_px)[:, None]
    table = _worn(rng, table, roughness, rounding_px * rng.random(n))
    sides = np.ceil(2.0 * table.max(axis=1)).astype(np.int64) + 6
    offsets = np.concatenate([[0], np.cumsum(sides)])
    strip = np.zeros((int(offsets[-1]), int(sides.max())), np.int32)
    noise = edge_noise_px * rng.random(n)
    neighbours = _neighbours(rng, table, clipped_share)
    shifts = rng.uniform(-0.5, 0.5, (n, 2))
    _render(table, sides, offsets, shifts, noise, neighbours, rng, strip)
    return strip


def _radius_px(rng: np.random.Generator, table: Floats, across_px: tuple[float, float]) -> Floats:
    """Return the factor that gives each outline its size; thin stars get at least 60 px of area."""
    low, high = np.log(across_px)
    across = np.exp(rng.uniform(low, high, len(table)))
    area = np.pi * np.mean(table**2, axis=1)
    return np.asarray(np.maximum(0.5 * across / table.max(axis=1), np.sqrt(60.0 / area)))


def _worn(rng: np.random.Generator, table: Floats, roughness: float, rounding_px: Floats) -> Floats:
    """Return the radii with a wavy edge (waves 2 to 12) and corners rounded by a blur along it."""
    n, points = table.shape
    spectrum = np.fft.rfft(table, axis=1)
    mean = np.abs(spectrum[:, :1]) / points
    wave = np.arange(spectrum.shape[1])
    spectrum *= np.exp(-0.5 * (wave * (rounding_px[:, None] / mean)) ** 2)
    waves = slice(2, 13)
    amplitude = roughness * rng.random((n, 1)) ** 2 * mean / np.sqrt(wave[waves])
    phase = rng.uniform(0, 2 * np.pi, (n, 11))
    spectrum[:, waves] += 0.5 * points * amplitude * rng.random((n, 11)) * np.exp(1j * phase)
    return np.maximum(np.fft.irfft(spectrum, points, axis=1), 0.3)


def _neighbours(rng: np.random.Generator, table: Floats, share: float) -> Floats:
    """Return (n, 3): y, x, radius in px of a disk in front of each crystal; radius 0 for none."""
    n, points = table.shape
    towards = rng.integers(0, points, n)
    edge = table[np.arange(n), towards]
    size = edge * rng.uniform(0.5, 3.0, n)
    distance = edge + size - edge * rng.uniform(0.0, 0.25, n)
    theta = towards * (2.0 * np.pi / points)
    size = np.where(rng.random(n) < share, size, 0.0)
    return np.stack([distance * np.sin(theta), distance * np.cos(theta), size], axis=1)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _render(
    table: Floats,
    sides: Ints,
    offsets: Ints,
    shifts: Floats,
    noise: Floats,
    neighbours: Floats,
    rng: np.random.Generator,
    strip: NDArray[np.int32],
) -> None:
    """Threshold each outline into its tile; pixels near a noisy edge go by the toss of a coin."""
    points = table.shape[1]
    for i in range(table.shape[0]):
        middle = 0.5 * (sides[i] - 1)
        tile = np.zeros((sides[i], sides[i]), np.uint8)
        for row in range(1, sides[i] - 1):
            y = row - middle - shifts[i, 0]
            for column in range(1, sides[i] - 1):
                x = column - middle - shifts[i, 1]
                k = int(np.arctan2(y, x) * (points / (2.0 * np.pi)) + points) % points
                depth = table[i, k] - np.hypot(y, x)
                if abs(depth) < 3.0 * noise[i]:
                    depth += noise[i] * rng.standard_normal()
                covered = np.hypot(y - neighbours[i, 0], x - neighbours[i, 1]) < neighbours[i, 2]
                tile[row, column] = depth > 0.0 and not covered
        if noise[i] > 0.3:
            tile = _majority(tile)
        for row in range(sides[i]):
            for column in range(sides[i]):
                if tile[row, column]:
                    strip[offsets[i] + row, column] = i + 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _majority(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return each pixel by the vote of its 3 x 3 neighbourhood: loose pixels and holes go."""
    out = np.zeros_like(tile)
    for row in range(1, tile.shape[0] - 1):
        for column in range(1, tile.shape[1] - 1):
            votes = 0
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    votes += tile[row + dy, column + dx]
            out[row, column] = votes >= 5
    return out


def images(rng: np.random.Generator, triples: Triples, *, size_px: int = 44) -> NDArray[np.float32]:
    """Return the paper's single-crystal pictures, (n, size_px, size_px) float32 in 0 … 1.

    Random phase, contrast of either sign, pixelation (blocks of 1 to 4 px) and Poisson noise
    (paper, Methods; the ESI's table of distributions could not be found, so dose and contrast are
    ours: 20 to 400 counts a pixel, contrast 0.2 to 0.8). For parity and figures; nanolake's own
    network sees masks (`label_strip`).
    """
    n = len(triples)
    table = profiles(triples.p, triples.d, triples.l_ratio, rng.uniform(0, 2 * np.pi, n))
    table *= (0.5 * size_px * rng.uniform(0.4, 0.9, n) / table.max(axis=1))[:, None]
    y, x = np.mgrid[:size_px, :size_px] - 0.5 * (size_px - 1)
    k = (np.arctan2(y, x) * (POINTS / (2 * np.pi)) + POINTS).astype(int) % POINTS
    cover = np.clip(table[:, k] - np.hypot(y, x) + 0.5, 0.0, 1.0)
    cover = _pixelated(cover, rng.integers(1, 5, n))
    contrast = rng.uniform(0.2, 0.8, (n, 1, 1))
    dark = rng.random((n, 1, 1)) < 0.5
    clean = np.where(dark, 1.0 - contrast * cover, 1.0 - contrast * (1.0 - cover))
    dose = np.exp(rng.uniform(np.log(20), np.log(400), (n, 1, 1)))
    return np.clip(rng.poisson(clean * dose) / (1.3 * dose), 0.0, 1.0).astype(np.float32)


def _pixelated(cover: Floats, blocks: Ints) -> Floats:
    """Return each picture averaged over blocks of ``blocks`` px, cut at the edge."""
    out = cover.copy()
    size = cover.shape[1]
    for block in np.unique(blocks[blocks > 1]):
        rows = np.flatnonzero(blocks == block)
        index = np.arange(size) // block
        mean = np.add.reduceat(
            np.add.reduceat(cover[rows], np.arange(0, size, block), axis=1),
            np.arange(0, size, block),
            axis=2,
        )
        lengths = np.bincount(index)
        mean /= lengths[:, None] * lengths[None, :]
        out[rows] = mean[:, index][:, :, index]
    return out
