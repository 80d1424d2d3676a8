"""Normal and lognormal distributions fitted to what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours, columns

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


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
    if x.size < 3 or _flat(x):
        return ()
    fits = [Fit("normal", float(x.mean()), float(x.std()), _aic(x, 0.0))]
    if x.min() > 0 and not _flat(np.log(x)):
        logs = np.log(x)
        fits.append(
            Fit("lognormal", float(logs.mean()), float(logs.std()), _aic(logs, float(logs.sum())))
        )
    return tuple(sorted(fits, key=lambda fit: fit.aic))


def _flat(x: Floats) -> bool:
    """Whether the values are equal to the accuracy of their own sums."""
    return bool(x.std() <= 1e-9 * max(float(np.abs(x).max()), 1e-300))


def fit_table(
    particles: pd.DataFrame, features: Sequence[str] | None = None, *, unit: str = "nm"
) -> pd.DataFrame:
    """Return the fits of each feature in each shape group, a row each.

    Columns ``feature, unit, group, N, normal_mean, normal_sd, normal_aic, lognormal_median,
    lognormal_gsd`` (geometric standard deviation), ``lognormal_aic, better`` (``normal``,
    ``lognormal``, or ``either`` where the AIC differ by less than 2); NaN where a distribution
    cannot be fitted. Group 0 holds what is not grouped, and everything where nothing is.
    """
    import pandas as pd

    items = [columns.quantity(name) for name in features or ()]
    numbers = colours.group_numbers(particles.get("shape_group"), len(particles))
    rows = []
    for item in items or columns.shown(particles, unit):
        values = particles[item.column].to_numpy(float, na_value=np.nan)
        for group in colours.in_order(numbers):
            own = values[(numbers == group) & np.isfinite(values)]
            row = {"feature": item.column, "unit": item.unit, "group": group, "N": own.size}
            rows.append(row | _fitted(fit_sizes(own)))
    return pd.DataFrame(rows)


def _fitted(fits: tuple[Fit, ...]) -> dict[str, Any]:
    found = {fit.name: fit for fit in fits}
    normal, skew = found.get("normal"), found.get("lognormal")
    decided = len(fits) == 2 and fits[1].aic - fits[0].aic >= 2
    return {
        "normal_mean": normal.location if normal else math.nan,
        "normal_sd": normal.scale if normal else math.nan,
        "normal_aic": normal.aic if normal else math.nan,
        "lognormal_median": math.exp(skew.location) if skew else math.nan,
        "lognormal_gsd": math.exp(skew.scale) if skew else math.nan,
        "lognormal_aic": skew.aic if skew else math.nan,
        "better": fits[0].name if decided else "either" if len(fits) == 2 else "",
    }


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
