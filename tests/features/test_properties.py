"""What must not change, or change in a known way, whatever the particle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nanolake.features import FEATURES, feature_columns, measure

steady = settings(derandomize=True, max_examples=40, deadline=None)
seeds = st.integers(0, 10_000)

TURN_INVARIANT = (
    "num_pixels", "area_px2", "area_filled_px2", "area_convex_px2", "feret_diameter_max_px",
    "feret_diameter_min_px", "feret_diameter_mean_px", "perimeter_px", "perimeter_crofton_px",
    "axis_major_length_px", "axis_minor_length_px", "inscribed_circle_diameter_px",
    "circumscribed_circle_diameter_px", "circularity", "roundness", "convexity", "solidity",
    "eccentricity", "euler_number", "hu_moment_1", "hu_moment_2", "hu_moment_3", "hu_moment_4",
    "intensity_mean", "intensity_sd", "background_intensity", "edge_sharpness",
)  # fmt: skip


def particle(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """A ragged particle in two grey levels and noise, 12 px of background round it."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(4, 24, 2)
    field = ndimage.gaussian_filter(rng.normal(size=(height, width)), 1.5)
    mask = np.pad(field > np.quantile(field, 0.4), 12)
    pixels = np.where(mask, 80, 160) + rng.integers(0, 20, mask.shape)
    return pixels.astype(np.uint8), mask.astype(np.uint16)


@steady
@given(seeds)
def test_a_quarter_turn_leaves_the_measures(seed: int) -> None:
    pixels, labels = particle(seed)
    before = measure(pixels, labels)
    after = measure(np.rot90(pixels), np.rot90(labels))
    for name in TURN_INVARIANT:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, atol=1e-12, err_msg=name)


@steady
@given(seeds, st.floats(0.01, 50))
def test_scaling_the_pixel_scales_lengths_and_areas(seed: int, scale: float) -> None:
    pixels, labels = particle(seed)
    before = measure(pixels, labels, pixel_size_nm=(0.5, 0.5))
    after = measure(pixels, labels, pixel_size_nm=(0.5 * scale, 0.5 * scale))
    powers = {"nm": scale, "nm^2": scale**2}
    for name, entry in FEATURES.items():
        expected = before[name] * powers[entry.unit] if entry.unit in powers else before[name]
        np.testing.assert_allclose(after[name], expected, rtol=1e-9, err_msg=name)


@steady
@given(seeds, st.integers(0, 30), st.integers(0, 30))
def test_moving_the_particle_moves_its_place_only(seed: int, down: int, right: int) -> None:
    pixels, labels = particle(seed)
    frame = ((down, 0), (right, 0))
    before = measure(pixels, labels)
    after = measure(np.pad(pixels, frame, mode="edge"), np.pad(labels, frame))
    shifts = {"y": down, "x": right}
    for name in FEATURES:
        expected = before[name]
        axis = name.removesuffix("_px")[-1]
        if ("centroid" in name or "bbox_m" in name) and name.endswith("_px"):
            expected = expected + shifts[axis]
        np.testing.assert_allclose(after[name], expected, rtol=1e-9, atol=1e-9, err_msg=name)


@steady
@given(seeds)
def test_inverting_the_picture_leaves_size_and_shape(seed: int) -> None:
    pixels, labels = particle(seed)
    before, after = measure(pixels, labels), measure(255 - pixels, labels)
    for name in feature_columns("size", "shape", "moments", "neighbour", "flag"):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    np.testing.assert_allclose(after["contrast"], -before["contrast"], rtol=1e-9)
    np.testing.assert_allclose(after["intensity_mean"], 255 - before["intensity_mean"])
    np.testing.assert_allclose(after["intensity_sd"], before["intensity_sd"], rtol=1e-9)
    np.testing.assert_allclose(after["edge_sharpness"], before["edge_sharpness"], rtol=1e-9)


@steady
@given(seeds)
def test_transposing_swaps_the_axes_of_non_square_pixels(seed: int) -> None:
    """Pixels 0.6 nm high and 0.2 nm wide mirror the inverse; nm values are the same.

    Save the inscribed circle's: of two outside pixels equally far, one high and one wide, either
    may set the half pixel that is taken off.
    """
    pixels, labels = particle(seed)
    before = measure(pixels, labels, pixel_size_nm=(0.6, 0.2))
    after = measure(pixels.T, labels.T, pixel_size_nm=(0.2, 0.6))
    for name in feature_columns("size"):
        if name.endswith(("nm", "nm2")) and not name.startswith("inscribed"):
            np.testing.assert_allclose(after[name], before[name], rtol=1e-9, err_msg=name)
    for name in ("aspect_ratio", "aspect_ratio_feret", "circularity", "convexity", "hu_moment_2"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, atol=1e-12, err_msg=name)


@steady
@given(seeds)
def test_order_of_sizes(seed: int) -> None:
    """What geometry asks of any particle."""
    pixels, labels = particle(seed)
    found = {name: values[0] for name, values in measure(pixels, labels).items()}
    small = 1 + 1e-9
    assert found["area_px2"] <= found["area_filled_px2"] <= found["area_bbox_px2"]
    assert found["area_px2"] <= found["area_convex_px2"] <= found["area_bbox_px2"]
    assert found["feret_diameter_min_px"] <= found["feret_diameter_mean_px"] * small
    assert found["feret_diameter_mean_px"] <= found["feret_diameter_max_px"] * small
    assert found["feret_diameter_max_px"] <= found["circumscribed_circle_diameter_px"] * small
    # Jung: the smallest circle round a set is at most 2 / sqrt(3) of its diameter
    jung = found["feret_diameter_max_px"] * 2 / np.sqrt(3)
    assert found["circumscribed_circle_diameter_px"] <= jung * small
    assert found["intensity_min"] <= found["intensity_mean"] <= found["intensity_max"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "int64"])
def test_the_type_of_the_labels_does_not_matter(dtype: str) -> None:
    pixels, labels = particle(3)
    expected = measure(pixels, labels)
    for name, values in measure(pixels, labels.astype(dtype)).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_inputs_are_left_alone_and_views_are_welcome() -> None:
    pixels, labels = particle(4)
    big, big_labels = np.repeat(pixels, 2, axis=1), np.repeat(labels, 2, axis=1)
    big.flags.writeable = big_labels.flags.writeable = False
    expected = measure(pixels, labels)
    for name, values in measure(big[:, ::2], big_labels[:, ::2]).items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
