"""The registry against the table, degenerate particles, empty and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from nanolake.contracts import conform, get_table
from nanolake.errors import PictureError
from nanolake.features import FEATURES, feature_columns, measure
from nanolake.features.registry import GROUPS

TABLE = get_table("particle")


def test_registry_and_table_are_the_same_columns() -> None:
    columns = {c.name: (c.type, c.unit, c.group) for c in TABLE.columns if c.group}
    features = {f.name: (f.dtype, f.unit, f.group) for f in FEATURES.values()}
    assert features == columns


def test_groups_cover_every_feature_once() -> None:
    assert sorted(n for g in GROUPS for n in feature_columns(g)) == sorted(FEATURES)
    assert feature_columns() == tuple(FEATURES)
    with pytest.raises(ValueError, match="colour"):
        feature_columns("colour")


def test_every_length_in_px_has_its_twin_in_nm() -> None:
    names = feature_columns("size", "neighbour")
    assert {n for n in names if n.endswith("nm")} == {
        n.removesuffix("px") + "nm" for n in names if n.endswith("_px")
    }


def test_columns_have_their_types_even_when_empty() -> None:
    for labels in (np.zeros((8, 8), np.uint16), np.eye(8, dtype=np.uint16)):
        found = measure(labels, labels)
        assert list(found) == ["label", *FEATURES]
        assert {n: str(v.dtype) for n, v in found.items() if n != "label"} == {
            n: f.dtype for n, f in FEATURES.items()
        }
        assert {len(v) for v in found.values()} == {int(labels.max())}


def test_nm_is_unknown_without_a_pixel_size() -> None:
    labels = np.eye(8, dtype=np.uint16) + 2 * np.eye(8, k=4, dtype=np.uint16)
    unknown, known = measure(labels, labels), measure(labels, labels, pixel_size_nm=(2, 2))
    for name, entry in FEATURES.items():
        if entry.unit in ("nm", "nm^2"):
            assert np.isnan(unknown[name]).all(), name
            assert np.isfinite(known[name]).all(), name


def test_one_pixel() -> None:
    """The hull of the four edge midpoints is a square of side sqrt(1/2) on its corner."""
    labels = np.zeros((20, 20), np.uint8)
    labels[9, 9] = 1
    found = {name: values[0] for name, values in measure(labels, labels).items()}
    assert found["feret_diameter_max_px"] == pytest.approx(1)
    assert found["feret_diameter_min_px"] == pytest.approx(np.sqrt(0.5))
    assert found["perimeter_convex_px"] == pytest.approx(4 * np.sqrt(0.5))
    assert found["inscribed_circle_diameter_px"] == pytest.approx(1)
    assert found["axis_major_length_px"] == found["axis_minor_length_px"] == 0
    assert found["perimeter_px"] == 0
    assert found["eccentricity"] == 0
    assert np.isnan(found["aspect_ratio"])
    assert np.isnan(found["orientation_rad"])
    assert np.isnan(found["nearest_neighbour_distance_px"])
    assert found["edge_sharpness"] == pytest.approx(1)


def test_a_line() -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[9, 5:25] = 1
    found = {name: values[0] for name, values in measure(labels, labels).items()}
    assert found["feret_diameter_max_px"] == pytest.approx(20)
    assert found["feret_diameter_min_px"] == pytest.approx(1)
    assert found["axis_minor_length_px"] == 0
    assert found["aspect_ratio"] == 0
    assert found["eccentricity"] == 1


def test_a_particle_that_fills_the_picture_has_no_background() -> None:
    labels = np.ones((12, 9), np.uint8)
    found = measure(labels, labels)
    for name in ("background_intensity", "contrast", "contrast_to_noise", "edge_sharpness"):
        assert np.isnan(found[name]).all()
    assert found["touches_border"].all()


def test_labels_far_apart_in_number() -> None:
    """A table by label up to 4 billion would not fit in memory."""
    labels = np.zeros((20, 20), np.uint32)
    labels[2:5, 2:5] = 4_000_000_000
    labels[10:12, 10:12] = 70_000
    found = measure(labels.astype(np.float64), labels)
    assert found["label"].tolist() == [70_000, 4_000_000_000]
    assert found["num_pixels"].tolist() == [4, 9]
    assert found["intensity_mean"].tolist() == [70_000, 4_000_000_000]
    filled = np.full((4, 4), 100_000, np.uint32)
    assert measure(filled, filled)["num_pixels"].tolist() == [16]


def test_dark_picture_has_no_weighted_centroid() -> None:
    labels = np.eye(12, dtype=np.uint8)
    assert np.isnan(measure(np.zeros((12, 12)), labels)["weighted_centroid_y_px"]).all()


def test_rows_fit_the_table() -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((6, 7), int))
    labels[rng.random(labels.shape) < 0.4] = 0
    rows = measure(rng.normal(size=labels.shape), labels, pixel_size_nm=(0.3, 0.31))
    n = len(rows["label"])
    ids = {
        "particle_id": [f"s-{label:05d}" for label in rows["label"]],
        "segmentation_id": "s",
        "segmentation_run_id": "r",
        "micrograph_id": "m",
        "unit_key": "u",
        "created_at": np.datetime64("2026-01-01T00:00:00", "us"),
    }
    ids = {k: (np.repeat(v, n) if isinstance(v, np.datetime64) else v) for k, v in ids.items()}
    table = conform("particle", {**ids, **rows})
    assert table.num_rows == n
    assert table.column("confidence").null_count == n


GOOD = np.ones((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "labels", "size", "message"),
    [
        (GOOD[:3], GOOD, None, r"\(3, 4\)"),
        (GOOD[0], GOOD[0], None, "grey picture"),
        (GOOD, GOOD.astype(float), None, "labels are float64"),
        (GOOD, -GOOD.astype(int), None, "renumber"),
        (GOOD, GOOD.astype(np.int64) << 33, None, "renumber"),
        (GOOD.astype(complex), GOOD, None, "complex128"),
        (GOOD, GOOD, (0.0, 1.0), "above 0"),
        (GOOD, GOOD, (1.0, float("nan")), "above 0"),
    ],
)
def test_bad_input_is_named(pixels, labels, size, message) -> None:
    with pytest.raises(ValueError, match=message):
        measure(pixels, labels, pixel_size_nm=size)


def test_a_picture_with_nan_is_refused() -> None:
    pixels = GOOD.astype(np.float32)
    pixels[1, 1] = np.nan
    with pytest.raises(PictureError) as caught:
        measure(pixels, GOOD)
    assert caught.value.reason == "not_finite"
