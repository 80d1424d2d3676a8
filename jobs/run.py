"""Do every stage, from a sample sheet to a report: `python jobs/run.py LAKE SHEET`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/run.py LAKE SHEET
    ray job submit --working-dir . -- python jobs/run.py LAKE SHEET --ray auto --workers N
    sed 's|WORDS|jobs/run.py LAKE SHEET|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

import sys

from nanolake.pipeline.ingest import read_source
from nanolake.pipeline.job import exit_with, parse_job
from nanolake.pipeline.run import RunSettings, run_all


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run every stage, print a line for each and one for all."""
    job = parse_job(__file__, __doc__, RunSettings, arguments, engine="dask", source=True)
    result = run_all(
        job.lake(create=True),
        read_source(job.source),
        job.settings,
        engines=job.engines(),
        on_stage=lambda report: print(report.line(), flush=True),
        on_forecast=lambda found: print(found.line(), file=sys.stderr, flush=True),
        retry_failed=job.retry_failed,
    )
    line = (
        f"{result.micrographs} micrographs, {result.particles:,} particles in {result.wall_s:.0f} s"
    )
    return job.finish(f"run: {line}; report: {result.report or 'none'}", result.failures)


if __name__ == "__main__":
    exit_with(main)
