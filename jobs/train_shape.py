"""Train the shape network: `python jobs/train_shape.py --out out/shape [--workers N] [--gpu]`.

On a cluster (every node sees the folder given by --out; started again, the job resumes):
    sbatch deploy/slurm/job.sbatch jobs/train_shape.py --out OUT
    ray job submit --working-dir . -- python jobs/train_shape.py --out OUT --workers N
    sed 's|WORDS|jobs/train_shape.py --out OUT|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from collections.abc import Sequence

from nanolake.pipeline.job import exit_with
from nanolake.pipeline.train_job import train_job
from nanolake.shape.settings import ShapeTrainSettings


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, print one line."""
    return train_job(__file__, __doc__, ShapeTrainSettings, arguments)


if __name__ == "__main__":
    exit_with(main)
