"""Words as sheets of ink, (y, x) uint8 with 255 on ink, and how a sheet is laid on a picture."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SettingsError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
Mask = NDArray[np.bool_]
Sheet = NDArray[np.uint8]

_FILES = {
    "serif": ("STIXGeneral.ttf", "STIXGeneralBol.ttf"),
    "wide": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    "mono": ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"),
}
"""Regular and bold files of the typefaces that come with matplotlib (which is not imported)."""
BOLD_FROM = 550


def text_sheet(
    words: str, size_px: int, pad_px: int, font: str = "sans", weight: int = 500
) -> Sheet:
    """Return one line of words, cut to the ink and padded; ``size_px`` is the font's height.

    Raises
    ------
    SettingsError
        The typeface comes with matplotlib and that is not installed.
    """
    import cv2

    sheet = np.zeros((2 * (size_px + pad_px), (size_px + 2) * len(words) + 2 * pad_px), np.uint8)
    place, white = (pad_px, size_px + pad_px), (255, 255, 255)
    face = _face(font, weight >= BOLD_FROM)
    if font in _FILES:
        _, sheet = cv2.putText(sheet, words, place, white, face, size_px)
    else:
        _, sheet = cv2.putText(sheet, words, place, white, face, size_px, weight)
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


@lru_cache(maxsize=8)
def _face(font: str, bold: bool) -> Any:
    """Return a typeface: OpenCV's own ``sans`` and ``italic``, or one of matplotlib's files."""
    import cv2

    if font not in _FILES:
        return cv2.FontFace(font)
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise SettingsError(
            f"font={font!r} is printed with a typeface that comes with matplotlib, which is not "
            "installed; install nanolake[report] or use the fonts 'sans' and 'italic'"
        )
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    return cv2.FontFace(str(folder / _FILES[font][bold]))
