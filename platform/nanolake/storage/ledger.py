"""The ledger of work units: a real PRIMARY KEY that makes every result land exactly once.

A unit of work is *claimed* before it is computed, its rows are committed to the lake in one
transaction that carries the unit's key, and then it is marked *done*. Where a process dies between
the last two steps, the next run finds the key in the lake's history and does not compute again.
DuckLake itself has no primary key, so the ledger lies beside the catalogue: in an SQLite file, or
in the PostgreSQL schema of the catalogue. The statements are the same.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nanolake import __version__
from nanolake.contracts import get_table
from nanolake.errors import StoreError

LEASE_S = 600.0
BESIDE = ("work_unit", "data_file")
"""Tables that lie beside the catalogue, where they have a primary key, and not in it."""
_SQLITE_TYPES = {"string": "TEXT", "float64": "REAL", "int32": "INTEGER", "int64": "INTEGER"}
_POSTGRES_TYPES = {
    "string": "text",
    "float64": "double precision",
    "int32": "integer",
    "int64": "bigint",
}
Row = Mapping[str, Any] | sqlite3.Row
Outcome = TypeVar("Outcome")
_BATCH = 500
WAIT_S = 60.0
"""How long an SQLite ledger is waited for while another process has it."""
_IDLE_S = 30.0
_REACH_AGAIN_S = (0.5, 1.0, 2.0, 4.0, 8.0)


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


class _LineLostError(StoreError):
    """A database that was reached went away in the middle of something."""


class Session(Protocol):
    """One transaction of a database; ``?`` stands for a parameter, a row is asked by name."""

    def execute(self, sql: str, values: Sequence[object] = ()) -> Any:
        """Run one statement; what it returns has ``fetchall`` and may be walked over."""
        ...

    def executemany(self, sql: str, values: Sequence[Sequence[object]]) -> object:
        """Run one statement for many rows."""
        ...


class Database(Protocol):
    """Where the ledger's table lies."""

    @property
    def types(self) -> Mapping[str, str]:
        """The schema's types in the words of this database."""
        ...

    def prepare(self) -> None:
        """Make the place where it is not there yet."""
        ...

    def now(self) -> float:
        """Return the Unix time in s that leases are measured by."""
        ...

    def transaction(self) -> AbstractContextManager[Session]:
        """Give a transaction that no other one of this ledger runs beside."""
        ...


class Ledger:
    """The ``work_unit`` table of one lake. ``place`` is a database, or an SQLite file."""

    def __init__(
        self, place: Path | str | Database, *, now: Callable[[], float] | None = None
    ) -> None:
        self._database = SqliteDatabase(Path(place)) if isinstance(place, str | Path) else place
        self._database.prepare()
        self._now = now or self._database.now
        with self.transaction() as connection:
            for name in BESIDE:
                connection.execute(_ddl(name, self._database.types))

    def claim(
        self, units: Iterable[Unit], *, owner: str | None = None, retry_failed: bool = False
    ) -> Claim:
        """Claim what nobody has done, is doing, or has failed at (unless ``retry_failed``).

        A claim whose lease has run out, or whose owner was a process of this host that is gone,
        is void and is taken over.
        """
        wanted = {unit.key: unit for unit in units}
        me, now = owner or owner_name(), self._now()
        tried = False

        def claimed(connection: Session) -> Claim:
            nonlocal tried
            known = _states(connection, list(wanted))
            mine = {key for key, row in known.items() if tried and _is_claim(row, me, now)}
            tried = True
            done = {key for key, row in known.items() if row["state"] == "done"}
            failed = {key for key, row in known.items() if row["state"] == "failed"}
            busy = {key for key, row in known.items() if self._is_held(row)} - mine
            taken = mine | done | busy | (set() if retry_failed else failed)
            new = [unit for key, unit in wanted.items() if key not in taken]
            rows = [(u.key, u.step, u.subject, me, now + LEASE_S, now) for u in new]
            connection.executemany(_CLAIM, rows)
            mine |= {unit.key for unit in new}
            return Claim(
                mine=frozenset(mine),
                done=frozenset(done),
                failed=frozenset(failed - mine),
                busy=frozenset(busy),
            )

        return self._do(claimed)

    def finish(
        self, wall_s: Mapping[str, float], snapshot_id: int | None, *, owner: str | None = None
    ) -> None:
        """Mark units (key to worker time in s) done: their rows are in ``snapshot_id``.

        As in `fail`, `renew` and `release`, only ``owner``'s own claims (default: this process's)
        are touched: a claim that was lost meanwhile is somebody else's to settle.
        """
        me = owner or owner_name()
        rows = [(snapshot_id, seconds, self._now(), key, me) for key, seconds in wall_s.items()]
        self._do_for_each(
            "UPDATE work_unit SET state = 'done', error = NULL, snapshot_id = ?, wall_s = ?, "
            f"updated_at_s = ? WHERE {_OWN}",
            rows,
        )

    def fail(self, errors: Mapping[str, str], *, owner: str | None = None) -> None:
        """Mark units (key to error text) failed."""
        me = owner or owner_name()
        rows = [(text, self._now(), key, me) for key, text in errors.items()]
        self._do_for_each(
            f"UPDATE work_unit SET state = 'failed', error = ?, updated_at_s = ? WHERE {_OWN}", rows
        )

    def renew(self, keys: Iterable[str], *, owner: str | None = None) -> None:
        """Prolong the lease of claimed units that are still being worked on."""
        until, me = self._now() + LEASE_S, owner or owner_name()
        self._do_for_each(
            f"UPDATE work_unit SET lease_until_s = ? WHERE {_OWN}",
            [(until, key, me) for key in keys],
        )

    def release(self, keys: Iterable[str], *, owner: str | None = None) -> None:
        """Give claimed units back undone, so that the next run may take them at once."""
        me = owner or owner_name()
        self._do_for_each(f"DELETE FROM work_unit WHERE {_OWN}", [(key, me) for key in keys])

    def abandoned(self) -> dict[str, Abandoned]:
        """Return the claims whose owner is gone, by key: committed or not, nobody knows yet."""
        rows = self._asked("SELECT * FROM work_unit WHERE state = 'claimed'")
        return {
            row["unit_key"]: Abandoned(owner=row["owner"], lease_until_s=row["lease_until_s"])
            for row in rows
            if not self._is_held(row)
        }

    def settle(self, abandoned: Mapping[str, Abandoned], committed: Mapping[str, int]) -> None:
        """Mark abandoned claims done where ``committed`` names their snapshot; free the others.

        A claim that was renewed, taken over or settled since `abandoned` was asked stays.
        """

        def settled(connection: Session) -> None:
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

        self._do(settled)

    def attempts(self, keys: Iterable[str], *, owner: str | None = None) -> dict[str, int]:
        """Return how often each of the ``keys`` that ``owner`` holds now was claimed."""
        me = owner or owner_name()
        wanted = list(keys)
        known = self._do(lambda connection: _states(connection, wanted))
        return {
            key: row["attempt"]
            for key, row in known.items()
            if row["state"] == "claimed" and row["owner"] == me
        }

    def claimed(self) -> dict[str, tuple[str, float]]:
        """Return every claim that is not settled, by key: its step, and when (Unix time in s)."""
        rows = self._asked(
            "SELECT unit_key, step, updated_at_s FROM work_unit WHERE state = 'claimed'"
        )
        return {row["unit_key"]: (row["step"], row["updated_at_s"]) for row in rows}

    def now(self) -> float:
        """Return the Unix time in s by the clock that claims and leases go by."""
        return self._now()

    @contextmanager
    def quiet(self, steps: Iterable[str]) -> Iterator[bool]:
        """Give whether nobody holds a claim of ``steps``; nobody can make one meanwhile.

        Everything that asks this ledger waits: for a few seconds of work, no more. A claim counts
        until it is settled, whether its lease has run out or not.
        """
        names = list(steps)
        marks = ",".join("?" * len(names))
        with self.transaction() as connection:
            found = connection.execute(
                "SELECT unit_key FROM work_unit WHERE state = 'claimed' "
                f"AND step IN ({marks}) LIMIT 1",
                names,
            ).fetchall()
            yield not found

    def adopt(self, rows: Iterable[Mapping[str, Any]], snapshot_id: int) -> int:
        """Take over settled units of another lake, done in ``snapshot_id`` here; return how many.

        A unit that is here already stays as it is.
        """
        columns = [column.name for column in get_table("work_unit").columns]
        marks = ", ".join("?" * len(columns))
        sql = (
            f"INSERT INTO work_unit ({', '.join(columns)}) VALUES ({marks}) "
            "ON CONFLICT (unit_key) DO NOTHING"
        )
        count = 0
        with self.transaction() as connection:
            for row in rows:
                known = None if row["snapshot_id"] is None else snapshot_id
                values = {**row, "snapshot_id": known}
                connection.execute(sql, [values[name] for name in columns])
                count += 1
        return count

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many units stand in each (step, state)."""
        rows = self._asked(
            "SELECT step, state, count(*) AS n FROM work_unit GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return {(row["step"], row["state"]): row["n"] for row in rows}

    def _do(self, work: Callable[[Session], Outcome]) -> Outcome:
        """Do ``work`` in a transaction, once more where the line was lost in the middle of it.

        Whether it had been committed then nobody knows: it must come to the same done twice.
        """
        with suppress(_LineLostError), self.transaction() as connection:
            return work(connection)
        with self.transaction() as connection:
            return work(connection)

    def _do_for_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        self._do(lambda connection: connection.executemany(sql, rows))

    def _asked(self, sql: str) -> list[Row]:
        return self._do(lambda connection: list(connection.execute(sql).fetchall()))

    def _is_held(self, row: Row) -> bool:
        return (
            row["state"] == "claimed"
            and row["lease_until_s"] > self._now()
            and _may_live(row["owner"])
        )

    def transaction(self) -> AbstractContextManager[Session]:
        """Give a transaction on the tables beside the catalogue."""
        return self._database.transaction()


@dataclass(frozen=True)
class SqliteDatabase:
    """A file; ``BEGIN IMMEDIATE`` keeps other transactions out."""

    path: Path
    types = _SQLITE_TYPES

    def prepare(self) -> None:
        _use_wal(self.path)

    def now(self) -> float:
        return time.time()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        connection = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):  # full, locked, not to be written to
                raise StoreError(f"the ledger {self.path} cannot be written: {error}") from error
            raise
        finally:
            connection.close()


@dataclass(frozen=True)
class PostgresDatabase:
    """A schema of a PostgreSQL database; an advisory lock keeps other transactions out."""

    conninfo: str
    schema: str
    types = _POSTGRES_TYPES

    def prepare(self) -> None:
        with self.connect(autocommit=True) as connection:
            # CREATE SCHEMA IF NOT EXISTS may fail where two sessions come at once.
            connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [self.schema])
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")

    def now(self) -> float:
        """The server's clock: those of many computers differ, and a lease is theirs in common."""
        return time.time() + self._behind_s

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """To connect takes longer than all statements of a transaction: a connection is kept."""
        with self._used(self._idle.take() or self._opened()) as connection:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.schema])
                yield Numbered(connection.cursor())
            self._idle.give(connection)

    @contextmanager
    def connect(self, *, autocommit: bool = False) -> Iterator[Any]:
        """Give a connection whose names are the schema's; `StoreError` where there is none."""
        with self._used(self._opened(autocommit=autocommit)) as connection, connection:
            yield connection

    def _opened(self, *, autocommit: bool = True) -> Any:
        """Connect; a server that has been reached before is waited for a few seconds."""
        import psycopg
        from psycopg.rows import dict_row

        for wait_s in (*(_REACH_AGAIN_S if self._idle.reached else ()), None):
            try:
                connection = psycopg.connect(
                    self.conninfo,
                    autocommit=autocommit,
                    row_factory=dict_row,
                    options=f"-c search_path={self.schema}",
                    connect_timeout=10,
                )
            except psycopg.OperationalError as error:
                if wait_s is None:
                    raise StoreError(unreachable(self.conninfo, error)) from None
                time.sleep(wait_s)
            else:
                self._idle.reached = True
                return connection
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _used(self, connection: Any) -> Iterator[Any]:
        """Close the connection where anything goes wrong, and say what in our words."""
        import psycopg

        try:
            yield connection
        except BaseException as error:
            connection.close()
            if not isinstance(error, psycopg.OperationalError):
                raise
            if isinstance(error, psycopg.errors.LockNotAvailable):
                raise
            raise _LineLostError(unreachable(self.conninfo, error)) from None

    @cached_property
    def _idle(self) -> _Idle:
        idle = _Idle()
        weakref.finalize(self, idle.close)
        return idle

    @cached_property
    def _behind_s(self) -> float:
        with self.connect() as connection:
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp()) AS s").fetchone()
        return float(row["s"]) - time.time()


class _Idle:
    """Connections of this process that wait for their next transaction."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, float, Any]] = []
        self.reached = False

    def give(self, connection: Any) -> None:
        self._waiting.append((os.getpid(), time.monotonic(), connection))

    def take(self) -> Any | None:
        """Return one that is as good as new, or None.

        A server that went away has closed it, which makes it readable; one that waited for long
        may have been cut off without a word. A parent process's is the parent's to close.
        """
        while self._waiting:
            process, since, connection = self._waiting.pop()
            if process != os.getpid():
                continue
            fresh = time.monotonic() - since < _IDLE_S
            if fresh and not select.select([connection.fileno()], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def close(self) -> None:
        while self._waiting:
            process, _, connection = self._waiting.pop()
            if process == os.getpid():
                connection.close()


class Numbered:
    """A cursor of psycopg that takes ``?`` as SQLite does."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, values: Sequence[object] = ()) -> Any:
        return self._cursor.execute(sql.replace("?", "%s"), values)

    def executemany(self, sql: str, values: Sequence[Sequence[object]]) -> object:
        return self._cursor.executemany(sql.replace("?", "%s"), values)


def unreachable(where: str, error: Exception) -> str:
    """Return what to tell a user whose PostgreSQL does not let us in; it never holds a password."""
    text = str(error)
    if "password" in text or "authentication" in text:
        remedy = "set PGPASSWORD, or write the password into ~/.pgpass"
    else:
        remedy = "is the server running, and may this computer reach it?"
    return f"the catalogue on PostgreSQL ({where}) does not answer: {text.strip()}: {remedy}"


_OWN = "unit_key = ? AND state = 'claimed' AND owner = ?"
_CLAIM = (
    "INSERT INTO work_unit (unit_key, step, subject, state, owner, lease_until_s, attempt, "
    "updated_at_s) VALUES (?, ?, ?, 'claimed', ?, ?, 1, ?) ON CONFLICT (unit_key) DO UPDATE SET "
    "state = 'claimed', owner = excluded.owner, lease_until_s = excluded.lease_until_s, "
    "attempt = work_unit.attempt + 1, updated_at_s = excluded.updated_at_s"
)


def _ddl(name: str, types: Mapping[str, str]) -> str:
    table = get_table(name)
    columns = [
        f"{c.name} {types[c.type]}{' NOT NULL' if c.required else ''}" for c in table.columns
    ]
    key = f"PRIMARY KEY ({', '.join(table.key)})"
    return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)}, {key})"


def _use_wal(path: Path) -> None:
    """Switch the file's journal to WAL, which stays; SQLite itself does not wait with this one."""
    deadline = time.monotonic() + WAIT_S
    while True:
        connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
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


def _is_claim(row: Row, owner: str, when_s: float) -> bool:
    """Whether ``owner`` made this claim at that moment."""
    return (row["state"], row["owner"], row["updated_at_s"]) == ("claimed", owner, when_s)


def _states(connection: Session, keys: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
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
