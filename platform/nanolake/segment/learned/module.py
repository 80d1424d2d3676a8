"""The Lightning module: loss and metrics. It knows nothing of what runs it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nanolake.segment.learned.network import SegmenterNetwork
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.training import NetworkModule


class SegmenterModule(NetworkModule):
    """Trains `SegmenterNetwork` on batches of (grey (n, 1, h, w), maps (n, 5, h, w))."""

    settings: SegmenterTrainSettings
    network: SegmenterNetwork

    def __init__(self, settings: SegmenterTrainSettings) -> None:
        network = SegmenterNetwork(settings.channels)
        super().__init__(settings, network.to(memory_format=torch.channels_last))

    def forward(self, grey: Tensor) -> Tensor:
        """Return the logits of the maps."""
        logits: Tensor = self.network(grey.contiguous(memory_format=torch.channels_last))
        return logits

    def _losses(self, batch: list[Tensor]) -> dict[str, Tensor]:
        grey, maps = batch
        logits = self(grey).float()
        particle, printed, distance, further, weight = maps.unbind(1)
        cross = nn.functional.binary_cross_entropy_with_logits
        of_particle = cross(logits[:, 0], particle, weight=weight)
        of_print = cross(logits[:, 1], printed)
        of_overlap = cross(logits[:, 3], further, weight=weight)
        gap = torch.sigmoid(logits[:, 2]) - distance
        of_distance = (
            weight
            * nn.functional.smooth_l1_loss(gap, torch.zeros_like(gap), beta=0.1, reduction="none")
        ).mean()
        s = self.settings
        with torch.no_grad():
            found, true = logits[:, 0] > 0, particle > 0.5
            either = (found | true).sum().clamp(min=1)
            iou = (found & true).sum() / either
        return {
            "loss": of_particle
            + s.print_weight * of_print
            + s.distance_weight * of_distance
            + s.overlap_weight * of_overlap,
            "particle_loss": of_particle.detach(),
            "print_loss": of_print.detach(),
            "distance_loss": of_distance.detach(),
            "overlap_loss": of_overlap.detach(),
            "iou": iou,
        }


def with_further_maps(read: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Let the maps that an older network (``read``) does not give start from the weights ``own``.

    Changes ``read``. Maps are blocks of the last layer's rows, new ones at its end.
    """
    for name in ("network.head.weight", "network.head.bias"):
        if name in read and len(read[name]) < len(own[name]):
            read[name] = torch.cat([read[name], own[name][len(read[name]) :]])
