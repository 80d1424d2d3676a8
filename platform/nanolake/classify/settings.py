"""How the classifier is searched, trained, scored, and when it refuses to answer."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from nanolake.settings import Settings


class ClassifySettings(Settings):
    """How the support vector machine is trained and scored."""

    columns: tuple[str, ...] = (
        "equivalent_diameter_area_nm",
        "aspect_ratio",
        "circularity",
        "roundness",
        "solidity",
        "p",
        "d_mean",
        "L_ratio",
    )
    """Columns to learn from; hand on the grouping's own, ``Grouping.columns``."""
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the particles held back for the accuracy and the confusion matrix."""
    folds: int = Field(default=10, ge=3)
    """Parts of the cross-validations."""
    max_rows: int = Field(default=200_000, ge=100)
    """Particles of the lake that are read at all; of more, as many are drawn by lot."""
    max_train: int = Field(default=4000, ge=100)
    """Particles trained on; more are drawn from at random, by group."""
    search_rows: int = Field(default=1000, ge=100)
    """Particles on which cost and gamma are searched."""
    trials: int = Field(default=16, ge=1)
    """Pairs of cost and gamma tried; the search ends before where one makes no mistake."""
    cost_range: tuple[float, float] = (0.1, 1000.0)
    """Smallest and largest penalty C tried, on a logarithmic scale."""
    gamma_range: tuple[float, float] = (0.01, 3.0)
    """Smallest and largest kernel width tried, times the number of coordinates, logarithmic."""
    too_far_share: float = Field(default=0.005, gt=0.0, lt=0.5)
    """Share of a group's own particles that may be refused as unlike it."""
    neighbours: int = Field(default=5, ge=1)
    """A particle is as far from a group as from its this many-th nearest known member."""
    seed: int = Field(default=0, ge=0)
    """Where every random choice starts."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("cost_range", "gamma_range"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise ValueError(f"{name}={low, high} must be two numbers above 0 in rising order")
        return self

    @property
    def least_members(self) -> int:
        """Members below which a group is not learnt: two for each fold.

        More where ``test_share`` would else leave fewer than one a fold, or none to test.
        """
        of_fit, of_test = (self.folds + 1) / (1.0 - self.test_share), 1.0 / self.test_share
        return max(2 * self.folds, math.ceil(of_fit), math.ceil(of_test))
