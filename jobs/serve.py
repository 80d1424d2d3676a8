"""Answer over HTTP with the lake's shape network, until stopped: `python jobs/serve.py LAKE`.

There is no authentication: the settings' host, 127.0.0.1, is reached from its machine alone.

On a cluster (every node sees the lake under the same path; see deploy/README.md):
    sbatch deploy/slurm/job.sbatch jobs/serve.py LAKE
    ray job submit --working-dir . -- python jobs/serve.py LAKE
    sed 's|WORDS|jobs/serve.py LAKE|' deploy/kubernetes/job.yaml | kubectl create -f -
"""

from __future__ import annotations

from functools import partial

from nanolake.pipeline.job import exit_with, parse_job
from nanolake.serve import ServeSettings
from nanolake.serve.running import run_service


def main(arguments: list[str] | None = None) -> int:
    """Parse, start the service, and end with it."""
    job = parse_job(__file__, __doc__, ServeSettings, arguments)
    run_service(job.settings, lake=job.lake().root, say=partial(print, flush=True))
    return 0


if __name__ == "__main__":
    exit_with(main)
