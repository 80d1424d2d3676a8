"""Pictures, figures, statistics and the HTML report of one experiment or query.

Most names are loaded when they are first used, so that `overlay`, `montage` and `ensemble` (NumPy
and OpenCV) work where the `report` extra (matplotlib, jinja2) is not installed.

The inputs are arrays and pandas frames with the columns of the ``morphology`` view; nothing here
reads a lake.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Loaded at once: these functions share their modules' names, and the function must win.
from nanolake.report.montage import Crop, cut_crop, montage
from nanolake.report.overlay import overlay, write_overlay

if TYPE_CHECKING:
    from nanolake.report.colours import GROUP_COLOURS, UNASSIGNED, colour_of
    from nanolake.report.data import ReportData, ReportError, ReportMicrograph
    from nanolake.report.figures import (
        batch_comparison_figure,
        confusion_figure,
        dendrogram_figure,
        feature_histograms,
        parameter_scatter,
        silhouette_figure,
        size_histogram,
    )
    from nanolake.report.html import build_report
    from nanolake.report.statistics import (
        Fit,
        ensemble,
        ensemble_table,
        fit_sizes,
        group_table,
    )

_WHERE = {
    "GROUP_COLOURS": "colours",
    "UNASSIGNED": "colours",
    "colour_of": "colours",
    "ReportData": "data",
    "ReportError": "data",
    "ReportMicrograph": "data",
    "batch_comparison_figure": "figures",
    "confusion_figure": "figures",
    "dendrogram_figure": "figures",
    "feature_histograms": "figures",
    "parameter_scatter": "figures",
    "silhouette_figure": "figures",
    "size_histogram": "figures",
    "build_report": "html",
    "Fit": "statistics",
    "ensemble": "statistics",
    "ensemble_table": "statistics",
    "fit_sizes": "statistics",
    "group_table": "statistics",
}

__all__ = [
    "GROUP_COLOURS",
    "UNASSIGNED",
    "Crop",
    "Fit",
    "ReportData",
    "ReportError",
    "ReportMicrograph",
    "batch_comparison_figure",
    "build_report",
    "colour_of",
    "confusion_figure",
    "cut_crop",
    "dendrogram_figure",
    "ensemble",
    "ensemble_table",
    "feature_histograms",
    "fit_sizes",
    "group_table",
    "montage",
    "overlay",
    "parameter_scatter",
    "silhouette_figure",
    "size_histogram",
    "write_overlay",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
