"""The lake: rows land together and once, questions change nothing and see nothing else."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from nanolake.contracts import conform, load_tables
from nanolake.errors import LakeError, LakeNotFoundError, QueryError, SchemaError
from nanolake.storage import Lake, Unit, connections, tables
from nanolake.storage.catalogs import SqliteCatalog
from nanolake.storage.commits import append
from nanolake.storage.ledger import LEASE_S

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


NewLake = Callable[[], Lake]


def labs(*names: str, unit: str = "u") -> list[dict[str, Any]]:
    """Rows of the smallest table."""
    return [{"lab_id": n, "lab": n.upper(), "unit_key": unit, "created_at": NOW} for n in names]


def claim(lake: Lake, *keys: str, owner: str | None = None) -> None:
    lake.ledger.claim([Unit(key=k, step="segment", subject=k) for k in keys], owner=owner)


def lab_ids(lake: Lake) -> list[str]:
    return [row["lab_id"] for row in lake.query("FROM lab ORDER BY lab_id").to_pylist()]


def contents(lake: Lake) -> dict[str, bytes]:
    """Every file of the lake but what SQLite makes to read: -shm and an empty -wal.

    Of a lake on PostgreSQL and S3 the objects, and how many rows catalogue and ledger have.
    """
    if not isinstance(lake.catalog, SqliteCatalog):
        return shared_contents(lake)
    files = [p for p in lake.root.rglob("*") if p.is_file() and not p.name.endswith("-shm")]
    found = {str(p.relative_to(lake.root)): p.read_bytes() for p in files}
    return {name: text for name, text in found.items() if text or not name.endswith("-wal")}


def shared_contents(lake: Lake) -> dict[str, bytes]:
    found = {entry.path: lake.data.read(entry.path) for entry in lake.data.walk()}
    with lake.ledger._database.transaction() as session:
        names = session.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        ).fetchall()
        for name in (row["tablename"] for row in names):
            rows = session.execute(f"SELECT * FROM {name} ORDER BY {name}::text").fetchall()
            found[name] = repr(rows).encode()
    return found


@pytest.fixture(scope="module")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One made lake; each test that writes works on a copy, which is quicker than making one."""
    lake = Lake.create(tmp_path_factory.mktemp("empty") / "lake")
    lake.close()
    return lake.root


@pytest.fixture
def laptop(empty_lake: Path, tmp_path: Path) -> Iterator[Lake]:
    """A lake in a folder, for what only such a lake has."""
    shutil.copytree(empty_lake, tmp_path / "lake")
    opened = Lake.open(tmp_path / "lake")
    yield opened
    opened.close()


@pytest.fixture
def lake(profile: str, request: pytest.FixtureRequest, new_lake: NewLake) -> Iterator[Lake]:
    """A new lake of each profile."""
    lake = request.getfixturevalue("laptop") if profile == "laptop" else new_lake()
    yield lake
    lake.close()


@pytest.fixture(scope="module")
def asked(
    any_profile: str, shared_lake: NewLake, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lake]:
    """A lake of each profile with one row that tests only ask."""
    if any_profile == "cluster":
        lake = shared_lake()
    else:
        lake = Lake.create(tmp_path_factory.mktemp("asked") / "lake")
    claim(lake, "u")
    lake.ledger.finish({"u": 1.0}, lake.commit({"lab": labs("a")}, message="a", unit_keys=["u"]))
    yield lake
    lake.close()


def test_a_new_lake_holds_every_table_and_nothing_in_them(lake: Lake) -> None:
    found = {row["name"] for row in lake.query("SHOW TABLES").to_pylist()}
    assert found >= set(load_tables()) | {"morphology", "ensemble", "batch_compare"}
    for name in load_tables():
        rows = 1 if name in ("schema_version", "data_file") else 0  # the one file, and its hash
        assert lake.query(f'SELECT count(*) AS n FROM "{name}"').to_pylist() == [{"n": rows}]
    about = json.loads((lake.root / "lake.json").read_text())
    assert about["format_version"] == 2


def test_creating_twice_opens_what_is_there(lake: Lake) -> None:
    lake.commit({"lab": labs("a")}, message="a")
    assert lab_ids(Lake.create(lake.root)) == ["a"]


def test_a_making_that_was_interrupted_is_finished(lake: Lake) -> None:
    (lake.root / "lake.json").unlink()
    again = Lake.create(lake.root)
    assert lab_ids(again) == []
    again.close()


def test_an_older_lake_gets_the_tables_columns_and_views_of_the_package(lake: Lake) -> None:
    """A lake whose package knew no failure_current and no pixel size of a segmentation."""
    writer = lake.connections.writer()
    writer.execute("DROP VIEW failure_current")
    writer.execute("CREATE OR REPLACE VIEW lab_current AS SELECT 'old' AS lab")
    writer.execute("DROP VIEW morphology")
    writer.execute("ALTER TABLE segmentation DROP COLUMN pixel_size_y_nm")
    writer.execute("DROP TABLE sample")
    writer.execute("UPDATE schema_version SET fingerprint = 'an older package''s'")
    lake.commit({"lab": labs("a")}, message="an open connection asks no more")
    assert lake.query("FROM lab_current").to_pylist() == [{"lab": "old"}]
    lake.close()
    lake.commit({"lab": labs("b")}, message="a new one does")
    assert lake.query("SELECT lab FROM lab_current").num_rows == 2
    assert lake.query("SELECT pixel_size_y_nm FROM segmentation").num_rows == 0
    for name in ("sample", "failure_current", "morphology", "ensemble"):
        assert lake.query(f"FROM {name}").num_rows == 0
    assert lab_ids(lake) == ["a", "b"]


def test_a_lake_that_follows_the_package_is_left_as_it_is(lake: Lake) -> None:
    count = "SELECT count(*) AS n FROM lake.snapshots()"
    before = lake.query(count).to_pylist()[0]["n"]
    lake.commit({"lab": labs("a")}, message="a")
    assert lake.query(count).to_pylist()[0]["n"] == before + 1


def test_a_lake_too_old_to_follow_is_not_written_to(lake: Lake) -> None:
    lake.connections.writer().execute("ALTER TABLE lab DROP COLUMN lab")
    lake.connections.writer().execute(
        "UPDATE schema_version SET fingerprint = 'an older package''s'"
    )
    lake.close()
    with pytest.raises(LakeError, match="table lab has no column lab, which must not be NULL"):
        lake.commit({"lab": labs("b")}, message="b")
    assert lake.query("FROM schema_version").num_rows == 1


def test_no_progress_bar_is_drawn(asked: Lake) -> None:
    setting = "SELECT current_setting('enable_progress_bar') AS bar"
    assert asked.query(setting).to_pylist() == [{"bar": False}]
    (bar,) = asked.connections.writer().execute(setting).fetchall()
    assert bar == (False,)


def test_what_is_no_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError, match=r"there is no lake at .*none: make one with"):
        Lake.open(tmp_path / "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(LakeError, match="full is not empty and not a lake"):
        Lake.create(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]
    with pytest.raises(LakeNotFoundError):
        Lake.open(tmp_path / "full" / "notes.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format_version": 3}', r"has format 3, this nanolake \(.*\) reads format 2: install"),
        ("", r"lake\.json is damaged"),
        ("{}", r"lake\.json is damaged"),
        ("[1]", r"lake\.json is damaged"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "lake.json").write_text(text)
    with pytest.raises(LakeError, match=message):
        Lake.open(tmp_path)


def test_a_lake_may_be_moved_and_its_path_may_hold_quotes(laptop: Lake, tmp_path: Path) -> None:
    laptop.commit({"lab": labs("a")}, message="a")
    laptop.close()
    laptop.root.rename(tmp_path / "l'été $1")
    moved = Lake.open(tmp_path / "l'été $1")
    moved.commit({"lab": labs("b")}, message="b")
    assert lab_ids(moved) == ["a", "b"]
    moved.close()


def test_rows_come_back_with_their_values(lake: Lake) -> None:
    summer = datetime(2026, 7, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    ids = {"unit_key": "u", "created_at": summer, "grouping_run_id": "g", "scope": "{}"}
    numbers = {"seed": 2**62, "particle_count": 0, "unassigned_count": 0, "sample_count": 0}
    run = {
        **ids,
        **numbers,
        "dataset": "columns",
        "method": "kmeans",
        "engine": "scikit-learn",
        "k": 1,
        "reason": "µ ≠ 'σ' \"\\\n語",
        "columns": ["area_nm2", "p"],
        "scores_json": "[]",
        "settings_json": "{}",
        "code_version": "0",
        "silhouette": -0.1,
    }
    lake.commit({"grouping_run": [run]}, message="values")
    (found,) = lake.query("FROM grouping_run").to_pylist()
    assert {key: found[key] for key in run} == run
    assert found["created_at"].utcoffset() == timedelta(0)
    assert {found[key] for key in set(found) - set(run)} == {None}


def test_a_commit_carries_author_message_and_units(lake: Lake) -> None:
    claim(lake, "k1", "k2")
    snapshot = lake.commit({"lab": labs("a")}, message="two units", unit_keys=["k1", "k2"])
    (row,) = lake.query("FROM lake.snapshots() WHERE snapshot_id = ?", [snapshot]).to_pylist()
    assert row["author"].endswith(f":{os.getpid()}")
    assert row["commit_message"] == "two units"
    assert json.loads(row["commit_extra_info"])["units"] == ["k1", "k2"]


def test_rows_lie_as_zstd_parquet_that_anybody_reads(lake: Lake) -> None:
    lake.commit({"lab": labs("a", "b")}, message="a")
    (file,) = [entry.path for entry in lake.tables.walk("main/lab")]
    table = pq.ParquetFile(io.BytesIO(lake.tables.read(file)))
    assert table.read().column("lab").to_pylist() == ["A", "B"]
    group = table.metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


def test_nothing_to_write_makes_no_snapshot(lake: Lake) -> None:
    count = "SELECT count(*) AS n FROM lake.snapshots()"
    before = lake.query(count).to_pylist()
    assert lake.commit({}, message="nothing") is None
    assert lake.commit({"lab": []}, message="nothing") is None
    assert lake.query(count).to_pylist() == before


def test_a_commit_is_all_or_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchemaError, match=r"sample\.sample_id must not be NULL"):
        lake.commit({"lab": labs("a"), "sample": [{"sample": "s"}]}, message="bad row")
    assert lab_ids(lake) == []
    # A table that the catalogue does not know fails after the first has been inserted.
    monkeypatch.setattr("nanolake.storage.tables.conform", lambda name, rows: rows)
    good = lake.query("SELECT 'a' AS lab_id, 'A' AS lab, 'u' AS unit_key, now() AS created_at")
    with pytest.raises(LakeError, match=r"nothing was written to .*no_table"):
        lake.commit({"lab": good, "no_table": good}, message="bad table")
    assert lab_ids(lake) == []
    monkeypatch.undo()
    lake.commit({"lab": labs("b")}, message="the lake is as usable as before")
    assert lab_ids(lake) == ["b"]


REFUSED = [
    "INSERT INTO lab SELECT * FROM lab",
    "DELETE FROM lab",
    "UPDATE lab SET lab = 'x'",
    "CREATE TABLE t (i INT)",
    "CREATE TEMP TABLE t (i INT)",
    "DROP TABLE lab",
    "ALTER TABLE lab ADD COLUMN x INT",
    "COPY lab TO 'FOLDER/tables/x.parquet'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'FOLDER/tables/x.parquet'",
    "/* é é é é */ EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'FOLDER/tables/x.parquet'",
    "EXPLAIN ANALYZE INSERT INTO lab SELECT * FROM lab",
    "EXPORT DATABASE 'FOLDER/tables/x'",
    "ATTACH ':memory:' AS other",
    "ATTACH 'OUTSIDE' AS other (TYPE sqlite)",
    "DETACH ledger",
    "SET enable_external_access = true",
    "PRAGMA enable_profiling",
    "PRAGMA journal_mode = 'DELETE'",
    "LOAD httpfs",
    "INSTALL httpfs",
    "CALL lake.set_option('parquet_compression', 'gzip')",
    "DELETE FROM ledger.work_unit",
    "UPDATE ledger.work_unit SET state = 'done'",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE lab",
    "",
    "-- nothing",
    "SELEKT 1",
    "SELECT * FROM no_table",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM 'OUTSIDE'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/**/*.parquet')",
    "SELECT * FROM read_parquet('FOLDER/tables/../../*.parquet')",
    "SELECT * FROM parquet_metadata('/tmp/**/*.parquet')",
    "SELECT * FROM sqlite_scan('OUTSIDE', 'secret')",
    "SELECT * FROM \"SQLite_scan\"/* */('OUTSIDE', 'secret')",
    "SELECT * FROM sqlite_attach('OUTSIDE')",
    "SELECT * FROM sqlite_query('ledger', 'DELETE FROM work_unit RETURNING *')",
    "SELECT * FROM query('SELECT * FROM sqlite' || '_scan(''OUTSIDE'', ''secret'')')",
    "SELECT * FROM query /* */ ('SELECT 1')",
    "FROM ducklake_expire_snapshots('lake', older_than => now())",
    "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "FROM ducklake_merge_adjacent_files('lake')",
    "SELECT getenv('HOME')",
    "FROM json_execute_serialized_sql("
    "json_serialize_sql('FROM sqlite_scan(''OUTSIDE'', ''secret'')'))",
    "FROM range(1) AS x, (SELECT * FROM sqlite_scan('OUTSIDE', 'secret')) TABLESAMPLE 10%",
    "SELECT (SELECT x FROM sqlite_scan('OUTSIDE', 'secret'))",
    "WITH t AS MATERIALIZED (FROM sqlite_scan('OUTSIDE', 'secret')) FROM t",
    "EXPLAIN ANALYZE FROM sqlite_scan('OUTSIDE', 'secret')",
    "EXPLAIN ANALYZE SELECT write_log('x')",
    "SUMMARIZE FROM sqlite_scan('OUTSIDE', 'secret')",
    "DESCRIBE FROM sqlite_scan('OUTSIDE', 'secret')",
    "FROM lake.merge_adjacent_files()",
    "FROM merge_adjacent_files()",
    "FROM lake.set_option('parquet_compression', 'gzip')",
    "FROM lake.set_commit_message('a', 'b')",
    "FROM checkpoint()",
    "FROM checkpoint('lake')",
    "FROM force_checkpoint('lake')",
    "FROM ducklake_set_option('lake', 'parquet_compression', 'gzip')",
    "FROM ducklake_flush_inlined_data('lake')",
    "FROM ducklake_rewrite_data_files('lake')",
    "FROM ducklake_add_data_files('lake', 'lab', 'FOLDER/tables/x.parquet')",
    "FROM enable_logging()",
    "FROM enable_logging(storage => 'file', storage_config => {'path': 'FOLDER/tables'})",
    "FROM truncate_duckdb_logs()",
    "SELECT write_log('x')",
    "SELECT \"Write_Log\"('x')",
    "FROM enable_profiling()",
    "FROM read_parquet('FOLDER/tables/**/*.parquet')",
    "FROM arrow_scan(0, 0, 0)",
    "FROM pandas_scan(0)",
    "FROM python_map_function()",
    "FROM read_duckdb('OUTSIDE')",
    "FROM which_secret('s3://x', 's3')",
    "FROM duckdb_secrets()",
    "FROM postgres_query('ledger', 'SELECT 1')",
    "FROM postgres_execute('ledger', 'DELETE FROM work_unit')",
    "FROM postgres_scan('host=127.0.0.1', 'public', 'x')",
    "FROM read_parquet('s3://lake/other/x.parquet')",
    "COPY lab TO 's3://lake/x.parquet'",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_a_question_changes_nothing_and_reads_nothing_else(
    asked: Lake, tmp_path: Path, sql: str
) -> None:
    outside = tmp_path / "outside.sqlite"
    connection = sqlite3.connect(outside)
    connection.execute("CREATE TABLE secret AS SELECT 7 AS x")
    connection.commit()
    connection.close()
    _ = asked.ledger.counts()
    before = contents(asked)
    with pytest.raises(QueryError):
        asked.query(sql.replace("FOLDER", str(asked.root)).replace("OUTSIDE", str(outside)))
    assert contents(asked) == before


def test_what_may_be_asked(asked: Lake) -> None:
    assert asked.query("FROM lab").num_rows == 1
    assert asked.query("WITH x AS (SELECT 1 AS i) SELECT i FROM x").to_pylist() == [{"i": 1}]
    assert asked.query("VALUES (1), (2)").num_rows == 2
    assert asked.query("DESCRIBE lab").num_rows == 4
    assert asked.query("SELECT 'sqlite_scan(' AS query, 3 AS n").to_pylist()[0]["n"] == 3
    for explain in ("EXPLAIN", "EXPLAIN ANALYZE", "explain (analyze, format json)"):
        assert asked.query(f"{explain} SELECT * FROM lab").num_rows == 1
    for question in (
        "FROM lake.snapshots()",
        "FROM range(3) AS r(i) JOIN generate_series(1, 2) AS g(i) USING (i)",
        "FROM unnest([1, 2])",
        "FROM json_each('[1, 2]')",
        "FROM duckdb_tables()",
        "FROM pragma_table_info('lab')",
        "SHOW TABLES",
        "SUMMARIZE lab",
        "PIVOT lab ON lab_id IN ('a') USING count(*)",
        'SELECT repeat(\'a\', 3), \'x\' AS "a""function_name"":""write_log"',
        'SELECT \'"type":"TABLE_FUNCTION","function_name":"sqlite_scan"\' FROM range(1)',
        "SELECT 1 AS query, 2 AS checkpoint",
        f"SELECT {'+'.join(['1'] * 900)} AS n",
    ):
        assert asked.query(question).num_rows
    (unit,) = asked.query("SELECT unit_key, state FROM work_unit").to_pylist()
    assert unit == {"unit_key": "u", "state": "done"}


def test_parameters_fill_marks_and_names(asked: Lake) -> None:
    marks = asked.query("SELECT ? AS a, ? AS b, ? AS c", ["'; DROP TABLE lab; --", None, NOW])
    assert marks.to_pylist() == [{"a": "'; DROP TABLE lab; --", "b": None, "c": NOW}]
    names = asked.query("SELECT $n + 1 AS a, list_contains($l, 'é') AS b", {"n": 1, "l": ["é"]})
    assert names.to_pylist() == [{"a": 2, "b": True}]
    for sql, given in [("SELECT ?", []), ("SELECT $a", {"b": 1}), ("SELECT 1", [1])]:
        with pytest.raises(QueryError):
            asked.query(sql, given)


def test_a_reader_sees_what_others_write_since_it_was_opened(lake: Lake) -> None:
    assert lab_ids(lake) == []
    other = Lake.open(lake.root)
    claim(other, "u")
    other.ledger.finish({"u": 1.0}, other.commit({"lab": labs("a")}, message="a", unit_keys=["u"]))
    other.close()
    assert lab_ids(lake) == ["a"]
    assert lake.query("SELECT state FROM work_unit").to_pylist() == [{"state": "done"}]


def test_threads_may_ask_one_lake(asked: Lake) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: asked.query("SELECT ? AS n FROM lab", [n]), range(40)))
    assert [table.to_pylist() for table in found] == [[{"n": n}] for n in range(40)]


def test_a_question_does_not_see_python_variables(asked: Lake) -> None:
    import pandas as pd

    hidden = pd.DataFrame({"x": [1]})
    with pytest.raises(QueryError, match="hidden does not exist"):
        asked.query("SELECT * FROM hidden")
    assert len(hidden) == 1


def test_recover_gives_back_what_was_not_committed(lake: Lake) -> None:
    assert lake.recover() == (0, 0)
    claim(lake, "k1", owner="gone:1")
    later = lake.ledger._now() + LEASE_S + 1
    lake.ledger._now = lambda: later  # type: ignore[method-assign]
    assert lake.recover() == (0, 1)
    assert lake.ledger.counts() == {}


def commit_and_die(root: Path) -> None:
    lake = Lake.open(root)
    claim(lake, "k1", "k2")
    lake.commit({"lab": labs("a", unit="k1")}, message="m", unit_keys=["k1"])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_crash_between_commit_and_finish_is_found_in_the_history(lake: Lake) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=commit_and_die, args=(lake.root,))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL
    assert lake.recover() == (1, 1)
    rows = lake.query("FROM work_unit").to_pylist()
    assert [(row["unit_key"], row["state"]) for row in rows] == [("k1", "done")]
    snapshots = lake.query("FROM lake.snapshots() WHERE commit_message = 'm'").to_pylist()
    assert rows[0]["snapshot_id"] == snapshots[0]["snapshot_id"]
    assert lab_ids(lake) == ["a"]


def test_rows_of_a_lost_claim_do_not_land(lake: Lake) -> None:
    """A slow process commits after another took its unit over: only the other's rows may land."""
    claim(lake, "mine", "lost")
    later = lake.ledger._now() + LEASE_S + 1
    other = Lake.open(lake.root)
    other.ledger._now = lambda: later  # type: ignore[method-assign]
    other.ledger.claim([Unit(key="lost", step="segment", subject="s")], owner="other:1")
    rows = labs("a", unit="mine") + labs("b", unit="lost")
    snapshot = lake.commit({"lab": rows}, message="m", unit_keys=["mine", "lost"])
    assert lab_ids(lake) == ["a"]
    lake.ledger.finish({"mine": 1.0, "lost": 1.0}, snapshot)
    states = lake.query("SELECT unit_key, state, owner FROM work_unit ORDER BY 1").to_pylist()
    assert [row["state"] for row in states] == ["claimed", "done"]
    assert states[0]["owner"] == "other:1"
    assert lake.commit({"lab": rows[1:]}, message="m", unit_keys=["lost"]) is None


def test_a_unit_that_was_taken_over_after_its_commit_lands_once(lake: Lake) -> None:
    """The owner had committed but not finished when its lease ended and another claimed it."""
    claim(lake, "k", owner="slow:1")
    claim(lake, "k2")
    with lake.catalog.lock():
        rows = {"lab": conform("lab", labs("a", unit="k"))}
        append(lake.connections.writer(), rows, "by the slow one", unit_keys=["k"])
    later = lake.ledger._now() + LEASE_S + 1
    lake.ledger._now = lambda: later  # type: ignore[method-assign]
    claim(lake, "k")
    assert lake.commit({"lab": labs("a", unit="k")}, message="again", unit_keys=["k"]) is None
    assert lab_ids(lake) == ["a"]


def commit_ten(root: Path, number: int, barrier: Any) -> None:
    barrier.wait()
    lake = Lake.open(root)
    for turn in range(10):
        name = f"{number}-{turn}"
        claim(lake, name)
        rows = {"lab": labs(name, unit=name), "sample": samples(name)}
        lake.ledger.finish({name: 0.0}, lake.commit(rows, message=name, unit_keys=[name]))
        if turn % 5 == 0:
            assert name in lab_ids(lake)
    lake.close()


_heard: list[str] | None = None


def hear(event: str, values: tuple[Any, ...]) -> None:
    """Note what Python opens: files, and databases of its SQLite library."""
    if _heard is not None and event in ("open", "sqlite3.connect"):
        _heard.append(str(values[0]))


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """What Python opens during a test."""
    global _heard
    if _heard is None:
        sys.addaudithook(hear)  # it cannot be taken back: it is silent between tests
    _heard = []
    yield _heard
    _heard = None


def test_each_sqlite_file_is_opened_by_one_library(tmp_path: Path, opened: list[str]) -> None:
    """Python's and DuckDB's would drop each other's locks, and other processes step in between."""
    lake = Lake.create(tmp_path / "lake")
    claim(lake, "k")
    snapshot = lake.commit({"lab": labs("a", unit="k")}, message="m", unit_keys=["k"])
    lake.ledger.finish({"k": 1.0}, snapshot)
    assert [file.table for file in lake.data_files(snapshot)] == ["lab"]
    assert lake.query("SELECT state FROM work_unit").to_pylist() == [{"state": "done"}]
    assert lake.query("SELECT 1 FROM data_file WHERE snapshot_id = ?", [snapshot]).num_rows == 1
    assert lake.catalog.damage() == []
    attached = lake.query("SELECT path FROM duckdb_databases()").column(0).to_pylist()
    lake.close()
    catalog, ledger = (str(lake.root / f"{name}.sqlite") for name in ("catalog", "ledger"))
    assert [path for path in attached if path and "ledger" in path] == []
    assert [path for path in opened if catalog in path] == []
    assert any(ledger in path for path in opened)


def use_after_fork(inherited: Lake, answers: Any) -> None:
    """Use the parent's lake, and one opened here: ask and commit."""
    for lake in (inherited, Lake.open(inherited.root)):
        for use in (lab_ids, lambda lake: lake.commit({"lab": labs("b")}, message="by a child")):
            try:
                answers.put(use(lake))
            except LakeError as error:
                answers.put(str(error))


def test_a_child_that_was_forked_beside_an_open_lake_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open: until it is closed, and until the last stream of it has ended."""
    monkeypatch.setattr(connections, "_IN_FOLDERS", weakref.WeakSet())  # other tests' lakes
    lake = Lake.create(tmp_path / "lake")
    lake.commit({"lab": labs("a")}, message="by the parent")
    context = multiprocessing.get_context("fork")

    def told() -> list[Any]:
        answers = context.SimpleQueue()
        worker = context.Process(target=use_after_fork, args=(lake, answers))
        worker.start()
        said = [answers.get() for _ in range(4)]
        worker.join(60)
        return said

    beside_an_open_one = told()
    with lake.stream("FROM lab"):
        lake.close()
        beside_a_stream = told()
    refused = "forked from one that had a lake open: start processes"
    assert all(refused in text for text in beside_an_open_one + beside_a_stream)
    assert told()[::2] == [["a"], ["a", "b"]]
    assert lab_ids(lake) == ["a", "b", "b"]


def test_a_commit_stands_where_its_files_cannot_be_listed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> list[Any]:
        raise duckdb.Error("no memory")

    monkeypatch.setattr(tables, "listed", refused)
    snapshot = lake.commit({"lab": labs("a")}, message="m")
    monkeypatch.undo()
    assert lab_ids(lake) == ["a"]
    (sealed,) = lake.query(f"SELECT count(*) FROM data_file WHERE snapshot_id = {snapshot}")[0]
    assert sealed.as_py() == 0
    assert lake.seal()[0] == 1


def test_a_question_that_stops_early_leaves_a_large_ledger_alone(tmp_path: Path) -> None:
    """A scan that was not read to its end once aborted the process at its exit."""
    lake = Lake.create(tmp_path / "lake")
    unit = {"step": "s", "subject": "s", "state": "done", "owner": "o", "lease_until_s": 0.0}
    unit |= {"attempt": 1, "updated_at_s": 0.0, "snapshot_id": None, "wall_s": None, "error": None}
    lake.ledger.adopt(({"unit_key": f"{n}", **unit} for n in range(60_000)), snapshot_id=1)
    lake.close()
    program = (
        "import sys; from nanolake.storage import Lake; lake = Lake.open(sys.argv[1]); "
        "print(lake.query('FROM WORK_UNIT LIMIT 3').num_rows); "
        "answer = lake.stream('FROM work_unit', batch_rows=10).__enter__(); "
        "print(next(iter(answer)).num_rows)"
    )
    command = [sys.executable, "-c", program, str(lake.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["3", "10"], "")


def test_a_ledger_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    lake = Lake.create(tmp_path / "lake")
    lake.ledger.claim([Unit(key="k", step="segment", subject="k")])
    with lake.ledger.transaction() as session:
        session.execute("UPDATE work_unit SET attempt = 'once'")
    with pytest.raises(LakeError, match=r"the table work_unit of .*ledger\.sqlite cannot be read"):
        lake.query("FROM work_unit")
    assert lab_ids(lake) == []


def samples(name: str) -> list[dict[str, Any]]:
    ids = {"sample_id": name, "lab_id": name, "sample": name}
    return [{**ids, "unit_key": name, "created_at": NOW}]


@pytest.mark.slow
def test_four_processes_commit_at_once_and_nothing_is_lost(lake: Lake) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    workers = [
        context.Process(target=commit_ten, args=(lake.root, number, barrier)) for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    names = sorted(f"{number}-{turn}" for number in range(4) for turn in range(10))
    assert lab_ids(lake) == names
    both = lake.query("SELECT lab_id FROM lab JOIN sample USING (lab_id, unit_key) ORDER BY 1")
    assert both.column(0).to_pylist() == names
    done = lake.query("SELECT unit_key, snapshot_id FROM work_unit WHERE state = 'done'")
    assert sorted(done.column(0).to_pylist()) == names
    assert len(set(done.column(1).to_pylist())) == 40
