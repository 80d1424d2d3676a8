"""How much memory a picture will need, said before it is segmented. Light to import."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nanolake.segment.settings import SegmentSettings

BYTES_PER_PX: Mapping[str, int] = MappingProxyType(
    {"learned": 74, "threshold": 56, "williamson2022": 34}
)
"""Arrays of each method a pixel, the picture itself among them; ``learned`` without its network.

Measured as growth of the resident memory from a warm process to its peak, one thread, over
`segment` and `measure`, with 1 to 17 million pixels uint16: noise, one large disc, dense and
loose discs. ``threshold`` took 37 to 51 bytes a pixel, ``williamson2022`` 25 to 30, ``learned``
with three maps that cost nothing 65 to 66; there are four now. What was added leaves room for
pictures with wider pixels.
"""
_INPUT_BYTES_PER_PX = 8
"""While the network runs: the picture with pixels of up to 4 bytes, and its grey values."""
_KEPT = 3
"""ONNX Runtime keeps less than one part in 3 when it has run: 45 of 154 bytes a pixel measured."""
_FIXED_BYTES = 8 * 1024**2
"""Small arrays, and what the allocator rounds up."""


def predicted_bytes(height: int, width: int, settings: SegmentSettings) -> int:
    """Return the memory that segmentation and features of one picture take at their peak.

    ``height`` and ``width`` are in px, one worker, one thread. An upper estimate, at most about
    twice what is taken; the process with its loaded libraries is not in it. Each particle adds
    about 2 kB of columns, which the arrays that are gone by then outweigh. Raises `ModelError`
    where the method is ``learned`` and its network cannot be loaded, `ValueError` without pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {height} x {width} px has no pixels: nothing to predict")
    arrays = _FIXED_BYTES + height * width * BYTES_PER_PX[settings.method]
    if settings.method != "learned":
        return arrays
    network = _network_bytes(height, width, settings)
    running = _FIXED_BYTES + height * width * _INPUT_BYTES_PER_PX + network
    return max(running, arrays + network // _KEPT)


def _network_bytes(height: int, width: int, settings: SegmentSettings) -> int:
    """Most at full size: the smaller scales run after it, in memory that is free again."""
    from nanolake.segment.learned.model import load_model

    return load_model(settings.weights).predicted_bytes(height, width)
