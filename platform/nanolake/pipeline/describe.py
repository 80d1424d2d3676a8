"""Describe: label images -> p, d, L_ratio and the re-simulated overlap of every particle.

With refinement, the outline found from the prediction is stored beside it in the same unit of work.
What was described without is refined by a unit of its own; nothing is predicted or stored twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nanolake.contracts import conform
from nanolake.engines import Engine
from nanolake.errors import ModelError
from nanolake.pipeline.forecast import Forecast, describe_forecast
from nanolake.pipeline.segment import particle_ids
from nanolake.pipeline.work import Job, Made, StageReport, new_run_id, run_jobs
from nanolake.progress import Progress, silent
from nanolake.settings import Settings
from nanolake.shape import ShapePredictor, predict_particles, refine_particles
from nanolake.shape.predictor import read_weights
from nanolake.storage import ImageStore, Lake, unit_key

STAGE = "describe"
REFINEMENT = "jaccard-1"
"""`nanolake.shape.refine.METHOD`, without its compiled code; also named in the view morphology."""


class DescribeSettings(Settings):
    """What is found out about the shape of a particle."""

    refine: bool = True
    """Also fit the outline from the network's prediction, and store it beside the prediction."""


@dataclass(frozen=True, kw_only=True)
class DescribeItem:
    """One segmented micrograph. ``pixel_aspect`` is pixel height over pixel width.

    ``predict`` False: its predictions are in the lake already, only the refinement is missing.
    """

    segmentation_id: str
    segmentation_run_id: str
    micrograph_id: str
    image_path: str
    label_path: str
    pixel_aspect: float
    unit_key: str
    predict: bool = True
    refine: bool = False


@dataclass(frozen=True, kw_only=True)
class DescribeTask:
    """Holds the shape network of these ``weights`` (None: the shipped one), once a worker.

    They are its file's bytes: a worker on another computer has no such file.
    """

    pixels_root: str
    weights: bytes | None = None

    def open(self) -> Callable[[Job], Made]:
        """Load the network and return the function of one segmented micrograph."""
        predictor = ShapePredictor(self.weights)
        store = ImageStore(self.pixels_root)
        return lambda job: describe_micrograph(job.item, store, predictor)


def describe_micrograph(item: DescribeItem, store: ImageStore, predictor: ShapePredictor) -> Made:
    """Predict, and refine where asked for, every particle of one label image; return the rows."""
    started = time.perf_counter()
    labels = store.read(item.label_path)
    pixels = store.read(item.image_path) if predictor.looks_around else None
    refined = None
    if item.refine:
        shapes, refined = refine_particles(
            pixels, labels, predictor, pixel_aspect=item.pixel_aspect
        )
    else:
        shapes = predict_particles(pixels, labels, predictor, pixel_aspect=item.pixel_aspect)
    ids = {
        "segmentation_id": item.segmentation_id,
        "model_id": predictor.model_id,
        "unit_key": item.unit_key,
        "created_at": datetime.now(UTC),
    }
    places = {
        "micrograph_id": item.micrograph_id,
        "segmentation_run_id": item.segmentation_run_id,
        "particle_id": particle_ids(item.segmentation_id, shapes["label"]),
    }
    tables = {}
    if item.predict:
        named = {**ids, "model_name": predictor.name}
        row = {
            **named,
            "particle_count": len(shapes["label"]),
            "refinement": REFINEMENT if item.refine else None,
            "wall_s": time.perf_counter() - started,
        }
        tables["shape_inference"] = conform("shape_inference", row)
        predictions = {**shapes, **places, **named}
        tables["shape_prediction"] = conform("shape_prediction", predictions)
    if refined is not None:
        rows = {**refined, **places, **ids, "method": REFINEMENT}
        tables["shape_refinement"] = conform("shape_refinement", _fitted(rows))
    return Made(tables=tables)


def _fitted(rows: dict[str, Any]) -> dict[str, Any]:
    """Leave out particles that no outline was fitted into: too thin for a pixel of the crop."""
    keep = np.isfinite(rows["jaccard"])
    count = keep.size
    return {
        name: np.asarray(values)[keep] if np.ndim(values) and len(values) == count else values
        for name, values in rows.items()
    }


def describe_lake(
    lake: Lake,
    weights: Path | None = None,
    *,
    engine: Engine,
    settings: DescribeSettings | None = None,
    run_id: str | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
    on_forecast: Callable[[Forecast], None] | None = None,
    only: Collection[str] | None = None,
) -> StageReport:
    """Describe every current particle that this model has not described yet.

    ``weights`` None means the lake's champion, or the shipped network where there is none. With
    ``settings.refine``, particles that were described without are refined as well.
    ``on_forecast`` is told the memory that it will need before it starts, where there is anything
    to do. ``only`` names the units to look at; None means all.
    """
    lake.follow()
    settings = settings or DescribeSettings()
    chosen = weights or champion(lake)
    content = read_weights(chosen) if chosen else None
    model_id = ShapePredictor(content).model_id
    jobs = _named(_jobs(lake, model_id, refine=settings.refine), only)
    if on_forecast is not None:
        units = {job.key: job.item.segmentation_id for job in jobs}
        found = describe_forecast(lake, units, workers=engine.workers, retry_failed=retry_failed)
        if found is not None:
            on_forecast(found)
    task = DescribeTask(pixels_root=lake.images.url, weights=content)
    common: dict[str, Any] = {
        "stage": STAGE,
        "run_id": run_id or new_run_id(),
        "settings": settings.fingerprint(),
        "progress": progress,
        "retry_failed": retry_failed,
    }
    refined = ("shape_refinement",) if settings.refine else ()
    report = run_jobs(
        lake,
        engine,
        task,
        jobs,
        current=("shape_inference", "segmentation_id"),
        shown_rows=("shape_prediction", *refined),
        **common,
    )
    missing = _named(_unrefined(lake, model_id), only) if settings.refine else []
    if not missing:
        return report
    later = run_jobs(lake, engine, task, missing, shown_rows=refined, **common)
    return _joined(report, later)


def describe_units(lake: Lake, weights: Path | None = None) -> set[str]:
    """Return the keys of what there is to describe with these weights, done or not."""
    model_id = ShapePredictor(weights or champion(lake)).model_id
    jobs = [*_jobs(lake, model_id, refine=True), *_unrefined(lake, model_id)]
    return {job.key for job in jobs}


def _named(jobs: list[Job], only: Collection[str] | None) -> list[Job]:
    return [job for job in jobs if only is None or job.key in only]


def _joined(report: StageReport, later: StageReport) -> StageReport:
    """Return one report of what was described and of what was refined later.

    Counts are added; what was refined later is no longer counted as found in the lake.
    """
    counts = [field.name for field in fields(StageReport) if field.type == "int"]
    total = {name: getattr(report, name) + getattr(later, name) for name in counts}
    total["skipped"] = report.skipped - later.done - later.failed - later.failed_before - later.busy
    rows = {name: report.rows.get(name, 0) + later.rows.get(name, 0)
            for name in [*report.rows, *later.rows]}  # fmt: skip
    return replace(
        report,
        **total,
        rows=rows,
        failures=report.failures + later.failures,
        wall_s=report.wall_s + later.wall_s,
    )


def champion(lake: Lake) -> Path | None:
    """Return the weights of the lake's champion, or None where none was ever registered."""
    if not lake.catalog.has_models():
        return None
    from nanolake.shape.settings import ShapeTrainSettings

    registry = lake.registry("shape-network")
    try:
        path, _ = registry.fetch(ShapeTrainSettings().name, lake.root / "models" / "champion")
    except ModelError:
        return None
    return path


_SEGMENTED = (
    "SELECT s.segmentation_id, s.segmentation_run_id, s.micrograph_id, s.label_path, "
    "m.image_path, coalesce(m.pixel_size_y_nm / m.pixel_size_x_nm, 1.0) AS pixel_aspect "
    "FROM segmentation_current s JOIN micrograph_current m USING (micrograph_id) "
    "LEFT JOIN micrograph_home h USING (micrograph_id) "
)
_IN_ORDER = "ORDER BY h.experiment_id, s.segmentation_id"
"""Rows of an experiment lie together in the tables then."""


def _jobs(lake: Lake, model_id: str, *, refine: bool) -> list[Job]:
    rows = lake.query(f"{_SEGMENTED} {_IN_ORDER}").to_pylist()
    return [_job(row, unit_key(STAGE, row["segmentation_id"], model_id), refine=refine)
            for row in rows]  # fmt: skip


def _unrefined(lake: Lake, model_id: str) -> list[Job]:
    """Return jobs for what this model described in a unit that did not refine."""
    rows = lake.query(
        f"{_SEGMENTED} WHERE s.segmentation_id IN (SELECT segmentation_id FROM shape_inference "
        "WHERE model_id = $model GROUP BY segmentation_id "
        f"HAVING count(*) FILTER (refinement = $method) = 0) {_IN_ORDER}",
        {"model": model_id, "method": REFINEMENT},
    ).to_pylist()
    return [
        _job(
            row,
            unit_key("refine", row["segmentation_id"], model_id, REFINEMENT),
            predict=False,
            refine=True,
        )
        for row in rows
    ]


def _job(row: dict[str, Any], key: str, *, refine: bool, predict: bool = True) -> Job:
    return Job(
        key=key,
        subject=row["label_path"],
        item=DescribeItem(unit_key=key, predict=predict, refine=refine, **row),
        micrograph_id=row["micrograph_id"],
    )
