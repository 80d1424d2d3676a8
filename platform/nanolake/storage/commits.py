"""What one commit to the lake is: rows of many tables and a note of what they came from.

The note (DuckLake's ``commit_extra_info``) holds a token of the commit and the keys of its units of
work. After a crash or a lost answer they tell whether the commit has landed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nanolake.errors import StoreError
from nanolake.storage.origin import UNSAID, Origin, author

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Query = Callable[..., "pa.Table"]
"""`Lake.query`."""


def append(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, pa.Table | pa.RecordBatchReader],
    message: str,
    *,
    unit_keys: Sequence[str] = (),
    origin: Origin = UNSAID,
    token: str = "",
) -> int:
    """Append rows to tables in one transaction; return the snapshot, or raise and leave nothing."""
    import duckdb

    counts = {}
    connection.execute("BEGIN")
    try:
        for name, rows in tables.items():
            connection.register("incoming", rows)
            done = connection.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM incoming')
            counts[name] = int((done.fetchone() or (0,))[0])
            connection.unregister("incoming")
        describe(connection, message, origin.info(rows=counts, units=unit_keys, token=token))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a COMMIT that failed has rolled back already
            connection.execute("ROLLBACK")
        raise
    # This connection's own: another writer's may be newer by now.
    row = connection.execute("FROM lake.last_committed_snapshot()").fetchone()
    assert row is not None, "a lake that was just committed to has a snapshot"
    return int(row[0])


def describe(connection: duckdb.DuckDBPyConnection, message: str, info: str) -> None:
    """Say in the open transaction who commits, what, and from what (`Origin.info`)."""
    connection.execute(
        "CALL lake.set_commit_message($author, $message, extra_info => $info)",
        {"author": author(), "message": message, "info": info},
    )


def find_token(query: Query, token: str) -> int | None:
    """Return the snapshot that the commit of this token has made, if it has landed."""
    rows = query(
        "SELECT snapshot_id FROM lake.snapshots() WHERE contains(commit_extra_info, $token)",
        {"token": token},
    ).to_pylist()
    return int(rows[0]["snapshot_id"]) if rows else None


def find_units(query: Query, keys: set[str]) -> dict[str, int]:
    """Return the snapshot of each of these units that has landed."""
    rows = query(
        "SELECT snapshot_id, commit_extra_info FROM lake.snapshots() "
        "WHERE commit_extra_info IS NOT NULL"
    ).to_pylist()
    found = {}
    for row in rows:
        units = json.loads(row["commit_extra_info"]).get("units", [])
        found.update({key: row["snapshot_id"] for key in units if key in keys})
    return found


def without(tables: Mapping[str, pa.Table], unit_keys: set[str]) -> dict[str, pa.Table]:
    """Return the tables less the rows of some units, and less the tables that are empty then."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lost = pa.array(sorted(unit_keys), pa.string())
    kept = {
        name: rows.filter(pc.invert(pc.is_in(rows.column("unit_key"), lost)))
        for name, rows in tables.items()
    }
    return {name: rows for name, rows in kept.items() if rows.num_rows}


def may_pass(error: Exception) -> bool:
    """Whether what failed may go well once more: another writer was quicker, or a line was lost."""
    import duckdb

    return isinstance(error, StoreError | duckdb.TransactionException | duckdb.IOException)
