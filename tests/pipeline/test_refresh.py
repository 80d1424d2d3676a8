"""Refresh on a finished lake: the same rows, once, however often it is called or killed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nanolake.pipeline import refresh as module
from nanolake.pipeline.refresh import refresh, refreshed
from nanolake.pipeline.work import StageReport
from nanolake.query import derived
from nanolake.storage import Lake

KEYS = {
    "morphology": "particle_id",
    "ensemble": "experiment_id",
    "group_summary": "experiment_id, shape_group",
    "size_histogram": "experiment_id, size_bin",
    "length_histogram": "experiment_id, length_nm, aspect_bin",
    "quality_histogram": "experiment_id, pixel_size_trust, jaccard_percent",
    "outline_histogram": "experiment_id, d, p_bin, L_bin",
    "outline_index": "experiment_id, outline_class, p, L_ratio",
}


def rows(lake: Lake, view: str, key: str) -> list[dict[str, Any]]:
    """Rows in the order of their key; means to twelve digits, for sums have no fixed order."""
    found = lake.query(f"FROM {view} ORDER BY {key}").to_pylist()
    return [{n: _rounded(value) for n, value in row.items()} for row in found]


def _rounded(value: Any) -> Any:
    return float(f"{value:.11e}") if isinstance(value, float) else value


def assert_true(lake: Lake) -> None:
    for name, key in KEYS.items():
        assert rows(lake, name, key) == rows(lake, f"lake.main.{name}", key)


def count(lake: Lake, what: str) -> int:
    return int(lake.query(f"SELECT count(*) AS n FROM {what}").to_pylist()[0]["n"])


def rename(lake: Lake, experiment_id: str) -> None:
    """Say something new of one experiment."""
    (row,) = lake.query("FROM experiment_current WHERE experiment_id = $id",
                        {"id": experiment_id}).to_pylist()  # fmt: skip
    news = row | {"experiment": "renamed", "created_at": datetime.now(UTC)}
    lake.commit({"experiment": [news]}, message="renamed")


def first_experiment(lake: Lake) -> str:
    question = "SELECT min(experiment_id) AS id FROM lake.main.morphology"
    return str(lake.query(question).to_pylist()[0]["id"])


def test_a_refresh_changes_no_answer_and_is_done_once(lake_copy: Lake) -> None:
    before = {name: lake_copy.query(f"FROM {name}").schema for name in KEYS}
    report = refresh(lake_copy, block_particles=50)
    experiments = count(lake_copy, "experiment_current")
    assert (report.done, report.rows["morphology"]) == (experiments, count(lake_copy, "morphology"))
    assert count(lake_copy, "morphology_row") == report.rows["morphology"] > 0
    assert_true(lake_copy)
    assert {name: lake_copy.query(f"FROM {name}").schema for name in KEYS} == before
    snapshots = count(lake_copy, "lake.snapshots()")
    again = refresh(lake_copy)
    assert (again.done, "nothing to do" in again.line()) == (0, True)
    assert count(lake_copy, "lake.snapshots()") == snapshots


def test_only_what_has_changed_is_made_anew(lake_copy: Lake) -> None:
    refresh(lake_copy)
    changed = first_experiment(lake_copy)
    rename(lake_copy, changed)
    assert_true(lake_copy)
    assert refresh(lake_copy).done == 1
    assert_true(lake_copy)
    made = lake_copy.query(
        "SELECT unit_key, list(DISTINCT experiment_id) AS ids FROM ensemble_row "
        "GROUP BY unit_key ORDER BY len(ids)"
    ).to_pylist()
    assert [len(one["ids"]) for one in made] == [1, count(lake_copy, "experiment_current") - 1]
    assert made[0]["ids"] == [changed]
    assert refresh(lake_copy, rebuild=True).done == count(lake_copy, "experiment_current")
    assert count(lake_copy, "(SELECT DISTINCT unit_key FROM morphology_row)") == 1


def test_columns_that_an_older_lake_got_later_are_found_by_name(lake_copy: Lake) -> None:
    """They stand last in its tables, and elsewhere in those of a new lake."""
    writer = lake_copy.connections.writer()
    for table, column, kind in [
        ("particle", "area_nm2", "DOUBLE"),
        ("morphology_row", "area_nm2", "FLOAT"),
        ("ensemble_row", "diameter_mean_nm", "DOUBLE"),
    ]:
        writer.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        writer.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    refresh(lake_copy)
    rename(lake_copy, first_experiment(lake_copy))
    assert_true(lake_copy)


def test_what_another_process_commits_is_seen_at_once(lake_copy: Lake) -> None:
    """An open lake keeps what it found for the snapshot it found it in, and no longer."""
    refresh(lake_copy)
    named = "SELECT count(*) AS n FROM ensemble WHERE experiment = 'renamed'"
    assert lake_copy.query(named).to_pylist() == [{"n": 0}]
    other = Lake.open(lake_copy.root)
    rename(other, first_experiment(other))
    assert lake_copy.query(named).to_pylist() == [{"n": 1}]
    refresh(other)
    other.close()
    assert lake_copy.query(named).to_pylist() == [{"n": 1}]
    assert_true(lake_copy)


@pytest.mark.parametrize("all_but", [0, 1])
@pytest.mark.parametrize("rebuild", [False, True])
def test_a_refresh_that_is_killed_leaves_true_answers(
    lake_copy: Lake, monkeypatch: pytest.MonkeyPatch, all_but: int, *, rebuild: bool
) -> None:
    """Rows that it took away, all at once or block by block, are not missed."""
    refresh(lake_copy)
    change(lake_copy, all_but=all_but)
    write, calls = module._write_block, []

    def third_fails(*what: Any) -> int:
        calls.append(what)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*what)

    monkeypatch.setattr(module, "_write_block", third_fails)
    with pytest.raises(KeyboardInterrupt):
        refresh(lake_copy, rebuild=rebuild, block_particles=1)
    assert_true(lake_copy)
    monkeypatch.undo()
    kept = 0 if rebuild else all_but
    assert refresh(lake_copy).done == count(lake_copy, "experiment_current") - kept
    assert_true(lake_copy)


def test_rows_made_by_another_definition_are_never_shown(
    lake_copy: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(lake_copy)
    monkeypatch.setattr(derived, "definition", lambda: "another")
    assert module._plan(lake_copy, rebuild=False).since is None
    assert_true(lake_copy)
    assert refresh(lake_copy).done == count(lake_copy, "experiment_current")
    assert lake_copy.query("FROM refresh_state").num_rows == 1
    assert_true(lake_copy)


def test_what_does_not_fit_into_the_bound_is_spilled(lake_copy: Lake) -> None:
    """Twice on one connection: to the folder that every connection of a lake spills to."""
    for number in range(2):
        with module._transaction(lake_copy, "spill", 64 * 2**20) as connection:
            connection.execute(
                f"CREATE TEMP TABLE big{number} AS SELECT range FROM range(2e7::INT)"
            )
            (folder,) = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0]
            spilled = list(Path(folder).iterdir())
            assert spilled, "160 MB in 64 MB of memory"
    assert_true(lake_copy)


@pytest.mark.parametrize("stale", ["all", "some"])
def test_a_refresh_that_began_between_plan_and_first_block_goes_on(
    lake_copy: Lake, monkeypatch: pytest.MonkeyPatch, stale: str
) -> None:
    """... and the other stops, or does all of it anew; news comes in between, too."""
    refresh(lake_copy)
    change(lake_copy, all_but=0 if stale == "all" else 1)
    plan, calls = module._plan, list[Any]()

    def begun(*what: Any, **more: Any) -> module.Plan:
        """What follows a plan is the first block."""
        made = plan(*what, **more)
        calls.append(what)
        if len(calls) == 1:
            assert (made.since is None) == (stale == "all")
            rename(lake_copy, first_experiment(lake_copy))
            assert refresh(lake_copy).done > 0
            assert_true(lake_copy)
        return made

    monkeypatch.setattr(module, "_plan", begun)
    refresh(lake_copy, block_particles=1)
    assert_true(lake_copy)
    monkeypatch.undo()
    refresh(lake_copy)
    assert_whole(lake_copy)


@pytest.mark.parametrize("stale", ["all", "some"])
@pytest.mark.parametrize("rebuild", [False, True])
def test_a_refresh_that_begins_between_two_blocks_takes_over(
    lake_copy: Lake, stale: str, *, rebuild: bool
) -> None:
    """The first stops before its second block: its rows would come on top of the other's."""
    refresh(lake_copy)
    change(lake_copy, all_but=0 if stale == "all" else 1)
    blocks = []

    def after_a_block(stage: str, number: int, total: int) -> None:
        blocks.append(number)
        if number == 1:
            other = Lake.open(lake_copy.root)
            refresh(other, rebuild=rebuild)
            other.close()

    report = refresh(lake_copy, block_particles=1, progress=after_a_block)
    assert blocks == [1]
    assert report.rows["morphology"] < count(lake_copy, "morphology_row")
    assert_whole(lake_copy)
    assert refresh(lake_copy).done == 0


def change(lake: Lake, all_but: int) -> None:
    """Say something new of every experiment but some."""
    found = lake.query("SELECT experiment_id AS id FROM experiment_current ORDER BY id").to_pylist()
    for row in found[all_but:]:
        rename(lake, row["id"])


def assert_whole(lake: Lake) -> None:
    """Answers are true, and so are the ready-made rows by themselves: none twice, none missing."""
    assert_true(lake)
    for name in derived.DERIVED:
        assert count(lake, f"{name}_row") == count(lake, f"lake.main.{name}"), name


def test_a_lake_without_rows_can_be_refreshed(tmp_path: Any) -> None:
    lake = Lake.create(tmp_path / "lake")
    assert refresh(lake).done == 0
    assert_true(lake)
    assert count(lake, "refresh_state") == 1
    lake.close()


def test_a_stage_says_what_was_refreshed_after_it(lake_copy: Lake) -> None:
    done = StageReport(stage="group", noun="groupings", done=1, note="3 groups")
    count_ = count(lake_copy, "experiment_current")
    assert refreshed(lake_copy, done).note == f"3 groups; {count_} experiments refreshed"
    assert refreshed(lake_copy, done) == done
