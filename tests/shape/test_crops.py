"""Crops: conventions on cases small enough to check by hand, and their invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.errors import PictureError, SettingsError
from nanolake.shape import cut
from nanolake.shape.crops import standard
from nanolake.simulate.crystal import draw_triples, label_strip


def disk(radius: float, side: int, aspect: float = 1.0) -> np.ndarray:
    """Return a label image of one disk, its pixels ``aspect`` times as high as wide."""
    rows = int(side / aspect)
    y, x = np.mgrid[:rows, :side]
    inside = np.hypot((y - (rows - 1) / 2) * aspect, x - (side - 1) / 2) <= radius
    return inside.astype(np.uint16)


def test_area_and_place_of_a_square() -> None:
    # A 21 x 21 square: the farthest pixel centre lies 10 sqrt(2) from the centroid, its edge 0.5
    # on. That reach is 0.92 of half the crop's side, so a crop pixel is
    # 2 (10 sqrt(2) + 0.5) / (0.92 * 64) picture pixels wide; bilinear interpolation keeps the area.
    labels = np.zeros((40, 60), np.uint16)
    labels[4:25, 31:52] = 5
    (crop,) = cut(labels)
    step = 2 * (10 * np.sqrt(2) + 0.5) / (0.92 * 64)
    assert crop.sum() * step**2 == pytest.approx(441.0, rel=0.01)
    y, x = np.mgrid[:64, :64]
    assert np.average(y, weights=crop) == pytest.approx(31.5, abs=1e-3)
    assert np.average(x, weights=crop) == pytest.approx(31.5, abs=1e-3)


def test_rows_stay_rows() -> None:
    labels = np.zeros((40, 60), np.uint16)
    labels[18:22, 10:50] = 1  # 4 rows, 40 columns: lies flat
    (crop,) = cut(labels)
    inside = crop > 0.5
    assert inside.any(axis=1).sum() < 12
    assert inside.any(axis=0).sum() > 50


def test_order_gaps_and_neighbours() -> None:
    labels = np.zeros((30, 30), np.uint32)
    labels[2:8, 2:8] = 900
    labels[2:8, 8:20] = 7  # touches label 900
    crops = cut(labels)
    assert crops.shape == (2, 64, 64)
    alone = np.where(labels == 7, labels, 0)
    np.testing.assert_array_equal(crops[0], cut(alone)[0])  # 7 comes first and stands alone


def test_no_particle() -> None:
    assert cut(np.zeros((10, 10), np.uint16)).shape == (0, 64, 64)


def test_a_crop_does_not_tell_the_size() -> None:
    small, large = cut(disk(12, 40))[0], cut(disk(60, 140))[0]
    # The same but for the half pixel that the farthest pixel's edge adds: 0.5 of 12, 0.5 of 60.
    assert small.sum() == pytest.approx(large.sum(), rel=0.06)
    assert np.abs(small - large).mean() < 0.05


def test_high_pixels_give_the_same_crop() -> None:
    square, high = cut(disk(40, 100))[0], cut(disk(40, 100, aspect=2.0), pixel_aspect=2.0)[0]
    assert np.abs(square - high).mean() < 0.02
    assert np.abs(square - cut(disk(40, 100, aspect=2.0))[0]).mean() > 0.1


def test_pixels_weigh_the_mask() -> None:
    labels = disk(10, 30)
    grey = np.full(labels.shape, 7, np.uint8)
    np.testing.assert_allclose(cut(labels, grey), 7 * cut(labels), rtol=1e-6)


def test_particle_at_the_corner() -> None:
    labels = np.zeros((20, 20), np.uint16)
    labels[:3, :3] = 1
    inner = np.zeros((20, 20), np.uint16)
    inner[8:11, 8:11] = 1
    np.testing.assert_allclose(cut(labels), cut(inner), atol=1e-6)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), turns=st.integers(1, 3))
def test_turning_the_picture_turns_the_crop(seed: int, turns: int) -> None:
    rng = np.random.default_rng(seed)
    labels = label_strip(rng, draw_triples(rng, 1), across_px=(15, 60))
    before = labels.copy()
    turned = cut(np.ascontiguousarray(np.rot90(labels, turns)))[0]
    np.testing.assert_allclose(turned, np.rot90(cut(labels)[0], turns), atol=1e-4)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 3, 4), np.uint16), "one label image at a time"),
        (np.zeros((3, 4), np.float32), "array of integers"),
        (np.array([[0, -2]]), "labels holds -2"),
        (np.array([[0, 2**40]]), "renumber"),
    ],
)
def test_refuses_what_is_no_label_image(labels: np.ndarray, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        cut(labels)


def test_refuses_other_pixels_and_settings() -> None:
    labels = disk(5, 20)
    with pytest.raises(PictureError, match="one picture's"):
        cut(labels, np.zeros((3, 3)))
    with pytest.raises(SettingsError, match="pixel_aspect=0"):
        cut(labels, pixel_aspect=0.0)
    with pytest.raises(SettingsError, match="size=4"):
        cut(labels, size=4)


def test_crops_of_cut_are_left_alone() -> None:
    rng = np.random.default_rng(3)
    crops = cut(label_strip(rng, draw_triples(rng, 40), across_px=(20, 100)))
    assert standard(crops) is crops


def test_crops_of_other_makers_are_moved_and_scaled() -> None:
    # A square of 21 px, cut small and put off the middle: as `cut` itself would have cut it, but
    # for the corners, which an edge spread over a wider pixel rounds.
    labels = np.zeros((60, 60), np.uint16)
    labels[20:41, 20:41] = 1
    wanted = cut(labels)
    small = np.roll(cut(labels, fill=0.4), (7, -5), axis=(1, 2))
    found = standard(np.concatenate([wanted, small, np.zeros_like(small)]))
    np.testing.assert_array_equal(found[0], wanted[0])
    # Half a crop pixel along an outline of 4 x 41 px would be 82 of 4,096 pixels: 0.02.
    assert np.abs(found[1] - wanted[0]).mean() < 0.03
    # The corner's rounded tip is taken for the reach: 0.3 of 13 px short makes 5 % more area.
    assert found[1].sum() == pytest.approx(wanted[0].sum(), rel=0.06)
    assert not found[2].any()
