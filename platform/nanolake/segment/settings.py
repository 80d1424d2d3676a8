"""Settings of the segmentation stage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nanolake.settings import Settings


class SegmentSettings(Settings):
    """How particles are found in a picture. Lengths are in pixels or relative, never in nm."""

    method: Literal["learned", "threshold", "williamson2022"] = "learned"
    """``learned``: the network; ``threshold``: classical; ``williamson2022``: the paper's."""
    weights: Path | None = None
    """ONNX file of the learned method; None: the network that comes with the package."""
    polarity: Literal["auto", "dark", "bright"] = "auto"
    """Whether particles are darker or brighter than the background; ``auto`` finds out.
    The network of ``learned`` sees both: what has the other sign is dropped."""
    min_diameter_px: float = Field(default=4.0, gt=0)
    """Particles of a smaller equivalent diameter are dropped and counted as ``small``."""
    min_relative_area: float | None = Field(default=None, ge=0, lt=1)
    """Smaller than this share of the picture's typical particle is ``small`` too. None: 0.03 for
    ``learned``, 0.1 for the classical methods, which find more specks."""
    max_area_fraction: float = Field(default=0.8, gt=0, le=1)
    """Particles that cover more of the picture are dropped and counted as ``large``."""
    max_relative_area: float | None = Field(default=None, gt=1)
    """Larger than this many median particles is an ``outlier``; None keeps every size."""
    neck: float = Field(default=0.2, ge=0, lt=1)
    """``threshold``: touching particles part where the neck is narrower by this share."""
    min_confidence: float = Field(default=0.65, ge=0, le=1)
    """``learned``: what the network is less sure of is not taken for a particle."""
    edges: Literal["fitted", "network"] = "network"
    """``learned``: outlines as the network drew them, near to what people draw; or where the
    blurred edge came from by a fit, which is better for sharp particles under 20 px."""
    remove_border: bool = True
    """Drop particles cut by the picture's edge, counted as ``border``."""
    remove_print: bool = True
    """Drop scale bars, letters and data bars, counted as ``print``."""
