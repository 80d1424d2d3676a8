"""Training calls: what is refused before anything starts, and which network a command trains."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from nanolake.errors import ModelError, SettingsError
from nanolake.pipeline import train
from nanolake.pipeline.train import Place, TrainedModel, train_network
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.shape.settings import ShapeTrainSettings

pytest.importorskip("torch", reason="needs the extra `train`")


def place(out: Path, **changes: Any) -> Place:
    return Place(out=out, tracking_uri=f"sqlite:///{out}/mlflow.db", **changes)


@pytest.mark.parametrize("kind", [SegmenterTrainSettings, ShapeTrainSettings])
def test_no_workers_and_no_threads(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(SettingsError, match="workers=0"):
        train_network(kind.short(), place(tmp_path, workers=0))
    with pytest.raises(SettingsError, match="threads=-1"):
        train_network(kind.short(), place(tmp_path, threads=-1))
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_resumed_under_other_settings(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / "segment-short").mkdir(parents=True)
    note = runs / "segment-short.settings.json"
    note.write_text(SegmenterTrainSettings.short(seed=1).as_json(), encoding="utf-8")
    with pytest.raises(SettingsError, match="run_name='segment-short'"):
        train_network(SegmenterTrainSettings.short(seed=2), place(tmp_path))


def test_a_missing_start_is_told_before_anything_starts(tmp_path: Path) -> None:
    settings = SegmenterTrainSettings.short(start_from=tmp_path / "none.ckpt")
    with pytest.raises(ModelError, match=r"none\.ckpt.*start_from"):
        train_network(settings, place(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "kind", "name"),
    [
        ([], ShapeTrainSettings, "nanolake-shape"),
        (["--short"], ShapeTrainSettings, "nanolake-shape-short"),
        (["shape"], ShapeTrainSettings, "nanolake-shape"),
        (["segmenter"], SegmenterTrainSettings, "nanolake-segment"),
        (["segmenter", "--short"], SegmenterTrainSettings, "nanolake-segment-short"),
    ],
)
def test_the_command_names_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], kind: type, name: str
) -> None:
    from typer.testing import CliRunner

    from nanolake.cli import training  # noqa: F401  # its commands
    from nanolake.cli.app import app
    from nanolake.storage import Lake

    asked: list[Any] = []

    def trained(settings: Any, where: Place, **_: Any) -> TrainedModel:
        asked.append((settings, where))
        return TrainedModel(
            weights=Path("w.onnx"),
            metrics={},
            mlflow_run_id="1",
            model_name=settings.name,
            model_version=4,
            champion=True,
            summary="good",
            verdict="champion: the first of its name",
        )

    monkeypatch.setattr(train, "train_network", trained)
    lake = Lake.create(tmp_path / "lake")
    done = CliRunner().invoke(app, ["train", *words, "--lake", str(lake.root), "--workers", "1"])
    assert done.exit_code == 0, done.output
    ((settings, where),) = asked
    assert type(settings) is kind
    assert settings.name == name
    assert asdict(where)["workers"] == 1
    said = f"train: {name} version 4: good; champion: the first of its name; run 1; w.onnx"
    assert done.output.strip().endswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--again", "0", "--short"], "--again repeats a run as it was"),
        (["segmenter", "--selection", "rods"], "train shape with it"),
        (["--selection", "rods"], "there is no selection 'rods'"),
        (["--selection", "rods", "--share", "1.5"], "share=1.5"),
    ],
)
def test_what_a_training_cannot_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    from typer.testing import CliRunner

    from nanolake.cli import training  # noqa: F401  # its commands
    from nanolake.cli.app import app
    from nanolake.storage import Lake

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing may be trained")

    monkeypatch.setattr(train, "train_network", never)
    lake = Lake.create(tmp_path / "lake")
    done = CliRunner().invoke(app, ["train", *words, "--lake", str(lake.root)])
    assert said in str(done.exception)
