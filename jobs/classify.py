"""Train a classifier on the current shape groups of a lake: `python jobs/classify.py LAKE`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/classify.py LAKE
    ray job submit --working-dir . -- python jobs/classify.py LAKE
    sed 's|WORDS|jobs/classify.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.classify import ClassifySettings
from nanolake.pipeline.classify import classify_lake
from nanolake.pipeline.job import exit_with, parse_job


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, ClassifySettings, arguments)
    return job.finish(classify_lake(job.lake(), job.settings).line())


if __name__ == "__main__":
    exit_with(main)
