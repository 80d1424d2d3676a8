"""Write one self-contained HTML report of a lake: `python jobs/report.py LAKE`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/report.py LAKE
    ray job submit --working-dir . -- python jobs/report.py LAKE
    sed 's|WORDS|jobs/report.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.pipeline.job import ReportJobSettings, exit_with, parse_job
from nanolake.pipeline.report import report_lake


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, write the report, print where it is."""
    job = parse_job(__file__, __doc__, ReportJobSettings, arguments)
    path = report_lake(job.lake(), **dict(job.settings))
    return job.finish(f"report: {path}")


if __name__ == "__main__":
    exit_with(main)
