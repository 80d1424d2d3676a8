"""What the network is to learn, on pictures small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.segment.learned.targets import loss_weights, training_maps

PARTICLE, PRINT, DISTANCE, OVERLAP, RADIUS = range(5)


def blank(labels: np.ndarray) -> np.ndarray:
    return np.zeros(labels.shape, bool)


def test_a_square_by_hand() -> None:
    # 5 x 5 pixels: from the middle the nearest pixel outside is 3 away, from the rim 1.
    # So the middle is the deepest (255), the rim has 255 / 3 = 85, and 3 px are 12 quarters.
    labels = np.zeros((9, 11), np.uint16)
    labels[2:7, 3:8] = 4
    maps = training_maps(labels, blank(labels))
    row = [0, 0, 0, 85, 170, 255, 170, 85, 0, 0, 0]
    np.testing.assert_array_equal(maps[4, :, DISTANCE], row)
    np.testing.assert_array_equal(maps[..., PARTICLE], 255 * (labels > 0))
    np.testing.assert_array_equal(maps[..., RADIUS], 12 * (labels > 0))
    assert not maps[..., PRINT].any()


def test_touching_particles_are_parted_by_a_valley() -> None:
    # Two 7 x 7 squares side by side: the pixels of the left one that meet the right one get 0.
    labels = np.zeros((11, 18), np.int32)
    labels[2:9, 2:9], labels[2:9, 9:16] = 1, 2
    distance = training_maps(labels, blank(labels))[..., DISTANCE]
    assert (distance[2:9, 8] == 0).all()
    assert (distance[2:9, 9] > 0).all()
    assert distance[5, 2:8].max() == distance[5, 9:16].max() == 255


def test_further_particles_are_counted_up_to_three() -> None:
    labels = np.array([[0, 1, 1, 1, 2, 2]], np.uint16)
    layers = np.array([[0, 1, 2, 3, 4, 9]], np.uint8)
    maps = training_maps(labels, blank(labels), layers)
    assert maps[0, :, OVERLAP].tolist() == [0, 0, 85, 170, 255, 255]
    assert not training_maps(labels, blank(labels))[..., OVERLAP].any()


def test_print_is_a_map_of_its_own() -> None:
    labels, printed = np.zeros((6, 8), np.uint16), np.zeros((6, 8), bool)
    labels[1:4, 1:4], printed[4:, 5:] = 1, True
    maps = training_maps(labels, printed)
    np.testing.assert_array_equal(maps[..., PRINT], 255 * printed)
    assert not maps[4:, 5:, PARTICLE].any()


def test_an_empty_picture_has_nothing_to_find() -> None:
    assert not training_maps(np.zeros((5, 7), np.uint16), np.zeros((5, 7), bool)).any()


@pytest.mark.parametrize(
    ("radius_px", "zoom", "weight"),
    [
        (12.0, 1.0, 1.0),  # the typical particle
        (6.0, 1.0, 2.0),  # half the radius, twice the weight
        (12.0, 0.5, 2.0),  # the same, seen at half the size
        (2.0, 1.0, 4.0),  # 12 / 2 = 6 is over the most
        (60.0, 1.0, 0.5),  # 12 / 60 = 0.2 is under the least
        (2.0, 0.5, 0.2),  # 1 px is too small to be seen
        (0.0, 1.0, 1.0),  # background
    ],
)
def test_weights_by_hand(radius_px: float, zoom: float, weight: float) -> None:
    quarters = np.full((1, 1), 4 * radius_px, np.uint8)
    assert loss_weights(quarters, zoom)[0, 0] == pytest.approx(weight)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.integers(1, 9))
def test_the_numbers_of_the_particles_do_not_matter(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 50), np.int64)
    for label in range(1, count + 1):
        y, x, h, w = (int(v) for v in rng.integers(0, 30, 4))
        labels[y : y + h, x : x + w] = label
    others = np.concatenate([[0], rng.permutation(count) + 1])
    maps = training_maps(labels, blank(labels))
    np.testing.assert_array_equal(maps, training_maps(others[labels], blank(labels)))
    seen = np.unique(labels[labels > 0])
    tops = [maps[labels == label, DISTANCE].max() for label in seen]
    assert set(tops) <= {0, 255}  # 0: a particle that lies in the seam altogether
