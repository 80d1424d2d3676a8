"""The notebooks run from top to bottom on a tiny lake, and are kept without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="needs the extra `dev`")
pytest.importorskip("matplotlib", reason="needs the extra `report`")

import nbformat

from nanolake.engines import open_engine
from nanolake.group import GroupSettings
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.group import group_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.simulate import write_demo
from nanolake.storage import Lake

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Twelve small simulated pictures through every stage, without MLflow."""
    folder = tmp_path_factory.mktemp("lake")
    sheet = read_source([write_demo(folder / "data", scale=0.01).sheet])
    made = Lake.create(folder / "lake")
    with open_engine("serial") as engine:
        ingest(made, sheet, engine=engine)
        segment_lake(made, engine=engine)
        describe_lake(made, engine=engine)
    quick = GroupSettings(k_max=3, null_runs=2, bootstrap_runs=2, seeds=1)
    group_lake(made, quick, track=False)
    return made


def outputs(notebook: Any) -> list[Any]:
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(c.execution_count is None for c in notebook.cells if c.cell_type == "code")


def test_it_asks_the_lake_and_draws(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("NANOLAKE_LAKE", str(lake.root))
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    experiments = lake.query("SELECT count(*) AS n FROM ensemble").to_pylist()[0]["n"]
    made = outputs(notebook)
    figures = [o for o in made if "image/png" in o.get("data", {})]
    tables = [o for o in made if "<table" in o.get("data", {}).get("text/html", "")]
    assert len(figures) == experiments + 2  # a histogram each, the scatter, the overlay
    assert len(tables) >= 3
    assert not [o for o in made if o.get("name") == "stderr"]
