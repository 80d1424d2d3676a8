"""A lake whose tables change: by steps, all or none, and its old snapshots keep what they had."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nanolake import contracts
from nanolake.contracts import load_tables, schema_folder
from nanolake.errors import LakeError, SchemaError
from nanolake.pipeline.maintain import MaintainSettings, maintain_lake
from nanolake.storage import Lake, definitions, migrations
from nanolake.storage.migrations.__main__ import write

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
NewLake = Callable[[], Lake]
RENAME_AND_RETYPE = """
-- labs have a name, and samples are numbered
ALTER TABLE lab RENAME COLUMN lab TO lab_name;
ALTER TABLE sample ADD COLUMN number BIGINT;
UPDATE sample SET number = CAST(sample AS BIGINT);
ALTER TABLE sample DROP COLUMN sample;
ALTER TABLE sample RENAME COLUMN number TO sample;
"""


def stamp() -> dict[str, Any]:
    return {"unit_key": "u", "created_at": NOW}


@pytest.fixture
def lake(new_lake: NewLake) -> Iterator[Lake]:
    """A lake of today with a lab, two samples and a later lab."""
    lake = new_lake()
    samples = [{"sample_id": f"s{n}", "lab_id": "a", "sample": n} | stamp() for n in ("7", "12")]
    lake.commit({"lab": [{"lab_id": "a", "lab": "A"} | stamp()], "sample": samples}, message="1")
    lake.commit({"lab": [{"lab_id": "b", "lab": "B"} | stamp()]}, message="2")
    lake.close()
    yield lake
    lake.close()


def become_next_version(steps: Path, set_: Callable[[Any, str, Any], None]) -> None:
    """Make the package what it may be one day: steps, and tables and views that go with them."""
    tables = dict(load_tables())
    lab, sample = tables["lab"], tables["sample"]
    tables["lab"] = replace(
        lab,
        columns=tuple(replace(c, name="lab_name") if c.name == "lab" else c for c in lab.columns),
    )
    tables["sample"] = replace(
        sample,
        columns=tuple(
            replace(c, type="int64", required=False) if c.name == "sample" else c
            for c in sample.columns
        ),
    )
    set_(migrations, "folder", lambda: steps)
    for module in (contracts, definitions, migrations):
        set_(module, "load_tables", lambda: tables)
    for module in (contracts, definitions):
        set_(module, "get_table", lambda name: tables[name])
    set_(definitions, "view_statements", lambda: ["CREATE OR REPLACE VIEW lab_current AS FROM lab"])
    contracts.arrow_schema.cache_clear()


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Run a test with the package of one day; give the folder of its steps."""
    steps = tmp_path / "steps"
    steps.mkdir()
    (steps / "0002_names_and_numbers.sql").write_text(RENAME_AND_RETYPE)
    become_next_version(steps, monkeypatch.setattr)
    yield steps
    contracts.arrow_schema.cache_clear()


def newest(lake: Lake) -> int:
    number = lake.query("SELECT max(snapshot_id) AS n FROM lake.snapshots()").to_pylist()[0]["n"]
    return int(number)


def types(lake: Lake, table: str, at: int | None = None) -> dict[str, str]:
    rows = lake.query(f"DESCRIBE {table}", at=at).to_pylist()
    return {row["column_name"]: row["column_type"] for row in rows}


QUESTIONS = (
    "SELECT lab_id, lab FROM lab ORDER BY 1",
    "SELECT lab FROM lab_current ORDER BY 1",
    "SELECT sample_id, sample FROM sample ORDER BY 1",
    "SELECT sample || '!' AS text FROM sample ORDER BY 1",
)


def test_a_lake_is_migrated_and_its_old_snapshots_are_read(lake: Lake, next_version: Path) -> None:
    before = newest(lake)
    old = [lake.query(sql).to_pylist() for sql in QUESTIONS]
    assert old[2][0] == {"sample_id": "s12", "sample": "12"}
    row = {"lab_id": "c", "lab_name": "C"} | stamp()
    lake.commit({"lab": [row]}, message="3")
    assert types(lake, "lab")["lab_name"] == "VARCHAR"
    assert types(lake, "sample")["sample"] == "BIGINT"
    assert lake.query("SELECT sum(sample) AS n FROM sample").to_pylist() == [{"n": 19}]
    assert lake.query("SELECT lab_name FROM lab_current ORDER BY 1").num_rows == 3
    assert [lake.query(sql, at=before).to_pylist() for sql in QUESTIONS] == old
    assert types(lake, "sample", before)["sample"] == "VARCHAR"
    versions = lake.query("SELECT schema_version FROM schema_version ORDER BY 1").column(0)
    assert versions.to_pylist() == [1, 2]
    (message,) = lake.query(
        "SELECT commit_message AS m FROM lake.snapshots() WHERE snapshot_id = ?", [before + 1]
    ).to_pylist()
    assert message["m"] == "tables and views; migrated from version 1: 2 (names_and_numbers)"


def test_old_snapshots_stay_readable_when_a_migrated_lake_is_maintained(
    lake: Lake, next_version: Path
) -> None:
    before = newest(lake)
    old = [lake.query(sql).to_pylist() for sql in QUESTIONS]
    lake.commit({"lab": [{"lab_id": "c", "lab_name": "C"} | stamp()]}, message="3")
    done = maintain_lake(lake, MaintainSettings(orphans_older_than_s=0))
    assert done.merged >= 2
    assert [lake.query(sql, at=before).to_pylist() for sql in QUESTIONS] == old
    assert lake.query("SELECT lab_name FROM lab").num_rows == 3


def test_a_new_lake_needs_no_step(new_lake: NewLake, next_version: Path) -> None:
    lake = new_lake()
    assert types(lake, "lab")["lab_name"] == "VARCHAR"
    assert lake.query("SELECT schema_version AS v FROM schema_version").to_pylist() == [{"v": 2}]
    lake.close()


def test_a_step_that_fails_leaves_the_lake_as_it_was(lake: Lake, next_version: Path) -> None:
    (next_version / "0003_wrong.sql").write_text("ALTER TABLE lab DROP COLUMN nothing;")
    before, had = newest(lake), types(lake, "lab")
    with pytest.raises(LakeError, match=r"stays at its version: migration 3 \(wrong\) cannot"):
        lake.follow()
    assert (newest(lake), types(lake, "lab")) == (before, had)
    (next_version / "0003_wrong.sql").unlink()
    lake.follow()
    assert "lab_name" in types(lake, "lab")


def die_in_the_middle(root: Path, steps: Path) -> None:
    become_next_version(steps, setattr)

    def killed(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    definitions._fit_columns = killed  # type: ignore[assignment]
    Lake.open(root).follow()


def test_a_migration_that_was_killed_is_done_by_the_next(lake: Lake, next_version: Path) -> None:
    before, had = newest(lake), types(lake, "sample")
    lake.close()
    worker = multiprocessing.get_context("spawn").Process(
        target=die_in_the_middle, args=(lake.root, next_version)
    )
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    assert (newest(lake), types(lake, "sample")) == (before, had)
    lake.follow()
    assert newest(lake) == before + 1
    assert types(lake, "sample")["sample"] == "BIGINT"
    assert lake.query("SELECT sum(sample) AS n FROM sample").to_pylist() == [{"n": 19}]


def test_a_lake_of_a_newer_nanolake_is_neither_read_nor_written(lake: Lake) -> None:
    before = newest(lake)
    row = "(9, 'f', '9.1.0', now())"
    lake.connections.writer().execute(f"INSERT INTO schema_version VALUES {row}")
    lake.close()
    wanted = r"tables have version 9, made by nanolake 9\.1\.0; this nanolake \(.*\) knows version"
    calls: tuple[Callable[[], Any], ...] = (
        lambda: lake.query("FROM lab"),
        lambda: lake.query("FROM lab", at=before),
        lambda: lake.commit({"lab": [{"lab_id": "c", "lab": "C"} | stamp()]}, message="3"),
        lambda: maintain_lake(lake),
    )
    for call in calls:
        with pytest.raises(LakeError, match=wanted):
            call()
    lake.close()
    snapshots = lake.connections.load()
    snapshots.execute(lake.catalog.attach_lake({"DATA_PATH": f"'{lake.tables.where('')}'"}))
    assert snapshots.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchall() == [
        (before + 1,)
    ]
    snapshots.close()


@pytest.mark.parametrize("followed", [True, False])
def test_a_column_that_the_package_does_not_know(lake: Lake, followed: bool) -> None:
    """Somebody's ALTER TABLE, found by a package that the lake follows and by one that is newer."""
    lake.connections.writer().execute("ALTER TABLE lab ADD COLUMN colour VARCHAR")
    if not followed:
        lake.connections.writer().execute(
            "UPDATE schema_version SET fingerprint = 'an older one''s'"
        )
    lake.close()
    before = newest(lake)
    row = {"lab_id": "c", "lab": "C"} | stamp()
    calls: tuple[Callable[[], Any], ...] = (
        lambda: lake.commit({"lab": [row]}, message="3"),
        lake.follow,
        lambda: maintain_lake(lake),
    )
    for call in calls:
        with pytest.raises(LakeError, match="table lab has a column colour that this nanolake"):
            call()
    assert newest(lake) == before
    assert lake.query("SELECT lab FROM lab").num_rows == 2, "it may still be asked"
    lake.connections.load().close()


def test_a_column_of_another_type(lake: Lake) -> None:
    lake.connections.writer().execute(
        "ALTER TABLE segmentation ALTER COLUMN particle_count TYPE BIGINT"
    )
    lake.connections.writer().execute("UPDATE schema_version SET fingerprint = 'an older one''s'")
    lake.close()
    before = newest(lake)
    with pytest.raises(LakeError, match="segmentation has column particle_count as BIGINT, this"):
        lake.follow()
    assert newest(lake) == before


def test_a_lake_of_nanolake_0_3_follows(tmp_path: Path) -> None:
    """Format 1, only in a folder: no table of versions, a fingerprint as a file."""
    lake = Lake.create(tmp_path / "lake")
    lake.commit({"lab": [{"lab_id": n, "lab": n} | stamp() for n in "ab"]}, message="1")
    for table in ("schema_version", "selection_particle"):
        lake.connections.writer().execute(f"DROP TABLE {table}")
    lake.close()
    about = json.loads((lake.root / "lake.json").read_text())
    (lake.root / "lake.json").write_text(json.dumps(about | {"format_version": 1}))
    (lake.root / "definitions.sha256").write_text("0" * 64)
    old = Lake.open(lake.root)
    before = newest(old)
    assert old.query("SELECT lab FROM lab").num_rows == 2
    old.commit({"lab": [{"lab_id": "c", "lab": "C"} | stamp()]}, message="3")
    assert old.query("SELECT lab FROM lab").num_rows == 3
    assert old.query("SELECT lab FROM lab", at=before).num_rows == 2
    assert old.query("SELECT schema_version AS v FROM schema_version").to_pylist() == [{"v": 1}]
    assert old.query("FROM selection_particle").num_rows == 0
    old.close()


def version_files() -> list[Path]:
    return sorted((schema_folder().parent / "versions").glob("*.txt"), key=lambda p: int(p.stem))


def test_a_column_goes_or_changes_only_by_a_migration() -> None:
    """Fails where schemas/tables/ lost or retyped a column and no step leads there."""
    files = version_files()
    assert [int(file.stem) for file in files] == list(range(1, migrations.newest_version() + 1))
    known = files[-1].read_text().splitlines()
    lost = migrations.lost_columns(known)
    assert not lost, f"gone or changed without a migration (see storage/migrations): {lost}"
    new = sorted(set(migrations.column_lines()) - set(known))
    assert not new, f"run `make docs`: schemas/versions does not know {new}"


def test_the_list_of_columns_is_not_written_where_a_step_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "1.txt"
    write(tmp_path)
    assert path.read_text().splitlines() == migrations.column_lines()
    path.write_text("lab.lab VARCHAR\n")
    write(tmp_path)
    assert path.read_text().splitlines() == migrations.column_lines(), "what is new is added"
    for line in ("lab.lab INTEGER", "lab.gone VARCHAR", "gone.lab VARCHAR"):
        path.write_text(f"{line}\n")
        with pytest.raises(SchemaError, match=f"{line} went or changed without a migration: add"):
            write(tmp_path)
        assert path.read_text() == f"{line}\n"
    monkeypatch.setattr(migrations, "folder", lambda: tmp_path)
    (tmp_path / "0003_gap.sql").write_text("")
    with pytest.raises(SchemaError, match=r"0003_gap\.sql should be named 0002_WHAT\.sql"):
        migrations.steps()
