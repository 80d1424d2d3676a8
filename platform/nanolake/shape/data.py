"""Training data: crystals simulated on the fly, cut by the same function as real particles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from nanolake.shape.crops import cut
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.simulate.crystal import Triples, draw_triples, label_strip

_TRAIN, _VALIDATION, _TEST = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class SimulatedSet:
    """Crops (n, size, size) float32 of simulated crystals and their true triples."""

    crops: NDArray[np.float32]
    truth: Triples


def simulate_set(
    seed: tuple[int, ...], count: int, *, crop_px: int, paper_share: float
) -> SimulatedSet:
    """Draw ``count`` crystals, wear them as a segmenter would, and cut them; fixed by ``seed``."""
    rng = np.random.default_rng(seed)
    truth = draw_triples(rng, count, paper_share=paper_share)
    return SimulatedSet(crops=cut(label_strip(rng, truth), size=crop_px), truth=truth)


def fixed_test_set(settings: ShapeTrainSettings) -> SimulatedSet:
    """Return the test set: its seed does not depend on the training's."""
    return simulate_set(
        (_TEST, 0),
        settings.test_crops,
        crop_px=settings.crop_px,
        paper_share=settings.paper_share,
    )


class SimulatedCrops(IterableDataset[list[Tensor]]):
    """Batches of fresh crystals; ``seed`` tells run, purpose, epoch and worker apart."""

    def __init__(self, settings: ShapeTrainSettings, seed: tuple[int, ...], batches: int) -> None:
        self.settings, self.seed, self.batches = settings, seed, batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Tensor]]:
        s = self.settings
        for index in range(self.batches):
            drawn = simulate_set(
                (*self.seed, index), s.batch_size, crop_px=s.crop_px, paper_share=s.paper_share
            )
            yield _tensors(drawn)


class ShapeData(pl.LightningDataModule):
    """Feeds every worker its own crystals, others in every epoch, the same after a resume."""

    def __init__(self, settings: ShapeTrainSettings) -> None:
        super().__init__()
        self.settings = settings

    def train_dataloader(self) -> DataLoader[list[Tensor]]:
        """Return this epoch's loader; the trainer must reload loaders every epoch."""
        trainer, s = self._trainer(), self.settings
        batches = max(1, s.crops_per_epoch // (s.batch_size * trainer.world_size))
        seed = (_TRAIN, s.seed, trainer.current_epoch, trainer.global_rank)
        return DataLoader(SimulatedCrops(s, seed, batches), batch_size=None)

    def val_dataloader(self) -> DataLoader[list[Tensor]]:
        """Return this worker's share of the fixed validation crops."""
        trainer, s = self._trainer(), self.settings
        batches = max(1, s.validation_crops // (s.batch_size * trainer.world_size))
        seed = (_VALIDATION, 0, trainer.global_rank)
        return DataLoader(SimulatedCrops(s, seed, batches), batch_size=None)

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None, "loaders are made by a running trainer"
        return self.trainer


def _tensors(drawn: SimulatedSet) -> list[Tensor]:
    return [
        torch.from_numpy(drawn.crops),
        torch.from_numpy(np.log(drawn.truth.p).astype(np.float32)),
        torch.from_numpy(drawn.truth.d - 1),
        torch.from_numpy(drawn.truth.l_ratio.astype(np.float32)),
    ]
