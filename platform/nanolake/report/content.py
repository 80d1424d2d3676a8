"""From `ReportData` to what is derived from it: sizes, groups, tables, coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nanolake.report import colours, columns, evidence
from nanolake.report.batches import batch_table, share_table
from nanolake.report.data import ReportData, ReportError
from nanolake.report.fits import fit_table
from nanolake.report.statistics import ensemble, ensemble_table, group_table
from nanolake.scaling import fit_scaling, raw_matrix

Row = dict[str, Any]

COMPARED = ("aspect_ratio", "circularity", "roundness", "solidity", "p", "d_mean", "L_ratio")
"""Drawn together where no grouping says what it compared."""


@dataclass(frozen=True)
class Content:
    """The particles of a report, with what is derived from them once."""

    data: ReportData

    @cached_property
    def particles(self) -> pd.DataFrame:
        """The particles with a fresh index; an ``experiment`` column is always there."""
        frame = self.data.particles.reset_index(drop=True)
        if "experiment" not in frame:
            return frame.assign(experiment="All")
        return frame.assign(experiment=frame["experiment"].fillna("(no experiment)").astype(str))

    @cached_property
    def unit(self) -> str:
        """``nm`` where any particle has a size in nm, else ``px``."""
        return "nm" if self._sizes("nm").size or not self._sizes("px").size else "px"

    @cached_property
    def size(self) -> NDArray[np.float64]:
        """(n,) equivalent circular diameter in `unit`, NaN where unknown."""
        return self._column(f"{columns.SIZE}_{self.unit}")

    @cached_property
    def without_size(self) -> int:
        """Particles that the size statistics leave out."""
        return int((~np.isfinite(self.size)).sum())

    @cached_property
    def grouped(self) -> bool:
        """Whether any particle has a shape group."""
        return bool((self.groups > 0).any())

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """(n,) shape group, 0 for none."""
        if "shape_group" not in self.particles:
            return np.zeros(len(self.particles), np.int64)
        return colours.group_numbers(self.particles["shape_group"], len(self.particles))

    @cached_property
    def whole(self) -> Row:
        """The ensemble of all particles."""
        return ensemble(self.size, micrographs=self.particles.get("micrograph_id"))

    @cached_property
    def ensembles(self) -> pd.DataFrame:
        """`ensemble_table`, empty where no particle has a size."""
        name = f"{columns.SIZE}_{self.unit}"
        if self.particles.empty or name not in self.particles:
            return pd.DataFrame()
        return ensemble_table(self.particles, unit=self.unit)

    @cached_property
    def group_rows(self) -> pd.DataFrame:
        """`group_table`, empty without groups."""
        if not self.grouped:
            return pd.DataFrame()
        return group_table(self.particles, unit=self.unit)

    @cached_property
    def every_group_row(self) -> pd.DataFrame:
        """`group_table` of every feature there is, empty without groups."""
        if not self.grouped:
            return pd.DataFrame()
        return group_table(self.particles, unit=self.unit, listed=columns.every_quantity())

    @cached_property
    def other_features(self) -> list[columns.Quantity]:
        """Features with values that are not among the main ones."""
        main = {item.column for item in columns.QUANTITIES}
        found = columns.shown(self.particles, self.unit, columns.every_quantity())
        return [item for item in found if item.column not in main]

    @cached_property
    def fits(self) -> pd.DataFrame:
        """`fit_table` of every feature by group."""
        if self.particles.empty:
            return pd.DataFrame()
        found = columns.shown(self.particles, self.unit, columns.every_quantity())
        return fit_table(self.particles, [item.column for item in found])

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """`batch_table`, empty where there are no two experiments with sizes."""
        if self.particles.empty:
            return pd.DataFrame()
        return batch_table(self.particles, unit=self.unit)

    @cached_property
    def shares(self) -> pd.DataFrame:
        """`share_table` of the shape groups."""
        return share_table(self.particles["experiment"].tolist(), self.groups)

    @cached_property
    def grouping(self) -> Row | None:
        """The grouping's row with its JSON unpacked."""
        return evidence.unpack(self.data.grouping)

    @cached_property
    def compared(self) -> list[str]:
        """Columns that the grouping compared and the particles have, else the main shape ones."""
        asked = (self.grouping or {}).get("columns") or COMPARED
        frame = self.particles
        return [name for name in asked if name in frame and frame[name].notna().any()]

    def points(self) -> NDArray[np.float64] | None:
        """Return (n, c) coordinates as the grouping compared them; NaN where a value is missing.

        None where fewer than three particles are complete. Fitted to the particles of this report,
        which may be fewer than those of the grouping.
        """
        raw = raw_matrix(self.particles, self.compared)
        if np.isfinite(raw).all(axis=1).sum() < 3:
            return None
        asked = (self.grouping or {}).get("settings") or {}
        scaling = fit_scaling(
            raw,
            self.compared,
            clip=asked.get("clip", 4.0),
            decorrelate=asked.get("decorrelate", 0.5),
            weights={f"{columns.SIZE}_nm": asked.get("size_weight", 0.5)},
        )
        return scaling.apply(raw) if scaling.columns else None

    def batches(self) -> dict[str, NDArray[np.float64]]:
        """Sizes by experiment."""
        return {name: self.size[own] for name, own in self._by_experiment().items()}

    def micrographs_of_batches(self) -> dict[str, Any] | None:
        """Return the micrograph of each size in `batches`; None where they are not known."""
        if "micrograph_id" not in self.particles:
            return None
        names = self.particles["micrograph_id"].to_numpy()
        return {name: names[own] for name, own in self._by_experiment().items()}

    def _by_experiment(self) -> dict[str, NDArray[np.bool_]]:
        names = self.particles["experiment"]
        return {str(name): (names == name).to_numpy() for name in sorted(names.unique())}

    def parameters(self) -> tuple[NDArray[np.float64], ...] | None:
        """Return p, d and L_ratio, or None where the shape network has not been run."""
        found = tuple(self._column(name) for name in ("p", "d", "L_ratio"))
        return found if np.isfinite(np.stack(found)).all(axis=0).any() else None

    def _sizes(self, unit: str) -> NDArray[np.float64]:
        values = self._column(f"{columns.SIZE}_{unit}")
        return values[np.isfinite(values)]

    def _column(self, name: str) -> NDArray[np.float64]:
        if name not in self.particles:
            return np.full(len(self.particles), np.nan)
        try:
            return self.particles[name].to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError) as error:
            raise ReportError(
                f"column {name} of the particles must hold numbers: {error}"
            ) from None
