"""The figures of a report, each a function that returns a matplotlib ``Figure``.

Made with matplotlib's object-oriented interface only (no pyplot, no global state), so that they
may be drawn in threads and shown in a notebook.
"""

from __future__ import annotations

from nanolake.report.figures.batches import (
    batch_difference_figure,
    cost_figure,
    excluded_figure,
    group_share_figure,
)
from nanolake.report.figures.compare import (
    batch_comparison_figure,
    confusion_figure,
    silhouette_figure,
)
from nanolake.report.figures.histograms import feature_histograms
from nanolake.report.figures.multivariate import parallel_coordinates_figure, pareto_figure
from nanolake.report.figures.shape import parameter_scatter, parameter_space_figure
from nanolake.report.figures.size import size_histogram
from nanolake.report.figures.style import to_png, to_svg
from nanolake.report.figures.tree import dendrogram_figure

__all__ = [
    "batch_comparison_figure",
    "batch_difference_figure",
    "confusion_figure",
    "cost_figure",
    "dendrogram_figure",
    "excluded_figure",
    "feature_histograms",
    "group_share_figure",
    "parallel_coordinates_figure",
    "parameter_scatter",
    "parameter_space_figure",
    "pareto_figure",
    "silhouette_figure",
    "size_histogram",
    "to_png",
    "to_svg",
]
