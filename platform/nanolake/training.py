"""What the training of every network shares: one schedule, one log, rounds that can be resumed.

It imports torch, so only the modules that train a network may import it (a contract in
``pyproject.toml``); it knows no network and no engine.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset


class TrainSettings(Protocol):
    """The settings that every training has."""

    @property
    def seed(self) -> int:
        """Seed of the simulated data and of the first weights."""

    @property
    def crops_per_epoch(self) -> int:
        """Crops a round, over all workers."""

    @property
    def batch_size(self) -> int:
        """Crops a step on each worker."""

    @property
    def learning_rate(self) -> float:
        """Peak of the one-cycle schedule."""

    @property
    def weight_decay(self) -> float:
        """AdamW's decay."""


class NetworkModule(pl.LightningModule):
    """Trains ``network``; a subclass says what it makes of a batch (`forward`, `_losses`)."""

    warm_up: ClassVar[float] = 0.1
    """Share of the steps in which the learning rate rises."""

    def __init__(self, settings: TrainSettings, network: torch.nn.Module) -> None:
        super().__init__()
        self.settings = settings
        self.network = network

    def _losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        """Return ``loss``, which is made small, and whatever else is worth a curve."""
        raise NotImplementedError

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the mean loss of one batch."""
        loss = self._losses(batch)["loss"]
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        """Log everything that `_losses` knows of a batch."""
        values = {f"val_{name}": value for name, value in self._losses(batch).items()}
        self.log_dict(values, sync_dist=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> dict[str, Any]:
        """Return AdamW under a one-cycle schedule over the whole run."""
        s = self.settings
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay
        )
        steps = max(2, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, s.learning_rate, total_steps=steps, pct_start=self.warm_up
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class RoundsData(pl.LightningDataModule):
    """Feeds every worker its own crops, others in every round, the same after a resume."""

    def __init__(self, settings: TrainSettings) -> None:
        super().__init__()
        self.settings = settings

    def training_set(
        self, seed: tuple[int, int, int], batches: int
    ) -> IterableDataset[list[Tensor]]:
        """Return one worker's batches of one round; ``seed`` is (run, round, worker)."""
        raise NotImplementedError

    def validation_set(self, worker: int, workers: int) -> IterableDataset[list[Tensor]]:
        """Return one worker's share of the fixed validation set."""
        raise NotImplementedError

    def train_dataloader(self) -> DataLoader[list[Tensor]]:
        """Return this round's loader; the trainer must reload loaders every epoch."""
        trainer, s = self._trainer(), self.settings
        batches = max(1, s.crops_per_epoch // (s.batch_size * trainer.world_size))
        seed = (s.seed, trainer.current_epoch, trainer.global_rank)
        return DataLoader(self.training_set(seed, batches), batch_size=None)

    def val_dataloader(self) -> DataLoader[list[Tensor]]:
        """Return the loader of this worker's share of the validation set."""
        trainer = self._trainer()
        held = self.validation_set(trainer.global_rank, trainer.world_size)
        return DataLoader(held, batch_size=None)

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None, "loaders are made by a running trainer"
        return self.trainer
