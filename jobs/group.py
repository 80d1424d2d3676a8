"""Divide the particles of a lake into shape groups, beside a null: `python jobs/group.py LAKE`.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/group.py LAKE
    ray job submit --working-dir . -- python jobs/group.py LAKE
    sed 's|WORDS|jobs/group.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from nanolake.group import GroupSettings
from nanolake.pipeline.group import group_lake
from nanolake.pipeline.job import exit_with, parse_job


def main(arguments: list[str] | None = None) -> int:
    """Parse, open, run the stage, print the last line."""
    job = parse_job(__file__, __doc__, GroupSettings, arguments)
    return job.finish(group_lake(job.lake(), job.settings).line())


if __name__ == "__main__":
    exit_with(main)
