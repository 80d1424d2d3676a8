"""Every picture of the report, drawn when it is asked for, with its caption."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nanolake.report import columns, evidence, pictures
from nanolake.report.captions import caption
from nanolake.report.content import Content
from nanolake.report.examples import examples
from nanolake.report.overlay import encode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RASTERED = frozenset({"features_all", "parallel", "space"})
"""Figures of so many lines or points that a PNG is smaller than an SVG."""
PAGE_DPI = 130

Make = tuple[str, Callable[[], Any], str]


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


def drawings(content: Content) -> Iterator[Drawing]:
    """Draw every picture that the report's data allow."""
    yield from _overlays(content)
    yield from _montages(content)
    for name, make, words in _figures(content):
        yield _drawn(name, make(), words)


def _drawn(name: str, figure: Figure, words: str) -> Drawing:
    from nanolake.report.figures import to_png, to_svg

    if name in RASTERED:
        return Drawing(name, "png", to_png(figure, PAGE_DPI), words, figure)
    return Drawing(name, "svg+xml", to_svg(figure), words, figure)


def _overlays(content: Content) -> Iterator[Drawing]:
    shown = list(content.data.micrographs)[: pictures.MOST_MICROGRAPHS]
    for number, micrograph in enumerate(shown, start=1):
        words = pictures.overlay_caption(micrograph)
        data = pictures.overlay_jpeg(micrograph, content, len(shown))
        yield Drawing(f"overlay_{number}", "jpeg", data, words)


def _montages(content: Content) -> Iterator[Drawing]:
    found = examples(content)
    if found is not None:
        words = caption("montage", found.by_group_caption)
        yield Drawing("montage", "jpeg", encode(found.by_group, ".jpg", 92), words)
        words = caption("mosaic", found.of_all_caption)
        yield Drawing("mosaic", "jpeg", encode(found.of_all, ".jpg", 88), words)


def _figures(content: Content) -> Iterator[Make]:
    if not content.particles.empty:
        yield from _of_sizes(content)
        yield from _of_shapes(content)
        yield from _of_comparison(content)
    yield from _of_evidence(content)
    yield from _of_the_run(content)


def _of_sizes(content: Content) -> Iterator[Make]:
    from nanolake.report import figures

    groups, unit = content.groups if content.grouped else None, content.unit
    batches, pairs = content.batches(), content.pairs
    places = content.micrographs_of_batches()
    yield "sizes", lambda: figures.size_histogram(content.size, groups, unit), caption("sizes")
    if len(batches) > 1:
        yield (
            "experiments",
            lambda: figures.batch_comparison_figure(batches, unit, micrographs=places),
            caption("experiments"),
        )
    if len(pairs):
        yield (
            "differences",
            lambda: figures.batch_difference_figure(pairs, unit),
            caption("differences"),
        )


def _of_shapes(content: Content) -> Iterator[Make]:
    from nanolake.report import figures

    frame, unit = content.particles, content.unit
    groups = content.groups if content.grouped else None
    if content.grouped:
        yield "shares", lambda: figures.group_share_figure(content.shares), caption("shares")
    if (found := content.parameters()) is not None:
        p, d, l_ratio = found
        yield (
            "parameters",
            lambda: figures.parameter_scatter(p, d, l_ratio, groups),
            caption("parameters"),
        )
        yield (
            "space",
            lambda: figures.parameter_space_figure(p, d, l_ratio, groups),
            caption("space"),
        )
    main = [item.column for item in columns.shown(frame, unit)]
    rest = [item.column for item in content.other_features]
    if main:
        yield (
            "features",
            lambda: figures.feature_histograms(frame, main, unit=unit),
            caption("features"),
        )
    if rest:
        yield (
            "features_all",
            lambda: figures.feature_histograms(frame, rest, unit=unit),
            caption("features_all"),
        )


def _of_comparison(content: Content) -> Iterator[Make]:
    """Draw what looks at all compared features at once; two features or more are needed."""
    from nanolake.report import figures

    frame, compared = content.particles, content.compared
    if len(compared) < 2 or (points := content.points()) is None:
        return
    groups = content.groups if content.grouped else None
    yield (
        "parallel",
        lambda: figures.parallel_coordinates_figure(frame, compared),
        caption("parallel"),
    )
    yield "pareto", lambda: figures.pareto_figure(frame, compared), caption("pareto")
    yield "dendrogram", lambda: figures.dendrogram_figure(points, groups), caption("dendrogram")


def _of_evidence(content: Content) -> Iterator[Make]:
    from nanolake.report import figures

    grouping = content.grouping or {}
    classifier = evidence.unpack(content.data.classifier) or {}
    if grouping.get("tried"):
        tried, k = grouping["tried"], grouping.get("k")
        yield "silhouette", lambda: figures.silhouette_figure(tried, k), caption("silhouette")
    matrix, names = classifier.get("confusion"), classifier.get("classes")
    if matrix is not None:
        yield "confusion", lambda: figures.confusion_figure(matrix, names), caption("confusion")


def _of_the_run(content: Content) -> Iterator[Make]:
    from nanolake.report import figures

    losses, cost = content.data.losses, content.data.cost
    if losses is not None and len(losses) and losses.drop(columns="experiment").sum().sum():
        yield "excluded", lambda: figures.excluded_figure(losses), caption("excluded")
    if cost is not None and len(cost):
        yield "cost", lambda: figures.cost_figure(cost), caption("cost")
