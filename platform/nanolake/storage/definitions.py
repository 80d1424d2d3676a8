"""Tables and views of a lake follow the installed package: a lake may be older than it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from nanolake import __version__
from nanolake.contracts import SQL_TYPES, ddl, get_table, load_tables
from nanolake.errors import LakeError
from nanolake.query import view_statements
from nanolake.storage.ledger import owner_name

if TYPE_CHECKING:
    import duckdb

_LEDGER_TABLE = "work_unit"  # lies in a file of its own, beside the catalogue
FILE = "definitions.sha256"
"""Below the lake's folder: what its tables and views were last made from."""


def follow(connection: duckdb.DuckDBPyConnection, root: Path) -> None:
    """Make tables, columns and views of the lake at ``root`` those of this package, where not.

    Nothing is done where the fingerprint in the lake's folder is this package's. What is new is
    added; no table or column is ever taken away. The caller holds the lake's lock. Raises
    `LakeError` where a new column must not be NULL, which the rows that are there would be.
    """
    wanted = fingerprint()
    file = root / FILE
    if file.is_file() and file.read_text() == wanted:
        return
    connection.execute("CALL lake.set_option('parquet_compression', 'zstd')")
    connection.execute("BEGIN")
    try:
        _define(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    half = file.with_name(f"{FILE}.half")
    half.write_text(wanted)
    half.replace(file)


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
    return [name for name in load_tables() if name != _LEDGER_TABLE]
