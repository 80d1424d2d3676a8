"""The Lightning module: loss and metrics. It knows nothing of what runs it."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from nanolake.shape.network import ShapeNetwork, read_out
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.training import NetworkModule


class ShapeModule(NetworkModule):
    """Trains `ShapeNetwork` on batches of (maps, log_p, d - 1, L_ratio)."""

    warm_up: ClassVar[float] = 0.15
    network: ShapeNetwork

    def __init__(self, settings: ShapeTrainSettings) -> None:
        network = ShapeNetwork(
            crop_px=settings.crop_px,
            channels=settings.channels,
            hidden=settings.hidden,
            dropout=settings.dropout,
        )
        super().__init__(settings, network)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the raw outputs for maps (n, 3, size, size)."""
        raw: Tensor = self.network(maps)
        return raw

    def _losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        maps, log_p, d_index, l_ratio = batch
        logits, p_mean, p_sd, l_mean, l_sd = read_out(self(maps))
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
