"""Train the shape network: `python jobs/train_shape.py --out out/shape [--workers N] [--gpu]`.

On a cluster (every node sees the folder given by --out; started again, the job resumes):
    sbatch deploy/slurm/job.sbatch jobs/train_shape.py --out OUT
    ray job submit --working-dir . -- python jobs/train_shape.py --out OUT --workers N
    sed 's|WORDS|jobs/train_shape.py --out OUT|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nanolake.pipeline.train import train_shape
from nanolake.shape.settings import ShapeTrainSettings

CONFIG = Path(__file__).parent / "configs" / "train_shape.yaml"


def main(arguments: list[str] | None = None) -> None:
    """Parse, train, print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIG, help="YAML file of settings")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints and weights"
    )
    parser.add_argument("--tracking-uri", help="MLflow database (sqlite:///OUT/mlflow.db)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker instead of one core")
    parser.add_argument("--hand-drawn", type=Path, help="folder of PNG label images to score on")
    given = parser.parse_args(arguments)
    model = train_shape(
        ShapeTrainSettings.from_yaml(given.config),
        out=given.out,
        tracking_uri=given.tracking_uri or f"sqlite:///{given.out.resolve()}/mlflow.db",
        workers=given.workers,
        gpu=given.gpu,
        hand_drawn=given.hand_drawn,
        progress=lambda done, total, _: print(f"epoch {done} of {total}", flush=True),
    )
    print(
        f"{model.model_name} version {model.model_version}: {model.weights}, "
        f"right d {model.metrics['test_d_accuracy']:.3f} "
        f"(baseline {model.metrics['baseline_d_accuracy']:.3f}), "
        f"Jaccard {model.metrics['test_jaccard']:.3f}"
    )


if __name__ == "__main__":
    main()
