"""Small pictures of dark discs on a bright film, as TIFF files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from nanolake.engines import Engine, open_engine
from nanolake.storage import Lake
from nanolake.testing import services

SIDE, PITCH, RADIUS = 128, 32, 9


@pytest.fixture
def serial() -> Engine:
    return open_engine("serial")


@pytest.fixture
def empty_lake(tmp_path: Path) -> Lake:
    return Lake.create(tmp_path / "lake")


@pytest.fixture(scope="session")
def discs() -> Callable[..., NDArray[np.uint16]]:
    """Return a picture of 16 discs; another ``seed``, another noise."""

    def draw(seed: int = 0) -> NDArray[np.uint16]:
        rng = np.random.default_rng(seed)
        centres = np.arange(PITCH // 2, SIDE, PITCH)
        y, x = np.mgrid[:SIDE, :SIDE]
        inside = np.zeros((SIDE, SIDE), bool)
        for cy in centres:
            for cx in centres:
                inside |= (y - cy) ** 2 + (x - cx) ** 2 <= RADIUS**2
        # Blurred as by any lens: perfectly sharp shapes are print to the segmenter.
        grey = cv2.GaussianBlur(np.where(inside, 800.0, 3000.0), (0, 0), 1.0)
        return np.rint(grey + rng.normal(0.0, 120.0, grey.shape)).astype(np.uint16)

    return lambda seed=0: draw(seed).astype(np.uint16)


@pytest.fixture(scope="session")
def write_tiff() -> Callable[..., Path]:
    """Write a picture, or a stack of them, as ImageJ does; ``nm`` is a number, (y, x) or None."""

    def write(path: Path, pixels: NDArray[Any], nm: Any = 0.5) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        axes = "YX" if pixels.ndim == 2 else "ZYX"
        if nm is None:
            tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
            return path
        y, x = nm if isinstance(nm, tuple) else (nm, nm)
        resolution, metadata = (1 / x, 1 / y), {"unit": "nm", "axes": axes}
        tifffile.imwrite(path, pixels, imagej=True, resolution=resolution, metadata=metadata)
        return path

    return write


@pytest.fixture(scope="session")
def addresses() -> Callable[[], dict[str, str]]:
    """Return what names a place on the running services for a new lake."""
    if services.environment() is None:
        pytest.skip("no PostgreSQL and S3: `make services`")
    return services.new_addresses
