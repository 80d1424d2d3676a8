"""How the report names a column of the ``morphology`` view: words, unit, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SIZE = "equivalent_diameter_area"
"""The size of a particle in this report: the diameter of the circle of equal area."""


@dataclass(frozen=True)
class Quantity:
    """A column's words and unit, for an axis title or a table's head."""

    column: str
    words: str
    unit: str = ""

    @property
    def title(self) -> str:
        """Words with the unit, as on an axis: ``Perimeter (nm)``."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("equivalent_diameter_area_nm", "Equivalent circular diameter", "nm"),
    Quantity("equivalent_diameter_area_px", "Equivalent circular diameter", "px"),
    Quantity("feret_diameter_max_nm", "Maximum Feret diameter", "nm"),
    Quantity("feret_diameter_max_px", "Maximum Feret diameter", "px"),
    Quantity("feret_diameter_min_nm", "Minimum Feret diameter", "nm"),
    Quantity("feret_diameter_min_px", "Minimum Feret diameter", "px"),
    Quantity("area_nm2", "Area", "nm²"),
    Quantity("area_px2", "Area", "px²"),
    Quantity("aspect_ratio", "Aspect ratio, minor / major"),
    Quantity("circularity", "Circularity"),
    Quantity("solidity", "Solidity"),
    Quantity("eccentricity", "Eccentricity"),
    Quantity("p", "Curvature p"),
    Quantity("d", "Number of axes d"),
    Quantity("L_ratio", "Axis ratio L"),
    Quantity("jaccard", "Jaccard with the re-drawn outline"),
)

_BY_COLUMN = {quantity.column: quantity for quantity in QUANTITIES}


def quantity(column: str) -> Quantity:
    """Return the words of a column; an unlisted column is called by its own name."""
    return _BY_COLUMN.get(column, Quantity(column, column))


def shown(particles: pd.DataFrame, unit: str) -> list[Quantity]:
    """Return the listed quantities that the frame has values of, lengths only in ``unit``."""
    other = "px" if unit == "nm" else "nm"
    return [
        item
        for item in QUANTITIES
        if not item.unit.startswith(other)
        and item.column in particles.columns
        and particles[item.column].notna().any()
    ]
