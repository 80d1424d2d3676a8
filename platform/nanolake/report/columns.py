"""How the report names a column of the ``morphology`` view: words, unit, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from nanolake.contracts import get_table

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
    Quantity("roundness", "Roundness"),
    Quantity("solidity", "Solidity"),
    Quantity("p", "Curvature p"),
    Quantity("d", "Number of axes d"),
    Quantity("L_ratio", "Axis ratio L"),
    Quantity("jaccard", "Jaccard with the re-drawn outline"),
)

FEATURES: dict[str, tuple[str, ...]] = {
    "particle": ("size", "shape", "intensity", "moments", "neighbour"),
    "shape_prediction": ("shape_network",),
}
"""Tables with features, and the groups of their columns that are features."""
NUMBERS = ("int32", "int64", "float32", "float64")

REFINED: tuple[Quantity, ...] = (
    Quantity("p_refined", "Curvature p, refined"),
    Quantity("d_refined", "Number of axes d, refined"),
    Quantity("L_ratio_refined", "Axis ratio L, refined"),
    Quantity("jaccard_refined", "Jaccard with the refined outline"),
)
"""Columns that only the view ``morphology`` has by these names."""

_BY_COLUMN = {quantity.column: quantity for quantity in QUANTITIES + REFINED} | {
    "d_mean": Quantity("d_mean", "Expected number of axes"),
    "perimeter_crofton_nm": Quantity("perimeter_crofton_nm", "Perimeter (Crofton)", "nm"),
    "perimeter_crofton_px": Quantity("perimeter_crofton_px", "Perimeter (Crofton)", "px"),
    "aspect_ratio_feret": Quantity("aspect_ratio_feret", "Aspect ratio (Feret)"),
    "num_pixels": Quantity("num_pixels", "Number of pixels", "px"),
}


def quantity(column: str) -> Quantity:
    """Return the words of a column; one that no table has is called by its own name."""
    if column in _BY_COLUMN:
        return _BY_COLUMN[column]
    known = {item.column: item for item in every_quantity()}
    return known.get(column, Quantity(column, column))


@lru_cache
def every_quantity() -> tuple[Quantity, ...]:
    """Return every measured feature and shape parameter of the schema, the main ones first.

    Directions and places are left out: the mean of an angle or of a position says nothing.
    """
    rest = [
        _BY_COLUMN.get(column.name)
        or Quantity(column.name, _words(column.name, column.unit), _unit(column.unit))
        for table, groups in FEATURES.items()
        for column in get_table(table).columns_of(*groups)
        if column.type in NUMBERS and column.unit != "rad" and "centroid" not in column.name
    ]
    main = {item.column for item in QUANTITIES}
    return QUANTITIES + REFINED + tuple(item for item in rest if item.column not in main)


def _words(column: str, unit: str | None) -> str:
    """Return a column's name as words: ``Feret diameter mean``."""
    ending = f"_{(unit or '').replace('^', '')}"
    words = column.removesuffix(ending) if unit else column
    return words[0].upper() + words[1:].replace("_", " ")


def _unit(unit: str | None) -> str:
    return (unit or "").replace("^2", "²")


def shown(
    particles: pd.DataFrame, unit: str, listed: Sequence[Quantity] = QUANTITIES
) -> list[Quantity]:
    """Return the listed quantities that the frame has values of, lengths only in ``unit``."""
    other = "px" if unit == "nm" else "nm"
    return [
        item
        for item in listed
        if not item.unit.startswith(other)
        and item.column in particles.columns
        and particles[item.column].notna().any()
    ]
