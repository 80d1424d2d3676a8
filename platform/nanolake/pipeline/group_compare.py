"""Compare: every method on every data set, side by side, and the current grouping left as it is.

Each combination is a grouping run of its own, with its assignments in the lake and its figures in
MLflow below one parent run. None of them becomes the current grouping: which one the lake shows is
its user's choice, made with ``nanolake group``, which has nothing left to compute then. Only where
the lake has no grouping yet is the one of the given settings made the current one first.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from nanolake.errors import SettingsError
from nanolake.group import FEATURES, PARAMETERS, GroupSettings, rand_of_counts
from nanolake.group.methods import METHODS
from nanolake.group.settings import Dataset
from nanolake.pipeline.group import STAGE, divide, group_lake, key_of
from nanolake.pipeline.group_evidence import registry_of
from nanolake.pipeline.group_rows import spooled
from nanolake.pipeline.work import StageReport
from nanolake.progress import Progress, silent
from nanolake.storage import Lake, unit_key

_SHOWN = (
    "method, dataset, k, silhouette, null_silhouette_mean AS null, margin, "
    "stability_ari AS stability, null_stability_ari AS null_stability, cophenetic, null_cophenetic"
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison found: a line for its last line, a row a method and data set."""

    report: StageReport
    rows: tuple[dict[str, Any], ...]
    """method, dataset, k, scores beside the null's, ``ari_to_current``, ``current``."""


def compare_groups(
    lake: Lake,
    settings: GroupSettings | None = None,
    *,
    experiments: Sequence[str] = (),
    track: bool = True,
    progress: Progress = silent,
) -> Comparison:
    """Group the particles by every method on every data set, other settings as given.

    ``ari_to_current`` is the adjusted Rand index to the current grouping over the particles that
    both have put into a group; None where there are none. Raises `SettingsError` where columns are
    named: the data sets name theirs.
    """
    started, settings = time.perf_counter(), settings or GroupSettings()
    if settings.columns:
        raise SettingsError("a comparison takes the data sets' own columns: leave columns empty")
    common: dict[str, Any] = {"experiments": experiments, "track": track}
    if not lake.query("SELECT grouping_run_id FROM grouping_current").num_rows:
        group_lake(lake, settings, progress=progress, **common)
    with spooled(lake, (*FEATURES, *PARAMETERS), experiments) as particles:
        comparison_id = unit_key("compare", particles.fingerprint, settings.fingerprint())[:16]
        parent = _Parent(lake, settings)
        about: dict[str, Any] = {"comparison_id": comparison_id, "parent": parent.run_id}
        asked = list(_combinations(settings))
        reports = []
        for number, each in enumerate(asked):
            progress("compare", number, len(asked))
            reports.append(divide(lake, particles, each, **common, **about))
        progress("compare", len(asked), len(asked))
        rows = _table(lake, [key_of(particles, each) for each in asked])
    parent.finish(rows)
    report = StageReport(
        stage=STAGE,
        noun="groupings",
        done=sum(report.done for report in reports),
        skipped=sum(report.skipped for report in reports),
        busy=sum(report.busy for report in reports),
        wall_s=time.perf_counter() - started,
        note="the current grouping is as it was; choose another with --set method=… dataset=…",
    )
    return Comparison(report=report, rows=tuple(rows))


def _combinations(settings: GroupSettings) -> Iterator[GroupSettings]:
    """Yield the settings of every method and data set; dask-ml has K-means only."""
    for method in METHODS:
        engine = settings.engine if method == "kmeans" else "scikit-learn"
        for dataset in get_args(Dataset):
            changed = {"method": method, "dataset": dataset, "engine": engine}
            yield settings.model_copy(update=changed)


def _table(lake: Lake, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row a run, in the order of ``keys``."""
    runs = lake.query(
        f"SELECT DISTINCT ON (unit_key) unit_key, {_SHOWN}, grouping_run_id, mlflow_run_id "
        "FROM grouping_run WHERE unit_key IN (SELECT unnest($keys)) ORDER BY unit_key, created_at",
        {"keys": list(keys)},
    ).to_pylist()
    current = lake.query("SELECT grouping_run_id FROM grouping_current").to_pylist()
    chosen = current[0]["grouping_run_id"] if current else None
    by_key = {run.pop("unit_key"): run for run in runs}
    rows = [by_key[key] for key in keys if key in by_key]
    return [
        row
        | {"ari_to_current": _agreement(lake, row["grouping_run_id"], chosen)}
        | {"current": row["grouping_run_id"] == chosen}
        for row in rows
    ]


def _agreement(lake: Lake, run_id: str, other_id: str | None) -> float | None:
    """Return the adjusted Rand index of two runs, counted in the lake."""
    cells = lake.query(
        "SELECT a.shape_group AS a, b.shape_group AS b, count(*) AS n FROM group_assignment a "
        "JOIN group_assignment b USING (particle_id) WHERE a.grouping_run_id = $run "
        "AND b.grouping_run_id = $other AND a.shape_group > 0 AND b.shape_group > 0 GROUP BY ALL",
        {"run": run_id, "other": other_id},
    ).to_pandas()
    if cells.empty:
        return None
    counts = np.zeros((int(cells["a"].max()), int(cells["b"].max())))
    counts[cells["a"].to_numpy() - 1, cells["b"].to_numpy() - 1] = cells["n"]
    return rand_of_counts(counts)


class _Parent:
    """The MLflow run above those of a comparison, made once there is something to put below it."""

    def __init__(self, lake: Lake, settings: GroupSettings) -> None:
        self._lake, self._settings = lake, settings
        self._run_id: str | None = None

    def run_id(self) -> str:
        if self._run_id is None:
            self._run_id = registry_of(self._lake).log(
                run_name="comparison", params=self._settings.model_dump(mode="json"), metrics={}
            )
        return self._run_id

    def finish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Put the table beside the parent run, where there is one."""
        if self._run_id is None or not rows:
            return
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "comparison.csv"
            with table.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            registry_of(self._lake).attach(self._run_id, table)
