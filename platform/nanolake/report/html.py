"""One self-contained HTML file: no script, nothing fetched from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.report import columns, evidence, numbers, pictures
from nanolake.report.content import (
    Content,
    ensemble_rows,
    group_cells,
    provenance_rows,
    rest,
    size_note,
    summary,
)
from nanolake.report.data import ReportData, ReportError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "report.html.j2"
MOST_FAILURES = 200
"""Rows of the failure table in the page; ``failures.csv`` holds all."""


@dataclass(frozen=True)
class Drawing:
    """A picture of the report: the bytes of its file, and the words below it."""

    name: str
    kind: str
    """``svg+xml``, ``png`` or ``jpeg``."""
    data: bytes
    caption: str
    figure: Figure | None = None

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.data).decode('ascii')}"

    @property
    def file_name(self) -> str:
        """Name of its own file."""
        return f"{self.name}.{ {'svg+xml': 'svg', 'jpeg': 'jpg'}.get(self.kind, self.kind) }"


def build_report(data: ReportData, out: Path | str, *, figures_dir: Path | None = None) -> Path:
    """Write the report as one HTML file and return its path.

    Parameters
    ----------
    data
        What was found; see `ReportData`.
    out
        The HTML file; its folder is made where missing. An existing file is replaced.
    figures_dir
        Where given, each figure is also written there as a file (SVG and PNG; overlays as JPEG),
        and the tables as CSV: ``particles.csv`` (the rows as handed over), ``ensemble.csv``,
        ``groups.csv``, ``failures.csv``.

    Raises
    ------
    ReportError
        A micrograph's labels do not fit its pixels, or ``out`` does not end in ``.html``.
    """
    target = Path(out)
    if target.suffix.lower() not in (".html", ".htm"):
        raise ReportError(f"the report is an HTML file: give a name ending in .html, not {target}")
    content = Content(data)
    drawings = {drawing.name: drawing for drawing in _drawings(content)}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_page(content, drawings), encoding="utf-8")
    if figures_dir is not None:
        _write_files(content, drawings, Path(figures_dir))
    return target


def _page(content: Content, drawings: dict[str, Drawing]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nanolake.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(_words(content, drawings)).lstrip()


def _words(content: Content, drawings: dict[str, Drawing]) -> dict[str, Any]:
    data, ensembles = content.data, content.ensembles
    heads, rows = group_cells(content.group_rows, content.unit)
    failures = [] if data.failures is None else data.failures.to_dict("records")
    return {
        "data": data,
        "unit": content.unit,
        "empty": content.particles.empty,
        "summary": summary(content),
        "size_note": size_note(content),
        "ensembles": [
            ("Weighted by number", ensemble_rows(ensembles, "number")),
            ("Weighted by area", ensemble_rows(ensembles, "area")),
        ],
        "drawings": drawings,
        "overlays": [d for name, d in drawings.items() if name.startswith("overlay_")],
        "group_heads": heads,
        "group_rows": rows,
        "grouping": _grouping(content),
        "classifier": _classifier(content),
        "excluded": sorted(data.excluded.items(), key=lambda item: -item[1]),
        "failures": failures[:MOST_FAILURES],
        "failure_count": len(failures),
        "provenance": provenance_rows(data.provenance),
        "fixed": numbers.fixed,
    }


def _grouping(content: Content) -> dict[str, Any] | None:
    grouping = evidence.unpack(content.data.grouping)
    if grouping is None:
        return None
    state, words = evidence.grouping_verdict(grouping)
    return {
        "state": state,
        "words": words,
        "pairs": evidence.grouping_pairs(grouping),
        "rest": rest(grouping, evidence.GROUPING_SHOWN),
        "k": grouping.get("k"),
    }


def _classifier(content: Content) -> dict[str, Any] | None:
    classifier = evidence.unpack(content.data.classifier)
    if classifier is None:
        return None
    return {
        "words": evidence.classifier_words(classifier),
        "pairs": evidence.classifier_pairs(classifier),
        "rest": rest(classifier, evidence.CLASSIFIER_SHOWN),
    }


def _drawings(content: Content) -> Iterator[Drawing]:
    yield from _overlays(content)
    if content.particles.empty:
        return
    for name, make, caption in _figures(content):
        from nanolake.report.figures import to_svg

        figure = make()
        yield Drawing(name, "svg+xml", to_svg(figure), caption, figure)


def _overlays(content: Content) -> Iterator[Drawing]:
    shown = list(content.data.micrographs)[: pictures.MOST_MICROGRAPHS]
    for number, micrograph in enumerate(shown, start=1):
        caption = pictures.overlay_caption(micrograph)
        data = pictures.overlay_jpeg(micrograph, content, len(shown))
        yield Drawing(f"overlay_{number}", "jpeg", data, caption)
    examples = pictures.montage_png(content, shown)
    if examples is not None:
        yield Drawing("montage", "png", examples, pictures.MONTAGE_CAPTION)


def _figures(content: Content) -> Iterator[tuple[str, Callable[[], Figure], str]]:
    from nanolake.report import figures

    groups = content.groups if content.grouped else None
    frame, unit = content.particles, content.unit
    parameters, batches = content.parameters(), content.batches()
    grouping = evidence.unpack(content.data.grouping) or {}
    classifier = evidence.unpack(content.data.classifier) or {}
    yield "sizes", lambda: figures.size_histogram(content.size, groups, unit), _SIZES
    if len(batches) > 1:
        yield "experiments", lambda: figures.batch_comparison_figure(batches, unit), _BATCHES
    if parameters:
        p, d, l_ratio = parameters
        yield "parameters", lambda: figures.parameter_scatter(p, d, l_ratio, groups), _PARAMETERS
    if columns.shown(frame, unit):
        yield "features", lambda: figures.feature_histograms(frame, unit=unit), _FEATURES
    if grouping.get("tried"):
        tried, k = grouping["tried"], grouping.get("k")
        yield "silhouette", lambda: figures.silhouette_figure(tried, k), _SILHOUETTE
    matrix, names = classifier.get("confusion"), classifier.get("classes")
    if matrix is not None:
        yield "confusion", lambda: figures.confusion_figure(matrix, names), _CONFUSION


_SIZES = (
    "Size distribution. Bars: particles, stacked by shape group. Lines: normal and lognormal "
    "distributions fitted to all particles by maximum likelihood; the smaller AIC fits better."
)
_BATCHES = (
    "Experiments beside one another. Left: line from D10 to D90, box over the quartiles with the "
    "median, black diamond the mean with its 95 % interval. Right: the same sizes, cumulative. "
    "Colours stand for experiments here."
)
_PARAMETERS = (
    "Shape parameters of the outline: curvature p (2 an ellipse; larger, flatter sides), number of "
    "axes d, axis ratio L (1: equal axes). d is a whole number; its points are spread for sight."
)
_FEATURES = (
    "Features by group: density (each group's area is 1) with a fitted normal. The axes leave out "
    "the outermost half per cent at either end."
)
_SILHOUETTE = (
    "Mean silhouette of every number of groups tried, beside that of data without structure of "
    "the same covariance (band: three standard deviations)."
)
_CONFUSION = "Confusion matrix of the held-out particles; shading by share of the row."


def _write_files(content: Content, drawings: dict[str, Drawing], folder: Path) -> None:
    from nanolake.report.figures import to_png

    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawings.values():
        (folder / drawing.file_name).write_bytes(drawing.data)
        if drawing.figure is not None:
            (folder / f"{drawing.name}.png").write_bytes(to_png(drawing.figure))
    failures = content.data.failures
    tables = {
        "particles": content.data.particles,
        "ensemble": content.ensembles,
        "groups": content.group_rows,
        "failures": failures,
    }
    for name, table in tables.items():
        if table is not None and len(table.columns):
            table.to_csv(folder / f"{name}.csv", index=False)
