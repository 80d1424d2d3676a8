"""The shipped network and the predictor around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nanolake.contracts import get_table
from nanolake.errors import ModelError
from nanolake.shape import ShapePredictor, cut, predict_particles
from nanolake.shape.predictor import SHIPPED
from nanolake.simulate.crystal import draw_triples, label_strip


@pytest.fixture(scope="module")
def predictor() -> ShapePredictor:
    return ShapePredictor()


@pytest.fixture(scope="module")
def strip() -> np.ndarray:
    rng = np.random.default_rng(11)
    return label_strip(rng, draw_triples(rng, 60), across_px=(40, 120))


def rectangle(height: int, width: int) -> np.ndarray:
    labels = np.zeros((200, 200), np.uint16)
    labels[40 : 40 + height, 30 : 30 + width] = 1
    return labels


def test_a_rod_a_cube_and_a_disk(predictor: ShapePredictor) -> None:
    # A rectangle a : b is eq. 1 with d = 2, L = b / a and large p; a disk is p = 2, L = 1.
    y, x = np.mgrid[:200, :200]
    disk = (np.hypot(y - 90.3, x - 97.1) < 55).astype(np.uint16)
    pictures = [rectangle(40, 120), rectangle(90, 90), disk]
    rod, cube, ball = (predict_particles(None, labels, predictor) for labels in pictures)
    assert rod["d"][0] == 2
    assert rod["L_ratio"][0] == pytest.approx(1 / 3, abs=0.06)
    assert rod["p"][0] > 5
    assert cube["d"][0] == 2
    assert cube["L_ratio"][0] > 0.9
    assert cube["p"][0] > 5
    assert ball["p"][0] == pytest.approx(2.0, rel=0.15)
    assert ball["L_ratio"][0] > 0.9
    assert min(r["jaccard"][0] for r in (rod, cube, ball)) > 0.93


def test_columns_are_the_tables(predictor: ShapePredictor, strip: np.ndarray) -> None:
    names = {column.name for column in get_table("shape_prediction").columns}
    found = predict_particles(None, strip, predictor)
    assert found["label"].tolist() == list(range(1, 61))
    assert found["d_probability"].shape == (60, 6)
    np.testing.assert_allclose(found["d_probability"].sum(axis=1), 1.0, rtol=1e-5)
    assert ((found["L_ratio"] > 0) & (found["L_ratio"] <= 1)).all()
    assert (found["log_p_sd"] > 0).all()
    assert ((found["jaccard"] > 0) & (found["jaccard"] <= 1)).all()
    from_the_lake = {name for name in names if name.endswith("_id")}
    from_the_lake |= {"model_name", "unit_key", "created_at"}
    assert set(found) == names - from_the_lake


def test_same_input_same_answer(predictor: ShapePredictor, strip: np.ndarray) -> None:
    first = predict_particles(None, strip, predictor)
    second = predict_particles(None, strip, ShapePredictor())
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    assert predictor.model_id == ShapePredictor().model_id


def test_a_quarter_turn_changes_little(predictor: ShapePredictor, strip: np.ndarray) -> None:
    before = predictor(cut(strip))
    after = predictor(cut(np.ascontiguousarray(np.rot90(strip))))
    sure = before["d_confidence"] > 0.9
    assert sure.mean() > 0.5
    assert (before["d"] == after["d"])[sure].mean() > 0.95
    same = sure & (before["d"] == after["d"])
    change = np.abs(before["L_ratio"] - after["L_ratio"])[same]
    assert np.median(change) < 0.03
    change = np.abs(np.log(before["p"]) - np.log(after["p"]))[same]
    assert np.median(change) < 0.15


def test_batches_do_not_matter(predictor: ShapePredictor, strip: np.ndarray) -> None:
    crops = np.tile(cut(strip), (6, 1, 1))  # 360 crops: more than one batch
    alone, many = predictor(crops[:7]), predictor(crops)
    np.testing.assert_allclose(many["p"][:7], alone["p"], rtol=1e-4)
    np.testing.assert_array_equal(many["d"][300:307], many["d"][:7])
    np.testing.assert_array_equal(predictor(crops[:7].astype(float))["p"], alone["p"])


def test_no_particle_no_row(predictor: ShapePredictor) -> None:
    found = predict_particles(None, np.zeros((9, 9), np.uint16), predictor)
    assert {len(values) for values in found.values()} == {0}


def test_bad_weights_and_crops(predictor: ShapePredictor, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        ShapePredictor(tmp_path / "none.onnx")
    (tmp_path / "torn.onnx").write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(ModelError, match="not an ONNX file"):
        ShapePredictor(tmp_path / "torn.onnx")
    with pytest.raises(ModelError, match="size=64"):
        predictor(np.zeros((2, 44, 44), np.float32))


def test_shipped_files_belong_together(predictor: ShapePredictor) -> None:
    assert SHIPPED.stat().st_size < 4_000_000
    assert predictor.model_id in SHIPPED.with_suffix(".md").read_text(encoding="utf-8")
    details = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    assert details["settings"] == predictor.card["settings"]
    assert details["metrics"]["test_d_accuracy"] > details["metrics"]["baseline_d_accuracy"]


def test_inference_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np; from nanolake.shape import ShapePredictor, predict_particles;"
        "predict_particles(None, np.eye(9, dtype=int), ShapePredictor());"
        "print(sorted({'torch', 'ray', 'mlflow', 'pytorch_lightning'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
