"""Read p, d and L_ratio off every particle with the shape network: `python jobs/describe.py LAKE`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/describe.py LAKE
    ray job submit --working-dir . -- python jobs/describe.py LAKE --ray auto --workers N
    sed 's|WORDS|jobs/describe.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.pipeline.describe import DescribeSettings, describe_lake
from nanolake.pipeline.job import DescribeJobSettings, exit_with, parse_job
from nanolake.pipeline.refresh import refreshed


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, DescribeJobSettings, arguments, engine="ray")
    lake, settings = job.lake(), DescribeSettings(refine=job.settings.refine)
    with job.engine() as engine:
        report = describe_lake(
            lake,
            job.settings.weights,
            engine=engine,
            settings=settings,
            retry_failed=job.retry_failed,
        )
    return job.finish(refreshed(lake, report).line(), report.failures)


if __name__ == "__main__":
    exit_with(main)
