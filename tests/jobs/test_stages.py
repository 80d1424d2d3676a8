"""Every stage's job, run on a tiny lake as its user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="needs the extra `report`")
pytest.importorskip("mlflow", reason="needs the extra `train`")

from nanolake.errors import LakeNotFoundError, SettingsError
from nanolake.simulate import DemoTruth
from nanolake.storage import Lake

ROOT = Path(__file__).resolve().parents[2]
RunJob = Callable[..., int]
QUICK_GROUPS = "{k_max: 3, null_runs: 2, bootstrap_runs: 2, seeds: 1}"

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def stages(
    world: DemoTruth, run_job: RunJob, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lake, dict[str, int]]:
    """A lake that one job after the other has filled, and their exit codes."""
    root = tmp_path_factory.mktemp("lake") / "lake"
    codes = {"ingest": run_job("ingest", root, world.sheet, "--engine", "serial", "--strict")}
    for name in ("segment", "describe"):
        codes[name] = run_job(name, root, "--engine", "serial", "--strict")
    quick = root.parent / "group.yaml"
    quick.write_text(QUICK_GROUPS, encoding="utf-8")
    codes["group"] = run_job("group", root, "--config", quick)
    codes["classify"] = run_job("classify", root)
    return Lake.open(root), codes


def test_every_stage_leaves_its_rows(stages: tuple[Lake, dict[str, int]], world: DemoTruth) -> None:
    lake, codes = stages
    assert codes == {  # strict, and the demo's world holds files that must be refused
        "ingest": 3,
        "segment": 0,
        "describe": 0,
        "group": 0,
        "classify": 0,
    }
    assert len(world.failures) > 0
    rows = lake.query(
        "SELECT (SELECT count(*) FROM micrograph) AS micrographs, "
        "(SELECT count(*) FROM failure) AS failures, (SELECT count(*) FROM particle) AS particles, "
        "(SELECT count(*) FROM shape_prediction) AS described, "
        "(SELECT count(*) FROM group_assignment) AS grouped, "
        "(SELECT count(*) FROM classifier_run) AS classifiers"
    ).to_pylist()[0]
    assert rows["micrographs"] == len(world.pictures)
    assert rows["failures"] == len(world.failures)
    assert 0 < rows["particles"] <= world.count
    assert rows["described"] == rows["grouped"] == rows["particles"]
    assert rows["classifiers"] == 1
    settings = lake.query("SELECT settings_json FROM grouping_run").to_pylist()
    assert json.loads(settings[0]["settings_json"])["k_max"] == 3


def test_a_second_time_nothing_is_done(
    stages: tuple[Lake, dict[str, int]], run_job: RunJob, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, _ = stages
    before = lake.query("SELECT max(snapshot_id) AS n FROM lake.snapshots()").to_pylist()
    for name in ("segment", "describe"):
        assert run_job(name, lake.root, "--engine", "serial") == 0
    assert run_job("group", lake.root, "--config", lake.root.parent / "group.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [name, "nothing to do"] for name in ("segment", "describe", "group")
    ]
    assert lake.query("SELECT max(snapshot_id) AS n FROM lake.snapshots()").to_pylist() == before


def test_the_report_is_of_what_the_settings_file_asks_for(
    stages: tuple[Lake, dict[str, int]], run_job: RunJob, tmp_path: Path
) -> None:
    lake, _ = stages
    out = tmp_path / "rods.html"
    config = tmp_path / "report.yaml"
    config.write_text(f"out: {out}\nexperiments: [Au rods]\nfigures: true\n", encoding="utf-8")
    assert run_job("report", lake.root, "--config", config) == 0
    assert "<title>Au rods" in out.read_text(encoding="utf-8")
    assert any((tmp_path / "rods_files").iterdir())


@pytest.mark.slow
def test_run_in_a_process_of_its_own_finds_the_same_particles(
    stages: tuple[Lake, dict[str, int]], world: DemoTruth, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "jobs/run.py"), str(tmp_path / "lake"), str(world.sheet)]
    done = subprocess.run(
        [*command, "--engine", "serial"], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for stage in ("ingest", "segment", "describe", "group", "classify", "run"):
        assert sum(line.startswith(f"{stage}: ") for line in lines) == 1
    assert lines[-1].startswith("run: ")
    question = "SELECT particle_id FROM morphology ORDER BY particle_id"
    assert Lake.open(tmp_path / "lake").query(question).equals(stages[0].query(question))


def test_an_error_of_ours_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs/group.py"), str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("group.py: there is no lake at ")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_lake_or_settings_file_is_said(run_job: RunJob, tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError, match="nanolake init"):
        run_job("segment", tmp_path / "nowhere", "--engine", "serial")
    with pytest.raises(SettingsError, match=r"there is no settings file .*none\.yaml"):
        run_job("segment", tmp_path, "--config", tmp_path / "none.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("methd: threshold\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="unknown setting 'methd'"):
        run_job("segment", tmp_path, "--config", wrong)
