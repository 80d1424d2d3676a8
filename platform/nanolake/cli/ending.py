"""What a command ends with: tables, a last line or JSON, and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from nanolake.pipeline.work import StageReport
    from nanolake.records import PixelSize

STRICT_EXIT = 3
MEASURE_ROWS = 30
"""Pictures that `measure` lists: a long stack has one a frame."""


def finish(reports: Sequence[StageReport], *, as_json: bool, strict: bool = False) -> None:
    from dataclasses import asdict

    from nanolake.console import say_failures, say_json

    failures = [failure for report in reports for failure in report.failures]
    if as_json:
        say_json([asdict(report) for report in reports])
    else:
        say_failures(failures)
        for report in reports:
            typer.echo(report.line())
    if strict and (failures or any(report.failed_before for report in reports)):
        raise typer.Exit(STRICT_EXIT)


def finish_run(result: Any, *, as_json: bool, strict: bool) -> None:
    from dataclasses import asdict

    from nanolake.console import say_failures, say_json

    if as_json:
        say_json(asdict(result))
    else:
        say_failures(result.failures)
        each = result.seconds_per_picture
        speed = f"{each:.2f} s a micrograph (median), " if each is not None else ""
        typer.echo(
            f"run {result.run_id}: {result.micrographs} micrographs, {result.particles:,} "
            f"particles, {len(result.failures)} failures; {speed}{result.wall_s:.1f} s in all; "
            f"report: {result.report or 'none'}"
        )
    if strict and (result.failures or any(stage.failed_before for stage in result.stages)):
        raise typer.Exit(STRICT_EXIT)


def finish_comparison(result: Any, *, as_json: bool) -> None:
    from dataclasses import asdict

    from nanolake.console import say_json, say_table

    if as_json:
        say_json(asdict(result))
        return
    say_table([{key: row[key] for key in row if not key.endswith("_id")} for row in result.rows])
    typer.echo(result.report.line())


def finish_measure(result: Any, *, as_json: bool, strict: bool) -> None:
    from nanolake.console import say_json, say_table

    rows = [_measured_row(picture) for picture in result.pictures]
    failures = [dict(zip(("path", "reason", "message"), f, strict=True)) for f in result.failures]
    if as_json:
        say_json({"pictures": rows, "failures": failures, "csv": result.csv})
    else:
        if rows:
            say_table(rows[:MEASURE_ROWS])
        if len(rows) > MEASURE_ROWS:
            more = len(rows) - MEASURE_ROWS
            typer.echo(f"… {more:,} more pictures: all their particles are in {result.csv}")
        if failures:
            say_table(failures, title=f"{len(failures)} failures")
        typer.echo(
            f"{result.count:,} particles in {len(rows)} pictures, {len(failures)} failures: "
            f"{result.csv}"
        )
    if failures and (strict or not rows):
        raise typer.Exit(STRICT_EXIT)


def _measured_row(picture: Any) -> dict[str, Any]:
    import numpy as np

    unit = "nm" if picture.pixel_size.known else "px"
    sizes = picture.table[f"equivalent_diameter_area_{unit}"]
    return {
        "picture": picture.name,
        "particles": picture.count,
        "mean diameter": float(np.mean(sizes)) if len(sizes) else None,
        "sd": float(np.std(sizes, ddof=1)) if len(sizes) > 1 else None,
        "unit": unit,
        "pixel size from": _scale_origin(picture.pixel_size),
        "left out": ", ".join(f"{n} {why}" for why, n in picture.excluded.items() if n) or "none",
        "overlay": str(picture.overlay),
    }


def _scale_origin(size: PixelSize) -> str:
    """Say where a pixel size is from, and first of all that it was not used, where it was not."""
    if size.known:
        return size.source
    said = "" if size.source == "none" else size.source
    if said and size.raw_x is not None:
        said += f": {size.raw_x:.3g} {size.raw_unit or ''}".rstrip()
    return f"{size.trust} ({said})" if said else str(size.trust)
