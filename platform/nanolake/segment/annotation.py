"""Scale bars, letters, label boxes and data bars: what was printed onto a picture.

Rules of thumb, labelled as such: print lies at the picture's extreme grey values, is thin, comes in
rows of glyphs near the edge, or fills an upright rectangle. Relative to the picture's own size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.connected import connected
from nanolake.segment.instances import areas_of
from nanolake.segment.regions import disk, solidity
from nanolake.segment.threads import at_once

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Boxes = list[tuple[slice, slice]]

_EXTREME = 0.02
_MOST_BOXES = 60
_MARGIN = 0.3
_CORNER = 0.22
_STROKE = 0.65
_PAPER = 0.45


@dataclass(frozen=True, kw_only=True)
class Zones:
    """Rectangles that are no part of the micrograph: data bars and label boxes."""

    blanked: Grey
    """The picture with each zone set to the median grey around it."""
    mask: Mask
    """Where the zones are."""
    count: int


def blank_zones(grey: Grey) -> Zones | None:
    """Find data bars and label boxes in a picture of 0 … 1; None where there are none."""
    white, black = grey > 1 - _EXTREME, grey < _EXTREME
    boxes = [*_data_bars(white, black)]
    for found in at_once(lambda: _label_boxes(white), lambda: _label_boxes(black), px=grey.size):
        boxes += found
    if not boxes:
        return None
    mask = np.zeros(grey.shape, dtype=bool)
    for box in boxes:
        mask[box] = True
    blanked = grey.copy()
    for box in boxes:
        around = tuple(slice(max(0, s.start - 8), s.stop + 8) for s in box)
        free = ~mask[around]
        blanked[box] = np.median(grey[around][free] if free.any() else grey)
    return Zones(blanked=blanked, mask=mask, count=len(boxes))


def _data_bars(white: Mask, black: Mask) -> Boxes:
    """Strips of 2 to 30 % of the height at top or bottom, mostly of one extreme value."""
    height, width = white.shape
    plain = np.maximum(*(_row_sums(extreme) for extreme in (white, black))) > 0.5 * width
    strips = []
    for first_out in (_run(plain), -_run(plain[::-1])):
        size = abs(first_out)
        if 0.02 * height <= size <= 0.3 * height:
            rows = slice(0, size) if first_out > 0 else slice(height - size, height)
            strips.append((rows, slice(0, width)))
    return strips


def _row_sums(mask: Mask) -> NDArray[np.int32]:
    sums = cv2.reduce(mask.view(np.uint8), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return np.asarray(sums).ravel()


def _run(plain: Mask) -> int:
    """Length of the first run of True; a frame of 2 % before it and breaks of two rows allowed."""
    start = int(np.argmax(plain[: max(2, round(0.02 * plain.size))]))
    inside = plain[start:]
    broken = np.flatnonzero(~inside[:-2] & ~inside[1:-1] & ~inside[2:])
    run = start + int(broken[0]) if broken.size else plain.size
    held = np.flatnonzero(plain[:run])
    return int(held[-1]) + 1 if held.size else 0


def _label_boxes(extreme: Mask) -> Boxes:
    """Upright rectangles of one extreme value with something written in them."""
    height, width = extreme.shape
    if not _dense_somewhere(extreme, 0.025 * min(height, width)):
        return []
    pieces = connected(extreme, diagonal=False)
    (_, _, w, h), area = pieces.boxes.T, pieces.area
    box_area = w.astype(np.int64) * h
    fits = (np.minimum(w, h) >= 0.025 * min(height, width)) & (box_area <= 0.15 * extreme.size)
    fits &= (area >= 0.4 * box_area) & (area <= 0.97 * box_area)
    chosen = np.flatnonzero(fits)[:_MOST_BOXES]
    return [pieces.box(i) for i in chosen if _upright(pieces.mask_of(i))]


def _dense_somewhere(extreme: Mask, side_px: float) -> bool:
    """Whether any cell of a quarter of a box's least side is filled as a box would fill it."""
    if not extreme.any():
        return False
    step = max(1, int(side_px / 4))
    size = (max(extreme.shape[1] // step, 1), max(extreme.shape[0] // step, 1))
    cells = cv2.resize(extreme.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    return bool(cells.max() > 0.35 * 255)


def _upright(region: Mask) -> bool:
    """Whether the outer outline, holes filled, fills its bounding box."""
    sides = (region[0], region[-1], region[:, 0], region[:, -1])
    return bool(min(side.mean() for side in sides) > 0.93)


def printed_labels(labels: NDArray[np.int32], boxes: Boxes) -> Mask:
    """Which labels lie mostly on scale bars and letters; (n + 1,) bool by label.

    ``boxes`` are those of `find_print`.
    """
    count = int(labels.max(initial=0))
    printed = np.zeros(count + 1, dtype=bool)
    if count and boxes:
        zone = np.zeros(labels.shape, dtype=bool)
        for rows, columns in boxes:
            zone[rows, columns] = True
        inside = np.bincount(labels[zone], minlength=count + 1)
        printed = inside > 0.5 * areas_of(labels)
        printed[0] = False
    return printed


def find_print(bright: Grey) -> Boxes:
    """Boxes (rows, columns) around rows of letters, panel letters and scale bars.

    ``bright`` is the picture (y, x) in 0 … 1 with particles, and so this print, bright.
    """
    middle, top = float(np.median(bright[::3, ::3])), float(bright.max())
    if top - middle < 0.1:
        return []
    relief = cv2.GaussianBlur(bright, (0, 0), 0.7)
    relief -= np.float32(middle)
    relief /= np.float32(top - middle)
    marks = _Marks.of(relief)
    text = marks.in_rows() | marks.in_corner()
    bars = marks.bars(text)
    pad = max(2, round(0.006 * min(bright.shape)))
    return [marks.box(int(i), pad) for i in np.flatnonzero(text | bars)]


@dataclass(frozen=True)
class _Marks:
    """Connected marks at the picture's extreme grey: boxes (px) and what they look like."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    w: NDArray[np.float64]
    h: NDArray[np.float64]
    extent: NDArray[np.float64]
    glyph: Mask
    """Thin strokes, not convex: a letter or a figure, never a single convex particle."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, relief: Grey) -> _Marks:
        """Marks of a picture whose background is near 0 and whose brightest print is 1."""
        strokes = relief > _STROKE
        pieces = connected(strokes, diagonal=True)
        (x, y, w, h), area = pieces.boxes.T.astype(np.float64), pieces.area
        height, width = strokes.shape
        near_edge = (y + h / 2 < _MARGIN * height) | (y + h / 2 > (1 - _MARGIN) * height)
        sized = (h >= np.maximum(0.008 * height, 4)) & (h <= 0.14 * height) & (w <= 8 * h)
        sized &= (area < 0.75 * w * h) & near_edge
        glyph = np.zeros(area.size, dtype=bool)
        for i in np.flatnonzero(sized):
            box, part = pieces.box(i), pieces.mask_of(i)
            glyph[i] = (
                relief[box][~strokes[box]].mean() < _PAPER and _thin(part) and solidity(part) < 0.8
            )
        return cls(x, y, w, h, area / np.maximum(w * h, 1), glyph, (height, width))

    def in_rows(self) -> Mask:
        """Glyphs with a neighbour in the same line, and other marks between them."""
        text = np.zeros(self.x.size, dtype=bool)
        for i in np.flatnonzero(self.glyph):
            level = np.minimum(self.y + self.h, self.y[i] + self.h[i]) - np.maximum(
                self.y, self.y[i]
            )
            tall = (self.h > 0.4 * self.h[i]) & (self.h < 2.5 * self.h[i])
            gap = np.maximum(self.x - self.x[i] - self.w[i], self.x[i] - self.x - self.w)
            near = (gap < 0.9 * self.h[i]) & (level > 0.5 * np.minimum(self.h, self.h[i])) & tall
            near[i] = False
            if (near & self.glyph).any():
                text |= near
                text[i] = True
        return text

    def in_corner(self) -> Mask:
        """Single glyphs in one of the picture's corners: panel letters."""
        height, width = self.shape
        sides = np.minimum(self.x + self.w, width - self.x) < _CORNER * width
        ends = np.minimum(self.y + self.h, height - self.y) < _CORNER * height
        return np.asarray(self.glyph & sides & ends)

    def bars(self, text: Mask) -> Mask:
        """Thin level bars near the top or bottom, beside print or in the lowest quarter."""
        height, width = self.shape
        bar = (self.w >= 5 * self.h) & (self.h <= 0.035 * height) & (self.extent > 0.88)
        bar &= (self.w >= 0.04 * width) & (self.w <= 0.7 * width)
        low = self.y > (1 - _MARGIN) * height
        return np.asarray(bar & (low | self._beside(text)))

    def _beside(self, text: Mask) -> Mask:
        beside = np.zeros(self.x.size, dtype=bool)
        for i in np.flatnonzero(text):
            rise = np.maximum(self.y - self.y[i] - self.h[i], self.y[i] - self.y - self.h)
            beside |= rise < 3 * self.h[i]
        return beside

    def box(self, index: int, pad: int) -> tuple[slice, slice]:
        """The mark's box, grown by ``pad`` pixels."""
        y, x = int(self.y[index]), int(self.x[index])
        rows = slice(max(0, y - pad), y + int(self.h[index]) + pad)
        return rows, slice(max(0, x - pad), x + int(self.w[index]) + pad)


def _thin(part: Mask) -> bool:
    """Whether strokes are under 0.4 of the smaller side of the mark's box."""
    depth = cv2.distanceTransform(np.pad(part, 1).view(np.uint8), cv2.DIST_L2, 3)
    return bool(2 * depth.max() < 0.4 * min(part.shape) + 1)


def touching(labels: NDArray[np.int32], zones: Zones) -> NDArray[np.int64]:
    """Labels that a zone cuts: they are no whole particles, as at the picture's edge."""
    near = cv2.dilate(zones.mask.view(np.uint8), disk(2))
    return np.unique(labels[near > 0]).astype(np.int64)
