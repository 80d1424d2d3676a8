"""A label image that the tests of the service share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def labels() -> NDArray[np.uint8]:
    """A disc of radius 9 and a square of 15 px, in 96 x 128 pixels."""
    y, x = np.mgrid[:96, :128]
    found = np.zeros((96, 128), np.uint8)
    found[(y - 30) ** 2 + (x - 30) ** 2 <= 81] = 1
    found[40:55, 80:95] = 2
    return found
