"""Training data: harvested crops, freshly drawn crystals and curated particles, mixed in batches."""

from __future__ import annotations

from collections.abc import Iterator
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
from nanolake.simulate.crystal import Triples, draw_triples, label_strip
from nanolake.training import RoundsData

_TRAIN, _VALIDATION = 1, 2
Known = tuple[NDArray[np.uint8], Triples]
"""Crops (n, size, size) 0 … 255 and the triple of each."""


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
        harvested: Known | None,
        curated: Known | None,
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
            parts = [_drawn(rng, pool, count) for pool, count in self.pools]
            fresh = self.settings.batch_size - sum(count for _, count in self.pools)
            if fresh > 0:
                parts.append(_fresh(rng, fresh, self.settings))
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
        rows = np.arange(worker, len(known[1]), workers)
        return FixedCrops(_rows(known, rows), self.settings.batch_size)


class FixedCrops(IterableDataset[list[Tensor]]):
    """The same batches in every round; what does not fill a batch is left out, but for the first."""

    def __init__(self, known: tuple[NDArray[np.float32], Triples], batch_size: int) -> None:
        self.known, self.batch_size = known, batch_size

    def __len__(self) -> int:
        return max(1, len(self.known[1]) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        crops, t = self.known
        for index in range(len(self)):
            rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
            part = Triples(p=t.p[rows], d=t.d[rows], l_ratio=t.l_ratio[rows])
            yield _tensors([(crops[rows], part)])


@lru_cache(maxsize=2)
def _harvested(folder: Path) -> Known:
    """Return all crops of a folder of harvests, read once a process."""
    found = Harvest.of_folder(folder)
    return found.crops, found.truth


@lru_cache(maxsize=2)
def _curated(path: Path, crop_px: int) -> Known:
    """Return the crops and triples that a selection of the lake was exported to."""
    try:
        with np.load(path, allow_pickle=False) as file:
            crops = file["crops"]
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
    return crops, truth


def _validation(settings: ShapeTrainSettings) -> Known:
    """Return the fixed validation crops: harvested ones where there are any, else drawn ones."""
    if settings.harvested is not None:
        crops, truth = _harvested(settings.harvested / "validation")
        count = min(settings.validation_crops, len(truth))
        rows = np.arange(count)
        return crops[rows], Triples(p=truth.p[rows], d=truth.d[rows], l_ratio=truth.l_ratio[rows])
    drawn, truth = _fresh(np.random.default_rng(_VALIDATION), settings.validation_crops, settings)
    return np.rint(255.0 * drawn).astype(np.uint8), truth


def _fresh(
    rng: np.random.Generator, count: int, settings: ShapeTrainSettings
) -> tuple[NDArray[np.float32], Triples]:
    """Draw crystals, wear them as a segmenter might, and cut them."""
    truth = draw_triples(rng, count, paper_share=settings.paper_share)
    return cut(label_strip(rng, truth), size=settings.crop_px), truth


def _drawn(
    rng: np.random.Generator, pool: Known, count: int
) -> tuple[NDArray[np.float32], Triples]:
    """Take ``count`` crops at random, each in one of its eight right-angled poses."""
    crops, truth = _rows(pool, rng.integers(0, len(pool[1]), count))
    turns = rng.integers(0, 4, count)
    mirrored = rng.random(count) < 0.5
    for pose in range(4):
        rows = turns == pose
        crops[rows] = np.rot90(crops[rows], pose, axes=(1, 2))
    crops[mirrored] = crops[mirrored][:, :, ::-1]
    return crops, truth


def _rows(pool: Known, rows: NDArray[Any]) -> tuple[NDArray[np.float32], Triples]:
    crops, truth = pool
    chosen = Triples(p=truth.p[rows], d=truth.d[rows], l_ratio=truth.l_ratio[rows])
    return crops[rows].astype(np.float32) / 255.0, chosen


def _tensors(parts: list[tuple[NDArray[np.float32], Triples]]) -> list[Tensor]:
    return [
        torch.from_numpy(np.concatenate([crops for crops, _ in parts])),
        torch.from_numpy(np.log(np.concatenate([t.p for _, t in parts])).astype(np.float32)),
        torch.from_numpy(np.concatenate([t.d for _, t in parts]) - 1),
        torch.from_numpy(np.concatenate([t.l_ratio for _, t in parts]).astype(np.float32)),
    ]
