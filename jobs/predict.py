"""Put new particles into the groups without grouping again: `python jobs/predict.py LAKE`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/predict.py LAKE
    ray job submit --working-dir . -- python jobs/predict.py LAKE
    sed 's|WORDS|jobs/predict.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.pipeline.job import PredictJobSettings, exit_with, parse_job
from nanolake.pipeline.predict import predict_lake
from nanolake.pipeline.refresh import refreshed


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, PredictJobSettings, arguments)
    lake, chosen = job.lake(), job.settings
    report = predict_lake(lake, chosen.run, experiments=chosen.experiments)
    return job.finish(refreshed(lake, report).line())


if __name__ == "__main__":
    exit_with(main)
