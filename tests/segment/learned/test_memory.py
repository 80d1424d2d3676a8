"""Memory of segmentation and features, predicted and measured, for every method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from nanolake.errors import ModelError
from nanolake.segment import SegmentSettings
from nanolake.segment.learned.model import measured_bytes_per_px
from nanolake.segment.memory import BYTES_PER_PX, predicted_bytes

MB = 1024**2
MEASURE = """
import sys, ctypes
from pathlib import Path
import cv2, numpy as np
from nanolake.features import measure
from nanolake.segment import SegmentSettings, segment
from nanolake.segment.memory import predicted_bytes

def picture(side_px):
    y, x = np.mgrid[:side_px, :side_px] % 64 - 32
    noise = np.random.default_rng(0).integers(0, 120, y.shape, dtype=np.uint16)
    return np.where(y**2 + x**2 <= 24**2, np.uint16(800), np.uint16(3000)) + noise

def of(key):
    return int(Path("/proc/self/status").read_text().split(key)[1].split()[0]) * 1024

def work(pixels):
    measure(pixels, segment(pixels, settings).labels, pixel_size_nm=(0.5, 0.5))

cv2.setNumThreads(1)
settings = SegmentSettings(method=sys.argv[1], weights=sys.argv[2] or None)
work(picture(256))
pixels = picture(1024)
ctypes.CDLL(None).malloc_trim(0)  # nothing that was freed is left to be used again
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before = of("VmRSS:") - pixels.nbytes
work(pixels)
print(of("VmHWM:") - before, predicted_bytes(1024, 1024, settings))
"""


def test_every_method_is_predicted() -> None:
    assert set(BYTES_PER_PX) == set(get_args(SegmentSettings.model_fields["method"].annotation))


def test_a_classical_method_by_hand() -> None:
    """8 MiB and, a pixel, 56 bytes."""
    found = predicted_bytes(1000, 3000, SegmentSettings(method="threshold"))
    assert found == 8 * MB + 3_000_000 * 56


def test_the_learned_method_by_hand(make_network) -> None:
    """The network's 32 MiB, padded picture and four maps as float32, and one tile of 200 a pixel.

    Of a small picture the network takes most; the picture and its grey values, 8 a pixel, and
    8 MiB are beside it. With a network that takes nothing a pixel the decoding takes most: 74 a
    pixel, 8 MiB, and a third of the network's memory, which is kept.
    """
    settings = SegmentSettings(method="learned", weights=make_network())
    assert predicted_bytes(64, 128, settings) == 40 * MB + 64 * 128 * (8 + 4 + 4 * 4 + 200)
    settings = SegmentSettings(method="learned", weights=make_network(bytes_per_px="0"))
    kept = (32 * MB + 1200 * 1200 * 20) // 3
    assert predicted_bytes(1200, 1200, settings) == 8 * MB + 1200 * 1200 * 74 + kept


def test_no_network_and_no_pixels(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx"):
        predicted_bytes(64, 64, SegmentSettings(method="learned", weights=tmp_path / "none.onnx"))
    with pytest.raises(ValueError, match="0 x 64 px"):
        predicted_bytes(0, 64, SegmentSettings())


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(BYTES_PER_PX))
def test_the_peak_is_at_most_as_predicted_and_at_least_half(make_network, method: str) -> None:
    weights = ""
    if method == "learned":
        said = measured_bytes_per_px(make_network(channels=32, bytes_per_px="0"))
        weights = str(make_network(channels=32, bytes_per_px=str(said)))
    command = [sys.executable, "-c", MEASURE, method, weights]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, predicted = map(int, done.stdout.split())
    assert predicted / 2 < peak < predicted
