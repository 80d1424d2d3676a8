"""``nanolake retry``: run again what failed."""

from __future__ import annotations

from typing import Annotated

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.ending import STRICT_EXIT
from nanolake.cli.opening import open_lake
from nanolake.cli.options import (
    DaskOption,
    EngineOption,
    JsonOption,
    LakeOption,
    QuietOption,
    WorkersOption,
)


@app.command(
    epilog=examples(
        "nanolake retry --failed",
        "nanolake retry --failed --stage segment --lake my-lake",
        "nanolake retry --failed --strict && nanolake segment",
    )
)
def retry(
    failed: Annotated[
        bool,
        typer.Option(
            "--failed", help="What failed and nothing has put right since; must be given."
        ),
    ] = False,
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", help="Only ingest, segment or describe; may be repeated."),
    ] = None,
    lake: LakeOption = None,
    engine: EngineOption = "dask",
    workers: WorkersOption = None,
    dask: DaskOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with exit code 3 if anything is still failed.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run again only what failed; say what came right and what still fails.

    Each is run with the settings it failed with, where the lake knows them. Reasons are kept: every
    attempt that fails is a row in `failure`.
    """
    from nanolake.console import progress_bars
    from nanolake.engines import open_engine
    from nanolake.pipeline.retry import STAGES, retry_lake

    if not failed:
        raise typer.BadParameter("say what is to be run again: --failed")
    opened = open_lake(lake)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=dask) as pool,
    ):
        report = retry_lake(opened, stage or STAGES, engine=pool, progress=progress)
    _say(report, as_json=as_json)
    if strict and (report.failures or report.left):
        raise typer.Exit(STRICT_EXIT)


def _say(report: object, *, as_json: bool) -> None:
    from dataclasses import asdict

    from nanolake.console import say_failures, say_json, say_table
    from nanolake.pipeline.retry import RetryReport

    assert isinstance(report, RetryReport)
    if as_json:
        say_json(asdict(report))
        return
    say_failures(report.failures)
    if report.left:
        say_table([asdict(left) for left in report.left], title=f"{len(report.left)} not tried")
    for stage in report.stages:
        typer.echo(stage.line())
    typer.echo(report.line())
