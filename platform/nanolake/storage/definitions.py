"""Tables and views of a lake follow the installed package: a lake may be older than it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nanolake import __version__
from nanolake.contracts import SQL_TYPES, conform, ddl, get_table, load_tables
from nanolake.errors import LakeError
from nanolake.query import view_statements
from nanolake.storage import commits
from nanolake.storage.ledger import BESIDE
from nanolake.storage.migrations import FIRST_VERSION, Step, newest_version, steps
from nanolake.storage.origin import Origin

if TYPE_CHECKING:
    import duckdb


def follow(connection: duckdb.DuckDBPyConnection, metadata: str) -> None:
    """Make tables, columns and views of the lake those of this package, where not.

    Nothing is done where the fingerprint in the lake is this package's. Else the migrations that
    the lake has not had are run and what is new is added, in one transaction: a lake whose process
    dies meanwhile is as it was. ``metadata`` is the schema of DuckLake's own tables. The caller
    holds the lake's lock alone. Raises `LakeError` where the lake is newer than this package, where
    a table has a column that this package does not know, and where a new column must not be NULL,
    which the rows that are there would be.
    """
    if is_followed(connection, metadata):
        return
    connection.execute("CALL lake.set_option('parquet_compression', 'zstd')")
    connection.execute("BEGIN")
    try:
        _define(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_followed(connection: duckdb.DuckDBPyConnection, metadata: str) -> bool:
    """Whether the lake's tables and views are this package's; `LakeError` as `follow`."""
    _, known = _version(connection)
    if known != fingerprint():
        return False
    _require_known(connection, metadata)
    return True


def refuse_newer(connection: duckdb.DuckDBPyConnection, metadata: str) -> None:
    """Raise `LakeError` where a later nanolake has changed the tables.

    The catalogue's own statistics are asked, which are there at once: a reader comes by here, and
    the row itself may lie on S3. ``metadata`` is the schema of DuckLake's own tables.
    """
    row = connection.execute(
        f"SELECT max(CAST(max_value AS INTEGER)) FROM {metadata}.ducklake_table_column_stats "
        f"JOIN {metadata}.ducklake_column AS c USING (table_id, column_id) "
        f"JOIN {metadata}.ducklake_table AS t USING (table_id) WHERE t.end_snapshot IS NULL "
        "AND c.end_snapshot IS NULL AND table_name = 'schema_version' "
        "AND column_name = 'schema_version'"
    ).fetchone()
    if row is not None and row[0] is not None and row[0] > newest_version():
        _version(connection)


def fingerprint() -> str:
    """Return the SHA-256 of the statements that make the package's tables and views."""
    texts = [*(ddl(name) for name in _tables()), *view_statements(), str(newest_version())]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _version(connection: duckdb.DuckDBPyConnection) -> tuple[int, str | None]:
    """Return the version of the lake's tables, and the fingerprint of what they follow now."""
    import duckdb

    try:
        row = connection.execute(
            "SELECT schema_version, fingerprint, code_version FROM lake.schema_version "
            "ORDER BY schema_version DESC, created_at DESC LIMIT 1"
        ).fetchone()
    except duckdb.CatalogException:  # a lake just made, or older than this table
        row = None
    if row is None:
        return FIRST_VERSION, None
    if row[0] > newest_version():
        raise LakeError(
            f"the lake's tables have version {row[0]}, made by nanolake {row[2]}; this nanolake "
            f"({__version__}) knows version {newest_version()}: install the newer one"
        )
    return int(row[0]), str(row[1])


def _define(connection: duckdb.DuckDBPyConnection) -> None:
    before, _ = _version(connection)
    due = [step for step in steps() if step.number > before and _has_tables(connection)]
    for step in due:
        _migrate(connection, step)
    for name in _tables():
        connection.execute(ddl(name))
        _fit_columns(connection, name)
    for statement in view_statements():
        connection.execute(statement)
    row = {
        "schema_version": newest_version(),
        "fingerprint": fingerprint(),
        "code_version": __version__,
        "created_at": datetime.now(UTC),
    }
    connection.register("incoming", conform("schema_version", [row]))
    connection.execute("INSERT INTO schema_version BY NAME SELECT * FROM incoming")
    connection.unregister("incoming")
    message = "tables and views"
    if due:
        names = ", ".join(f"{step.number} ({step.name})" for step in due)
        message += f"; migrated from version {before}: {names}"
    origin = Origin(step="follow", settings=fingerprint()[:16])
    commits.describe(connection, message, origin.info(rows={"schema_version": 1}))


def _has_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether this is a lake already: one just made gets the newest tables and needs no step."""
    found = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' LIMIT 1"
    return connection.execute(found).fetchone() is not None


def _migrate(connection: duckdb.DuckDBPyConnection, step: Step) -> None:
    import duckdb

    for statement in connection.extract_statements(step.sql):
        try:
            connection.execute(statement)
        except duckdb.Error as error:
            raise LakeError(
                f"the lake stays at its version: migration {step.number} ({step.name}) cannot be "
                f"done: {error}"
            ) from error


def _fit_columns(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Add what the lake's table lacks; refuse what the package does not know."""
    rows = connection.execute(f'DESCRIBE "{name}"').fetchall()
    there = {str(row[0]): str(row[1]) for row in rows}
    for column in get_table(name).columns:
        wanted = SQL_TYPES[column.type]
        if column.name in there:
            found = there.pop(column.name).replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
            if found != wanted:
                raise LakeError(
                    f"the lake's table {name} has column {column.name} as {found}, this nanolake "
                    f"({__version__}) as {wanted}: use the nanolake that wrote the lake"
                )
            continue
        if column.required:
            raise LakeError(
                f"the lake's table {name} has no column {column.name}, which must not be NULL: "
                "use the nanolake that wrote the lake, or make a new lake"
            )
        connection.execute(f'ALTER TABLE "{name}" ADD COLUMN "{column.name}" {wanted}')
    for column_name in there:
        raise _unknown(name, column_name)


def _require_known(connection: duckdb.DuckDBPyConnection, metadata: str) -> None:
    """Refuse a column that somebody has added since the lake followed this package.

    DuckLake's own tables are asked: DuckDB's list of columns binds every view, for 0.2 s.
    """
    found = connection.execute(
        f"SELECT table_name, column_name FROM {metadata}.ducklake_column "
        f"JOIN {metadata}.ducklake_table AS t USING (table_id) WHERE t.end_snapshot IS NULL "
        "AND ducklake_column.end_snapshot IS NULL AND parent_column IS NULL"
    ).fetchall()
    known = {name: get_table(name).column_names for name in _tables()}
    for name, column in found:
        if name in known and column not in known[name]:
            raise _unknown(name, column)


def _unknown(table: str, column: str) -> LakeError:
    return LakeError(
        f"the lake's table {table} has a column {column} that this nanolake ({__version__}) does "
        "not know, so it writes nothing: use the nanolake that added it, or take the column away"
    )


def _tables() -> list[str]:
    return [name for name in load_tables() if name not in BESIDE]
