"""The segmenter's training job, run as its user runs it, on two Ray workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra `train`")

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
name: tiny
run_name: tiny
epochs: {epochs}
channels: [4, 4, 4, 4, 4]
crops_per_epoch: 8
batch_size: 2
crop_px: 64
micrograph_px: 128
validation_micrographs: 2
test_micrographs: 2
"""


def run_job(out: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs/train_segmenter.py"), "--out", str(out)]
    return subprocess.run(
        [*command, "--config", str(config)], capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_trains_registers_and_resumes(tmp_path: Path) -> None:
    config, out = tmp_path / "tiny.yaml", tmp_path / "out"
    config.write_text(CONFIG.format(epochs=2))
    first = run_job(out, config)
    assert first.returncode == 0, first.stderr
    assert "epoch 2 of 2: " in first.stdout
    assert "train: tiny version 1: F1 " in first.stdout.splitlines()[-1]
    details = json.loads((out / "tiny.json").read_text())
    assert [row["epoch"] for row in details["history"]] == [0, 1]
    weights = (out / "tiny.onnx").read_bytes()

    again = run_job(out, config)  # nothing left to train: the same weights
    assert again.returncode == 0, again.stderr
    assert (out / "tiny.onnx").read_bytes() == weights

    config.write_text(CONFIG.format(epochs=3))
    other = run_job(out, config)
    assert other.returncode != 0
    assert "run_name='tiny'" in other.stderr
    in_mlflow(out, weights)


def in_mlflow(out: Path, weights: bytes) -> None:
    """Look up the second version, its scores and its learning curve."""
    from mlflow import MlflowClient

    from nanolake.storage.models import ModelRegistry

    uri = f"sqlite:///{out}/mlflow.db"
    fetched, version = ModelRegistry(uri).fetch("tiny", out / "fetched")  # the champion
    assert fetched.read_bytes() == weights
    assert version.version == 2
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(version.run_id)
    assert client.get_experiment(run.info.experiment_id).name == "segmenter"
    assert {"test_truth", "baseline_f1_50", "val_loss"} <= set(run.data.metrics)
    curve = client.get_metric_history(version.run_id, "val_loss")
    assert sorted(point.step for point in curve) == [0, 1]
    assert {"tiny.md", "tiny.json", "tiny.ckpt", "model"} == {
        item.path for item in client.list_artifacts(version.run_id)
    }
