"""SHA-256 of every Parquet file of a lake, in a table with a real PRIMARY KEY beside the ledger.

DuckLake keeps size and row count of a file, not a hash of its bytes. So each file is read again
right after the commit that wrote it, and hashed. What was not hashed then (a crash, an older
nanolake, a merge of files) is hashed by the next `Lake.seal`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nanolake.storage.catalogs import Catalog
from nanolake.storage.folders import Folder
from nanolake.storage.ledger import Ledger, Row

if TYPE_CHECKING:
    import duckdb

_SEALED = "SELECT * FROM data_file"
_ADD = (
    "INSERT INTO data_file (path, table_name, kind, sha256, size_bytes, row_count, snapshot_id, "
    "hashed_at_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO NOTHING"
)
# A table has several rows where it was renamed; files keep the path of the first.
_LISTED = """
SELECT f.path, f.path_is_relative, f.kind, f.size_bytes, f.row_count, f.begin_snapshot,
       f.end_snapshot, t.table_name, t.path AS table_path, s.path AS schema_path
FROM (
    SELECT table_id, path, path_is_relative, 'rows' AS kind, file_size_bytes AS size_bytes,
           record_count AS row_count, begin_snapshot, end_snapshot
    FROM {schema}.ducklake_data_file
    UNION ALL
    SELECT table_id, path, path_is_relative, 'deletes', file_size_bytes,
           delete_count, begin_snapshot, end_snapshot
    FROM {schema}.ducklake_delete_file
) f
JOIN {schema}.ducklake_table t ON t.table_id = f.table_id
JOIN {schema}.ducklake_schema s ON s.schema_id = t.schema_id
WHERE f.begin_snapshot >= SINCE AND t.begin_snapshot = (
    SELECT max(begin_snapshot) FROM {schema}.ducklake_table WHERE table_id = f.table_id)
ORDER BY f.begin_snapshot, f.path
"""
_AS_FIELDS = (
    "SELECT CASE WHEN CAST(path_is_relative AS BOOLEAN) THEN schema_path || table_path || path "
    'ELSE path END AS path, table_name AS "table", kind, CAST(size_bytes AS BIGINT) AS size_bytes, '
    "CAST(row_count AS BIGINT) AS row_count, CAST(begin_snapshot AS BIGINT) AS snapshot_id, "
    "end_snapshot IS NULL AS current FROM "
)
"""The fields of `DataFile`: what the catalogue's database answers may be texts."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One Parquet file as the catalogue knows it. ``path`` is below ``tables/``."""

    path: str
    table: str
    kind: str
    size_bytes: int
    row_count: int
    snapshot_id: int
    current: bool
    """Whether the newest snapshot still reads it."""


def listed(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog, since: int = 0
) -> list[DataFile]:
    """Return the files that the catalogue names, those of snapshots from ``since`` on."""
    asked = catalog.native(_LISTED.replace("SINCE", str(since)))
    found = connection.execute(_AS_FIELDS + asked)
    names = [column[0] for column in found.description]
    return [DataFile(**dict(zip(names, row, strict=True))) for row in found.fetchall()]


class Seals:
    """The ``data_file`` table of one lake."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def known(self) -> dict[str, Row]:
        """Return the row of every hashed file, by path."""
        with self._ledger.transaction() as session:
            return {row["path"]: row for row in session.execute(_SEALED).fetchall()}

    def add(self, folder: Folder, files: Iterable[DataFile]) -> int:
        """Hash files and keep the hashes; return how many.

        A file that is not there, or not of the catalogue's size, gets no hash: that would make
        broken bytes the right ones. `nanolake verify` names it.
        """
        rows = [_row(folder, file, self._ledger.now()) for file in files]
        whole = [row for row in rows if row is not None]
        if whole:
            with self._ledger.transaction() as session:
                session.executemany(_ADD, whole)
        return len(whole)

    def drop(self, paths: Iterable[str]) -> int:
        """Forget files that the catalogue does not name any more; return how many."""
        gone = [(path,) for path in paths]
        if gone:
            with self._ledger.transaction() as session:
                session.executemany("DELETE FROM data_file WHERE path = ?", gone)
        return len(gone)


def _row(folder: Folder, file: DataFile, now: float) -> tuple[object, ...] | None:
    try:
        if folder.size_bytes(file.path) != file.size_bytes:
            return None
        digest = folder.sha256(file.path)
    except FileNotFoundError:
        return None
    return (
        file.path,
        file.table,
        file.kind,
        digest,
        file.size_bytes,
        file.row_count,
        file.snapshot_id,
        now,
    )
