"""The application that the commands register with."""

from __future__ import annotations

from typing import Annotated

import typer

from nanolake import __version__


def examples(*commands: str) -> str:
    """Return an epilog that keeps one example a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


app = typer.Typer(
    name="nanolake",
    help="A data lake for nanocrystal morphology: micrographs in, morphology in SQL out.",
    epilog=examples(
        "nanolake run my-lake samples.csv && nanolake sql 'FROM ensemble'",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"nanolake {__version__}")
        raise typer.Exit
