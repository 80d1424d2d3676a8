"""Commands that check a lake byte by byte, and take it out of its store and in again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.ending import STRICT_EXIT
from nanolake.cli.opening import open_lake
from nanolake.cli.options import (
    JsonOption,
    LakeArgument,
    LakeOption,
    QuietOption,
    WorkersOption,
)


@app.command(
    epilog=examples(
        "nanolake verify --lake my-lake",
        "nanolake verify --lake my-lake --raw",
        "nanolake verify --lake my-lake --quick --json",
        "nanolake verify backup-2026-11",
    )
)
def verify(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="A folder that `nanolake export-lake` wrote, or a lake's.",
            show_default=False,
        ),
    ] = None,
    lake: LakeOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only whether files are there and of their size.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Hash the raw files too.")] = False,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of a lake again and check its rows; exit code 3 where something is broken."""
    from nanolake.console import progress_bars, warn
    from nanolake.pipeline.exported import is_exported, verify_folder
    from nanolake.pipeline.verify import verify as check

    with progress_bars(quiet=quiet or as_json) as progress:
        if folder is not None and is_exported(folder):
            found = verify_folder(folder, quick=quick, workers=workers, progress=progress)
        else:
            opened = open_lake(folder or lake)
            said = None if quiet or as_json else warn
            found = check(
                opened, quick=quick, raw=raw, workers=workers, progress=progress, on_forecast=said
            )
    _finish(found, as_json=as_json)


@app.command(
    "export-lake",
    epilog=examples(
        "nanolake export-lake my-lake backup-2026-11",
        "nanolake export-lake my-lake backup-2026-11 --raw",
        "nanolake export-lake my-lake paper-data --at 42 --no-pixels",
    ),
)
def export_lake(
    lake: LakeArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the copy.")],
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="SNAPSHOT",
            help="The lake as it was: a snapshot's number, or a time (2026-11-28T20:00Z).",
        ),
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels/--no-pixels", help="Micrographs and label images too.")
    ] = True,
    raw: Annotated[
        bool, typer.Option("--raw", help="The raw files too, where this computer reaches them.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy a lake to a plain folder of Parquet and OME-Zarr with a manifest of hashes."""
    from nanolake.console import progress_bars, warn
    from nanolake.pipeline.export import export_lake as export
    from nanolake.storage import read_moment

    with progress_bars(quiet=quiet or as_json) as progress:
        made = export(
            open_lake(lake),
            folder,
            at=None if at is None else read_moment(at),
            pixels=pixels,
            raw=raw,
            progress=progress,
            on_forecast=None if quiet or as_json else warn,
        )
    _say(made, as_json=as_json)


@app.command(
    "import-lake",
    epilog=examples(
        "nanolake import-lake backup-2026-11 my-lake",
        "nanolake import-lake backup-2026-11 shared "
        "--catalog 'postgresql://me@db/lakes?schema=ours' --data s3://bucket/ours",
    ),
)
def import_lake(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `nanolake export-lake` has written.")
    ],
    lake: LakeArgument,
    catalog: Annotated[
        str | None,
        typer.Option("--catalog", metavar="URL", help="postgresql://USER@HOST/DATABASE?schema=…"),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="URL", help="s3://BUCKET/PREFIX, or a folder.")
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new lake from an exported folder, of any profile, after checking every hash."""
    from nanolake.console import progress_bars, warn
    from nanolake.pipeline.import_lake import import_lake as bring

    with progress_bars(quiet=quiet or as_json) as progress:
        made = bring(
            folder,
            lake,
            catalog=catalog,
            data=data,
            progress=progress,
            on_forecast=None if quiet or as_json else warn,
        )
    _say(made, as_json=as_json)


def _say(made: Any, *, as_json: bool) -> None:
    from dataclasses import asdict

    from nanolake.console import say_json

    if as_json:
        say_json(asdict(made))
    else:
        typer.echo(made.line())


def _finish(found: Any, *, as_json: bool) -> None:
    from dataclasses import asdict

    from nanolake.console import say_json, say_table

    if as_json:
        say_json(asdict(found) | {"intact": found.intact})
    else:
        say_table([asdict(check) for check in found.checks])
        if found.broken:
            say_table([asdict(one) for one in found.broken], title="broken")
        typer.echo(found.line())
    if not found.intact:
        raise typer.Exit(STRICT_EXIT)
