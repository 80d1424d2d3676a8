"""What a segmentation itself says of its particles, as columns beside the features."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nanolake.records import Segmentation


def found_columns(found: Segmentation) -> dict[str, NDArray[Any]]:
    """Return confidence and overlap, (n,) each; none of them where the method gives none."""
    columns = {"confidence": found.confidence, "overlap": found.overlap}
    return {name: values for name, values in columns.items() if values is not None}
