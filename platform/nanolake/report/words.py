"""The sentences and table cells of the report, as text; nothing here knows of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nanolake.report import colours, columns, numbers
from nanolake.report.bootstrap import STATISTICS
from nanolake.report.content import Content, Row
from nanolake.report.data import ReportData


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


def group_cells(
    table: pd.DataFrame, listed: Sequence[columns.Quantity] = columns.QUANTITIES
) -> tuple[list[Row], list[Row]]:
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
    for item in listed:
        if f"{item.column}_mean" in table:
            means, sds = table[f"{item.column}_mean"], table[f"{item.column}_sd"]
            exact = all(mean == round(mean) for mean in means.dropna()) and not sds.any()
            spreads = [sd for sd in sds.tolist() if np.isfinite(sd) and sd > 0]
            places = 0 if exact else numbers.decimals(min(spreads, default=None))
            cells = [_mean_sd(m, s, places) for m, s in zip(means, sds, strict=True)]
            rows.append({"name": item.title, "cells": cells})
            if item.column.startswith(columns.SIZE):
                ratio = [numbers.fixed(_none(s / m), 2) for m, s in zip(means, sds, strict=True)]
                rows.append({"name": "σ/d", "cells": ratio})
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


def interval_note(table: pd.DataFrame) -> str:
    """Say by what the intervals of the ensemble table go."""
    if table.empty:
        return ""
    by = table.loc[table["weighting"] == "number", ["experiment", "interval_by"]]
    few = [str(name) for name, how in by.itertuples(index=False) if how == "particle"]
    if by["interval_by"].isna().all():
        return ""
    if not few:
        return (
            "Intervals are by micrograph: particles of one picture are not independent, so whole "
            "pictures are drawn again."
        )
    if len(few) == len(by):
        return (
            "Intervals are by particle, since there are fewer than three micrographs: they do not "
            "hold differences between places on the grid, and are too narrow."
        )
    return (
        "Intervals are by micrograph. Those of "
        f"{', '.join(few)} are by particle, since there are fewer than three micrographs, and are "
        "too narrow."
    )


MOST_PAIRS = 15
"""Rows of the table of pairs in the page; ``batches.csv`` holds all."""


def pair_rows(pairs: pd.DataFrame) -> list[Row]:
    """Return the table of compared experiments as text."""
    shown = pairs.head(MOST_PAIRS).to_dict("records")
    halves = [0.5 * (row["difference_high"] - row["difference_low"]) for row in shown]
    places = numbers.column_decimals(halves)
    return [
        {
            "a": row["a"],
            "b": row["b"],
            "difference": numbers.fixed(row["difference"], places),
            "interval": f"{numbers.fixed(row['difference_low'], places)} to "
            f"{numbers.fixed(row['difference_high'], places)}",
            "percent": numbers.percent(row["ratio"] - 1.0),
            "widths": f"{row['sigma_over_d_a']:.2f} / {row['sigma_over_d_b']:.2f}",
            "ks": numbers.fixed(row["ks"], 2),
            "overlap": numbers.percent(_none(row["group_overlap"]), 0),
            "verdict": row["size"] + ("" if row["by_micrograph"] else " *"),
        }
        for row in shown
    ]


def cost_words(cost: pd.DataFrame | None, particles: int) -> str:
    """Say what the run took, per particle, where the whole lake is reported."""
    if cost is None or cost.empty:
        return ""
    total = float(np.nansum(cost["computing_s"].to_numpy(float)))
    words = f"Computing time of the whole lake: {numbers.duration(total)}"
    failed = int(cost["failed"].sum())
    if particles and total > 0:
        words += f", {1000.0 * total / particles:.0f} ms for each of the particles here"
    return words + (f"; {numbers.counted(failed, 'unit')} of work failed." if failed else ".")


def group_note(content: Content) -> str:
    """Say how many groups a classifier gave, and how many particles have none, with the reasons."""
    frame = content.particles
    if not content.grouped or "shape_group_source" not in frame:
        return ""
    given = (frame["shape_group_source"] == "classifier").to_numpy(bool, na_value=False)
    known = int((given & (content.groups > 0)).sum())
    parts = []
    if known:
        one = "was" if known == 1 else "were"
        parts.append(
            f"{numbers.counted(known, 'particle')} {one} put in a group by the classifier, not "
            "compared when the groups were made."
        )
    unknown = int((content.groups == 0).sum())
    if unknown:
        reasons = frame.loc[content.groups == 0].get("shape_group_reason", pd.Series(dtype=object))
        told = ", ".join(f"{n:,} {why}" for why, n in reasons.dropna().value_counts().items())
        more = f" ({told})" if told else ""
        parts.append(f"{numbers.counted(unknown, 'particle')} without a group{more}.")
    return " ".join(parts)
