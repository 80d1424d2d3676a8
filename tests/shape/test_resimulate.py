"""Re-simulation: an outline drawn from known parameters must be found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nanolake.shape import cut, redraw
from nanolake.simulate.superellipse import outline


def drawn(p: float, d: int, l_ratio: float, phi: float) -> np.ndarray:
    """Return the crop of one outline drawn as a polygon, about 100 px across."""
    points = outline(p, d, l_ratio, phi, area=6000.0, points=720)
    polygon = np.round((points[:, ::-1] + 150.0) * 16).astype(np.int32)
    labels = np.zeros((300, 300), np.uint8)
    cv2.fillPoly(labels, [polygon], 1, shift=4)
    return cut(labels)


@pytest.mark.parametrize(
    ("p", "d", "l_ratio"),
    [(2.0, 2, 0.5), (8.0, 2, 0.9), (3.0, 3, 0.6), (1.2, 4, 0.5), (5.0, 1, 0.4), (2.5, 6, 0.7)],
)
@pytest.mark.parametrize("phi", [0.0, 0.3])
def test_own_outline_fits(p: float, d: int, l_ratio: float, phi: float) -> None:
    fit = redraw(drawn(p, d, l_ratio, phi), p, d, l_ratio)
    assert fit["jaccard"][0] > 0.96
    period = 2 * np.pi / d
    off = (fit["phi_rad"][0] - phi + period / 2) % period - period / 2
    assert abs(off) < np.radians(2.0)
    assert 0.0 <= fit["phi_rad"][0] < period


def test_other_parameters_fit_worse() -> None:
    crop = drawn(2.0, 2, 0.5, 0.2)
    right = redraw(crop, 2.0, 2, 0.5)["jaccard"][0]
    for p, d, l_ratio in [(2.0, 2, 1.0), (2.0, 3, 0.5), (40.0, 2, 0.5)]:
        assert redraw(crop, p, d, l_ratio)["jaccard"][0] < right - 0.05


def test_circle_in_circle_by_hand() -> None:
    # A disk of radius r, and an ellipse 2 : 1 of the same area: semi-axes r sqrt(2), r / sqrt(2).
    # They cross where tan(theta)^2 = 2, so the overlap is 4 r^2 times
    # [area of the ellipse's sector beyond atan(sqrt 2)] + [of the disk's below it]
    # = 2 r^2 * 2 * atan(1 / sqrt 2) = 2.4619 r^2; J = 2.4619 / (2 pi - 2.4619) = 0.6443.
    # The size search may do no worse than that.
    jaccard = redraw(drawn(2.0, 2, 1.0, 0.0), 2.0, 2, 0.5)["jaccard"][0]
    assert 0.634 < jaccard < 0.68


def test_nothing_to_fit_is_unknown() -> None:
    empty = np.zeros((1, 64, 64), np.float32)
    assert np.isnan(redraw(empty, 2.0, 2, 1.0)["jaccard"][0])
    full = drawn(2.0, 2, 1.0, 0.0)
    assert np.isnan(redraw(full, np.nan, 2, 1.0)["jaccard"][0])
    assert redraw(np.zeros((0, 64, 64), np.float32), 2.0, 2, 1.0)["phi_rad"].shape == (0,)
