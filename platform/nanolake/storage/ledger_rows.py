"""The rows of an SQLite ledger as DuckDB may ask for them, without opening the file itself.

Two SQLite libraries in one process, Python's and the one of DuckDB's extension, must not have the
same file open: POSIX locks are the process's, so either drops the other's, and with them what keeps
other processes away (decision 19). Python writes the ledger, so Python reads it too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.contracts import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 20_000


@dataclass(frozen=True)
class LedgerRows:
    """One table of an SQLite ledger; to be registered with a DuckDB connection under its name.

    It is read anew at every scan, in batches, so it always shows the rows of now.
    """

    path: Path
    name: str

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Return the rows as an Arrow stream (the PyCapsule interface); nothing is read yet."""
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(arrow_schema(self.name), self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = arrow_schema(self.name)
        sql = f"SELECT {', '.join(schema.names)} FROM {self.name}"
        # DuckDB asks from any of its threads, one at a time.
        with closing(sqlite3.connect(self.path, check_same_thread=False)) as connection:
            cursor = connection.execute(sql)
            while rows := cursor.fetchmany(_BATCH_ROWS):
                columns = zip(*rows, strict=True)
                arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
                yield pa.record_batch(arrays, schema=schema)
