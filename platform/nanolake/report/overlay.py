"""The picture a chemist checks first: particle outlines over the micrograph, with a scale bar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours
from nanolake.report.data import ReportError

Picture8 = NDArray[np.uint8]
Groups = ArrayLike | Mapping[Any, Any] | None

FILL = 0.35
"""How much of a particle's inside is colour, how much picture."""
BAR_SHARE = 0.2
"""The scale bar is the longest round length (1, 2 or 5 times a power of ten) within this share of
the picture's width."""


def overlay(
    pixels: NDArray[Any],
    labels: NDArray[Any],
    *,
    groups: Groups = None,
    pixel_size_nm: float | tuple[float, float] | None = None,
    max_side_px: int = 1400,
    min_side_px: int = 0,
) -> Picture8:
    """Draw particle outlines over a micrograph.

    Parameters
    ----------
    pixels
        (y, x), any real dtype; stretched so that its 0.5th and 99.5th percentiles are black and
        white. Not-a-number pixels are drawn black.
    labels
        (y, x) integers, 0 is background.
    groups
        Group of each label: an array (largest label + 1,) whose entry 0 is not used, or a mapping
        label -> group (a label that is missing is unassigned). Groups count from 1; 0, None and
        NaN are unassigned and grey. Without groups, colours only keep neighbours apart.
    pixel_size_nm
        Length of a pixel's side, or (y, x); draws a scale bar, bottom right. None draws none.
    max_side_px
        Larger pictures are reduced so that their longer side has this many pixels.
    min_side_px
        Smaller pictures are enlarged by a whole number until their longer side has as many.

    Returns
    -------
    uint8 (y, x, 3), red-green-blue. A particle's outline lies inside its label; its inside is
    tinted lightly.

    Raises
    ------
    ReportError
        Shapes differ or are not two-dimensional, ``groups`` is too short, or the pixel size is
        not a positive number.
    """
    pixels, labels = np.asarray(pixels), np.asarray(labels)
    _check_shapes(pixels, labels)
    scale = min(1.0, max_side_px / max(pixels.shape))
    scale = max(scale, min_side_px // max(pixels.shape))
    grey = stretch(_resize(pixels, scale, cv2.INTER_AREA))
    ids = _resize(labels, scale, cv2.INTER_NEAREST)
    table = _colour_table(ids, int(labels.max(initial=0)), groups)
    picture = paint(grey, ids, table)
    if pixel_size_nm is not None:
        draw_scale_bar(picture, _side_nm(pixel_size_nm) / scale)
    return picture


def write_overlay(
    path: Path | str,
    pixels: NDArray[Any],
    labels: NDArray[Any],
    *,
    groups: Groups = None,
    pixel_size_nm: float | tuple[float, float] | None = None,
    max_side_px: int = 1400,
    min_side_px: int = 0,
) -> Path:
    """Write `overlay` to ``path`` (PNG, or JPEG by its ending) and return the path."""
    target = Path(path)
    picture = overlay(
        pixels,
        labels,
        groups=groups,
        pixel_size_nm=pixel_size_nm,
        max_side_px=max_side_px,
        min_side_px=min_side_px,
    )
    target.write_bytes(encode(picture, target.suffix or ".png"))
    return target


def encode(picture: Picture8, ending: str = ".png", quality: int = 88) -> bytes:
    """Return a red-green-blue picture as the bytes of a ``.png``, ``.jpg`` or ``.jpeg`` file."""
    flags = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 4],
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
    }
    if ending.lower() not in flags:
        raise ReportError(f"pictures are written as .png or .jpg, not {ending!r}")
    _, data = cv2.imencode(
        ending.lower(), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), flags[ending.lower()]
    )
    return bytes(data)


def stretch(pixels: NDArray[Any], percent: float = 0.5) -> Picture8:
    """Return grey uint8, ``percent`` of the pixels black and as many white; flat is mid-grey."""
    values = pixels.astype(np.float32)
    finite = np.isfinite(values)
    sample = values[finite]
    if sample.size == 0:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(sample, [percent, 100.0 - percent])
    if high <= low:
        low, high = float(sample.min()), float(sample.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # flat to float32's accuracy
        return np.where(finite, 128, 0).astype(np.uint8)
    scaled = np.clip((np.where(finite, values, low) - low) * (255.0 / (high - low)), 0, 255)
    return np.asarray(scaled.round(), np.uint8)


def paint(grey: Picture8, labels: NDArray[Any], table: Picture8) -> Picture8:
    """Tint and outline each label in its colour; ``table`` is (largest label + 1, 3) RGB."""
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    inside = labels > 0
    picture[inside] = (
        (1.0 - FILL) * picture[inside] + FILL * table[labels[inside]].astype(np.float32)
    ).astype(np.uint8)
    edge = outline_mask(labels, width=max(1, round(max(labels.shape) / 550)))
    picture[edge] = table[labels[edge]]
    return np.asarray(picture, np.uint8)


def outline_mask(labels: NDArray[Any], width: int = 1) -> NDArray[np.bool_]:
    """Mark the pixels of a label within ``width`` (chessboard) of another label or background."""
    ids = labels.astype(np.float32)  # exact to 16.7 million labels; OpenCV filters no int32
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    differs = cv2.dilate(ids, kernel) != cv2.erode(ids, kernel)
    return np.asarray(differs & (labels > 0))


def draw_scale_bar(picture: Picture8, nm_per_px: float) -> tuple[float, int]:
    """Draw a bar with its length into the bottom right corner, in place; return (nm, px)."""
    rows, columns = picture.shape[:2]
    length_nm = round_length(BAR_SHARE * columns * nm_per_px)
    length_px = max(1, round(length_nm / nm_per_px))
    size = max(9, round(0.028 * max(rows, columns)))
    font, text = cv2.FontFace("sans"), length_text(length_nm)
    _, _, text_width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, size, 500)
    pad, thick = max(3, size // 2), max(2, size // 5)
    width = max(length_px, text_width)
    right, bottom = columns - pad, rows - pad
    plate = picture[
        max(0, bottom - size - thick - 2 * pad) : bottom + pad // 2,
        max(0, right - width - 2 * pad) : right + pad // 2,
    ]
    plate[:] = (plate * 0.35).astype(np.uint8)
    centre = right - pad // 2 - width // 2 - pad // 4
    left = centre - length_px // 2
    picture[bottom - thick - pad // 4 : bottom - pad // 4, left : left + length_px] = 255
    origin = (centre - text_width // 2, bottom - thick - pad)
    cv2.putText(picture, text, origin, (255, 255, 255), font, size, 500)
    return length_nm, length_px


def round_length(limit: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``limit``.

    >>> round_length(37.0), round_length(0.9), round_length(200.0)
    (20.0, 0.5, 200.0)
    """
    power = math.floor(math.log10(limit))
    candidates = [
        factor * 10.0**exponent for exponent in (power - 1, power) for factor in (1, 2, 5)
    ]
    return max(value for value in candidates if value <= limit * (1.0 + 1e-9))


def length_text(length_nm: float) -> str:
    """Write a length with its unit.

    >>> length_text(20.0), length_text(2000.0), length_text(0.5)
    ('20 nm', '2 µm', '0.5 nm')
    """
    return f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"


def _check_shapes(pixels: NDArray[Any], labels: NDArray[Any]) -> None:
    if pixels.ndim != 2 or pixels.shape != labels.shape or pixels.size == 0:
        raise ReportError(
            f"pixels and labels must be the same (y, x) picture, not {pixels.shape} and "
            f"{labels.shape}: hand over one grey frame and its own label image"
        )
    if labels.dtype.kind not in "iub":
        raise ReportError(f"labels must be whole numbers, not {labels.dtype}")


def _side_nm(pixel_size_nm: float | tuple[float, float]) -> float:
    """Return the horizontal side: the bar is horizontal."""
    side = pixel_size_nm[1] if isinstance(pixel_size_nm, tuple) else pixel_size_nm
    if not (math.isfinite(side) and side > 0):
        raise ReportError(
            f"pixel_size_nm={side!r} must be a positive length; give None where it is unknown"
        )
    return float(side)


def _resize(image: NDArray[Any], scale: float, how: int) -> NDArray[Any]:
    """Reduce or enlarge a picture; the dtype becomes one that OpenCV takes (float32, int32)."""
    whole = image.dtype.kind in "iub" and how == cv2.INTER_NEAREST
    image = image.astype(np.int32 if whole else np.float32)
    if scale == 1.0:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=how))


def _colour_table(ids: NDArray[Any], largest: int, groups: Groups) -> Picture8:
    if groups is None:
        chosen = neighbour_colours(ids, largest)
        palette = np.array([colours.rgb(c) for c in colours.CALM_COLOURS], np.uint8)
        return palette[chosen]
    if isinstance(groups, Mapping):
        known = {int(label): group for label, group in groups.items()}
        listed = [known.get(label) for label in range(largest + 1)]
    else:
        listed = list(np.asarray(groups).tolist())
    if len(listed) <= largest:
        raise ReportError(
            f"groups has {len(listed)} entries but the largest label is {largest}: "
            f"it must have one for each label from 0, that is {largest + 1}"
        )
    return np.array([colours.rgb(colours.colour_of(group)) for group in listed], np.uint8)


def neighbour_colours(labels: NDArray[Any], largest: int, reach_px: int = 4) -> NDArray[np.int64]:
    """Choose one of the calm colours for each label, so that near labels differ.

    Greedy colouring: a label takes, from its own turn in the palette on, the first colour that no
    earlier label within about ``reach_px`` has; returned as (largest + 1,) palette positions.
    """
    count = len(colours.CALM_COLOURS)
    chosen = np.arange(largest + 1, dtype=np.int64) % count
    for label, others in _earlier_neighbours(labels, reach_px).items():
        taken = set(chosen[others].tolist())
        turns = [(label + step) % count for step in range(count)]
        chosen[label] = next((turn for turn in turns if turn not in taken), turns[0])
    return chosen


def _earlier_neighbours(labels: NDArray[Any], reach_px: int) -> dict[int, list[int]]:
    """Map a label to the smaller labels near it, in rising order of label."""
    found = [
        _pairs(labels, dy, dx)
        for step in (1, 2, reach_px)
        for dy, dx in ((0, step), (step, 0), (step, step), (step, -step))
    ]
    pairs = np.unique(np.concatenate(found), axis=0)
    near: dict[int, list[int]] = {}
    for later, earlier in pairs.tolist():
        near.setdefault(later, []).append(earlier)
    return near


def _pairs(labels: NDArray[Any], dy: int, dx: int) -> NDArray[np.int64]:
    """Return (n, 2) pairs (larger, smaller) of different labels that lie (dy, dx) apart."""
    rows, columns = labels.shape
    first = labels[: max(rows - dy, 0), max(-dx, 0) : columns - max(dx, 0)]
    second = labels[dy:, max(dx, 0) : columns + min(dx, 0)]
    meet = (first != second) & (first > 0) & (second > 0)
    a, b = first[meet].astype(np.int64), second[meet].astype(np.int64)
    return np.unique(np.stack([np.maximum(a, b), np.minimum(a, b)], axis=1), axis=0)
