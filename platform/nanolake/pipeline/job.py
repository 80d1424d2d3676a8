"""What the scripts in ``jobs/`` share: arguments, the settings file, engine, last line.

A job takes a lake, a YAML file of settings (by default ``configs/NAME.yaml`` beside the script,
which names every setting) and where to run. It ends with exit code 0, with 1 and one line on
standard error for an error of ours, with 3 where ``--strict`` was given and something failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from nanolake.engines import ENGINES, Engine, open_engine
from nanolake.errors import NanolakeError, SettingsError
from nanolake.settings import Settings

if TYPE_CHECKING:
    from nanolake.pipeline.run import EngineChoice
    from nanolake.pipeline.work import Failure
    from nanolake.storage import Lake

STRICT_EXIT = 3
Kind = TypeVar("Kind", bound=Settings)


class DescribeJobSettings(Settings):
    """What ``jobs/describe.py`` may be told."""

    weights: Path | None = None
    """ONNX file of the shape network; null: the lake's champion, or the shipped network."""
    refine: bool = True
    """Also fit the outline from the network's prediction, and store it beside the prediction."""


class PredictJobSettings(Settings):
    """What ``jobs/predict.py`` may be told."""

    run: str = "current"
    """The classifier: its id, the beginning of it, or ``current``: that of the current groups."""
    experiments: tuple[str, ...] = ()
    """Only the particles of these experiments, by name; empty: all."""


class ReportJobSettings(Settings):
    """What ``jobs/report.py`` may be told."""

    out: Path | None = None
    """HTML file; null: in the lake's folder ``reports/``."""
    experiments: tuple[str, ...] = ()
    """Only these experiments, by name; empty: all."""
    sql: str | None = None
    """A question that returns the ``particle_id`` of the particles to show; null: all."""
    figures: bool = False
    """Write every figure and table as a file of its own as well."""


@dataclass(frozen=True, kw_only=True)
class JobCall(Generic[Kind]):
    """One call of a job script, parsed."""

    lake_path: Path
    source: tuple[Path, ...]
    settings: Kind
    engine_name: str
    workers: int | None
    dask: str | None
    ray: str | None
    retry_failed: bool
    strict: bool

    def lake(self, *, create: bool = False) -> Lake:
        """Open the lake; with ``create``, make it where there is none."""
        from nanolake.storage import Lake

        return Lake.create(self.lake_path) if create else Lake.open(self.lake_path)

    def engine(self) -> Engine:
        """Start or reach the engine that was asked for; use it in a ``with``."""
        address = {"dask": self.dask, "ray": self.ray}.get(self.engine_name)
        return open_engine(self.engine_name, workers=self.workers, address=address)

    def engines(self) -> EngineChoice:
        """Return the engines of a job that does every stage: the network runs on Ray or here."""
        from nanolake.pipeline.run import EngineChoice

        return EngineChoice(
            map=self.engine_name,
            describe="serial" if self.engine_name == "serial" else "ray",
            workers=self.workers,
            dask=self.dask,
            ray=self.ray,
        )

    def finish(self, line: str, failures: Sequence[Failure] = ()) -> int:
        """Print a line for whatever failed and the last line; return the exit code."""
        for failed in failures:
            print(f"failed: {failed.stage}: {failed.reason}: {failed.path}: {failed.message}")
        print(line, flush=True)
        return STRICT_EXIT if self.strict and failures else 0


def parse_job(
    script: str,
    about: str | None,
    kind: type[Kind],
    arguments: Sequence[str] | None = None,
    *,
    engine: str | None = None,
    source: bool = False,
) -> JobCall[Kind]:
    """Parse a job's command line (None: that of this process) and read its settings file.

    ``script`` is the script's own path. ``engine`` is the one used where none is named; None: the
    job maps nothing and takes no engine. ``source``: it also takes a sample sheet or pictures.
    """
    parser = _parser(Path(script), (about or "").splitlines()[0])
    if source:
        words = "a sample sheet (CSV, XLSX, YAML), or files and folders"
        parser.add_argument("source", type=Path, nargs="+", metavar="SHEET", help=words)
    if engine is not None:
        _add_engine(parser, engine)
    given = vars(parser.parse_args(arguments))
    if not given["config"].is_file():
        raise SettingsError(f"there is no settings file {given['config']}")
    return JobCall(
        lake_path=given["lake"],
        source=tuple(given.get("source", ())),
        settings=kind.from_yaml(given["config"]),
        engine_name=given.get("engine", "serial"),
        workers=given.get("workers"),
        dask=given.get("dask"),
        ray=given.get("ray"),
        retry_failed=given.get("retry_failed", False),
        strict=given.get("strict", False),
    )


def exit_with(main: Callable[[], int]) -> None:
    """Run a job's ``main`` and end the process; an error of ours is one line, no traceback."""
    try:
        code = main()
    except NanolakeError as error:
        sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        code = 1
    sys.exit(code)


def _parser(script: Path, about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"jobs/{script.name}", description=about)
    parser.add_argument("lake", type=Path, metavar="LAKE", help="folder of the lake")
    config = script.parent / "configs" / f"{script.stem}.yaml"
    parser.add_argument("--config", type=Path, default=config, help="YAML file of settings")
    return parser


def _add_engine(parser: argparse.ArgumentParser, engine: str) -> None:
    parser.add_argument("--engine", choices=ENGINES, default=engine, help=f"default: {engine}")
    parser.add_argument("--workers", type=int, help="processes; default: one a core")
    parser.add_argument("--dask", metavar="ADDRESS", help="a running Dask scheduler: tcp://…")
    parser.add_argument("--ray", metavar="ADDRESS", help="a running Ray cluster: auto, HOST:PORT")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed")
    parser.add_argument("--strict", action="store_true", help="exit code 3 if anything failed")
