"""Describe: every particle once, by every engine the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
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
        "SELECT s.*, m.image_path, m.pixel_size_y_nm / m.pixel_size_x_nm AS aspect "
        "FROM segmentation_current s "
        "JOIN micrograph_current m USING (micrograph_id) ORDER BY particle_count DESC LIMIT 1"
    ).to_pylist()[0]
    predictor = ShapePredictor(None)
    labels = lake.images.read(row["label_path"])
    pixels = lake.images.read(row["image_path"])
    wanted = predict_particles(pixels, labels, predictor, pixel_aspect=row["aspect"])
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
    for table in ("shape_inference", "shape_prediction", "shape_refinement"):
        assert rows_of(lake, table) == rows_of(finished.lake, table), table


def test_refinement_stands_beside_the_prediction(finished: Any) -> None:
    from nanolake.pipeline.describe import REFINEMENT
    from nanolake.shape.refine import METHOD

    assert REFINEMENT == METHOD
    rows = finished.lake.query(
        "SELECT p.jaccard, r.jaccard AS refined, r.improved, r.p = p.p AS kept, r.method, "
        "m.jaccard_refined AS shown FROM shape_prediction p "
        "JOIN shape_refinement r USING (particle_id, model_id) "
        "JOIN morphology m USING (particle_id)"
    ).to_pylist()
    count = finished.lake.query("SELECT count(*) AS n FROM particle").to_pylist()[0]["n"]
    assert len(rows) == count
    assert all(row["refined"] >= row["jaccard"] for row in rows)
    assert all(row["kept"] for row in rows if not row["improved"])
    assert all(row["shown"] == row["refined"] for row in rows)
    assert {row["method"] for row in rows} == {METHOD}
    assert sum(row["improved"] for row in rows) > count / 2


def test_refining_later_adds_the_refinement_only(
    empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine, tmp_path: Path, rows_of: Rows
) -> None:
    from nanolake.pipeline.describe import DescribeSettings

    for number in range(2):
        write_tiff(tmp_path / f"{number}.tif", discs(number))
    ingest(empty_lake, read_source([tmp_path]), engine=serial)
    segment_lake(empty_lake, engine=serial)
    plain = DescribeSettings(refine=False)
    first = describe_lake(empty_lake, engine=serial, settings=plain)
    assert (first.done, dict(first.rows)) == (2, {"shape_prediction": 32})
    assert empty_lake.query("FROM shape_refinement").num_rows == 0
    before = rows_of(empty_lake, "shape_prediction"), rows_of(empty_lake, "shape_inference")

    later = describe_lake(empty_lake, engine=serial)
    assert (later.done, later.skipped, later.rows["shape_refinement"]) == (2, 0, 32)
    assert before == (
        rows_of(empty_lake, "shape_prediction"),
        rows_of(empty_lake, "shape_inference"),
    )
    refined = rows_of(empty_lake, "shape_refinement")
    assert len({row["particle_id"] for row in refined}) == len(refined) == 32

    for settings in (None, plain):  # nothing is done twice, and nothing is taken away
        again = describe_lake(empty_lake, engine=serial, settings=settings)
        assert (again.done, again.skipped) == (0, 2)
        assert "nothing to do" in again.line()
    assert rows_of(empty_lake, "shape_refinement") == refined


def test_a_newer_nanolake_describes_anew_and_each_particle_is_shown_once(
    lake_copy: Lake, serial: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanolake.pipeline import describe
    from nanolake.storage import unit_key

    count = lake_copy.query("FROM morphology").num_rows
    monkeypatch.setattr(describe, "unit_key", partial(unit_key, code_version="later"))
    assert describe_lake(lake_copy, engine=serial).done == 12
    for table in ("shape_prediction", "shape_refinement"):
        assert lake_copy.query(f"FROM {table}").num_rows == 2 * count
    shown = lake_copy.query("SELECT count(jaccard_refined) AS n, count(*) AS rows FROM morphology")
    assert shown.to_pylist() == [{"n": count, "rows": count}]


def test_particles_too_thin_for_the_crop_have_no_refinement() -> None:
    from nanolake.pipeline.describe import DescribeItem, describe_micrograph
    from nanolake.shape import cut

    class OneImage:
        def read(self, path: str) -> Any:
            return labels

    # A line 400 px long and 1 px wide, in a crop of 64 px: no pixel of the crop is half covered.
    labels = np.zeros((40, 420), np.uint16)
    labels[20, 10:410] = 1
    labels[2:14, 2:14] = 2
    assert cut(labels)[0].max() < 0.5
    item = DescribeItem(
        segmentation_id="s",
        segmentation_run_id="r",
        micrograph_id="m",
        image_path="labels",
        label_path="labels",
        pixel_aspect=1.0,
        unit_key="u",
        refine=True,
    )
    made = describe_micrograph(item, OneImage(), ShapePredictor()).tables  # type: ignore[arg-type]
    assert made["shape_prediction"].num_rows == 2
    assert made["shape_prediction"].column("jaccard").to_pylist()[0] is None
    assert made["shape_refinement"].column("label").to_pylist() == [2]
