"""Are the particles the dark or the bright phase? Decided by shape, not assumed.

Both answers are tried on a reduced picture. Particles bulge outwards, the background between
them does not; the background lies along the picture's edge and covers more of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.instances import areas_of, border_labels, typical_area
from nanolake.segment.regions import solidity

_WEIGHT_SOLIDITY = 4.0
_WEIGHT_BORDER = 0.5
_WEIGHT_AREA = 0.5
_PIECES = 150


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What one phase looks like if it is taken for the particles. All 0 … 1."""

    solidity: float
    border: float
    area: float

    def likeness(self) -> float:
        """How much this looks like particles; compare between the two phases only."""
        return (
            _WEIGHT_SOLIDITY * self.solidity
            - _WEIGHT_BORDER * self.border
            - _WEIGHT_AREA * self.area
        )


def describe_phase(labels: NDArray[np.int32]) -> Phase:
    """Describe the pieces that a phase falls into, labels 1 … n, 0 is the other phase."""
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return Phase(
        solidity=_mean_solidity(labels),
        border=float((edge > 0).mean()),
        area=float((labels > 0).mean()),
    )


def _mean_solidity(labels: NDArray[np.int32]) -> float:
    """Mean over the largest pieces, by area (up to three typical ones), cut pieces by a third."""
    from scipy.ndimage import find_objects

    areas = areas_of(labels)
    typical = typical_area(areas)
    weights = np.minimum(areas, 3 * typical)
    weights[border_labels(labels)] *= 0.3
    weights[areas < max(0.1 * typical, 12)] = 0
    boxes = find_objects(labels)
    chosen = [i for i in np.argsort(-weights, kind="stable")[:_PIECES] if weights[i] > 0]
    if not chosen:
        return 0.0
    values = [solidity(labels[boxes[i - 1]] == i) for i in chosen]
    return float(np.average(values, weights=weights[chosen]))


def reduced(grey: NDArray[np.float32], longest_px: int) -> NDArray[np.float32]:
    """Shrink a picture to at most ``longest_px`` on its longer side by averaging."""
    factor = max(grey.shape) / longest_px
    if factor <= 1:
        return grey
    height, width = (max(1, round(side / factor)) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))
