"""What the job scripts that train a network share: arguments, settings file, last line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from nanolake.pipeline.train import Place, TrainSettings, train_network


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
    settings = kind.short() if given.short else kind.from_yaml(given.config)
    made = train_network(settings, place, hand_drawn=given.hand_drawn, progress=_say)
    print(made.line(), flush=True)
    return 0


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
        "--hand-drawn": (Path, None, "folder of PNG label images to score a shape network on"),
    }
    for name, (kind, default, text) in words.items():
        parser.add_argument(name, type=kind, default=default, help=text, required=name == "--out")
    parser.add_argument("--short", action="store_true", help="a minute's training, to try it")
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker instead of one core")
    return parser


def _say(done: int, total: int, metrics: Mapping[str, float]) -> None:
    shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in sorted(metrics) if name != "epoch")
    print(f"epoch {done} of {total}: {shown}", flush=True)
