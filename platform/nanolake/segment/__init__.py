"""Finding particles: a picture goes in, a label image comes out.

`segment` is pure and deterministic; its methods stand in `nanolake.segment.run`. Scoring against
a known label image is in `nanolake.segment.score`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nanolake.segment.settings import SegmentSettings

if TYPE_CHECKING:
    from nanolake.segment.run import segment as segment

__all__ = ["SegmentSettings", "segment"]


def __getattr__(name: str) -> Any:
    """Import OpenCV and numba only when a picture is to be segmented."""
    if name == "segment":
        from nanolake.segment.run import segment

        return segment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
