"""Settings of the service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from nanolake.segment import SegmentSettings
from nanolake.settings import Settings


class ServeSettings(Settings):
    """Where the service listens, what it answers with, and what it refuses.

    There is no authentication: whoever reaches the port is answered.
    """

    host: str = "127.0.0.1"
    """Address to listen on. The default is reached from this machine alone."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Port to listen on."""
    replicas: int = Field(default=1, ge=1)
    """Processes that answer, each with its own copy of the networks; one core each."""
    weights: Path | None = None
    """ONNX file of the shape network; null: the lake's champion, or the shipped network."""
    segment: SegmentSettings = SegmentSettings()
    """How particles are found in a micrograph that comes without labels."""
    max_bytes: int = Field(default=200_000_000, ge=1024)
    """Largest request for a micrograph, label image included, in bytes."""
    max_pixels: int = Field(default=36_000_000, ge=1024)
    """Largest micrograph, height x width: 36 million pixels are 6000 x 6000."""
    max_crops: int = Field(default=4096, ge=1)
    """Most crops in one request."""
    max_crop_requests: int = Field(default=32, ge=1)
    """Requests for crops that one replica holds at a time; what comes above is told to wait."""
    max_micrograph_requests: int = Field(default=4, ge=1)
    """Requests for micrographs that one replica holds at a time: one is worked on."""
    batch_wait_s: float = Field(default=0.005, ge=0.0, le=1.0)
    """How long the first crops wait for those of other requests, to be predicted together."""
