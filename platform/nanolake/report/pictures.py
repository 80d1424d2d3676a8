"""The micrographs of a report: overlays within a size budget, and examples of each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.report import colours, columns, numbers
from nanolake.report.content import Content
from nanolake.report.data import ReportMicrograph
from nanolake.report.montage import Crop, cut_crop, montage
from nanolake.report.overlay import encode, overlay, stretch

MOST_MICROGRAPHS = 8
BUDGET_BYTES = 3_000_000
"""All overlays together; base64 adds a third."""
EXAMPLES = 8
SHOWN_SIDE_PX = 1200

MONTAGE_CAPTION = (
    "Examples of each group, from its smallest particle (left) to its largest, each scaled to its "
    "tile; below, the equivalent circular diameter."
)


def overlay_caption(micrograph: ReportMicrograph) -> str:
    """Name the picture and say what is on it."""
    labels = np.asarray(micrograph.labels)
    count = micrograph.particle_count
    count = int(np.unique(labels[labels > 0]).size) if count is None else count
    size = micrograph.pixel_size_nm
    side = size[1] if isinstance(size, tuple) else size
    scale = "pixel size unknown" if side is None else f"{side:.4g} nm/px"
    rows, across = labels.shape
    parts = [micrograph.name, micrograph.experiment, numbers.counted(count, "particle")]
    return " · ".join([part for part in parts if part] + [f"{across} × {rows} px", scale])


def overlay_jpeg(micrograph: ReportMicrograph, content: Content, shared_by: int) -> bytes:
    """Return the overlay as JPEG, in its share of the budget: coarser until it fits."""
    picture = overlay(
        micrograph.pixels,
        micrograph.labels,
        groups=_groups_of(micrograph, content),
        pixel_size_nm=micrograph.pixel_size_nm,
        max_side_px=SHOWN_SIDE_PX,
    )
    allowed = BUDGET_BYTES // max(shared_by, 1)
    data = encode(picture, ".jpg", 90)
    for quality, scale in ((82, 1.0), (72, 1.0), (75, 0.7), (65, 0.5), (50, 0.35)):
        if len(data) <= allowed:
            break
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        data = encode(np.asarray(small, np.uint8), ".jpg", quality)
    return data


def _groups_of(micrograph: ReportMicrograph, content: Content) -> dict[int, int] | None:
    """Map this picture's labels to groups; None where nothing is grouped."""
    frame = content.particles
    if not content.grouped or not {"micrograph_id", "label"} <= set(frame.columns):
        return None
    own = (frame["micrograph_id"] == micrograph.micrograph_id).to_numpy()
    labels = frame["label"].to_numpy()[own]
    return {int(a): int(b) for a, b in zip(labels, content.groups[own], strict=True)}


def montage_png(content: Content, shown: Sequence[ReportMicrograph]) -> bytes | None:
    """Return the montage of examples from the pictures shown; None where there is none to show."""
    frame = content.particles
    if frame.empty or not {"micrograph_id", "label"} <= set(frame.columns):
        return None
    here = _there(content, shown)
    stretched = {m.micrograph_id: (stretch(np.asarray(m.pixels)), m.labels) for m in shown}
    rows, names = {}, {}
    for group in _in_order(content.groups[here]):
        of_group = content.groups == group
        chosen = _spread(np.flatnonzero(here & of_group), content.size)
        rows[group] = [
            _cut(frame.iloc[i], content.size[i], content.unit, stretched) for i in chosen
        ]
        words = colours.group_name(group) if content.grouped else "Particles"
        names[group] = f"{words}\nn = {int(of_group.sum()):,}"
    return encode(montage(rows, names=names, columns=EXAMPLES), ".png") if rows else None


def _there(content: Content, shown: Sequence[ReportMicrograph]) -> NDArray[np.bool_]:
    """Mark the particles whose label is in a picture shown."""
    frame = content.particles
    known = {
        (m.micrograph_id, int(label))
        for m in shown
        for label in np.unique(np.asarray(m.labels))
        if label
    }
    pairs = zip(frame["micrograph_id"], frame["label"], strict=True)
    return np.array([(identity, int(label)) in known for identity, label in pairs], bool)


def _in_order(groups: NDArray[np.int64]) -> list[int]:
    return sorted(set(groups.tolist()), key=lambda g: (g == 0, g))


def _spread(places: NDArray[np.int64], size: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose up to EXAMPLES places, evenly from the smallest particle to the largest."""
    ordered = places[np.argsort(size[places], kind="stable")]
    picks = np.linspace(0, ordered.size - 1, min(EXAMPLES, ordered.size)).round().astype(int)
    return np.asarray(ordered[picks], np.int64)


def _cut(row: Any, size: float, unit: str, stretched: dict[str, Any]) -> Crop:
    grey, labels = stretched[row["micrograph_id"]]
    value, own = (size, unit) if np.isfinite(size) else (row.get(f"{columns.SIZE}_px"), "px")
    known = value is not None and np.isfinite(value)
    return cut_crop(grey, labels, int(row["label"]), caption=f"{value:.1f} {own}" if known else "")
