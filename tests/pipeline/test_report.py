"""Reports of the whole lake, of an experiment, of a question, of nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanolake.engines import Engine
from nanolake.errors import LakeError, QueryError
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.report import (
    IN_PIXELS,
    _cost,
    _failures,
    _losses,
    _particles,
    _Scope,
    report_lake,
)
from nanolake.pipeline.scope import experiment_titles
from nanolake.pipeline.segment import segment_lake
from nanolake.storage import Lake


def _page(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>")
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)([^"']+)""", text)
    assert outside == [], "a report is one file"
    assert "@import" not in text
    return text


def test_a_report_of_an_experiment_tells_of_it_alone(lake_copy: Lake) -> None:
    path = report_lake(lake_copy, experiments=["Pd mixed"])
    page = _page(path)
    assert path == lake_copy.root / "reports" / "pd-mixed.html"
    assert "Pd mixed" in page
    assert "Au rods" not in page
    assert "irregular_003.tif" in page  # its truncated file
    assert "spheres_003.tif" not in page


def test_a_report_of_a_question(lake_copy: Lake, tmp_path: Path) -> None:
    text = "SELECT particle_id FROM morphology WHERE lab = 'lab_north' -- ours;\n"
    page = _page(report_lake(lake_copy, tmp_path / "new" / "q.html", sql=text))
    assert "CsPbBr3 batch 1" in page
    with pytest.raises(LakeError, match="no particles fit"):
        report_lake(lake_copy, sql="SELECT particle_id FROM morphology WHERE d > 90")
    with pytest.raises(QueryError):
        report_lake(lake_copy, sql="DROP TABLE particle")
    with pytest.raises(QueryError, match="particle_id"):
        report_lake(lake_copy, sql="SELECT 1")  # not the whole lake
    with pytest.raises(LakeError, match="not both"):
        report_lake(lake_copy, sql=text, experiments=["Pd mixed"])
    with pytest.raises(LakeError, match="no experiment 'nowhere'"):
        report_lake(lake_copy, experiments=["nowhere"])


def test_only_what_a_report_needs_is_loaded(lake_copy: Lake) -> None:
    titles = experiment_titles(lake_copy)
    found = _particles(_Scope(lake_copy, ["Au rods"], None), titles)
    assert set(found["experiment"]) == {"Au rods"}
    assert {"p", "solidity", "area_nm2", "bbox_min_y_px", "shape_group"} <= set(found.columns)
    in_px = {name for name in found if name.endswith(("_px", "_px2")) and "bbox" not in name}
    assert in_px == set(IN_PIXELS)  # lengths are in nm
    assert not {"path", "image_path", "label_path", "centroid_y_nm"} & set(found.columns)


def test_losses_and_cost_are_those_of_the_tables(lake_copy: Lake) -> None:
    losses = _losses(_Scope(lake_copy, (), None), experiment_titles(lake_copy))
    told = lake_copy.query(
        "SELECT sum(particle_count) AS kept, sum(excluded_border) AS border "
        "FROM segmentation_current"
    ).to_pylist()[0]
    assert losses["kept"].sum() == told["kept"]
    assert losses["border"].sum() == told["border"]
    cost = _cost(lake_copy)
    assert cost["stage"].tolist()[:2] == ["ingest", "segment"]
    pictures = lake_copy.query("FROM segmentation_current").num_rows
    assert cost.set_index("stage").loc["segment", "units"] == pictures


def test_two_labs_may_give_one_name_to_an_experiment(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    for seed, name in enumerate("ab"):
        write_tiff(tmp_path / f"{name}.tif", discs(seed))
    sheet = tmp_path / "s.csv"
    sheet.write_text("lab,experiment,files\nA,batch 1,a.tif\nB,batch 1,b.tif\n")
    ingest(empty_lake, read_source([sheet]), engine=serial)
    segment_lake(empty_lake, engine=serial)
    assert set(experiment_titles(empty_lake).values()) == {"A · batch 1", "B · batch 1"}
    with pytest.raises(LakeError, match="one of several, name it in full: A/batch 1"):
        report_lake(empty_lake, experiments=["batch 1"])
    page = _page(report_lake(empty_lake, experiments=["A/batch 1"]))
    assert "a.tif" in page
    assert "b.tif" not in page


def test_an_experiment_without_particles_has_a_report(
    tmp_path: Path, empty_lake: Lake, write_tiff: Any, serial: Engine
) -> None:
    broken = write_tiff(tmp_path / "blank" / "a.tif", np.full((64, 64), 9, np.uint16))
    ingest(empty_lake, read_source([broken]), engine=serial)
    page = _page(report_lake(empty_lake, experiments=["blank"]))
    assert "constant" in page


def test_an_empty_lake_has_a_report(empty_lake: Lake) -> None:
    _page(report_lake(empty_lake))


@pytest.mark.slow
def test_a_report_of_the_whole_lake_with_its_figures(lake_copy: Lake, tmp_path: Path) -> None:
    page = _page(report_lake(lake_copy, tmp_path / "all.html", figures=True))
    for name in ("CsPbBr3 batch 1", "Au rods", "Au spheres", "Pd mixed"):
        assert name in page
    assert any((tmp_path / "all_files").iterdir())


def test_what_was_mended_is_no_failure_any_more(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    path = write_tiff(tmp_path / "p" / "a.tif", discs(0))
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])

    def failed() -> list[str]:
        ingest(empty_lake, read_source([tmp_path / "p"]), engine=serial, retry_failed=True)
        return list(_failures(_Scope(empty_lake, (), None))["reason"])

    assert failed() == ["truncated"]
    assert failed() == ["truncated"]  # tried twice, told once
    path.write_bytes(whole)
    assert failed() == []
    assert empty_lake.query("FROM failure").num_rows == 2
