"""The shipped network on drawn and simulated pictures: what must hold whatever the weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from nanolake.segment import SegmentSettings, segment
from nanolake.segment.learned.model import SHIPPED
from nanolake.segment.run import weights_id
from nanolake.segment.score import pool, score
from nanolake.simulate import Family, MicrographSettings, draw_settings, simulate_micrograph

pytestmark = pytest.mark.skipif(not SHIPPED.exists(), reason="no weights in this checkout")
LEARNED = SegmentSettings(method="learned")
SIDE = 256


def drawn(*disks, inside=70, outside=160, noise=4.0):
    """Return a picture of blurred dark disks (y, x, radius) and its labels."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (y, x, radius) in enumerate(disks, start=1):
        cv2.circle(labels, (x, y), radius, number, -1)
    grey = cv2.GaussianBlur(np.where(labels > 0, inside, outside).astype(np.float32), (0, 0), 0.8)
    grey += np.random.default_rng(0).normal(0, noise, grey.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8), labels


APART = ((50, 60, 18), (60, 150, 14), (150, 70, 22), (170, 180, 20))


def test_the_default_method_is_the_network():
    pixels, truth = drawn(*APART)
    found = segment(pixels)
    assert found.method == "learned"
    assert score(truth, found.labels).f1(1) == 1.0


def test_each_particle_has_a_confidence():
    found = segment(drawn(*APART)[0], LEARNED)
    assert found.confidence is not None
    assert found.confidence.shape == (found.count,)
    assert (found.confidence >= LEARNED.min_confidence).all()
    assert (found.confidence <= 1).all()


def test_a_negative_gives_the_same_labels():
    # The camera's 0 … 255 have 255 - x as their negative: not one label may differ.
    for seed in (1, 5):
        pixels = simulate_micrograph(draw_settings(seed, side_px=256), seed).pixels
        top = np.iinfo(pixels.dtype).max
        given, negative = segment(pixels, LEARNED), segment(top - pixels, LEARNED)
        np.testing.assert_array_equal(given.labels, negative.labels)
        assert {given.polarity, negative.polarity} == {"dark", "bright"}
        named = SegmentSettings(method="learned", polarity=given.polarity)
        np.testing.assert_array_equal(segment(pixels, named).labels, given.labels)


def test_what_has_the_other_polarity_is_no_particle():
    pixels, _ = drawn(*APART)
    cv2.circle(pixels, (220, 110), 12, 235, -1)  # a bright hole in the film
    assert segment(pixels, LEARNED).count == len(APART)


def test_touching_disks_are_parted():
    pixels, labels = drawn((100, 100, 20), (100, 139, 20))
    assert score(labels, segment(pixels, LEARNED).labels).f1(1) == 1.0


@pytest.mark.parametrize(("diameter_nm", "count"), [(3, 60), (12, 25), (45, 4)])
def test_every_size_is_found_on_simulated_micrographs(diameter_nm, count):
    family = Family(p=2.0, diameter_nm=diameter_nm, diameter_sd_nm=0.1 * diameter_nm)
    settings = MicrographSettings(
        height_px=384, width_px=384, families=(family,), count=count, touching_fraction=0.0
    )
    pictures = [simulate_micrograph(settings, seed) for seed in (1, 2)]
    total = pool(score(p.labels, segment(p.pixels, LEARNED).labels) for p in pictures)
    assert total.f1() > 0.9
    fitted = SegmentSettings(method="learned", edges="fitted")
    total = pool(score(p.labels, segment(p.pixels, fitted).labels) for p in pictures)
    assert abs(total.size_bias) < 0.06


def test_border_particles_are_removed_and_counted():
    pixels, _ = drawn(*APART, (120, 0, 15), (250, 110, 14))
    found = segment(pixels, LEARNED)
    assert found.excluded["border"] == 2
    assert found.count == len(APART)
    kept = segment(pixels, SegmentSettings(method="learned", remove_border=False))
    assert kept.count == len(APART) + 2


def test_a_boxed_scale_bar_is_no_particle_and_is_counted():
    pixels, _ = drawn(*APART)
    pixels[215:250, 130:245] = 255
    pixels[240:244, 140:235] = 0
    cv2.putText(pixels, "50 nm", (145, 235), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 2)
    found = segment(pixels, LEARNED)
    assert found.count == len(APART)
    assert found.excluded["print"] >= 1


@pytest.mark.parametrize("shape", [(64, 80), (1, 1), (3, 50), (7, 400)])
def test_constant_tiny_and_narrow_pictures_give_no_particle(shape):
    found = segment(np.full(shape, 7, np.uint8), LEARNED)
    assert found.count == 0
    assert found.labels.shape == shape


def test_noise_gives_no_particle():
    noise = np.random.default_rng(3).normal(100, 10, (256, 300)).astype(np.float32)
    assert segment(noise, LEARNED).count == 0


def test_input_is_not_changed_and_the_result_repeats():
    pixels, _ = drawn(*APART)
    before = pixels.copy()
    first, second = segment(pixels, LEARNED), segment(pixels, LEARNED)
    assert np.array_equal(pixels, before)
    assert np.array_equal(first.labels, second.labels)


def test_weights_name_the_way_of_segmenting():
    assert weights_id(SegmentSettings(method="threshold")) is None
    named = weights_id(LEARNED)
    assert named is not None
    assert len(named) == 16
