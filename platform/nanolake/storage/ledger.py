"""The ledger of work units: a real PRIMARY KEY that makes every result land exactly once.

A unit of work is *claimed* before it is computed, its rows are committed to the lake in one
transaction that carries the unit's key, and then it is marked *done*. Where a process dies between
the last two steps, the next run finds the key in the lake's history and does not compute again.
DuckLake itself has no primary key, so the ledger lies beside the catalogue in SQLite.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nanolake import __version__
from nanolake.contracts import get_table

LEASE_S = 600.0
_SQLITE_TYPES = {"string": "TEXT", "float64": "REAL", "int32": "INTEGER", "int64": "INTEGER"}
_BATCH = 500
_WAIT_S = 60.0


def unit_key(*parts: object, code_version: str = __version__) -> str:
    """Return the key of a unit of work: SHA-256 of its inputs and of the code's version."""
    return hashlib.sha256("\x1f".join([code_version, *map(str, parts)]).encode()).hexdigest()


def owner_name() -> str:
    """Return who claims: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Something to be done once. ``subject`` is for people: a path or an id."""

    key: str
    step: str
    subject: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The outcome of asking for units: each key is in exactly one of the sets."""

    mine: frozenset[str]
    done: frozenset[str]
    failed: frozenset[str]
    busy: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Abandoned:
    """Whose claim it was and how long it held: enough to tell it from a newer claim."""

    owner: str
    lease_until_s: float


class Ledger:
    """The ``work_unit`` table of one lake, in an SQLite file."""

    def __init__(self, path: Path | str, *, now: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        self._now = now
        _use_wal(self.path)
        with self._transaction() as connection:
            connection.execute(_ddl())

    def claim(
        self, units: Iterable[Unit], *, owner: str | None = None, retry_failed: bool = False
    ) -> Claim:
        """Claim what nobody has done, is doing, or has failed at (unless ``retry_failed``).

        A claim whose lease has run out, or whose owner was a process of this host that is gone,
        is void and is taken over.
        """
        wanted = {unit.key: unit for unit in units}
        me = owner or owner_name()
        with self._transaction() as connection:
            known = _states(connection, list(wanted))
            done = {key for key, row in known.items() if row["state"] == "done"}
            failed = {key for key, row in known.items() if row["state"] == "failed"}
            busy = {key for key, row in known.items() if self._is_held(row)}
            taken = done | busy | (set() if retry_failed else failed)
            mine = [unit for key, unit in wanted.items() if key not in taken]
            connection.executemany(_CLAIM, [self._claim_row(unit, me) for unit in mine])
        keys = frozenset(unit.key for unit in mine)
        return Claim(
            mine=keys,
            done=frozenset(done),
            failed=frozenset(failed) - keys,
            busy=frozenset(busy) - keys,
        )

    def finish(
        self, wall_s: Mapping[str, float], snapshot_id: int | None, *, owner: str | None = None
    ) -> None:
        """Mark units (key to worker time in s) done: their rows are in ``snapshot_id``.

        As in `fail`, `renew` and `release`, only ``owner``'s own claims (default: this process's)
        are touched: a claim that was lost meanwhile is somebody else's to settle.
        """
        me = owner or owner_name()
        rows = [(snapshot_id, seconds, self._now(), key, me) for key, seconds in wall_s.items()]
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE work_unit SET state = 'done', error = NULL, snapshot_id = ?, wall_s = ?, "
                f"updated_at_s = ? WHERE {_OWN}",
                rows,
            )

    def fail(self, errors: Mapping[str, str], *, owner: str | None = None) -> None:
        """Mark units (key to error text) failed."""
        me = owner or owner_name()
        rows = [(text, self._now(), key, me) for key, text in errors.items()]
        with self._transaction() as connection:
            connection.executemany(
                f"UPDATE work_unit SET state = 'failed', error = ?, updated_at_s = ? WHERE {_OWN}",
                rows,
            )

    def renew(self, keys: Iterable[str], *, owner: str | None = None) -> None:
        """Prolong the lease of claimed units that are still being worked on."""
        until, me = self._now() + LEASE_S, owner or owner_name()
        with self._transaction() as connection:
            connection.executemany(
                f"UPDATE work_unit SET lease_until_s = ? WHERE {_OWN}",
                [(until, key, me) for key in keys],
            )

    def release(self, keys: Iterable[str], *, owner: str | None = None) -> None:
        """Give claimed units back undone, so that the next run may take them at once."""
        me = owner or owner_name()
        with self._transaction() as connection:
            connection.executemany(
                f"DELETE FROM work_unit WHERE {_OWN}", [(key, me) for key in keys]
            )

    def abandoned(self) -> dict[str, Abandoned]:
        """Return the claims whose owner is gone, by key: committed or not, nobody knows yet."""
        with self._transaction() as connection:
            rows = connection.execute("SELECT * FROM work_unit WHERE state = 'claimed'").fetchall()
        return {
            row["unit_key"]: Abandoned(owner=row["owner"], lease_until_s=row["lease_until_s"])
            for row in rows
            if not self._is_held(row)
        }

    def settle(self, abandoned: Mapping[str, Abandoned], committed: Mapping[str, int]) -> None:
        """Mark abandoned claims done where ``committed`` names their snapshot; free the others.

        A claim that was renewed, taken over or settled since `abandoned` was asked stays.
        """
        with self._transaction() as connection:
            for key, seen in abandoned.items():
                where = (key, seen.owner, seen.lease_until_s)
                if key in committed:
                    connection.execute(
                        "UPDATE work_unit SET state = 'done', error = NULL, snapshot_id = ?, "
                        f"updated_at_s = ? WHERE {_OWN} AND lease_until_s = ?",
                        (committed[key], self._now(), *where),
                    )
                else:
                    connection.execute(
                        f"DELETE FROM work_unit WHERE {_OWN} AND lease_until_s = ?", where
                    )

    def attempts(self, keys: Iterable[str], *, owner: str | None = None) -> dict[str, int]:
        """Return how often each of the ``keys`` that ``owner`` holds now was claimed."""
        me = owner or owner_name()
        with self._transaction() as connection:
            known = _states(connection, list(keys))
        return {
            key: row["attempt"]
            for key, row in known.items()
            if row["state"] == "claimed" and row["owner"] == me
        }

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many units stand in each (step, state)."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT step, state, count(*) FROM work_unit GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
        return {(row[0], row[1]): row[2] for row in rows}

    def _claim_row(self, unit: Unit, owner: str) -> tuple[object, ...]:
        now = self._now()
        return (unit.key, unit.step, unit.subject, owner, now + LEASE_S, now)

    def _is_held(self, row: sqlite3.Row) -> bool:
        return (
            row["state"] == "claimed"
            and row["lease_until_s"] > self._now()
            and _may_live(row["owner"])
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.close()


_OWN = "unit_key = ? AND state = 'claimed' AND owner = ?"
_CLAIM = (
    "INSERT INTO work_unit (unit_key, step, subject, state, owner, lease_until_s, attempt, "
    "updated_at_s) VALUES (?, ?, ?, 'claimed', ?, ?, 1, ?) ON CONFLICT (unit_key) DO UPDATE SET "
    "state = 'claimed', owner = excluded.owner, lease_until_s = excluded.lease_until_s, "
    "attempt = attempt + 1, updated_at_s = excluded.updated_at_s"
)


def _ddl() -> str:
    columns = [
        f"{c.name} {_SQLITE_TYPES[c.type]}{' NOT NULL' if c.required else ''}"
        for c in get_table("work_unit").columns
    ]
    return f"CREATE TABLE IF NOT EXISTS work_unit ({', '.join(columns)}, PRIMARY KEY (unit_key))"


def _use_wal(path: Path) -> None:
    """Switch the file's journal to WAL, which stays; SQLite itself does not wait with this one."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
        finally:
            connection.close()


def _states(connection: sqlite3.Connection, keys: Sequence[str]) -> dict[str, sqlite3.Row]:
    found: dict[str, sqlite3.Row] = {}
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        marks = ",".join("?" * len(batch))
        rows = connection.execute(f"SELECT * FROM work_unit WHERE unit_key IN ({marks})", batch)
        found.update({row["unit_key"]: row for row in rows})
    return found


def _may_live(owner: str) -> bool:
    """Whether the claiming process may still run; another host's cannot be asked."""
    host, _, process = owner.rpartition(":")
    if host != socket.gethostname() or not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
