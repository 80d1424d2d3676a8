"""`retry --failed` runs what failed, with what it failed with, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from nanolake.cli import app
from nanolake.engines import open_engine
from nanolake.errors import PictureError, SettingsError
from nanolake.ingest import IngestSettings
from nanolake.pipeline import segment as segment_stage
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.retry import retry_lake
from nanolake.pipeline.segment import segment_lake
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake

SERIAL = open_engine("serial")
WAY = SegmentSettings.build({"method": "threshold", "min_diameter_px": 7.0})


def picture(seed: int) -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    inside = ((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) <= 81
    noise = np.random.default_rng(seed).integers(0, 120, (96, 96))
    return (np.where(inside, 800, 3000) + noise).astype("u2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three good pictures and a file cut short."""
    made = tmp_path / "pictures"
    made.mkdir()
    for seed in range(4):
        tifffile.imwrite(made / f"{seed}.tif", picture(seed))
    (made / "3.tif").write_bytes((made / "3.tif").read_bytes()[:700])
    return made


@pytest.fixture
def lake(new_lake: Callable[[], Lake]) -> Iterator[Lake]:
    lake = new_lake()
    yield lake
    lake.close()


def reasons(lake: Lake, view: str = "failure") -> list[tuple[str, str]]:
    rows = lake.query(f"SELECT stage, reason FROM {view} ORDER BY stage, reason, failed_at")
    return [(row["stage"], row["reason"]) for row in rows.to_pylist()]


def test_nothing_failed_is_nothing_to_do(lake: Lake) -> None:
    report = retry_lake(lake, engine=SERIAL)
    assert report.stages == report.left == ()
    assert report.line() == "retry: nothing has failed that is not put right already"
    with pytest.raises(SettingsError, match="stage 'group' is none of ingest, segment, describe"):
        retry_lake(lake, ["group"], engine=SERIAL)


def test_a_file_that_still_fails_keeps_every_reason_and_comes_right_when_mended(
    lake: Lake, folder: Path
) -> None:
    ingest(lake, read_source([folder]), engine=SERIAL)
    before = lake.query("SELECT count(*) AS n FROM lake.snapshots()").to_pylist()[0]["n"]
    report = retry_lake(lake, engine=SERIAL)
    assert [(r.stage, r.done, r.failed, r.skipped) for r in report.stages] == [("ingest", 0, 1, 0)]
    assert report.line().startswith("retry: 0 of 1 came right, 1 still fails in ")
    assert (
        lake.query("SELECT count(*) AS n FROM lake.snapshots()").to_pylist()[0]["n"] == before + 1
    )
    assert reasons(lake) == [("ingest", "truncated")] * 2
    tifffile.imwrite(folder / "3.tif", picture(3))
    report = retry_lake(lake, engine=SERIAL)
    assert (report.line()[:25], report.left) == ("retry: 1 of 1 came right ", ())
    assert lake.query("FROM micrograph").num_rows == 4
    assert reasons(lake, "failure_current") == []
    assert reasons(lake) == [("ingest", "truncated")] * 2


def test_a_file_of_a_sheet_is_read_with_the_pixel_size_of_its_experiment(
    lake: Lake, folder: Path
) -> None:
    ingest(lake, read_source([folder], pixel_size_nm=0.5), engine=SERIAL)
    assert retry_lake(lake, engine=SERIAL).stages[0].failed == 1  # the same unit: key made again
    assert lake.query("SELECT max(attempt) AS n FROM work_unit").to_pylist() == [{"n": 2}]
    tifffile.imwrite(folder / "3.tif", picture(3))
    assert retry_lake(lake, engine=SERIAL).stages[0].done == 1
    sizes = lake.query("SELECT DISTINCT pixel_size_y_nm AS s FROM micrograph").to_pylist()
    assert sizes == [{"s": 0.5}]


def test_what_it_failed_with_must_be_known(lake: Lake, folder: Path) -> None:
    os.utime(folder / "3.tif", (1.0, 1.0))  # not mended since
    strict = IngestSettings.build({"min_side_px": 40})
    ingest(lake, read_source([folder]), strict, engine=SERIAL)
    report = retry_lake(lake, engine=SERIAL)
    assert report.stages == ()
    (left,) = report.left
    assert (left.stage, Path(left.path).name, left.reason) == ("ingest", "3.tif", "truncated")
    assert "is not known: use `nanolake ingest LAKE SHEET --retry-failed`" in left.why
    assert "1 not tried" in report.line()


def test_segmentation_is_tried_with_the_settings_it_failed_with(
    lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "3.tif").unlink()
    ingest(lake, read_source([folder]), engine=SERIAL)
    bad = lake.query("SELECT min(image_path) AS p FROM micrograph").to_pylist()[0]["p"]
    whole = segment_stage.SegmentTask.run

    def refuse(task: Any, item: Any, store: Any) -> Any:
        if item.image_path == bad:
            raise PictureError("too_small", "not this one")
        return whole(task, item, store)

    monkeypatch.setattr(segment_stage.SegmentTask, "run", refuse)
    assert segment_lake(lake, WAY, engine=SERIAL).failed == 1
    monkeypatch.undo()
    report = retry_lake(lake, ["segment"], engine=SERIAL)
    assert [(r.done, r.failed, r.skipped) for r in report.stages] == [(1, 0, 0)]
    runs = lake.query("SELECT DISTINCT segmentation_run_id FROM segmentation").num_rows
    assert runs == lake.query("FROM segmentation_run").num_rows == 1
    assert lake.query("FROM segmentation").num_rows == 3
    assert reasons(lake) == [("segment", "too_small")]
    assert reasons(lake, "failure_current") == []
    assert segment_lake(lake, WAY, engine=SERIAL).skipped == 3


def test_a_shape_that_could_not_be_read_is_read_again(lake: Lake, folder: Path) -> None:
    (folder / "3.tif").unlink()
    ingest(lake, read_source([folder]), engine=SERIAL)
    segment_lake(lake, WAY, engine=SERIAL)
    path = lake.query("SELECT min(label_path) AS p FROM segmentation").to_pylist()[0]["p"]
    shard = lake.images.folder.read(f"{path}/0/c/0/0")
    lake.images.folder.write(f"{path}/0/c/0/0", b"broken")
    assert describe_lake(lake, engine=SERIAL).failed == 1
    lake.images.folder.write(f"{path}/0/c/0/0", shard)
    report = retry_lake(lake, engine=SERIAL)
    assert [(r.stage, r.done, r.failed) for r in report.stages] == [("describe", 1, 0)]
    assert lake.query("FROM shape_inference").num_rows == 3


def test_the_command_tells_what_came_of_it(lake: Lake, folder: Path) -> None:
    ingest(lake, read_source([folder]), engine=SERIAL)
    words = ["retry", "--failed", "--lake", str(lake.root), "--engine", "serial", "--quiet"]
    told = CliRunner().invoke(app, [*words, "--strict"])
    assert told.exit_code == 3, told.output
    assert "truncated" in told.output
    assert "0 of 1 came right, 1 still fails" in told.output
    told = CliRunner().invoke(app, [*words, "--json"])
    found = json.loads(told.stdout)
    assert [failure["reason"] for failure in found["stages"][0]["failures"]] == ["truncated"]
    refused = CliRunner().invoke(app, ["retry", "--lake", str(lake.root)])
    assert refused.exit_code == 2
    assert "say what is to be run again: --failed" in refused.output
