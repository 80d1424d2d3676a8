"""Print: the bar's length is round and true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from nanolake.simulate.annotate import bar_length_nm, print_on
from nanolake.simulate.settings import MicrographSettings


@pytest.mark.parametrize(
    ("width_px", "pixel_size_nm", "length_nm"),
    [(1000, 0.5, 100.0), (512, 0.35, 50.0), (2000, 5.0, 2000.0), (100, 0.05, 1.0)],
)
def test_bar_is_the_round_length_nearest_a_fifth(
    width_px: int, pixel_size_nm: float, length_nm: float
) -> None:
    # A fifth is 100, 35.84 (nearer to 50 than to 20 in ratio), 2000 and 1 nm.
    assert bar_length_nm(width_px, pixel_size_nm) == length_nm


def test_bar_has_its_length_in_pixels() -> None:
    settings = MicrographSettings.build(
        {"width_px": 1000, "height_px": 600, "pixel_size_nm": 0.5, "scale_bar": "black"}
    )
    pixels, mask = print_on(settings, np.full((600, 1000), 200, np.uint8))
    pieces, count = label(pixels == 0)
    widths = [np.ptp(np.flatnonzero((pieces == n).any(axis=0))) + 1 for n in range(1, count + 1)]
    assert max(widths) == 200  # 100 nm at 0.5 nm a pixel
    assert (pixels[~mask] == 200).all()


def test_input_is_left_alone() -> None:
    settings = MicrographSettings.build({"letter": "(b)", "scale_bar": "white"})
    blank = np.full((512, 512), 77, np.uint16)
    printed, _ = print_on(settings, blank)
    assert (blank == 77).all()
    assert printed.dtype == np.uint16
