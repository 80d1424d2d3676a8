"""Whether the shape network says the same of the same particle seen otherwise.

Particles are those that the segmentation finds in simulated micrographs. Seen otherwise means:
picture and label image turned by any angle (the labels by nearest neighbour, so that every edge is
pixelated anew); the picture with black and white exchanged, segmented again; a mask crop in which
the particle fills 0.3
instead of 0.9 of the way to the edge, as another tool might cut it (`cut` itself always fills
0.92); the particle at a third of the magnification, pixelated anew, which takes away what a third
of the pixels cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment import SegmentSettings, segment
from nanolake.shape import ShapePredictor, cut, cut_maps
from nanolake.simulate.any_lab import draw_settings
from nanolake.simulate.micrograph import simulate_micrograph

FIRST_SEED = 70_000_000
"""Of the micrographs: far from those that networks are trained and tested on."""
FRAME_PX, SMALL, LARGE = 64, 0.3, 0.9
LEAST_PX = 12.0
"""Smaller particles are left out, as in the test set."""
Z90 = 1.6448536269514722
Seen = tuple[NDArray[Any], NDArray[Any]]
"""Label image and picture."""


@dataclass(frozen=True)
class Change:
    """Predictions of the same n particles, before and after."""

    name: str
    before: Mapping[str, NDArray[Any]]
    after: Mapping[str, NDArray[Any]]

    def row(self) -> tuple[Any, ...]:
        """Return n, and the shares that stay inside the stated uncertainty of ``before``.

        One standard deviation and the 90 % interval of ln p and L; d: the same, or one that the
        first look gave a tenth at least. Where d changes, p and L of two families of outlines are
        compared: that counts as it comes.
        """
        b, a = self.before, self.after
        apart_p = np.abs(np.log(a["p"]) - np.log(b["p"])) / b["log_p_sd"]
        apart_l = np.abs(a["L_ratio"] - b["L_ratio"]) / b["L_ratio_sd"]
        same = a["d"] == b["d"]
        allowed = b["d_probability"][np.arange(len(same)), a["d"] - 1] >= 0.1
        shares = [
            np.mean(apart_p < 1), np.mean(apart_l < 1), np.mean(same), np.mean(allowed),
            np.mean((apart_p < 1) & (apart_l < 1) & allowed),
            np.mean((apart_p < Z90) & (apart_l < Z90) & allowed),
        ]  # fmt: skip
        return (self.name, f"{len(same):,}", *(f"{100 * share:.1f} %" for share in shares))


HEAD = (
    "seen otherwise", "particles", "ln p within 1 sd", "L within 1 sd", "same d", "d allowed",
    "all within 1 sd", "all within the 90 % interval",
)  # fmt: skip


def changes(predictor: ShapePredictor, micrographs: int) -> list[Change]:
    """Return what each change does to the predictions."""
    found: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for seed in range(FIRST_SEED, FIRST_SEED + micrographs):
        for name, before, after in _looks(seed):
            found.setdefault(name, []).append((before, after))
    return [
        Change(
            name,
            predictor(np.concatenate([before for before, _ in pairs])),
            predictor(np.concatenate([after for _, after in pairs])),
        )
        for name, pairs in found.items()
    ]


def _looks(seed: int) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Yield name, crops before and crops after, row for row the same particle."""
    picture = simulate_micrograph(draw_settings(seed), seed)
    settings = SegmentSettings()
    labels = _large_enough(segment(picture.pixels, settings).labels)
    if not labels.any():
        return
    seen = labels, picture.pixels
    yield ("turned by any angle", *_common(seen, _turned(seen, seed)))
    inverted = picture.pixels.max() - picture.pixels
    other = _renamed(labels, segment(inverted, settings).labels)
    yield ("inverted contrast, segmented again", *_common(seen, (other, inverted)))
    wide, narrow = (cut(labels, fill=fill) for fill in (LARGE, SMALL))
    yield (f"the same mask, filling {SMALL:g} instead of {LARGE:g} of its crop", wide, narrow)
    across = [f"{round(share * FRAME_PX)} px" for share in (SMALL, LARGE)]
    yield (f"drawn again in {across[0]} instead of {across[1]}", *_magnified(labels))


def _large_enough(labels: NDArray[Any]) -> NDArray[np.int32]:
    area = np.bincount(labels.ravel())
    keep = 2.0 * np.sqrt(area / np.pi) >= LEAST_PX
    keep[0] = False
    return np.where(keep[labels], labels, 0).astype(np.int32)


def _turned(seen: Seen, seed: int) -> Seen:
    labels, pixels = seen
    height, width = labels.shape
    angle = float(np.random.default_rng(seed).uniform(0.0, 360.0))
    side = int(np.ceil(np.hypot(height, width))) + 2
    matrix = cv2.getRotationMatrix2D((0.5 * (width - 1), 0.5 * (height - 1)), angle, 1.0)
    matrix[:, 2] += 0.5 * (side - width), 0.5 * (side - height)
    turned = cv2.warpAffine(
        labels.astype(np.float32), matrix, (side, side), flags=cv2.INTER_NEAREST
    ).astype(np.int32)
    around = cv2.warpAffine(
        pixels.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE
    )
    return turned, around


def _common(before: Seen, after: Seen) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the maps of the labels that both label images have."""
    here, there = (np.unique(labels[labels > 0]) for labels, _ in (before, after))
    return _maps(before)[np.isin(here, there)], _maps(after)[np.isin(there, here)]


def _maps(seen: Seen) -> NDArray[np.float32]:
    labels, pixels = seen
    return cut_maps(labels, pixels, cut(labels))


def _renamed(labels: NDArray[Any], other: NDArray[Any]) -> NDArray[np.int32]:
    """Return the masks of ``other`` under the label that each overlaps by half (IoU over 0.5)."""
    width = int(other.max()) + 1
    code, shared = np.unique(labels.ravel().astype(np.int64) * width + other.ravel(),
                             return_counts=True)  # fmt: skip
    a, b = code // width, code % width
    union = np.bincount(labels.ravel())[a] + np.bincount(other.ravel())[b] - shared
    good = (a > 0) & (b > 0) & (shared / union > 0.5)
    renamed = np.zeros(width, np.int32)
    renamed[b[good]] = a[good]
    return renamed[other]


def _magnified(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return crops of every particle drawn 0.9 and 0.3 of a frame across, from its own mask."""
    masks = [_frame(labels == label) for label in np.unique(labels[labels > 0])]
    large, small = (
        np.concatenate([cut(_sampled(mask, fill)) for mask in masks]) for fill in (LARGE, SMALL)
    )
    return large, small


def _frame(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mask's square of the particle's own size, smooth: 256 px across."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    side = max(part.shape)
    square = np.zeros((side + 2, side + 2), np.float32)
    y, x = (side + 2 - part.shape[0]) // 2, (side + 2 - part.shape[1]) // 2
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return cv2.resize(square, (256, 256), interpolation=cv2.INTER_LINEAR)


def _sampled(mask: NDArray[np.float32], fill: float) -> NDArray[np.uint8]:
    """Return the label image of one particle that fills so much of the frame, in its middle."""
    side = round(fill * FRAME_PX)
    small = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA) >= 0.5
    frame = np.zeros((FRAME_PX, FRAME_PX), np.uint8)
    start = (FRAME_PX - side) // 2
    frame[start : start + side, start : start + side] = small
    if not frame.any():  # thinner than a pixel: what is left is its brightest one
        frame[FRAME_PX // 2, FRAME_PX // 2] = 1
    return frame
