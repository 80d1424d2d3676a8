"""Pieces as runs against OpenCV's connected components, and the distance by halves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.segment.connected import connected, painted
from nanolake.segment.distance import distance
from nanolake.segment.grey import _percentiles


def blobs(seed: int, shape: tuple[int, int], share: float, blur_px: float = 1.5) -> np.ndarray:
    noise = np.random.default_rng(seed).random(shape, np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return smooth >= np.quantile(smooth, 1 - share)


def test_two_pixels_at_a_corner_by_hand():
    # x .      one piece across the corner, two without it
    # . x
    mask = np.eye(2, dtype=bool)
    whole, parts = connected(mask, diagonal=True), connected(mask, diagonal=False)
    assert whole.boxes.tolist() == [[0, 0, 2, 2]]
    assert whole.area.tolist() == [2]
    assert parts.boxes.tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(whole.mask_of(0), mask)


def test_no_piece_and_one_piece():
    assert connected(np.zeros((3, 4), bool), diagonal=True).area.size == 0
    assert connected(np.ones((3, 4), bool), diagonal=False).area.tolist() == [12]


@settings(deadline=None)  # the first call compiles
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    share=st.floats(0.01, 0.99),
    diagonal=st.booleans(),
)
def test_the_same_pieces_as_opencv(seed, shape, share, diagonal):
    mask = blobs(seed, shape, share)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=8 if diagonal else 4
    )
    pieces = connected(mask, diagonal=diagonal)
    numbers = np.zeros(shape, np.int32)
    painted(numbers, pieces, np.arange(1, count), np.ones(count - 1, bool))
    assert len(set(zip(numbers.ravel(), labels.ravel(), strict=True))) == np.unique(labels).size
    found = np.column_stack([pieces.boxes, pieces.area])
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, stats[1:].tolist()))
    first = [int(np.flatnonzero(numbers == number)[0]) for number in range(1, count)]
    assert first == sorted(first)
    for index in range(min(count - 1, 3)):
        drawn = numbers[pieces.box(index)] == index + 1
        np.testing.assert_array_equal(pieces.mask_of(index), drawn)


@pytest.mark.parametrize("blur_px", [2.0, 60.0])  # distances up to about 10 and 200 px
def test_the_distance_in_halves_is_that_of_the_whole(blur_px):
    mask = blobs(3, (1100, 1024), 0.6, blur_px).view(np.uint8)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        halves = distance(mask, exact=False)
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(halves, distance(mask, exact=False))
    finally:
        cv2.setNumThreads(threads)


@settings(deadline=None)  # the first call compiles
@given(
    seed=st.integers(0, 10_000),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    percent=st.floats(0, 100),
)
def test_percentiles_by_counting_are_those_of_numpy(seed, dtype, percent):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 40, 2)
    sample = rng.integers(0, rng.integers(1, np.iinfo(dtype).max + 1), shape).astype(dtype)
    expected = float(np.percentile(sample, percent))
    assert _percentiles(sample, (percent,)) == [expected]
