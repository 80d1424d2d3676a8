"""The classifier: separable or not, what is held back is held back, and the paper's mistake."""

import numpy as np
import pytest
from sklearn.svm import SVC

from nanolake.classify import Classification, ClassifySettings, classify
from nanolake.classify.scoring import heldout_accuracy, null_accuracy, stratified_subset
from nanolake.classify.svm import train
from nanolake.errors import ModelError, SchemaError

XY = ClassifySettings(columns=("x", "y"), folds=4, costs=(1.0, 10.0), gammas=(0.3,))


def blobs(distance, count=240, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(1, 4, count)
    centre = np.array([[0, 0], [distance, 0], [0, distance]], float)[groups - 1]
    points = rng.normal(size=(count, 2)) + centre
    return {"x": points[:, 0], "y": points[:, 1]}, groups


def ids(count, units):
    return np.array([f"m{i % units}" for i in range(count)])


def test_separable_groups_are_learnt_saved_and_loaded(tmp_path):
    table, groups = blobs(12)
    found = classify(table, groups, ids(240, 6), ids(240, 2), XY)
    assert found.accuracy == found.accuracy_heldout_micrograph == 1.0
    assert found.accuracy_heldout_experiment == 1.0
    assert found.test_count == 48  # 20 % of 240
    assert found.wrong_count == 0
    assert found.confusion.sum() == 48 == np.trace(found.confusion)
    assert found.majority_accuracy < 0.6
    found.save(tmp_path / "classifier.npz")
    loaded = Classification.load(tmp_path / "classifier.npz")
    fresh, truth = blobs(12, seed=1)
    fresh["x"][0] = np.nan
    answer, confidence = loaded.predict(fresh)
    assert answer[0] == 0
    assert np.isnan(confidence[0])
    np.testing.assert_array_equal(answer[1:], truth[1:])
    assert (confidence[1:] > 0.8).all()
    np.testing.assert_array_equal(confidence, found.predict(fresh)[1])


def test_labels_without_relation_are_not_learnt():
    table, groups = blobs(12)
    shuffled = np.random.default_rng(9).permutation(groups)
    found = classify(table, shuffled, ids(240, 6), ids(240, 1), XY)
    # three classes of about a third each: chance is 0.33, sd of 48 draws 0.07
    assert found.accuracy < 0.33 + 4 * 0.07
    assert found.confusion.sum() - np.trace(found.confusion) == found.wrong_count
    assert found.accuracy_heldout_experiment is None


def test_structureless_data_is_classified_nearly_perfectly():
    """The paper's 99.5 % says nothing by itself: K-means labels of one normal cloud do as well."""
    points = np.random.default_rng(0).normal(size=(1200, 4))
    score = null_accuracy(points, 4, ("a", "b", "c", "d"), [(10.0, 0.3), (100.0, 0.3)], 0, 400)
    assert score > 0.9


def test_held_out_units_are_really_held_out():
    """Labels that only the unit tells: unit u sits at x = 100 u and its label alternates.

    Other particles of the same unit give the label away; with the unit held out nothing does.
    """
    rng = np.random.default_rng(3)
    units = np.repeat(np.arange(12), 20)
    groups = np.tile([1, 2], 6)[units]  # neighbours along x always have the other label
    raw = (100.0 * units + rng.normal(size=240))[:, None]
    mixed = heldout_accuracy(raw, groups, ("x",), (100.0, 100.0), np.arange(240), 4)
    held = heldout_accuracy(raw, groups, ("x",), (100.0, 100.0), units, 12)
    assert mixed > 0.95
    assert held < 0.65


@pytest.mark.parametrize("classes", [2, 4])
def test_votes_equal_scikit_learn(classes):
    rng = np.random.default_rng(4)
    raw, labels = rng.normal(size=(120, 3)), rng.integers(1, classes + 1, 120)
    model = train(raw, labels, ("a", "b", "c"), cost=2.0, gamma=0.9)
    points = model.scaling.apply(raw)
    oracle = SVC(C=2.0, gamma=0.3, break_ties=classes > 2).fit(points, labels)
    np.testing.assert_array_equal(model.predict(raw), oracle.predict(points))
    if classes > 2:
        np.testing.assert_allclose(model.votes(raw), oracle.decision_function(points), atol=1e-8)


def test_one_group_teaches_nothing():
    table, _ = blobs(1)
    found = classify(table, np.full(240, 3), ids(240, 6), ids(240, 2), XY)
    assert found.accuracy is None
    assert found.null_accuracy is None
    assert "1 group(s)" in found.reason
    answer, confidence = found.predict(table)
    assert set(answer) == {3}
    assert np.isnan(confidence).all()


def test_a_rare_group_is_left_out_and_named():
    table, groups = blobs(12)
    groups[:7] = 9  # fewer than 2 x 4 folds
    groups[7:10] = 0  # not assigned: takes no part
    found = classify(table, groups, ids(240, 1), ids(240, 1), XY)
    assert found.left_out_groups == (9,)
    assert found.labels == (1, 2, 3)
    assert found.train_count + found.test_count == 230
    assert found.accuracy_heldout_micrograph is None


def test_a_subset_keeps_rare_classes():
    labels = np.repeat([1, 2], [990, 10])
    rows = stratified_subset(labels, 100, 8, np.random.default_rng(0))
    # 99 of class 1 (its share of 100), 8 of class 2 (its share would be 1)
    assert np.bincount(labels[rows]).tolist() == [0, 99, 8]


def test_bad_input_is_refused(tmp_path):
    table, groups = blobs(1)
    with pytest.raises(SchemaError, match=r"groups has shape \(3,\); the table has 240 rows"):
        classify(table, groups[:3], ids(240, 2), ids(240, 2), XY)
    with pytest.raises(SchemaError, match="no column p"):
        classify(table, groups, ids(240, 2), ids(240, 2), ClassifySettings(columns=("x", "p")))
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"not an archive")
    with pytest.raises(ModelError, match="no classifier written by nanolake"):
        Classification.load(wrong)
