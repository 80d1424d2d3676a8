"""Drawing of one `Mark` on a picture: letters, scale bars, strips, insets, outlines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.lettering import Mask, Pixels, Sheet, lay, lines_sheet
from nanolake.simulate.noise import fractal
from nanolake.simulate.stage_settings import Mark

OUTLINES = ("rectangle", "ellipse", "line", "arrow")


def draw_mark(mark: Mark, pixels: Pixels, mask: Mask, white: int) -> None:
    """Draw the mark, and set the mask in its box unless it is an outline; changes both arrays.

    ``white`` is the pixel value of grey 1. What does not fit the picture is cut off.
    """
    if mark.kind == "strip":
        _strip(mark, pixels, mask, white)
    elif mark.kind == "inset":
        _inset(mark, pixels, mask, white)
    elif mark.kind in OUTLINES:
        _print(mark, pixels, _outline(mark), white)
    else:
        sheet = _bar(mark) if mark.kind == "bar" else _words(mark)
        mask[_print(mark, pixels, sheet, white)] = True


def _print(mark: Mark, pixels: Pixels, sheet: Sheet, white: int) -> tuple[slice, ...]:
    import cv2

    corner = _corner(mark, sheet.shape, pixels.shape)
    paper = None if mark.paper is None else round(mark.paper * white)
    if mark.frame:
        sheet = sheet.copy()
        sheet[[0, -1]] = sheet[:, [0, -1]] = 255
    if mark.rim is not None:
        wide = cv2.dilate(sheet, np.ones((3, 3), np.uint8), iterations=max(1, mark.size_px // 16))
        lay(pixels, np.asarray(wide, np.uint8), corner, round(mark.rim * white), paper)
        paper = None
    return lay(pixels, sheet, corner, round(mark.ink * white), paper)


def _corner(mark: Mark, size: tuple[int, ...], frame: tuple[int, ...]) -> tuple[int, int]:
    """Return the top left pixel of a box of this size at the mark's place in the frame."""
    room = [max(f - s - 2 * mark.margin_px, 0) for f, s in zip(frame, size, strict=True)]
    shift = [min(mark.margin_px, max(f - s, 0)) for f, s in zip(frame, size, strict=True)]
    return round(shift[0] + mark.place_y * room[0]), round(shift[1] + mark.place_x * room[1])


def _words(mark: Mark) -> Sheet:
    pad = max(2, mark.size_px // 4)
    return lines_sheet(mark.words, mark.size_px, pad, mark.font, mark.weight)


def _bar(mark: Mark) -> Sheet:
    """Return a bar with its words above, below or right of it, both centred on one another."""
    bar = _ticked(mark)
    if not mark.words:
        return np.pad(bar, 3)
    text = lines_sheet(mark.words, mark.size_px, 1, mark.font, mark.weight)
    gap = max(2, mark.size_px // 5)
    axis = 1 if mark.words_at == "right" else 0
    parts = [text, bar] if mark.words_at == "above" else [bar, text]
    across = max(part.shape[1 - axis] for part in parts)
    parts = [_widened(part, across, 1 - axis) for part in parts]
    shape = (gap, across) if axis == 0 else (across, gap)
    return np.pad(np.concatenate([parts[0], np.zeros(shape, np.uint8), parts[1]], axis=axis), gap)


def _ticked(mark: Mark) -> Sheet:
    if not mark.ends:
        return np.full((mark.thick_px, mark.length_px), 255, np.uint8)
    high = max(3 * mark.thick_px, mark.size_px // 2)
    bar = np.zeros((high, mark.length_px), np.uint8)
    top = (high - mark.thick_px) // 2
    bar[top : top + mark.thick_px] = 255
    bar[:, : mark.thick_px] = bar[:, -mark.thick_px :] = 255
    return bar


def _widened(sheet: Sheet, size: int, axis: int) -> Sheet:
    more = size - sheet.shape[axis]
    pad = [(0, 0), (0, 0)]
    pad[axis] = (more // 2, more - more // 2)
    return np.pad(sheet, pad)


def _strip(mark: Mark, pixels: Pixels, mask: Mask, white: int) -> None:
    """Cover one side of the picture; words and a bar only where there are words."""
    upright = mark.side in ("left", "right")
    breadth = min(mark.size_px, pixels.shape[1 if upright else 0])
    far = {"bottom": pixels.shape[0] - breadth, "right": pixels.shape[1] - breadth}
    start = far.get(mark.side, 0)
    along = slice(start, start + breadth)
    box = np.s_[:, along] if upright else np.s_[along, :]
    pixels[box] = round(white * (1.0 if mark.paper is None else mark.paper))
    mask[box] = True
    if mark.words and not upright:
        _strip_words(mark, pixels[box], white)


def _strip_words(mark: Mark, strip: Pixels, white: int) -> None:
    lines = mark.words.count("\n") + 1
    size = max(6, round(0.62 * strip.shape[0] / lines))
    sheet = lines_sheet(mark.words, size, 1, mark.font, mark.weight)
    ink = round(mark.ink * white)
    lay(strip, sheet, (max(0, (strip.shape[0] - sheet.shape[0]) // 2), size // 2), ink, None)
    bar = np.full((min(mark.thick_px, strip.shape[0]), mark.length_px), 255, np.uint8)
    left = max(0, strip.shape[1] - mark.length_px - size)
    lay(strip, bar, ((strip.shape[0] - bar.shape[0]) // 2, left), ink, None)


def _inset(mark: Mark, pixels: Pixels, mask: Mask, white: int) -> None:
    """Paste a small picture: a diffraction pattern or blots, with a border in the mark's ink."""
    shape = min(mark.size_px, pixels.shape[0]), min(mark.length_px, pixels.shape[1])
    rng = np.random.default_rng(mark.pattern)
    if mark.pattern % 2:
        grey = np.clip(0.6 + 0.25 * fractal(shape, rng, 0.5 * min(shape), 4), 0.0, 1.0)
    else:
        grey = _diffraction(shape, rng)
    edge = min(mark.thick_px, max(1, min(shape) // 8))
    grey[:edge] = grey[-edge:] = mark.ink
    grey[:, :edge] = grey[:, -edge:] = mark.ink
    y, x = _corner(mark, shape, pixels.shape)
    box = np.s_[y : y + shape[0], x : x + shape[1]]
    pixels[box] = np.rint(grey * white).astype(pixels.dtype)
    mask[box] = True


def _diffraction(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a lattice of spots that fade outwards, a beam in the middle, a faint noise."""
    y = np.linspace(-1.0, 1.0, shape[0])[:, None]
    x = np.linspace(-1.0, 1.0, shape[1])[None, :]
    turn, step = rng.uniform(0.0, np.pi), rng.uniform(8.0, 16.0)
    lean = turn + rng.uniform(0.35, 0.5) * np.pi
    rows = np.cos(step * (x * np.cos(turn) + y * np.sin(turn)))
    columns = np.cos(step * (x * np.cos(lean) + y * np.sin(lean)))
    fade = np.exp(-2.0 * (x * x + y * y))
    spots = fade * np.exp(8.0 * (rows + columns - 2.0))
    beam = np.exp(-60.0 * (x * x + y * y))
    grey = spots + beam + 0.1 * fade + 0.04 * rng.random(shape)
    return np.asarray(np.clip(grey, 0.0, 1.0), np.float64)


def _outline(mark: Mark) -> Sheet:
    """Return a rectangle, ellipse, line or arrow in its own box."""
    import cv2

    edge, thick = mark.thick_px, mark.thick_px
    if mark.kind in ("rectangle", "ellipse"):
        height, width = max(mark.size_px, 2 * edge + 2), max(mark.length_px, 2 * edge + 2)
        sheet = np.zeros((height, width), np.uint8)
        if mark.kind == "rectangle":
            cv2.rectangle(sheet, (edge, edge), (width - edge - 1, height - edge - 1), 255, thick)
        else:
            half = (width // 2 - edge, height // 2 - edge)
            cv2.ellipse(sheet, (width // 2, height // 2), half, 0, 0, 360, 255, thick, cv2.LINE_AA)
    else:
        sheet = _directed(mark)
    if mark.dashed:
        y, x = np.indices(sheet.shape)
        sheet[(y + x) // (4 + 2 * thick) % 2 == 1] = 0
    return sheet


def _directed(mark: Mark) -> Sheet:
    import cv2

    turn, pad = np.deg2rad(mark.angle_deg), 2 * mark.thick_px + 4
    head = max(4 * mark.thick_px, 8) if mark.kind == "arrow" else 0
    dx, dy = round(mark.length_px * np.cos(turn)), round(mark.length_px * np.sin(turn))
    sheet = np.zeros((abs(dy) + 2 * (pad + head), abs(dx) + 2 * (pad + head)), np.uint8)
    middle_y, middle_x = sheet.shape[0] // 2, sheet.shape[1] // 2
    start = (middle_x - dx // 2, middle_y - dy // 2)
    end = (start[0] + dx, start[1] + dy)
    if mark.kind == "arrow":
        part = min(head / mark.length_px, 0.6)
        cv2.arrowedLine(sheet, start, end, 255, mark.thick_px, cv2.LINE_AA, 0, part)
    else:
        cv2.line(sheet, start, end, 255, mark.thick_px, cv2.LINE_AA)
    return sheet
