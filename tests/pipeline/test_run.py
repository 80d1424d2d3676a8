"""Run and demo: all stages one after the other, and nothing the second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanolake.classify import ClassifySettings
from nanolake.errors import LakeError
from nanolake.group import GroupSettings
from nanolake.pipeline.demo import _against_truth, run_demo
from nanolake.pipeline.ingest import read_source
from nanolake.pipeline.run import EngineChoice, RunSettings, run_all
from nanolake.storage import Lake

SERIAL = EngineChoice(map="serial", describe="serial")
IGNORED = pytest.mark.filterwarnings("ignore")


@IGNORED
def test_all_stages_and_then_nothing(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, quick_group: GroupSettings
) -> None:
    for seed in range(2):
        write_tiff(tmp_path / "p" / f"{seed}.tif", discs(seed))
    (tmp_path / "p" / "bad.tif").write_bytes(b"")
    settings = RunSettings(group=quick_group)
    sheet = read_source([tmp_path / "p"])
    result = run_all(empty_lake, sheet, settings, engines=SERIAL)
    stages = [stage.stage for stage in result.stages]
    assert stages == ["ingest", "segment", "describe", "group", "classify"]
    assert (result.micrographs, result.particles) == (2, 32)
    assert [failure.reason for failure in result.failures] == ["empty"]
    assert result.report is not None
    assert result.report.is_file()
    again = run_all(empty_lake, sheet, settings, engines=SERIAL)
    assert [stage.done for stage in again.stages] == [0] * 5
    assert all("nothing to do" in stage.line() for stage in again.stages)
    assert again.failures == ()


@IGNORED
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_run_over_very_few_particles_ends_well(
    tmp_path: Path, empty_lake: Lake, write_tiff: Any, count: int
) -> None:
    pixels = np.random.default_rng(0).normal(3000, 40, (128, 128)).astype(np.uint16)
    y, x = np.mgrid[:128, :128]
    for number in range(count):
        pixels[(y - 30 - 32 * number) ** 2 + (x - 60) ** 2 <= 81] -= 2200
    path = write_tiff(tmp_path / "few.tif", pixels)
    result = run_all(empty_lake, read_source([path]), engines=SERIAL)
    assert (result.micrographs, result.particles) == (1, count)
    assert result.report is not None


def test_a_run_over_bad_files_only_ends_well(tmp_path: Path, empty_lake: Lake) -> None:
    (tmp_path / "bad.tif").write_bytes(b"")
    result = run_all(empty_lake, read_source([tmp_path / "bad.tif"]), engines=SERIAL)
    assert (result.micrographs, result.particles, result.report) == (0, 0, None)
    assert len(result.failures) == 1


def test_the_finished_lake_stands_beside_its_truth(finished: Any) -> None:
    tables = dict(_against_truth(finished.lake, finished.world))
    rows = {row["experiment"]: row for row in tables["particles and sizes against the truth"]}
    everything = rows.pop("all")
    assert len(rows) == 6
    assert sum(row["right"] for row in rows.values()) == everything["right"]
    assert everything["precision"] > 0.8
    assert abs(everything["median error nm"]) < 1
    refusals = tables["the demo's own bad files"]
    assert refusals
    assert all(row["must be"] == row["recorded as"] for row in refusals)


def test_a_demo_does_not_replace_what_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "thesis.tex").write_text("mine")
    with pytest.raises(LakeError, match="choose another --out"):
        run_demo(tmp_path, say=lambda line: None)
    assert (tmp_path / "lake" / "thesis.tex").read_text() == "mine"


@IGNORED
@pytest.mark.slow
def test_the_demo_runs_on_a_sheet_of_ones_own_and_again(tmp_path: Path, world: Any) -> None:
    said: list[str] = []
    for _ in range(2):
        report = run_demo(
            tmp_path, sheet=world.sheet, training=False, engines=SERIAL, say=said.append
        )
    assert report.tables[0][0] == "what failed"
    assert "12 micrographs" in report.last_line
    assert len(said) == 10


@IGNORED
@pytest.mark.slow
def test_the_demo_simulates_its_own_world(tmp_path: Path) -> None:
    report = run_demo(tmp_path, scale=0.01, training=False, engines=SERIAL, say=lambda line: None)
    titles = [title for title, _ in report.tables]
    assert sum(title.startswith("SQL") for title in titles) == 3
    assert "particles and sizes against the truth" in titles


def test_settings_of_all_stages_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("segment: {method: williamson2022}\ngroup: {k: 3}\n")
    settings = RunSettings.from_yaml(path)
    assert (settings.segment.method, settings.group.k) == ("williamson2022", 3)
    assert settings.classify == ClassifySettings()


def test_the_demo_never_replaces_a_lake_that_it_did_not_make(tmp_path: Path) -> None:
    own = Lake.create(tmp_path / "lake")
    with pytest.raises(LakeError, match="not made by the demo"):
        run_demo(tmp_path, scale=0.02, say=lambda line: None)
    assert Lake.open(own.root).root == own.root
