"""The rows of an SQLite ledger for DuckDB, which never opens the file itself.

Two SQLite libraries in one process, Python's and the one of DuckDB's extension, must not have the
same file open: POSIX locks are the process's, so either drops the other's, and with them what keeps
other processes away (decision 19). Python writes the ledger, so Python reads it too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from nanolake.contracts import arrow_schema
from nanolake.errors import LakeError, StoreError
from nanolake.storage.ledger import WAIT_S

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 20_000


def ledger_rows(path: Path, name: str) -> pa.Table:
    """Return one table of the ledger at ``path``, of one moment.

    Raises `StoreError` where the file cannot be read now, `LakeError` where it is damaged.
    """
    import pyarrow as pa

    try:
        return pa.Table.from_batches(_batches(path, name), schema=arrow_schema(name))
    except sqlite3.OperationalError as error:
        raise StoreError(f"the ledger {path} cannot be read: {error}") from error
    except (sqlite3.Error, pa.ArrowException, OverflowError) as error:
        raise LakeError(
            f"the table {name} of {path} cannot be read: {error}: nanolake verify looks at the file"
        ) from error


def _batches(path: Path, name: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema = arrow_schema(name)
    place = f"{path.as_uri()}?mode=rw"  # nothing is made where there is none
    with closing(sqlite3.connect(place, uri=True, timeout=WAIT_S)) as connection:
        cursor = connection.execute(f"SELECT {', '.join(schema.names)} FROM {name}")
        while rows := cursor.fetchmany(_BATCH_ROWS):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            yield pa.record_batch(arrays, schema=schema)
