"""Is one batch the same product as another? Sizes, spreads and shapes of two experiments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.report import bootstrap, colours, columns

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALIKE = 0.05
"""Two means count as alike where the whole interval of their difference lies within this share of
the first one: a choice for reading, not a law."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """One experiment's sizes with what a comparison needs of them."""

    name: str
    size: Floats
    micrographs: int | None
    """None: intervals by particle, since there are too few to go by."""
    error: float
    """Standard error of the mean."""
    freedom: float
    shares: dict[int, float]
    """Shape group -> share of the grouped particles."""


def batch_table(
    particles: pd.DataFrame, *, unit: str = "nm", by: str = "experiment"
) -> pd.DataFrame:
    """Compare every pair of experiments; a row a pair, the likest in size first.

    Columns ``a, b``, ``n_a, n_b``, ``micrographs_a, micrographs_b`` (None: too few, the error is by
    particle), ``mean_a, mean_b``, ``difference`` (b - a) with its 95 % interval
    ``difference_low, difference_high`` (Welch's t, standard errors by micrograph),
    ``ratio`` (mean b / mean a), ``sigma_over_d_a, sigma_over_d_b``, ``ks`` (largest distance of the
    cumulative distributions, 0 to 1), ``group_overlap`` (sum over the shape groups of the smaller
    share; 1: the same mixture, None: not grouped) and ``size``: ``differs`` (the interval leaves
    out 0), ``alike`` (it lies within 5 % of mean a), ``differs slightly`` (both), ``open``
    (neither: too few particles or micrographs to tell). ``by_micrograph``: whether both batches
    have micrographs enough; else the interval is too narrow.

    Sizes are equivalent circular diameters in ``unit``. Experiments with fewer than two are left
    out.
    """
    import pandas as pd

    batches = [
        found
        for name, part in particles.groupby(by, sort=True)
        if (found := _batch(str(name), part, unit)) is not None
    ]
    rows = [_pair(a, b) for a, b in combinations(batches, 2)]
    rows.sort(key=lambda row: abs(math.log(row["ratio"])))
    return pd.DataFrame(rows)


def _batch(name: str, part: pd.DataFrame, unit: str) -> _Batch | None:
    column = f"{columns.SIZE}_{unit}"
    size = part[column].to_numpy(float, na_value=np.nan) if column in part else np.empty(0)
    keep = np.isfinite(size)
    if keep.sum() < 2:
        return None
    x, codes = size[keep], None
    if "micrograph_id" in part:
        names = part["micrograph_id"].to_numpy()[keep].astype(str)
        codes = np.unique(names, return_inverse=True)[1].astype(np.int64)
    count = None if codes is None else int(codes.max()) + 1
    if count is None or count < bootstrap.LEAST_MICROGRAPHS:
        codes, count = None, None
    error, freedom = bootstrap.standard_error(x, np.ones_like(x), codes)
    groups = colours.group_numbers(part.get("shape_group"), len(part))
    return _Batch(name, x, count, error, freedom, group_shares(groups))


def group_shares(groups: Ints) -> dict[int, float]:
    """Return shape group -> share of the particles that have one."""
    found, counts = np.unique(groups[groups > 0], return_counts=True)
    total = int(counts.sum())
    return {int(g): int(c) / total for g, c in zip(found, counts, strict=True)}


def _pair(a: _Batch, b: _Batch) -> dict[str, Any]:
    mean_a, mean_b = float(a.size.mean()), float(b.size.mean())
    difference = mean_b - mean_a
    error = math.hypot(a.error, b.error)
    low, high = bootstrap.student(difference, error, _freedom(a, b), 0.95)
    return {
        "a": a.name,
        "b": b.name,
        "n_a": a.size.size,
        "n_b": b.size.size,
        "micrographs_a": a.micrographs,
        "micrographs_b": b.micrographs,
        "mean_a": mean_a,
        "mean_b": mean_b,
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "ratio": mean_b / mean_a,
        "sigma_over_d_a": float(a.size.std(ddof=1)) / mean_a,
        "sigma_over_d_b": float(b.size.std(ddof=1)) / mean_b,
        "ks": kolmogorov(a.size, b.size),
        "group_overlap": _overlap(a.shares, b.shares),
        "size": size_verdict(low, high, mean_a),
        "by_micrograph": a.micrographs is not None and b.micrographs is not None,
    }


def _freedom(a: _Batch, b: _Batch) -> float:
    """Welch and Satterthwaite's degrees of freedom of the difference."""
    below = a.error**4 / a.freedom + b.error**4 / b.freedom
    return (a.error**2 + b.error**2) ** 2 / below if below > 0 else a.freedom + b.freedom


def size_verdict(low: float, high: float, mean: float) -> str:
    """Say what an interval of a difference of means decides.

    >>> size_verdict(1.0, 2.0, 10.0), size_verdict(-0.2, 0.3, 10.0), size_verdict(-1.0, 2.0, 10.0)
    ('differs', 'alike', 'open')
    >>> size_verdict(0.1, 0.3, 10.0)
    'differs slightly'
    """
    apart, within = low > 0 or high < 0, max(-low, high) <= ALIKE * mean
    if apart:
        return "differs slightly" if within else "differs"
    return "alike" if within else "open"


def _overlap(a: dict[int, float], b: dict[int, float]) -> float | None:
    return sum(min(share, b.get(g, 0.0)) for g, share in a.items()) if a and b else None


def kolmogorov(a: ArrayLike, b: ArrayLike) -> float:
    """Return the largest distance between two empirical cumulative distributions.

    >>> kolmogorov([1, 2], [1, 2]), kolmogorov([1, 2], [3, 4]), kolmogorov([1, 2], [2, 3])
    (0.0, 1.0, 0.5)
    """
    x, y = np.sort(np.asarray(a, float)), np.sort(np.asarray(b, float))
    at = np.concatenate([x, y])
    below = [np.searchsorted(v, at, side="right") / v.size for v in (x, y)]
    return float(np.abs(below[0] - below[1]).max())


def share_table(
    experiments: Sequence[Any], groups: ArrayLike, by: str = "experiment"
) -> pd.DataFrame:
    """Return the share of each shape group in each experiment: ``experiment, group, N, share``.

    ``share`` is of all the experiment's particles; group 0 holds those without a group.
    """
    import pandas as pd

    names = np.asarray(experiments, dtype=object).astype(str)
    numbers = colours.group_numbers(groups, len(names))
    rows = []
    for name in np.unique(names):
        own = numbers[names == name]
        for group in colours.in_order(own):
            count = int((own == group).sum())
            rows.append({by: name, "group": group, "N": count, "share": count / own.size})
    return pd.DataFrame(rows, columns=[by, "group", "N", "share"])
