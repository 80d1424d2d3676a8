"""The training jobs, run as their user runs them, on two Ray workers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the extra `train`")

ROOT = Path(__file__).resolve().parents[2]
COMMON = {"name": "tiny", "run_name": "tiny"}
SHAPE = {
    **{"crops_per_epoch": 64, "batch_size": 16, "channels": [4, 4], "hidden": 8},
    **{"micrographs": 1, "validation_crops": 16, "test_crops": 100},
}
SEGMENTER = {
    **{"channels": [4, 4, 4, 4, 4], "crops_per_epoch": 8, "batch_size": 2, "crop_px": 64},
    **{"micrograph_px": 128, "validation_micrographs": 2, "test_micrographs": 2},
}


def run_job(
    job: str, out: Path, values: dict[str, Any], *words: str
) -> subprocess.CompletedProcess[str]:
    config = out.parent / "tiny.yaml"
    config.write_text(json.dumps({**COMMON, **values}))  # JSON is YAML
    command = [sys.executable, str(ROOT / f"jobs/train_{job}.py"), "--out", str(out)]
    return subprocess.run(
        [*command, "--config", str(config), *words], capture_output=True, text=True, timeout=500
    )


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1500)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("job", "values", "said", "experiment", "scores"),
    [
        ("shape", SHAPE, "mean Jaccard ", "shape-network", {"test_jaccard", "baseline_d_accuracy"}),
        ("segmenter", SEGMENTER, "F1 ", "segmenter", {"test_truth", "baseline_f1_50"}),
    ],
)
def test_trains_registers_and_resumes(
    tmp_path: Path,
    job: str,
    values: dict[str, Any],
    said: str,
    experiment: str,
    scores: set[str],
) -> None:
    out = tmp_path / "out"
    first = run_job(job, out, {**values, "epochs": 2})
    assert first.returncode == 0, first.stderr
    assert "epoch 2 of 2: " in first.stdout
    assert f"train: tiny version 1: {said}" in first.stdout.splitlines()[-1]
    details = json.loads((out / "tiny.json").read_text())
    assert [row["epoch"] for row in details["history"]] == [0, 1]
    weights = (out / "tiny.onnx").read_bytes()

    again = run_job(job, out, {**values, "epochs": 2})  # nothing left to train: the same weights
    assert again.returncode == 0, again.stderr
    assert (out / "tiny.onnx").read_bytes() == weights

    other = run_job(job, out, {**values, "epochs": 3})
    assert other.returncode == 1
    assert other.stderr.startswith(f"train_{job}.py: run_name='tiny'")
    in_mlflow(out, weights, experiment, scores)

    (run,) = re.findall(r"; run (\w+);", first.stdout)
    repeated = run_job(job, out, {}, "--again", run)
    assert repeated.returncode == 0, repeated.stderr
    assert f"; the same learning curve as run {run};" in repeated.stdout.splitlines()[-1]


def in_mlflow(out: Path, weights: bytes, experiment: str, scores: set[str]) -> None:
    """Look up the second version, its scores and its learning curve."""
    from mlflow import MlflowClient

    from nanolake.storage.models import ModelRegistry

    uri = f"sqlite:///{out}/mlflow.db"
    fetched, version = ModelRegistry(uri).fetch("tiny", out / "fetched")  # the champion
    assert fetched.read_bytes() == weights
    assert version.version == 2
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(version.run_id)
    assert client.get_experiment(run.info.experiment_id).name == experiment
    assert {"val_loss", *scores} <= set(run.data.metrics)
    curve = client.get_metric_history(version.run_id, "val_loss")
    assert sorted(point.step for point in curve) == [0, 1]
    assert {"tiny.md", "tiny.json", "tiny.ckpt", "model"} <= {
        item.path for item in client.list_artifacts(version.run_id)
    }


def test_the_config_of_the_shape_network_names_the_shipped_settings() -> None:
    from nanolake.shape.predictor import ShapePredictor
    from nanolake.shape.settings import ShapeTrainSettings

    made = ShapeTrainSettings.from_yaml(ROOT / "jobs/configs/train_shape.yaml")
    assert ShapePredictor().card["settings"] == made.model_dump(mode="json")
