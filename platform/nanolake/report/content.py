"""From `ReportData` to the words and tables of the report; nothing here knows of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nanolake.report import colours, columns, numbers
from nanolake.report.data import ReportData, ReportError
from nanolake.report.statistics import STATISTICS, ensemble, ensemble_table, group_table

Row = dict[str, Any]


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
        listed = [colours.group_number(g) for g in self.particles["shape_group"]]
        return np.array(listed, np.int64)

    @cached_property
    def whole(self) -> Row:
        """The ensemble of all particles."""
        return ensemble(self.size)

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

    def batches(self) -> dict[str, NDArray[np.float64]]:
        """Sizes by experiment."""
        names = self.particles["experiment"]
        return {str(name): self.size[(names == name).to_numpy()] for name in sorted(names.unique())}

    def parameters(self) -> list[NDArray[np.float64]] | None:
        """Return p, d and L_ratio, or None where the shape network has not been run."""
        found = [self._column(name) for name in ("p", "d", "L_ratio")]
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


def summary(content: Content) -> str:
    """Say in one or two sentences what was found."""
    data, particles = content.data, content.particles
    if particles.empty:
        return f"No particles were found. {_losses(data)}"
    count = numbers.counted(len(particles), "particle")
    pictures = int(particles["micrograph_id"].nunique()) if "micrograph_id" in particles else 0
    where = f" on {numbers.counted(pictures, 'micrograph')}" if pictures else ""
    experiments = numbers.counted(int(particles["experiment"].nunique()), "experiment")
    groups = int(np.unique(content.groups[content.groups > 0]).size)
    parts = [f"{count}{where} of {experiments}", _mean_words(content)]
    if groups:
        parts.append(numbers.counted(groups, "shape group"))
    return f"{'; '.join(part for part in parts if part)}. {_losses(data)}"


def _mean_words(content: Content) -> str:
    found = content.whole
    if found["mean"] is None:
        return ""
    mean = numbers.plus_minus(found["mean"], found["mean_low"], found["mean_high"])
    spread = numbers.fixed(found["sigma_over_d"], 2)
    size = f"{mean} {content.unit}".replace(" ", "\N{NO-BREAK SPACE}")
    return f"mean equivalent circular diameter {size}, σ/d\N{NO-BREAK SPACE}{spread}"


def _losses(data: ReportData) -> str:
    excluded = numbers.counted(sum(data.excluded.values()), "object")
    failures = 0 if data.failures is None else len(data.failures)
    one = failures == 1
    failed = numbers.counted(failures, "file")
    return (
        f"{excluded[0].upper()}{excluded[1:]} excluded, {failed} {'has' if one else 'have'} failed."
    )


def size_note(content: Content) -> str:
    """Say how many particles have no size in the report's unit, and why."""
    if content.unit == "px":
        return (
            "The pixel size of these micrographs is not known: all lengths are in pixels, and "
            "pictures of different magnification cannot be compared."
        )
    if not content.without_size:
        return ""
    lost = content.particles[~np.isfinite(content.size)]
    pictures = int(lost["micrograph_id"].nunique()) if "micrograph_id" in lost else 0
    where = f" on {numbers.counted(pictures, 'micrograph')}" if pictures else ""
    return (
        f"{numbers.counted(len(lost), 'particle')}{where} without a known pixel size "
        f"{'is' if len(lost) == 1 else 'are'} left out of every figure in nm."
    )


def ensemble_rows(table: pd.DataFrame, weighting: str) -> list[Row]:
    """Return the ensemble table as text, one number of decimals a column."""
    if table.empty:
        return []
    chosen = table[table["weighting"] == weighting]
    records = [{str(k): _none(v) for k, v in row.items()} for row in chosen.to_dict("records")]
    lengths = numbers.column_decimals(_half(row, "mean") for row in records)
    places = dict.fromkeys(STATISTICS, lengths)
    places["sigma_over_d"] = numbers.column_decimals(_half(row, "sigma_over_d") for row in records)
    return [
        {
            "name": row["experiment"],
            "count": f"{row['N']:,}",
            "cells": [_cell(row, name, places[name]) for name in STATISTICS],
            "total": row["experiment"] == "All" and len(records) > 1,
        }
        for row in records
    ]


def _cell(row: Row, name: str, places: int) -> tuple[str, str]:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return numbers.ABSENT, ""
    interval = f"{numbers.fixed(low, places)} – {numbers.fixed(high, places)}"
    return numbers.fixed(value, places), interval


def _half(row: Row, name: str) -> float | None:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return None if low is None or high is None else 0.5 * (high - low)


def _none(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def group_cells(table: pd.DataFrame, unit: str) -> tuple[list[Row], list[Row]]:
    """Return the heads (name, colour, count) and the rows (feature, mean ± sd a group) as text."""
    heads = [
        {
            "name": colours.group_name(row["group"]),
            "colour": colours.colour_of(row["group"]),
            "count": f"{row['count']:,}",
            "share": numbers.percent(row["share"]),
        }
        for row in table.to_dict("records")
    ]
    rows = []
    for item in columns.QUANTITIES:
        if f"{item.column}_mean" in table:
            means, sds = table[f"{item.column}_mean"], table[f"{item.column}_sd"]
            exact = all(mean == round(mean) for mean in means.dropna()) and not sds.any()
            places = 0 if exact else numbers.column_decimals(sds.tolist())
            cells = [_mean_sd(m, s, places) for m, s in zip(means, sds, strict=True)]
            rows.append({"name": item.title, "cells": cells})
    return heads, rows


def _mean_sd(mean: float, sd: float, places: int) -> str:
    if not np.isfinite(mean):
        return numbers.ABSENT
    spread = f" ± {numbers.fixed(sd, places)}" if np.isfinite(sd) else ""
    return f"{numbers.fixed(mean, places)}{spread}"


def rest(mapping: Mapping[str, Any], used: set[str]) -> list[tuple[str, str]]:
    """Return what a mapping holds beside ``used``, as words and text; nothing nested."""
    return [
        (key.replace("_", " "), numbers.plain_value(value))
        for key, value in mapping.items()
        if key not in used and not isinstance(value, Mapping) and not _nested(value)
    ]


def _nested(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list)) for v in value)


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return provenance as words and text; a key that ends in ``_s`` is a time in seconds."""
    rows = []
    for key, value in provenance.items():
        timed = key.endswith("_s") and isinstance(value, (int, float)) and value is not True
        words = (key[:-2] if timed else key).replace("_", " ")
        rows.append((words, numbers.duration(value) if timed else numbers.plain_value(value)))
    return rows
