"""The classifier: separable or not, what is held back is held back, and the paper's mistake."""

import numpy as np
import pytest
from sklearn.svm import SVC

from nanolake.classify import Classification, ClassifySettings, classify
from nanolake.classify.scoring import (
    heldout,
    label_by_kmeans,
    null_procedure,
    stratified_subset,
)
from nanolake.classify.svm import train
from nanolake.errors import ModelError, SchemaError

XY = ClassifySettings(columns=("x", "y"), folds=4, trials=3)


def blobs(distance, count=240, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(1, 4, count)
    centre = np.array([[0, 0], [distance, 0], [0, distance]], float)[groups - 1]
    points = rng.normal(size=(count, 2)) + centre
    return {"x": points[:, 0], "y": points[:, 1]}, groups


def ids(count, units):
    return np.array([f"m{i % units}" for i in range(count)])


@pytest.fixture(scope="module")
def apart():
    """Three groups 12 standard deviations apart, in six micrographs of two experiments."""
    table, groups = blobs(12)
    return classify(table, groups, ids(240, 6), ids(240, 2), XY)


def test_separable_groups_are_learnt(apart):
    assert apart.accuracy == apart.accuracy_heldout_micrograph == 1.0
    assert apart.accuracy_heldout_experiment == 1.0
    assert apart.unseen_share_experiment == 0.0
    assert apart.test_count == 48  # 20 % of 240
    assert apart.wrong_count == 0
    assert apart.confusion.sum() == 48 == np.trace(apart.confusion)
    assert apart.precision == apart.recall == (1.0, 1.0, 1.0)
    assert apart.majority_accuracy < 0.6


def test_the_same_rows_give_the_same_classifier(apart, tmp_path):
    table, groups = blobs(12)
    again = classify(table, groups, ids(240, 6), ids(240, 2), XY)
    assert again.search == apart.search
    apart.save(tmp_path / "one.npz")
    again.save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_saved_classifier_answers_as_before(apart, tmp_path):
    apart.save(tmp_path / "classifier.npz")
    loaded = Classification.load(tmp_path / "classifier.npz")
    fresh, truth = blobs(12, seed=1)
    fresh["x"][0] = np.nan
    answer = loaded.predict(fresh)
    assert answer.shape_group[0] == 0
    assert answer.reason[0] == "missing_value"
    assert np.isnan(answer.probability[0])
    assert np.isnan(answer.distance_ratio[0])
    near = answer.reason == ""
    # 0.5 % of a group's own are refused; the limits of groups of 65 are their farthest: 2 % or so
    assert near[1:].mean() > 0.95
    np.testing.assert_array_equal(answer.shape_group[near], truth[near])
    assert (answer.probability[near] > 0.8).all()
    np.testing.assert_array_equal(answer.probability, apart.predict(fresh).probability)
    assert loaded.search == apart.search
    assert loaded.precision == apart.precision


def test_what_is_unlike_all_known_has_no_group(apart):
    """Groups sit at (0, 0), (12, 0), (0, 12): the machine would answer for any place whatever."""
    places = {"x": np.array([0.0, 6.0, 12.0, 1e6]), "y": np.array([0.0, 6.0, 12.0, -1e6])}
    answer = apart.predict(places)
    assert answer.shape_group.tolist() == [1, 0, 0, 0]
    assert answer.reason.tolist() == ["", "too_far", "too_far", "too_far"]
    assert (answer.distance_ratio[1:] > 1).all()
    assert answer.distance_ratio[0] < 1
    assert answer.distance_ratio[3] > 1e3  # not clipped: far stays far


def test_confusion_gives_precision_and_recall():
    """By hand: group 1 answered 10 times, 8 right, and 2 of its 10 missed; group 3 never answered.

    rows are the groups: [[8, 2, 0], [1, 9, 0], [1, 4, 0]]; columns sum to 10, 15, 0.
    """
    counts = np.array([[8, 2, 0], [1, 9, 0], [1, 4, 0]])
    made = Classification(
        columns=("x",), labels=(1, 2, 3), left_out_groups=(), reason="", confusion=counts
    )
    assert made.precision == (0.8, 0.6, None)
    assert made.recall == (0.8, 0.9, 0.0)


def test_labels_without_relation_are_not_learnt():
    table, groups = blobs(12)
    shuffled = np.random.default_rng(9).permutation(groups)
    found = classify(table, shuffled, ids(240, 6), ids(240, 1), XY)
    # three classes of about a third each: chance is 0.33, sd of 48 draws 0.07
    assert found.accuracy < 0.33 + 4 * 0.07
    assert found.confusion.sum() - np.trace(found.confusion) == found.wrong_count
    assert found.accuracy_heldout_experiment is None
    assert found.unseen_share_experiment is None


def test_structureless_data_is_classified_nearly_perfectly():
    """The paper's 99.5 % says nothing by itself: K-means labels of one normal cloud do as well."""
    columns = ("a", "b", "c", "d")
    points = np.random.default_rng(0).normal(size=(1200, 4))
    settings = ClassifySettings(columns=columns, trials=4, folds=3, search_rows=400)
    found = null_procedure(points, 4, columns, settings, label_by_kmeans(columns, 0))
    assert found.accuracy > 0.9
    assert np.mean(found.fold_accuracies) > 0.9
    assert len(found.search.trials) == 4  # its own search


def test_the_null_is_divided_as_it_is_told():
    """A rule that no column tells cannot be learnt; one that leaves one group gives no score."""
    points = np.random.default_rng(0).normal(size=(600, 2))
    rng = np.random.default_rng(1)
    coin = null_procedure(points, 2, ("x", "y"), XY, lambda raw, k: rng.integers(0, k, len(raw)))
    assert coin.accuracy < 0.5 + 4 * 0.5 / np.sqrt(120)
    alone = null_procedure(points, 2, ("x", "y"), XY, lambda raw, k: np.zeros(len(raw), int))
    assert alone is None


def test_the_null_keeps_covariance_and_no_groups():
    """Two clouds on a line: the null has their mean and spread and lies between them as well."""
    rng = np.random.default_rng(2)
    raw = np.concatenate([rng.normal(-5, 1, (500, 2)), rng.normal(5, 1, (500, 2))])
    seen = []

    def label(drawn, k):
        seen.append(drawn)
        return (drawn[:, 0] > 0).astype(int)

    null_procedure(raw, 2, ("x", "y"), XY, label)
    drawn = seen[0]
    assert len(drawn) == 1000
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(raw.T), rtol=0.2)
    assert (np.abs(raw[:, 0]) < 1.5).mean() < 0.01 < 0.1 < (np.abs(drawn[:, 0]) < 1.5).mean()


def test_held_out_units_are_really_held_out():
    """Labels that only the unit tells: unit u sits at x = 100 u and its label alternates.

    Other particles of the same unit give the label away; with the unit held out nothing does.
    """
    rng = np.random.default_rng(3)
    units = np.repeat(np.arange(12), 20)
    groups = np.tile([1, 2], 6)[units]  # neighbours along x always have the other label
    raw = (100.0 * units + rng.normal(size=240))[:, None]
    mixed = heldout(raw, groups, ("x",), (100.0, 100.0), np.arange(240), 4)
    held = heldout(raw, groups, ("x",), (100.0, 100.0), units, 12)
    assert mixed.accuracy > 0.95
    assert held.accuracy < 0.65
    assert held.unseen_share == 0.0


def test_a_group_that_one_experiment_alone_has_can_only_be_wrong_there():
    """60 rows of a and b in both experiments, 30 rows of c in the second: 30 of 150 unseen.

    With at least 31 rows asked for, the 30 of a and of b that stay are too few as well.
    """
    rng = np.random.default_rng(5)
    groups = np.concatenate([np.repeat([1, 2], 60), np.full(30, 3)])
    units = np.concatenate([np.tile(["e1", "e2"], 60), np.full(30, "e2")])
    raw = (20.0 * groups + rng.normal(size=150))[:, None]
    held = heldout(raw, groups, ("x",), (10.0, 0.3), units, 10)
    assert held.unseen_share == pytest.approx(30 / 150)
    assert held.accuracy == pytest.approx(1 - 30 / 150)
    assert heldout(raw, groups, ("x",), (10.0, 0.3), units, 10, 31).unseen_share == 1.0


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


def test_one_group_is_all_there_is_or_the_particle_is_unlike_it():
    table, _ = blobs(1)
    found = classify(table, np.full(240, 3), ids(240, 6), ids(240, 2), XY)
    assert found.accuracy is None
    assert found.null_accuracy is None
    assert "1 group(s)" in found.reason
    answer = found.predict(table)
    assert (answer.shape_group == 3).mean() > 0.97
    assert np.isnan(answer.probability).all()
    assert found.predict({"x": [50.0], "y": [0.0]}).reason.tolist() == ["too_far"]


def test_where_nothing_was_learnt_nothing_is_predicted():
    """Two groups, one of 5 members: fewer than 2 x 4 folds, so there is nothing to tell apart."""
    table, _ = blobs(12)
    found = classify(table, np.where(np.arange(240) < 5, 2, 1), ids(240, 6), ids(240, 2), XY)
    assert found.left_out_groups == (2,)
    with pytest.raises(ModelError, match=r"cannot predict: 2 group\(s\), of which 1"):
        found.predict(table)


def test_a_rare_group_is_left_out_and_named():
    table, groups = blobs(12)
    groups[:7] = 9  # fewer than 2 x 4 folds
    groups[7:10] = 0  # not assigned: takes no part
    found = classify(table, groups, ids(240, 1), ids(240, 1), XY)
    assert found.left_out_groups == (9,)
    assert found.labels == (1, 2, 3)
    assert found.train_count + found.test_count == 230
    assert found.accuracy_heldout_micrograph is None


@pytest.mark.parametrize("share", [0.02, 0.6, 0.9])
def test_groups_too_small_for_the_share_held_back_are_left_out(share):
    settings = XY.model_copy(update={"test_share": share, "trials": 1})
    for count in (settings.least_members - 1, settings.least_members):
        groups = np.repeat([1, 2], count)
        table = {"x": groups + 0.01 * np.arange(2 * count), "y": np.arange(2.0 * count) % 7}
        found = classify(table, groups, ids(2 * count, 3), ids(2 * count, 2), settings)
        assert found.can_predict == (count == settings.least_members)
    assert XY.least_members == 8


def test_a_subset_keeps_rare_classes():
    labels = np.repeat([1, 2], [990, 10])
    rows = stratified_subset(labels, 100, 8, np.random.default_rng(0))
    # 99 of class 1 (its share of 100), 8 of class 2 (its share would be 1)
    assert np.bincount(labels[rows]).tolist() == [0, 99, 8]


def test_bad_input_is_refused(apart, tmp_path):
    table, groups = blobs(1)
    with pytest.raises(SchemaError, match=r"groups has shape \(3,\); the table has 240 rows"):
        classify(table, groups[:3], ids(240, 2), ids(240, 2), XY)
    with pytest.raises(SchemaError, match="no column p"):
        classify(table, groups, ids(240, 2), ids(240, 2), ClassifySettings(columns=("x", "p")))
    with pytest.raises(SchemaError, match="no column y"):
        apart.predict({"x": [1.0]})


def test_a_file_that_is_no_classifier_of_this_format_is_refused(apart, tmp_path):
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"not an archive")
    with pytest.raises(ModelError, match="no classifier written by nanolake"):
        Classification.load(wrong)
    np.savez(wrong, facts=np.array('{"format": 1}'))
    with pytest.raises(ModelError, match="has format 1; this nanolake reads 2: train"):
        Classification.load(wrong)
    apart.save(wrong)
    with np.load(wrong) as file:
        kept = {name: file[name] for name in file.files if name != "near_limits"}
    np.savez(wrong, **kept)
    with pytest.raises(ModelError, match=r"damaged: .*near_limits"):
        Classification.load(wrong)
