"""The ``nanolake`` command: each subcommand parses, opens, calls one pipeline function, reports."""

from __future__ import annotations

import os
import sys

# The commands appear in the help in the order in which their modules register them.
# isort: off
from nanolake.cli import first_look, stages, retry, training, serving, ask, history, backup

# isort: on
from nanolake.cli.app import app
from nanolake.errors import NanolakeError

__all__ = [
    "app",
    "ask",
    "backup",
    "first_look",
    "history",
    "main",
    "retry",
    "serving",
    "stages",
    "training",
]

_EXTRAS = {
    "dask": "cluster",
    "distributed": "cluster",
    "dask_ml": "cluster",
    "ray": "train",
    "torch": "train",
    "pytorch_lightning": "train",
    "onnx": "train",
    "mlflow": "train",
    "starlette": "serve",
    "uvicorn": "serve",
    "matplotlib": "report",
    "jinja2": "report",
}
"""Which extra of the package brings a module that the core does without."""


def main() -> None:
    """Run the command; an error of ours is one line, not a traceback."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (NanolakeError, OSError) as error:  # a full disk, a folder that may not be written to
        sys.stderr.write(f"nanolake: {error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        sys.stderr.write(
            f"nanolake: this needs {error.name}, which is not installed: "
            f"pip install 'nanolake[{extra}]'\n"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("\nnanolake: stopped; what was finished is kept, run it again to go on\n")
        sys.exit(130)
