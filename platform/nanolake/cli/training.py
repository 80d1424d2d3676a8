"""Commands about the networks: choose particles to learn from, train, look at what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.ending import finish
from nanolake.cli.opening import open_lake, read_settings
from nanolake.cli.options import ConfigOption, JsonOption, LakeOption, SetOption

TrackingOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="Another MLflow than the lake's: sqlite:///OUT/mlflow.db."),
]


@app.command(
    epilog=examples(
        "nanolake select rods 'SELECT particle_id FROM morphology WHERE d = 2 AND L_ratio < 0.5'",
        "nanolake select checked --labels corrected.csv",
    )
)
def select(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the selection.")],
    sql: Annotated[
        str | None,
        typer.Argument(metavar="SQL", help="One SELECT with particle_id.", show_default=False),
    ] = None,
    lake: LakeOption = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV with particle_id, p, d, L_ratio: a person's own answer."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep particles under a name, for a training to learn from; a change is a new version."""
    from nanolake.pipeline.select import select_particles

    finish([select_particles(open_lake(lake), name, sql, labels=labels)], as_json=as_json)


@app.command(
    epilog=examples(
        "nanolake train --lake my-lake --workers 4 --gpu",
        "nanolake train --short",
        "nanolake train segmenter --workers 2",
        "nanolake train shape --selection rods --share 0.25",
        "nanolake train --again 0123456789abcdef0123456789abcdef",
    )
)
def train(
    network: Annotated[
        Literal["shape", "segmenter"],
        typer.Argument(help="Which network: of single particles, or of whole micrographs."),
    ] = "shape",
    lake: LakeOption = None,
    config: ConfigOption = None,
    values: SetOption = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1)] = 2,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU a worker.")] = False,
    short: Annotated[bool, typer.Option("--short", help="A minute's training, to try it.")] = False,
    selection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Curated particles to mix in: shape only.")
    ] = None,
    share: Annotated[float, typer.Option(help="Their share of every batch.")] = 0.25,
    min_jaccard: Annotated[
        float, typer.Option(help="Least Jaccard of a prediction that stands for a label.")
    ] = 0.9,
    again: Annotated[
        str | None, typer.Option(metavar="RUN", help="Repeat the training of this MLflow run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a network with Ray Train and register it; it is used if it is not worse than before."""
    from nanolake.console import progress_bars
    from nanolake.errors import SettingsError
    from nanolake.pipeline.again import train_again
    from nanolake.pipeline.curated import with_selection
    from nanolake.pipeline.train import Place, train_network
    from nanolake.segment.learned.settings import SegmenterTrainSettings
    from nanolake.shape import ShapeTrainSettings

    opened = open_lake(lake)
    place = Place.of_lake(opened, workers=workers, gpu=gpu)
    if again is not None and (config or values or short or selection):
        raise SettingsError("--again repeats a run as it was: give no settings with it")
    if selection is not None and network != "shape":
        raise SettingsError("--selection holds shapes of single particles: train shape with it")
    kind = SegmenterTrainSettings if network == "segmenter" else ShapeTrainSettings
    settings = read_settings(kind, config, values, kind.short() if short else None)
    if selection is not None:
        settings = with_selection(
            settings,
            opened,
            selection,
            share=share,
            out=place.out / "curated",
            min_jaccard=min_jaccard,
        )
    with progress_bars() as progress:
        show: Any = {
            "progress": lambda done, total, _: progress("train", done, total),
            "harvest_progress": progress,
        }
        if again is not None:
            made = train_again(again, place, **show)
        else:
            made = train_network(settings, place, **show)
    _end(made, as_json=as_json)


def _end(made: Any, *, as_json: bool) -> None:
    from dataclasses import asdict

    from nanolake.console import say_json

    if as_json:
        say_json(asdict(made))
    else:
        typer.echo(made.line())


@app.command(
    epilog=examples(
        "nanolake models",
        "nanolake models --promote nanolake-shape/3",
    )
)
def models(
    lake: LakeOption = None,
    tracking_uri: TrackingOption = None,
    promote: Annotated[
        str | None,
        typer.Option(metavar="NAME/VERSION", help="Make this version the one that is used."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the trained networks with their scores, and choose the one that is used."""
    from nanolake.console import say_json, say_table
    from nanolake.pipeline.promotion import list_models, split_version
    from nanolake.storage.models import ModelRegistry

    registry = (
        ModelRegistry(tracking_uri) if tracking_uri else open_lake(lake).registry("shape-network")
    )
    if promote is not None:
        registry.promote(*split_version(promote))
    rows = list_models(registry)
    if as_json:
        say_json(rows)
    else:
        say_table(rows, title="" if rows else "models")
