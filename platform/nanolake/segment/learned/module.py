"""The Lightning module: loss and metrics. It knows nothing of what runs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nanolake.segment.learned.network import SegmenterNetwork
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.training import NetworkModule


class SegmenterModule(NetworkModule):
    """Trains `SegmenterNetwork` on batches of (grey (n, 1, h, w), maps (n, 4, h, w))."""

    settings: SegmenterTrainSettings
    network: SegmenterNetwork

    def __init__(self, settings: SegmenterTrainSettings) -> None:
        network = SegmenterNetwork(settings.channels)
        super().__init__(settings, network.to(memory_format=torch.channels_last))

    def forward(self, grey: Tensor) -> Tensor:
        """Return the logits of the three maps."""
        logits: Tensor = self.network(grey.contiguous(memory_format=torch.channels_last))
        return logits

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
