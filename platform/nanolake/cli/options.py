"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LakeArgument = Annotated[Path, typer.Argument(metavar="LAKE", help="Folder of the lake.")]
LakeOption = Annotated[
    Path | None,
    typer.Option(
        "--lake",
        "-l",
        metavar="LAKE",
        help="Folder of the lake. Default: $NANOLAKE_LAKE, or the lake that the current folder "
        "is in or holds.",
        show_default=False,
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="YAML file of settings.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="One setting; may be repeated."),
]
EngineOption = Annotated[str, typer.Option("--engine", help="serial, dask or ray.")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", "-w", min=1, help="Processes; default: one a core.")
]
DaskOption = Annotated[
    str | None, typer.Option("--dask", metavar="ADDRESS", help="A running Dask scheduler.")
]
RayOption = Annotated[
    str | None, typer.Option("--ray", metavar="ADDRESS", help="A running Ray cluster.")
]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Try again what failed in an earlier run.")
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict", help="End with exit code 3 if anything failed, now or in an earlier run."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
PixelSizeOption = Annotated[
    float | None,
    typer.Option(
        "--pixel-size-nm",
        metavar="NM",
        help="Side of a pixel in nm; wins over what the files say.",
    ),
]
SourceArgument = Annotated[
    list[Path],
    typer.Argument(metavar="SHEET", help="A sample sheet (CSV, XLSX, YAML), or files and folders."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE", help="ONNX file. Default: the lake's champion, or the shipped."
    ),
]
