"""Particles in blocks of rows: a table may be larger than memory, a sample of it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SchemaError
from nanolake.group.methods import Floats
from nanolake.scaling import raw_matrix


@runtime_checkable
class Rows(Protocol):
    """Blocks of particles that can be read again and again, always the same rows in each."""

    @property
    def block_count(self) -> int:
        """Number of blocks."""

    def block(self, index: int, columns: Sequence[str]) -> Floats:
        """Return ``columns`` of one block as `nanolake.scaling.raw_matrix` does."""


class TableRows:
    """A table in memory (a mapping of names to arrays, a pandas frame) as one block."""

    block_count = 1

    def __init__(self, table: Any) -> None:
        self._table = table

    def block(self, index: int, columns: Sequence[str]) -> Floats:
        """Return ``columns`` of all rows."""
        return raw_matrix(self._table, columns)


def blocks(rows: Rows, columns: Sequence[str]) -> Iterator[Floats]:
    """Yield every block in order."""
    for index in range(rows.block_count):
        yield rows.block(index, columns)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Complete rows drawn at random from all, and how many there are in each block."""

    raw: Floats
    """(n, c), in an order that only the values decide."""
    complete_counts: tuple[int, ...]
    row_count: int


def count_missing(rows: Rows, columns: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Return how many values of each column are missing, and the number of rows."""
    missing, total = np.zeros(len(columns), np.int64), 0
    for raw in blocks(rows, columns):
        missing += np.isnan(raw).sum(axis=0)
        total += len(raw)
    return missing, total


def draw_sample(rows: Rows, columns: Sequence[str], most: int, seed: int) -> Sample:
    """Draw at most ``most`` complete rows without holding more than one block beside them.

    Every row draws a number, the smallest numbers are kept. Up to ``most`` complete rows all are
    taken, and the result does not depend on the order of the rows; above that it depends on it.
    Raises `SchemaError` where no row is complete.
    """
    rng = np.random.default_rng(seed)
    kept, keys = np.empty((0, len(columns))), np.empty(0)
    counts, total, missing = [], 0, np.zeros(len(columns), np.int64)
    for raw in blocks(rows, columns):
        total += len(raw)
        absent = np.isnan(raw)
        missing += absent.sum(axis=0)
        complete = raw[~absent.any(axis=1)]
        counts.append(len(complete))
        kept = np.concatenate([kept, complete])
        keys = np.concatenate([keys, rng.random(len(complete))])
        if len(kept) > most:
            chosen = np.argpartition(keys, most)[:most]
            kept, keys = kept[chosen], keys[chosen]
    if len(kept) == 0:
        raise SchemaError(_nothing_complete(columns, missing, total))
    kept = kept[np.lexsort(kept.T[::-1])] if len(columns) else kept
    return Sample(raw=kept, complete_counts=tuple(counts), row_count=total)


def _nothing_complete(columns: Sequence[str], missing: NDArray[np.int64], total: int) -> str:
    counts = {c: int(m) for c, m in zip(columns, missing, strict=True) if m}
    return (
        f"none of {total} particles has a value in every column compared; missing: "
        f"{counts or 'the table is empty'}. Compute them, or leave columns out"
    )
