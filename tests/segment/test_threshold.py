"""The classical methods on small drawn scenes whose particles are known."""

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.errors import PictureError, SettingsError
from nanolake.segment import SegmentSettings
from nanolake.segment import segment as by_any_method
from nanolake.segment.score import score

BACKGROUND, PARTICLE = 160, 70
THRESHOLD = SegmentSettings(method="threshold")


def segment(pixels, settings=THRESHOLD):
    return by_any_method(pixels, settings)


def scene(shape=(240, 300), *, noise=4.0, seed=0, draw=()):
    """Dark particles on a brighter background: each of ``draw`` gets the label image to fill."""
    truth = np.zeros(shape, np.int32)
    for number, shape_of in enumerate(draw, start=1):
        shape_of(truth, number)
    grey = np.where(truth > 0, PARTICLE, BACKGROUND).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), 0.8)
    grey += np.random.default_rng(seed).normal(0, noise, shape).astype(np.float32)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8), truth


def disk(x, y, radius):
    return lambda truth, number: cv2.circle(truth, (x, y), radius, number, -1)


def box(x, y, w, h, degrees=0):
    corners = cv2.boxPoints(((x, y), (w, h), degrees)).astype(np.int32)
    return lambda truth, number: cv2.fillPoly(truth, [corners], number)


def star(x, y, outer, inner, arms=5):
    angles = np.arange(2 * arms) * np.pi / arms
    radii = np.where(np.arange(2 * arms) % 2, inner, outer)
    points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1)
    return lambda truth, number: cv2.fillPoly(truth, [np.rint(points).astype(np.int32)], number)


APART = (disk(50, 50, 18), disk(140, 60, 14), box(220, 70, 40, 24, 20), disk(90, 170, 20))


def test_separate_particles_are_found_in_place():
    pixels, truth = scene(draw=APART)
    found = segment(pixels)
    assert found.polarity == "dark"
    assert found.method == "threshold"
    assert found.labels.dtype == np.uint16
    assert score(truth, found.labels).matched[1] == 4
    assert found.count == 4


def test_labels_are_numbered_in_raster_order_without_gaps():
    found = segment(scene(draw=APART)[0]).labels
    ids, first = np.unique(found, return_index=True)
    assert ids.tolist() == [0, 1, 2, 3, 4]
    assert (np.diff(first[1:]) > 0).all()


def test_touching_disks_are_parted_a_star_stays_whole():
    # Two disks of radius 20 whose centres are 38 px apart: the neck is 2 sqrt(20² - 19²) = 12.5
    # px wide, far under 80 % of 40 px. A five-armed star has one deepest point.
    pixels, truth = scene(draw=(disk(60, 60, 20), disk(98, 60, 20), star(200, 150, 60, 26)))
    truth[(truth == 1) & (np.arange(300) > 79)] = 2
    found = segment(pixels).labels
    assert found.max() == 3
    assert score(truth, found).matched[1] == 3


def test_inverted_picture_gives_nearly_the_same_labels():
    pixels, _ = scene(draw=APART)
    dark, bright = segment(pixels), segment(255 - pixels)
    assert (dark.polarity, bright.polarity) == ("dark", "bright")
    assert (dark.labels != bright.labels).mean() < 1e-3


def test_close_packed_disks_keep_their_polarity():
    # Particles cover more than half of the picture and most of its edge.
    draw = [disk(20 + 38 * i + 19 * (j % 2), 16 + 33 * j, 18) for i in range(8) for j in range(7)]
    pixels, truth = scene(draw=draw)
    assert (truth > 0).mean() > 0.6
    assert segment(pixels).polarity == "dark"
    assert segment(255 - pixels).polarity == "bright"


def test_threads_change_nothing():
    pixels, _ = scene(draw=APART, noise=12.0)
    before, results = cv2.getNumThreads(), []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            results.append(segment(pixels, SegmentSettings(method="threshold")))
    finally:
        cv2.setNumThreads(before)
    assert np.array_equal(results[0].labels, results[1].labels)
    assert results[0].excluded == results[1].excluded


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_picture_gives_the_same_areas(turns):
    pixels, _ = scene(draw=APART)
    upright = np.sort(np.bincount(segment(pixels).labels.ravel())[1:])
    turned = np.sort(np.bincount(segment(np.rot90(pixels, turns)).labels.ravel())[1:])
    assert len(upright) == len(turned)
    assert np.allclose(upright, turned, rtol=0.03)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    gain=st.sampled_from([1, 13, 200]),
    offset=st.integers(0, 5000),
    dtype=st.sampled_from([np.uint16, np.int32, np.uint32, np.float32, np.float64]),
)
def test_bit_depth_and_unit_of_grey_do_not_matter(gain, offset, dtype):
    pixels, _ = scene(draw=APART)
    other = (pixels.astype(np.int64) * gain + offset).astype(dtype)
    assert (segment(pixels).labels != segment(other).labels).mean() < 1e-3


def test_grey_values_far_from_zero_keep_their_contrast():
    pixels, _ = scene(draw=APART)
    assert segment(pixels.astype(np.float64) * 1e-3 + 1e6).count == 4


@pytest.mark.parametrize("shape", [(64, 64), (256, 300)])
@pytest.mark.parametrize("smooth", [0, 1.5])
def test_noise_only_gives_no_particle(shape, smooth):
    noise = np.random.default_rng(3).normal(100, 10, shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), smooth) if smooth else noise
    assert segment(noise).count == 0


@pytest.mark.parametrize("method", ["threshold", "williamson2022"])
def test_constant_picture_gives_no_particle_and_no_warning(method):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = segment(np.full((64, 80), 7, np.uint8), SegmentSettings(method=method))
    assert found.count == 0
    assert found.labels.shape == (64, 80)


def test_border_particles_are_removed_and_counted():
    pixels, _ = scene(draw=(*APART, disk(0, 120, 15), disk(299, 200, 15)))
    assert segment(pixels).excluded["border"] == 2
    assert segment(pixels).count == 4
    assert segment(pixels, SegmentSettings(method="threshold", remove_border=False)).count == 6


def test_scale_bar_and_its_text_are_removed_and_counted():
    pixels, _ = scene((400, 400), draw=APART)
    cv2.rectangle(pixels, (280, 380), (370, 386), 0, -1)
    cv2.putText(pixels, "50 nm", (285, 370), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2)
    found = segment(pixels)
    assert found.count == 4
    assert found.excluded["print"] >= 1
    assert segment(pixels, SegmentSettings(method="threshold", remove_print=False)).count > 4


def test_data_bar_is_no_part_of_the_picture():
    pixels, _ = scene((300, 300), draw=APART)
    pixels[260:] = 255
    cv2.putText(pixels, "200 kV  x50000", (10, 285), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1)
    found = segment(pixels)
    assert found.count == 4
    assert not found.labels[258:].any()


def test_dots_of_five_pixels_are_found():
    places = [(20 + 30 * i, 20 + 30 * j) for i in range(9) for j in range(7)]
    pixels, truth = scene(draw=[disk(x, y, 2) for x, y in places], noise=3.0)
    result = score(truth, segment(pixels).labels)
    assert result.recall() > 0.95
    assert result.precision() > 0.95


def test_one_crystal_over_most_of_the_picture():
    pixels, truth = scene((500, 460), draw=(disk(230, 250, 200),))
    assert score(truth, segment(pixels).labels).matched[2] == 1


def test_gradient_of_illumination_is_flattened():
    pixels, truth = scene(draw=APART)
    slope = np.linspace(0, 80, 300)[None] - np.linspace(0, 40, 240)[:, None]
    assert score(truth, segment(pixels + slope).labels).matched[0] == 4


def test_twice_as_large_gives_the_same_count():
    pixels, _ = scene(draw=(*APART, disk(200, 180, 15), disk(228, 180, 15)))
    doubled = cv2.resize(pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert segment(doubled).count == segment(pixels).count == 6


def test_hollow_particle_is_filled_and_a_gap_between_three_is_not():
    def ring(truth, number):
        cv2.circle(truth, (70, 120), 30, number, 16)

    centres = [(200, 80), (244, 80), (222, 118)]
    pixels, _ = scene(draw=(ring, *(disk(x, y, 22) for x, y in centres)))
    found = segment(pixels).labels
    assert found[120, 70] > 0
    assert found[93, 222] == 0
    assert found.max() == 4


def test_outlier_is_removed_only_on_request():
    pixels, _ = scene(draw=(disk(30, 30, 18), disk(90, 30, 18), disk(150, 30, 18),
                            disk(150, 150, 50)))  # fmt: skip
    assert segment(pixels).count == 4
    found = segment(pixels, SegmentSettings(method="threshold", max_relative_area=5))
    assert (found.count, found.excluded["outlier"]) == (3, 1)


def test_input_is_not_changed_and_result_repeats():
    pixels, _ = scene(draw=APART)
    before = pixels.copy()
    first, second = segment(pixels), segment(pixels)
    assert np.array_equal(pixels, before)
    assert np.array_equal(first.labels, second.labels)


def test_published_constants_drop_what_is_small_and_cut():
    # Radius 20 is 1,257 px², after erosion by 5 px about 707: under 900, dropped. Radius 30
    # leaves 1,963. The cut disk goes with the border.
    pixels, _ = scene((300, 300), draw=(disk(60, 60, 20), disk(150, 170, 30),
                                            disk(0, 200, 40)))  # fmt: skip
    found = segment(pixels, SegmentSettings(method="williamson2022", polarity="dark"))
    assert found.count == 1
    assert found.labels[170, 150] == 1
    assert found.excluded["border"] == 1
    assert found.excluded["small"] >= 1


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((3, 4, 5)), "not_an_image"),
        (np.zeros((4, 5), complex), "not_an_image"),
        (np.zeros((0, 5)), "empty"),
        (np.full((9, 9), np.nan), "not_finite"),
        (np.where(np.eye(9) > 0, np.inf, 0.0), "not_finite"),
    ],
)
def test_bad_pictures_are_refused_with_a_reason(pixels, reason):
    with pytest.raises(PictureError) as caught:
        segment(pixels)
    assert caught.value.reason == reason


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 3), (7, 400)])
def test_tiny_and_narrow_pictures_are_no_error(shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert segment(pixels).labels.shape == shape


def test_unknown_method_is_refused():
    with pytest.raises(SettingsError, match="method"):
        SegmentSettings.build({"method": "magic"})


def test_noisy_particles_are_not_taken_for_print():
    # Noise cuts a particle's extreme grey values into crumbs that look like strokes.
    places = [(30 + 50 * i, 30 + 50 * j, 18) for i in range(8) for j in range(8)]
    pixels, truth = scene((430, 430), draw=[disk(*place) for place in places], noise=12)
    found = segment(pixels)
    assert found.excluded["print"] == 0
    assert score(truth, found.labels).matched[0] == 64
