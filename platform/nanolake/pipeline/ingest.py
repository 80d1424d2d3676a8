"""Ingest: files and what is known of them -> pixels in Zarr, rows in the lake.

A file is read once. A file that the lake has seen (same place, size and time of change, for the
same experiment and settings) is not opened again; see decision 0004.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa

from nanolake import __version__
from nanolake.contracts import conform, get_table
from nanolake.engines import Engine
from nanolake.errors import PictureError, SettingsError
from nanolake.ingest import (
    ExperimentEntry,
    IngestSettings,
    SampleSheet,
    check_pixels,
    fingerprint,
    from_sheet,
    micrograph_id,
    plain_paths,
    quality,
    read_pictures,
    read_sheet,
)
from nanolake.pipeline.work import Failure, Job, Made, StageReport, new_run_id, run_jobs
from nanolake.progress import Progress, silent
from nanolake.records import Picture, PixelSize
from nanolake.storage import ImageStore, Lake, Origin, unit_key

STAGE = "ingest"
SHEET_SUFFIXES = (".csv", ".xlsx", ".yaml", ".yml")
_OWN_COLUMNS = (
    "instrument",
    "voltage_kv",
    "magnification",
    "acquired_at",
    "detector",
    "imaging_mode",
)


@dataclass(frozen=True, kw_only=True)
class IngestItem:
    """One file for one experiment; ``missing`` says that the sheet names a file that is not."""

    path: str
    experiment_id: str
    unit_key: str
    pixel_size_nm: float | None = None
    missing: str | None = None


@dataclass(frozen=True, kw_only=True)
class IngestTask:
    """Reads files into the image store at ``pixels_root``."""

    pixels_root: str
    settings: IngestSettings

    def open(self) -> Callable[[Job], Made]:
        """Return the function of one file."""
        store = ImageStore(self.pixels_root)
        return lambda job: ingest_file(job.item, store, self.settings)


def read_source(paths: Sequence[Path | str], *, pixel_size_nm: float | None = None) -> SampleSheet:
    """Return what is to be read: one sample sheet (by its ending), or plain files and folders.

    Raises `SettingsError` for several sheets, for a sheet among files, and for a pixel size beside
    a sheet, which has a column for it.
    """
    listed = [Path(path) for path in paths]
    sheets = [path for path in listed if path.suffix.lower() in SHEET_SUFFIXES]
    if sheets and len(listed) > 1:
        raise SettingsError(
            f"{sheets[0]} is a sample sheet: give one sheet alone, or files and folders"
        )
    if sheets and pixel_size_nm is not None:
        raise SettingsError(
            f"pixel_size_nm={pixel_size_nm:g} goes with files and folders; for {sheets[0]} write "
            "it into the sheet's column pixel_size_nm"
        )
    if sheets:
        return read_sheet(sheets[0])
    require_pixel_size(pixel_size_nm)
    return plain_paths(listed, pixel_size_nm=pixel_size_nm)


def require_pixel_size(size_nm: float | None) -> None:
    """Raise `SettingsError` unless ``size_nm`` is None or a positive number."""
    if size_nm is not None and not (isfinite(size_nm) and size_nm > 0):
        raise SettingsError(f"pixel_size_nm={size_nm} must be a positive number of nm")


def ingest(
    lake: Lake,
    sheet: SampleSheet,
    settings: IngestSettings | None = None,
    *,
    engine: Engine,
    run_id: str | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
) -> StageReport:
    """Bring every picture of a sheet into the lake; bad files become rows in ``failure``."""
    settings, run_id = settings or IngestSettings(), run_id or new_run_id()
    _write_experiments(lake, sheet, Origin(step=STAGE, run_id=run_id))
    return ingest_jobs(
        lake,
        [job for entry in sheet.experiments for job in _jobs(entry, settings)],
        settings,
        engine=engine,
        run_id=run_id,
        progress=progress,
        retry_failed=retry_failed,
    )


def ingest_jobs(
    lake: Lake,
    jobs: Sequence[Job],
    settings: IngestSettings,
    *,
    engine: Engine,
    run_id: str | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
) -> StageReport:
    """Read single files into experiments that the lake knows."""
    return run_jobs(
        lake,
        engine,
        IngestTask(pixels_root=lake.images.url, settings=settings),
        jobs,
        stage=STAGE,
        run_id=run_id or new_run_id(),
        settings=settings.fingerprint(),
        keep=_Newcomers(lake),
        current=("micrograph", "micrograph_id"),
        progress=progress,
        retry_failed=retry_failed,
        shown_rows=("micrograph",),
        noun="files",
    )


def ingest_file(item: IngestItem, store: ImageStore, settings: IngestSettings) -> Made:
    """Read one file: store its pictures, return their rows and the frames that were refused.

    Raises `PictureError` where nothing of the file could be used.
    """
    if item.missing is not None:
        raise PictureError("missing_file", item.missing)
    path = Path(item.path)
    identity = fingerprint(path)
    rows: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for picture in read_pictures(path, settings):
        try:
            rows.append(_store(picture, item, identity.sha256, store, settings))
        except PictureError as error:
            failures.append(_refused(item, picture.frame, error))
    if not rows and failures:
        raise PictureError(failures[0].reason, failures[0].message)
    stamp = {"unit_key": item.unit_key, "created_at": datetime.now(UTC)}
    micrographs = [row | stamp | {"size_bytes": identity.size_bytes} for row in rows]
    locations = [_location(row, item, path) | stamp for row in rows]
    return Made(
        tables={
            "micrograph": conform("micrograph", micrographs),
            "micrograph_location": conform("micrograph_location", locations),
        },
        failures=tuple(failures),
    )


def _jobs(entry: ExperimentEntry, settings: IngestSettings) -> Iterator[Job]:
    for source in entry.sources:
        yield file_job(source.path, entry.experiment_id, source.pixel_size_nm, settings)
    for missing in entry.missing:
        yield missing_job(missing.path, entry.experiment_id, missing.message)


def file_job(
    path: Path, experiment_id: str, pixel_size_nm: float | None, settings: IngestSettings
) -> Job:
    """Return the job of reading a file as it lies there now."""
    path = path.resolve()
    key = unit_key(STAGE, *_seen_as(path), experiment_id, pixel_size_nm, settings.fingerprint())
    return _job(experiment_id, str(path), key, pixel_size_nm=pixel_size_nm)


def missing_job(path: str, experiment_id: str, message: str) -> Job:
    """Return the job of a file that a sheet names and nobody finds: it fails."""
    key = unit_key(STAGE, "missing", path, experiment_id)
    return _job(experiment_id, path, key, missing=message)


def _job(experiment_id: str, path: str, key: str, **item: Any) -> Job:
    return Job(
        key=key,
        subject=path,
        experiment_id=experiment_id,
        item=IngestItem(path=path, experiment_id=experiment_id, unit_key=key, **item),
    )


def _seen_as(path: Path) -> tuple[object, ...]:
    """What tells, without opening it, that a file is one the lake has seen."""
    try:
        stat = path.stat()
    except OSError:
        return (path, "unreadable")
    return (path, stat.st_size, stat.st_mtime_ns)


def _store(
    picture: Picture, item: IngestItem, raw_sha256: str, store: ImageStore, settings: IngestSettings
) -> dict[str, Any]:
    check_pixels(picture.pixels, settings)
    size = picture.pixel_size
    if item.pixel_size_nm is not None:
        size = from_sheet(item.pixel_size_nm, size)
    name = micrograph_id(raw_sha256, picture.frame)
    scale = (size.y_nm, size.x_nm) if size.y_nm and size.x_nm else None
    stored = store.write(item.experiment_id, name, picture.pixels, scale)
    metadata = dict(picture.metadata)
    return {
        "micrograph_id": name,
        "raw_sha256": raw_sha256,
        "frame": picture.frame,
        "frame_count": picture.frame_count,
        "image_path": stored.path,
        "height_px": picture.pixels.shape[0],
        "width_px": picture.pixels.shape[1],
        "dtype": picture.pixels.dtype.name,
        "pixel_sha256": stored.sha256,
        **_calibration(size),
        **{column: metadata.pop(column, None) for column in _OWN_COLUMNS},
        "acquisition_json": _json(metadata),
        **quality(picture.pixels),
        "reader": picture.reader,
        "code_version": __version__,
    }


def _calibration(size: PixelSize) -> dict[str, Any]:
    return {
        "pixel_size_raw_y": size.raw_y,
        "pixel_size_raw_x": size.raw_x,
        "pixel_size_raw_unit": size.raw_unit,
        "pixel_size_y_nm": size.y_nm,
        "pixel_size_x_nm": size.x_nm,
        "pixel_size_source": size.source,
        "pixel_size_trust": size.trust.value,
    }


def _json(metadata: Mapping[str, Any]) -> str | None:
    import json

    return json.dumps(metadata, sort_keys=True, default=str) if metadata else None


def _location(row: Mapping[str, Any], item: IngestItem, path: Path) -> dict[str, Any]:
    return {
        "micrograph_id": row["micrograph_id"],
        "experiment_id": item.experiment_id,
        "path": item.path,
        "host": socket.gethostname(),
        "raw_sha256": row["raw_sha256"],
        "modified_at": datetime.fromtimestamp(path.stat().st_mtime, UTC),
    }


def _refused(item: IngestItem, frame: int, error: PictureError) -> Failure:
    return Failure(
        path=item.path,
        stage=STAGE,
        reason=error.reason,
        message=str(error),
        unit_key=item.unit_key,
        frame=frame,
        experiment_id=item.experiment_id,
    )


_NEWS = {
    "micrograph": (
        ("micrograph_id", "image_path"),
        ("pixel_size_y_nm", "pixel_size_x_nm", "pixel_size_trust"),
    ),
    "micrograph_location": (("host", "path", "micrograph_id"), ("experiment_id",)),
}
"""By table: what a row is about, and what of it makes a newer row worth writing."""


class _Newcomers:
    """Drops rows that say what the newest row already says.

    The same bytes are one micrograph, with two locations. A corrected pixel size, or another
    experiment for the same file, is news: its newer row is the current one.
    """

    def __init__(self, lake: Lake) -> None:
        self._newest = {
            name: {
                _cut(row, about): _cut(row, says)
                for row in lake.query(
                    f"SELECT {', '.join((*about, *says))} FROM {name} ORDER BY created_at"
                ).to_pylist()
            }
            for name, (about, says) in _NEWS.items()
        }

    def __call__(self, table: str, rows: pa.Table) -> pa.Table:
        (about, says), newest = _NEWS[table], self._newest[table]
        fresh = []
        for row in rows.select([*about, *says]).to_pylist():
            what, said = _cut(row, about), _cut(row, says)
            fresh.append(newest.get(what) != said)
            newest[what] = said
        return rows.filter(pa.array(fresh, pa.bool_()))


def _cut(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[column] for column in columns)


def _write_experiments(lake: Lake, sheet: SampleSheet, origin: Origin) -> None:
    """Append what the sheet says of labs, samples and experiments where it is news."""
    news = {}
    for name, rows in sheet.rows().items():
        columns = [c for c in get_table(name).column_names if c not in ("unit_key", "created_at")]
        quoted = ", ".join(f'"{column}"' for column in columns)
        known = {
            tuple(row.values())
            for row in lake.query(f'SELECT {quoted} FROM "{name}_current"').to_pylist()
        }
        fresh = [row for row in rows if tuple(row.get(column) for column in columns) not in known]
        stamp = {"created_at": datetime.now(UTC)}
        news[name] = [
            row | stamp | {"unit_key": unit_key(name, sorted(row.items(), key=str))}
            for row in fresh
        ]
    rows_by_table = {name: rows for name, rows in news.items() if rows}
    lake.commit(rows_by_table, message="sample sheet", origin=origin)
