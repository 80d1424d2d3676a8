"""Small tasks that try an engine: they fail, count their openings, or kill their own process.

They live in the package because a worker must be able to import them by name.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.storage import ImageStore


@dataclass(frozen=True)
class Divide:
    """Divides 12 by the item; refuses 3 as a bad picture, and fails at 0 like a defect."""

    twelve: int = 12

    def open(self) -> Callable[[int], float]:
        def run(item: int) -> float:
            if item == 3:
                raise PictureError("constant", "3 is not to our taste")
            return self.twelve / item

        return run


@dataclass(frozen=True)
class CountOpens:
    """Leaves one file a call of ``open`` in ``folder``; its name begins with the process id."""

    folder: Path

    def open(self) -> Callable[[int], int]:
        (self.folder / f"{os.getpid()}-{len(list(self.folder.iterdir()))}").touch()
        return lambda item: item


@dataclass(frozen=True)
class DieOnce:
    """Kills its process at item 1, the first time, unless that is ``parent``; returns 10 items."""

    marker: Path
    parent: int

    def open(self) -> Callable[[int], int]:
        def run(item: int) -> int:
            if item == 1 and os.getpid() != self.parent and not self.marker.exists():
                self.marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return item * 10

        return run


@dataclass(frozen=True)
class DieAlways:
    """Kills its process at item 1, unless that is ``parent``; returns 10 items."""

    parent: int

    def open(self) -> Callable[[int], int]:
        def run(item: int) -> int:
            if item == 1 and os.getpid() != self.parent:
                os.kill(os.getpid(), signal.SIGKILL)
            return item * 10

        return run


@dataclass(frozen=True)
class StorePicture:
    """Stores picture ``number`` of `picture` and a label image of ``run`` in the store at ``root``.

    An item is (number, run); returns the paths, their hashes and the process.
    """

    root: str

    def open(self) -> Callable[[tuple[int, str]], tuple[str, str, str, str, int]]:
        store = ImageStore(self.root)

        def run(item: tuple[int, str]) -> tuple[str, str, str, str, int]:
            number, name = item
            pixels = picture(number)
            image = store.write("e", f"m{number}", pixels)
            labels = store.write_labels(image.path, name, (pixels > 2**15).astype(np.uint16))
            return image.path, image.sha256, labels.path, labels.sha256, os.getpid()

        return run


def picture(number: int, side_px: int = 1100) -> NDArray[np.uint16]:
    """Return noise of more than one inner chunk (y, x), another for each number."""
    return np.random.default_rng(number).integers(0, 2**16, (side_px, side_px), np.uint16)
