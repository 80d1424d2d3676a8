"""What keeps a lake small: merging small Parquet files, expiring snapshots, removing what is left.

Each function does one thing and says what it did; in which order, and how old things must be, is
`pipeline.maintain`'s to say. Every one may be interrupted and asked again.

Two rules keep them safe beside live writers. Rows are written under the lake's lock, so whoever
holds it alone meets no half-written Parquet file. Pictures are stored without any lock, and a run
that is started again takes over what an earlier one had stored, however old that is: so a picture
without a row is removed only while nobody holds a claim of the step that stores such pictures, and
while the ledger lets nobody make one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nanolake.storage import commits
from nanolake.storage.folders import Entry, Folder
from nanolake.storage.origin import Origin
from nanolake.storage.tables import Lake

_PICTURES = 64
"""Removed at once while the ledger waits: three seconds, at 50 ms each."""
_FILES = 500
_NAMED = {"picture": ("micrograph", "image_path"), "labels": ("segmentation", "label_path")}
"""Where the rows stand that name a path of the pixels."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """How many files, and their bytes."""

    count: int = 0
    size_bytes: int = 0

    def __add__(self, other: Files) -> Files:
        return Files(count=self.count + other.count, size_bytes=self.size_bytes + other.size_bytes)


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """Which snapshots may go, and how many as old stay, by what keeps them."""

    snapshots: tuple[int, ...]
    pinned: int
    claimed: int


@dataclass(frozen=True, kw_only=True)
class Stray:
    """What lies at one path of the pixels and no row names."""

    path: str
    kind: str
    """``picture``, ``labels``; or ``leftover`` of a write that was cut off, never taken over."""
    size_bytes: int
    newest: datetime


def live_files(lake: Lake) -> dict[str, Files]:
    """Return the Parquet files that hold each table now."""
    with lake.connect(beside=()) as connection:
        rows = connection.execute(
            "SELECT table_name, file_count, file_size_bytes FROM lake.table_info() ORDER BY 1"
        ).fetchall()
    return {name: Files(count=count, size_bytes=size or 0) for name, count, size in rows}


def small_files(lake: Lake, target_bytes: int) -> dict[str, int]:
    """Return how many files of a table are smaller than ``target_bytes``, where several are."""
    metadata = lake.catalog.metadata
    with lake.connect(beside=()) as connection:
        rows = connection.execute(
            f"SELECT table_name, count(*) FROM {metadata}.ducklake_data_file AS f "
            f"JOIN {metadata}.ducklake_table AS t USING (table_id) WHERE f.end_snapshot IS NULL "
            "AND t.end_snapshot IS NULL AND file_size_bytes < ? GROUP BY 1 HAVING count(*) > 1",
            [target_bytes],
        ).fetchall()
    return dict(rows)


def compact(lake: Lake, table: str, target_bytes: int, origin: Origin) -> tuple[int, int]:
    """Merge small files of a table into one of about ``target_bytes``; return (merged, made).

    To be asked again until (0, 0) comes back: others commit in between. The rows of every snapshot
    stay as they are; the files that were merged lie there until `remove_replaced`.
    """
    with lake.alone() as connection, _transaction(connection):
        connection.execute(f"CALL lake.set_option('target_file_size', '{target_bytes}B')")
        row = connection.execute(
            f"CALL ducklake_merge_adjacent_files('lake', '{table}', max_compacted_files => 1)"
        ).fetchone()
        merged, made = (row[2], row[3]) if row else (0, 0)
        if merged:
            message = f"maintain: {merged} files of {table} merged into {made}"
            commits.describe(connection, message, origin.info())
    return merged, made


def expirable(lake: Lake, before: datetime) -> Expiry:
    """Return which snapshots from ``before`` are not needed.

    Kept are the newest, those that a named selection was made from, and those whose units hold a
    claim that is not settled: `Lake.recover` must find them.
    """
    claimed = sorted(lake.ledger.claimed())
    rows = lake.query(
        "SELECT snapshot_id, snapshot_id IN (SELECT snapshot_id FROM selection) AS pinned, "
        "list_has_any(coalesce(json_extract_string(commit_extra_info, '$.units[*]'), []), "
        "$claimed::VARCHAR[]) AS claimed FROM lake.snapshots() WHERE snapshot_time < $before "
        "AND snapshot_id < (SELECT max(snapshot_id) FROM lake.snapshots()) ORDER BY 1",
        {"claimed": claimed, "before": before},
    ).to_pylist()
    return Expiry(
        snapshots=tuple(r["snapshot_id"] for r in rows if not (r["pinned"] or r["claimed"])),
        pinned=sum(r["pinned"] for r in rows),
        claimed=sum(r["claimed"] for r in rows),
    )


def expire(lake: Lake, before: datetime) -> Expiry:
    """Expire what `expirable` returns, with nobody committing meanwhile; return it."""
    # DuckLake's own older_than is off by up to a day with SQLite: it compares times as texts.
    with lake.alone() as connection:
        found = expirable(lake, before)
        for start in range(0, len(found.snapshots), _FILES):
            numbers = list(found.snapshots[start : start + _FILES])
            connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => {numbers})")
    return found


def remove_replaced(lake: Lake, before: datetime, *, dry_run: bool = False) -> tuple[Files, Files]:
    """Remove files that no snapshot needs since ``before``; return (removed, still waiting).

    They wait because somebody who asked before may be reading them.
    """
    table = f"{lake.catalog.metadata}.ducklake_files_scheduled_for_deletion"
    with lake.connect(beside=()) as connection:
        rows = connection.execute(
            "SELECT data_file_id, path, CAST(schedule_start AS TIMESTAMPTZ) < ? "
            f"FROM {table} ORDER BY 1",
            [before],
        ).fetchall()
    sizes = [(number, _below(lake, path), old) for number, path, old in rows]
    due = [(number, path) for number, path, old in sizes if old and path is not None]
    waiting = [path for _, path, old in sizes if path is not None and not old]
    removed = Files()
    for start in range(0, len(due), _FILES):
        batch = due[start : start + _FILES]
        removed += _sizes(lake.tables, [path for _, path in batch])
        if dry_run:
            continue
        for _, path in batch:
            lake.tables.remove(path)
        with lake.alone() as connection:
            numbers = [number for number, _ in batch]
            connection.execute(
                f"DELETE FROM {table} WHERE data_file_id IN (SELECT unnest(?))", [numbers]
            )
    return removed, _sizes(lake.tables, waiting)


def remove_lost_rows(lake: Lake, before: datetime, *, dry_run: bool = False) -> Files:
    """Remove Parquet files from ``before`` that the catalogue does not know: of a killed commit."""
    if dry_run:
        return _remove_lost(lake, before, dry_run=True)
    with lake.alone():
        return _remove_lost(lake, before, dry_run=False)


def _remove_lost(lake: Lake, before: datetime, *, dry_run: bool) -> Files:
    # DuckLake's names hold a UUID, so the last part of a path is enough, wherever the lake lies.
    metadata = lake.catalog.metadata
    tables = ("data_file", "delete_file", "files_scheduled_for_deletion")
    with lake.connect(beside=()) as connection:
        known = {
            path.rpartition("/")[2]
            for name in tables
            for (path,) in connection.execute(f"SELECT path FROM {metadata}.ducklake_{name}")
            .fetchall()
        }  # fmt: skip
    removed = Files()
    for entry in lake.tables.scan():
        name = entry.path.rpartition("/")[2]
        if name.endswith(".parquet") and name not in known and entry.modified_at < before:
            removed += Files(count=1, size_bytes=entry.size_bytes)
            if not dry_run:
                lake.tables.remove(entry.path)
    return removed


def strays(lake: Lake, experiment: str, before: datetime) -> list[Stray]:
    """Return what lies in one experiment's pixels, from ``before``, and no row names.

    ``experiment`` is a folder of the pixels. Of it the paths that rows name are held in memory,
    and what is not named; no picture is opened.
    """
    named = _named_below(lake, experiment)
    found: dict[str, Stray] = {}
    for entry in lake.images.folder.scan(experiment):
        path, kind = _belonging(entry)
        if path is not None and path not in named:
            found[path] = _joined(found.get(path), path, kind, entry)
    for path in [path for path, stray in found.items() if stray.kind != "picture"]:
        picture = "/".join(path.split("/")[:2])
        if path != picture and picture in found:  # all that belongs to a stray picture goes with it
            below = found.pop(path)
            whole = found[picture]
            found[picture] = Stray(
                path=picture,
                kind="picture",
                size_bytes=whole.size_bytes + below.size_bytes,
                newest=max(whole.newest, below.newest),
            )
    return [stray for stray in found.values() if stray.newest < before]


def remove_strays(
    lake: Lake, found: Sequence[Stray], steps: Mapping[str, str]
) -> tuple[dict[str, Files], int]:
    """Remove strays; return what was removed by kind, and how many stay for a live writer.

    ``steps`` says which step of the ledger stores ``picture`` and which ``labels``: while a claim
    of it is held, they stay, because its owner may have taken them over already.
    """
    removed: dict[str, Files] = {}
    kept = 0
    for stray in (one for one in found if one.kind == "leftover"):
        _remove(lake.images.folder, stray.path)
        _count(removed, stray)
    for kind, step in steps.items():
        some = [one for one in found if one.kind == kind]
        for start in range(0, len(some), _PICTURES):
            batch = some[start : start + _PICTURES]
            with lake.catalog.lock(), lake.ledger.quiet([step]) as quiet:
                named = _named_among(lake, kind, [one.path for one in batch])
                for stray in batch:
                    if stray.path in named:
                        continue
                    if quiet:
                        lake.images.remove(stray.path)
                        _count(removed, stray)
                    else:
                        kept += 1
    return removed, kept


def _named_below(lake: Lake, experiment: str) -> set[str]:
    """Return the paths that rows name, and the pictures that named label images belong to."""
    named = set()
    for table, column in _NAMED.values():
        rows = lake.query(
            f'SELECT DISTINCT {column} FROM "{table}" WHERE starts_with({column}, ?)',
            [f"{experiment}/"],
        )
        named.update(rows.column(0).to_pylist())
    return named | {path.partition("/labels/")[0] for path in named}


def _named_among(lake: Lake, kind: str, paths: Sequence[str]) -> set[str]:
    table, column = _NAMED[kind]
    rows = lake.query(
        f'SELECT DISTINCT {column} FROM "{table}" WHERE {column} IN (SELECT unnest(?))',
        [list(paths)],
    )
    return set(rows.column(0).to_pylist())


def _belonging(entry: Entry) -> tuple[str | None, str]:
    """Return the path and kind of what a file of the pixels is part of; None for a root's own."""
    parts = entry.path.split("/")
    for place, part in enumerate(parts[1:], start=1):
        if part.startswith("."):  # `Folder.staging` and half-written files
            return "/".join(parts[: place + 1]), "leftover"
    if len(parts) < 3:
        return None, ""
    if len(parts) > 4 and parts[2] == "labels":
        return "/".join(parts[:4]), "labels"
    return "/".join(parts[:2]), "picture"


def _joined(known: Stray | None, path: str, kind: str, entry: Entry) -> Stray:
    return Stray(
        path=path,
        kind=kind,
        size_bytes=entry.size_bytes + (known.size_bytes if known else 0),
        newest=max(entry.modified_at, known.newest) if known else entry.modified_at,
    )


def _remove(folder: Folder, path: str) -> None:
    if folder.exists(path):
        folder.remove(path)
    else:
        folder.remove_below(path)


def _count(removed: dict[str, Files], stray: Stray) -> None:
    one = Files(count=1, size_bytes=stray.size_bytes)
    removed[stray.kind] = removed.get(stray.kind, Files()) + one


def _below(lake: Lake, path: str) -> str | None:
    """Return a file's path below the rows' folder; None for one that lies elsewhere."""
    relative = path.removeprefix(lake.tables.where("").rstrip("/") + "/")
    return None if relative.startswith("/") or "://" in relative else relative


def _sizes(folder: Folder, paths: Sequence[str]) -> Files:
    """Count files that are there; one that is gone was removed by a run that was cut off."""
    total = Files()
    for path in paths:
        try:
            total += Files(count=1, size_bytes=folder.size_bytes(path))
        except FileNotFoundError:
            continue
    return total


@contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
