"""What the report is made of: plain values handed over by whoever read the lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nanolake.errors import NanolakeError

if TYPE_CHECKING:
    import pandas as pd


class ReportError(NanolakeError, ValueError):
    """A picture, figure or report cannot be made from what was handed over."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportMicrograph:
    """One of the few micrographs shown in a report.

    ``pixels`` is (y, x), ``labels`` (y, x) integers whose numbers are the ``label`` column of the
    particles with the same ``micrograph_id``. ``pixel_size_nm`` is one length or (y, x), None
    where unknown.
    """

    micrograph_id: str
    name: str
    experiment: str
    pixels: NDArray[Any]
    labels: NDArray[Any]
    pixel_size_nm: float | tuple[float, float] | None = None
    particle_count: int | None = None
    """As stored in the lake; None: as many as ``labels`` holds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """Everything in one report.

    ``particles`` holds rows of the ``morphology`` view. Columns that are used where present:
    ``particle_id, micrograph_id, experiment, lab, sample, label, shape_group``,
    ``equivalent_diameter_area_nm`` and ``_px``, ``area_nm2`` and ``area_px2``, and the shape
    columns of `nanolake.report.columns`. A missing column is left out of the report, not guessed.

    ``grouping`` and ``classifier`` are rows of the tables ``grouping_run`` and ``classifier_run``
    as they are: their ``…_json`` columns are unpacked, as text or as values. Further numbers in
    either are listed under their own names.
    """

    title: str
    particles: pd.DataFrame
    subtitle: str = ""
    query: str = ""
    """The SQL or the words that chose the particles, shown as given."""
    micrographs: Sequence[ReportMicrograph] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Objects taken out by segmentation, reason -> count."""
    failures: pd.DataFrame | None = None
    """Columns ``path, stage, reason, message``."""
    grouping: Mapping[str, Any] | None = None
    classifier: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
