"""The placed edge against disks, squares and balls of known size, blurred and noisy."""

import cv2
import numpy as np
import pytest
from scipy.special import ndtr

from nanolake.segment import SegmentSettings, segment
from nanolake.segment.edges import Band, place_edges

SIDE = 300
PLACES = [(45 + 70 * i, 45 + 70 * j) for i in range(4) for j in range(4)]


def heights(radius, blur, *, ball=False):
    """Sixteen disks or balls, drawn eight times as fine, blurred, reduced: no rounding to pixels.

    Centres lie off the pixels' centres by a different part of a pixel each.
    """
    fine = np.zeros((SIDE * 8, SIDE * 8), np.float32)
    y, x = np.mgrid[: SIDE * 8, : SIDE * 8].astype(np.float32) / 8
    for number, (column, row) in enumerate(PLACES):
        part = slice((row - 34) * 8, (row + 34) * 8), slice((column - 34) * 8, (column + 34) * 8)
        away = np.hypot(y[part] - row - number / 16, x[part] - column - number / 5 % 1)
        inner = np.clip(1 - (away / radius) ** 2, 0, None)
        fine[part] = np.sqrt(inner) if ball else inner > 0
    small = cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), blur)


def diameters(picture):
    areas = np.bincount(segment(picture, SegmentSettings(method="threshold")).labels.ravel())[1:]
    assert len(areas) == 16
    return np.sqrt(4 * areas / np.pi)


@pytest.mark.parametrize(
    ("radius", "blur"), [(10, 0.7), (10, 1.2), (24, 0.7), (24, 1.2), (24, 2.0)]
)
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_blurred_disk_keeps_its_diameter(radius, blur, noise):
    rng = np.random.default_rng(5)
    picture = heights(radius, blur) + rng.normal(0, noise, (SIDE, SIDE)).astype(np.float32)
    for turned in (picture, 1 - picture):
        assert np.median(diameters(turned)) == pytest.approx(2 * radius, rel=0.02)


@pytest.mark.parametrize("blur", [0.8, 1.5])
def test_ball_is_not_measured_at_half_its_height(blur):
    # Half the height of a ball lies at 0.87 of its radius: 13 % too small.
    rng = np.random.default_rng(6)
    noise = rng.normal(0, 0.02, (SIDE, SIDE)).astype(np.float32)
    found = diameters(1 - heights(22, blur, ball=True) - noise)
    assert np.median(found) == pytest.approx(44, rel=0.02)


def strip(left, right, blur):
    """A bar between two places (px) across a picture, blurred exactly."""
    x = np.arange(SIDE) + 0.5
    return np.tile((ndtr((x - left) / blur) - ndtr((x - right) / blur)).astype(np.float32), (80, 1))


@pytest.mark.parametrize("wrong_by", [-2, 2])
def test_an_outline_drawn_wrong_goes_to_the_edge(wrong_by):
    bright = strip(100, 140, 1.0)
    labels = np.zeros(bright.shape, np.int32)
    labels[:, 100 - wrong_by : 140 + wrong_by] = 1
    drawn = place_edges(labels, bright, np.zeros_like(bright), 1.5)
    assert np.flatnonzero(drawn[40]).tolist() == list(range(100, 140))


def test_the_line_between_touching_particles_stays():
    bright = strip(100, 160, 1.0)
    labels = np.zeros(bright.shape, np.int32)
    labels[:, 98:130], labels[:, 130:162] = 1, 2
    drawn = place_edges(labels, bright, np.zeros_like(bright), 1.5)
    assert (drawn[:, 100:130] == 1).all()
    assert (drawn[:, 130:160] == 2).all()
    assert not drawn[:, :100].any()
    assert not drawn[:, 160:].any()


def test_without_contrast_the_outline_stays():
    labels = np.zeros((60, 60), np.int32)
    labels[20:40, 20:40] = 1
    flat = np.full((60, 60), 0.5, np.float32)
    drawn = place_edges(labels, flat, flat, 1.0)
    # Only the corner pixels go: the last smoothing of the outline looks at 3 x 3 pixels.
    assert (drawn != labels).sum() == 4


def test_input_is_not_changed_and_no_label_is_no_error():
    bright = strip(100, 140, 1.0)
    labels = np.zeros(bright.shape, np.int32)
    assert not place_edges(labels, bright, np.zeros_like(bright), 1.0).any()
    labels[:, 98:142] = 1
    before, grey = labels.copy(), bright.copy()
    place_edges(labels, bright, np.zeros_like(bright), 1.0)
    assert np.array_equal(labels, before)
    assert np.array_equal(bright, grey)


def test_band_knows_depth_and_owner():
    # One row: background 0-3, label 1 on 4-6, label 2 on 7-9, background from 10 on. The outline
    # lies between pixels, so the first pixel on either side is half a pixel away.
    labels = np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0]] * 9, np.int32)
    band = Band.around(labels, 2)
    row = band.place // 14 == 4
    where = (band.place[row] % 14).tolist()
    assert where == [2, 3, 4, 5, 8, 9, 10, 11]
    assert np.allclose(band.depth[row], [-1.5, -0.5, 0.5, 1.5, 1.5, 0.5, -0.5, -1.5])
    assert band.label[row].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
