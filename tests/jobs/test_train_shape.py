"""The training job, run as its user runs it, on two Ray workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra `train`")

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
run_name: tiny
epochs: {epochs}
crops_per_epoch: 64
batch_size: 16
validation_crops: 32
test_crops: 100
"""


def run_job(out: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "jobs/train_shape.py"), "--out", str(out)]
    return subprocess.run(
        [*command, "--config", str(config)], capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
@pytest.mark.ray
def test_trains_registers_and_resumes(tmp_path: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG.format(epochs=2))
    first = run_job(tmp_path / "out", config)
    assert first.returncode == 0, first.stderr
    assert "epoch 2 of 2" in first.stdout
    assert "nanolake-shape version 1" in first.stdout.splitlines()[-1]
    details = json.loads((tmp_path / "out/nanolake-shape.json").read_text())
    assert [row["epoch"] for row in details["history"]] == [0, 1]
    weights = (tmp_path / "out/nanolake-shape.onnx").read_bytes()

    again = run_job(tmp_path / "out", config)  # nothing left to train: the same weights
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out/nanolake-shape.onnx").read_bytes() == weights

    config.write_text(CONFIG.format(epochs=3))
    other = run_job(tmp_path / "out", config)
    assert other.returncode != 0
    assert "run_name='tiny'" in other.stderr


def test_the_config_is_valid_and_names_the_shipped_settings() -> None:
    from nanolake.shape.predictor import ShapePredictor
    from nanolake.shape.settings import ShapeTrainSettings

    made = ShapeTrainSettings.from_yaml(ROOT / "jobs/configs/train_shape.yaml")
    assert ShapePredictor().card["settings"] == made.model_dump(mode="json")
