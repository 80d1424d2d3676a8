"""The command line: help, one-line errors, exit codes, JSON, SQL, finding the lake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer

from nanolake import cli
from nanolake.cli import opening
from nanolake.cli.ending import STRICT_EXIT
from nanolake.errors import LakeNotFoundError
from nanolake.storage import Lake

COMMANDS = sorted(typer.main.get_command(cli.app).commands)
Run = Callable[..., tuple[int, str, str]]


def test_every_stage_has_its_command() -> None:
    wanted = (
        "init ingest segment train describe group classify report sql run demo trace status "
        "measure serve"
    )
    assert set(wanted.split()) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_option_and_an_example(run: Run, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert re.search(rf"Examples?:\s+nanolake {name}\b", out)
    for parameter in typer.main.get_command(cli.app).commands[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else ():
            assert option in out


def test_help_and_version_are_quick_because_nothing_heavy_is_imported() -> None:
    heavy = "numpy pandas pyarrow duckdb zarr torch ray dask mlflow sklearn matplotlib cv2"
    code = (
        "import sys; from nanolake import cli; sys.argv = ['nanolake', 'run', '--help']\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        f"print(sorted(set({heavy.split()}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    done = subprocess.run(
        [sys.executable, "-m", "nanolake.cli", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("nanolake ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["segment", "--lake", "nowhere"], "there is no lake at .*nowhere.*nanolake init"),
        (["sql", "SELECT 1", "--lake", "nowhere"], "there is no lake"),
        (["ingest", "new", "nowhere.csv"], "nowhere.csv"),
        (["ingest", "new", "{p}", "--set", "nonsense"], "NAME=VALUE"),
        (["ingest", "new", "{p}", "--set", "max_pixels=[1"], "is no YAML"),
        (["ingest", "new", "{p}", "--set", "colour=red"], "unknown setting 'colour'"),
        (["ingest", "new", "{p}", "--config", "nowhere.yaml"], "no settings file"),
        (["ingest", "new", "{p}", "--config", "{broken}"], "is no YAML"),
        (["ingest", "new", "{p}", "--engine", "spark"], "serial, dask, ray"),
        (["ingest", "new", "{p}", "--pixel-size-nm", "-1"], "positive number of nm"),
        (["ingest", "{p}", "{p}"], "not empty and not a lake"),
        (["measure", "{p}/a.tif", "--out", "{broken}/x"], "broken.yaml"),
        (["report", "--experiment", "nowhere"], "there is no experiment 'nowhere'"),
        (["trace", "x-1"], "no current particle 'x-1'"),
        (["sql"], "one question"),
        (["sql", "SELECT 1", "--named", "rods_over_40_nm"], "one question"),
        (["sql", "--named", "nonsense"], "no question 'nonsense'; known: "),
        (["sql", "--file", "nowhere.sql"], "no file nowhere.sql"),
        (["sql", "SELECT nonsense FROM particle"], "nonsense"),
        (["sql", "SELECT 1", "--format", "xml"], "table, csv, json, parquet"),
        (["sql", "SELECT 1", "--format", "parquet"], "--out"),
        (["sql", "SELECT 1", "--format", "csv", "--out", "{broken}/x.csv"], "not a folder"),
        (["sql", "DELETE FROM particle"], "only questions are answered"),
        (["sql", "CREATE TABLE x (y INT)"], "only questions are answered"),
        (["sql", "SELECT 1; DROP TABLE particle"], "one statement"),
        (["sql", "COPY particle TO 'x.csv'"], "only questions are answered"),
        (["sql", "FROM '/etc/passwd'"], "."),
    ],
)
def test_an_error_is_one_line_that_says_what_is_wrong(
    run: Run, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NANOLAKE_LAKE", str(finished.lake.root))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.tif").write_bytes(b"")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    places = {"p": str(tmp_path / "p"), "broken": str(tmp_path / "broken.yaml")}
    code, out, err = run(*(word.format(**places) for word in words))
    assert (code, out) == (1, "")
    assert err.startswith("nanolake: ")
    assert re.search(message, err)
    assert not (tmp_path / "new").exists(), "a lake was made for nothing"


def test_nothing_was_written_by_questions(run: Run, finished: Any) -> None:
    root = finished.lake.root
    before = finished.lake.query("SELECT count(*) AS n FROM lake.snapshots()").to_pylist()
    for text in ("UPDATE particle SET label = 1", "DROP VIEW morphology", "ATTACH 'x.db'"):
        assert run("sql", text, "--lake", root)[0] == 1
    assert finished.lake.query("SELECT count(*) AS n FROM lake.snapshots()").to_pylist() == before


def test_answers_in_every_format(run: Run, finished: Any, tmp_path: Path) -> None:
    lake = ("--lake", finished.lake.root)
    text = (
        "SELECT 'a [b]' AS s, 12 AS i, NULL::INT AS nothing, 1e-12 AS small, 'nan'::DOUBLE AS nan, "
        "[1, 2] AS list, sum(particle_count) AS total, true AS yes, TIMESTAMP '2026-01-02' AS t "
        "FROM ensemble"
    )
    total = finished.lake.query("FROM particle").num_rows
    (row,) = json.loads(run("sql", text, *lake, "--format", "json")[1])
    assert row["total"] == total
    assert (row["s"], row["i"], row["nothing"], row["small"]) == ("a [b]", 12, None, 1e-12)
    assert (row["nan"], row["list"], row["yes"], row["t"][:10]) == (
        None,
        [1, 2],
        True,
        "2026-01-02",
    )
    header, line = run("sql", text, *lake, "--format", "csv")[1].splitlines()
    assert header.split(",")[:3] == ["s", "i", "nothing"]
    assert line.startswith("a [b],12,,1e-12,")
    table = run("sql", text, *lake)[1]
    assert "a [b]" in table
    assert f"{total}" in table
    out = tmp_path / "answer.parquet"
    assert run("sql", text, *lake, "--format", "parquet", "--out", out)[0] == 0
    assert pd.read_parquet(out)["total"].tolist() == [total]


def test_whole_numbers_with_gaps_stay_whole_in_csv(run: Run, finished: Any) -> None:
    text = "SELECT * FROM (VALUES (1), (NULL), (9007199254740993)) AS t(n)"
    out = run("sql", text, "--lake", finished.lake.root, "--format", "csv")[1]
    assert out.split() == ["n", "1", '""', "9007199254740993"]


def test_parameters_of_a_question(run: Run, finished: Any) -> None:
    lake = ("--lake", finished.lake.root)
    named = ("sql", "--named", "rods_over_40_nm", "--format", "json", *lake)
    found = [
        sum(row["rods"] for row in json.loads(run(*named, *given)[1]))
        for given in (
            (),
            ("--set", "min_nm=0"),
            ("--set", "min_nm=0", "-s", "max_aspect_percent=100"),
        )
    ]
    assert found[0] <= found[1] < found[2]
    listed = run("sql", "--list")[1]
    assert "min_nm = 40: at least this long" in listed
    for given, message in [
        (("--set", "min=4"), "no parameter 'min'; known: min_nm = 40"),
        (("--set", "min_nm=long"), "min_nm = 'long' is not a whole number"),
        (("--set", "min_nm"), "must be NAME=VALUE"),
        (("--set", "max_aspect_percent=62"), "max_aspect_percent = 62 is not a multiple of 5"),
    ]:
        code, _, complaint = run(*named, *given)
        assert code == 1
        assert message in " ".join(complaint.split())
    assert "--set fills" in run("sql", "SELECT 1", "--set", "a=1", *lake)[2]


def test_refresh_says_what_it_made(run: Run, lake_copy: Any) -> None:
    lake = ("--lake", lake_copy.root)
    (report,) = json.loads(run("refresh", *lake, "--json", "--quiet")[1])
    assert (report["stage"], report["noun"]) == ("refresh", "experiments")
    assert report["done"] == lake_copy.query("FROM experiment_current").num_rows
    assert "nothing to do: 0 experiments done" in run("refresh", *lake, "--quiet")[1]
    assert "nothing to do" not in run("refresh", "--rebuild", *lake, "--quiet")[1]


def test_questions_from_files_and_by_name(run: Run, finished: Any, tmp_path: Path) -> None:
    lake = ("--lake", finished.lake.root)
    (tmp_path / "q.sql").write_text("-- how many\nSELECT count(*) AS n FROM particle;\n")
    (row,) = json.loads(run("sql", "--file", tmp_path / "q.sql", *lake, "--format", "json")[1])
    assert row["n"] > 50
    code, listed, _ = run("sql", "--list")
    assert code == 0
    names = [name for name in ("failures", "same_product", "size_by_condition") if name in listed]
    assert len(names) == 3
    for name in names:
        code, out, _ = run("sql", "--named", name, *lake, "--format", "json")
        assert code == 0
        assert json.loads(out)


def test_the_lake_is_found(finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NANOLAKE_LAKE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LakeNotFoundError, match="which lake"):
        opening.nearest_lake()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lake.json").write_text("{}")
        if name == "one":
            assert opening.nearest_lake() == tmp_path / "one"
    with pytest.raises(LakeNotFoundError, match="several: one, two"):
        opening.nearest_lake()
    (tmp_path / "one" / "pixels" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "one" / "pixels" / "deep")
    assert opening.nearest_lake() == tmp_path / "one"
    monkeypatch.setenv("NANOLAKE_LAKE", str(finished.lake.root))
    assert opening.nearest_lake() == finished.lake.root


def test_init_ingest_and_exit_codes(run: Run, world: Any, tmp_path: Path) -> None:
    lake, folder = tmp_path / "lake", tmp_path / "pictures"
    folder.mkdir()
    (folder / "bad [1].tif").write_bytes(b"")
    good = world.folder / world.pictures[0].file
    (folder / "good.tif").write_bytes(good.read_bytes())
    assert "lake ready" in run("init", lake)[1]
    code, out, err = run("ingest", lake, folder, "--engine", "serial")
    assert (code, err) == (0, "")
    assert "bad [1].tif" in out
    assert out.splitlines()[-1].startswith("ingest: 1 files done, 1 failed")
    again = ("ingest", lake, folder, "--engine", "serial", "--strict")
    assert run(*again)[0] == STRICT_EXIT
    (folder / "bad [1].tif").unlink()
    assert run(*again)[0] == 0
    (report,) = json.loads(run(*again, "--json")[1])
    assert (report["stage"], report["done"], report["skipped"]) == ("ingest", 0, 1)


def test_json_of_status_and_trace(run: Run, lake_copy: Lake) -> None:
    lake = ("--lake", lake_copy.root)
    status = json.loads(run("status", *lake, "--json")[1])
    assert status["tables"]["particle"] == lake_copy.query("FROM particle").num_rows
    assert run("status", *lake)[0] == 0
    particle = lake_copy.query("SELECT min(particle_id) AS i FROM particle").to_pylist()[0]["i"]
    trace = json.loads(run("trace", particle, *lake, "--json")[1])
    assert {link["found"] for link in trace["links"]} == {"intact"}
    label = lake_copy.query(
        "SELECT label_path FROM segmentation WHERE ? LIKE segmentation_id || '%'", [particle]
    ).to_pylist()[0]["label_path"]
    (lake_copy.images.root / label / "0" / "c" / "0" / "0").unlink()
    code, out, _ = run("trace", particle, *lake)
    assert code == STRICT_EXIT
    assert "NOT intact" in out


def test_measure_prints_what_it_found(run: Run, world: Any, tmp_path: Path) -> None:
    good = world.folder / world.pictures[0].file
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"")
    code, out, _ = run("measure", good, bad, "--out", tmp_path / "out", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["pictures"][0]["particles"] > 0
    assert [failure["reason"] for failure in found["failures"]] == ["empty"]
    assert Path(found["csv"]).is_file()
    assert run("measure", good, bad, "--out", tmp_path / "out", "--strict")[0] == STRICT_EXIT
    code, out, _ = run("measure", bad, "--out", tmp_path / "out")
    assert code == STRICT_EXIT
    assert "0 particles in 0 pictures, 1 failures" in out
