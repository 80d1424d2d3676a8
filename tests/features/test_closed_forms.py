"""Values that follow by hand, on a rectangle, a disk, a ring and on grey values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nanolake.features import measure

Columns = dict[str, NDArray[np.generic]]


def rectangle() -> NDArray[np.uint8]:
    """10 rows by 20 columns, top left pixel at (5, 7)."""
    labels = np.zeros((30, 40), np.uint8)
    labels[5:15, 7:27] = 1
    return labels


def disk(radius: float, aspect: float = 1.0) -> NDArray[np.uint8]:
    """Pixels whose centres lie in the disk; rows are ``aspect`` high."""
    half = int(radius) + 3
    rows = int(half / aspect) + 1
    y, x = np.mgrid[-rows : rows + 1, -half : half + 1]
    return ((y * aspect) ** 2 + x**2 <= radius**2).astype(np.uint8)


def one(columns: Columns, name: str) -> float:
    return float(columns[name][0])


def test_rectangle() -> None:
    found = measure(rectangle(), rectangle())
    # edge midpoints reach 10 and 20 apart; the longest distance between two of them is from
    # (4.5, 7) to (14.5, 26): 10 down, 19 across, or from (5, 6.5) to (14, 26.5): 9 and 20
    assert one(found, "feret_diameter_max_px") == pytest.approx(math.hypot(9, 20))
    assert one(found, "feret_diameter_min_px") == pytest.approx(10)
    assert one(found, "feret_diameter_orthogonal_px") == pytest.approx(20)
    # 4 sqrt((n^2 - 1) / 12): the variance of n whole numbers in a row
    assert one(found, "axis_major_length_px") == pytest.approx(4 * math.sqrt((400 - 1) / 12))
    assert one(found, "axis_minor_length_px") == pytest.approx(4 * math.sqrt((100 - 1) / 12))
    # the major axis lies along x: a quarter turn from the y axis
    assert abs(one(found, "orientation_rad")) == pytest.approx(math.pi / 2)
    assert abs(math.cos(one(found, "feret_diameter_min_angle_rad"))) == pytest.approx(1)
    # hull: 2 (9 + 19) straight and four corners cut by sqrt(1/2)
    assert one(found, "perimeter_convex_px") == pytest.approx(56 + 4 * math.sqrt(0.5))
    # centres of the border pixels: 2 (9 + 19); each corner has two straight steps, like the rest
    assert one(found, "perimeter_px") == pytest.approx(56)
    # chords: 10 along x, 20 along y, 10 + 20 - 1 along each diagonal, those sqrt(1/2) apart
    crofton = math.pi / 4 * (10 + 20 + 2 * 29 / math.sqrt(2))
    assert one(found, "perimeter_crofton_px") == pytest.approx(crofton)
    assert one(found, "circularity") == pytest.approx(4 * math.pi * 200 / crofton**2)
    assert one(found, "roundness") == pytest.approx(4 * 200 / (math.pi * (81 + 400)))
    assert one(found, "compactness") == pytest.approx(math.sqrt(800 / math.pi / 481))
    for name in ("convexity", "solidity", "extent", "euler_number"):
        assert one(found, name) == pytest.approx(1)
    assert one(found, "centroid_y_px") == 9.5
    assert one(found, "centroid_x_px") == 16.5
    # ten rows have no middle one: the deepest centre is 5 from the outside, less half a pixel
    assert one(found, "inscribed_circle_diameter_px") == pytest.approx(9)
    assert one(found, "circumscribed_circle_diameter_px") == pytest.approx(math.hypot(9, 20))
    # Hu's first: (var_y + var_x) / A
    assert one(found, "hu_moment_1") == pytest.approx((399 + 99) / 12 / 200)


def test_feret_maximum_of_the_rectangle_is_the_longer_candidate() -> None:
    """hypot(9, 20) = 21.932 against hypot(10, 19) = 21.471."""
    found = measure(rectangle(), rectangle())
    assert one(found, "feret_diameter_max_px") == pytest.approx(21.931712)


@pytest.mark.parametrize("radius", [15.25, 30.25, 60.25])
def test_disk(radius: float) -> None:
    """A raster moves lengths of a disk by a pixel or two and the area by far less.

    The convex image's edge midpoints stick out of the disk by up to a pixel on each side.
    """
    found = measure(disk(radius), disk(radius), pixel_size_nm=(0.5, 0.5))
    assert one(found, "area_px2") == pytest.approx(math.pi * radius**2, rel=0.01)
    assert one(found, "equivalent_diameter_area_nm") == pytest.approx(radius, rel=0.005)
    for name in ("feret_diameter_max_px", "feret_diameter_min_px", "feret_diameter_mean_px"):
        assert one(found, name) == pytest.approx(2 * radius, abs=2)
    assert one(found, "circumscribed_circle_diameter_px") == pytest.approx(2 * radius, abs=2)
    assert one(found, "inscribed_circle_diameter_px") == pytest.approx(2 * radius, abs=1)
    for name in ("axis_major_length_px", "axis_minor_length_px"):
        assert one(found, name) == pytest.approx(2 * radius, rel=0.01)
    assert one(found, "perimeter_crofton_px") == pytest.approx(2 * math.pi * radius, rel=0.02)
    assert one(found, "circularity") == pytest.approx(1, abs=0.05)
    assert one(found, "convexity") == pytest.approx(1)
    assert one(found, "aspect_ratio") == pytest.approx(1)
    # Hu's first of a disk: 2 (r^2 / 4) / (pi r^2)
    assert one(found, "hu_moment_1") == pytest.approx(1 / (2 * math.pi), rel=0.002)


def test_disk_in_pixels_twice_as_high_is_still_a_disk() -> None:
    """Rows 2 high, columns 1 wide: the raster shows an ellipse 1 : 2, the particle is round."""
    squashed = disk(40.25, aspect=2.0)
    assert one(measure(squashed, squashed), "aspect_ratio") == pytest.approx(0.5, abs=0.01)
    found = measure(squashed, squashed, pixel_size_nm=(0.8, 0.4))
    assert one(found, "aspect_ratio") == pytest.approx(1, abs=0.01)
    assert one(found, "aspect_ratio_feret") == pytest.approx(1, abs=0.05)
    assert one(found, "circularity") == pytest.approx(1, abs=0.05)
    assert one(found, "area_nm2") == pytest.approx(math.pi * 16.1**2, rel=0.01)
    assert one(found, "feret_diameter_max_nm") == pytest.approx(32.2, abs=1.6)
    assert one(found, "feret_diameter_min_nm") == pytest.approx(32.2, abs=1.6)
    assert one(found, "inscribed_circle_diameter_nm") == pytest.approx(32.2, abs=1.6)
    assert one(found, "perimeter_crofton_nm") == pytest.approx(math.pi * 32.2, rel=0.03)
    # steps through pixel centres make stairs of a slanted edge: up to a tenth too long
    assert one(found, "perimeter_nm") == pytest.approx(math.pi * 32.2, rel=0.1)
    assert one(found, "hu_moment_1") == pytest.approx(1 / (2 * math.pi), rel=0.01)


def test_rod_in_pixels_twice_as_high() -> None:
    """3 rows of 2 nm by 30 columns of 1 nm: 6 nm by 30 nm."""
    labels = np.zeros((20, 50), np.uint8)
    labels[8:11, 10:40] = 1
    found = measure(labels, labels, pixel_size_nm=(2.0, 1.0))
    assert one(found, "feret_diameter_min_nm") == pytest.approx(6)
    assert one(found, "feret_diameter_orthogonal_nm") == pytest.approx(30)
    assert one(found, "inscribed_circle_diameter_nm") == pytest.approx(6)
    assert one(found, "area_nm2") == pytest.approx(180)
    assert one(found, "centroid_y_nm") == pytest.approx(18)
    assert one(found, "centroid_x_nm") == pytest.approx(24.5)


def test_ring_has_a_hole() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[4:14, 4:14] = 1
    labels[7:11, 7:11] = 0
    found = measure(labels, labels)
    assert one(found, "euler_number") == 0
    assert one(found, "area_px2") == 100 - 16
    assert one(found, "area_filled_px2") == 100
    assert one(found, "solidity") == pytest.approx(0.84)


def test_grey_values_against_their_background() -> None:
    """A step of 60 down: contrast -60, all of it in one pixel; then a ramp over four pixels."""
    labels = rectangle()
    found = measure(np.where(labels, 40, 100).astype(np.uint8), labels)
    assert one(found, "background_intensity") == 100
    assert one(found, "contrast") == -60
    assert one(found, "edge_sharpness") == pytest.approx(1)
    assert math.isnan(one(found, "contrast_to_noise"))  # a background without noise
    across = np.arange(40.0)[None, :].repeat(30, axis=0)
    bar = np.zeros((30, 40), np.uint8)
    bar[:, 10:30] = 1
    # 0 outside, 10 inside, rising by 2.5 a pixel over columns 8 … 11 and falling likewise
    ramp = np.clip(2.5 * np.minimum(across - 7.5, 31.5 - across), 0, 10)
    mean = ramp[bar > 0].mean()
    found = measure(ramp, bar)
    assert one(found, "background_intensity") == 0
    assert one(found, "edge_sharpness") == pytest.approx(2.5 / mean)


def test_background_is_local_and_leaves_the_neighbour_out() -> None:
    """The left half is at 100, the right at 200; a black neighbour lies 4 px to the right."""
    pixels = np.full((60, 80), 100, np.uint8)
    pixels[:, 50:] = 200
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40, 20:34] = 1
    labels[20:40, 38:42] = 2
    pixels[labels > 0] = 0
    found = measure(pixels, labels)
    assert found["background_intensity"].tolist() == [100, 100]
    # centroids at columns 26.5 and 39.5 of the same row
    assert found["nearest_neighbour_distance_px"].tolist() == [13, 13]
    assert found["touches_neighbour"].tolist() == [False, False]


def test_flags() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[0:4, 5:9] = 1  # at the top
    labels[4:8, 9:12] = 2  # touches the first through a corner
    labels[12:15, 12:15] = 3  # alone
    labels[18:20, 0:2] = 4  # in the corner
    found = measure(labels, labels)
    assert found["touches_border"].tolist() == [True, False, False, True]
    assert found["touches_neighbour"].tolist() == [True, True, False, False]
