"""Files that change, vanish or are torn while a run is on its way; and how much memory it takes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nanolake.engines import Outcome, Task, open_engine
from nanolake.engines.serial import SerialEngine
from nanolake.errors import StoreError
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.storage import ImageStore, Lake
from nanolake.storage.folders import room

LIMIT_BYTES = 2 * 2**30


def _pictures(folder: Path, count: int = 4) -> Path:
    folder.mkdir()
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(0, 4000, (64, 64)).astype(np.uint16)
        tifffile.imwrite(folder / f"{seed}.tif", pixels)
    return folder


class Meddling(SerialEngine):
    """Does something to the files after the first item has been read."""

    def __init__(self, meddle: Any) -> None:
        self.meddle = meddle

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        for number, outcome in enumerate(super().map(task, items)):
            yield outcome
            if number == 0:
                self.meddle()


def test_files_that_vanish_or_tear_during_a_run_cost_themselves(tmp_path: Path) -> None:
    folder, lake = _pictures(tmp_path / "p"), Lake.create(tmp_path / "lake")
    whole = (folder / "2.tif").read_bytes()

    def meddle() -> None:
        (folder / "1.tif").unlink()
        (folder / "2.tif").write_bytes(whole[:500])

    report = ingest(lake, read_source([folder]), engine=Meddling(meddle))
    assert (report.done, report.failed) == (2, 2)
    reasons = {Path(failure.path).name: failure.reason for failure in report.failures}
    assert reasons == {"1.tif": "missing_file", "2.tif": "truncated"}
    (folder / "2.tif").write_bytes(whole)
    again = ingest(lake, read_source([folder]), engine=open_engine("serial"), retry_failed=True)
    assert (again.done + again.skipped, again.failed) == (3, 0)
    assert lake.query("FROM micrograph").num_rows == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_failure(tmp_path: Path) -> None:
    folder, lake = _pictures(tmp_path / "p", 2), Lake.create(tmp_path / "lake")
    (folder / "0.tif").chmod(0)
    report = ingest(lake, read_source([folder]), engine=open_engine("serial"))
    assert [failure.reason for failure in report.failures] == ["unreadable"]
    (folder / "0.tif").chmod(0o600)
    again = ingest(lake, read_source([folder]), engine=open_engine("serial"), retry_failed=True)
    assert again.done == 1


def test_a_stopped_run_gives_its_work_back(tmp_path: Path) -> None:
    folder, lake = _pictures(tmp_path / "p"), Lake.create(tmp_path / "lake")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(lake, read_source([folder]), engine=Meddling(stop))
    assert lake.ledger.counts() == {}
    report = ingest(lake, read_source([folder]), engine=open_engine("serial"))
    assert (report.done, report.busy) == (4, 0)


def test_a_store_that_fails_stops_the_run_and_blames_no_file(
    new_lake: Callable[[], Lake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, lake = _pictures(tmp_path / "p"), new_lake()
    whole, calls = ImageStore.write, []

    def full(*words: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            with room("/lake/pixels/x"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return whole(*words, **more)

    monkeypatch.setattr(ImageStore, "write", full)
    with pytest.raises(StoreError, match=r"^/lake/pixels/x: no room left: make room"):
        ingest(lake, read_source([folder]), engine=open_engine("serial"))
    assert lake.query("FROM failure").num_rows == 0
    assert lake.ledger.counts() == {}
    report = ingest(lake, read_source([folder]), engine=open_engine("serial"))
    assert (report.done, report.failed, report.failed_before) == (4, 0, 0)
    lake.close()


MEASURE = """
import json, resource, sys
from pathlib import Path
from nanolake.engines import open_engine
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.storage import Lake
lake = Lake.create(Path(sys.argv[2]))
with open_engine("serial") as engine:
    reports = [ingest(lake, read_source([sys.argv[1]]), engine=engine)]
    reports += [segment_lake(lake, engine=engine), describe_lake(lake, engine=engine)]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak_bytes": peak, "rows": [dict(r.rows) for r in reports]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_a_picture_of_4096_px_stays_under_2_gib(tmp_path: Path, kind: str) -> None:
    from nanolake.simulate import MicrographSettings, simulate_micrograph

    one = simulate_micrograph(MicrographSettings.build({"height_px": 512, "width_px": 512}), 0)
    pixels = np.tile(one.pixels, (8, 8)).astype(kind)
    assert pixels.shape == (4096, 4096)
    tifffile.imwrite(tmp_path / "large.tif", pixels)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "large.tif"), str(tmp_path / "lake")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind}: peak {found['peak_bytes'] / 2**20:.0f} MiB, rows {found['rows']}")
    assert found["rows"][1]["particle"] > 500
    assert found["peak_bytes"] < LIMIT_BYTES
