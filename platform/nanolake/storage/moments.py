"""Moments of a lake's history: a snapshot's number, or a time, found among the snapshots kept.

DuckLake itself is not asked for a time. With its SQLite catalogue it compares times as texts, which
is off by up to a day; and where snapshots have expired it answers with an older one than was meant.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nanolake.errors import QueryError, SettingsError

if TYPE_CHECKING:
    import duckdb

At = int | datetime
"""A moment of a lake's history: a snapshot's number, or a time (UTC where it names no zone)."""


def read_moment(text: str) -> At:
    """Read ``12``, ``2026-11-01`` (its first second) or ``2026-11-01 12:00+01:00``.

    Raises `SettingsError` for what is neither a number nor a time.

    >>> read_moment("12"), read_moment("2026-11-01").isoformat()
    (12, '2026-11-01T00:00:00+00:00')
    """
    if text.strip().isdecimal():
        return int(text)
    try:
        return _utc(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise SettingsError(
            f"{text!r} is no moment: give a snapshot's number (12), a day (2026-11-01: its first "
            "second) or a time (2026-11-01 12:00, in UTC unless it names a zone: +01:00)"
        ) from None


def find_snapshot(connection: duckdb.DuckDBPyConnection, at: At) -> int:
    """Return the snapshot that ``at`` means: what was the lake's newest then.

    Raises `QueryError` for a moment that the lake did not have yet, or has no more: between two
    snapshots that are kept, others may have expired.
    """
    if isinstance(at, datetime):
        return _at_time(connection, _utc(at))
    return _numbered(connection, at)


def _numbered(connection: duckdb.DuckDBPyConnection, number: int) -> int:
    below, above = _around(connection, "snapshot_id <= ?", [number])
    if below is not None and below[0] == number:
        return number
    if above is None and below is not None:
        raise QueryError(f"the lake has no snapshot {number}: its newest is {_said(below)}")
    raise QueryError(f"snapshot {number} has expired: {_kept(below, above)}")


def _at_time(connection: duckdb.DuckDBPyConnection, when: datetime) -> int:
    below, above = _around(connection, "snapshot_time <= ?", [when])
    shown = f"{when:%Y-%m-%d %H:%M:%S} UTC"
    if when > datetime.now(UTC):
        raise QueryError(f"{shown} is still to come: leave --at out for the lake of now")
    if below is None and above is not None and above[0] == 0:
        raise QueryError(f"there was no lake at {shown}: its first snapshot is {_said(above)}")
    if below is None or (above is not None and above[0] != below[0] + 1):
        raise QueryError(f"what the lake held at {shown} has expired: {_kept(below, above)}")
    return int(below[0])


def _around(connection: duckdb.DuckDBPyConnection, where: str, values: list[Any]) -> list[Any]:
    """Return (number, time) of the last snapshot for which ``where`` holds, and of the next one."""
    last = connection.execute(
        f"SELECT snapshot_id, snapshot_time FROM lake.snapshots() WHERE {where} "
        "ORDER BY snapshot_id DESC LIMIT 1",
        values,
    ).fetchone()
    after = connection.execute(
        "SELECT snapshot_id, snapshot_time FROM lake.snapshots() WHERE snapshot_id > ? "
        "ORDER BY snapshot_id LIMIT 1",
        [-1 if last is None else last[0]],
    ).fetchone()
    return [last, after]


def _kept(*around: Any) -> str:
    said = [_said(one) for one in around if one is not None]
    return f"ask for one that is kept: {' or '.join(said)}"


def _said(snapshot: Any) -> str:
    number, when = snapshot
    return f"{number} ({when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
