"""How work says how far it is. Light: what shows progress need not load what does the work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as (stage, units finished, units in all)."""


def silent(stage: str, done: int, total: int) -> None:
    """The progress of whoever wants none."""
