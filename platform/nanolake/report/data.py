"""What the report is made of: plain values handed over by whoever read the lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


OpenPictures = Callable[[Sequence[str]], Iterator[tuple[str, NDArray[Any], NDArray[Any]]]]
"""From micrograph ids to (id, pixels (y, x), labels (y, x)), one at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportData:
    """Everything in one report.

    ``particles`` holds rows of the ``morphology`` view. Columns that are used where present:
    ``particle_id, micrograph_id, experiment, lab, sample, label, shape_group``,
    ``equivalent_diameter_area_nm`` and ``_px``, ``area_nm2`` and ``area_px2``, and every feature
    of `nanolake.report.columns.every_quantity`. A missing column is left out, not guessed.

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
    open_pictures: OpenPictures | None = None
    """Reads further micrographs for examples of particles; None: those of ``micrographs``."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Objects taken out by segmentation, reason -> count."""
    losses: pd.DataFrame | None = None
    """The same by experiment: ``experiment``, ``kept`` and a column a reason."""
    failures: pd.DataFrame | None = None
    """Columns ``path, stage, reason, message``."""
    grouping: Mapping[str, Any] | None = None
    classifier: Mapping[str, Any] | None = None
    cost: pd.DataFrame | None = None
    """``stage``, ``units`` of work done, ``failed``, ``computing_s`` over all workers."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
