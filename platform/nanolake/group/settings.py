"""What the grouping compares, and how."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from nanolake.group.methods import MethodName
from nanolake.group.null import NullKind
from nanolake.settings import Settings

SIZE = "equivalent_diameter_area_nm"
"""The one size among the columns; left out where too few particles have one in nm."""
FEATURES = (SIZE, "aspect_ratio", "circularity", "roundness", "solidity")
"""Elongation, corners, both together, concavity: scale-free and the same for any rotation."""
PARAMETERS = ("p", "d_mean", "L_ratio")
"""The outline family's parameters as the shape network predicts them (paper, eq. 1). ``d_mean`` is
the expectation of d over the network's class probabilities: the gaps of an integer column look
like groups, and the continuous null has none.
"""

Dataset = Literal["features", "parameters", "both"]


def select_columns(dataset: Dataset = "both") -> tuple[str, ...]:
    """Return the columns compared by default (the paper's data sets 1, 2 and 3).

    A small set: columns that say the same thing twice (eccentricity, compactness, the axes beside
    the aspect ratio) would count twice, and the extent changes with rotation.

    >>> select_columns("parameters")
    ('p', 'd_mean', 'L_ratio')
    """
    return {"features": FEATURES, "parameters": PARAMETERS, "both": FEATURES + PARAMETERS}[dataset]


class GroupSettings(Settings):
    """What is compared, how many groups are tried, and what counts as a group."""

    dataset: Dataset = "both"
    """Measured features, the shape network's parameters, or both."""
    columns: tuple[str, ...] = ()
    """Columns to compare instead of the data set's own."""
    method: MethodName = "kmeans"
    """How points are divided into k groups; ``linkage`` is Ward's, on the sample."""
    engine: Literal["scikit-learn", "dask-ml"] = "scikit-learn"
    """``dask-ml`` moves the centres of K-means over every particle, block by block; with
    ``scikit-learn`` they stay those of the sample. Neither holds the table in memory."""
    k: int | None = Field(default=None, ge=1, le=64)
    """Number of groups; by default it is chosen, and may be 1."""
    k_min: int = Field(default=2, ge=2)
    """Smallest number of groups tried."""
    k_max: int = Field(default=12, ge=2, le=64)
    """Largest number of groups tried."""
    min_margin: float = Field(default=0.06, ge=0.0, le=1.0)
    """How far a silhouette must stand above the null's mean (and 3 of its standard deviations);
    of a Gaussian mixture at least 0.1 is asked."""
    min_stability: float = Field(default=0.9, ge=-1.0, le=1.0)
    """A division finer than the silhouette's own choice must have this adjusted Rand index."""
    null_kind: NullKind = "one_peak"
    """What data without structure is like: one population with the columns' own skew, tails and
    bounds, or one normal distribution. Of the same mean and covariance both: see decision 0010."""
    null_runs: int = Field(default=5, ge=2)
    """Draws of data without structure."""
    bootstrap_runs: int = Field(default=5, ge=2)
    """Bootstrap samples between which the stability is measured."""
    seeds: int = Field(default=5, ge=1)
    """Starts of the method; the best is kept."""
    seed: int = Field(default=0, ge=0)
    """Where every random choice starts."""
    sample_size: int = Field(default=2000, ge=50, le=20_000)
    """Particles on which groups are made, K is chosen and scores are computed; all are assigned."""
    fit_rows: int = Field(default=50_000, ge=50)
    """Particles that the scaling is fitted to, where there are more."""
    clip: float = Field(default=4.0, gt=0.0)
    """Values further than this many robust standard deviations from the median count as this."""
    decorrelate: float = Field(default=0.5, ge=0.0, le=1.0)
    """0: correlated columns count each; 1: whitened; between: see decision 0006."""
    size_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the size beside the shape columns' 1; 0 leaves it out."""
    max_missing_size: float = Field(default=0.2, ge=0.0, le=1.0)
    """Where more particles than this share have no size in nm, size is not compared at all."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.k_min > self.k_max:
            raise ValueError(f"k_min={self.k_min} is above k_max={self.k_max}; exchange them")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns names a column twice: {', '.join(self.columns)}")
        if self.engine == "dask-ml" and self.method != "kmeans":
            raise ValueError(f"engine='dask-ml' has K-means only, not method={self.method!r}")
        if self.fit_rows < self.sample_size:
            raise ValueError(f"fit_rows={self.fit_rows} is below sample_size={self.sample_size}")
        return self

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns to compare, before any is left out."""
        chosen = self.columns or select_columns(self.dataset)
        return tuple(c for c in chosen if c != SIZE or self.size_weight > 0)
