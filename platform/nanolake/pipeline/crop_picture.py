"""The picture that `nanolake trace` draws: crop, outline of the particle, scale bar, caption."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.report.overlay import Picture8, draw_scale_bar, encode, stretch

SIDE_PX = 512
"""Longest side of the drawn crop, which is enlarged by a whole number up to it."""
_TEXT_PX = 15
_OUTLINE = (255, 196, 0)
_INK, _PAPER = (33, 37, 41), 255


def draw_crop(
    target: Path,
    row: Mapping[str, Any],
    pixels: NDArray[Any],
    labels: NDArray[Any],
) -> None:
    """Write the particle of ``row`` with as much around it as half its size, as a PNG.

    The outline runs between the pixels of the mask and the others, so that it covers none of the
    particle's own. A scale bar is drawn where the pixel size is known.
    """
    y, x = _window(row, pixels.shape)
    crop, mask = pixels[y, x], (labels[y, x] == row["label"]).astype(np.uint8)
    scale = max(1, SIDE_PX // max(crop.shape))
    size = (crop.shape[1] * scale, crop.shape[0] * scale)
    grey = cv2.resize(stretch(crop), size, interpolation=cv2.INTER_NEAREST)
    picture = cv2.cvtColor(np.asarray(grey, np.uint8), cv2.COLOR_GRAY2RGB)
    large = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    ring = cv2.dilate(large, np.ones((3, 3), np.uint8), iterations=max(2, scale // 3)) - large
    picture[ring > 0] = _OUTLINE
    if row["pixel_size_x_nm"]:
        draw_scale_bar(picture, row["pixel_size_x_nm"] / scale)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(_captioned(picture, _lines(row)), target.suffix or ".png"))


def _window(row: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return a square around the particle, cut at the borders of the picture."""
    top, left = row["bbox_min_y_px"], row["bbox_min_x_px"]
    bottom, right = row["bbox_max_y_px"], row["bbox_max_x_px"]
    half = max(16, round(max(bottom - top, right - left)))
    cy, cx = (top + bottom) // 2, (left + right) // 2
    return (
        slice(max(0, cy - half), min(shape[0], cy + half)),
        slice(max(0, cx - half), min(shape[1], cx + half)),
    )


def _lines(row: Mapping[str, Any]) -> list[str]:
    """Return the caption: id, where from, size and shape as far as known."""
    nm, px = row["equivalent_diameter_area_nm"], row["equivalent_diameter_area_px"]
    size = f"diameter {nm:.4g} nm" if nm is not None else f"diameter {px:.4g} px, not calibrated"
    numbers = [size]
    if row["p"] is not None:
        numbers += [f"p {row['p']:.3g}", f"d {row['d']}", f"L_ratio {row['L_ratio']:.3g}"]
    if row["shape_group"] is not None:
        numbers += [f"group {row['shape_group']}"]
    return [
        f"particle {row['particle_id']}",
        f"{row['lab']}, {row['experiment']}: {Path(row['path']).name}",
        "   ".join(numbers),
    ]


def _captioned(picture: Picture8, lines: list[str]) -> Picture8:
    """Put lines of text below a picture, which is widened where they need it."""
    font = cv2.FontFace("sans")
    widths = [cv2.getTextSize((0, 0), line, (0, 0), font, _TEXT_PX, 400)[2] for line in lines]
    pad, step = _TEXT_PX, round(1.6 * _TEXT_PX)
    rows, columns = picture.shape[:2]
    width = max(columns, max(widths) + 2 * pad)
    height = rows + pad + step * len(lines)
    made = np.full((height, width, 3), _PAPER, np.uint8)
    left = (width - columns) // 2
    made[:rows, left : left + columns] = picture
    for number, line in enumerate(lines, start=1):
        cv2.putText(made, line, (pad, rows + step * number), _INK, font, _TEXT_PX, 400)
    return made
