"""The Lightning module: loss, schedule and metrics. It knows nothing of what runs it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from nanolake.segment.learned.network import SegmenterNetwork
from nanolake.segment.learned.settings import SegmenterTrainSettings


class SegmenterModule(pl.LightningModule):
    """Trains `SegmenterNetwork` on batches of (grey (n, 1, h, w), maps (n, 4, h, w))."""

    def __init__(self, settings: SegmenterTrainSettings) -> None:
        super().__init__()
        self.settings = settings
        network = SegmenterNetwork(settings.channels)
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, grey: Tensor) -> Tensor:
        """Return the logits of the three maps."""
        logits: Tensor = self.network(grey.contiguous(memory_format=torch.channels_last))
        return logits

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the mean loss of one batch."""
        loss = self._losses(batch)["loss"]
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        """Log the losses and the overlap of the foreground."""
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
            optimizer, s.learning_rate, total_steps=steps, pct_start=0.1
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        grey, maps = batch
        logits = self(grey).float()
        particle, printed, distance, weight = maps.unbind(1)
        cross = nn.functional.binary_cross_entropy_with_logits
        of_particle = cross(logits[:, 0], particle, weight=weight)
        of_print = cross(logits[:, 1], printed)
        gap = torch.sigmoid(logits[:, 2]) - distance
        of_distance = (
            weight
            * nn.functional.smooth_l1_loss(gap, torch.zeros_like(gap), beta=0.1, reduction="none")
        ).mean()
        s = self.settings
        with torch.no_grad():
            found, true = logits[:, 0] > 0, particle > 0.5
            either = (found | true).sum().clamp(min=1)
            overlap = (found & true).sum() / either
        return {
            "loss": of_particle + s.print_weight * of_print + s.distance_weight * of_distance,
            "particle_loss": of_particle.detach(),
            "print_loss": of_print.detach(),
            "distance_loss": of_distance.detach(),
            "overlap": overlap,
        }
