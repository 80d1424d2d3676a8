"""Segment and measure: pixels -> label images in Zarr, one row a particle in the lake."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake import __version__
from nanolake.contracts import conform
from nanolake.engines import Engine
from nanolake.features import found_columns, measure
from nanolake.pipeline.forecast import Forecast, forecast
from nanolake.pipeline.work import Job, Made, StageReport, new_run_id, run_jobs
from nanolake.progress import Progress, silent
from nanolake.records import Segmentation
from nanolake.segment import SegmentSettings, segment
from nanolake.segment.run import weights_id
from nanolake.settings import fingerprint_of
from nanolake.storage import ImageStore, Lake, Origin, unit_key

STAGE = "segment"
_EXCLUSIONS = ("border", "small", "large", "print", "outlier")


@dataclass(frozen=True, kw_only=True)
class SegmentItem:
    """One micrograph to be segmented. ``pixel_size_nm`` is (y, x) or None where unknown."""

    micrograph_id: str
    image_path: str
    pixel_size_nm: tuple[float, float] | None
    segmentation_id: str
    unit_key: str


@dataclass(frozen=True, kw_only=True)
class SegmentTask:
    """Segments and measures pictures of the store at ``pixels_root``."""

    pixels_root: str
    segmentation_run_id: str
    settings: SegmentSettings

    def open(self) -> Callable[[Job], Made]:
        """Return the function of one micrograph."""
        import cv2

        cv2.setNumThreads(1)  # one worker, one core: the engine does the rest
        store = ImageStore(self.pixels_root)
        return lambda job: self.run(job.item, store)

    def run(self, item: SegmentItem, store: ImageStore) -> Made:
        """Segment and measure one micrograph, store its label image, return its rows."""
        started = time.perf_counter()
        pixels = store.read(item.image_path)
        found = segment(pixels, self.settings)
        features = measure(pixels, found.labels, pixel_size_nm=item.pixel_size_nm)
        stored = store.write_labels(
            item.image_path, self.segmentation_run_id, found.labels, item.pixel_size_nm
        )
        ids = {
            "segmentation_id": item.segmentation_id,
            "segmentation_run_id": self.segmentation_run_id,
            "micrograph_id": item.micrograph_id,
            "unit_key": item.unit_key,
            "created_at": datetime.now(UTC),
        }
        particles = {
            **features,
            **ids,
            "particle_id": particle_ids(item.segmentation_id, features["label"]),
            **found_columns(found),
        }
        size_y_nm, size_x_nm = item.pixel_size_nm or (None, None)
        row = {
            **ids,
            "pixel_size_y_nm": size_y_nm,
            "pixel_size_x_nm": size_x_nm,
            "polarity": found.polarity,
            "particle_count": found.count,
            **_excluded(found),
            "covered_fraction": float(np.count_nonzero(found.labels) / found.labels.size),
            "label_path": stored.path,
            "label_sha256": stored.sha256,
            "wall_s": time.perf_counter() - started,
        }
        tables = {
            "segmentation": conform("segmentation", row),
            "particle": conform("particle", particles),
        }
        return Made(tables=tables)


def segment_lake(
    lake: Lake,
    settings: SegmentSettings | None = None,
    *,
    engine: Engine,
    run_id: str | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
    only: Collection[str] | None = None,
    on_forecast: Callable[[Forecast], None] | None = None,
) -> StageReport:
    """Segment and measure every micrograph that these settings have not met yet.

    ``on_forecast`` is told the memory that it will need before it starts, where there is anything
    to do; it may raise to stop the run. ``only`` names the units to look at; None means all.
    """
    settings = settings or SegmentSettings()
    way = segmentation_run_id(settings)
    jobs = [job for job in _jobs(lake, way) if only is None or job.key in only]
    if on_forecast is not None:
        units = {job.key: job.item.micrograph_id for job in jobs}
        found = forecast(lake, settings, units, workers=engine.workers, retry_failed=retry_failed)
        if found is not None:
            on_forecast(found)
    run_id = run_id or new_run_id()
    _write_run(lake, way, settings, run_id)
    return run_jobs(
        lake,
        engine,
        SegmentTask(pixels_root=lake.images.url, segmentation_run_id=way, settings=settings),
        jobs,
        stage=STAGE,
        run_id=run_id,
        settings=settings.fingerprint(),
        current=("segmentation", "micrograph_id"),
        progress=progress,
        retry_failed=retry_failed,
        shown_rows=("particle",),
    )


def segment_units(lake: Lake, settings: SegmentSettings) -> set[str]:
    """Return the keys of what there is to segment with these settings, done or not."""
    return {job.key for job in _jobs(lake, segmentation_run_id(settings))}


def segmentation_run_id(settings: SegmentSettings) -> str:
    """Return the id of a way of segmenting: equal settings, code and weights, equal id."""
    return run_id_of(settings.as_json(), __version__, weights_id(settings))


def run_id_of(settings_json: str, code_version: str, model_id: str | None) -> str:
    """Return a segmentation run's id from what its row holds; `ValueError` for what is no JSON."""
    print_of_settings = fingerprint_of(SegmentSettings.__name__, json.loads(settings_json))
    words = f"{code_version}\0{print_of_settings}\0{model_id}"
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def particle_ids(segmentation_id: str, labels: NDArray[Any]) -> list[str]:
    """Return the particles' ids: the segmentation's id and the label."""
    return [f"{segmentation_id}-{label:05d}" for label in labels.tolist()]


def _jobs(lake: Lake, way: str) -> list[Job]:
    rows = lake.query(
        "SELECT micrograph_id, image_path, pixel_sha256, pixel_size_y_nm, pixel_size_x_nm "
        "FROM micrograph_current LEFT JOIN micrograph_home USING (micrograph_id) "
        "ORDER BY experiment_id, micrograph_id"  # rows of an experiment lie together in the tables
    ).to_pylist()
    jobs = []
    for row in rows:
        y, x = row["pixel_size_y_nm"], row["pixel_size_x_nm"]
        key = unit_key(STAGE, row["micrograph_id"], row["pixel_sha256"], y, x, way)
        item = SegmentItem(
            micrograph_id=row["micrograph_id"],
            image_path=row["image_path"],
            pixel_size_nm=(y, x) if y and x else None,
            segmentation_id=key[:24],
            unit_key=key,
        )
        jobs.append(
            Job(key=key, subject=row["image_path"], item=item, micrograph_id=row["micrograph_id"])
        )
    return jobs


def _write_run(lake: Lake, way: str, settings: SegmentSettings, run_id: str) -> None:
    known = lake.query(
        "SELECT 1 FROM segmentation_run WHERE segmentation_run_id = ?", [way]
    ).num_rows
    if known:
        return
    row = {
        "segmentation_run_id": way,
        "method": settings.method,
        "settings_json": settings.as_json(),
        "model_id": weights_id(settings),
        "code_version": __version__,
        "unit_key": unit_key("segmentation_run", way),
        "created_at": datetime.now(UTC),
    }
    origin = Origin(step=STAGE, run_id=run_id, settings=settings.fingerprint())
    lake.commit({"segmentation_run": row}, message=f"segment with {settings.method}", origin=origin)


def _excluded(found: Segmentation) -> dict[str, int]:
    unknown = set(found.excluded) - set(_EXCLUSIONS)
    assert not unknown, f"no column for the exclusions {unknown}"
    return {f"excluded_{reason}": int(found.excluded.get(reason, 0)) for reason in _EXCLUSIONS}
