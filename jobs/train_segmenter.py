"""Train the segmenter: `python jobs/train_segmenter.py --out out/segment [--workers N] [--gpu]`.

On a cluster (every node sees the folder given by --out; started again, the job resumes):
    sbatch deploy/slurm/job.sbatch jobs/train_segmenter.py --out OUT
    ray job submit --working-dir . -- python jobs/train_segmenter.py --out OUT --workers N
    sed 's|WORDS|jobs/train_segmenter.py --out OUT|' deploy/kubernetes/job.yaml |
        kubectl create -f -
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nanolake.pipeline.train import Place, train_segmenter
from nanolake.segment.learned.settings import SegmenterTrainSettings

CONFIG = Path(__file__).parent / "configs" / "train_segmenter.yaml"


def main(arguments: list[str] | None = None) -> None:
    """Parse, train, print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIG, help="YAML file of settings")
    parser.add_argument("--short", action="store_true", help="a minute's training, to try it")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints and weights"
    )
    parser.add_argument("--tracking-uri", help="MLflow database (sqlite:///OUT/mlflow.db)")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("--threads", type=int, default=1, help="CPU cores a worker (1)")
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker instead of one core")
    parser.add_argument("--precision", default="32-true", help="such as bf16-mixed, with --gpu")
    given = parser.parse_args(arguments)
    kind = SegmenterTrainSettings
    place = Place(
        out=given.out,
        tracking_uri=given.tracking_uri or f"sqlite:///{given.out.resolve()}/mlflow.db",
        workers=given.workers,
        threads=given.threads,
        gpu=given.gpu,
        precision=given.precision,
    )
    made = train_segmenter(
        kind.short() if given.short else kind.from_yaml(given.config), place, progress=_say
    )
    print(made.line())


def _say(done: int, total: int, metrics: dict[str, float]) -> None:
    shown = ", ".join(f"{name} {metrics[name]:.4f}" for name in sorted(metrics) if name != "epoch")
    print(f"epoch {done} of {total}: {shown}", flush=True)


if __name__ == "__main__":
    main()
