"""Verify: every file of a lake read again and hashed, and what its rows say of one another.

Nothing is written. A break is named by its place; everything else is checked all the same.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nanolake.errors import ModelError, NanolakeError
from nanolake.free_memory import available_bytes
from nanolake.pipeline import verify_rows as rows
from nanolake.pipeline.classifiers import load as load_classifier
from nanolake.pipeline.findings import Broken, Checked, Findings, Verified, default_workers
from nanolake.progress import Progress, silent
from nanolake.storage import Lake, image_checks
from nanolake.storage.images import fast_codecs
from nanolake.storage.reading import memory_limit_bytes
from nanolake.storage.seals import DataFile

PROCESS_BYTES = 250_000_000
"""This process with its libraries and no large picture: 230 to 250 MB were measured."""
PIXEL_BYTES = 8
"""A picture is in memory as its shard and decoded, at most 4 bytes a pixel each."""
SHOWN_ROWS = 5
"""Broken rows of one kind that are named; the others are counted."""
_BACKUP = "put it back from a backup (a folder of `nanolake export-lake` holds it as {})"


def verify(
    lake: Lake,
    *,
    quick: bool = False,
    raw: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
    on_forecast: Callable[[str], None] | None = None,
) -> Verified:
    """Check files and rows of a lake; ``quick`` looks at existence and sizes instead of bytes.

    ``raw`` hashes the raw files too, as far as this computer reaches them. ``on_forecast`` is told
    the memory that will be needed, before the work starts.
    """
    started = time.perf_counter()
    workers = workers or default_workers()
    if on_forecast is not None:
        on_forecast(_forecast(lake, workers, quick=quick))
    found = Findings(progress=progress, workers=workers)
    damage = lake.catalog.damage()
    found.add("catalogue and ledger", 1, [_damaged(text) for text in damage])
    _tables(lake, found, quick=quick)
    with fast_codecs():  # set once: threads that set and reset it would hinder one another
        _pixels(lake, found, quick=quick)
    _models(lake, found)
    if raw:
        _raw_files(lake, found, quick=quick)
    _rows(lake, found)
    return Verified(
        where=lake.where,
        checks=tuple(found.checks),
        broken=tuple(found.broken),
        wall_s=time.perf_counter() - started,
    )


def _forecast(lake: Lake, workers: int, *, quick: bool) -> str:
    """Say the peak of memory: a picture and its shard a worker, beside what DuckDB may hold."""
    try:
        largest = [] if quick else lake.query(rows.LARGEST).to_pylist()
    except NanolakeError:  # is told below, with its place
        largest = []
    each = PIXEL_BYTES * sum(row["pixels"] or 0 for row in largest)
    limit, free = memory_limit_bytes(), available_bytes()
    parts = [
        f"up to {(PROCESS_BYTES + each * workers) / 1e9:.2f} GB of memory for {workers} threads"
    ]
    parts += [f"rows: at most {limit / 1e9:.2f} GB (NANOLAKE_MEMORY)"] if limit else []
    parts += [f"{free / 1e9:.1f} GB available"] if free else []
    return f"verify: {'; '.join(parts)}"


def broken_tables(lake: Lake, workers: int, progress: Progress = silent) -> list[Broken]:
    """Return which Parquet files are missing or changed; every one is hashed."""
    found = Findings(progress=progress, workers=workers)
    _tables(lake, found, quick=False)
    return found.broken


def _tables(lake: Lake, found: Findings, *, quick: bool) -> None:
    files = lake.data_files()
    hashes = {path: row["sha256"] for path, row in lake.hashes().items()}

    def check(file: DataFile) -> list[Broken]:
        return _parquet(lake, file, None if quick else hashes.get(file.path))

    found.each("Parquet files", files, len(files), check)
    unknown = sum(file.path not in hashes for file in files)
    if unknown:
        note = f"{unknown} without a hash yet: the next commit gives them one"
        last = found.checks.pop()
        found.checks.append(
            Checked(what=last.what, count=last.count, broken=last.broken, note=note)
        )


def _parquet(lake: Lake, file: DataFile, sha256: str | None) -> list[Broken]:
    try:
        size = lake.tables.size_bytes(file.path)
        if size != file.size_bytes:
            text = f"{size:,} bytes instead of {file.size_bytes:,}"
        elif sha256 is not None and lake.tables.sha256(file.path) != sha256:
            text = "changed: other bytes than right after its commit"
        else:
            return []
    except FileNotFoundError:
        text = "missing"
    remedy = (
        "put this very file back from a copy of the store, or make the lake anew from an exported "
        "folder: `nanolake import-lake FOLDER NEW_LAKE`"
    )
    where = lake.tables.where(file.path)
    return [Broken(what=f"Parquet file of {file.table}", where=where, found=text, remedy=remedy)]


def _pixels(lake: Lake, found: Findings, *, quick: bool) -> None:
    for what, sql in (("pictures", rows.PICTURES), ("label images", rows.LABELS)):

        def check(row: Mapping[str, Any], what: str = what) -> list[Broken]:
            if quick:
                return _named(lake, what, image_checks.missing_files(lake.images, row["path"]))
            return _named(lake, what, image_of_row(lake, row))

        found.each(what, _asked(lake, sql), _count(lake, sql), check)
    if quick:
        return
    folder = lake.images.folder
    roots, lists = list(_safely(lake, rows.ROOTS)), list(_safely(lake, rows.LISTS))
    broken = [p for row in roots for p in image_checks.root_problems(folder, row["path"])]
    broken += [
        p
        for row in lists
        for p in image_checks.label_list_problems(folder, row["path"], row["runs"])
    ]
    found.add("Zarr groups", len(roots) + len(lists), _named(lake, "Zarr group", broken))


def image_of_row(lake: Lake, row: Mapping[str, Any]) -> list[image_checks.Problem]:
    """Return what is wrong with the picture that a row of PICTURES or LABELS names."""
    sizes = [(one["y"], one["x"]) if one["y"] and one["x"] else None for one in row["sizes"]]
    return image_checks.image_problems(
        lake.images,
        row["path"],
        sha256=row["sha256"],
        shape=(row["height_px"], row["width_px"]),
        dtypes=row["dtypes"],
        pixel_sizes_nm=list(dict.fromkeys(sizes)),
    )


def _named(lake: Lake, what: str, problems: Iterable[image_checks.Problem]) -> list[Broken]:
    return [
        Broken(
            what=what.removesuffix("s"),
            where=lake.images.where(file),
            found=text,
            remedy=_BACKUP.format(f"pixels/{file}"),
        )
        for file, text in problems
    ]


def _models(lake: Lake, found: Findings) -> None:
    def check(row: dict[str, Any]) -> list[Broken]:
        name = row["classifier_run_id"]
        try:
            load_classifier(lake, row)
        except (ModelError, ValueError, OSError) as error:
            remedy = "put the file back from a backup, or train it anew with `nanolake classify`"
            return [Broken(what="model", where=name, found=f"{error}", remedy=remedy)]
        return []

    known = list(_safely(lake, rows.MODELS))
    found.each("models", known, len(known), check)


def _raw_files(lake: Lake, found: Findings, *, quick: bool) -> None:
    here, away = socket.gethostname(), []

    def check(row: dict[str, Any]) -> list[Broken]:
        path = Path(row["path"])
        if not path.is_file():
            away.append(path)
            return []
        if quick or _file_sha256(path) == row["sha256"]:
            return []
        if row["host"] not in (None, here):  # another computer's path, and another file here
            away.append(path)
            return []
        remedy = "find the original: the lake's own pixels are checked by themselves"
        return [Broken(what="raw file", where=str(path), found="changed", remedy=remedy)]

    found.each("raw files", _asked(lake, rows.RAW_FILES), _count(lake, rows.RAW_FILES), check)
    if away:
        last = found.checks.pop()
        note = f"{len(away)} moved, or out of this computer's reach"
        found.checks.append(
            Checked(what=last.what, count=last.count, broken=last.broken, note=note)
        )


def _rows(lake: Lake, found: Findings) -> None:
    broken = []
    found.progress("rows", 0, len(rows.ROW_CHECKS))
    for number, check in enumerate(rows.ROW_CHECKS, start=1):
        try:
            if not _has_column(lake, check):
                continue
            wrong = lake.query(
                f"SELECT *, count(*) OVER () AS all_of_them FROM ({check.sql}) "
                f"ORDER BY name LIMIT {SHOWN_ROWS}"
            ).to_pylist()
        except NanolakeError as error:
            text, remedy = f"cannot be read: {error}", "mend the tables' files first"
            broken.append(Broken(what="rows", where=check.table, found=text, remedy=remedy))
            continue
        broken += [
            Broken(
                what="rows",
                where=f"{check.table} {row['name']}",
                found=f"{check.wrong}: {row['found']}" + _others(row["all_of_them"]),
                remedy=check.remedy,
            )
            for row in wrong
        ]
        found.progress("rows", number, len(rows.ROW_CHECKS))
    expired = sum(row["n"] for row in _safely(lake, rows.EXPIRED))
    note = f"{expired:,} units done in snapshots that have expired" if expired else ""
    found.add("rows", len(rows.ROW_CHECKS), broken, note)


def _has_column(lake: Lake, check: rows.RowCheck) -> bool:
    """Whether the lake, which may be older, has what is asked."""
    there = lake.query(f"FROM {check.table} LIMIT 0").schema.names if check.column else ()
    return check.column is None or check.column in there


def _others(count: int) -> str:
    return f" (and {count - SHOWN_ROWS:,} more)" if count > SHOWN_ROWS else ""


def _asked(lake: Lake, sql: str) -> Iterator[dict[str, Any]]:
    with lake.stream(sql) as answer:
        for batch in answer:
            yield from batch.to_pylist()


def _safely(lake: Lake, sql: str) -> Iterator[dict[str, Any]]:
    """As `_asked`; nothing where the tables are broken, which is told elsewhere."""
    try:
        yield from _asked(lake, sql)
    except NanolakeError:
        return


def _count(lake: Lake, sql: str) -> int:
    return sum(row["n"] for row in _safely(lake, f"SELECT count(*) AS n FROM ({sql})"))


def _damaged(text: str) -> Broken:
    return Broken(
        what="catalogue", where=text, found="damaged", remedy="restore the lake from a backup"
    )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
