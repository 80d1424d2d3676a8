"""Scores worked out by hand."""

import numpy as np
import pytest

from nanolake.errors import PictureError
from nanolake.segment.score import mean_f1, pool, score


def canvas(*boxes):
    labels = np.zeros((40, 60), np.int32)
    for number, (y, x, h, w) in enumerate(boxes, start=1):
        labels[y : y + h, x : x + w] = number
    return labels


def test_perfect_match():
    truth = canvas((5, 5, 10, 10), (20, 30, 10, 10))
    result = score(truth, truth * 7)
    assert (result.truth, result.found, result.matched) == (2, 2, (2, 2, 2))
    assert result.f1() == 1
    assert result.size_bias == 0
    assert result.count_error == 0


def test_overlap_decides_at_each_level():
    # 10 x 10 against the same grown to 10 x 12: IoU 100 / 120 = 0.833; diameters sqrt(1.2).
    result = score(canvas((5, 5, 10, 10)), canvas((5, 5, 10, 12)))
    assert result.matched == (1, 1, 0)
    assert result.size_bias == pytest.approx(np.sqrt(1.2) - 1)


def test_missed_and_false_particles():
    result = score(canvas((5, 5, 8, 8), (20, 5, 8, 8)), canvas((5, 5, 8, 8), (20, 40, 8, 8)))
    assert (result.precision(), result.recall(), result.f1()) == (0.5, 0.5, 0.5)


def test_a_particle_cut_in_two_matches_once():
    # Two halves of equal size both have IoU exactly 0.5: one counts, the other is false.
    result = score(canvas((5, 5, 10, 10)), canvas((5, 5, 10, 5), (5, 10, 10, 5)))
    assert (result.found, result.matched[0]) == (2, 1)


def test_border_is_neither_rewarded_nor_punished():
    truth = canvas((0, 5, 10, 10), (20, 20, 10, 10))
    on_cut_truth = canvas((2, 6, 6, 6), (20, 20, 10, 10))
    found_on_border = canvas((30, 40, 10, 10), (20, 20, 10, 10))
    for found in (truth, on_cut_truth, found_on_border):
        result = score(truth, found)
        assert (result.truth, result.found, result.matched[0]) == (1, 1, 1)


def test_ignored_truth_is_neither_rewarded_nor_punished():
    truth = canvas((5, 5, 10, 10), (20, 30, 10, 10))
    for found in (truth, canvas((20, 30, 10, 10)), canvas((6, 6, 6, 6), (20, 30, 10, 10))):
        result = score(truth, found, ignored=np.array([1]))
        assert (result.truth, result.found, result.matched[0]) == (1, 1, 1)
    # A found instance of which most lies on background stays false.
    assert score(truth, canvas((2, 2, 5, 5)), ignored=np.array([1])).found == 1


def test_pool_weighs_particles_and_mean_weighs_pictures():
    good = score(canvas((5, 5, 8, 8)), canvas((5, 5, 8, 8)))
    bad = score(canvas((5, 5, 8, 8), (20, 5, 8, 8), (20, 40, 8, 8)), canvas())
    assert pool([good, bad]).f1() == pytest.approx(2 / 5)
    assert mean_f1([good, bad]) == pytest.approx(0.5)
    assert np.isnan(pool([]).f1())


def test_empty_truth_and_nothing_found_is_no_number():
    result = score(canvas(), canvas())
    assert np.isnan([result.f1(), result.precision(), result.recall(), result.count_error]).all()


def test_shapes_must_agree():
    with pytest.raises(PictureError, match="same shape"):
        score(np.zeros((3, 3), int), np.zeros((3, 4), int))
