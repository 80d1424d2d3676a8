"""Settings of the learned segmenter's training. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field

from nanolake.settings import Settings


class SegmenterTrainSettings(Settings):
    """How the segmenter is trained. Equal settings and worker count give equal data."""

    name: str = "nanolake-segment"
    """Name of the registered model."""
    run_name: str = "segment"
    """Name of the run in its folder: started again under the same name, it resumes."""
    seed: int = Field(default=20226, ge=0)
    """Seed of the simulated micrographs and of the first weights."""
    epochs: int = Field(default=20, ge=1)
    """Rounds; a checkpoint is written after each."""
    crops_per_epoch: int = Field(default=4096, ge=2)
    """Crops a round, over all workers."""
    batch_size: int = Field(default=8, ge=1)
    """Crops a step on each worker."""
    crop_px: int = Field(default=256, ge=64, multiple_of=32)
    """Side of a crop."""
    micrograph_px: int = Field(default=512, ge=64)
    """Side of the simulated micrographs that crops are cut from."""
    crops_per_micrograph: int = Field(default=8, ge=1)
    """How many crops one simulated micrograph gives on average, each worn in another way."""
    piled_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the training's micrographs whose particles are laid over one another (`piled`)."""
    many_shapes_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share that holds crystals of many shapes, crosses and stars too (`draw_shape_settings`)."""
    pool: int = Field(default=64, ge=1)
    """Micrographs a worker holds to draw crops from."""
    channels: tuple[int, int, int, int, int] = (32, 48, 64, 96, 128)
    """Feature maps at strides 2, 4, 8, 16, 32."""
    learning_rate: float = Field(default=2e-3, gt=0.0)
    """Peak of the one-cycle schedule."""
    weight_decay: float = Field(default=1e-4, ge=0.0)
    """AdamW's decay."""
    distance_weight: float = Field(default=4.0, ge=0.0)
    """Weight of the distance's loss beside the particles' cross-entropy."""
    print_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the print's cross-entropy."""
    overlap_weight: float = Field(default=0.5, ge=0.0)
    """Weight of the cross-entropy of the further particles over a pixel."""
    validation_micrographs: int = Field(default=24, ge=1)
    """Micrographs of the fixed validation set, split over the workers."""
    test_micrographs: int = Field(default=96, ge=1)
    """Micrographs of the fixed test set, from seeds of their own."""
    start_from: Path | None = None
    """Checkpoint whose weights the training starts from (.ckpt), to fine-tune; None: none."""
    max_failures: int = Field(default=2, ge=0)
    """How often a lost worker may be replaced; training goes on from the last checkpoint."""

    @classmethod
    def short(cls, **changes: object) -> Self:
        """Return settings for a look at the path: about a minute on two cores, poor weights.

        Registered under a name of its own: the champion that inference uses stays as it is.
        """
        values: dict[str, object] = {
            "name": "nanolake-segment-short",
            "run_name": "segment-short",
            "epochs": 2,
            "crops_per_epoch": 64,
            "crop_px": 128,
            "micrograph_px": 256,
            "pool": 8,
            "validation_micrographs": 4,
            "test_micrographs": 4,
        }
        return cls.build({**values, **changes})
