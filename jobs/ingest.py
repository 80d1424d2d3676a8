"""Read micrographs and what is known of them into a lake: `python jobs/ingest.py LAKE SHEET`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/ingest.py LAKE SHEET
    ray job submit --working-dir . -- python jobs/ingest.py LAKE SHEET
    sed 's|WORDS|jobs/ingest.py LAKE SHEET|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.ingest import IngestSettings
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.job import exit_with, parse_job
from nanolake.pipeline.refresh import refreshed


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, IngestSettings, arguments, engine="dask", source=True)
    sheet, lake = read_source(job.source), job.lake(create=True)
    with job.engine() as engine:
        report = ingest(lake, sheet, job.settings, engine=engine, retry_failed=job.retry_failed)
    return job.finish(refreshed(lake, report).line(), report.failures)


if __name__ == "__main__":
    exit_with(main)
