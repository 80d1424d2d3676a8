"""Import: a lake of either profile from an exported folder, with the same rows and pixels."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanolake.contracts import conform
from nanolake.errors import LakeError
from nanolake.free_memory import available_bytes
from nanolake.pipeline.classifiers import FOLDER as CLASSIFIERS
from nanolake.pipeline.export import NOT_EXPORTED
from nanolake.pipeline.exported import LIST, file_sha256, read_list, read_manifest, verify_folder
from nanolake.pipeline.findings import WORKERS_MOST, windowed
from nanolake.progress import Progress, silent
from nanolake.storage import Lake
from nanolake.storage.reading import STREAM_ROWS

MEMORY_BYTES = 1_500_000_000
"""This process while DuckDB writes the widest table: 1.1 to 1.4 GB were measured, at 400,000 rows
as at a million."""
_ARTIFACTS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Columns of MLflow in which the place of the lake's models stands."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an imported lake holds."""

    lake: str
    snapshot_id: int
    rows: dict[str, int]
    units: int
    files: int

    def line(self) -> str:
        """Return the last line."""
        return (
            f"import: {sum(self.rows.values()):,} rows, {self.units:,} units of work, "
            f"{self.files:,} files of pixels and models: {self.lake}"
        )


def import_lake(
    folder: Path,
    root: Path,
    *,
    catalog: str | None = None,
    data: str | None = None,
    progress: Progress = silent,
    on_forecast: Callable[[str], None] | None = None,
) -> Imported:
    """Make a lake from an exported folder, after every hash of the folder was checked.

    ``catalog`` and ``data`` are as for `Lake.create`. All rows land in one transaction; where it
    was interrupted, calling it again goes on. Raises `LakeError` where a file of the folder is
    broken, where the lake holds rows of its own, and where the disk is too small.
    """
    folder = folder.expanduser().resolve()
    manifest = read_manifest(folder)
    found = verify_folder(folder, progress=progress)
    if not found.intact:
        first = found.broken[0]
        more = f" (and {len(found.broken) - 1:,} more)" if len(found.broken) > 1 else ""
        raise LakeError(
            f"{first.where} is {first.found}{more}: take another copy of it; "
            f"`nanolake verify {folder}` names all"
        )
    _require_room(root, manifest, shared=data is not None, said=on_forecast)
    lake = Lake.create(root, catalog=catalog, data=data)
    try:
        return _fill(lake, folder, manifest, progress)
    finally:
        lake.close()


def _require_room(
    root: Path, manifest: dict[str, Any], *, shared: bool, said: Callable[[str], None] | None
) -> None:
    place = root.expanduser().resolve()
    while not place.exists():
        place = place.parent
    need, free = int(manifest["size_bytes"]), shutil.disk_usage(place).free
    if said is not None:
        room = "" if shared else f", {free / 1e9:,.1f} GB free"
        memory = available_bytes()
        said(
            f"import: {need / 1e6:,.1f} MB to write{room}; up to {MEMORY_BYTES / 1e9:.1f} GB of "
            "memory" + (f"; {memory / 1e9:.1f} GB available" if memory else "")
        )
    if not shared and need > free:
        raise LakeError(
            f"{place} has {free / 1e6:,.0f} MB free, and {need / 1e6:,.0f} MB are to be written: "
            "name another disk"
        )


def _fill(lake: Lake, folder: Path, manifest: dict[str, Any], progress: Progress) -> Imported:
    mark = f"import of {file_sha256(folder / LIST)}"
    names = [name for name in manifest["rows"] if name not in NOT_EXPORTED]
    snapshot = _imported_before(lake, mark)
    if snapshot is None:
        _require_empty(lake)
    files = _copy(lake, folder, manifest, progress)
    if snapshot is None:
        batches = {name: _read(folder, f"tables/{name}", name) for name in names}
        progress("rows", 0, 1)
        snapshot = lake.fill(batches, message=mark)
        progress("rows", 1, 1)
    units = lake.ledger.adopt(
        (row for table in _read(folder, "ledger", "work_unit") for row in table.to_pylist()),
        snapshot,
    )
    lake.seal()
    return Imported(
        lake=lake.where,
        snapshot_id=snapshot,
        rows={name: int(manifest["rows"][name]) for name in names},
        units=units,
        files=files,
    )


def _imported_before(lake: Lake, mark: str) -> int | None:
    rows = lake.query(
        "SELECT max(snapshot_id) AS id FROM lake.snapshots() WHERE commit_message = ?", [mark]
    ).to_pylist()
    found: int | None = rows[0]["id"]
    return found


def _require_empty(lake: Lake) -> None:
    held = [file.table for file in lake.data_files() if file.table not in NOT_EXPORTED]
    if held or lake.ledger.counts():
        raise LakeError(
            f"{lake.where} holds rows already ({', '.join(sorted(set(held))) or 'work units'}): "
            "import into a new lake"
        )


def _copy(lake: Lake, folder: Path, manifest: dict[str, Any], progress: Progress) -> int:
    """Copy pixels and models as they are. Files that lie there from an earlier try are the same."""
    # The files of an MLflow in SQLite mean nothing to one in PostgreSQL.
    models = "models/" if lake.data_url is None else f"{CLASSIFIERS}/"
    wanted = sum(path.startswith(("pixels/", models)) for _, path in read_list(folder))

    def copy(path: str) -> str:
        lake.data.copy_in(folder / path, path)
        return path

    paths = (path for _, path in read_list(folder) if path.startswith(("pixels/", models)))
    done = 0
    for done, _ in enumerate(windowed(copy, paths, WORKERS_MOST), start=1):
        progress("files", done, wanted)
    _follow_models(lake, manifest["models_at"])
    return done


def _follow_models(lake: Lake, before: str) -> None:
    """MLflow keeps the full address of every file: let it follow the lake to its new place."""
    database = lake.root / "models" / "mlflow.sqlite"
    if not database.is_file():
        return
    now = (lake.root / "models").as_uri()
    with closing(sqlite3.connect(database)) as connection:
        for table, column in _ARTIFACTS:
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if column in columns:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE {column} = ? OR {column} LIKE ? || '/%'",
                    (now, len(before) + 1, before, before),
                )
        connection.commit()


def _read(folder: Path, path: str, name: str) -> Iterator[Any]:
    """Give the rows of one table in batches that fit it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in sorted((folder / path).glob("*.parquet")):
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=STREAM_ROWS):
                yield conform(name, pa.Table.from_batches([batch]))
