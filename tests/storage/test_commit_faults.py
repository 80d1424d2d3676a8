"""A commit that meets quicker writers, a lost answer or Ctrl-C lands once and is known to have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from nanolake.errors import LakeError, StoreError
from nanolake.storage import Lake, Unit, connections, tables

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def labs(name: str) -> dict[str, Any]:
    return {"lab": [{"lab_id": name, "lab": name, "unit_key": name, "created_at": NOW}]}


def claim(lake: Lake, key: str) -> None:
    lake.ledger.claim([Unit(key=key, step="ingest", subject=key)])


def lab_ids(lake: Lake) -> list[str]:
    return lake.query("SELECT lab_id FROM lab ORDER BY 1").column(0).to_pylist()


def states(lake: Lake) -> dict[str, str]:
    rows = lake.query("SELECT unit_key, state FROM work_unit").to_pylist()
    return {row["unit_key"]: row["state"] for row in rows}


class Troubled:
    """A DuckDB connection on which something happens before or after its first COMMIT."""

    def __init__(self, connection: Any, before: Any, after: Any) -> None:
        self._connection, self._before, self._after = connection, before, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *more: Any) -> Any:
        if sql != "COMMIT":
            return self._connection.execute(sql, *more)
        self._before()
        answer = self._connection.execute(sql)
        self._after()
        return answer


def once(happening: Callable[[], None]) -> Callable[[], None]:
    """Return what does it the first time only."""
    left = [happening]
    return lambda: left.pop()() if left else None


def throw(error: BaseException) -> Callable[[], None]:
    def happen() -> None:
        raise error

    return once(happen)


def nothing() -> None:
    return


@pytest.fixture
def lake(new_lake: Callable[[], Lake], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    monkeypatch.setattr(tables, "_TRY_AGAIN_S", (0.0, 0.0))
    lake = new_lake()
    yield lake
    lake.close()


def trouble(
    monkeypatch: pytest.MonkeyPatch, lake: Lake,
    before: Callable[[], None] = nothing, after: Callable[[], None] = nothing,
) -> None:  # fmt: skip
    opened = lake.connections.writer
    monkeypatch.setattr(lake.connections, "writer", lambda: Troubled(opened(), before, after))


def test_a_commit_whose_answer_is_lost_is_not_made_twice(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(lake, "a")
    trouble(monkeypatch, lake, after=throw(duckdb.IOException("the connection was lost")))
    snapshot = lake.commit(labs("a"), message="a", unit_keys=["a"])
    found = lake.query("SELECT max(snapshot_id) AS s FROM lake.snapshots()").to_pylist()
    assert snapshot == found[0]["s"]
    assert lab_ids(lake) == ["a"]
    trouble(monkeypatch, lake, after=throw(duckdb.IOException("the connection was lost")))
    assert lake.commit(labs("b"), message="rows of no unit") == snapshot + 1
    assert lab_ids(lake) == ["a", "b"]


def test_a_commit_that_did_not_reach_the_server_is_made_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(lake, "a")
    trouble(monkeypatch, lake, before=throw(duckdb.IOException("the connection was lost")))
    assert lake.commit(labs("a"), message="a", unit_keys=["a"]) is not None
    assert lab_ids(lake) == ["a"]


def test_a_place_that_stays_away_is_one_error_and_nothing_is_written(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise duckdb.IOException("the connection was lost")

    claim(lake, "a")
    trouble(monkeypatch, lake, before=gone)
    with pytest.raises(StoreError, match=r"^nothing was written to .*the connection was lost"):
        lake.commit(labs("a"), message="a", unit_keys=["a"])
    monkeypatch.undo()
    assert lab_ids(lake) == []
    lake.give_back(["a"])
    assert states(lake) == {}


def test_what_is_wrong_with_the_rows_is_not_tried_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def count() -> None:
        calls.append(1)
        raise duckdb.BinderException("no such column")

    trouble(monkeypatch, lake, before=count)
    with pytest.raises(LakeError, match="no such column"):
        lake.commit(labs("a"), message="a")
    assert len(calls) == 1


def test_ctrl_c_at_the_moment_of_the_commit_leaves_the_unit_done(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(lake, "a")
    claim(lake, "b")
    trouble(monkeypatch, lake, after=throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        lake.commit(labs("a"), message="a", unit_keys=["a"])
    lake.give_back(["a", "b"])
    assert states(lake) == {"a": "done"}
    assert lab_ids(lake) == ["a"]


def test_writers_that_are_always_quicker_are_kept_out_the_second_time(
    profile: str, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckLake gives up where it cannot tell a conflict (a server that speaks no English)."""
    if profile == "laptop":
        pytest.skip("one writer at a time: there are no conflicts")
    lake.close()  # its next connection takes the setting
    monkeypatch.setitem(connections._RETRY, "ducklake_max_retry_count", 0)
    other = Lake.open(lake.root)
    other.commit(labs("x"), message="it is open for writing")
    trouble(monkeypatch, lake, before=once(lambda: other.commit(labs("b"), message="b") and None))
    claim(lake, "a")
    snapshot = lake.commit(labs("a"), message="a", unit_keys=["a"])
    assert lab_ids(lake) == ["a", "b", "x"]
    lake.ledger.finish({"a": 0.0}, snapshot)
    assert states(lake) == {"a": "done"}
    other.close()


def test_a_connection_that_the_server_closed_is_replaced(profile: str, lake: Lake) -> None:
    """The ledger keeps its connection to PostgreSQL: a server that was restarted has closed it."""
    if profile == "laptop":
        pytest.skip("a file has no server")
    claim(lake, "a")
    database = lake.ledger._database
    (_, _, kept) = database._idle._waiting[-1]
    with database.connect(autocommit=True) as session:
        session.execute("SELECT pg_terminate_backend(%s, 10000)", [kept.info.backend_pid])
    assert states(lake) == {"a": "claimed"}
    claim(lake, "b")
    assert lake.ledger.counts() == {("ingest", "claimed"): 2}
