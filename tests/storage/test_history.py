"""A lake's past: every commit says where it comes from, and what it was can be asked."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from nanolake import __version__
from nanolake.errors import LakeError, QueryError, SettingsError
from nanolake.pipeline.history import history
from nanolake.pipeline.maintain import MaintainSettings, maintain_lake
from nanolake.storage import Lake, Origin, read_moment
from nanolake.storage.origin import person

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
NewLake = Callable[[], Lake]


def lab(name: str) -> dict[str, Any]:
    return {"lab": [{"lab_id": name, "lab": name, "unit_key": "u", "created_at": NOW}]}


def names(lake: Lake, at: Any = None) -> list[str]:
    rows = lake.query("SELECT lab_id FROM lab ORDER BY 1", at=at)
    return [row["lab_id"] for row in rows.to_pylist()]


@pytest.fixture
def lake(new_lake: NewLake) -> Iterator[Lake]:
    lake = new_lake()
    yield lake
    lake.close()


def test_a_commit_says_who_what_code_settings_and_rows(lake: Lake) -> None:
    origin = Origin(step="segment", run_id="r1", settings="abc")
    number = lake.commit(lab("a"), message="one lab", origin=origin)
    newest, first = history(lake, limit=2)
    assert newest.snapshot_id == number
    assert newest.who == f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"
    assert (newest.what, newest.step, newest.run_id) == ("one lab", "segment", "r1")
    assert (newest.code_version, newest.settings) == (__version__, "abc")
    assert (newest.rows, newest.units) == ({"lab": 1}, 0)
    assert abs(newest.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert (first.what, first.step, first.rows) == (
        "tables and views",
        "follow",
        {"schema_version": 1},
    )
    assert first.settings is not None


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise OSError

    monkeypatch.setattr(getpass, "getuser", none)
    assert person() == "unknown"


def test_history_of_one_table(lake: Lake) -> None:
    numbers = [lake.commit(lab(name), message=name) for name in "ab"]
    lake.commit(
        {"sample": [{"sample_id": "s", "lab_id": "a", "sample": "s"} | stamp()]}, message="sample"
    )
    assert [one.snapshot_id for one in history(lake, table="lab")] == numbers[::-1]
    assert [one.what for one in history(lake, limit=1)] == ["sample"]
    with pytest.raises(QueryError, match=r"no table .nope.; it has .*lab"):
        history(lake, table="nope")


def stamp() -> dict[str, Any]:
    return {"unit_key": "u", "created_at": NOW}


def test_a_commit_of_an_older_nanolake_is_listed_with_what_it_says(lake: Lake) -> None:
    """Snapshots of 0.3 know no rows by table, and DuckLake's own no author."""
    writer = lake.connections.writer()
    row = "('a', 'A', 'u', now())"
    writer.execute(f"INSERT INTO lab (lab_id, lab, unit_key, created_at) VALUES {row}")
    writer.execute("BEGIN")
    writer.execute(f"INSERT INTO lab (lab_id, lab, unit_key, created_at) VALUES {row}")
    info = json.dumps({"nanolake": "0.3.0", "units": ["k"]})
    writer.execute("CALL lake.set_commit_message('h:1', 'm', extra_info => ?)", [info])
    writer.execute("COMMIT")
    new, bare = history(lake, table="lab")
    assert (new.who, new.code_version, new.rows, new.units) == ("h:1", "0.3.0", None, 1)
    assert (bare.who, bare.what, bare.rows) == (None, None, None)
    assert bare.row()["rows added"] is None


def test_the_lake_as_it_was(lake: Lake) -> None:
    first = lake.commit(lab("a"), message="a")
    assert first is not None
    time.sleep(0.01)
    between = datetime.now(UTC)
    time.sleep(0.01)
    lake.commit(lab("b"), message="b")
    assert names(lake) == ["a", "b"]
    tokyo = between.astimezone(timezone(timedelta(hours=9)))
    for at in (first, between, tokyo, between.replace(tzinfo=None)):
        assert names(lake, at) == ["a"], at
    assert names(lake, datetime.now(UTC)) == ["a", "b"]
    view = lake.query("SELECT lab FROM lab_current", at=first)
    assert view.num_rows == 1


def test_the_hours_of_one_day_are_told_apart(lake: Lake) -> None:
    """DuckLake compares times as texts with SQLite: within a day every time is the newest."""
    before = history(lake, limit=1)[0].time
    lake.commit(lab("a"), message="a")
    assert names(lake, before) == []


def test_a_moment_that_is_not_there(lake: Lake) -> None:
    newest = lake.commit(lab("a"), message="a")
    assert newest is not None
    with pytest.raises(QueryError, match=f"no snapshot {newest + 1}: its newest is {newest} "):
        names(lake, newest + 1)
    with pytest.raises(QueryError, match=r"no lake at 2020-01-01 00:00:00 UTC: its first .* 0 "):
        names(lake, datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(QueryError, match="still to come: leave --at out"):
        names(lake, datetime.now(UTC) + timedelta(hours=1))


def test_an_expired_moment_is_never_answered_with_another(lake: Lake) -> None:
    """Between two snapshots that are kept others have expired: the time belongs to one of those."""
    kept = lake.commit(lab("a"), message="a")
    assert kept is not None
    lake.commit(lab("b"), message="b")
    lost = history(lake, limit=1)[0]
    time.sleep(0.01)
    newest = lake.commit(lab("c"), message="c")
    choose(lake, kept)
    maintain_lake(lake, MaintainSettings(expire_older_than_s=0))
    wanted = rf"has expired: ask for one that is kept: {kept} .* or \d+ "
    with pytest.raises(QueryError, match=f"snapshot {lost.snapshot_id} {wanted}"):
        names(lake, lost.snapshot_id)
    with pytest.raises(QueryError, match=wanted):
        names(lake, lost.time)
    assert names(lake, kept) == ["a"]
    assert names(lake) == ["a", "b", "c"]
    with pytest.raises(QueryError, match=r"held at .* has expired: ask for one that is kept"):
        names(lake, history(lake, limit=100)[-1].time - timedelta(milliseconds=1))
    assert newest is not None


def choose(lake: Lake, snapshot: int) -> None:
    """Keep a named selection that was made from a snapshot."""
    row = {"selection": "mine", "selection_version": 1, "snapshot_id": snapshot}
    counts = {"particle_count": 1, "labelled_count": 0}
    more = {"selected_by": "me", "content_sha256": "0", "code_version": "0"}
    lake.commit({"selection": [row | counts | more | stamp()]}, message="selection")


@pytest.mark.parametrize("text", ["yesterday", "", "-1", "2026-13-01", "12.5"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no moment: give a snapshot's number"):
        read_moment(text)


def test_moments_as_people_write_them() -> None:
    assert read_moment(" 12 ") == 12
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert read_moment("2026-11-01 12:00") == noon
    assert read_moment("2026-11-01T13:00+01:00") == noon
    assert read_moment("2026-11-01") == noon.replace(hour=0)


def test_a_missing_extension_is_named(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    lake.close()
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name.endswith("_ducklake") else real(name, *more),
    )
    for call in (lambda: names(lake), lambda: lake.commit(lab("a"), message="a")):
        with pytest.raises(LakeError, match="extension ducklake is not installed: pip install"):
            call()
    monkeypatch.undo()
    assert names(lake) == []


def test_a_folder_that_may_only_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the system's refusal is played; only a folder has this lock."""
    lake = Lake.create(tmp_path / "lake")
    import filelock

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    lake.commit(lab("a"), message="a")
    before = history(lake)
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    for call in (lambda: lake.commit(lab("b"), message="b"), lambda: maintain_lake(lake)):
        with pytest.raises(LakeError, match="cannot be written to: Permission denied"):
            call()
    monkeypatch.undo()
    assert names(lake) == ["a"]
    assert history(lake) == before


WRONG = "not-the-password"


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [
        ("PGPASSWORD", r"does not answer: .*set PGPASSWORD, or write"),
        ("AWS_SECRET_ACCESS_KEY", r"403|refuses these credentials|Forbidden|Signature"),
    ],
)
def test_a_wrong_password_is_said_and_not_shown(
    lake: Lake, profile: str, variable: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if profile == "laptop":
        pytest.skip("a lake in a folder has no password")
    lake.commit(lab("a"), message="a")
    before = history(lake)
    right = os.environ[variable]
    monkeypatch.setenv(variable, WRONG)
    stranger = Lake.open(lake.root)
    for call in (
        lambda: stranger.query("SELECT lab FROM lab"),
        lambda: stranger.commit(lab("b"), message="b"),
    ):
        with pytest.raises((LakeError, QueryError), match=wanted) as caught:
            call()
        assert WRONG not in str(caught.value)
        assert right not in str(caught.value)
    stranger.close()
    monkeypatch.undo()
    assert names(lake) == ["a"]
    assert history(lake) == before
