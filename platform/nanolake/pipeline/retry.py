"""Retry: run again what failed and nothing has put right since, and only that.

A unit is tried with what it failed with, where that can be found out: its key is made again from
what the lake and the disk know, and must be the same. Where it is not (a file was mended, an
option was given by hand), the stage's defaults are used or, where they would be a guess, the unit
is left alone and named.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanolake.engines import Engine
from nanolake.errors import SettingsError
from nanolake.ingest import IngestSettings
from nanolake.pipeline.describe import describe_lake, describe_units
from nanolake.pipeline.ingest import file_job, ingest_jobs, missing_job
from nanolake.pipeline.segment import segment_lake, segment_units, segmentation_run_id
from nanolake.pipeline.work import Failure, Job, StageReport, new_run_id
from nanolake.progress import Progress, silent
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake

STAGES = ("ingest", "segment", "describe")
_REMEDY = {
    "ingest": "`nanolake ingest LAKE SHEET --retry-failed` with its sheet and settings",
    "segment": "`nanolake segment --retry-failed` with its settings",
    "describe": "`nanolake describe --retry-failed` with its weights",
}


@dataclass(frozen=True, kw_only=True)
class Left:
    """A failure that was not tried again."""

    stage: str
    path: str
    reason: str
    why: str
    """Why it was left alone, and what to do."""


@dataclass(frozen=True, kw_only=True)
class RetryReport:
    """What came right, what still fails, and what was not tried."""

    stages: tuple[StageReport, ...]
    left: tuple[Left, ...]
    wall_s: float

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What still fails, with its reason now."""
        return tuple(failure for stage in self.stages for failure in stage.failures)

    def line(self) -> str:
        """Return the last line."""
        right = sum(stage.done for stage in self.stages)
        failed = sum(stage.failed for stage in self.stages)
        if not (right or failed or self.left):
            return "retry: nothing has failed that is not put right already"
        parts = [f"{right} of {right + failed} came right"]
        parts += [f"{failed} still fail{'s' * (failed == 1)}"] if failed else []
        parts += [f"{len(self.left)} not tried"] if self.left else []
        return f"retry: {', '.join(parts)} in {self.wall_s:.1f} s"


def retry_lake(
    lake: Lake,
    stages: Sequence[str] = STAGES,
    *,
    engine: Engine,
    progress: Progress = silent,
) -> RetryReport:
    """Run again what failed in ``stages``; raise `SettingsError` for a stage that is none.

    What comes right in one stage is not taken on to the next: that is what the next one is for.
    """
    if unknown := set(stages) - set(STAGES):
        raise SettingsError(f"stage {sorted(unknown)[0]!r} is none of {', '.join(STAGES)}")
    started, run_id = time.perf_counter(), new_run_id()
    lake.recover()
    reports: list[StageReport] = []
    left: list[Left] = []
    retried = {"ingest": _ingest, "segment": _segment, "describe": _describe}
    for stage in STAGES:
        rows = _open_failures(lake, stage) if stage in stages else []
        if not rows:
            continue
        units = {row["unit_key"]: row for row in rows if row["state"] == "failed"}
        common = {"engine": engine, "run_id": run_id, "progress": progress, "retry_failed": True}
        tried, found = retried[stage](lake, units, common)
        reports += found
        left += [_left(stage, row) for row in rows if row["unit_key"] not in tried]
    wall_s = time.perf_counter() - started
    return RetryReport(stages=tuple(reports), left=tuple(left), wall_s=wall_s)


Units = Mapping[str, Mapping[str, Any]]
Tried = tuple[set[str], list[StageReport]]
"""The keys of what was tried, and what came of it."""


def _open_failures(lake: Lake, stage: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.query(
        "SELECT f.unit_key, f.path, f.frame, f.experiment_id, f.reason, f.message, f.failed_at, "
        "w.state "
        "FROM failure_current f LEFT JOIN work_unit w USING (unit_key) "
        "WHERE f.stage = $stage ORDER BY f.path, f.frame, f.unit_key",
        {"stage": stage},
    ).to_pylist()
    return rows


def _left(stage: str, row: Mapping[str, Any]) -> Left:
    if row["state"] == "done":
        why = f"frame {row['frame']} of a file whose other frames are in the lake"
    else:
        why = f"what it failed with is not known: use {_REMEDY[stage]}"
    return Left(stage=stage, path=row["path"], reason=row["reason"], why=why)


def _ingest(lake: Lake, units: Units, common: Mapping[str, Any]) -> Tried:
    settings = IngestSettings()
    sizes = _sizes_given(lake)
    jobs = {
        key: job
        for key, row in units.items()
        if (job := _file_again(key, row, sizes[row["experiment_id"]], settings)) is not None
    }
    return set(jobs), [ingest_jobs(lake, list(jobs.values()), settings, **common)] if jobs else []


def _file_again(
    key: str, row: Mapping[str, Any], sizes: set[float], settings: IngestSettings
) -> Job | None:
    """Return the job with the pixel size it had, or that all of its experiment were given.

    The sheet is not in the lake. A file that did not change and whose key cannot be made again was
    read with other settings or another pixel size.
    """
    path, experiment_id = Path(row["path"]), row["experiment_id"]
    missing = missing_job(row["path"], experiment_id, row["message"])
    if not path.is_file():
        return missing if missing.key == key else None
    possible = [file_job(path, experiment_id, size, settings) for size in (None, *sorted(sizes))]
    for job in possible:
        if job.key == key:
            return job
    mended = missing.key == key or path.stat().st_mtime > row["failed_at"].timestamp()
    return possible[-1] if mended and len(sizes) <= 1 else None


def _sizes_given(lake: Lake) -> defaultdict[str, set[float]]:
    """Return the pixel sizes in nm that sheets gave to the pictures of each experiment."""
    rows = lake.query(
        "SELECT DISTINCT l.experiment_id, m.pixel_size_y_nm AS size FROM micrograph_location l "
        "JOIN micrograph m USING (micrograph_id) WHERE m.pixel_size_source = 'sheet'"
    ).to_pylist()
    sizes: defaultdict[str, set[float]] = defaultdict(set)
    for row in rows:
        sizes[row["experiment_id"]].add(row["size"])
    return sizes


def _segment(lake: Lake, units: Units, common: Mapping[str, Any]) -> Tried:
    runs = lake.query("SELECT segmentation_run_id, settings_json FROM segmentation_run").to_pylist()
    tried: set[str] = set()
    reports = []
    for run in runs:
        settings = SegmentSettings.build(json.loads(run["settings_json"]))
        if segmentation_run_id(settings) != run["segmentation_run_id"]:
            continue  # other code or weights than now
        mine = segment_units(lake, settings) & set(units)
        if mine:
            reports.append(segment_lake(lake, settings, only=mine, **common))
            tried |= mine
    return tried, reports


def _describe(lake: Lake, units: Units, common: Mapping[str, Any]) -> Tried:
    mine = describe_units(lake) & set(units)
    return mine, [describe_lake(lake, only=mine, **common)] if mine else []
