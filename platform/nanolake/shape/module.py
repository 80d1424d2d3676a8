"""The Lightning module: loss, schedule and metrics. It knows nothing of what runs it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from nanolake.shape.network import ShapeNetwork, read_out
from nanolake.shape.settings import ShapeTrainSettings


class ShapeModule(pl.LightningModule):
    """Trains `ShapeNetwork` on batches of (crops, log_p, d - 1, L_ratio)."""

    def __init__(self, settings: ShapeTrainSettings) -> None:
        super().__init__()
        self.settings = settings
        self.network = ShapeNetwork(
            crop_px=settings.crop_px,
            channels=settings.channels,
            hidden=settings.hidden,
            dropout=settings.dropout,
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Return the raw outputs for crops (n, size, size)."""
        raw: Tensor = self.network(crops.unsqueeze(1))
        return raw

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        """Return the mean loss of one batch."""
        loss = self._losses(batch)["loss"]
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        """Log loss, errors and the share of right d."""
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
            optimizer, s.learning_rate, total_steps=steps, pct_start=0.15
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        crops, log_p, d_index, l_ratio = batch
        logits, p_mean, p_sd, l_mean, l_sd = read_out(self(crops))
        true_d = d_index[:, None]
        p_mean, p_sd, l_mean, l_sd = (
            t.gather(1, true_d).squeeze(1) for t in (p_mean, p_sd, l_mean, l_sd)
        )
        loss = nn.functional.cross_entropy(logits, d_index)
        loss = loss + _tempered_nll(p_mean, p_sd, log_p) + _tempered_nll(l_mean, l_sd, l_ratio)
        return {
            "loss": loss,
            "d_accuracy": (logits.argmax(1) == d_index).float().mean(),
            "log_p_rmse": (p_mean - log_p).square().mean().sqrt(),
            "l_ratio_rmse": (l_mean - l_ratio).square().mean().sqrt(),
        }


def _tempered_nll(mean: Tensor, sd: Tensor, truth: Tensor) -> Tensor:
    """Return the Gaussian negative log likelihood, each term weighted by its sd (beta = 0.5).

    The weight keeps the mean learning where the sd is large (Seitzer et al. 2022, beta-NLL).
    """
    z = (truth - mean) / sd
    return (sd.detach() * (0.5 * z.square() + sd.log())).mean()
