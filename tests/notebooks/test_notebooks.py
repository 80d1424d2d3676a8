"""The notebooks run from top to bottom on a tiny lake, and are kept without outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient", reason="needs the extra `dev`")
pytest.importorskip("matplotlib", reason="needs the extra `report`")

import nbformat

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
BY_NAME = {path.stem: path for path in NOTEBOOKS}

pytestmark = pytest.mark.filterwarnings("ignore")


def outputs(notebook: Any) -> list[Any]:
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


def run(path: Path, lake: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    from nbclient import NotebookClient

    monkeypatch.setenv("NANOLAKE_LAKE", str(lake.root))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return outputs(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(c.execution_count is None for c in notebook.cells if c.cell_type == "code")


def test_it_asks_the_lake_and_draws(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = finished.lake
    made = run(BY_NAME["01_ask_the_lake"], lake, monkeypatch)
    experiments = lake.query("SELECT count(*) AS n FROM ensemble").to_pylist()[0]["n"]
    figures = [o for o in made if "image/png" in o.get("data", {})]
    tables = [o for o in made if "<table" in o.get("data", {}).get("text/html", "")]
    assert len(figures) == experiments + 2  # a histogram each, the scatter, the overlay
    assert len(tables) >= 3
    assert not [o for o in made if o.get("name") == "stderr"]


def test_it_draws_the_reports_figures(finished: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(BY_NAME["02_figures"], finished.lake, monkeypatch)
    assert len([o for o in made if "image/png" in o.get("data", {})]) == 8
    assert len([o for o in made if "<table" in o.get("data", {}).get("text/html", "")]) == 2
    assert "by micrograph" in "".join(o.get("text", "") for o in made)
    assert not [o for o in made if o.get("name") == "stderr"]
