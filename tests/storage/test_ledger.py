"""The ledger: a unit of work has one owner at a time, and its rows land once."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nanolake.errors import StoreError
from nanolake.storage import Claim, Ledger, Unit, unit_key
from nanolake.storage.catalogs import PostgresCatalog
from nanolake.storage.ledger import (
    LEASE_S,
    PostgresDatabase,
    Session,
    SqliteDatabase,
    _LineLostError,
    owner_name,
)

HOST = socket.gethostname()


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.time_s = 1000.0

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(profile: str, tmp_path: Path, clock: Clock) -> Ledger:
    if profile == "cluster":
        return Ledger(postgres(), now=clock)
    return Ledger(tmp_path / "ledger.sqlite", now=clock)


def postgres() -> PostgresDatabase:
    """A schema of its own on the running PostgreSQL."""
    url = f"{os.environ['NANOLAKE_TEST_CATALOG']}?schema=t{uuid.uuid4().hex[:12]}"
    catalog = PostgresCatalog.parse(url)
    return PostgresDatabase(catalog.conninfo, catalog.schema)


@pytest.fixture(scope="module")
def dead_owner() -> str:
    """The name of a process of this host that has ended."""
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    return f"{HOST}:{ended.stdout.strip()}"


def units(*keys: str) -> list[Unit]:
    return [Unit(key=key, step="segment", subject=f"picture {key}") for key in keys]


def row(ledger: Ledger, key: str) -> dict[str, Any]:
    with ledger._database.transaction() as session:
        (found,) = session.execute("SELECT * FROM work_unit WHERE unit_key = ?", [key]).fetchall()
    return dict(found)


def test_each_key_is_in_exactly_one_set(ledger: Ledger) -> None:
    ledger.claim(units("done", "failed", "busy"))
    ledger.finish({"done": 1.5}, 7)
    ledger.fail({"failed": "empty: nothing in it"})
    claim = ledger.claim(units("done", "failed", "busy", "new"))
    assert claim == Claim(
        mine=frozenset({"new"}),
        done=frozenset({"done"}),
        failed=frozenset({"failed"}),
        busy=frozenset({"busy"}),
    )
    assert ledger.counts() == {
        ("segment", "claimed"): 2,
        ("segment", "done"): 1,
        ("segment", "failed"): 1,
    }
    done = row(ledger, "done")
    assert (done["snapshot_id"], done["wall_s"], done["owner"]) == (7, 1.5, owner_name())
    assert row(ledger, "failed")["error"] == "empty: nothing in it"


def test_failed_units_are_claimed_again_only_when_asked(ledger: Ledger) -> None:
    ledger.claim(units("a", "b"))
    ledger.fail({"a": "bad"})
    assert ledger.claim(units("a", "b")).failed == {"a"}
    again = ledger.claim(units("a", "b"), retry_failed=True)
    assert (again.mine, again.failed, again.busy) == ({"a"}, frozenset(), {"b"})
    assert row(ledger, "a")["attempt"] == 2
    ledger.finish({"a": 0.1}, 1)
    assert row(ledger, "a")["error"] is None
    assert ledger.claim(units("a"), retry_failed=True).done == {"a"}


def test_the_same_unit_twice_in_one_call_is_one_claim(ledger: Ledger) -> None:
    assert ledger.claim(units("a", "a")).mine == {"a"}
    assert row(ledger, "a")["attempt"] == 1
    assert ledger.claim([]) == Claim(
        mine=frozenset(), done=frozenset(), failed=frozenset(), busy=frozenset()
    )


def test_the_primary_key_is_real(ledger: Ledger) -> None:
    ledger.claim(units("a"))
    with (
        pytest.raises((sqlite3.IntegrityError, psycopg.errors.UniqueViolation)),
        ledger._database.transaction() as session,
    ):
        session.execute("INSERT INTO work_unit SELECT * FROM work_unit")


def test_more_units_than_one_batch(ledger: Ledger) -> None:
    many = units(*(f"k{number}" for number in range(1203)))
    assert len(ledger.claim(many).mine) == 1203
    assert len(ledger.claim(many).busy) == 1203


def test_a_dead_owner_is_followed_at_once(ledger: Ledger, dead_owner: str) -> None:
    ledger.claim(units("a"), owner=dead_owner)
    assert ledger.claim(units("a")).mine == {"a"}
    assert row(ledger, "a")["owner"] == owner_name()


def test_a_live_owner_is_respected_till_its_lease_ends(ledger: Ledger, clock: Clock) -> None:
    for owner in (f"{HOST}:{os.getppid()}", "another-host:1"):
        ledger.claim(units(owner), owner=owner)
        clock.time_s += LEASE_S - 1
        assert ledger.claim(units(owner)).busy == {owner}
        ledger.renew([owner], owner=owner)
        clock.time_s += LEASE_S - 1
        assert ledger.claim(units(owner)).busy == {owner}
        clock.time_s += 1
        assert ledger.claim(units(owner)).mine == {owner}


def test_released_units_may_be_taken_and_done_ones_stay(ledger: Ledger) -> None:
    ledger.claim(units("a", "b"))
    ledger.finish({"b": 0.1}, 1)
    ledger.release(["a", "b"])
    assert ledger.claim(units("a", "b")).mine == {"a"}
    assert row(ledger, "a")["attempt"] == 1


def test_a_claim_that_was_lost_is_out_of_reach(ledger: Ledger, clock: Clock) -> None:
    """A slow owner comes back after another has taken over: it must not settle the other's unit."""
    slow, quick = "slow:1", "quick:1"
    ledger.claim(units("a"), owner=slow)
    clock.time_s += LEASE_S + 1
    assert ledger.claim(units("a"), owner=quick).mine == {"a"}
    before = row(ledger, "a")
    ledger.finish({"a": 1.0}, 5, owner=slow)
    ledger.fail({"a": "late"}, owner=slow)
    ledger.renew(["a"], owner=slow)
    ledger.release(["a"], owner=slow)
    assert row(ledger, "a") == before
    assert ledger.attempts(["a"], owner=slow) == {}
    assert ledger.attempts(["a", "b"], owner=quick) == {"a": 2}


def test_settling_leaves_alone_what_was_claimed_since(
    ledger: Ledger, clock: Clock, dead_owner: str
) -> None:
    """Two runs find the same dead claims; the first has claimed them again when the second acts."""
    ledger.claim(units("a", "b", "c"), owner=dead_owner)
    ledger.claim(units("slow"), owner="slow:1")
    clock.time_s += LEASE_S + 1
    seen = ledger.abandoned()
    assert set(seen) == {"a", "b", "c", "slow"}
    ledger.claim(units("a"), owner="first:1")
    ledger.renew(["slow"], owner="slow:1")
    ledger.settle(seen, {"b": 3})
    assert row(ledger, "a")["owner"] == "first:1"
    assert (row(ledger, "b")["state"], row(ledger, "b")["snapshot_id"]) == ("done", 3)
    assert row(ledger, "slow")["state"] == "claimed"
    assert ledger.claim(units("c")).mine == {"c"}
    assert set(ledger.abandoned()) == set()


def test_a_unit_key_follows_each_part_and_the_code() -> None:
    keys = {
        unit_key("segment", "a", "b"),
        unit_key("segment", "ab"),
        unit_key("segment", "b", "a"),
        unit_key("segment", "a", "b", code_version="0"),
    }
    assert len(keys) == 4
    assert unit_key("x", 1, None) == unit_key("x", 1, None)
    assert len(unit_key()) == 64


def claim_all(place: Any, keys: list[str], answers: Any, barrier: Any) -> None:
    barrier.wait()
    ledger = Ledger(place)  # the table is not there yet: all make it at once
    mine: list[str] = []
    for start in range(0, len(keys), 10):
        mine += ledger.claim(units(*keys[start : start + 10])).mine
    answers.put(mine)
    barrier.wait()  # whoever ends would be found dead, and followed


def test_four_processes_claim_each_unit_once(profile: str, tmp_path: Path) -> None:
    keys = [f"k{number}" for number in range(200)]
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    place = postgres() if profile == "cluster" else tmp_path / "ledger.sqlite"
    args = (place, keys, answers, barrier)
    workers = [context.Process(target=claim_all, args=args) for _ in range(4)]
    for worker in workers:
        worker.start()
    claimed = [key for _ in workers for key in answers.get(timeout=60)]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(claimed) == sorted(keys)


class LosingLine:
    """A database whose line is lost once, in the middle of a transaction or after its COMMIT."""

    types = SqliteDatabase.types

    def __init__(self, path: Path) -> None:
        self._database, self.lose = SqliteDatabase(path), ""

    def prepare(self) -> None:
        self._database.prepare()

    def now(self) -> float:
        return self._database.now()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        lose, self.lose = self.lose, ""
        with self._database.transaction() as session:
            yield session
            if lose == "before":
                raise _LineLostError("lost before COMMIT")
        if lose == "after":
            raise _LineLostError("lost after COMMIT")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_line_that_is_lost_in_a_transaction_changes_nothing(tmp_path: Path, moment: str) -> None:
    """Every call comes to what it does on a line that holds."""
    database = LosingLine(tmp_path / "ledger.sqlite")
    ledger = Ledger(database)
    units = [Unit(key=name, step="segment", subject=name) for name in "abcd"]

    def lost() -> None:
        database.lose = moment

    lost()
    assert ledger.claim(units).mine == set("abcd")
    lost()
    assert ledger.claim(units).busy == set("abcd"), "claimed before, by another run of this process"
    lost()
    ledger.finish({"a": 1.0}, 7)
    lost()
    ledger.fail({"b": "unreadable"})
    lost()
    ledger.release(["c"])
    lost()
    assert ledger.attempts("abcd") == {"d": 1}
    lost()
    ledger.renew(["d"])
    lost()
    assert ledger.abandoned() == {}
    lost()
    assert ledger.counts() == {
        ("segment", "done"): 1, ("segment", "failed"): 1, ("segment", "claimed"): 1
    }  # fmt: skip


def test_a_line_that_stays_away_is_an_error(tmp_path: Path) -> None:
    database = LosingLine(tmp_path / "ledger.sqlite")
    ledger = Ledger(database)

    @contextmanager
    def always() -> Iterator[Session]:
        raise _LineLostError("away")
        yield

    database.transaction = always  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="away"):
        ledger.counts()
