"""Commands that fill a lake: one a stage, and ``run`` for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nanolake.cli.app import app, examples
from nanolake.cli.ending import finish, finish_comparison, finish_run
from nanolake.cli.memory import forecaster
from nanolake.cli.opening import open_lake, read_settings
from nanolake.cli.options import (
    ConfigOption,
    DaskOption,
    EngineOption,
    JsonOption,
    LakeArgument,
    LakeOption,
    PixelSizeOption,
    QuietOption,
    RayOption,
    RetryOption,
    SetOption,
    SourceArgument,
    StrictOption,
    WeightsOption,
    WorkersOption,
)


@app.command(
    epilog=examples(
        "nanolake init my-lake",
        "nanolake init my-lake --catalog 'postgresql://ana@db.lab.org/lakes?schema=rods' "
        "--data s3://lab-data/rods",
        "PGPASSWORD=… AWS_PROFILE=lab nanolake init my-lake --catalog … --data …",
    )
)
def init(
    lake: LakeArgument,
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="PostgreSQL database for catalogue and ledger, without a password: that comes "
            "from PGPASSWORD or ~/.pgpass. Default: SQLite files in the folder.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where rows and pixels lie: s3://BUCKET/PREFIX (keys from AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; another server than Amazon's from "
            "AWS_ENDPOINT_URL), or a mounted folder. Default: the folder itself.",
        ),
    ] = None,
) -> None:
    """Make a new, empty lake in a folder; a lake that is there is left as it is.

    With --catalog and --data the lake is shared by many computers, and the folder is this one's
    handle on it: the same command on another computer gives a handle on the same lake.
    """
    from nanolake.storage import Lake

    made = Lake.create(lake, catalog=catalog, data=data)
    shared = made.where != str(made.root)
    typer.echo(f"lake ready at {made.root}{f', a handle on {made.where}' if shared else ''}")


@app.command(
    epilog=examples(
        "nanolake ingest my-lake samples.csv",
        "nanolake ingest my-lake pictures/ --pixel-size-nm 0.25",
    )
)
def ingest(
    lake: LakeArgument,
    source: SourceArgument,
    pixel_size_nm: PixelSizeOption = None,
    config: ConfigOption = None,
    values: SetOption = None,
    engine: EngineOption = "dask",
    workers: WorkersOption = None,
    dask: DaskOption = None,
    retry_failed: RetryOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read micrographs and what is known of them into the lake."""
    from nanolake.console import progress_bars
    from nanolake.engines import open_engine
    from nanolake.ingest import IngestSettings
    from nanolake.pipeline.ingest import ingest as run_ingest
    from nanolake.pipeline.ingest import read_source
    from nanolake.pipeline.refresh import refreshed
    from nanolake.storage import Lake

    sheet = read_source(source, pixel_size_nm=pixel_size_nm)
    settings = read_settings(IngestSettings, config, values)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=dask) as pool,
    ):
        opened = Lake.create(lake)
        report = run_ingest(
            opened,
            sheet,
            settings,
            engine=pool,
            progress=progress,
            retry_failed=retry_failed,
        )
    finish([refreshed(opened, report)], as_json=as_json, strict=strict)


@app.command(
    epilog=examples(
        "nanolake segment --lake my-lake",
        "nanolake segment --set method=williamson2022",
    )
)
def segment(
    lake: LakeOption = None,
    config: ConfigOption = None,
    values: SetOption = None,
    engine: EngineOption = "dask",
    workers: WorkersOption = None,
    dask: DaskOption = None,
    retry_failed: RetryOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the particles in every micrograph and measure them."""
    from nanolake.console import progress_bars
    from nanolake.engines import open_engine
    from nanolake.pipeline.refresh import refreshed
    from nanolake.pipeline.segment import segment_lake
    from nanolake.segment import SegmentSettings

    opened = open_lake(lake)
    settings = read_settings(SegmentSettings, config, values)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=dask) as pool,
    ):
        report = segment_lake(
            opened,
            settings,
            engine=pool,
            progress=progress,
            retry_failed=retry_failed,
            on_forecast=forecaster(engine, dask, quiet=quiet),
        )
    finish([refreshed(opened, report)], as_json=as_json, strict=strict)


@app.command(
    epilog=examples(
        "nanolake describe --lake my-lake --engine ray --workers 4",
    )
)
def describe(
    lake: LakeOption = None,
    weights: WeightsOption = None,
    engine: EngineOption = "ray",
    workers: WorkersOption = None,
    ray: RayOption = None,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine/--no-refine",
            help="Also fit the outline from the prediction; stored beside it (shape_refinement).",
        ),
    ] = True,
    retry_failed: RetryOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read p, d and L_ratio off every particle with the shape network."""
    from nanolake.console import progress_bars
    from nanolake.engines import open_engine
    from nanolake.pipeline.describe import DescribeSettings, describe_lake
    from nanolake.pipeline.refresh import refreshed

    opened = open_lake(lake)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=ray) as pool,
    ):
        report = describe_lake(
            opened,
            weights,
            engine=pool,
            settings=DescribeSettings(refine=refine),
            progress=progress,
            retry_failed=retry_failed,
            on_forecast=forecaster(engine, ray, quiet=quiet),
        )
    finish([refreshed(opened, report)], as_json=as_json, strict=strict)


@app.command(
    epilog=examples(
        "nanolake group --lake my-lake",
        "nanolake group --set k=4",
        "nanolake group --set method=gaussian_mixture --set dataset=features",
        "nanolake group --compare",
    )
)
def group(
    lake: LakeOption = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", "-e", help="Only these experiments: NAME, LAB/NAME or id."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Every method on every data set, side by side; the current groups stay.",
        ),
    ] = False,
    config: ConfigOption = None,
    values: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Divide the particles into shape groups, beside what structureless data would give."""
    from nanolake.console import progress_bars
    from nanolake.group import GroupSettings
    from nanolake.pipeline.group import group_lake
    from nanolake.pipeline.group_compare import compare_groups
    from nanolake.pipeline.refresh import refreshed

    settings = read_settings(GroupSettings, config, values)
    opened, scope = open_lake(lake), experiment or ()
    with progress_bars() as progress:
        if compare:
            found = compare_groups(opened, settings, experiments=scope, progress=progress)
        else:
            say = forecaster("serial", None, quiet=False)
            made = group_lake(
                opened, settings, experiments=scope, progress=progress, on_forecast=say
            )
            report = refreshed(opened, made)
    if compare:
        finish_comparison(found, as_json=as_json)
    else:
        finish([report], as_json=as_json)


@app.command(
    epilog=examples(
        "nanolake classify --lake my-lake",
        "nanolake classify --run current",
    )
)
def classify(
    lake: LakeOption = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Train nothing: put the particles that the grouping has not seen into its groups "
            "with this classifier (its id, the beginning of it, or `current`).",
        ),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", "-e", help="With --run: only the particles of these."),
    ] = None,
    config: ConfigOption = None,
    values: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a classifier on the current groups, or put new particles into groups with one."""
    from nanolake.classify import ClassifySettings
    from nanolake.console import progress_bars
    from nanolake.pipeline.classify import classify_lake
    from nanolake.pipeline.predict import predict_lake
    from nanolake.pipeline.refresh import refreshed

    if run is not None and (config or values):
        raise typer.BadParameter("--run uses a trained classifier: --config and --set train one")
    if run is None and experiment:
        raise typer.BadParameter("--experiment goes with --run: training uses every group's own")
    settings = read_settings(ClassifySettings, config, values)
    opened = open_lake(lake)
    with progress_bars() as progress:
        if run is None:
            report = classify_lake(opened, settings, progress=progress)
        else:
            report = refreshed(
                opened,
                predict_lake(opened, run, experiments=experiment or (), progress=progress),
            )
    finish([report], as_json=as_json)


@app.command(
    epilog=examples(
        "nanolake refresh --lake my-lake",
    )
)
def refresh(
    lake: LakeOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make all rows anew, also those that are true.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make answers quick again: every stage does so at its end, and what is missing is made here.

    Questions are answered rightly before and after; a large lake answers them faster after.
    """
    from nanolake.console import progress_bars
    from nanolake.pipeline.refresh import refresh as run_refresh

    with progress_bars(quiet=quiet) as progress:
        report = run_refresh(open_lake(lake), rebuild=rebuild, progress=progress)
    finish([report], as_json=as_json)


@app.command(
    epilog=examples(
        "nanolake report --lake my-lake",
        "nanolake report -e 'CsPbBr3 batch 1'",
        "nanolake report --sql 'SELECT particle_id FROM morphology WHERE d = 3'",
    )
)
def report(
    lake: LakeOption = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", "-e", help="Only these experiments: NAME, LAB/NAME or id."),
    ] = None,
    sql: Annotated[
        str | None, typer.Option(help="A question that returns the particle_id of the particles.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML file; default: the lake's reports/.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures", help="Write every figure and table as a file as well.")
    ] = False,
) -> None:
    """Write one self-contained HTML report."""
    from nanolake.pipeline.report import report_lake

    path = report_lake(open_lake(lake), out, experiments=experiment or (), sql=sql, figures=figures)
    typer.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")


@app.command(
    epilog=examples(
        "nanolake run my-lake samples.csv",
        "nanolake run my-lake pictures/ --strict",
    )
)
def run(
    lake: LakeArgument,
    source: SourceArgument,
    pixel_size_nm: PixelSizeOption = None,
    config: ConfigOption = None,
    weights: WeightsOption = None,
    engine: EngineOption = "dask",
    describe_engine: Annotated[
        str, typer.Option(help="serial or ray, for the shape network.")
    ] = "ray",
    workers: WorkersOption = None,
    dask: DaskOption = None,
    ray: RayOption = None,
    retry_failed: RetryOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do every stage: read, find, measure, describe, group, classify, report."""
    from nanolake.console import progress_bars
    from nanolake.pipeline.ingest import read_source
    from nanolake.pipeline.run import EngineChoice, RunSettings, run_all
    from nanolake.storage import Lake

    sheet = read_source(source, pixel_size_nm=pixel_size_nm)
    settings = read_settings(RunSettings, config, None)
    engines = EngineChoice(
        map=engine, describe=describe_engine, workers=workers, dask=dask, ray=ray
    )
    with progress_bars(quiet=quiet) as progress:
        result = run_all(
            Lake.create(lake),
            sheet,
            settings,
            engines=engines,
            weights=weights,
            progress=progress,
            on_stage=(lambda report: None) if as_json else (lambda r: typer.echo(r.line())),
            on_forecast=forecaster(engine, dask, quiet=quiet),
            retry_failed=retry_failed,
        )
    finish_run(result, as_json=as_json, strict=strict)
