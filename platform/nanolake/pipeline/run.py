"""Run: every stage after the other, from a sample sheet to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanolake.classify import ClassifySettings
from nanolake.engines import open_engine
from nanolake.errors import LakeError
from nanolake.group import GroupSettings
from nanolake.ingest import IngestSettings, SampleSheet
from nanolake.pipeline.classify import classify_lake
from nanolake.pipeline.describe import DescribeSettings, describe_lake
from nanolake.pipeline.forecast import Forecast
from nanolake.pipeline.group import group_lake
from nanolake.pipeline.ingest import ingest
from nanolake.pipeline.refresh import refreshed
from nanolake.pipeline.report import report_lake
from nanolake.pipeline.segment import segment_lake
from nanolake.pipeline.work import StageReport, new_run_id
from nanolake.progress import Progress, silent
from nanolake.segment import SegmentSettings
from nanolake.settings import Settings
from nanolake.storage import Lake


class RunSettings(Settings):
    """The settings of all stages, as one YAML file holds them."""

    ingest: IngestSettings = IngestSettings()
    """Which pictures are usable, which pixel sizes believable."""
    segment: SegmentSettings = SegmentSettings()
    """How particles are found."""
    describe: DescribeSettings = DescribeSettings()
    """What is found out about the shape of a particle."""
    group: GroupSettings = GroupSettings()
    """How particles are divided into shape groups."""
    classify: ClassifySettings = ClassifySettings()
    """How the groups are learnt."""


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Which engine runs the mapped stages, and where."""

    map: str = "dask"
    """For ingest and segmentation."""
    describe: str = "ray"
    """For the shape network."""
    workers: int | None = None
    """Processes on this machine; None: one a core."""
    dask: str | None = None
    """Address of a running Dask scheduler."""
    ray: str | None = None
    """Address of a running Ray cluster."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run did, stage by stage."""

    run_id: str
    stages: tuple[StageReport, ...]
    report: Path | None
    micrographs: int
    particles: int
    wall_s: float
    seconds_per_picture: float | None
    """Median time of one micrograph in its worker: segmentation and features."""

    @property
    def failures(self) -> tuple[Any, ...]:
        """Every failure of this run."""
        return tuple(failure for stage in self.stages for failure in stage.failures)


def run_all(
    lake: Lake,
    sheet: SampleSheet,
    settings: RunSettings | None = None,
    *,
    engines: EngineChoice | None = None,
    weights: Path | None = None,
    progress: Progress = silent,
    on_stage: Callable[[StageReport], None] = lambda report: None,
    on_forecast: Callable[[Forecast], None] | None = None,
    retry_failed: bool = False,
    before_describe: Callable[[], None] = lambda: None,
) -> RunReport:
    """Bring a sheet's pictures in, find and measure, describe, group, classify, report.

    What is done already is not done again. ``on_stage`` is called after each stage,
    ``on_forecast`` with the memory that a stage will need, before it starts,
    ``before_describe`` once pictures are segmented (the demo trains its network there).
    """
    settings, engines = settings or RunSettings(), engines or EngineChoice()
    started, run_id, stages = time.perf_counter(), new_run_id(), []

    def note(report: StageReport) -> None:
        stages.append(report)
        on_stage(report)

    common: Mapping[str, Any] = {
        "run_id": run_id,
        "progress": progress,
        "retry_failed": retry_failed,
    }
    with open_engine(engines.map, workers=engines.workers, address=engines.dask) as engine:
        note(ingest(lake, sheet, settings.ingest, engine=engine, **common))
        note(segment_lake(lake, settings.segment, engine=engine, on_forecast=on_forecast, **common))
    before_describe()
    with open_engine(engines.describe, workers=engines.workers, address=engines.ray) as engine:
        told: Mapping[str, Any] = {"on_forecast": on_forecast, "settings": settings.describe}
        described = describe_lake(lake, weights, engine=engine, **told, **common)
    note(refreshed(lake, described))
    counts = _counts(lake)
    path = None
    if counts["particles"]:
        grouped = group_lake(lake, settings.group, progress=progress, on_forecast=on_forecast)
        note(refreshed(lake, grouped))
        note(classify_lake(lake, settings.classify, progress=progress))
    if counts["micrographs"]:
        progress("report", 0, 1)
        path = report_lake(lake)
        progress("report", 1, 1)
    return RunReport(
        run_id=run_id,
        stages=tuple(stages),
        report=path,
        micrographs=counts["micrographs"],
        particles=counts["particles"],
        wall_s=time.perf_counter() - started,
        seconds_per_picture=counts["median_s"],
    )


def _counts(lake: Lake) -> dict[str, Any]:
    rows = lake.query(
        "SELECT (SELECT count(*) FROM micrograph_current) AS micrographs, "
        "(SELECT coalesce(sum(particle_count), 0) FROM segmentation_current) AS particles, "
        "(SELECT median(wall_s) FROM segmentation_current) AS median_s"
    ).to_pylist()
    if not rows:
        raise LakeError("the lake does not count its own rows: its catalogue is damaged")
    return dict(rows[0])
