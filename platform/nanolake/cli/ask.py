"""Commands that only read a lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.ending import STRICT_EXIT
from nanolake.cli.opening import one_question, open_lake
from nanolake.cli.options import (
    JsonOption,
    LakeOption,
)


@app.command(
    epilog=examples(
        "nanolake sql 'SELECT lab, count(*) FROM morphology GROUP BY lab'",
        "nanolake sql 'FROM ensemble' --format csv",
        "nanolake sql --file question.sql",
        "nanolake sql --named same_product",
        "nanolake sql --named rods_over_40_nm --set min_nm=60",
    )
)
def sql(
    text: Annotated[
        str | None, typer.Argument(metavar="SQL", help="One SELECT.", show_default=False)
    ] = None,
    lake: LakeOption = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File that holds the question.")
    ] = None,
    named: Annotated[
        str | None, typer.Option("--named", "-n", help="A question that comes with nanolake.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME=VALUE",
            help="With --named: one parameter of the question; may be repeated. --list shows them.",
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the answer; needed for parquet.")
    ] = None,
    questions: Annotated[
        bool, typer.Option("--list", help="List the questions that come with nanolake.")
    ] = False,
) -> None:
    """Ask the lake a question in SQL; nothing can be changed this way."""
    from nanolake import query
    from nanolake.console import say_table, write_answer

    if questions:
        rows = [
            {
                "name": name,
                "question": about,
                "parameters": "; ".join(p.line() for p in query.parameters(name).values()),
            }
            for name, about in query.questions().items()
        ]
        say_table(rows)
        return
    write_answer(open_lake(lake).query(*one_question(text, file, named, values)), form, out)


@app.command(
    epilog=examples(
        "nanolake trace 0123456789abcdef01234567-00001 --out crop.png",
    )
)
def trace(
    particle: Annotated[str, typer.Argument(metavar="PARTICLE", help="A particle_id.")],
    lake: LakeOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="PNG of the particle with its outline.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a particle back to mask, pixels and raw file, re-hashing each."""
    from dataclasses import asdict

    from nanolake.console import say_json, say_table
    from nanolake.pipeline.trace import trace as follow

    found = follow(open_lake(lake), particle, out)
    if as_json:
        say_json(asdict(found))
    else:
        shown = ("lab", "experiment", "p", "d", "L_ratio", "shape_group", "method", "model_id")
        say_table([{name: found.particle[name] for name in shown}], title=particle)
        say_table([asdict(link) for link in found.links])
        typer.echo(f"{particle}: {'intact' if found.intact else 'NOT intact'}")
    if not found.intact:
        raise typer.Exit(STRICT_EXIT)


@app.command(
    epilog=examples(
        "nanolake status --lake my-lake",
    )
)
def status(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Say what the lake holds, what is open and what failed."""
    from dataclasses import asdict

    from nanolake.console import say_json, say_table
    from nanolake.pipeline.status import status as look

    found = look(open_lake(lake))
    if as_json:
        say_json(asdict(found))
        return
    say_table([{"table": k, "rows": v} for k, v in found.tables.items() if v], title=found.path)
    say_table(found.units, title="work units")
    if found.owners:
        say_table(found.owners, title="open work")
    say_table(found.failures, title="failures")
    sizes = ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in found.bytes_on_disk.items())
    typer.echo(f"{found.snapshots} snapshots; {sizes}")
