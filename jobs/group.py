"""Divide the particles of a lake into shape groups, beside a null: `python jobs/group.py LAKE`.

With ``compare: true`` in the settings file every method on every data set is run, and the current
groups stay as they are.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/group.py LAKE
    ray job submit --working-dir . -- python jobs/group.py LAKE
    sed 's|WORDS|jobs/group.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.pipeline.group import GroupJobSettings, group_lake
from nanolake.pipeline.group_compare import compare_groups
from nanolake.pipeline.job import exit_with, parse_job
from nanolake.pipeline.refresh import refreshed


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, GroupJobSettings, arguments)
    settings = job.settings.grouping()
    if not job.settings.compare:
        lake = job.lake()
        return job.finish(refreshed(lake, group_lake(lake, settings)).line())
    found = compare_groups(job.lake(), settings)
    for row in found.rows:
        print(", ".join(f"{name}: {value}" for name, value in row.items()))
    return job.finish(found.report.line())


if __name__ == "__main__":
    exit_with(main)
