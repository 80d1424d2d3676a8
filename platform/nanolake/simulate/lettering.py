"""Words as sheets of ink, (y, x) uint8 with 255 on ink, and how a sheet is laid on a picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_]
Sheet = NDArray[np.uint8]

_STROKES = {"µ": "u", "Å": "A", "°": "o", "±": "+-"}
"""What the stroke fonts cannot write."""


def text_sheet(
    words: str, size_px: int, pad_px: int, font: str = "sans", weight: int = 500
) -> Sheet:
    """Return one line of words, cut to the ink and padded; ``size_px`` is the font's height."""
    import cv2

    room = (2 * size_px + 2 * pad_px, (size_px + 2) * len(words) + 2 * pad_px)
    sheet = np.zeros(room, np.uint8)
    if font in ("sans", "italic"):
        place, white = (pad_px, size_px + pad_px), (255, 255, 255)
        _, sheet = cv2.putText(sheet, words, place, white, _font(font), size_px, weight)
    else:
        _stroke_words(sheet, words, size_px, pad_px, font, weight)
    rows, columns = np.flatnonzero(sheet.any(axis=1)), np.flatnonzero(sheet.any(axis=0))
    if not rows.size:
        return np.zeros((size_px, 1), np.uint8)
    inked = sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.pad(inked, pad_px)


def lines_sheet(words: str, size_px: int, pad_px: int, font: str, weight: int) -> Sheet:
    """Return several lines of words, one below another, set to the left."""
    sheets = [text_sheet(line, size_px, 1, font, weight) for line in words.split("\n")]
    width = max(sheet.shape[1] for sheet in sheets)
    gap = size_px // 3
    rows = [np.pad(s, ((0, gap), (0, width - s.shape[1]))) for s in sheets]
    return np.pad(np.vstack(rows)[:-gap] if gap else np.vstack(rows), pad_px)


def lay(
    pixels: Pixels, sheet: Sheet, corner: tuple[int, int], ink: int, paper: int | None
) -> tuple[slice, ...]:
    """Blend ink where the sheet is set, over the paper where there is one; changes ``pixels``.

    Returns the box that the sheet takes up in the picture.
    """
    sheet = sheet[: pixels.shape[0] - corner[0], : pixels.shape[1] - corner[1]]
    box = tuple(slice(c, c + n) for c, n in zip(corner, sheet.shape, strict=True))
    under = pixels[box] if paper is None else paper
    share = sheet / 255.0
    pixels[box] = np.rint(share * ink + (1.0 - share) * under).astype(pixels.dtype)
    return box


def _stroke_words(
    sheet: Sheet, words: str, size_px: int, pad_px: int, font: str, weight: int
) -> None:
    import cv2

    bold = weight >= 550
    faces = {
        "serif": (cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX),
        "plain": (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX),
    }
    for letter, other in _STROKES.items():
        words = words.replace(letter, other)
    thick = max(1, round(size_px * weight / 9000.0))
    scale = cv2.getFontScaleFromHeight(faces[font][bold], round(0.75 * size_px), thick)
    place = (pad_px, size_px + pad_px)
    cv2.putText(sheet, words, place, faces[font][bold], scale, 255, thick, cv2.LINE_AA)


@lru_cache(maxsize=4)
def _font(name: str) -> Any:
    import cv2

    return cv2.FontFace(name)
