"""Confidence intervals of a size distribution, by particle or by micrograph.

Particles of one micrograph are not independent draws of the sample: they lie in one place of one
grid. Where there are enough micrographs, whole micrographs are drawn again, and the percentile
bounds are widened to what so few of them allow: by t / z and by the root of G / (G - 1), for G
micrographs, as in the cluster-robust t interval.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STATISTICS: tuple[str, ...] = ("mean", "sd", "sigma_over_d", "D10", "D50", "D90")
LEVELS = (0.1, 0.5, 0.9)
RESAMPLES = 1000
BINS = 2048
"""A larger ensemble is resampled over this many bins of equal count; see `_bins`."""
LEAST_MICROGRAPHS = 3
"""With fewer, intervals are by particle: two places do not show how much places differ."""
MOST_CELLS = 20_000_000
"""Of the table micrographs x bins, which bounds the memory of the bootstrap by micrograph."""


def describe(x: Floats, w: Floats) -> Floats:
    """Return (6,) STATISTICS of sorted values ``x`` with weights ``w``."""
    sums = np.array([w.sum(), w @ x, w @ (x - x.mean()) ** 2, w @ w])
    mean = sums[1] / sums[0]
    centred = sums[2] - sums[0] * (mean - x.mean()) ** 2
    sd = math.sqrt(max(centred, 0.0) / (sums[0] - sums[3] / sums[0]))
    middle = (np.cumsum(w) - 0.5 * w) / sums[0]
    return np.array([mean, sd, sd / mean, *np.interp(LEVELS, middle, x)])


def by_particle(x: Floats, w: Floats, level: float, seed: int) -> tuple[Floats, Floats]:
    """Return (6,) lower and upper percentile bounds of STATISTICS of sorted values."""
    starts, counts, moments = _bins(x, w)
    draws = _draw(counts, x.size, np.random.default_rng(seed))
    share = np.cumsum(draws * moments[:, 0], axis=1)
    middles = starts + (counts.astype(np.int64) - 1) // 2
    drawn = _statistics(draws @ moments, share, x[middles], x.mean())
    return _bounds(drawn, level)


def by_micrograph(
    x: Floats, w: Floats, micrographs: Ints, level: float, seed: int
) -> tuple[Floats, Floats]:
    """Return (6,) lower and upper bounds of STATISTICS; ``micrographs`` (n,) numbers from 0."""
    count = int(micrographs.max()) + 1
    centred = x - x.mean()
    sums = (w, w * centred, w * centred**2, w * w)
    moments = np.stack([np.bincount(micrographs, s, count) for s in sums], axis=1)
    bins = int(min(x.size, BINS, max(MOST_CELLS // count, 64)))
    place = np.arange(x.size) * bins // x.size
    weights = np.bincount(micrographs * bins + place, w, count * bins).reshape(count, bins)
    representative = x[(np.arange(bins) * x.size + x.size // 2) // bins]
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES).astype(np.float64)
    share = np.cumsum(draws @ weights, axis=1)
    drawn = _statistics(draws @ moments, share, representative, x.mean())
    low, high = _bounds(drawn, level)
    wider = widening(count, level)
    estimate = describe(x, w)
    return _widen(estimate, low, wider), _widen(estimate, high, wider)


def _statistics(sums: Floats, share: Floats, values: Floats, centre: float) -> Floats:
    """Return (6, resamples) from sums of w, w x, w x² and w² (x centred) and cumulated weights."""
    total, first, second, squares = sums.T
    shift = first / total
    spread = np.maximum(second - total * shift**2, 0.0)
    # One particle drawn alone has no spread: 0 / 0.
    sd = np.sqrt(spread / np.maximum(total - squares / total, 1e-12 * total))
    mean = shift + centre
    reached = share / total[:, None]
    quantiles = [values[(reached >= q - 1e-12).argmax(axis=1)] for q in LEVELS]
    return np.stack([mean, sd, sd / mean, *quantiles])


def _bounds(drawn: Floats, level: float) -> tuple[Floats, Floats]:
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(drawn, [tail, 100.0 - tail], axis=1)
    return low, high


def widening(micrographs: int, level: float) -> float:
    """Return by how much a bootstrap interval over few micrographs is too narrow.

    >>> f"{widening(5, 0.95):.2f} {widening(40, 0.95):.2f}"
    '1.58 1.05'
    """
    from scipy.special import ndtri, stdtrit

    tail = 0.5 + level / 2.0
    ratio = float(stdtrit(micrographs - 1, tail) / ndtri(tail))
    return ratio * math.sqrt(micrographs / (micrographs - 1))


def _widen(estimate: Floats, bound: Floats, factor: float) -> Floats:
    """Move a bound away from the estimate: by ratio where both are positive."""
    ratio = (estimate > 0) & (bound > 0)
    inside = np.where(ratio, bound / np.where(ratio, estimate, 1.0), 1.0)
    return np.where(ratio, estimate * inside**factor, estimate + factor * (bound - estimate))


def standard_error(x: Floats, w: Floats, micrographs: Ints | None) -> tuple[float, float]:
    """Return the standard error of the weighted mean and its degrees of freedom.

    By particle where ``micrographs`` is None, else between micrographs (Liang and Zeger's, with
    G / (G - 1)): the sum over micrographs of the squared sums of w (x - mean).
    """
    off = w * (x - (w @ x) / w.sum())
    if micrographs is not None:
        off = np.bincount(micrographs, off)
    n = off.size
    return math.sqrt(float(off @ off) * n / (n - 1)) / float(w.sum()), n - 1


def student(estimate: float, error: float, freedom: float, level: float) -> tuple[float, float]:
    """Return Student's interval of an estimate with its standard error."""
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, 0.5 + level / 2.0)) * error
    return estimate - half, estimate + half


def _bins(x: Floats, w: Floats) -> tuple[Ints, Floats, Floats]:
    """Return starts of bins of sorted particles, their sizes, and per-particle moments.

    Up to BINS particles each has its own bin and the bootstrap is the ordinary one. Above, a
    resample draws bins, and a particle stands for its bin: the cost no longer grows with n, and
    what is lost is the scatter inside a bin that holds 1/2048 of the particles.
    """
    starts = np.unique(np.linspace(0, x.size, min(x.size, BINS) + 1)[:-1].astype(np.int64))
    counts = np.diff(np.append(starts, x.size)).astype(np.float64)
    centred = x - x.mean()
    columns = np.stack([w, w * centred, w * centred**2, w * w], axis=1)
    return starts, counts, np.add.reduceat(columns, starts, axis=0) / counts[:, None]


def _draw(counts: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Return (RESAMPLES, bins) how often each bin is drawn when n particles are drawn again."""
    bins = counts.size
    if bins < n:
        return rng.multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)
    flat = rng.integers(0, n, (RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    drawn = np.bincount(flat.ravel(), minlength=RESAMPLES * n)
    return drawn.reshape(RESAMPLES, n).astype(np.float64)
