"""How far a shape network's answers lie from a known truth, as the numbers behind its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.report.data import ReportError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SMALL_P = 10.0
"""The error of p is scored below this: above, outlines look alike."""
MOST_D = 6


@dataclass(frozen=True, eq=False)
class Errors:
    """Answers of a shape network beside the truth, (n,) each; d is a whole number from 1 to 6."""

    p: Floats
    """True curvature."""
    d: NDArray[np.int64]
    l_ratio: Floats
    log_p_error: Floats
    """ln of the predicted p, less ln of the true one."""
    l_error: Floats
    d_predicted: NDArray[np.int64]
    log_p_sd: Floats | None = None
    l_sd: Floats | None = None
    d_probability: Floats | None = None
    """(n, 6)."""
    jaccard: Floats | None = None

    def __len__(self) -> int:
        return len(self.p)

    @property
    def right(self) -> Bools:
        """Where the predicted d is the true one."""
        return np.asarray(self.d == self.d_predicted)

    @property
    def small_p(self) -> Bools:
        """Where the true p is below `SMALL_P`."""
        return np.asarray(self.p < SMALL_P)


def errors(predicted: Mapping[str, Any], truth: Any) -> Errors:
    """Return `Errors` of what `nanolake.shape.ShapePredictor` returns.

    Parameters
    ----------
    predicted
        ``p``, ``d``, ``L_ratio`` (n,), and where known ``log_p_sd``, ``L_ratio_sd`` (n,),
        ``d_probability`` (n, 6), ``jaccard`` (n,). Further keys are not looked at.
    truth
        ``p``, ``d``, ``l_ratio`` (or ``L_ratio``) of the same n outlines, in canonical form: a
        mapping, or an object with these attributes (``nanolake.simulate.crystal.Triples``).

    Raises
    ------
    ReportError
        An array is absent, the lengths differ, or a p is not above 0.
    """
    found = {name: _column(predicted, name) for name in ("p", "d", "L_ratio")}
    true = {name: _column(truth, name) for name in ("p", "d", "l_ratio")}
    _check_lengths(found, true)
    for side, values in (("predicted", found["p"]), ("true", true["p"])):
        if values.size and not (values > 0).all():
            raise ReportError(f"a {side} p is {values.min():g}; it must be above 0")
    return Errors(
        p=true["p"],
        d=true["d"].astype(np.int64),
        l_ratio=true["l_ratio"],
        log_p_error=np.log(found["p"]) - np.log(true["p"]),
        l_error=found["L_ratio"] - true["l_ratio"],
        d_predicted=found["d"].astype(np.int64),
        log_p_sd=_optional(predicted, "log_p_sd"),
        l_sd=_optional(predicted, "L_ratio_sd"),
        d_probability=_optional(predicted, "d_probability"),
        jaccard=_optional(predicted, "jaccard"),
    )


def _column(table: Any, name: str) -> Floats:
    values = _optional(table, name)
    if values is None and name == "l_ratio":
        values = _optional(table, "L_ratio")
    if values is None:
        raise ReportError(f"{name} is absent: hand over p, d and the axis ratio")
    return values


def _optional(table: Any, name: str) -> Floats | None:
    value = table.get(name) if isinstance(table, Mapping) else getattr(table, name, None)
    return None if value is None else np.asarray(value, np.float64)


def _check_lengths(*tables: Mapping[str, Floats]) -> None:
    sizes = {name: values.shape for table in tables for name, values in table.items()}
    if len(set(sizes.values())) > 1:
        raise ReportError(f"prediction and truth must be equally long, not {sizes}")


@dataclass(frozen=True, eq=False)
class Binned:
    """An error by bins of another quantity; bins with fewer than ``least`` values are left out."""

    centre: Floats
    """Median of the quantity in the bin."""
    count: NDArray[np.int64]
    value: Floats
    low: Floats
    """Lower bound of the 95 % interval of ``value``."""
    high: Floats
    bias: Floats
    """Mean error, with its sign."""


def binned_rmse(error: ArrayLike, by: ArrayLike, edges: ArrayLike, *, least: int = 20) -> Binned:
    """Return the root mean squared error in bins of ``by``.

    The interval is that of the mean squared error (normal approximation), its root taken. Pairs
    with a value that is not finite are left out; bins are closed at their lower edge, the last one
    at both.
    """
    return _binned(np.asarray(error, np.float64) ** 2, error, by, edges, least, np.sqrt)


def binned_share(right: ArrayLike, by: ArrayLike, edges: ArrayLike, *, least: int = 20) -> Binned:
    """Return the share of True in bins of ``by``, with its 95 % interval (Wilson's)."""
    own = np.asarray(right, np.float64)
    found = _binned(own, own, by, edges, least, np.asarray)
    low, high = wilson(found.value, found.count)
    return Binned(found.centre, found.count, found.value, low, high, found.bias)


def binned_mean(values: ArrayLike, by: ArrayLike, edges: ArrayLike, *, least: int = 20) -> Binned:
    """Return the mean in bins of ``by``, with its 95 % interval (normal approximation)."""
    own = np.asarray(values, np.float64)
    return _binned(own, own, by, edges, least, np.asarray)


def _binned(
    scored: Floats, signed: ArrayLike, by: ArrayLike, edges: ArrayLike, least: int, root: Any
) -> Binned:
    x, e, edge = (np.asarray(v, np.float64) for v in (by, signed, edges))
    keep = np.isfinite(x) & np.isfinite(scored) & (x >= edge[0]) & (x <= edge[-1])
    place = np.minimum(np.searchsorted(edge, x, side="right") - 1, edge.size - 2)
    rows = []
    for number in range(edge.size - 1):
        own = keep & (place == number)
        n = int(own.sum())
        if n >= max(least, 1):
            mean = float(scored[own].mean())
            half = 1.96 * float(scored[own].std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
            rows.append((np.median(x[own]), n, mean, mean - half, mean + half, e[own].mean()))
    table = np.array(rows, np.float64).reshape(-1, 6).T
    value, low, high = (root(np.maximum(row, 0.0)) for row in table[2:5])
    return Binned(table[0], table[1].astype(np.int64), value, low, high, table[5])


def wilson(share: ArrayLike, count: ArrayLike, z: float = 1.96) -> tuple[Floats, Floats]:
    """Return Wilson's score interval of shares (k,) of counts (k,).

    >>> low, high = wilson([0.5], [100])
    >>> f"{low[0]:.3f} {high[0]:.3f}"
    '0.404 0.596'
    """
    s, n = np.asarray(share, np.float64), np.asarray(count, np.float64)
    middle = (s + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(s * (1 - s) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def coverage(error: ArrayLike, sd: ArrayLike, nominal: ArrayLike) -> Floats:
    """Return the share of |error| inside the central interval of each nominal probability.

    ``error`` and ``sd`` (n,), ``nominal`` (k,) from 0 to 1; the stated distribution is normal. An
    honest network returns ``nominal``. NaN where no pair is finite.
    """
    e, s = np.asarray(error, np.float64), np.asarray(sd, np.float64)
    keep = np.isfinite(e) & np.isfinite(s)
    if not keep.any():
        return np.full(np.shape(nominal), np.nan)
    normal = NormalDist()
    widths = [
        normal.inv_cdf(0.5 + 0.5 * q) if q < 1 else math.inf
        for q in np.asarray(nominal, np.float64).tolist()
    ]
    reached = np.sort(np.abs(e[keep]) / np.maximum(s[keep], 1e-300))
    return np.searchsorted(reached, widths, side="right") / reached.size


def rms(values: ArrayLike) -> float:
    """Return the root of the mean square of the finite values; NaN where there is none."""
    x = np.asarray(values, np.float64)
    x = x[np.isfinite(x)]
    return float(np.sqrt(np.mean(x**2))) if x.size else math.nan
