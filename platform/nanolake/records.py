"""Frozen value types that the stages hand to one another. Arrays are (y, x), origin top left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Trust(StrEnum):
    """How far a pixel size may be believed. Only ``metadata`` and ``sheet`` give nm columns."""

    METADATA = "metadata"
    """Read from the file's own calibration, plausible."""
    SHEET = "sheet"
    """Given by the user in the sample sheet or on the command line; wins over the file."""
    IMPLAUSIBLE = "implausible"
    """Read, but outside what an electron microscope gives; kept as raw, not used."""
    UNKNOWN = "unknown"
    """Nothing usable was found."""


@dataclass(frozen=True, kw_only=True)
class PixelSize:
    """Size of one pixel, as read and as used.

    ``raw_y``, ``raw_x`` and ``raw_unit`` are what the file said (``raw_unit`` verbatim), None
    where it said nothing. ``y_nm`` and ``x_nm`` are what nm columns are computed with: None
    unless ``trust`` is ``metadata`` or ``sheet``.
    """

    y_nm: float | None = None
    x_nm: float | None = None
    raw_y: float | None = None
    raw_x: float | None = None
    raw_unit: str | None = None
    source: str = "none"
    """Where the number came from: ``sheet``, ``dm3 ImageList.Calibrations``, ``none`` …"""
    trust: Trust = Trust.UNKNOWN

    @property
    def known(self) -> bool:
        """Whether lengths in nm may be computed."""
        return self.y_nm is not None and self.x_nm is not None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One decoded picture: what a reader yields, before it is in the lake.

    ``pixels`` is (y, x), uint8, uint16, uint32, int16, int32 or float32, as the file holds it;
    RGB has been turned to grey. ``frame`` counts from 0 within the file. ``metadata`` holds JSON
    values under the names of ``schemas/tables/micrograph.toml`` where it has them
    (``instrument``, ``voltage_kv``, ``magnification``, ``acquired_at`` (ISO 8601 text),
    ``detector``, ``imaging_mode``), other tags under their own names.
    """

    pixels: NDArray[Any]
    frame: int = 0
    frame_count: int = 1
    pixel_size: PixelSize = field(default_factory=PixelSize)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    reader: str = ""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """Instances found in one picture.

    ``labels`` is (y, x), uint16 or uint32: 0 is background, particles are 1 … n without gaps, in
    raster order of their first pixel. ``confidence`` is (n,) float32 in 0 … 1, and ``overlap``
    (n,) float32 the mean number of further particles over or under the pixels of each; None where
    the method gives none. ``excluded`` counts what was taken out, by reason (``border``,
    ``small``, ``print``, ``outlier``, ``large``).
    """

    labels: NDArray[np.uint16] | NDArray[np.uint32]
    polarity: str
    """``dark``: particles darker than their background (bright field); ``bright``: the inverse."""
    method: str
    excluded: Mapping[str, int] = field(default_factory=dict)
    confidence: NDArray[np.float32] | None = None
    overlap: NDArray[np.float32] | None = None

    @property
    def count(self) -> int:
        """Number of particles kept."""
        return int(self.labels.max(initial=0))
