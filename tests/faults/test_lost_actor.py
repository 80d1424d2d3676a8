"""An actor that is killed in mid-back-fill costs nothing, and the user is told of it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile

from nanolake.cli.ending import finish
from nanolake.engines import Engine, open_engine
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.storage import Lake

Rows = Callable[..., list[dict[str, Any]]]
PICTURES = 24
TABLES = ("shape_inference", "shape_prediction", "shape_refinement", "failure")

pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of small pictures with nine discs each, segmented and not described."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:96, :96]
    inside = ((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) <= 81
    for seed in range(PICTURES):
        noise = np.random.default_rng(seed).integers(0, 120, (96, 96))
        pixels = (np.where(inside, 800, 3000) + noise).astype("u2")
        tifffile.imwrite(folder / f"{seed:02d}.tif", pixels)
    lake = Lake.create(tmp_path_factory.mktemp("segmented") / "lake")
    serial = open_engine("serial")
    ingest(lake, read_source([folder]), engine=serial)
    assert segment_lake(lake, engine=serial).rows["particle"] > PICTURES
    lake.close()
    return lake.root


@pytest.fixture(scope="module")
def undisturbed(segmented: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = _copy(segmented, tmp_path_factory.mktemp("undisturbed"))
    describe_lake(lake, engine=open_engine("serial"))
    return lake


@pytest.fixture(scope="module")
def actors() -> Iterator[Engine]:
    with open_engine("ray", workers=2) as engine:
        yield engine


def _copy(root: Path, folder: Path) -> Lake:
    return Lake.open(shutil.copytree(root, folder / "lake"))


def _kill_an_actor() -> None:
    """SIGKILL one actor's process: only this process's own Ray is looked at."""
    family = psutil.Process().children(recursive=True)
    actors = [one for one in family if "_Worker" in " ".join(one.cmdline())]
    assert len(actors) == 2, [one.cmdline() for one in family]
    os.kill(actors[0].pid, signal.SIGKILL)


def test_a_killed_actor_is_replaced_and_the_rows_are_those_of_an_undisturbed_run(
    segmented: Path, undisturbed: Lake, actors: Engine, tmp_path: Path, rows_of: Rows,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lake = _copy(segmented, tmp_path)

    def kill_at_the_fourth(stage: str, done: int, total: int) -> None:
        if done == 4:  # both actors have items in hand: 2 each are sent, 24 are to be done
            _kill_an_actor()

    report = describe_lake(lake, engine=actors, progress=kill_at_the_fourth)
    assert (report.done, report.failed, report.lost_workers) == (PICTURES, 0, 1)
    for table in TABLES:
        assert rows_of(lake, table) == rows_of(undisturbed, table), table
    assert "1 worker lost and replaced" in report.line()
    assert asdict(report)["lost_workers"] == 1
    finish([report], as_json=True)
    assert '"lost_workers": 1' in capsys.readouterr().out
    again = describe_lake(lake, engine=actors)
    assert (again.done, again.skipped, again.lost_workers) == (0, PICTURES, 0)
    assert "lost" not in again.line()


def test_a_back_fill_that_was_stopped_goes_on_and_gives_each_particle_one_row(
    segmented: Path, undisturbed: Lake, actors: Engine, tmp_path: Path, rows_of: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from nanolake.pipeline import work

    monkeypatch.setattr(work, "COMMIT_UNITS", 4)
    lake = _copy(segmented, tmp_path)

    def stop_at_the_tenth(stage: str, done: int, total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe_lake(lake, engine=actors, progress=stop_at_the_tenth)
    kept = lake.query("FROM shape_inference").num_rows
    assert 0 < kept < PICTURES
    report = describe_lake(lake, engine=actors)
    assert (report.done, report.skipped) == (PICTURES - kept, kept)
    assert rows_of(lake, "shape_prediction") == rows_of(undisturbed, "shape_prediction")
    counts = lake.query(
        "SELECT count(*) AS n, count(DISTINCT particle_id) AS particles, "
        "(SELECT count(*) FROM particle) AS wanted FROM shape_prediction"
    ).to_pylist()[0]
    assert counts["n"] == counts["particles"] == counts["wanted"] > 0
