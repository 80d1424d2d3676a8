"""Commands on a lake's past: what was committed, and what of it is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.opening import open_lake
from nanolake.cli.options import JsonOption, LakeOption, QuietOption


@app.command(
    epilog=examples(
        "nanolake history --lake my-lake",
        "nanolake history --table particle --limit 100",
        "nanolake sql 'SELECT count(*) FROM particle' --at 12",
    )
)
def history(
    lake: LakeOption = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="How many commits, from the newest.")
    ] = 20,
    table: Annotated[
        str | None,
        typer.Option("--table", "-t", help="Only commits that added rows to this table."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what was committed: when, by whom, in which run, with what code and settings.

    Snapshots that `nanolake maintain` has expired are not listed. `nanolake sql --at` asks the lake
    as it was after any of these.
    """
    from dataclasses import asdict

    from nanolake.console import say_json, say_table
    from nanolake.pipeline.history import history as look

    found = look(open_lake(lake), limit=limit, table=table)
    if as_json:
        say_json([asdict(commit) for commit in found])
        return
    say_table([commit.row() for commit in found], limit=limit)


@app.command(
    epilog=examples(
        "nanolake maintain --lake my-lake --dry-run",
        "nanolake maintain --expire-older-than 90d --orphans-older-than 2d",
    )
)
def maintain(
    lake: LakeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    expire_older_than: Annotated[
        str,
        typer.Option(
            "--expire-older-than",
            metavar="AGE",
            help="Snapshots that are older expire, as 12h or 30d; those that a named selection "
            "was made from, and the newest, never do.",
        ),
    ] = "30d",
    orphans_older_than: Annotated[
        str,
        typer.Option(
            "--orphans-older-than",
            metavar="AGE",
            help="Files that nothing needs are removed once they are older: somebody may still "
            "be reading them.",
        ),
    ] = "1d",
    target_file_mb: Annotated[
        float,
        typer.Option(
            "--target-file-mb", metavar="MB", help="Size that small Parquet files are merged to."
        ),
    ] = 128.0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep a lake small: merge small files, expire old snapshots, remove what nothing needs.

    Safe beside live writers: what they have stored and not yet committed stays. It may be stopped
    and run again.
    """
    from dataclasses import asdict

    from nanolake.console import progress_bars, say_json, warn
    from nanolake.pipeline.maintain import MaintainSettings, maintain_lake, read_age

    settings = MaintainSettings.build(
        {
            "expire_older_than_s": read_age(expire_older_than),
            "orphans_older_than_s": read_age(orphans_older_than),
            "target_file_mb": target_file_mb,
        }
    )
    with progress_bars(quiet=quiet or as_json) as progress:
        done = maintain_lake(open_lake(lake), settings, dry_run=dry_run, progress=progress)
    for note in done.notes:
        warn(note)
    if as_json:
        say_json(asdict(done) | {"bytes_freed": done.bytes_freed})
        return
    typer.echo(done.line())
