"""Find and measure the particles of every micrograph of a lake: `python jobs/segment.py LAKE`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/segment.py LAKE
    ray job submit --working-dir . -- python jobs/segment.py LAKE
    sed 's|WORDS|jobs/segment.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

import sys

from nanolake.pipeline.job import exit_with, parse_job
from nanolake.pipeline.refresh import refreshed
from nanolake.pipeline.segment import segment_lake
from nanolake.segment import SegmentSettings


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, SegmentSettings, arguments, engine="dask")
    lake = job.lake()
    with job.engine() as engine:
        report = segment_lake(
            lake,
            job.settings,
            engine=engine,
            retry_failed=job.retry_failed,
            on_forecast=lambda found: print(found.line(), file=sys.stderr, flush=True),
        )
    return job.finish(refreshed(lake, report).line(), report.failures)


if __name__ == "__main__":
    exit_with(main)
