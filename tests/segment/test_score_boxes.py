"""Box scores worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.errors import PictureError
from nanolake.segment.score_boxes import pool_boxes, score_boxes, yolo_boxes


def canvas(*boxes):
    """Labels 1 … n filling boxes (top, left, bottom, right)."""
    labels = np.zeros((40, 60), np.uint16)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels


def counts(boxes, labels):
    result = score_boxes(np.array(boxes, float), labels)
    return result.truth, result.found, result.matched


def test_a_disk_fills_its_box():
    y, x = np.mgrid[:40, :60]
    disk = (np.hypot(y - 20, x - 30) <= 8) * np.int32(5)  # rows 12 … 28, columns 22 … 38
    assert counts([(12, 22, 29, 39)], disk) == (1, 1, (1, 1))


def test_overlap_decides_at_each_level():
    # 10 x 10 boxes side by side by 4 px share 60 of 140 px: 0.43, a match at 0.3 only.
    assert counts([(5, 5, 15, 15)], canvas((5, 9, 15, 19))) == (1, 1, (0, 1))
    # By 3 px: 70 of 130, 0.54.
    assert counts([(5, 5, 15, 15)], canvas((5, 8, 15, 18))) == (1, 1, (1, 1))


def test_precision_and_recall():
    truth = [(5, 5, 15, 15), (20, 20, 30, 30), (20, 40, 30, 50)]
    result = score_boxes(np.array(truth, float), canvas((5, 5, 15, 15), (5, 40, 12, 47)))
    assert (result.precision(), result.recall()) == (1 / 2, 1 / 3)
    assert result.f1() == pytest.approx(2 / 5)


def test_each_box_is_matched_once_the_largest_overlap_first():
    # Label 1 has 60 % of the true box, label 2 the other 40 %: the first takes it, one is false.
    labels = canvas((5, 5, 11, 15), (11, 5, 15, 15))
    assert counts([(5, 5, 15, 15)], labels) == (1, 2, (1, 1))
    # One found box over two true ones of half its area each: IoU exactly 0.5, one match.
    assert counts([(5, 5, 15, 15), (5, 15, 15, 25)], canvas((5, 5, 15, 25))) == (2, 1, (1, 1))


def test_the_best_partner_is_taken_not_the_first():
    # The true box overlaps label 1 by 50/100 = 0.5 and label 2 by 0.5 and the second true box
    # equals label 2: label 2 goes there (1.0), label 1 stays for the first.
    labels = canvas((5, 5, 15, 10), (5, 10, 15, 15))
    assert counts([(5, 5, 15, 15), (5, 10, 15, 15)], labels) == (2, 2, (2, 2))


def test_border_is_neither_rewarded_nor_punished():
    inner, cut = (20, 20, 30, 30), (0.4, 5, 10, 15)
    for at_border in ((0, 5, 10, 15), (2, 6, 8, 12), (30, 45, 40, 55)):
        # found at the border; found on the cut truth; found at the border without truth
        assert counts([inner, cut], canvas(inner, at_border)) == (1, 1, (1, 1))
    assert counts([inner, (30, 50, 39.5, 60)], canvas(inner)) == (1, 1, (1, 1))


def test_gaps_in_the_numbers_and_no_background_are_allowed():
    assert counts([(5, 5, 15, 15)], canvas((5, 5, 15, 15)) * np.uint16(900)) == (1, 1, (1, 1))
    assert counts(np.empty((0, 4)), np.full((8, 9), 3)) == (0, 0, (0, 0))


def test_nothing_is_no_number():
    result = score_boxes(np.empty((0, 4)), canvas())
    assert np.isnan([result.precision(), result.recall(), result.f1()]).all()


def test_yolo_rows_are_relative_to_width_and_height():
    # Centre (15, 20) of a 60 x 40 picture, 12 wide and 10 high: rows 15 … 25, columns 9 … 21.
    boxes = yolo_boxes(np.array([[0, 0.25, 0.5, 0.2, 0.25]]), (40, 60))
    assert np.allclose(boxes, [[15, 9, 25, 21]])


def test_pool_adds_up():
    good = score_boxes(np.array([(5.0, 5, 15, 15)]), canvas((5, 5, 15, 15)))
    bad = score_boxes(np.array([(5.0, 5, 15, 15)]), canvas())
    both = pool_boxes([good, bad])
    assert (both.truth, both.found, both.matched) == (2, 1, (1, 1))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(2, 20), st.integers(2, 30), st.integers(1, 15),
                          st.integers(1, 20)), max_size=6))  # fmt: skip
def test_own_boxes_always_match(places):
    labels = canvas(*((top, left, top + h, left + w) for top, left, h, w in places))
    found = [np.argwhere(labels == i) for i in np.unique(labels[labels > 0])]
    boxes = [(*at.min(axis=0), *(at.max(axis=0) + 1)) for at in found]
    result = score_boxes(np.array(boxes, float).reshape(-1, 4), labels)
    assert result.truth == result.found == len(boxes)
    assert result.matched == (len(boxes), len(boxes))


def test_bad_input_names_the_box():
    with pytest.raises(PictureError, match="label image"):
        score_boxes(np.empty((0, 4)), np.zeros((3, 3)))
    with pytest.raises(PictureError, match="box 1"):
        score_boxes(np.array([(1.0, 1, 2, 2), (5, 5, 3, 6)]), canvas())
    with pytest.raises(PictureError, match=r"\(n, 4\)"):
        score_boxes(np.zeros((2, 3)), canvas())
