"""Two pieces of work at once, where a process may use more than one core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

A = TypeVar("A")
B = TypeVar("B")


_LEAST_PX = 1_000_000
"""Pixels below which a thread's start costs more than it saves."""


def at_once(first: Callable[[], A], second: Callable[[], B], *, px: int = _LEAST_PX) -> tuple[A, B]:
    """Both results; in two threads where OpenCV may use more than one, as in a lone process.

    One after the other where the work is on few pixels (``px``).
    """
    if cv2.getNumThreads() < 2 or px < _LEAST_PX:
        return first(), second()
    with ThreadPoolExecutor(1) as other:
        later = other.submit(second)
        return first(), later.result()
