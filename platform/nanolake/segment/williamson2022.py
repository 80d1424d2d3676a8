"""The paper's method with its constants in pixels, for parity and as the baseline.

Williamson et al., Nanoscale 2022, NR-ART-08-2022-004292.R1, "Image processing" and its ESI.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.records import Segmentation
from nanolake.segment.instances import REASONS, areas_of, border_labels, keep_particles
from nanolake.segment.regions import disk
from nanolake.segment.settings import SegmentSettings
from nanolake.segment.split import distance_inside, split_touching
from nanolake.segment.threshold import find_polarity

STRETCH_PERCENT = 1.0
CLAHE_CLIP = 2.56
CLAHE_TILES = (8, 8)
MEDIAN_PX = 11
DISK_PX = 5
MIN_AREA_PX = 900
HEIGHT_PX = 1.0


def williamson2022(grey: NDArray[np.float32], settings: SegmentSettings) -> Segmentation:
    """Segment as published; of the settings only polarity and ``remove_border`` are heeded.

    ``grey`` is (y, x) float32 in 0 … 1. Differences from the published code: polarity ``auto``
    is detected (the paper takes dark particles for granted; give ``dark`` for that); the median
    window is 11 x 11 px, not 10 x 10, since fast medians have odd windows; touching particles
    meet without MATLAB's one-pixel watershed line.
    """
    polarity: str = settings.polarity
    if polarity == "auto":
        polarity = find_polarity(grey, SegmentSettings().neck)
    mask, counts = _whole_blobs(_binary(grey, polarity), settings.remove_border)
    labels = split_touching(distance_inside(mask), height_px=HEIGHT_PX, relative=0)
    kept, _ = keep_particles(labels, _KEEP_ALL)
    return Segmentation(labels=kept, polarity=polarity, method="williamson2022", excluded=counts)


_KEEP_ALL = SegmentSettings(
    min_diameter_px=0.1, min_relative_area=0, max_area_fraction=1, remove_border=False
)


def _binary(grey: NDArray[np.float32], polarity: str) -> NDArray[np.bool_]:
    """Particles after stretch, equalisation, median, Otsu and erosion."""
    low, high = np.percentile(grey, [STRETCH_PERCENT, 100 - STRETCH_PERCENT])
    if high <= low:
        return np.zeros(grey.shape, dtype=bool)
    stretched = (np.clip((grey - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    equal = cv2.createCLAHE(clipLimit=CLAHE_CLIP, tileGridSize=CLAHE_TILES).apply(stretched)
    smooth = cv2.medianBlur(equal, MEDIAN_PX)
    level, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_OTSU)
    found = (smooth <= level) if polarity == "dark" else (smooth > level)
    return np.asarray(cv2.erode(found.view(np.uint8), disk(DISK_PX))).view(bool)


def _whole_blobs(
    mask: NDArray[np.bool_], remove_border: bool
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Drop small and cut blobs, then dilate the others back."""
    _, blobs = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    areas = areas_of(blobs)
    small = (areas < MIN_AREA_PX) & (areas > 0)
    border = np.zeros(areas.size, dtype=bool)
    border[border_labels(blobs)] = remove_border
    border &= ~small
    border[0] = False
    keep = (areas > 0) & ~small & ~border
    grown = cv2.dilate(keep[blobs].view(np.uint8), disk(DISK_PX))
    counts = dict.fromkeys(REASONS, 0) | {"small": int(small.sum()), "border": int(border.sum())}
    return np.asarray(grown).view(bool), counts
