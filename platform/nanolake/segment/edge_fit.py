"""Where a blurred particle's edge is: its mean profile held against blurred bodies.

A blurred step has half its height where the step was, whatever the symmetric blur. A ball has
not: its thickness starts from nothing, and half of its height lies well inside. So the profile
is fitted with bodies of height ``(u (2 - u)) ** power`` at the depth u (in inner radii): power 0
is a plate, 1/2 a ball, between them lie bevelled plates. Blurred by a Gaussian, as a disk or a bar,
each body says which share of the height the edge has. Blur and power are common to a picture's
particles, for one lens and one kind of crystal; height, background and place are each one's own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]

_POWERS = (0.0, 0.12, 0.25, 0.37, 0.5)
_BLURS_PX = tuple(0.92 * 1.18**i for i in range(13))
_STEP = 0.1
_PLACES = np.arange(-5, 7.01, _STEP)
_EDGE = 50
_RADII = 1.5 * 1.15 ** np.arange(22)
_SAMPLED = 60
_EQUAL = 1.05


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Mean profiles across the outlines, (n, bins) by label and depth."""

    depth: Table
    """Mean depth (px) under the drawn outline, above 0 inside; 0 where there are no pixels."""
    height: Table
    """Mean height above the picture's background; 0 where there are no pixels."""
    weight: Table
    """Number of pixels."""
    area: Table
    """(n,) pixels of the whole particle."""

    def of(self, rows: NDArray[np.int64]) -> Profiles:
        """The profiles of some particles."""
        parts = {name: getattr(self, name)[rows] for name in ("depth", "height", "weight", "area")}
        return Profiles(**parts)


@dataclass(frozen=True, kw_only=True)
class EdgeFit:
    """What fitted, (n,) by label; ``misfit`` is NaN where nothing did."""

    offset_px: Table
    """Depth of the true edge under the drawn outline; below 0 it lies outside."""
    level: Table
    """Height above the background at the edge."""
    misfit: Table
    """Mean squared residual relative to the height squared."""
    blur_px: float


def fit_edges(profiles: Profiles, most_blur_px: float) -> EdgeFit:
    """Fit every profile with the blur (px, at most ``most_blur_px``) and body of the picture."""
    busy = np.argsort(-profiles.weight.sum(axis=1), kind="stable")[:_SAMPLED]
    blur, power = _common(profiles.of(busy), most_blur_px)
    return _fit(profiles, blur, power, np.zeros(len(profiles.area)), rounds=5)


def _common(sample: Profiles, most_blur_px: float) -> tuple[float, int]:
    """Blur and power that fit best; of nearly equal ones the flattest body, the least blur."""
    blurs = [blur for blur in _BLURS_PX if blur < most_blur_px] or [_BLURS_PX[0]]
    pairs, misfits = [], []
    for power in range(len(_POWERS)):
        offset, rounds = np.zeros(len(sample.area)), 4
        for blur in blurs:
            fit = _fit(sample, blur, power, offset, rounds=rounds)
            offset, rounds = fit.offset_px, 2
            pairs.append((blur, power))
            misfits.append(np.median(np.where(np.isfinite(fit.misfit), fit.misfit, np.inf)))
    return pairs[int(np.flatnonzero(np.array(misfits) <= _EQUAL * min(misfits))[0])]


def _fit(profiles: Profiles, blur: float, power: int, offset: Table, *, rounds: int) -> EdgeFit:
    """Gauss-Newton in the place of the edge; height and background are solved for each time."""
    deepest = np.where(profiles.weight > 0, profiles.depth, -np.inf).max(axis=1)
    with np.errstate(all="ignore"):
        for turn in range(rounds):
            body = _Body.at(profiles, blur, power, offset, deepest)
            gain, low, misfit, move = body.solved(profiles.height)
            fits = np.isfinite(move) & (gain > 0) & (body.radius > _RADII[0] * blur)
            level = low + gain * body.edge
            if turn < rounds - 1:
                offset = np.where(fits, offset + blur * np.clip(move, -1, 1), offset)
    misfit = np.where(fits, misfit, np.nan)
    return EdgeFit(offset_px=offset, level=level, misfit=misfit, blur_px=blur)


@dataclass(frozen=True, kw_only=True)
class _Body:
    """A blurred body of height 1 seen at the profiles' places."""

    shape: Table
    slope: Table
    """By the place in units of the blur."""
    weight: Table
    """Sums to 1 a profile."""
    edge: Table
    """(n,) height at the edge."""
    radius: Table
    """(n,) inner radius (px). Where the blur is not much smaller the two cannot be told apart."""

    @classmethod
    def at(
        cls, profiles: Profiles, blur: float, power: int, offset: Table, deepest: Table
    ) -> _Body:
        place = (profiles.depth - offset[:, None]) / blur
        radius = np.maximum(deepest + 0.5 - offset, 1.0)
        disk = np.clip(4 * radius**2 / profiles.area, 0, 1)[:, None]
        steps = np.log(radius / (blur * _RADII[0])) / np.log(_RADII[1] / _RADII[0])
        row = np.clip(np.rint(steps), 0, len(_RADII) - 1).astype(int)
        column = np.clip((place - _PLACES[0]) / _STEP, 0, len(_PLACES) - 1.001)
        left = column.astype(int)
        part, cell = column - left, row[:, None] * len(_PLACES) + left
        bar, round_ = _bodies()[:, power].reshape(2, -1)
        low = bar[cell] + disk * (round_[cell] - bar[cell])
        high = bar[cell + 1] + disk * (round_[cell + 1] - bar[cell + 1])
        first = row * len(_PLACES) + _EDGE
        weight = profiles.weight * ((place > -4) & (place < 6))
        return cls(
            shape=low + part * (high - low),
            slope=(high - low) / _STEP,
            weight=weight / weight.sum(axis=1, keepdims=True),
            edge=bar[first] + disk[:, 0] * (round_[first] - bar[first]),
            radius=radius,
        )

    def solved(self, height: Table) -> tuple[Table, Table, Table, Table]:
        """Gain, background, misfit at this place; and the move (in blurs) to a better one."""
        means = [(self.weight * v).sum(axis=1) for v in (self.shape, self.slope, height)]
        s, g, h = (
            v - mean[:, None]
            for v, mean in zip((self.shape, self.slope, height), means, strict=True)
        )
        ws, wg = self.weight * s, self.weight * g
        ss, sg, sh = (ws * s).sum(axis=1), (ws * g).sum(axis=1), (ws * h).sum(axis=1)
        gg, gh = (wg * g).sum(axis=1), (wg * h).sum(axis=1)
        gain = sh / ss
        misfit = (self.weight * (h - gain[:, None] * s) ** 2).sum(axis=1) / gain**2
        move = -(gh * ss - sh * sg) / (sh * gg - gh * sg)
        return gain, means[2] - gain * means[0], misfit, move


@functools.cache
def _bodies() -> Table:
    """Blurred bodies (bar or disk, power, radius, place), lengths in units of the blur."""
    bars = np.stack([_blurred_bar(radius) for radius in _RADII], axis=1)
    disks = np.stack([_blurred_disk(radius) for radius in _RADII], axis=1)
    return np.stack([bars, disks])


def _blurred_bar(radius: float) -> Table:
    nodes, weight = _nodes(121)
    return np.asarray(_bodies_at((_PLACES[:, None] + nodes) / radius) @ weight)


def _blurred_disk(radius: float) -> Table:
    nodes, weight = _nodes(31)
    across = (radius - _PLACES)[:, None, None] + nodes[:, None]
    depth = 1 - np.hypot(across, nodes) / radius
    return np.asarray(_bodies_at(depth) @ weight @ weight)


def _nodes(count: int) -> tuple[Table, Table]:
    nodes = np.linspace(-3.6, 3.6, count)
    weight = np.exp(-(nodes**2) / 2)
    return nodes, weight / weight.sum()


def _bodies_at(depth: Table) -> Table:
    """Heights (power, ...) of the sharp bodies at a depth in radii."""
    body = np.clip(depth * (2 - depth), 0, None)
    return np.stack([np.where(body > 0, body**power, 0.0) for power in _POWERS])
