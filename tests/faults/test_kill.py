"""A run that is killed and started again ends with the tables of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nanolake.contracts import get_table
from nanolake.engines import open_engine
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.storage import Lake

Rows = Callable[..., list[dict[str, Any]]]
SCRIPT = Path(__file__).with_name("killed.py")
TABLES = (
    *("lab", "experiment", "micrograph", "micrograph_location", "failure"),
    *("segmentation_run", "segmentation", "particle", "shape_inference", "shape_prediction"),
)
FAST = [
    ("finish", 2),  # ingest: rows are committed, the ledger does not know it yet
    ("labels", 3),  # segmentation: one commit is done, two label images lie in Zarr
]
SLOW = [
    ("create", 1),  # a lake that is half made
    ("pixels", 4),
    ("fail", 1),  # the failure is written, the ledger does not know it yet
    ("commit", 6),
    ("finish", 7),
    ("claim", 3),
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five good pictures, one a copy of another, and two bad files."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:96, :96]
    inside = ((y % 32 - 16) ** 2 + (x % 32 - 16) ** 2) <= 81
    for seed in range(5):
        noise = np.random.default_rng(seed).integers(0, 120, (96, 96))
        tifffile.imwrite(folder / f"{seed}.tif", (np.where(inside, 800, 3000) + noise).astype("u2"))
    (folder / "2_copy.tif").write_bytes((folder / "2.tif").read_bytes())
    (folder / "1_bad.tif").write_bytes(b"")
    (folder / "3_bad.tif").write_bytes((folder / "3.tif").read_bytes()[:900])
    return folder


def _run(root: Path, folder: Path) -> Lake:
    lake = Lake.create(root)
    with open_engine("serial") as engine:
        ingest(lake, read_source([folder]), engine=engine)
        segment_lake(lake, engine=engine)
        describe_lake(lake, engine=engine)
    return lake


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return _run(tmp_path_factory.mktemp("undisturbed") / "lake", pictures)


@pytest.mark.parametrize(
    ("moment", "nth"),
    [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_a_killed_run_is_resumed_to_the_same_tables(
    tmp_path: Path, pictures: Path, undisturbed: Lake, rows_of: Rows, moment: str, nth: int
) -> None:
    root = tmp_path / "lake"
    command = [sys.executable, str(SCRIPT), str(root), str(pictures), moment, str(nth)]
    killed = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    lake = _run(root, pictures)
    for table in TABLES:
        found, wanted = rows_of(lake, table), rows_of(undisturbed, table)
        assert found == wanted, table
        keys = [tuple(row[k] for k in get_table(table).key if k in row) for row in found]
        assert table == "failure" or len(set(keys)) == len(keys), table
    states = lake.query("SELECT step, state, count(*) AS n FROM work_unit GROUP BY 1, 2 ORDER BY 1")
    wanted_states = undisturbed.query(
        "SELECT step, state, count(*) AS n FROM work_unit GROUP BY 1, 2 ORDER BY 1"
    )
    assert sorted(map(str, states.to_pylist())) == sorted(map(str, wanted_states.to_pylist()))
