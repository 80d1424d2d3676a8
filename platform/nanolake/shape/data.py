"""Training data: harvested crops, crystals drawn afresh and curated particles in one batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from nanolake.errors import ModelError
from nanolake.shape.crops import cut
from nanolake.shape.harvest import Harvest
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.shape.surroundings import unknown
from nanolake.simulate.crystal import Triples, draw_triples, label_strip
from nanolake.training import RoundsData

_TRAIN, _VALIDATION = 1, 2
_SIZE_BANDS = 12


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Crops (n, size, size) uint8 0 … 255, their triples, and how likely each is to be taken."""

    crops: NDArray[np.uint8]
    around: NDArray[np.uint8] | None
    """(n, 2, size, size) grey and others; None: no picture is known (`surroundings.unknown`)."""
    truth: Triples
    cumulative: NDArray[np.float64]
    """(n,) rising to 1: the chance to take a crop up to this one."""

    @classmethod
    def even(
        cls, crops: NDArray[np.uint8], around: NDArray[np.uint8] | None, truth: Triples
    ) -> Pool:
        """Return a pool in which every crop is as likely."""
        cumulative = np.arange(1, len(truth) + 1) / len(truth)
        return cls(crops=crops, around=around, truth=truth, cumulative=cumulative)

    def draw(
        self, rng: np.random.Generator, count: int, *, blind: float
    ) -> tuple[NDArray[np.float32], Triples]:
        """Take the maps of ``count`` crops at random, each in one of its eight right-angled poses.

        A share ``blind`` of them is shown without their picture.
        """
        rows = np.searchsorted(self.cumulative, rng.random(count), side="right")
        maps, truth = self.take(np.minimum(rows, len(self.truth) - 1))
        turns = rng.integers(0, 4, count)
        mirrored = rng.random(count) < 0.5
        for pose in range(4):
            maps[turns == pose] = np.rot90(maps[turns == pose], pose, axes=(2, 3))
        maps[mirrored] = maps[mirrored][:, :, :, ::-1]
        unseen = rng.random(count) < blind
        maps[unseen] = unknown(maps[unseen, 0])
        return maps, truth

    def take(self, rows: NDArray[Any]) -> tuple[NDArray[np.float32], Triples]:
        """Return the maps of ``rows`` as float32 in 0 … 1 and their triples."""
        t = self.truth
        chosen = Triples(p=t.p[rows], d=t.d[rows], l_ratio=t.l_ratio[rows])
        masks = self.crops[rows].astype(np.float32) / np.float32(255.0)
        maps = unknown(masks)
        if self.around is not None:
            maps[:, 1:] = self.around[rows].astype(np.float32) / np.float32(255.0)
        return maps, chosen


class MixedCrops(IterableDataset[list[Tensor]]):
    """Batches for training; ``seed`` tells run, epoch and worker apart.

    Of every batch a share is taken from ``harvested`` and from ``curated``, mirrored and turned by
    right angles at random (mirror images have the same triple); the rest is drawn afresh.
    """

    def __init__(
        self,
        settings: ShapeTrainSettings,
        seed: tuple[int, ...],
        batches: int,
        *,
        harvested: Pool | None,
        curated: Pool | None,
    ) -> None:
        self.settings, self.seed, self.batches = settings, seed, batches
        self.pools = [
            (pool, round(share * settings.batch_size))
            for pool, share in (
                (curated, settings.curated_share),
                (harvested, settings.harvested_share),
            )
            if pool is not None
        ]

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Tensor]]:
        for index in range(self.batches):
            rng = np.random.default_rng((*self.seed, index))
            blind = self.settings.blind_share
            parts = [pool.draw(rng, count, blind=blind) for pool, count in self.pools]
            fresh = self.settings.batch_size - sum(count for _, count in self.pools)
            if fresh > 0:
                parts.append(drawn_crops(rng, fresh, self.settings))
            yield _tensors(parts)


class ShapeData(RoundsData):
    """Feeds every worker its own crops, others in every round, the same after a resume."""

    settings: ShapeTrainSettings

    def training_set(self, seed: tuple[int, int, int], batches: int) -> MixedCrops:
        """Return one worker's batches of one round; ``seed`` is (run, round, worker)."""
        s = self.settings
        return MixedCrops(
            s,
            (_TRAIN, *seed),
            batches,
            harvested=_harvested(s.harvested / "train") if s.harvested else None,
            curated=_curated(s.curated, s.crop_px) if s.curated else None,
        )

    def validation_set(self, worker: int, workers: int) -> FixedCrops:
        """Return one worker's share of the fixed validation crops."""
        known = _validation(self.settings)
        rows = np.arange(worker, len(known.truth), workers)
        return FixedCrops(known.take(rows), self.settings.batch_size)


class FixedCrops(IterableDataset[list[Tensor]]):
    """The same batches in every round; a rest that does not fill a batch is left out."""

    def __init__(self, known: tuple[NDArray[np.float32], Triples], batch_size: int) -> None:
        self.known, self.batch_size = known, batch_size

    def __len__(self) -> int:
        return max(1, len(self.known[1]) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        maps, t = self.known
        for index in range(len(self)):
            rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
            part = Triples(p=t.p[rows], d=t.d[rows], l_ratio=t.l_ratio[rows])
            yield _tensors([(maps[rows], part)])


@lru_cache(maxsize=2)
def _harvested(folder: Path) -> Pool:
    """Return all crops of a folder of harvests, read once a process.

    Small crystals are the most in any picture; crops are taken as evenly over the logarithm of
    their size as the folder allows.
    """
    found = Harvest.of_folder(folder)
    edges = np.histogram_bin_edges(np.log(found.size_px), _SIZE_BANDS)
    band = np.digitize(np.log(found.size_px), edges[1:-1])
    weight = 1.0 / np.bincount(band, minlength=_SIZE_BANDS)[band]
    cumulative = np.cumsum(weight) / weight.sum()
    return Pool(crops=found.crops, around=found.around, truth=found.truth, cumulative=cumulative)


@lru_cache(maxsize=2)
def _curated(path: Path, crop_px: int) -> Pool:
    """Return the crops and triples that a selection of the lake was exported to.

    Files of nanolake 0.3 hold masks alone.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            crops = file["crops"]
            around = file.get("around")
            truth = Triples(
                p=file["p"].astype(float),
                d=file["d"].astype(np.int64),
                l_ratio=file["l_ratio"].astype(float),
            )
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(f"curated: {path} holds no exported particles: {error}") from None
    if crops.shape != (len(truth), crop_px, crop_px) or crops.dtype != np.uint8 or not len(truth):
        raise ModelError(
            f"curated: {path} holds crops {crops.dtype} {crops.shape} for {len(truth)} triples; "
            f"training takes uint8 (n, {crop_px}, {crop_px}), n of 1 or more"
        )
    return Pool.even(crops, around, truth)


def _validation(settings: ShapeTrainSettings) -> Pool:
    """Return the fixed validation crops: harvested ones where there are any, else drawn ones."""
    if settings.harvested is not None:
        found = Harvest.of_folder(settings.harvested / "validation").first(
            settings.validation_crops
        )
        return Pool.even(found.crops, found.around, found.truth)
    drawn, truth = drawn_crops(
        np.random.default_rng(_VALIDATION), settings.validation_crops, settings
    )
    return Pool.even(np.rint(255.0 * drawn[:, 0]).astype(np.uint8), None, truth)


def drawn_crops(
    rng: np.random.Generator, count: int, settings: ShapeTrainSettings
) -> tuple[NDArray[np.float32], Triples]:
    """Draw crystals, wear them as a segmenter might, and cut them: maps without a picture."""
    truth = draw_triples(rng, count, paper_share=settings.paper_share)
    return unknown(cut(label_strip(rng, truth), size=settings.crop_px)), truth


def _tensors(parts: list[tuple[NDArray[np.float32], Triples]]) -> list[Tensor]:
    return [
        torch.from_numpy(np.concatenate([maps for maps, _ in parts])),
        torch.from_numpy(np.log(np.concatenate([t.p for _, t in parts])).astype(np.float32)),
        torch.from_numpy(np.concatenate([t.d for _, t in parts]) - 1),
        torch.from_numpy(np.concatenate([t.l_ratio for _, t in parts]).astype(np.float32)),
    ]
