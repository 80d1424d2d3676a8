"""Settings of the shape network's training."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from nanolake.settings import Settings


class ShapeTrainSettings(Settings):
    """How the shape network is trained. Equal settings and worker count give equal data."""

    name: str = "nanolake-shape"
    """Name of the registered model."""
    run_name: str = "shape"
    """Name of the run in its folder: started again under the same name, it resumes."""
    seed: int = Field(default=20221, ge=0)
    """Seed of the simulated crystals and of the first weights."""
    epochs: int = Field(default=40, ge=1)
    """Rounds; a checkpoint is written after each."""
    crops_per_epoch: int = Field(default=32_768, ge=16)
    """Crops a round, over all workers."""
    batch_size: int = Field(default=128, ge=2)
    """Crops a step on each worker."""
    learning_rate: float = Field(default=2e-3, gt=0.0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    """AdamW's decay."""
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the dense layer's inputs left out in training."""
    channels: tuple[int, int] = (40, 64)
    """Feature maps of the first convolution and of those after it."""
    hidden: int = Field(default=160, ge=4)
    """Width of the dense layer."""
    crop_px: int = Field(default=64, ge=32, multiple_of=16)
    """Side of a crop."""
    paper_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of crystals with the paper's distribution of p and d; the rest as real particles."""
    micrographs: int = Field(default=4200, ge=1)
    """Micrographs simulated and segmented for crops to learn from, about 17 crops each."""
    harvested_share: float = Field(default=0.7, ge=0.0, le=1.0)
    """Share of those crops in every batch; the rest is drawn afresh, without a micrograph."""
    blind_share: float = Field(default=0.15, ge=0.0, le=1.0)
    """Share of harvested crops that are shown without their picture, as some users have none."""
    harvested: Path | None = None
    """Folder of crops harvested before (``train``, ``validation``, ``test``); made where None."""
    curated: Path | None = None
    """File of curated particles that a selection was exported to."""
    curated_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of curated particles in every batch."""
    validation_crops: int = Field(default=2048, ge=16)
    """Crops of the fixed validation set, split over the workers."""
    test_crops: int = Field(default=13_000, ge=100)
    """Crops of the fixed test set, from micrographs of its own seeds."""
    max_failures: int = Field(default=2, ge=0)
    """How often a lost worker may be replaced; training goes on from the last checkpoint."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.harvested_share + self.curated_share > 1.0:
            raise ValueError(
                f"harvested_share={self.harvested_share} and curated_share={self.curated_share} "
                "are more than the whole batch; lower one"
            )
        return self

    @classmethod
    def short(cls, **changes: object) -> Self:
        """Return settings for a look at the path: 90 s on two cores, poor weights.

        Registered under a name of its own: the champion that inference uses stays as it is.
        """
        values: dict[str, object] = {
            "name": "nanolake-shape-short",
            "run_name": "shape-short",
            "epochs": 2,
            "crops_per_epoch": 4096,
            "micrographs": 40,
            "validation_crops": 128,
            "test_crops": 300,
        }
        return cls.build({**values, **changes})
