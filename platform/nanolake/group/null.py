"""Data without groups, as like the real data as one population can be.

One normal distribution of the same covariance is not enough: sizes are skewed, ``L_ratio`` ends at
1, tails are heavy, and any of these lifts the silhouette of a single population above a normal
one's. So by default the null keeps each column's own distribution as far as that has one peak, and
the columns' rank correlation:

- marginal: the unimodal distribution nearest to the data (the one that the dip test measures the
  distance to: Hartigan & Hartigan 1985), so that skew, bounds and tails stay and gaps are filled;
- joint: a Gaussian copula with the correlation of the normal scores;
- a column that counts things (``d``) keeps its values and so its gaps: whole numbers are apart by
  construction, and only what other columns say along with them is structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nanolake.group.methods import Floats
from nanolake.scaling import LEAST_SPREAD

NullKind = Literal["one_peak", "normal"]
LEAST_ROWS = 20
"""Fewer rows than this have no shape of distribution to keep: they are drawn as normal."""
PEAKS_TRIED = 40


@dataclass(frozen=True, kw_only=True)
class Population:
    """One population: quantiles of each column, and the root of the normal scores' correlation.

    Mean and standard deviation of every column are those of the data; the covariance is up to the
    difference between correlation and rank correlation.
    """

    mean: Floats
    sd: Floats
    cumulative: tuple[Floats, ...]
    """Column -> rising shares of the rows …"""
    values: tuple[Floats, ...]
    """… that lie below these values."""
    root: Floats

    @classmethod
    def fit(cls, given: Floats, counting: Sequence[bool]) -> Population:
        """Fit to ``given`` (n, c), of which the columns ``counting`` (c,) count things."""
        curves = [
            _steps(x) if counts else one_peak(x)
            for counts, x in zip(counting, given.T, strict=True)
        ]
        scores = _normal_scores(given)
        _, singular, axes = np.linalg.svd(scores, full_matrices=False)
        return cls(
            mean=given.mean(axis=0),
            sd=given.std(axis=0),
            values=tuple(values for values, _ in curves),
            cumulative=tuple(cumulative for _, cumulative in curves),
            root=axes * (singular / np.sqrt(len(given)))[:, None],
        )

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw ``n`` rows (n, c)."""
        from scipy.special import ndtr

        share = ndtr(rng.standard_normal((n, len(self.root))) @ self.root)
        curves = zip(share.T, self.cumulative, self.values, strict=True)
        drawn = np.empty((n, len(self.mean)))
        for column, (u, cumulative, values) in enumerate(curves):
            drawn[:, column] = np.interp(u, cumulative, values)
        spread = drawn.std(axis=0)
        stretch = np.divide(self.sd, spread, out=np.ones_like(spread), where=spread > 0)
        return np.asarray(self.mean + (drawn - drawn.mean(axis=0)) * stretch)


def counts_things(column: str, raw: Floats) -> bool:
    """Return whether ``column`` with the values ``raw`` (n,) is a count, such as d, or its mean."""
    return column in LEAST_SPREAD or bool((raw == np.rint(raw)).all())


def _normal_scores(given: Floats) -> Floats:
    """Return the columns' mid-ranks as normal deviates of variance 1; 0 for a constant column."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores = ndtri((rankdata(given, axis=0) - 0.5) / len(given))
    sd = scores.std(axis=0)
    return np.asarray(np.divide(scores - scores.mean(axis=0), sd, where=sd > 0, out=scores * 0.0))


def _steps(x: Floats) -> tuple[Floats, Floats]:
    """Return values and cumulative shares of the data as they are, gaps kept."""
    values = np.sort(x)
    share = np.arange(len(x) + 1) / len(x)
    return np.repeat(values, 2), np.repeat(share, 2)[1:-1]


def one_peak(x: Floats) -> tuple[Floats, Floats]:
    """Return values and cumulative shares of the unimodal distribution nearest to ``x`` (n,).

    Its density rises up to a peak and falls after it: isotonic regression of the spacings'
    densities on either side, with the peak where the greatest distance to the empirical
    distribution is smallest.
    """
    values, count = np.unique(x, return_counts=True)
    if len(values) < 3:
        return _steps(x)
    share = (np.cumsum(count) - 0.5 * count) / len(x)
    share[0], share[-1] = 0.0, 1.0
    width = np.diff(values)
    density = np.diff(share) / width
    places = np.unique(np.linspace(0, len(width), PEAKS_TRIED).astype(int))
    fits = [_cumulative(density, width, int(place)) for place in places]
    best = min(fits, key=lambda fit: float(np.abs(fit - share).max()))
    return values, best


def _cumulative(density: Floats, width: Floats, peak: int) -> Floats:
    """Return cumulative shares with the density rising before spacing ``peak``, then falling."""
    from scipy.optimize import isotonic_regression

    parts = [
        isotonic_regression(density[part], weights=width[part], increasing=rising).x
        for part, rising in ((slice(peak), True), (slice(peak, None), False))
        if len(density[part])
    ]
    mass = np.concatenate(parts) * width
    return np.concatenate([[0.0], np.cumsum(mass) / mass.sum()])
