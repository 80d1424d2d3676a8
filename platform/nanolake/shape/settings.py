"""Settings of the shape network's training."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from nanolake.settings import Settings


class ShapeTrainSettings(Settings):
    """How the shape network is trained. Equal settings and worker count give equal data."""

    name: str = "nanolake-shape"
    """Name of the registered model."""
    run_name: str = "shape"
    """Name of the run in its folder: started again under the same name, it resumes."""
    seed: int = Field(default=20221, ge=0)
    """Seed of the simulated crystals and of the first weights."""
    epochs: int = Field(default=18, ge=1)
    """Rounds; a checkpoint is written after each."""
    crops_per_epoch: int = Field(default=24_576, ge=16)
    """Simulated crystals a round, over all workers; never the same one twice."""
    batch_size: int = Field(default=128, ge=2)
    """Crops a step on each worker."""
    learning_rate: float = Field(default=2e-3, gt=0.0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    """AdamW's decay."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the dense layer's inputs left out in training."""
    channels: tuple[int, int, int, int] = (16, 32, 48, 64)
    """Feature maps of the four convolutions."""
    hidden: int = Field(default=96, ge=4)
    """Width of the dense layer."""
    crop_px: int = Field(default=64, ge=32, multiple_of=16)
    """Side of a crop."""
    paper_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of crystals with the paper's distribution of p and d; the rest as real particles."""
    validation_crops: int = Field(default=2048, ge=16)
    """Crops of the fixed validation set, split over the workers."""
    test_crops: int = Field(default=6000, ge=100)
    """Crops of the fixed test set, drawn from its own seed."""
    max_failures: int = Field(default=2, ge=0)
    """How often a lost worker may be replaced; training goes on from the last checkpoint."""

    @classmethod
    def short(cls, **changes: object) -> Self:
        """Return settings for a look at the path: under a minute on two cores, poor weights.

        Registered under a name of its own: the champion that inference uses stays as it is.
        """
        values: dict[str, object] = {
            "name": "nanolake-shape-short",
            "run_name": "shape-short",
            "epochs": 2,
            "crops_per_epoch": 4096,
            "validation_crops": 512,
            "test_crops": 1000,
        }
        return cls.build({**values, **changes})
