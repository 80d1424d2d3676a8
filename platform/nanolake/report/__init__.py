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
from nanolake.report.montage import Crop, cut_crop, montage, mosaic
from nanolake.report.overlay import overlay, write_overlay

if TYPE_CHECKING:
    from nanolake.report.batches import batch_table, share_table
    from nanolake.report.colours import GROUP_COLOURS, UNASSIGNED, colour_of
    from nanolake.report.data import ReportData, ReportError, ReportMicrograph
    from nanolake.report.figures import (
        batch_comparison_figure,
        batch_difference_figure,
        confusion_figure,
        cost_figure,
        dendrogram_figure,
        excluded_figure,
        feature_histograms,
        group_share_figure,
        parallel_coordinates_figure,
        parameter_scatter,
        parameter_space_figure,
        pareto_figure,
        silhouette_figure,
        size_histogram,
    )
    from nanolake.report.fits import Fit, fit_sizes, fit_table
    from nanolake.report.html import build_report
    from nanolake.report.statistics import ensemble, ensemble_table, group_table

_WHERE = {
    "batch_table": "batches",
    "share_table": "batches",
    "GROUP_COLOURS": "colours",
    "UNASSIGNED": "colours",
    "colour_of": "colours",
    "ReportData": "data",
    "ReportError": "data",
    "ReportMicrograph": "data",
    "batch_comparison_figure": "figures",
    "batch_difference_figure": "figures",
    "confusion_figure": "figures",
    "cost_figure": "figures",
    "dendrogram_figure": "figures",
    "excluded_figure": "figures",
    "feature_histograms": "figures",
    "group_share_figure": "figures",
    "parallel_coordinates_figure": "figures",
    "parameter_scatter": "figures",
    "parameter_space_figure": "figures",
    "pareto_figure": "figures",
    "silhouette_figure": "figures",
    "size_histogram": "figures",
    "Fit": "fits",
    "fit_sizes": "fits",
    "fit_table": "fits",
    "build_report": "html",
    "ensemble": "statistics",
    "ensemble_table": "statistics",
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
    "batch_difference_figure",
    "batch_table",
    "build_report",
    "colour_of",
    "confusion_figure",
    "cost_figure",
    "cut_crop",
    "dendrogram_figure",
    "ensemble",
    "ensemble_table",
    "excluded_figure",
    "feature_histograms",
    "fit_sizes",
    "fit_table",
    "group_share_figure",
    "group_table",
    "montage",
    "mosaic",
    "overlay",
    "parallel_coordinates_figure",
    "parameter_scatter",
    "parameter_space_figure",
    "pareto_figure",
    "share_table",
    "silhouette_figure",
    "size_histogram",
    "write_overlay",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
