"""Answers that arrive in batches, and the memory that DuckDB may take for them."""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nanolake.errors import QueryError, SettingsError
from nanolake.free_memory import available_bytes

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

STREAM_ROWS = 65_536
"""Rows of a batch: some 40 MB of the widest table."""
MEMORY = "NANOLAKE_MEMORY"
_SHARE = 0.6
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)


class Answer:
    """Batches of rows with their schema; can be walked through once."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._reader = reader
        self.schema: pa.Schema = reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        while True:
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                return
            except (OSError, pa.ArrowException) as error:  # what DuckDB's own turn into on the way
                raise QueryError(f"{error}".strip()) from None
            if batch.num_rows:
                yield batch


def as_reader(schema: pa.Schema, tables: Iterator[pa.Table]) -> pa.RecordBatchReader:
    """Return tables of one schema as what DuckDB reads batch by batch."""
    import pyarrow as pa

    batches = (batch for table in tables for batch in table.to_batches())
    return pa.RecordBatchReader.from_batches(schema, batches)


def memory_limit_bytes() -> int | None:
    """Return what DuckDB may hold: ``NANOLAKE_MEMORY``, else 60 % of what is free now.

    None where the system does not say what is free: DuckDB's own limit holds then (80 % of the
    machine's memory). Raises `SettingsError` where the setting is no size.
    """
    given = os.environ.get(MEMORY)
    if not given:
        free = available_bytes()
        return None if free is None else int(free * _SHARE)
    match = _SIZE.fullmatch(given.strip())
    if match is None or not float(match[1]):
        raise SettingsError(f"{MEMORY}={given!r} is no size: write 4GB or 500MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def hold_to_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Limit a connection's memory; what does not fit goes to the system's temporary folder.

    DuckDB makes the folder for it when it is needed and takes it away at the end. The limit holds
    for what DuckDB keeps; batches under way and DuckDB's code come on top, some 150 MB.
    """
    limit = memory_limit_bytes()
    if limit is not None:
        connection.execute(f"SET memory_limit = '{limit} B'")
    spill = Path(tempfile.gettempdir()) / f"nanolake-spill-{uuid.uuid4().hex[:12]}"
    connection.execute(f"SET temp_directory = '{str(spill).replace(chr(39), chr(39) * 2)}'")
