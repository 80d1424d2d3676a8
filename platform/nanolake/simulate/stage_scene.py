"""What a random stage is drawn for: particle size, polarity, picture size, contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scene:
    """What a stage is drawn for, and ways to draw."""

    rng: np.random.Generator
    polarity: str
    typical_px: float
    side_px: int
    contrast: float

    def between(self, low: float, high: float) -> float:
        """Return a uniform draw; ``low`` where the range is empty."""
        return float(self.rng.uniform(low, max(low, high)))

    def log_between(self, low: float, high: float) -> float:
        """Return a draw uniform in its logarithm."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(max(low, high)))))

    def happens(self, chance: float) -> bool:
        """Return True with this chance."""
        return bool(self.rng.random() < chance)

    @property
    def bright(self) -> bool:
        """HAADF: particles are brighter than what they lie on."""
        return self.polarity == "bright"

    @property
    def depth(self) -> float:
        """Optical depth of a usual particle."""
        return float(-np.log(1.0 - self.contrast))
