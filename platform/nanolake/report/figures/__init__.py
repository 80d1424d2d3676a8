"""The figures of a report, each a function that returns a matplotlib ``Figure``.

Made with matplotlib's object-oriented interface only (no pyplot, no global state), so that they
may be drawn in threads and shown in a notebook.
"""

from __future__ import annotations

from nanolake.report.figures.compare import (
    batch_comparison_figure,
    confusion_figure,
    silhouette_figure,
)
from nanolake.report.figures.shape import feature_histograms, parameter_scatter
from nanolake.report.figures.size import size_histogram
from nanolake.report.figures.style import to_png, to_svg
from nanolake.report.figures.tree import dendrogram_figure

__all__ = [
    "batch_comparison_figure",
    "confusion_figure",
    "dendrogram_figure",
    "feature_histograms",
    "parameter_scatter",
    "silhouette_figure",
    "size_histogram",
    "to_png",
    "to_svg",
]
