"""What a segmentation says of its particles, as columns."""

from __future__ import annotations

import numpy as np

from nanolake.features import found_columns
from nanolake.records import Segmentation

LABELS = np.array([[1, 1, 0, 2]], np.uint16)


def test_what_is_known_is_told_and_nothing_else() -> None:
    sure, overlap = np.array([0.9, 0.8], np.float32), np.array([0.0, 0.4], np.float32)
    known = {"confidence": sure, "overlap": overlap}
    for names in ((), ("confidence",), ("confidence", "overlap")):
        given = {name: known[name] for name in names}
        found = Segmentation(labels=LABELS, polarity="dark", method="m", **given)
        assert found_columns(found) == given
