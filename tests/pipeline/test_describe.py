"""Describe: every particle once, by every engine the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanolake.engines import Engine, open_engine
from nanolake.pipeline.describe import champion, describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.shape import ShapePredictor, predict_particles
from nanolake.storage import Lake

Rows = Callable[..., list[dict[str, Any]]]


def test_the_rows_are_what_the_network_says_of_the_label_image(finished: Any) -> None:
    lake = finished.lake
    row = lake.query(
        "SELECT s.*, m.pixel_size_y_nm / m.pixel_size_x_nm AS aspect FROM segmentation_current s "
        "JOIN micrograph_current m USING (micrograph_id) ORDER BY particle_count DESC LIMIT 1"
    ).to_pylist()[0]
    predictor = ShapePredictor(None)
    labels = lake.images.read(row["label_path"])
    wanted = predict_particles(None, labels, predictor, pixel_aspect=row["aspect"])
    stored = lake.query(
        "FROM shape_prediction WHERE segmentation_id = ? ORDER BY particle_id",
        [row["segmentation_id"]],
    )
    assert set(stored.column("model_id").to_pylist()) == {predictor.model_id}
    for name in ("p", "d", "L_ratio", "jaccard"):
        np.testing.assert_allclose(stored.column(name).to_numpy(), wanted[name], rtol=1e-5)


def test_all_particles_are_described_once(lake_copy: Lake, serial: Engine) -> None:
    counts = lake_copy.query(
        "SELECT (SELECT count(*) FROM particle) AS particles, count(p) AS described, "
        "count(DISTINCT particle_id) AS ids FROM morphology"
    ).to_pylist()[0]
    assert counts["particles"] == counts["described"] == counts["ids"] > 50
    again = describe_lake(lake_copy, engine=serial)
    assert (again.done, again.skipped) == (0, 12)
    assert "nothing to do" in again.line()


def test_a_lake_without_a_trained_network_uses_the_shipped_one(finished: Any) -> None:
    assert champion(finished.lake) is None


def test_other_weights_replace_the_predictions_and_can_be_taken_back(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    import nanolake.shape

    shipped = next((Path(nanolake.shape.__file__).parent / "weights").glob("*.onnx"))
    other = tmp_path / "other.onnx"
    other.write_bytes(_renamed(shipped))
    ingest(empty_lake, read_source([write_tiff(tmp_path / "a.tif", discs(0))]), engine=serial)
    segment_lake(empty_lake, engine=serial)

    def model() -> set[str]:
        rows = empty_lake.query("SELECT DISTINCT model_id FROM morphology").column("model_id")
        return set(rows.to_pylist())

    describe_lake(empty_lake, engine=serial)
    first = model()
    assert describe_lake(empty_lake, other, engine=serial).done == 1
    assert len(model()) == 1
    assert model() != first
    assert describe_lake(empty_lake, engine=serial).done == 0
    assert model() == first
    assert empty_lake.query("FROM morphology").num_rows == 16


def _renamed(weights: Path) -> bytes:
    """The same network under another hash: one more word of documentation in the file."""
    onnx = pytest.importorskip("onnx", reason="needs the extra `train`")
    model = onnx.load(str(weights))
    model.doc_string += " copy"
    return bytes(model.SerializeToString())


@pytest.mark.slow
@pytest.mark.ray
def test_two_ray_actors_give_the_serial_rows(
    finished: Any, tmp_path: Path, rows_of: Rows, serial: Engine
) -> None:
    lake = Lake.create(tmp_path / "lake")
    ingest(lake, read_source([finished.world.sheet]), engine=serial)
    segment_lake(lake, engine=serial)
    with open_engine("ray", workers=2) as engine:
        describe_lake(lake, engine=engine)
    for table in ("shape_inference", "shape_prediction"):
        assert rows_of(lake, table) == rows_of(finished.lake, table), table
