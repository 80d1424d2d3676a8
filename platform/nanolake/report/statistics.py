"""The numbers of an ensemble of particles, with confidence intervals, and fits of its sizes.

All intervals treat the particles as independent draws from the sample. They do not hold the error
of the pixel size, nor that of the segmentation, nor differences between places on the grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.report import columns
from nanolake.report.colours import group_number
from nanolake.report.data import ReportError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

STATISTICS: tuple[str, ...] = ("mean", "sd", "sigma_over_d", "D10", "D50", "D90")
RESAMPLES = 1000
BINS = 2048
"""A larger ensemble is resampled over this many bins of equal count; see `_bins`."""


def ensemble(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Describe a distribution of sizes.

    Parameters
    ----------
    values
        (n,) sizes in any unit. Values that are not finite are dropped and counted, and so are
        those whose weight is not finite.
    weights
        (n,) not negative; None weighs by number. The particles' areas give the area-weighted
        distribution, in which a particle counts as much as the surface it covers.
    level
        Confidence level of the intervals.
    seed
        Of the bootstrap; equal input and seed give equal output.

    Returns
    -------
    ``N`` used, ``dropped``, ``level``, and ``mean``, ``sd``, ``sigma_over_d`` (sd / mean),
    ``D10``, ``D50``, ``D90`` (10th, 50th, 90th percentile), each with ``_low`` and ``_high``.
    All but the counts and the level are None where N < 2.

    ``sd`` has Bessel's correction, in its form for weights (sum w - sum w² / sum w below the
    line; n - 1 for equal weights). Percentiles interpolate between the mid-points of the particles'
    shares (Hazen's definition, which holds for weights too). The interval of the number-weighted
    mean is Student's t; the others are percentile bootstrap intervals (1,000 resamples), which are
    somewhat too narrow below about 20 particles.
    """
    x, w, dropped = _clean(values, weights)
    if not 0.0 < level < 1.0:
        raise ReportError(f"level={level!r} must lie between 0 and 1, for example 0.95")
    result: dict[str, Any] = {"N": x.size, "dropped": dropped, "level": level}
    if x.size < 2:
        return result | {key: None for name in STATISTICS for key in _keys(name)}
    estimate = _describe(x, w)
    low, high = _bootstrap(x, w, level, seed)
    if weights is None:
        low[0], high[0] = _student(estimate[0], estimate[1], x.size, level)
    for name, row in zip(STATISTICS, np.stack([estimate, low, high], axis=1), strict=True):
        result |= dict(zip(_keys(name), map(float, row), strict=True))
    return result


def ensemble_table(
    particles: pd.DataFrame, *, unit: str = "nm", by: str = "experiment", level: float = 0.95
) -> pd.DataFrame:
    """Return `ensemble` of the equivalent circular diameter per experiment and in total.

    One row each for ``weighting`` = ``number`` and ``area``; the total, ``All``, comes last and is
    left out where there is one experiment only.
    """
    import pandas as pd

    size, area = f"{columns.SIZE}_{unit}", f"area_{unit}2"
    parts = [(str(key), part) for key, part in particles.groupby(by, sort=True)]
    if len(parts) != 1:
        parts.append(("All", particles))
    rows = []
    for name, part in parts:
        x = part[size].to_numpy(float, na_value=np.nan)
        w = part[area].to_numpy(float, na_value=np.nan) if area in part else x**2
        for weighting, chosen in (("number", None), ("area", w)):
            rows.append({by: name, "weighting": weighting, **ensemble(x, chosen, level=level)})
    return pd.DataFrame(rows)


def group_table(particles: pd.DataFrame, *, unit: str = "nm") -> pd.DataFrame:
    """Return one row a shape group: number, share, and mean and sd of the main features.

    Columns ``group, count, share`` and ``NAME_mean``, ``NAME_sd`` for each feature of
    `nanolake.report.columns` that has values. Group 0 holds what was not grouped.
    """
    import pandas as pd

    numbers = particles["shape_group"].map(group_number, na_action=None).to_numpy(int)
    rows = []
    for number in sorted(set(numbers.tolist()), key=lambda g: (g == 0, g)):
        part = particles[numbers == number]
        row: dict[str, Any] = {"group": number, "count": len(part)}
        row["share"] = len(part) / len(particles)
        for item in columns.shown(particles, unit):
            values = part[item.column].to_numpy(float, na_value=np.nan)
            values = values[np.isfinite(values)]
            row[f"{item.column}_mean"] = values.mean() if values.size else math.nan
            row[f"{item.column}_sd"] = values.std(ddof=1) if values.size > 1 else math.nan
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Fit:
    """A distribution fitted by maximum likelihood."""

    name: str
    """``normal`` or ``lognormal``."""
    location: float
    """Mean of the values (normal) or of their natural logarithms (lognormal)."""
    scale: float
    """Standard deviation of the same, with n below the line, as maximum likelihood has it."""
    aic: float
    """Akaike's information criterion, 2 k - 2 ln(likelihood), k = 2; the smaller the better."""

    def density(self, x: ArrayLike) -> Floats:
        """Return the probability density at ``x`` (in 1/unit); 0 below 0 for the lognormal."""
        x = np.asarray(x, float)
        if self.name == "normal":
            return _normal(x, self.location, self.scale)
        inside = np.where(x > 0, x, 1.0)
        return np.where(x > 0, _normal(np.log(inside), self.location, self.scale) / inside, 0.0)


def fit_sizes(values: ArrayLike) -> tuple[Fit, ...]:
    """Fit a normal and a lognormal distribution; the better one (smaller AIC) comes first.

    Values that are not finite are left out. Empty where fewer than 3 values remain or all are
    equal; the lognormal is left out where a value is not positive.
    """
    x = np.asarray(values, float)
    x = x[np.isfinite(x)]
    if x.size < 3 or np.ptp(x) == 0:
        return ()
    fits = [Fit("normal", float(x.mean()), float(x.std()), _aic(x, 0.0))]
    if x.min() > 0:
        logs = np.log(x)
        fits.append(
            Fit("lognormal", float(logs.mean()), float(logs.std()), _aic(logs, float(logs.sum())))
        )
    return tuple(sorted(fits, key=lambda fit: fit.aic))


def verdict(fits: tuple[Fit, ...]) -> str:
    """Say in words which fit is better; an AIC difference under 2 decides nothing."""
    if len(fits) < 2:
        return ""
    difference = fits[1].aic - fits[0].aic
    if difference < 2:
        return f"normal and lognormal fit equally well (ΔAIC {difference:.1f})"
    return f"the {fits[0].name} fits better (ΔAIC {difference:,.1f})"


def _aic(x: Floats, log_jacobian: float) -> float:
    """AIC of a normal fitted to x: -2 ln L = n (ln(2 pi s²) + 1), plus twice the sum of ln x."""
    return 4.0 + x.size * (math.log(2.0 * math.pi * float(x.var())) + 1.0) + 2.0 * log_jacobian


def _normal(x: Floats, mean: float, sd: float) -> Floats:
    return np.asarray(
        np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * math.sqrt(2.0 * math.pi)), np.float64
    )


def _keys(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _clean(values: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, int]:
    x = np.asarray(values, float)
    w = np.ones_like(x) if weights is None else np.asarray(weights, float)
    if x.ndim != 1 or w.shape != x.shape:
        raise ReportError(
            f"values {x.shape} and weights {w.shape} must be one-dimensional and equally long"
        )
    keep = np.isfinite(x) & np.isfinite(w)
    if (w[keep] < 0).any():
        raise ReportError(f"a weight is negative ({w[keep].min():g}): give areas, or None")
    keep &= w > 0
    order = np.argsort(x[keep], kind="stable")
    return x[keep][order], w[keep][order], int(x.size - keep.sum())


def _describe(x: Floats, w: Floats) -> Floats:
    """Return (6,) STATISTICS of sorted values."""
    sums = np.array([w.sum(), w @ x, w @ (x - x.mean()) ** 2, w @ w])
    mean = sums[1] / sums[0]
    centred = sums[2] - sums[0] * (mean - x.mean()) ** 2
    sd = math.sqrt(max(centred, 0.0) / (sums[0] - sums[3] / sums[0]))
    middle = (np.cumsum(w) - 0.5 * w) / sums[0]
    return np.array([mean, sd, sd / mean, *np.interp([0.1, 0.5, 0.9], middle, x)])


def mean_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float, float] | None:
    """Return mean, lower and upper bound (Student's t) of the finite values; None below two."""
    x, _, _ = _clean(values, None)
    if x.size < 2:
        return None
    mean, sd = float(x.mean()), float(x.std(ddof=1))
    return (mean, *_student(mean, sd, x.size, level))


def _student(mean: float, sd: float, n: int, level: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.5 + level / 2.0)) * sd / math.sqrt(n)
    return mean - half, mean + half


def _bins(x: Floats, w: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return starts of bins of sorted particles, their sizes, and per-particle moments.

    Up to BINS particles each has its own bin and the bootstrap is the ordinary one. Above, a
    resample draws bins, and a particle stands for its bin: the cost no longer grows with n, and
    what is lost is the scatter inside a bin that holds 1/2048 of the particles.
    """
    starts = np.unique(np.linspace(0, x.size, min(x.size, BINS) + 1)[:-1].astype(np.int64))
    counts = np.diff(np.append(starts, x.size)).astype(np.float64)
    centred = x - x.mean()
    columns_ = np.stack([w, w * centred, w * centred**2, w * w], axis=1)
    moments = np.add.reduceat(columns_, starts, axis=0) / counts[:, None]
    return starts, counts, moments


def _draw(counts: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Return (RESAMPLES, bins) how often each bin is drawn when n particles are drawn again."""
    bins = counts.size
    if bins < n:
        return rng.multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)
    flat = rng.integers(0, n, (RESAMPLES, n)) + n * np.arange(RESAMPLES)[:, None]
    drawn = np.bincount(flat.ravel(), minlength=RESAMPLES * n)
    return drawn.reshape(RESAMPLES, n).astype(np.float64)


def _bootstrap(x: Floats, w: Floats, level: float, seed: int) -> tuple[Floats, Floats]:
    """Return (6,) lower and upper percentile bounds of STATISTICS."""
    starts, counts, moments = _bins(x, w)
    rng = np.random.default_rng(seed)
    draws = _draw(counts, x.size, rng)
    total, first, second, squares = (draws @ moments).T
    shift = first / total
    spread = np.maximum(second - total * shift**2, 0.0)
    sd = np.sqrt(spread / (total - squares / total))
    mean = shift + x.mean()
    share = np.cumsum(draws * moments[:, 0], axis=1) / total[:, None]
    middles = starts + (counts.astype(np.int64) - 1) // 2
    quantiles = [x[middles[(share >= q - 1e-12).argmax(axis=1)]] for q in (0.1, 0.5, 0.9)]
    drawn = np.stack([mean, sd, sd / mean, *quantiles])
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(drawn, [tail, 100.0 - tail], axis=1)
    return low, high
