"""What the job scripts that train a network share: arguments, settings file, last line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from nanolake.errors import SettingsError
from nanolake.pipeline.again import train_again
from nanolake.pipeline.curated import MIN_JACCARD, with_selection
from nanolake.pipeline.train import Place, TrainSettings, train_network
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.storage import Lake


def train_job(
    script: str,
    about: str | None,
    kind: type[TrainSettings],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the command line (None: that of this process), train, print one line; return 0.

    ``script`` is the script's own path: ``configs/NAME.yaml`` beside it names every setting.
    """
    given = _parser(Path(script), (about or "").splitlines()[0]).parse_args(arguments)
    place = Place(
        out=given.out,
        tracking_uri=given.tracking_uri or f"sqlite:///{given.out.resolve()}/mlflow.db",
        workers=given.workers,
        threads=given.threads,
        gpu=given.gpu,
        precision=given.precision,
    )
    if given.again is not None:
        if given.short or given.selection:
            raise SettingsError("--again repeats a run as it was: give no settings with it")
        made = train_again(given.again, place, progress=_say, harvest_progress=_say_stage)
    else:
        settings = _settings(kind, given, place.out)
        made = train_network(
            settings,
            place,
            hand_drawn=given.hand_drawn,
            progress=_say,
            harvest_progress=_say_stage,
        )
    print(made.line(), flush=True)
    return 0


def _settings(kind: type[TrainSettings], given: argparse.Namespace, out: Path) -> TrainSettings:
    settings = kind.short() if given.short else kind.from_yaml(given.config)
    if given.selection is None:
        return settings
    if given.lake is None or not isinstance(settings, ShapeTrainSettings):
        raise SettingsError("--selection needs --lake, and the training of the shape network")
    lake = Lake.open(given.lake)
    return with_selection(
        settings,
        lake,
        given.selection,
        share=given.share,
        out=out / "curated",
        min_jaccard=given.min_jaccard,
    )


def _parser(script: Path, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"jobs/{script.name}", description=about)
    config = script.parent / "configs" / f"{script.stem}.yaml"
    words = {
        "--config": (Path, config, "YAML file of settings"),
        "--out": (Path, None, "folder for checkpoints and weights"),
        "--tracking-uri": (str, None, "MLflow database (sqlite:///OUT/mlflow.db)"),
        "--workers": (int, 2, "processes (2)"),
        "--threads": (int, 1, "CPU cores a worker (1)"),
        "--precision": (str, "32-true", "such as bf16-mixed, with --gpu"),
        "--lake": (Path, None, "folder of the lake that --selection is in"),
        "--selection": (str, None, "curated particles to mix in (`nanolake select`)"),
        "--share": (float, 0.25, "their share of every batch (0.25)"),
        "--min-jaccard": (float, MIN_JACCARD, "least Jaccard of a prediction to learn (0.9)"),
        "--again": (str, None, "repeat the training of this MLflow run"),
        "--hand-drawn": (Path, None, "folder of PNG label images to score a shape network on"),
    }
    for name, (kind, default, text) in words.items():
        parser.add_argument(name, type=kind, default=default, help=text, required=name == "--out")
    parser.add_argument("--short", action="store_true", help="a minute's training, to try it")
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker instead of one core")
    return parser


def _say_stage(stage: str, done: int, total: int) -> None:
    if total and (done == total or done % max(1, total // 20) == 0):
        print(f"{stage}: {done} of {total}", flush=True)


def _say(done: int, total: int, metrics: Mapping[str, float]) -> None:
    shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in sorted(metrics) if name != "epoch")
    print(f"epoch {done} of {total}: {shown}", flush=True)
