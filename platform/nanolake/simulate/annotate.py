"""Print on a picture: scale bar, panel letter, data bar. Printed pixels are background."""

from __future__ import annotations

import numpy as np

from nanolake.simulate.lettering import Mask, Pixels, lay, text_sheet
from nanolake.simulate.marks import draw_mark
from nanolake.simulate.settings import MicrographSettings


def print_on(settings: MicrographSettings, pixels: Pixels) -> tuple[Pixels, Mask]:
    """Return a copy of the picture with what the settings print on it, and where print lies.

    The mask holds the whole box of each printed thing, save of outlines drawn over the picture
    (`Mark` of kind ``rectangle``, ``ellipse``, ``line``, ``arrow``), which hide nothing.
    """
    printed = pixels.copy()
    mask = np.zeros(pixels.shape, bool)
    white = int(np.iinfo(pixels.dtype).max) if pixels.dtype == np.uint8 else int(pixels.max())
    size = max(12, round(0.045 * settings.width_px))
    if settings.data_bar:
        _data_bar(settings, printed, mask, white)
    if settings.letter:
        sheet = text_sheet(settings.letter, round(1.3 * size), round(0.35 * size))
        mask[lay(printed, sheet, (0, 0), 0, white)] = True
    if settings.scale_bar != "none":
        _scale_bar(settings, printed, mask, size, white)
    for mark in settings.marks:
        draw_mark(mark, printed, mask, white)
    return printed, mask


def bar_length_nm(width_px: int, pixel_size_nm: float) -> float:
    """Return the round length (1, 2 or 5 times a power of ten) nearest a fifth of the width.

    >>> bar_length_nm(1000, 0.5)
    100.0
    """
    target = 0.2 * width_px * pixel_size_nm
    powers = 10.0 ** np.arange(-3, 8)
    lengths = np.multiply.outer(powers, [1.0, 2.0, 5.0]).ravel()
    return float(lengths[np.argmin(np.abs(np.log(lengths / target)))])


def _scale_bar(
    settings: MicrographSettings, pixels: Pixels, mask: Mask, size: int, white: int
) -> None:
    length_nm = bar_length_nm(settings.width_px, settings.pixel_size_nm)
    words = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    length = round(length_nm / settings.pixel_size_nm)
    text = text_sheet(words, size, 2)
    thick, pad = max(3, size // 5), max(4, size // 3)
    width = max(length, text.shape[1]) + 2 * pad
    sheet = np.zeros((text.shape[0] + thick + 3 * pad // 2, width), np.uint8)
    left = (width - text.shape[1]) // 2
    sheet[pad // 2 : pad // 2 + text.shape[0], left : left + text.shape[1]] = text
    left = (width - length) // 2
    sheet[-pad - thick : -pad, left : left + length] = 255
    floor = settings.height_px - (_bar_height(settings) if settings.data_bar else 0)
    corner = max(0, floor - sheet.shape[0] - pad), pad
    ink = white if settings.scale_bar == "white" else 0
    paper = white if settings.scale_bar == "boxed" else None
    mask[lay(pixels, sheet, corner, ink, paper)] = True


def _data_bar(settings: MicrographSettings, pixels: Pixels, mask: Mask, white: int) -> None:
    height = _bar_height(settings)
    words = f"HV=200kV   {settings.pixel_size_nm:.4g} nm/px   {settings.width_px} px   BF"
    sheet = np.zeros((height, settings.width_px), np.uint8)
    text = text_sheet(words, round(0.6 * height), 1)[:height, : settings.width_px - height]
    top = (height - text.shape[0]) // 2
    sheet[top : top + text.shape[0], height // 2 : height // 2 + text.shape[1]] = text
    mask[lay(pixels, sheet, (settings.height_px - height, 0), white, 0)] = True


def _bar_height(settings: MicrographSettings) -> int:
    return max(14, settings.height_px // 20)
