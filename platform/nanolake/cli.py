"""The ``nanolake`` command: each subcommand parses, opens, calls one pipeline function, reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nanolake import __version__
from nanolake.errors import LakeNotFoundError, NanolakeError, SettingsError

if TYPE_CHECKING:
    from nanolake.pipeline.work import StageReport
    from nanolake.settings import Settings
    from nanolake.storage import Lake


def _examples(*commands: str) -> str:
    """Return an epilog that keeps one example a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


app = typer.Typer(
    name="nanolake",
    help="A data lake for nanocrystal morphology: micrographs in, morphology in SQL out.",
    epilog=_examples(
        "nanolake run my-lake samples.csv && nanolake sql 'FROM ensemble'",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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

STRICT_EXIT = 3
_EXTRAS = {
    "dask": "cluster",
    "distributed": "cluster",
    "dask_ml": "cluster",
    "ray": "train",
    "torch": "train",
    "pytorch_lightning": "train",
    "onnx": "train",
    "mlflow": "train",
    "matplotlib": "report",
    "jinja2": "report",
}
"""Which extra of the package brings a module that the core does without."""


def main() -> None:
    """Run the command; an error of ours is one line, not a traceback."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (NanolakeError, OSError) as error:  # a full disk, a folder that may not be written to
        sys.stderr.write(f"nanolake: {error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        sys.stderr.write(
            f"nanolake: this needs {error.name}, which is not installed: "
            f"pip install 'nanolake[{extra}]'\n"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("\nnanolake: stopped; what was finished is kept, run it again to go on\n")
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"nanolake {__version__}")
        raise typer.Exit


@app.command(
    epilog=_examples(
        "nanolake init my-lake",
    )
)
def init(lake: LakeArgument) -> None:
    """Make a new, empty lake in a folder; a lake that is there is left as it is."""
    from nanolake.storage import Lake

    typer.echo(f"lake ready at {Lake.create(lake).root}")


@app.command(
    epilog=_examples(
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
    from nanolake.storage import Lake

    sheet = read_source(source, pixel_size_nm=pixel_size_nm)
    settings = _settings(IngestSettings, config, values)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=dask) as pool,
    ):
        report = run_ingest(
            Lake.create(lake),
            sheet,
            settings,
            engine=pool,
            progress=progress,
            retry_failed=retry_failed,
        )
    _finish([report], as_json=as_json, strict=strict)


@app.command(
    epilog=_examples(
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
    from nanolake.pipeline.segment import segment_lake
    from nanolake.segment import SegmentSettings

    opened = _open(lake)
    settings = _settings(SegmentSettings, config, values)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=dask) as pool,
    ):
        report = segment_lake(
            opened, settings, engine=pool, progress=progress, retry_failed=retry_failed
        )
    _finish([report], as_json=as_json, strict=strict)


@app.command(
    epilog=_examples(
        "nanolake describe --lake my-lake --engine ray --workers 4",
    )
)
def describe(
    lake: LakeOption = None,
    weights: WeightsOption = None,
    engine: EngineOption = "ray",
    workers: WorkersOption = None,
    ray: RayOption = None,
    retry_failed: RetryOption = False,
    strict: StrictOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read p, d and L_ratio off every particle with the shape network."""
    from nanolake.console import progress_bars
    from nanolake.engines import open_engine
    from nanolake.pipeline.describe import describe_lake

    opened = _open(lake)
    with (
        progress_bars(quiet=quiet) as progress,
        open_engine(engine, workers=workers, address=ray) as pool,
    ):
        report = describe_lake(
            opened, weights, engine=pool, progress=progress, retry_failed=retry_failed
        )
    _finish([report], as_json=as_json, strict=strict)


@app.command(
    epilog=_examples(
        "nanolake group --lake my-lake",
        "nanolake group --set k=4",
    )
)
def group(
    lake: LakeOption = None,
    experiment: Annotated[
        list[str] | None, typer.Option("--experiment", "-e", help="Only these experiments.")
    ] = None,
    config: ConfigOption = None,
    values: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Divide the particles into shape groups, beside what structureless data would give."""
    from nanolake.group import GroupSettings
    from nanolake.pipeline.group import group_lake

    settings = _settings(GroupSettings, config, values)
    report = group_lake(_open(lake), settings, experiments=experiment or ())
    _finish([report], as_json=as_json)


@app.command(
    epilog=_examples(
        "nanolake classify --lake my-lake",
    )
)
def classify(
    lake: LakeOption = None,
    config: ConfigOption = None,
    values: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a classifier on the current groups, scored beside data without structure."""
    from nanolake.classify import ClassifySettings
    from nanolake.pipeline.classify import classify_lake

    report = classify_lake(_open(lake), _settings(ClassifySettings, config, values))
    _finish([report], as_json=as_json)


@app.command(
    epilog=_examples(
        "nanolake report --lake my-lake",
        "nanolake report -e 'CsPbBr3 batch 1'",
        "nanolake report --sql 'SELECT particle_id FROM morphology WHERE d = 3'",
    )
)
def report(
    lake: LakeOption = None,
    experiment: Annotated[
        list[str] | None, typer.Option("--experiment", "-e", help="Only these experiments.")
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

    path = report_lake(_open(lake), out, experiments=experiment or (), sql=sql, figures=figures)
    typer.echo(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB)")


@app.command(
    epilog=_examples(
        "nanolake sql 'SELECT lab, count(*) FROM morphology GROUP BY lab'",
        "nanolake sql 'FROM ensemble' --format csv",
        "nanolake sql --file question.sql",
        "nanolake sql --named same_product",
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
        rows = [{"name": name, "question": about} for name, about in query.questions().items()]
        say_table(rows)
        return
    write_answer(_open(lake).query(_one_question(text, file, named)), form, out)


@app.command(
    epilog=_examples(
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
    settings = _settings(RunSettings, config, None)
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
            retry_failed=retry_failed,
        )
    _finish_run(result, as_json=as_json, strict=strict)


@app.command(
    epilog=_examples(
        "nanolake measure picture.dm4 --out measured",
        "nanolake measure *.tif --out measured --pixel-size-nm 0.25",
        "nanolake measure a.tif --labels a_masks.tif --out measured",
    )
)
def measure(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE", help="Picture files.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for results.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="LABELS", help="Label image of any tool to measure instead."),
    ] = None,
    pixel_size_nm: PixelSizeOption = None,
    method: Annotated[
        str | None, typer.Option(help="Segmentation method: threshold or williamson2022.")
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
            settings=_settings(SegmentSettings, config, chosen),
            weights=weights,
            progress=progress,
        )
    _finish_measure(result, as_json=as_json, strict=strict)


@app.command(
    epilog=_examples(
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

    found = follow(_open(lake), particle, out)
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
    epilog=_examples(
        "nanolake status --lake my-lake",
    )
)
def status(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Say what the lake holds, what is open and what failed."""
    from dataclasses import asdict

    from nanolake.console import say_json, say_table
    from nanolake.pipeline.status import status as look

    found = look(_open(lake))
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


@app.command(
    epilog=_examples(
        "nanolake train --lake my-lake --workers 4 --gpu",
        "nanolake train --short",
    )
)
def train(
    lake: LakeOption = None,
    config: ConfigOption = None,
    values: SetOption = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1)] = 2,
    gpu: Annotated[bool, typer.Option("--gpu", help="One GPU a worker.")] = False,
    short: Annotated[bool, typer.Option("--short", help="A minute's training, to try it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train the shape network on simulated particles, with Ray Train, and register it."""
    from dataclasses import asdict

    from nanolake.console import progress_bars, say_json
    from nanolake.pipeline.train import train_shape
    from nanolake.shape import ShapeTrainSettings

    base = ShapeTrainSettings.short() if short else None
    settings = _settings(ShapeTrainSettings, config, values, base)
    opened = _open(lake)
    with progress_bars() as progress:
        made = train_shape(
            settings,
            out=opened.root / "models" / "training",
            tracking_uri=opened.tracking_uri,
            workers=workers,
            gpu=gpu,
            progress=lambda done, total, _: progress("train", done, total),
        )
    if as_json:
        say_json(asdict(made))
    else:
        typer.echo(made.line())


@app.command(
    epilog=_examples(
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


def _open(lake: Path | None) -> Lake:
    from nanolake.storage import Lake

    return Lake.open(lake or _nearest_lake())


def _nearest_lake() -> Path:
    """The lake that is meant when none is named."""
    named = os.environ.get("NANOLAKE_LAKE")
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "lake.json").is_file():
            return folder
    inside = sorted(path.parent for path in here.glob("*/lake.json"))
    if len(inside) == 1:
        return inside[0]
    found = f"; here are several: {', '.join(path.name for path in inside)}" if inside else ""
    raise LakeNotFoundError(f"which lake? Name it with --lake or $NANOLAKE_LAKE{found}")


def _settings(
    kind: type[Any],
    config: Path | None,
    values: Sequence[str] | None,
    base: Settings | None = None,
) -> Any:
    """Join a base, a YAML file and single values, the later winning."""
    import yaml

    merged: dict[str, Any] = base.model_dump() if base is not None else {}
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"there is no settings file {config}")
        merged |= _yaml(partial(kind.from_yaml, config), config).model_dump(exclude_unset=True)
    for text in values or ():
        name, sign, value = text.partition("=")
        if not sign:
            raise SettingsError(f"--set {text!r} must be NAME=VALUE")
        merged[name.strip()] = _yaml(partial(yaml.safe_load, value), f"--set {text!r}")
    return kind.build(merged)


def _yaml(read: Callable[[], Any], where: Path | str) -> Any:
    """Read YAML that a user wrote; raise `SettingsError` where it is none."""
    import yaml

    try:
        return read()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where} is no YAML: {' '.join(str(error).split())}") from None


def _one_question(text: str | None, file: Path | None, named: str | None) -> str:
    from nanolake.query import question

    given = [value for value in (text, file, named) if value is not None]
    if len(given) != 1:
        raise SettingsError("give one question: as text, with --file, or with --named")
    if named is not None:
        return question(named)
    if file is not None:
        if not file.is_file():
            raise SettingsError(f"there is no file {file}")
        return file.read_text(encoding="utf-8")
    return text or ""


def _finish(reports: Sequence[StageReport], *, as_json: bool, strict: bool = False) -> None:
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


def _finish_run(result: Any, *, as_json: bool, strict: bool) -> None:
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


def _finish_measure(result: Any, *, as_json: bool, strict: bool) -> None:
    from nanolake.console import say_json, say_table

    rows = [_measured_row(picture) for picture in result.pictures]
    failures = [dict(zip(("path", "reason", "message"), f, strict=True)) for f in result.failures]
    if as_json:
        say_json({"pictures": rows, "failures": failures, "csv": result.csv})
    else:
        if rows:
            say_table(rows)
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
        "pixel size from": picture.pixel_size.source,
        "left out": ", ".join(f"{n} {why}" for why, n in picture.excluded.items() if n) or "none",
        "overlay": str(picture.overlay),
    }


if __name__ == "__main__":
    main()
