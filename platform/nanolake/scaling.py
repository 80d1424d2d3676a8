"""Columns of a particle table as a scaled matrix: what grouping and classifying share.

NumPy only. A row is a particle, a column a measurement; a missing value is NaN and stays NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SchemaError

Floats = NDArray[np.float64]

LOG_COLUMNS = frozenset({"p", "aspect_ratio", "feret_aspect_ratio"})
"""Ratios with a long upper tail. Lengths and areas (``LOG_SUFFIXES``) are logged as well."""
LOG_SUFFIXES = ("_nm", "_px", "_nm2", "_px2")
LEAST_SPREAD = {"d_mean": 0.5}
"""Spread below which a difference means nothing: d counts axes, and particles of one d of which the
network was more sure (2.02) or less (2.17) are not two kinds of particle."""
NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution of standard deviation 1."""


def takes_log(column: str) -> bool:
    """Return whether ``column`` is compared on a logarithmic scale.

    >>> takes_log("equivalent_diameter_area_nm"), takes_log("solidity")
    (True, False)
    """
    return column.lower() in LOG_COLUMNS or column.lower().endswith(LOG_SUFFIXES)


def raw_matrix(table: Any, columns: Sequence[str]) -> Floats:
    """Return ``columns`` of ``table`` as (n, c) float64, logarithms taken, NaN where missing.

    ``table`` maps names to (n,) arrays: a dict or a pandas frame; names match in any case, as in
    SQL. Values that are not finite, or not above 0 in a logged column, count as missing. Raises
    `SchemaError` where a column is absent or the lengths differ.
    """
    names = {str(name).lower(): name for name in table}
    absent = [column for column in columns if column.lower() not in names]
    if absent:
        raise SchemaError(
            f"the table has no column {', '.join(absent)}; it has: {', '.join(map(str, table))}"
        )
    arrays = [_logged(column, _numbers(table[names[column.lower()]], column)) for column in columns]
    lengths = {column: len(array) for column, array in zip(columns, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise SchemaError(f"the columns differ in length: {lengths}")
    return np.stack(arrays, axis=1) if arrays else np.empty((0, 0))


def _numbers(values: Any, column: str) -> Floats:
    try:
        if hasattr(values, "to_numpy") and hasattr(values, "isna"):  # pandas, nullable types too
            array = values.to_numpy(dtype=float, na_value=np.nan)
        else:
            array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"column {column} does not hold numbers: {error}") from None
    if array.ndim != 1:
        raise SchemaError(f"column {column} has shape {array.shape}; it must be one value a row")
    return np.where(np.isfinite(array), array, np.nan)


def _logged(column: str, values: Floats) -> Floats:
    if not takes_log(column):
        return values
    return np.log(np.where(values > 0, values, np.nan))


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How columns become coordinates in which equal distances mean equally unlike shapes.

    In order: median and interquartile range per column (outliers do not set the scale), clipping
    at ``clip`` robust standard deviations, division by the standard deviation of what is left,
    ``weights``, then ``rotation``: principal axes, each divided by its standard deviation to the
    power ``decorrelate``. 0 leaves correlated columns their double weight, 1 whitens and so
    raises noise to the rank of a signal.
    """

    columns: tuple[str, ...]
    """Columns used, in the order of the matrix."""
    kept: NDArray[np.int64]
    """Index of each used column among those given to `fit_scaling`."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Columns not used, with the reason."""
    median: Floats
    spread: Floats
    clip: float
    mean: Floats
    sd: Floats
    rotation: Floats
    """(c, c): from weighted columns to coordinates."""

    def apply(self, raw: Floats) -> Floats:
        """Return coordinates (n, c) of rows of `raw_matrix`; rows with NaN stay NaN."""
        return self.place(self.standard(raw))

    def standard(self, raw: Floats) -> Floats:
        """Return the used columns in robust standard deviations from their medians, clipped."""
        return np.clip((raw[:, self.kept] - self.median) / self.spread, -self.clip, self.clip)

    def place(self, standard: Floats) -> Floats:
        """Return coordinates (n, c) of what `standard` returns; the two steps make `apply`."""
        clipped = np.clip(standard, -self.clip, self.clip)
        return np.asarray(((clipped - self.mean) / self.sd) @ self.rotation)


def fit_scaling(
    raw: Floats,
    columns: Sequence[str],
    *,
    clip: float = 4.0,
    decorrelate: float = 0.5,
    weights: Mapping[str, float] | None = None,
) -> Scaling:
    """Fit a `Scaling` to the complete rows of ``raw`` (n, c); constant columns are left out."""
    complete = raw[~np.isnan(raw).any(axis=1)]
    least = np.array([LEAST_SPREAD.get(column, 0.0) for column in columns])
    spread = _spread(complete)
    spread = np.where(spread > 0, np.maximum(spread, least), 0.0)
    kept = np.flatnonzero(spread > 0)
    left_out = {columns[int(i)]: "constant" for i in np.flatnonzero(spread <= 0)}
    used = tuple(columns[int(i)] for i in kept)
    median = np.median(complete[:, kept], axis=0) if len(complete) else np.zeros(len(kept))
    clipped = np.clip((complete[:, kept] - median) / spread[kept], -clip, clip)
    mean, sd = (clipped.mean(axis=0), clipped.std(axis=0)) if len(kept) else (median, median)
    sd = np.where(least[kept] > 0, np.maximum(sd, 1.0), sd)
    weight = np.array([(weights or {}).get(column, 1.0) for column in used])
    return Scaling(
        columns=used,
        kept=kept,
        left_out=left_out,
        median=median,
        spread=spread[kept],
        clip=clip,
        mean=mean,
        sd=sd,
        rotation=weight[:, None] * _rotation((clipped - mean) / sd * weight, decorrelate),
    )


def _spread(complete: Floats) -> Floats:
    """Return the robust standard deviation per column, 0 where the column is constant."""
    if len(complete) < 2:
        return np.zeros(complete.shape[1])
    low, high = np.percentile(complete, [25, 75], axis=0)
    sd = complete.std(axis=0)
    spread = np.where(high > low, (high - low) / NORMAL_IQR, sd)
    constant = sd <= 1e-9 * np.maximum(np.abs(complete).max(axis=0), 1e-300)
    return np.where(constant, 0.0, np.maximum(spread, 1e-3 * sd))


def _rotation(standard: Floats, decorrelate: float) -> Floats:
    if standard.shape[1] == 0:
        return np.zeros((0, 0))
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(standard.T)))
    variance = np.maximum(variance, 1e-3 * variance.max())  # a direction of no spread is no signal
    return np.asarray(axes * variance ** (-0.5 * decorrelate))


def structureless(
    points: Floats, rng: np.random.Generator, labels: NDArray[Any] | None = None
) -> Floats:
    """Draw as many points as ``points`` (n, c) without structure, of the same mean and covariance.

    One normal distribution for all, or one for each value of ``labels`` (n,): then the draw has
    exactly the structure that those labels describe and none inside them.
    """
    labels = np.zeros(len(points), int) if labels is None else labels
    drawn = np.empty_like(points)
    for label in np.unique(labels):
        member = labels == label
        drawn[member] = _normal(points[member], rng)
    return drawn


def _normal(points: Floats, rng: np.random.Generator) -> Floats:
    """Draw from the normal distribution fitted to ``points``; few points span few directions."""
    centred = points - points.mean(axis=0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    root = axes * (singular / np.sqrt(max(len(points) - 1, 1)))[:, None]
    return np.asarray(points.mean(axis=0) + rng.standard_normal((len(points), len(root))) @ root)
