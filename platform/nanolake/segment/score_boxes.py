"""Score a label image against axis-aligned boxes drawn by hand, instance by instance.

A box says that a particle is there and about how large it is, not where its outline runs: this
score tells nothing about sizes. As in `nanolake.segment.score`, what touches the picture's border
is neither rewarded nor punished.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.segment.score import Counts

BOX_THRESHOLDS = (0.5, 0.3)
"""The overlaps of boxes (intersection over union) at which a match counts."""

Boxes = NDArray[np.float64]

_EDGE_PX = 1.0


def score_boxes(boxes: NDArray[np.floating], labels: NDArray[np.integer]) -> Counts:
    """Match the boxes of found instances with hand-drawn boxes one to one, and count.

    Parameters
    ----------
    boxes
        (n, 4) true boxes (top, left, bottom, right) in px of ``labels``. Coordinates are those of
        pixel edges, the origin is the top left corner of the picture: the pixel in row 3 reaches
        from 3 to 4. See `yolo_boxes`.
    labels
        (y, x) label image, any integer type; 0 is background. Gaps in the numbers are allowed.

    Returns
    -------
    Counts
        With the levels `BOX_THRESHOLDS`.

    Raises
    ------
    PictureError
        ``not_an_image`` unless ``labels`` is two-dimensional and whole-numbered; ``unreadable``
        unless every box is finite and at least as far right and down at its end as at its start.

    Notes
    -----
    Pairs are taken greedily, the largest overlap first, each box once; so the matches at the
    higher level are among those at the lower. Left out are true boxes within 1 px of the border,
    found instances that touch it, and found boxes of which more than half lies in one left-out
    true box.
    """
    drawn = _checked(boxes, labels)
    found, cut = _found_boxes(labels)
    at_border = _at_border(drawn, labels.shape)
    shared = _shared_area(drawn[at_border], found)
    cut |= (shared > 0.5 * _areas(found)).any(axis=0)
    truth, found = drawn[~at_border], found[~cut]
    iou = _iou(truth, found)
    kept = _greedy(iou, min(BOX_THRESHOLDS))
    return Counts(
        truth=len(truth),
        found=len(found),
        matched=tuple(int((kept >= level).sum()) for level in BOX_THRESHOLDS),
    )


def pool_boxes(counts: Iterable[Counts]) -> Counts:
    """Add up the counts of several pictures: every particle weighs the same."""
    items = list(counts)
    levels = range(len(BOX_THRESHOLDS))
    return Counts(
        truth=sum(item.truth for item in items),
        found=sum(item.found for item in items),
        matched=tuple(sum(item.matched[level] for item in items) for level in levels),
    )


def yolo_boxes(rows: NDArray[np.floating], shape: tuple[int, int]) -> Boxes:
    """Boxes (top, left, bottom, right) in px from YOLO rows (class, x, y, width, height).

    ``rows`` is (n, 5), the box's centre and size relative to the picture; ``shape`` is the
    picture's (height, width) in px.
    """
    x, y, width, height = np.asarray(rows, dtype=float).reshape(-1, 5)[:, 1:].T
    corners = np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=1)
    return np.asarray(corners * np.array([*shape, *shape], dtype=float))


def _checked(boxes: NDArray[np.floating], labels: NDArray[np.integer]) -> Boxes:
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise PictureError(
            "not_an_image",
            f"labels of shape {labels.shape} and type {labels.dtype} are no label image; "
            "give a two-dimensional array of whole numbers",
        )
    exact: Boxes = np.array(boxes, dtype=np.float64)
    exact = exact.reshape(-1, 4) if exact.size == 0 else exact
    if exact.ndim != 2 or exact.shape[1] != 4:
        raise PictureError("unreadable", f"boxes of shape {exact.shape} are not (n, 4)")
    wrong = ~np.isfinite(exact).all(axis=1) | (exact[:, 2:] < exact[:, :2]).any(axis=1)
    if wrong.any():
        raise PictureError(
            "unreadable",
            f"box {int(np.argmax(wrong))}, {exact[wrong][0].tolist()}, is none; "
            "give (top, left, bottom, right) in px",
        )
    return exact


def _found_boxes(labels: NDArray[np.integer]) -> tuple[Boxes, NDArray[np.bool_]]:
    """Bounding box of each label, and whether it touches the picture's border."""
    from scipy.ndimage import find_objects

    wide = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    wide = wide if (labels == 0).any() else wide + 1
    boxes = [(rows.start, cols.start, rows.stop, cols.stop) for rows, cols in find_objects(wide)]
    found = np.array(boxes, dtype=float).reshape(-1, 4)
    return found, _at_border(found, labels.shape, margin_px=0.0)


def _at_border(
    boxes: Boxes, shape: tuple[int, ...], margin_px: float = _EDGE_PX
) -> NDArray[np.bool_]:
    near = (boxes[:, :2] <= margin_px).any(axis=1)
    return np.asarray(near | (boxes[:, 2:] >= np.array(shape) - margin_px).any(axis=1))


def _areas(boxes: Boxes) -> Boxes:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _shared_area(one: Boxes, other: Boxes) -> Boxes:
    """Area (px²) that each box shares with each of the other ones, (n, m)."""
    start = np.maximum(one[:, None, :2], other[None, :, :2])
    stop = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return np.asarray(np.clip(stop - start, 0, None).prod(axis=2))


def _iou(one: Boxes, other: Boxes) -> Boxes:
    shared = _shared_area(one, other)
    union = _areas(one)[:, None] + _areas(other)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-12))


def _greedy(iou: Boxes, least: float) -> Boxes:
    """Overlaps of the pairs taken one after the other, the largest first."""
    rows, columns = np.nonzero(iou >= least)
    order = np.argsort(-iou[rows, columns], kind="stable")
    free_row, free_column = np.ones(iou.shape[0], bool), np.ones(iou.shape[1], bool)
    taken = []
    for row, column in zip(rows[order], columns[order], strict=True):
        if free_row[row] and free_column[column]:
            free_row[row] = free_column[column] = False
            taken.append(iou[row, column])
    return np.array(taken, dtype=float)
