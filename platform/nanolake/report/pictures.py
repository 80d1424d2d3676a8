"""The micrographs of a report: overlays within a size budget."""

from __future__ import annotations

import cv2
import numpy as np

from nanolake.report import numbers
from nanolake.report.content import Content
from nanolake.report.data import ReportMicrograph
from nanolake.report.overlay import encode, overlay

MOST_MICROGRAPHS = 8
BUDGET_BYTES = 3_000_000
"""All overlays together; base64 adds a third."""
SHOWN_SIDE_PX = 1200


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
