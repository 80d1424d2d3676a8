"""Segmentation over the lake: rows, label images, ways of working, and Dask beside serial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanolake.engines import Engine, open_engine
from nanolake.features import measure
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake

Rows = Callable[..., list[dict[str, Any]]]
TABLES = (
    *("lab", "sample", "experiment", "experiment_condition", "micrograph", "micrograph_location"),
    *("segmentation_run", "segmentation", "particle", "failure"),
)


def test_the_rows_are_the_features_of_the_stored_label_image(finished: Any) -> None:
    lake = finished.lake
    row = lake.query(
        "SELECT s.*, m.image_path, m.pixel_size_y_nm AS y, m.pixel_size_x_nm AS x "
        "FROM segmentation_current s JOIN micrograph_current m USING (micrograph_id) "
        "ORDER BY particle_count DESC LIMIT 1"
    ).to_pylist()[0]
    labels = lake.images.read(row["label_path"])
    found = measure(lake.images.read(row["image_path"]), labels, pixel_size_nm=(row["y"], row["x"]))
    stored = lake.query(
        "FROM particle WHERE segmentation_id = ? ORDER BY label", [row["segmentation_id"]]
    )
    assert row["particle_count"] == stored.num_rows == labels.max() > 0
    assert row["covered_fraction"] == pytest.approx(np.mean(labels > 0))
    for name in ("label", "num_pixels", "area_nm2", "solidity", "centroid_y_px"):
        np.testing.assert_allclose(stored.column(name).to_numpy(), found[name], rtol=1e-6)
    ids = stored.column("particle_id").to_pylist()
    assert ids[0] == f"{row['segmentation_id']}-00001"
    assert len(set(ids)) == len(ids)


def test_every_micrograph_is_segmented_once(lake_copy: Lake, serial: Engine) -> None:
    again = segment_lake(lake_copy, engine=serial)
    assert (again.done, again.failed, again.skipped) == (0, 0, 12)
    assert again.line().startswith("segment: nothing to do")
    twice = lake_copy.query("SELECT particle_id FROM particle GROUP BY 1 HAVING count(*) > 1")
    assert twice.num_rows == 0


def test_a_way_of_segmenting_taken_up_again_is_current_again(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    ingest(empty_lake, read_source([write_tiff(tmp_path / "a.tif", discs(0))]), engine=serial)

    def way() -> list[str]:
        rows = empty_lake.query("SELECT DISTINCT segmentation_id FROM morphology")
        return [str(v) for v in rows.column("segmentation_id").to_pylist()]

    segment_lake(empty_lake, engine=serial)
    first = way()
    segment_lake(empty_lake, SegmentSettings(method="williamson2022"), engine=serial)
    assert way() != first
    back = segment_lake(empty_lake, engine=serial)
    assert way() == first
    assert (back.done, back.note) == (0, "1 made current again")
    assert empty_lake.query("FROM segmentation_run").num_rows == 2
    assert segment_lake(empty_lake, engine=serial).note == ""


def test_the_pixel_size_beside_a_feature_is_the_one_it_was_computed_with(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    """Between a corrected size and the next segmentation the features are those of the old one."""
    path = write_tiff(tmp_path / "a.tif", discs(0), nm=(0.5, 0.25))

    def seen() -> list[dict[str, Any]]:
        return empty_lake.query(
            "SELECT DISTINCT pixel_size_nm AS nm, round(area_nm2 / num_pixels, 6) AS nm2, "
            "image_path, label_path FROM morphology"
        ).to_pylist()

    ingest(empty_lake, read_source([path]), engine=serial)
    segment_lake(empty_lake, engine=serial)
    (first,) = seen()
    assert (first["nm"], first["nm2"]) == (pytest.approx(0.25), pytest.approx(0.125))
    assert empty_lake.images.read(first["label_path"]).shape == discs(0).shape
    assert (empty_lake.images.read(first["image_path"]) == discs(0)).all()
    ingest(empty_lake, read_source([path], pixel_size_nm=0.1), engine=serial)
    assert seen() == [first]
    segment_lake(empty_lake, engine=serial)
    (second,) = seen()
    assert (second["nm"], second["nm2"]) == (pytest.approx(0.1), pytest.approx(0.01))


def test_a_damaged_picture_is_a_failure_and_the_others_go_on(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    for seed in range(3):
        write_tiff(tmp_path / "p" / f"{seed}.tif", discs(seed))
    ingest(empty_lake, read_source([tmp_path / "p"]), engine=serial)
    paths = empty_lake.query("SELECT image_path FROM micrograph ORDER BY image_path").to_pylist()
    shard = empty_lake.images.root / paths[0]["image_path"] / "0" / "c" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:100])
    report = segment_lake(empty_lake, engine=serial)
    assert (report.done, report.failed) == (2, 1)
    (failure,) = empty_lake.query("FROM failure").to_pylist()
    assert (failure["stage"], failure["path"]) == ("segment", paths[0]["image_path"])
    assert failure["micrograph_id"] in failure["path"]


@pytest.mark.dask
def test_two_dask_processes_give_the_serial_tables(
    finished: Any, tmp_path: Path, rows_of: Rows
) -> None:
    lake = Lake.create(tmp_path / "lake")
    with open_engine("dask", workers=2) as engine:
        ingest(lake, read_source([finished.world.sheet]), engine=engine)
        segment_lake(lake, engine=engine)
    for table in TABLES:
        assert rows_of(lake, table) == rows_of(finished.lake, table), table
    home = "FROM micrograph_home SELECT micrograph_id, experiment_id, path ORDER BY 1"
    assert lake.query(home).to_pylist() == finished.lake.query(home).to_pylist()
