"""Commands that need no lake: measure single pictures, see the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.ending import finish_measure
from nanolake.cli.opening import read_settings
from nanolake.cli.options import (
    ConfigOption,
    JsonOption,
    PixelSizeOption,
    QuietOption,
    SetOption,
    StrictOption,
    WeightsOption,
    WorkersOption,
)


@app.command(
    epilog=examples(
        "nanolake measure picture.dm4 --out measured",
        "nanolake measure *.tif --out measured --pixel-size-nm 0.25",
        "nanolake measure a-folder --out measured",
        "nanolake measure a.tif --labels a_masks.tif --out measured",
    )
)
def measure(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="Pictures or folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for results.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="LABELS", help="Label image of any tool to measure instead."),
    ] = None,
    pixel_size_nm: PixelSizeOption = None,
    method: Annotated[
        str | None, typer.Option(help="Segmentation method: learned, threshold or williamson2022.")
    ] = None,
    config: ConfigOption = None,
    values: SetOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Segment and measure single pictures, without any lake."""
    from nanolake.console import progress_bars
    from nanolake.pipeline.measure import measure_pictures
    from nanolake.segment import SegmentSettings

    chosen = [*(values or []), *([f"method={method}"] if method else [])]
    with progress_bars(quiet=quiet) as progress:
        result = measure_pictures(
            pictures,
            out,
            labels=labels,
            pixel_size_nm=pixel_size_nm,
            settings=read_settings(SegmentSettings, config, chosen),
            weights=weights,
            progress=progress,
        )
    finish_measure(result, as_json=as_json, strict=strict)


@app.command(
    epilog=examples(
        "nanolake demo",
        "nanolake demo --out somewhere",
        "nanolake demo --sheet my-samples.csv",
    )
)
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR")] = Path("demo"),
    sheet: Annotated[
        Path | None, typer.Option(help="Your own sample sheet or folder instead of simulated labs.")
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Size of the simulated world; 1 is 40 pictures.")
    ] = 1.0,
    workers: WorkersOption = None,
    training: Annotated[
        bool, typer.Option(help="Run a short training of the shape network on the way.")
    ] = True,
    quiet: QuietOption = False,
) -> None:
    """Simulate two labs with six experiments, run everything, and hold it against the truth."""
    from nanolake.console import progress_bars, say_table
    from nanolake.pipeline.demo import run_demo

    with progress_bars(quiet=quiet) as progress:
        result = run_demo(
            out,
            sheet=sheet,
            scale=scale,
            workers=workers,
            training=training,
            progress=progress,
            say=typer.echo,
        )
    for title, rows in result.tables:
        say_table(rows, title=title)
    typer.echo(result.last_line)
