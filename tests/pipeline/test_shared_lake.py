"""Every stage on a lake in PostgreSQL and on S3 gives the rows of the same run in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nanolake.cli.app import app
from nanolake.contracts import load_tables
from nanolake.engines import open_engine
from nanolake.pipeline.classify import classify_lake
from nanolake.pipeline.describe import champion, describe_lake
from nanolake.pipeline.export import NOT_EXPORTED
from nanolake.pipeline.group import group_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.predict import predict_lake
from nanolake.pipeline.segment import segment_lake
from nanolake.pipeline.trace import trace
from nanolake.shape.predictor import SHIPPED
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.simulate.experiments import DemoTruth
from nanolake.storage import Lake

Rows = Callable[..., list[dict[str, Any]]]
pytestmark = pytest.mark.skipif(
    "NANOLAKE_TEST_CATALOG" not in os.environ, reason="no PostgreSQL and S3: `make services`"
)


@pytest.fixture(scope="module")
def shared(
    shared_lake: Callable[[], Lake], world: DemoTruth, quick_group: Any, quick_classify: Any
) -> Iterator[Lake]:
    """The finished demo world once more, with Dask's own processes at the pixels on S3."""
    lake = shared_lake()
    with open_engine("dask", workers=2) as engine:
        ingest(lake, read_source([world.sheet]), engine=engine)
        segment_lake(lake, engine=engine)
    describe_lake(lake, engine=open_engine("serial"))
    group_lake(lake, quick_group, track=False)
    classify_lake(lake, quick_classify, track=False)
    yield lake
    lake.close()


@pytest.mark.dask
def test_every_table_is_that_of_the_same_run_in_a_folder(
    shared: Lake, finished: Any, rows_of: Rows
) -> None:
    for name in load_tables():
        if name in NOT_EXPORTED - {"work_unit"}:  # what a lake notes of its own files
            continue
        found, wanted = rows_of(shared, name), rows_of(finished.lake, name)
        assert len(found) == len(wanted), name
        # The group's and classifier's ids hold the time of the run.
        if name not in ("grouping_run", "group_assignment", "classifier_run", "work_unit"):
            assert found == wanted, name
    for name in ("morphology", "ensemble"):
        assert shared.query(f"FROM {name}").num_rows == finished.lake.query(f"FROM {name}").num_rows


@pytest.mark.dask
def test_a_particle_leads_back_and_nothing_lies_in_the_handle(shared: Lake, tmp_path: Path) -> None:
    particle = shared.query("SELECT particle_id FROM morphology ORDER BY 1 LIMIT 1").to_pylist()[0]
    found = trace(shared, particle["particle_id"], tmp_path / "crop.png")
    assert found.intact
    assert (tmp_path / "crop.png").stat().st_size > 1000
    assert {link.where[:5] for link in found.links if "pixels" in link.what} == {"s3://"}
    left = [path.name for path in shared.root.rglob("*") if path.is_file()]
    assert left == ["lake.json"]


@pytest.mark.dask
def test_a_worker_elsewhere_needs_no_handle(shared: Lake, tmp_path: Path) -> None:
    """The classifier's worker opens the lake by its addresses: it has no folder of it."""
    address = shared.address
    away = type(address)(root=str(tmp_path / "none"), catalog=address.catalog, data=address.data)
    lake = away.open()
    assert predict_lake(lake).failed == 0
    assert lake.query("SELECT count(*) AS n FROM particle").to_pylist()[0]["n"] > 0
    lake.close()


def test_no_secret_stands_in_the_handle_a_row_or_the_history(shared: Lake) -> None:
    secrets = [os.environ["PGPASSWORD"], os.environ["AWS_SECRET_ACCESS_KEY"]]
    texts = [(shared.root / "lake.json").read_text(), shared.data.read("lake.json").decode()]
    texts += [str(shared.query("FROM lake.snapshots()").to_pylist()), shared.where]
    texts += [shared.query(f"FROM {name}()").to_pandas().to_string()
              for name in ("duckdb_settings", "duckdb_databases")]  # fmt: skip
    assert not [word for word in secrets for text in texts if word in text]


def run(*words: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def test_init_makes_a_handle_on_a_lake_that_others_see(
    shared_lake: Callable[[], Lake], tmp_path: Path
) -> None:
    first = shared_lake()
    where = ("--catalog", first.catalog_url, "--data", first.data_url)
    code, said = run("init", tmp_path / "other", *where)
    assert code == 0
    assert "a handle on postgresql://" in said.replace("\n", " ")
    other = Lake.open(tmp_path / "other")
    ids = [json.loads((lake.root / "lake.json").read_text())["lake_id"] for lake in (first, other)]
    assert ids[0] == ids[1]
    assert run("init", tmp_path / "other")[0] == 0  # what is there stays
    for lake in (first, other):
        lake.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_shared_lakes_champion_is_the_one_registered_on_another_computer(
    shared_lake: Callable[[], Lake], tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra `train`")
    first = shared_lake()
    assert champion(first) is None
    weights = tmp_path / "net.onnx"
    weights.write_bytes(SHIPPED.read_bytes())
    registry = first.registry("shape-network")
    run_id = registry.log(run_name="r", params={"a": 1}, metrics={"m": 1.0}, files=(weights,))
    registry.register(ShapeTrainSettings().name, weights, run_id)
    other = Lake.create(tmp_path / "other", catalog=first.catalog_url, data=first.data_url)
    found = champion(other)
    assert found is not None
    assert found.read_bytes() == weights.read_bytes()
    assert any("mlartifacts" in entry.path for entry in first.data.walk("models"))
    assert not list(first.root.rglob("*.onnx"))
    for lake in (first, other):
        lake.close()
