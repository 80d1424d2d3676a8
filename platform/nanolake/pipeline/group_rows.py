"""The particles to group, spooled from the lake into one Parquet file of the columns compared.

The join that makes ``morphology`` is done once; grouping then reads the blocks of the file several
times, and never holds the table: about 65 bytes a particle in the file, 100,000 rows in memory.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.errors import LakeError, QueryError
from nanolake.group import TableRows
from nanolake.pipeline.scope import experiment_ids
from nanolake.storage import Lake

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

BLOCK_ROWS = 100_000


class ParquetRows:
    """A Parquet file of particles; a row group is a block. It is a `nanolake.group.Rows`."""

    def __init__(self, path: Path, *, fingerprint: str = "") -> None:
        import pyarrow.parquet as pq

        self.path, self.fingerprint = path, fingerprint
        about = pq.read_metadata(path)
        self.row_count, self.block_count = about.num_rows, about.num_row_groups

    def block(self, index: int, columns: Sequence[str]) -> NDArray[np.float64]:
        """Return ``columns`` of one row group as `nanolake.scaling.raw_matrix` does."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            read = file.read_row_group(index, columns=list(columns))
        return TableRows({name: _numbers(read.column(name)) for name in columns}).block(0, columns)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one whole column."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=[name]).column(name)


def _numbers(column: pa.ChunkedArray) -> Any:
    return column.to_numpy()  # a missing number becomes NaN


@contextmanager
def spooled(
    lake: Lake, columns: Sequence[str], experiments: Sequence[str] = ()
) -> Iterator[ParquetRows]:
    """Give the current particles, ordered by id, with ``columns`` of ``morphology`` as float32.

    The file lives as long as the ``with``. Its ``fingerprint`` stands for the particles and the
    shape model that described each of them, if any has. Raises `LakeError` where there are no
    particles.
    """
    with tempfile.TemporaryDirectory(prefix="nanolake-group-") as folder:
        path = Path(folder) / "particles.parquet"
        fingerprint, count = _spool(lake, columns, experiments, path)
        if not count:
            named = f" in {', '.join(experiments)}" if experiments else ""
            raise LakeError(f"no particles{named}: run `nanolake segment` and `describe` first")
        yield ParquetRows(path, fingerprint=fingerprint)


def _spool(
    lake: Lake, columns: Sequence[str], experiments: Sequence[str], path: Path
) -> tuple[str, int]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    numbers = ", ".join(f'CAST("{name}" AS FLOAT) AS "{name}"' for name in dict.fromkeys(columns))
    where = "WHERE list_contains($experiments, experiment_id)" if experiments else ""
    bound = {"experiments": experiment_ids(lake, experiments)} if experiments else None
    ids, described, models, count = hashlib.sha256(), hashlib.sha256(), set[str | None](), 0
    with lake.connect(beside=()) as connection:
        sql = (
            f"SELECT particle_id, segmentation_id, model_id, {numbers} "
            f"FROM morphology {where} ORDER BY particle_id"
        )
        lake.take_ready_made(connection, sql)
        batches = _ask(connection, sql, bound)
        with pq.ParquetWriter(path, batches.schema) as file:
            for batch in batches:
                names = batch["particle_id"].to_pylist()
                ids.update("".join(f"{name}\n" for name in names).encode())
                models |= set(pc.unique(batch["model_id"]).to_pylist())
                described.update(
                    "".join(f"{one}\n" for one in batch["model_id"].to_pylist()).encode()
                )
                count += batch.num_rows
                file.write_table(pa.Table.from_batches([batch]), row_group_size=BLOCK_ROWS)
    # Where a model has described all, or none, its name says as much as one a particle.
    same = ",".join(one for one in models if one) if len(models) < 2 else described.hexdigest()
    return f"{ids.hexdigest()} {same}", count


def _ask(connection: Any, sql: str, bound: Any) -> pa.RecordBatchReader:
    import duckdb

    try:
        return connection.execute(sql, bound).to_arrow_reader(BLOCK_ROWS)
    except duckdb.Error as error:  # a column that is not there, or holds no numbers
        raise QueryError(f"{error}".strip()) from None
