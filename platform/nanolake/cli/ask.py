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
        "nanolake sql 'FROM ensemble' --at 2026-11-01",
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
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="MOMENT",
            help="The lake as it was: a snapshot's number (see `nanolake history`), a day (its "
            "first second) or a time, in UTC unless it names a zone.",
        ),
    ] = None,
    questions: Annotated[
        bool, typer.Option("--list", help="List the questions that come with nanolake.")
    ] = False,
) -> None:
    """Ask the lake a question in SQL; nothing can be changed this way."""
    from nanolake import query
    from nanolake.console import say_table, write_answer
    from nanolake.storage import read_moment

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
    moment = None if at is None else read_moment(at)
    question, bound = one_question(text, file, named, values)
    with open_lake(lake).stream(question, bound, at=moment) as answer:
        write_answer(answer, form, out)


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
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="SNAPSHOT",
            help="In the lake as it was: a snapshot's number, or a time.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a particle back to its rows, mask, pixels and raw file, re-hashing each."""
    from dataclasses import asdict

    from nanolake.console import say_json, say_table
    from nanolake.pipeline.trace import WHOLE
    from nanolake.pipeline.trace import trace as follow
    from nanolake.storage import read_moment

    found = follow(open_lake(lake), particle, out, at=None if at is None else read_moment(at))
    if as_json:
        say_json(asdict(found))
    else:
        shown = ("lab", "experiment", "p", "d", "L_ratio", "shape_group", "method", "model_id")
        say_table([{name: found.particle[name] for name in shown}], title=particle)
        say_table([asdict(link) for link in found.links])
        broken = [link.what for link in found.links if link.found not in WHOLE]
        typer.echo(f"{particle}: {'NOT intact: ' + ', '.join(broken) if broken else 'intact'}")
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
