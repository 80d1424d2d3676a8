"""The commands on a lake's past: history, sql --at, maintain."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from nanolake.storage import Lake

Run = Callable[..., tuple[int, str, str]]


def test_every_commit_of_a_pipeline_says_where_it_comes_from(run: Run, lake_copy: Lake) -> None:
    code, out, _ = run("history", "--lake", lake_copy.root, "--json", "--limit", 100)
    assert code == 0
    commits = json.loads(out)
    steps = [commit["step"] for commit in commits if commit["step"]]
    assert {"follow", "ingest", "segment", "describe", "group", "classify"} == set(steps)
    for commit in commits:
        if commit["snapshot_id"] == 0:
            continue  # DuckLake's own: an empty catalogue
        assert None not in (commit["who"], commit["what"], commit["code_version"]), commit
        assert commit["rows"], commit
        if commit["what"] != "sample sheet":
            assert commit["settings"], commit
        if commit["step"] != "follow":
            assert commit["run_id"], commit
    particles = sum(commit["rows"].get("particle", 0) for commit in commits if commit["rows"])
    assert particles == lake_copy.query("FROM particle").num_rows
    table = run("history", "--lake", lake_copy.root, "--table", "particle")[1]
    assert "segment:" in table
    assert "describe:" not in table


def test_the_lake_is_asked_as_it_was(run: Run, lake_copy: Lake) -> None:
    lake = ("--lake", lake_copy.root)
    commits = json.loads(run("history", *lake, "--json", "--table", "particle")[1])
    number, when = commits[-1]["snapshot_id"], commits[-1]["time"]
    sql = ("sql", "SELECT count(*) AS n FROM particle", *lake, "--format", "csv")
    assert run(*sql, "--at", number - 1)[1].split() == ["n", "0"]
    assert run(*sql, "--at", number)[1].split() == ["n", str(commits[-1]["rows"]["particle"])]
    assert run(*sql, "--at", when)[1] == run(*sql, "--at", number)[1]
    for moment, wanted in (("soon", "is no moment"), (10**6, "no snapshot 1000000")):
        code, out, err = run(*sql, "--at", moment)
        assert (code, out) == (1, "")
        assert wanted in err


def test_maintain_says_what_it_did(run: Run, lake_copy: Lake) -> None:
    lake = ("--lake", lake_copy.root)
    for name in ("one", "two"):  # two small files that belong together
        row = {"lab_id": name, "lab": name, "unit_key": name, "created_at": datetime.now(UTC)}
        lake_copy.commit({"lab": [row]}, message=name)
    sql = ("sql", "SELECT count(*) AS n FROM morphology", *lake, "--format", "csv")
    before = run(*sql)
    code, out, _ = run("maintain", *lake, "--dry-run")
    assert (code, out[:18]) == (0, "maintain (dry run:")
    code, out, _ = run("maintain", *lake, "--expire-older-than", "0s", "--json")
    done = json.loads(out)
    assert (code, done["dry_run"]) == (0, False)
    assert done["expired"] > 0
    assert done["files_after"]["count"] < done["files_before"]["count"]
    code, out, _ = run("maintain", *lake, "--orphans-older-than", "0s")
    assert code == 0
    assert "0 snapshots expired" in out
    assert run(*sql) == before
    code, out, err = run("maintain", *lake, "--expire-older-than", "a month")
    assert (code, out) == (1, "")
    assert "'a month' is no age" in err
