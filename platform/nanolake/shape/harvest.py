"""Crops of known shape cut from segmented micrographs: what the lake's masks really look like.

A segmentation moves edges, closes gaps, merges neighbours; a network that learns from ideal
outlines meets none of that. So crystals are simulated in whole micrographs, found by the
segmentation that the lake uses, and cut by `crops.cut`; the truth is that of the crystal below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import ModelError, SettingsError
from nanolake.shape.surroundings import maps_of
from nanolake.simulate.crystal import Triples
from nanolake.simulate.truth import SimulatedMicrograph

FOUND_IOU = 0.5
"""A mask is a crystal's where it overlaps the crystal's part of the label map so well."""
VISIBLE = 0.7
"""Crystals that keep less of themselves in the label map are left out (overlaps, print)."""
LEAST_PX = 12.0
"""Masks of a smaller equivalent diameter are left out."""


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """n crops and the truth of each; arrays of length n."""

    crops: NDArray[np.uint8]
    """(n, size, size) 0 … 255: covered share of each crop pixel (`crops.cut`)."""
    around: NDArray[np.uint8]
    """(n, 2, size, size) 0 … 255: grey and others of the same crops (`surroundings.cut_maps`)."""
    p: NDArray[np.float64]
    d: NDArray[np.int64]
    l_ratio: NDArray[np.float64]
    size_px: NDArray[np.float64]
    """Equivalent circular diameter of the mask in pixels of its micrograph."""
    iou: NDArray[np.float64]
    """Intersection over union of the mask and the crystal's part of the label map."""
    visible: NDArray[np.float64]
    """Share of the crystal that is its own in the label map."""
    seed: NDArray[np.int64]
    """Seed of its micrograph."""

    def __len__(self) -> int:
        return len(self.p)

    @property
    def truth(self) -> Triples:
        """The true triples."""
        return Triples(p=self.p, d=self.d, l_ratio=self.l_ratio)

    @classmethod
    def joined(cls, parts: Sequence[Harvest]) -> Self:
        """Return the parts one after another."""
        names = [field.name for field in fields(cls)]
        return cls(**{n: np.concatenate([getattr(part, n) for part in parts]) for n in names})

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return all crops of a folder's ``.npz`` files; raises `SettingsError` where none is."""
        files = sorted(folder.glob("*.npz"))
        if not files:
            raise SettingsError(f"harvested: {folder} holds no .npz file; harvest crops first")
        return cls.joined([cls.load(file) for file in files])

    def take(self, rows: NDArray[np.int64] | slice) -> Harvest:
        """Return the crops of ``rows``."""
        return Harvest(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def maps(self, rows: NDArray[Any] | slice = slice(None)) -> NDArray[np.float32]:
        """Return the maps (n, 3, size, size) in 0 … 1 of `surroundings.cut_maps`, of ``rows``."""
        joined = np.concatenate([self.crops[rows][:, None], self.around[rows]], axis=1)
        return joined.astype(np.float32) / np.float32(255.0)

    def first(self, count: int) -> Harvest:
        """Return the first ``count`` crops."""
        return self.take(slice(count))

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file; under its name it is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        writing = path.with_suffix(".writing")
        with writing.open("wb") as file:
            np.savez_compressed(file, **{f.name: getattr(self, f.name) for f in fields(self)})
        writing.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `ModelError` where it is not that."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{field.name: file[field.name] for field in fields(cls)})
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ModelError(f"{path} holds no harvested crops: {error}") from None


def harvest(picture: SimulatedMicrograph, labels: NDArray[Any], *, crop_px: int) -> Harvest:
    """Cut the crystals of a simulated micrograph by the masks that a segmentation found.

    ``labels`` (y, x) integers of the picture's shape, 0 background. A mask is given the truth of
    the crystal that it overlaps with an IoU over `FOUND_IOU`; masks of nothing, of crystals cut by
    border or print, of hidden and of tiny ones are left out.
    """
    truth, masks, iou = _pairs(picture.labels, labels)
    known = picture.particles
    area_of = np.bincount(labels.ravel())
    size_px = 2.0 * np.sqrt(area_of[masks] / np.pi)
    row = truth - 1
    keep = (size_px >= LEAST_PX) & (known["visible_fraction"][row] >= VISIBLE)
    keep &= ~known["touches_border"][row] & ~known["touches_print"][row]
    keep &= np.isfinite(known["p"][row])
    row, masks = row[keep], masks[keep]
    order = np.argsort(masks)  # crops come by rising label
    row, iou, size_px = row[order], iou[keep][order], size_px[keep][order]
    maps = np.rint(255.0 * maps_of(labels, picture.pixels, masks, size=crop_px)).astype(np.uint8)
    return Harvest(
        crops=maps[:, 0],
        around=maps[:, 1:],
        p=known["p"][row],
        d=known["d"][row].astype(np.int64),
        l_ratio=known["l_ratio"][row],
        size_px=size_px,
        iou=iou,
        visible=known["visible_fraction"][row],
        seed=np.full(row.size, picture.seed, np.int64),
    )


def _pairs(
    truth: NDArray[Any], found: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return label of truth, label found and IoU of every pair over `FOUND_IOU` (so one to one)."""
    both = np.flatnonzero((truth.ravel() > 0) & (found.ravel() > 0))
    width = int(found.max(initial=0)) + 1
    code, shared = np.unique(
        truth.ravel()[both].astype(np.int64) * width + found.ravel()[both], return_counts=True
    )
    a, b = code // width, code % width
    area_a, area_b = np.bincount(truth.ravel()), np.bincount(found.ravel())
    iou = shared / (area_a[a] + area_b[b] - shared)
    good = iou > FOUND_IOU
    return a[good], b[good], iou[good]
