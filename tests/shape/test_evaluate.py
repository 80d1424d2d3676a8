"""Scores on cases whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from nanolake.shape import ShapePredictor, cut
from nanolake.shape.evaluate import baseline, hand_drawn_jaccard, score, truth_jaccard
from nanolake.simulate.crystal import Triples, draw_triples, label_strip

SHARED = Path(__file__).resolve().parents[2] / "../shared/data/emps_tem/labels"


def test_the_truth_has_no_error() -> None:
    rng = np.random.default_rng(0)
    truth = draw_triples(rng, 30)
    crops = cut(label_strip(rng, truth))
    sd = np.full(30, 0.1)
    perfect = {"p": truth.p, "d": truth.d, "L_ratio": truth.l_ratio}
    found = score({**perfect, "log_p_sd": sd, "L_ratio_sd": sd}, truth, crops)
    assert found.log_p_rmse == 0.0
    assert found.L_ratio_rmse == 0.0
    assert found.d_accuracy == 1.0
    assert found.log_p_coverage_90 == 1.0
    assert found.jaccard == 1.0
    assert found.mask_jaccard == pytest.approx(truth_jaccard(truth, crops))


def test_scores_by_hand() -> None:
    # ln p off by ln 2 and 0 (the third has p >= 10 and does not count): rms = ln 2 / sqrt 2.
    # L off by 0.3, 0, 0: rms = 0.3 / sqrt 3. The circle's d does not count: 1 right of 2.
    truth = Triples(
        p=np.array([4.0, 2.0, 50.0]), d=np.array([3, 2, 2]), l_ratio=np.array([0.5, 1.0, 0.5])
    )
    guess = {
        "p": np.array([8.0, 2.0, 10.0]),
        "d": np.array([4, 6, 2]),
        "L_ratio": np.array([0.8, 1.0, 0.5]),
        "log_p_sd": np.array([0.2, 0.2, 2.0]),
        "L_ratio_sd": np.array([0.2, 0.2, 0.2]),
    }
    found = score(guess, truth, np.ones((3, 16, 16), np.float32))
    assert found.log_p_rmse == pytest.approx(math.log(2) / math.sqrt(2))
    assert found.p_rmse == pytest.approx(4 / math.sqrt(2))
    assert found.L_ratio_rmse == pytest.approx(0.3 / math.sqrt(3))
    assert found.d_accuracy == 0.5
    assert found.log_p_coverage_90 == pytest.approx(2 / 3)  # |ln 2| > 1.645 * 0.2; ln 5 < 3.29
    assert found.L_ratio_coverage_90 == 1.0  # 0.3 < 1.645 * 0.2


def test_baseline_answers_everything_alike() -> None:
    truth = Triples(
        p=np.array([1.0, 4.0, 2.0]), d=np.array([2, 3, 3]), l_ratio=np.array([0.2, 0.4, 0.6])
    )
    guess = baseline(truth, 2)
    np.testing.assert_allclose(guess["p"], 2.0)  # geometric mean of 1, 4, 2
    assert guess["d"].tolist() == [3, 3]
    np.testing.assert_allclose(guess["L_ratio"], 0.4)


def test_hand_drawn_leaves_out_cut_and_small() -> None:
    labels = np.zeros((200, 200), np.uint16)
    labels[0:60, 50:110] = 1  # touches the border
    labels[100:105, 100:105] = 2  # 5 px
    labels[120:180, 50:110] = 3
    assert hand_drawn_jaccard([(labels, None)], ShapePredictor()).shape == (1,)
    assert hand_drawn_jaccard([], ShapePredictor()).shape == (0,)


@pytest.mark.slow
def test_hand_drawn_particles() -> None:
    if not SHARED.is_dir():
        pytest.skip("the hand-drawn masks of EMPS are not on this machine")
    import cv2

    pictures = ((cv2.imread(str(path), -1), None) for path in sorted(SHARED.glob("*.png")))
    found = hand_drawn_jaccard(pictures, ShapePredictor())
    assert found.size > 1000
    assert found.mean() > 0.9  # the family's limit is 0.951
