"""Group: the particles of the lake -> shape groups, beside what data without structure would give.

A grouping that a user asks for becomes the current one, whose groups ``morphology`` shows; one that
is made to be compared (`nanolake.pipeline.group_compare`) does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from nanolake import __version__
from nanolake.errors import LakeError
from nanolake.group import PARAMETERS, Grouping, GroupSettings, group
from nanolake.pipeline.forecast import Forecast, group_forecast
from nanolake.pipeline.group_evidence import log_grouping, scores_of
from nanolake.pipeline.group_rows import ParquetRows, spooled
from nanolake.pipeline.scope import experiment_ids
from nanolake.pipeline.work import StageReport, run_once
from nanolake.progress import Progress, silent
from nanolake.storage import Lake, Origin, unit_key

STAGE = "group"


class GroupJobSettings(GroupSettings):
    """What ``jobs/group.py`` may be told."""

    compare: bool = False
    """Run every method on every data set, side by side; the current groups stay as they are."""

    def grouping(self) -> GroupSettings:
        """Return the settings of the grouping itself."""
        return GroupSettings(**self.model_dump(exclude={"compare"}))


def group_lake(
    lake: Lake,
    settings: GroupSettings | None = None,
    *,
    experiments: Sequence[str] = (),
    track: bool = True,
    progress: Progress = silent,
    on_forecast: Callable[[Forecast], None] | None = None,
) -> StageReport:
    """Divide the described particles into groups; the assignment becomes the current one.

    ``experiments`` limits the particles to those of the named experiments; empty: all. ``track``
    logs settings, scores, figures and the table of tried K to the lake's MLflow. ``on_forecast``
    is told the memory that it will need before it starts.
    """
    settings = settings or GroupSettings()
    with spooled(lake, columns_read(settings), experiments) as particles:
        if on_forecast is not None:
            on_forecast(group_forecast(particles.row_count, settings.sample_size))
        key = key_of(particles, settings)
        report = divide(
            lake, particles, settings, experiments=experiments, track=track, progress=progress
        )
        if report.skipped and bring_back(lake, key, settings.fingerprint()):
            return _noted(report, "made the current one again")
        return report


def columns_read(settings: GroupSettings) -> tuple[str, ...]:
    """Return the columns that a grouping compares or draws."""
    return (*settings.compared, *PARAMETERS)


def key_of(particles: ParquetRows, settings: GroupSettings) -> str:
    """Return the unit key of a grouping: its particles, their shape models, its settings."""
    return unit_key(STAGE, particles.fingerprint, settings.fingerprint())


def divide(
    lake: Lake,
    particles: ParquetRows,
    settings: GroupSettings,
    *,
    experiments: Sequence[str],
    track: bool,
    comparison_id: str | None = None,
    parent: Callable[[], str | None] = lambda: None,
    progress: Progress = silent,
) -> StageReport:
    """Make one grouping run, unless it was made before.

    ``comparison_id`` keeps it from becoming the current one; ``parent`` gives the MLflow run that
    its own belongs below.
    """
    key = key_of(particles, settings)

    def make() -> tuple[dict[str, Any], str]:
        with _scheduler(settings):
            found = group(particles, settings, refine=_refine(settings))
        run_id = log_grouping(lake, found, particles, settings, parent()) if track else None
        about = {"comparison_id": comparison_id, "mlflow_run_id": run_id}
        rows = _rows(found, particles, settings, key, experiments, about)
        return rows, f"K = {found.k}: {found.reason}"

    return run_once(
        lake,
        stage=STAGE,
        noun="groupings",
        key=key,
        subject=f"{particles.row_count} particles, {settings.method}, {settings.dataset}",
        make=make,
        settings=settings.fingerprint(),
        progress=progress,
        shown_rows=("group_assignment",),
    )


def bring_back(lake: Lake, key: str, settings: str | None = None) -> int:
    """Make an earlier grouping the current one: asked for anew, it has nothing to compute.

    ``settings`` is the hash that the commit carries.
    """
    rows = lake.query(
        "SELECT * FROM grouping_run WHERE unit_key = $key AND NOT EXISTS "
        "(SELECT 1 FROM grouping_current WHERE unit_key = $key) ORDER BY created_at DESC LIMIT 1",
        {"key": key},
    ).to_pylist()
    now = {"created_at": datetime.now(UTC), "comparison_id": None}
    again = [row | now for row in rows]
    origin = Origin(step=STAGE, settings=settings)
    lake.commit({"grouping_run": again}, message="group: current again", origin=origin)
    return len(rows)


def load_particles(
    lake: Lake, columns: Sequence[str], experiments: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the current particles with the given columns of ``morphology``, ordered by id.

    Raises `LakeError` where there are none.
    """
    wanted = dict.fromkeys(
        ("particle_id", "micrograph_id", "experiment_id", "experiment", "model_id", *columns)
    )
    where = "WHERE list_contains($experiments, experiment_id)" if experiments else ""
    frame: pd.DataFrame = lake.query(
        f"SELECT {', '.join(wanted)} FROM morphology {where} ORDER BY particle_id",
        {"experiments": experiment_ids(lake, experiments)} if experiments else (),
    ).to_pandas()
    if frame.empty:
        named = f" in {', '.join(experiments)}" if experiments else ""
        raise LakeError(f"no particles{named}: run `nanolake segment` and `describe` first")
    return frame


def _noted(report: StageReport, note: str) -> StageReport:
    from dataclasses import replace

    return replace(report, note=note)


def _refine(settings: GroupSettings) -> Any:
    if settings.engine == "scikit-learn":
        return None
    from nanolake.engines.dask_kmeans import refine_centers

    return refine_centers


def _scheduler(settings: GroupSettings) -> AbstractContextManager[Any]:
    """Blocks are files of this process: threads read them, wherever a cluster may run."""
    if settings.engine == "scikit-learn":
        return nullcontext()
    import dask

    return dask.config.set(scheduler="threads")  # type: ignore[no-any-return]


def _rows(
    found: Grouping,
    particles: ParquetRows,
    settings: GroupSettings,
    key: str,
    experiments: Sequence[str],
    about: dict[str, str | None],
) -> dict[str, Any]:
    ids = {"grouping_run_id": key[:16], "unit_key": key, "created_at": datetime.now(UTC)}
    centers = {column: values.tolist() for column, values in found.centers.items()}
    run = {
        **ids,
        **about,
        **scores_of(found),
        "scope": json.dumps({"experiments": list(experiments) or "all"}),
        "dataset": found.dataset,
        "method": found.method,
        "engine": settings.engine,
        "reason": found.reason,
        "columns": list(found.columns),
        "centers_json": json.dumps(centers),
        "scores_json": json.dumps(found.scores_json(), default=float),
        "settings_json": settings.as_json(),
        "seed": settings.seed,
        "particle_count": particles.row_count,
        "code_version": __version__,
    }
    assignments = {
        **ids,
        "particle_id": particles.column("particle_id"),
        "segmentation_id": particles.column("segmentation_id"),
        "shape_group": found.labels,
        "distance_to_centre": found.distance_to_centre,
    }
    return {"grouping_run": [run], "group_assignment": assignments}
