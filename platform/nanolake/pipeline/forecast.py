"""What memory a segmentation will need, said before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nanolake.free_memory import available_bytes
from nanolake.segment import SegmentSettings
from nanolake.segment.memory import predicted_bytes
from nanolake.storage import Lake

PROCESS_BYTES = 300_000_000
"""A worker with its libraries and no picture: 298 MB resident measured with Dask and ONNX."""

_LARGEST = """
SELECT count(*) OVER () AS pictures, m.height_px, m.width_px
FROM (SELECT unnest($keys) AS unit_key, unnest($ids) AS micrograph_id) todo
JOIN micrograph_current m USING (micrograph_id)
WHERE NOT EXISTS (FROM segmentation s WHERE s.unit_key = todo.unit_key)
AND ($retry OR NOT EXISTS (FROM failure f WHERE f.unit_key = todo.unit_key))
ORDER BY m.height_px::BIGINT * m.width_px DESC LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Memory of a segmentation at its peak, predicted from the largest picture still to be done.

    An upper estimate: every worker is taken to hold a picture of that size at the same time.
    """

    pictures: int
    """Pictures still to be done."""
    height_px: int
    width_px: int
    """Size of the largest of them."""
    worker_bytes: int
    """Peak of one worker with the largest picture, its libraries included."""
    workers: int
    """Workers that will have a picture; no more than there are pictures."""
    available_bytes: int | None
    """What this machine can still give; None where unknown, or where the workers are elsewhere."""

    @property
    def needed_bytes(self) -> int:
        """All workers together."""
        return self.worker_bytes * self.workers

    def line(self) -> str:
        """Return the forecast in a line."""
        free = self.available_bytes
        return (
            f"segment: up to {_size(self.worker_bytes)} of memory a worker (largest picture "
            f"{self.height_px} x {self.width_px} px), {_size(self.needed_bytes)} for "
            f"{self.workers} worker{'s' * (self.workers > 1)}"
            + (f"; {_size(free)} available" if free is not None else "")
        )

    def warning(self) -> str | None:
        """Return what to do where the memory will not do; None where it does or is unknown."""
        free = self.available_bytes
        if free is None or self.needed_bytes <= free:
            return None
        fitting = free // self.worker_bytes
        if fitting:
            remedy = f"run with --workers {fitting}"
        else:
            remedy = "not even one fits: free memory, or run on a machine that has more"
        return (
            f"warning: {self.workers} worker{'s' * (self.workers > 1)} may need "
            f"{_size(self.needed_bytes)} at once and {_size(free)} are available, so that "
            f"workers may be killed and their pictures fail; {remedy}"
        )


def forecast(
    lake: Lake,
    settings: SegmentSettings,
    units: Mapping[str, str],
    *,
    workers: int,
    retry_failed: bool = False,
) -> Forecast | None:
    """Return what segmenting the undone of ``units`` will need; None where nothing is to be done.

    ``units`` maps keys of work units to micrograph ids. Asks the lake one question and reads no
    picture. Raises `ModelError` where the method's network cannot be loaded.
    """
    rows = lake.query(
        _LARGEST, {"keys": list(units), "ids": list(units.values()), "retry": retry_failed}
    ).to_pylist()
    if not rows:
        return None
    pictures, height, width = (rows[0][name] for name in ("pictures", "height_px", "width_px"))
    return Forecast(
        pictures=pictures,
        height_px=height,
        width_px=width,
        worker_bytes=PROCESS_BYTES + predicted_bytes(height, width, settings),
        workers=min(workers, pictures),
        available_bytes=available_bytes(),
    )


def _size(count_bytes: float) -> str:
    """Return bytes for people.

    >>> _size(312_000_000), _size(1_250_000_000), _size(40e9)
    ('312 MB', '1.2 GB', '40 GB')
    """
    unit, scale = ("GB", 1e9) if count_bytes >= 1e9 else ("MB", 1e6)
    value = count_bytes / scale
    return f"{value:.{int(value < 10)}f} {unit}"
