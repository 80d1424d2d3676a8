"""What memory a stage will need, said before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nanolake.free_memory import available_bytes
from nanolake.segment import SegmentSettings
from nanolake.segment.memory import predicted_bytes
from nanolake.storage import Lake

PROCESS_BYTES = 300_000_000
"""A worker with its libraries and no picture: 298 MB resident measured with Dask and ONNX."""
_DESCRIBE_BYTES = 460_000_000
"""A worker that holds the shape network: 331 MB measured, and 130 MB for its first batch."""
_DESCRIBE_BYTES_PER_PX, _DESCRIBE_BYTES_PER_PARTICLE = 15, 35_000
"""Measured, refinement and 16-bit picture included, with 100 to 16,000 particles on 1024 to 4096 px
a side: 59 to 773 MB were added to a process of 205 to 300; what is predicted is 31 to 300 more."""
_GROUP_BYTES, _GROUP_BYTES_PER_PAIR, _GROUP_BYTES_PER_ROW = 600_000_000, 13, 360
"""The process with its libraries; distances within the sample, several matrices at once (5 GB
measured with 20,000 particles); names, groups and distances of every particle."""

_LARGEST = """
SELECT count(*) AS pictures,
       arg_max(struct_pack(h := m.height_px, w := m.width_px),
               m.height_px::BIGINT * m.width_px) AS top
FROM (SELECT unnest($keys) AS unit_key, unnest($ids) AS micrograph_id) todo
JOIN micrograph_current m USING (micrograph_id)
WHERE NOT EXISTS (FROM segmentation s WHERE s.unit_key = todo.unit_key)
AND ($retry OR NOT EXISTS (FROM failure f WHERE f.unit_key = todo.unit_key))
"""
# No count(*) OVER (): on a busy machine DuckDB 1.5.5 now and then fails in it with an internal
# error of two threads (WindowLocalSourceState::Finalize).


_FULLEST = """
SELECT count(*) AS pictures,
       arg_max(struct_pack(h := m.height_px, w := m.width_px, n := s.particle_count),
               m.height_px::BIGINT * m.width_px * $pixel + s.particle_count * $particle) AS top
FROM (SELECT unnest($keys) AS unit_key, unnest($ids) AS segmentation_id) todo
JOIN segmentation_current s USING (segmentation_id)
JOIN micrograph_current m ON m.micrograph_id = s.micrograph_id
WHERE NOT EXISTS (FROM shape_inference i WHERE i.unit_key = todo.unit_key)
AND ($retry OR NOT EXISTS (FROM failure f WHERE f.unit_key = todo.unit_key))
"""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Memory of a stage at its peak, predicted from the largest thing still to be done.

    An upper estimate: every worker is taken to hold one of that size at the same time.
    """

    stage: str
    what: str
    """What takes the most, in words: ``largest picture 2048 x 2048 px``."""
    count: int
    """How many are still to be done."""
    worker_bytes: int
    """Peak of one worker with the largest, its libraries included."""
    workers: int
    """Workers that will have one; no more than there are to be done."""
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
            f"{self.stage}: up to {_size(self.worker_bytes)} of memory a worker ({self.what}), "
            f"{_size(self.needed_bytes)} for {self.workers} worker{'s' * (self.workers > 1)}"
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
    (row,) = lake.query(
        _LARGEST, {"keys": list(units), "ids": list(units.values()), "retry": retry_failed}
    ).to_pylist()
    if not row["pictures"]:
        return None
    count, height, width = row["pictures"], row["top"]["h"], row["top"]["w"]
    return Forecast(
        stage="segment",
        what=f"largest picture {height} x {width} px",
        count=count,
        worker_bytes=PROCESS_BYTES + predicted_bytes(height, width, settings),
        workers=min(workers, count),
        available_bytes=available_bytes(),
    )


def describe_forecast(
    lake: Lake, units: Mapping[str, str], *, workers: int, retry_failed: bool = False
) -> Forecast | None:
    """Return what describing the undone of ``units`` will need; None where nothing is to be done.

    ``units`` maps keys of work units to segmentation ids.
    """
    weights = {"pixel": _DESCRIBE_BYTES_PER_PX, "particle": _DESCRIBE_BYTES_PER_PARTICLE}
    asked = {"keys": list(units), "ids": list(units.values()), "retry": retry_failed}
    (row,) = lake.query(_FULLEST, asked | weights).to_pylist()
    if not row["pictures"]:
        return None
    height, width, particles = (row["top"][name] for name in ("h", "w", "n"))
    taken = height * width * _DESCRIBE_BYTES_PER_PX + particles * _DESCRIBE_BYTES_PER_PARTICLE
    return Forecast(
        stage="describe",
        what=f"largest picture {height} x {width} px with {particles:,} particles",
        count=row["pictures"],
        worker_bytes=_DESCRIBE_BYTES + taken,
        workers=min(workers, row["pictures"]),
        available_bytes=available_bytes(),
    )


def group_forecast(particles: int, sample: int) -> Forecast:
    """Return what grouping so many particles, compared in a sample of so many, will need."""
    sample = min(particles, sample)
    taken = sample * sample * _GROUP_BYTES_PER_PAIR + particles * _GROUP_BYTES_PER_ROW
    return Forecast(
        stage="group",
        what=f"{particles:,} particles, {sample:,} of them in the sample",
        count=1,
        worker_bytes=_GROUP_BYTES + taken,
        workers=1,
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
