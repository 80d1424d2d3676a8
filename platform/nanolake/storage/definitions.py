"""Tables and views of a lake follow the installed package: a lake may be older than it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nanolake import __version__
from nanolake.contracts import SQL_TYPES, conform, ddl, get_table, load_tables
from nanolake.errors import LakeError
from nanolake.query import view_statements
from nanolake.storage.ledger import BESIDE, owner_name

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 1
"""Grows where an older nanolake must not write to a lake any more."""


def follow(connection: duckdb.DuckDBPyConnection) -> None:
    """Make tables, columns and views of the lake those of this package, where not.

    Nothing is done where the fingerprint in the lake is this package's. What is new is added; no
    table or column is ever taken away. The caller holds the lake's lock alone. Raises `LakeError`
    where the lake is newer than this package, and where a new column must not be NULL, which the
    rows that are there would be.
    """
    if followed(connection):
        return
    connection.execute("CALL lake.set_option('parquet_compression', 'zstd')")
    connection.execute("BEGIN")
    try:
        _define(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def followed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the lake's tables and views are this package's; `LakeError` for a newer lake."""
    import duckdb

    try:
        row = connection.execute(
            "SELECT schema_version, fingerprint, code_version FROM schema_version "
            "ORDER BY created_at DESC LIMIT 1"
        ).fetchone()
    except duckdb.CatalogException:  # a lake just made, or older than this table
        return False
    if row is not None and row[0] > SCHEMA_VERSION:
        raise LakeError(
            f"the lake's tables have version {row[0]}, made by nanolake {row[2]}; this nanolake "
            f"({__version__}) knows version {SCHEMA_VERSION}: install the newer one"
        )
    return row is not None and row[1] == fingerprint()


def fingerprint() -> str:
    """Return the SHA-256 of the statements that make the package's tables and views."""
    texts = [*(ddl(name) for name in _tables()), *view_statements()]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _define(connection: duckdb.DuckDBPyConnection) -> None:
    for name in _tables():
        connection.execute(ddl(name))
        _add_columns(connection, name)
    for statement in view_statements():
        connection.execute(statement)
    row = {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": fingerprint(),
        "code_version": __version__,
        "created_at": datetime.now(UTC),
    }
    connection.register("incoming", conform("schema_version", [row]))
    connection.execute("INSERT INTO schema_version BY NAME SELECT * FROM incoming")
    connection.unregister("incoming")
    connection.execute(
        "CALL lake.set_commit_message($author, 'tables and views', extra_info => $info)",
        {"author": owner_name(), "info": json.dumps({"nanolake": __version__})},
    )


def _add_columns(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    there = {row[0] for row in connection.execute(f'DESCRIBE "{name}"').fetchall()}
    for column in get_table(name).columns:
        if column.name in there:
            continue
        if column.required:
            raise LakeError(
                f"the lake's table {name} has no column {column.name}, which must not be NULL: "
                "use the nanolake that wrote the lake, or make a new lake"
            )
        connection.execute(
            f'ALTER TABLE "{name}" ADD COLUMN "{column.name}" {SQL_TYPES[column.type]}'
        )


def _tables() -> list[str]:
    return [name for name in load_tables() if name not in BESIDE]
