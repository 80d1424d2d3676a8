"""Settings of the ingest stage."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from nanolake.settings import Settings


class IngestSettings(Settings):
    """What counts as a usable picture and as a believable pixel size."""

    max_pixels: int = Field(default=100_000_000, ge=1)
    """Largest picture (height x width) that is decoded; a header that asks for more is refused
    before any pixel is loaded. 100 million pixels are 10,000 x 10,000. Segmenting and measuring
    take about 60 bytes a pixel: 6 GB of memory a worker for such a picture."""

    min_side_px: int = Field(default=32, ge=2)
    """Smallest height or width of a picture worth measuring."""

    pixel_size_min_nm: float = Field(default=0.001, gt=0)
    """Smallest believable pixel size in nm: 1 pm, far below what any microscope resolves."""

    pixel_size_max_nm: float = Field(default=1000.0, gt=0)
    """Largest believable pixel size in nm: 1 µm, the survey view of a whole grid square."""

    pixel_aspect_max: float = Field(default=10.0, ge=1)
    """Largest believable ratio of pixel height to pixel width, or the inverse."""

    prefer_rosettasciio: bool = False
    """Read the microscope formats with RosettaSciIO (GPL-3, extra `formats`) instead of nanolake's
    own readers."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.pixel_size_min_nm >= self.pixel_size_max_nm:
            raise ValueError("pixel_size_min_nm must be smaller than pixel_size_max_nm")
        return self
