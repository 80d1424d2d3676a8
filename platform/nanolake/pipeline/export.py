"""Export: a lake as a plain folder with a manifest of hashes, of one moment of its history."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from nanolake.contracts import arrow_schema, conform, data_dictionary, load_tables
from nanolake.errors import LakeError
from nanolake.free_memory import available_bytes
from nanolake.pipeline import verify_rows
from nanolake.pipeline.classifiers import FOLDER as CLASSIFIERS
from nanolake.pipeline.exported import README, file_sha256, line, write_manifest
from nanolake.pipeline.findings import default_workers, windowed
from nanolake.pipeline.verify import broken_tables, image_of_row
from nanolake.progress import Progress, silent
from nanolake.query.derived import DERIVED
from nanolake.storage import Lake
from nanolake.storage.folders import Entry
from nanolake.storage.images import OME_VERSION, SHARD, fast_codecs, group_json
from nanolake.storage.ledger import BESIDE
from nanolake.storage.moments import At

PART_ROWS = 1_000_000
"""Rows of one Parquet file; the next ones go into another."""
MEMORY_BYTES = 600_000_000
"""This process with batches of the widest table under way: 500 to 520 MB were measured, at 400,000
rows as at a million."""
NOT_EXPORTED = frozenset(
    (*BESIDE, "schema_version", "refresh_state", *(f"{name}_row" for name in DERIVED))
)
"""Tables that a lake makes for itself."""
_IMAGE_FILES = ("zarr.json", "0/zarr.json", SHARD)
_RAW = "SELECT DISTINCT ON (raw_sha256, path) raw_sha256, path FROM micrograph_location"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and what could not be."""

    folder: str
    snapshot_id: int
    files: int
    size_bytes: int
    rows: Mapping[str, int]
    pictures: int
    raw_files: int
    raw_missing: int

    def line(self) -> str:
        """Return the last line."""
        raw = f", {self.raw_files:,} raw files" if self.raw_files else ""
        away = f" ({self.raw_missing:,} out of reach)" if self.raw_missing else ""
        return (
            f"export: {sum(self.rows.values()):,} rows, {self.pictures:,} pictures and label "
            f"images{raw}{away}, {self.size_bytes / 1e6:,.1f} MB in {self.files:,} files "
            f"of snapshot {self.snapshot_id}: {self.folder}"
        )


def export_lake(
    lake: Lake,
    folder: Path,
    *,
    at: At | None = None,
    pixels: bool = True,
    raw: bool = False,
    progress: Progress = silent,
    on_forecast: Callable[[str], None] | None = None,
) -> Exported:
    """Write the lake as it is now, or was at ``at``, to a new folder.

    Everything is checked on its way: what is broken is not copied as if it were right. It is
    written under a temporary name and renamed at the end; an interrupted export begins anew.
    Raises `LakeError` where the folder exists, the disk is too small or something is broken.
    """
    folder = folder.expanduser().resolve()
    if folder.exists():
        raise LakeError(f"{folder} is there already: name a new folder")
    snapshot = _snapshot(lake, at)
    half = folder.with_name(f".{folder.name}.exporting")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    job = _Export(lake, half, snapshot, progress)
    try:
        job.require_room(pixels=pixels, raw=raw, said=on_forecast)
        counts = job.write(pixels=pixels, raw=raw)
        half.rename(folder)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    finally:
        job.close()
    return Exported(folder=str(folder), snapshot_id=snapshot, **counts)


class _Export:
    """One export under way; every file passes `_add`, which lists it."""

    def __init__(self, lake: Lake, folder: Path, snapshot: int, progress: Progress) -> None:
        self.lake, self.folder, self.snapshot, self.progress = lake, folder, snapshot, progress
        self.workers = default_workers()
        self.files = self.size_bytes = 0
        self._lines = folder / "list.half"
        self._list: TextIO = self._lines.open("w", encoding="utf-8")

    def close(self) -> None:
        self._list.close()

    def require_room(self, *, pixels: bool, raw: bool, said: Callable[[str], None] | None) -> None:
        """Say what will be written and the memory for it; raise where the disk is too small."""
        sizes = {"tables": sum(f.size_bytes for f in self.lake.data_files() if f.current)}
        if pixels:
            sizes["pixels"] = sum(self._mapped(self._image_bytes, self._image_paths()))
        if raw:
            sizes["raw files"] = sum(path.stat().st_size for _, path in self._raw_files())
        sizes["models"] = sum(entry.size_bytes for entry in self._model_files())
        need, free = sum(sizes.values()), shutil.disk_usage(self.folder).free
        words = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in sizes.items())
        if said is not None:
            memory = available_bytes()
            said(
                f"export: some {need / 1e6:,.1f} MB to write ({words}), {free / 1e9:,.1f} GB free; "
                f"up to {MEMORY_BYTES / 1e9:.1f} GB of memory"
                + (f"; {memory / 1e9:.1f} GB available" if memory else "")
            )
        if need > free:
            raise LakeError(
                f"{self.folder.parent} has {free / 1e6:,.0f} MB free, and some {need / 1e6:,.0f} "
                f"MB are to be written ({words}): name another disk, or leave out --no-pixels"
            )

    def write(self, *, pixels: bool, raw: bool) -> dict[str, Any]:
        """Write all of it and return the counts."""
        if broken := broken_tables(self.lake, self.workers, self.progress):
            raise LakeError(f"{broken[0].where} is {broken[0].found}: `nanolake verify` names all")
        self._text("README.txt", README)
        self._text("DATA_DICTIONARY.md", data_dictionary())
        self._text("lake.json", (self.lake.root / "lake.json").read_text(encoding="utf-8"))
        rows = self._tables()
        units = self._units()
        pictures = self._pixels() if pixels else 0
        self._models()
        found, missing = self._raw() if raw else (0, 0)
        counts = {
            "rows": rows,
            "pictures": pictures,
            "raw_files": found,
            "raw_missing": missing,
        }
        self._list.close()
        about = {
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "snapshot_id": self.snapshot,
            "units": units,
            "has_pixels": pixels,
            "models_at": (self.lake.root / "models").as_uri(),
            "files": self.files,
            "size_bytes": self.size_bytes,
        }
        write_manifest(self.folder, self._lines, about | counts)
        return counts | {"files": self.files, "size_bytes": self.size_bytes}

    def _tables(self) -> dict[str, int]:
        there = {row["name"] for row in self._asked("SHOW TABLES")}
        names = [name for name in load_tables() if name not in NOT_EXPORTED and name in there]
        rows = {}
        for number, name in enumerate(names):
            self.progress("tables", number, len(names))
            batches = self._batches(f'FROM "{name}"')
            tables = (conform(name, _as_table(batch)) for batch in batches)
            rows[name] = self._parquet(f"tables/{name}", arrow_schema(name), tables)
        self.progress("tables", len(names), len(names))
        return rows

    def _units(self) -> int:
        sql = (
            "FROM work_unit WHERE state IN ('done', 'failed') "
            f"AND (snapshot_id IS NULL OR snapshot_id <= {self.snapshot})"
        )
        tables = (conform("work_unit", _as_table(batch)) for batch in self._batches(sql))
        return self._parquet("ledger", arrow_schema("work_unit"), tables)

    def _parquet(self, folder: str, schema: Any, tables: Iterator[Any]) -> int:
        """Write tables as they come; return the number of rows. An empty one has its file too."""
        import pyarrow.parquet as pq

        (self.folder / folder).mkdir(parents=True)
        rows, number = 0, 0
        table = next(tables, schema.empty_table())
        while table is not None:
            path, inside = f"{folder}/part-{number:05d}.parquet", 0
            with pq.ParquetWriter(self.folder / path, schema, compression="zstd") as writer:
                while table is not None and inside < PART_ROWS:
                    writer.write_table(table)
                    inside += table.num_rows
                    table = next(tables, None)
            self._add(path)
            rows, number = rows + inside, number + 1
        return rows

    def _pixels(self) -> int:
        """Copy every picture that a row names; each is read back and compared with its row."""
        done = 0
        with fast_codecs():
            for sql in (verify_rows.PICTURES, verify_rows.LABELS):
                for path in self._mapped(self._copy_image, self._asked(sql)):
                    for file in _IMAGE_FILES:
                        self._add(f"pixels/{path}/{file}")
                    done += 1
                    self.progress("pixels", done, self._pictures)
        for row in self._asked(verify_rows.ROOTS):
            self._text(f"pixels/{row['path']}/zarr.json", group_json(None).decode())
        for row in self._asked(verify_rows.LISTS):
            about = {"version": OME_VERSION, "labels": sorted(row["runs"])}
            self._text(f"pixels/{row['path']}/labels/zarr.json", group_json(about).decode())
        return done

    def _copy_image(self, row: Mapping[str, Any]) -> str:
        path = str(row["path"])
        if problems := image_of_row(self.lake, row):
            file, text = problems[0]
            raise LakeError(
                f"{self.lake.images.where(file)}: {text}; it is not exported as if it were right: "
                "`nanolake verify` names all that is broken"
            )
        for file in _IMAGE_FILES:
            target = self.folder / "pixels" / path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            self.lake.images.folder.copy_out(f"{path}/{file}", target)
        return path

    def _models(self) -> None:
        for entry in self._model_files():
            target = self.folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix == ".sqlite":
                _copy_sqlite(self.lake.root / entry.path, target)
            else:
                self.lake.data.copy_out(entry.path, target)
            self._add(entry.path)

    def _model_files(self) -> list[Entry]:
        """Return the files of classifiers and of MLflow.

        Of a shared lake the classifiers alone: the rows of its MLflow lie in PostgreSQL.
        """
        within = "models" if self.lake.data_url is None else CLASSIFIERS
        skipped = ("-wal", "-shm", "-journal")
        return [e for e in self.lake.data.walk(within) if not e.path.endswith(skipped)]

    def _raw(self) -> tuple[int, int]:
        wanted = {row["raw_sha256"] for row in self._asked(_RAW)}
        done: set[str] = set()
        for sha256, path in self._raw_files():
            name = f"raw/{sha256[:2]}/{sha256}{path.suffix.lower()}"
            if sha256 in done or file_sha256(path) != sha256:
                continue
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.folder / name)
            self._add(name)
            done.add(sha256)
            self.progress("raw files", len(done), len(wanted))
        return len(done), len(wanted - done)

    def _raw_files(self) -> Iterator[tuple[str, Path]]:
        for row in self._asked(_RAW):
            path = Path(row["path"])
            if path.is_file():
                yield row["raw_sha256"], path

    def _image_paths(self) -> Iterator[str]:
        self._pictures = 0
        for sql in (verify_rows.PICTURES, verify_rows.LABELS):
            for row in self._asked(sql):
                self._pictures += 1
                yield row["path"]

    def _image_bytes(self, path: str) -> int:
        try:
            return self.lake.images.folder.size_bytes(f"{path}/{SHARD}")
        except FileNotFoundError:  # is told when it is to be copied
            return 0

    def _mapped(self, function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
        return windowed(function, items, self.workers)

    def _batches(self, sql: str) -> Iterator[Any]:
        with self.lake.stream(sql, at=self.snapshot) as answer:
            yield from answer

    def _asked(self, sql: str) -> Iterator[dict[str, Any]]:
        for batch in self._batches(sql):
            yield from batch.to_pylist()

    def _text(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self._add(path)

    def _add(self, path: str) -> None:
        self.files += 1
        self.size_bytes += (self.folder / path).stat().st_size
        self._list.write(line(file_sha256(self.folder / path), path))


def _snapshot(lake: Lake, at: At | None) -> int:
    """Return the snapshot that is meant: all of an export is of one moment, whoever writes."""
    if isinstance(at, int):
        with lake.connect(at, beside=()):
            return at
    moment = "" if at is None else " WHERE snapshot_time <= $at"
    rows = lake.query(
        f"SELECT max(snapshot_id) AS id FROM lake.snapshots(){moment}",
        {} if at is None else {"at": at},
    ).to_pylist()
    if rows[0]["id"] is None:
        raise LakeError(f"the lake has no snapshot from before {at}: it is younger")
    return int(rows[0]["id"])


def _as_table(batch: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_batches([batch])


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that others may be writing to, as of one moment."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
