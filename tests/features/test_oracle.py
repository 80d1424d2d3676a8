"""scikit-image measures the same labels; both agree wherever both define a feature."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as connected
from skimage.measure import regionprops_table
from skimage.morphology import convex_hull_image

from nanolake.features import measure

EXACT = {
    "label": "label",
    "num_pixels": "num_pixels",
    "area_px2": "area",
    "area_filled_px2": "area_filled",
    "area_convex_px2": "area_convex",
    "area_bbox_px2": "area_bbox",
    "equivalent_diameter_area_px": "equivalent_diameter_area",
    "axis_major_length_px": "axis_major_length",
    "axis_minor_length_px": "axis_minor_length",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "extent": "extent",
    "euler_number": "euler_number",
    "centroid_y_px": "centroid-0",
    "centroid_x_px": "centroid-1",
    "bbox_min_y_px": "bbox-0",
    "bbox_min_x_px": "bbox-1",
    "bbox_max_y_px": "bbox-2",
    "bbox_max_x_px": "bbox-3",
    "intensity_mean": "intensity_mean",
    "intensity_sd": "intensity_std",
    "intensity_min": "intensity_min",
    "intensity_max": "intensity_max",
    "weighted_centroid_y_px": "centroid_weighted-0",
    "weighted_centroid_x_px": "centroid_weighted-1",
    "perimeter_px": "perimeter",
    "perimeter_crofton_px": "perimeter_crofton",
    "feret_diameter_max_px": "feret_diameter_max",
    **{f"hu_moment_{i + 1}": f"moments_hu-{i}" for i in range(7)},
}
PROPERTIES = sorted({name.split("-")[0] for name in EXACT.values()} | {"orientation"})


def blobs(seed: int, sigma: float, size: int = 160) -> NDArray[np.uint16]:
    """Smoothed noise above its mean: ragged, with holes, some at the border."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma)
    return connected(field > 0.2 * field.std()).astype(np.uint16)


def picture(shape: tuple[int, int], dtype: str, seed: int = 0) -> NDArray[np.generic]:
    values = np.random.default_rng(seed).normal(120.0, 30.0, shape).clip(1, 250)
    return values.astype(dtype)


def odd_shapes() -> NDArray[np.uint16]:
    """Each case named in the issue once, with gaps in the labels."""
    labels = np.zeros((60, 70), np.uint16)
    labels[2, 3] = 1  # one pixel
    labels[5, 2:12] = 2  # one row
    labels[8:18, 2] = 4  # one column
    labels[10:30, 10:14] = 7  # an L
    labels[26:30, 10:24] = 7
    labels[35:50, 5:25] = 9  # with a hole, and a second one open through a corner
    labels[38:42, 9:14] = 0
    labels[49, 24] = 0
    labels[48, 23] = 0
    labels[0:6, 60:70] = 11  # in the corner of the picture
    labels[40:44, 40:44] = 12  # two touching
    labels[40:44, 44:50] = 13
    labels[50, 40] = labels[51, 41] = labels[52, 42] = 14  # joined through corners
    labels[55:58, 60:63] = labels[20:23, 50:53] = 20  # in two pieces
    return labels


def compare(pixels: NDArray[np.generic], labels: NDArray[np.uint16]) -> None:
    ours = measure(pixels, labels)
    # float64: the oracle sums a narrow type in that type
    theirs = regionprops_table(labels, pixels.astype(np.float64), properties=PROPERTIES)
    for mine, name in EXACT.items():
        # Below: rounding of the oracle's eigenvalues (a line's minor axis is 4 sqrt(1e-16)) and
        # of products of third moments that cancel to 0 in symmetric particles.
        atol = 1e-6 if "axis" in mine else 1e-12
        np.testing.assert_allclose(ours[mine], theirs[name], rtol=1e-6, atol=atol, err_msg=mine)
    angles = ours["orientation_rad"]
    turned = np.isfinite(angles)
    apart = np.sin(angles[turned] - theirs["orientation"][turned])  # pi apart is the same axis
    np.testing.assert_allclose(apart, 0.0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int32"])
def test_odd_shapes(dtype: str) -> None:
    labels = odd_shapes()
    compare(picture(labels.shape, dtype), labels)


@pytest.mark.parametrize(("seed", "sigma"), [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)])
def test_random_blobs(seed: int, sigma: float) -> None:
    labels = blobs(seed, sigma)
    compare(picture(labels.shape, "uint8", seed), labels)


def test_turned_superellipses() -> None:
    compare(picture(ellipses().shape, "uint16"), ellipses())


def ellipses() -> NDArray[np.uint16]:
    """Twelve turned superellipses, 32 to 60 px long."""
    labels = np.zeros((240, 320), np.uint16)
    y, x = np.mgrid[:240, :320]
    for k in range(12):
        cy, cx, turn = 40 + 80 * (k // 4), 40 + 80 * (k % 4), 0.26 * k + 0.1
        u = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
        v = (x - cx) * np.cos(turn) - (y - cy) * np.sin(turn)
        inside = (np.abs(u) / (16 + k)) ** 3 + (np.abs(v) / (13 + k / 2)) ** 3 < 1
        labels[inside] = k + 1
    return labels


def test_smallest_and_mean_feret_diameter_equal_a_search_over_angles() -> None:
    """Extent of the convex image's edge midpoints along 3,600 directions, 0.05 degrees apart."""
    labels = ellipses()
    ours = measure(labels, labels)
    turns = np.deg2rad(np.arange(0, 180, 0.05))
    for index, label in enumerate(ours["label"]):
        centres = np.argwhere(convex_hull_image(labels == label))
        points = np.concatenate(
            [centres + step for step in ((0, 0.5), (0, -0.5), (0.5, 0), (-0.5, 0))]
        )
        found = {name: values[index] for name, values in ours.items()}
        widths = np.ptp(points @ np.stack([np.cos(turns), np.sin(turns)]), axis=0)
        assert found["feret_diameter_min_px"] == pytest.approx(widths.min(), rel=2e-3)
        assert found["feret_diameter_max_px"] == pytest.approx(widths.max(), rel=1e-5)
        assert found["feret_diameter_mean_px"] == pytest.approx(widths.mean(), rel=1e-4)
        for end in ("max", "min"):
            angle = found[f"feret_diameter_{end}_angle_rad"]
            along = np.ptp(points @ np.array([np.cos(angle), np.sin(angle)]))
            assert along == pytest.approx(found[f"feret_diameter_{end}_px"], rel=1e-9)


def test_inscribed_circle_equals_the_distance_transform() -> None:
    labels = ellipses()
    ours = measure(labels, labels)["inscribed_circle_diameter_px"]
    for label, diameter in enumerate(ours, start=1):
        depth = ndimage.distance_transform_edt(labels == label).max()
        assert diameter == pytest.approx(2 * (depth - 0.5), rel=1e-12)


def test_inscribed_circle_of_ragged_blobs_equals_the_distance_transform() -> None:
    labels = np.pad(blobs(5, 3.0, 100), 1)
    ours = measure(labels, labels)
    for label, diameter in zip(ours["label"], ours["inscribed_circle_diameter_px"], strict=True):
        depth = ndimage.distance_transform_edt(labels == label).max()
        assert diameter == pytest.approx(2 * (depth - 0.5), rel=1e-12)
