"""Migrations: what an older lake's tables need before they are this package's.

A step is a file ``NNNN_what.sql`` in this folder: SQL statements for DuckLake, numbered without
gaps from 0002 (version 1 is the tables of nanolake 0.3). `definitions.follow` runs the steps that a
lake has not had, all in one transaction: a lake has all of them or none. Snapshots from before keep
the tables and views that they had.

A new table or a new column that may be NULL needs no step: it is added to any lake. A column that
is taken away, renamed or given another type needs one, for example::

    ALTER TABLE lab RENAME COLUMN lab TO lab_name;
    ALTER TABLE lab ADD COLUMN founded_year INTEGER;
    UPDATE lab SET founded_year = year(founded);
    ALTER TABLE lab DROP COLUMN founded;

``schemas/versions/N.txt`` says what columns version N has. ``python -m`` of this package writes the
newest anew, and refuses where a column has gone or changed without a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nanolake.contracts import SQL_TYPES, load_tables
from nanolake.errors import SchemaError
from nanolake.storage.ledger import BESIDE

FIRST_VERSION = 1
"""The tables of nanolake 0.3, to which no step leads."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One migration: it leads to tables of version ``number``."""

    number: int
    name: str
    sql: str


def folder() -> Path:
    """Return the folder of the package's steps."""
    return Path(__file__).parent


def steps() -> tuple[Step, ...]:
    """Return the package's steps in order; raise `SchemaError` for a gap or a strange name."""
    found = []
    for number, path in enumerate(sorted(folder().glob("*.sql")), start=FIRST_VERSION + 1):
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", path.name)
        if match is None or int(match[1]) != number:
            raise SchemaError(f"migration {path.name} should be named {number:04d}_WHAT.sql")
        found.append(Step(number=number, name=match[2], sql=path.read_text(encoding="utf-8")))
    return tuple(found)


def newest_version() -> int:
    """Return the version of the package's tables; it grows with each step.

    A nanolake that knows a smaller one neither reads nor writes the lake.
    """
    return FIRST_VERSION + len(steps())


def column_lines() -> list[str]:
    """Return the package's columns as lines ``table.column SQLTYPE``, sorted."""
    return sorted(
        f"{table.name}.{column.name} {SQL_TYPES[column.type]}"
        for table in load_tables().values()
        if table.name not in BESIDE
        for column in table.columns
    )


def lost_columns(known: Iterable[str]) -> list[str]:
    """Return which lines of an earlier `column_lines` the package has no more."""
    return sorted(set(known) - set(column_lines()))
