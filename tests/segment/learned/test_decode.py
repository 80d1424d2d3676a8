"""Decoding of maps into particles: with perfect maps nothing may be lost."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nanolake.segment import SegmentSettings
from nanolake.segment.learned.decode import (
    Candidates,
    Decoding,
    candidates,
    filled,
    merged,
    overlaps,
    without,
)
from nanolake.segment.learned.learned import ZOOMS, decoded, segment_with
from nanolake.segment.learned.targets import training_maps
from nanolake.segment.score import score
from nanolake.simulate.micrograph import simulate_micrograph
from nanolake.simulate.settings import MicrographSettings

RULE = Decoding()


def perfect_maps(labels, printed=None, layers=None):
    """Return the maps that the network is trained to give, (4, y, x) float32."""
    printed = np.zeros(labels.shape, bool) if printed is None else printed
    maps = training_maps(labels, printed, layers)[..., :4].transpose(2, 0, 1) / np.float32(255)
    return np.ascontiguousarray(maps, np.float32)


def disks(shape, *places):
    """Label a picture with disks (y, x, radius), later ones on top."""
    labels = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for number, (cy, cx, radius) in enumerate(places, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def sure_of(labels, *confidence, overlap=0.0):
    """Return candidates of these confidences, all of one overlap."""
    confidence = np.array([0, *confidence], np.float32)
    return Candidates(
        labels=labels, confidence=confidence, overlap=np.full_like(confidence, overlap)
    )


class Oracle:
    """A network that knows the truth at every scale, and is wrong where it is told to be."""

    def __init__(self, labels, printed=None, fragments_at=()):
        self.labels, self.printed, self.fragments_at = labels, printed, fragments_at

    def maps(self, grey):
        height, width = grey.shape
        small = cv2.resize(
            self.labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST
        ).astype(np.int32)
        printed = None
        if self.printed is not None:
            size = (width, height)
            printed = cv2.resize(self.printed.view(np.uint8), size) > 0
        maps = perfect_maps(small, printed)
        if width in self.fragments_at:
            maps[2] *= 0.5 + 0.5 * np.sin(np.arange(width) / 4).astype(np.float32)
        return maps


def test_perfect_maps_give_the_labels_back_with_full_confidence():
    labels = disks((80, 120), (30, 30, 14), (30, 57, 13), (60, 95, 9))
    found = candidates(perfect_maps(labels), RULE)
    assert score(labels, found.labels).f1(2) == 1.0
    assert found.confidence[1:].min() > 0.95


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_perfect_maps_of_simulated_micrographs_lose_no_resolved_particle(seed):
    micrograph = simulate_micrograph(
        MicrographSettings(
            height_px=160, width_px=160, touching_fraction=0.8, coverage=0.1, keep_inside=True
        ),
        seed,
    )
    found = decoded({1.0: perfect_maps(micrograph.labels)}, RULE)
    got = score(micrograph.labels, found.labels)
    assume(got.truth > 0)
    assert got.recall() >= 0.9
    assert got.precision() >= 0.9


def test_a_fragmented_fine_scale_loses_against_a_coarse_one_that_agrees_with_itself():
    labels = disks((256, 256), (128, 128, 90))
    oracle = Oracle(labels, fragments_at=(256,))
    fine_alone = candidates(oracle.maps(np.zeros((256, 256), np.float32)), RULE)
    assert fine_alone.labels.max() > 3
    found = segment_with(oracle, np.zeros((256, 256), np.float32), SegmentSettings())
    assert found.count == 1
    assert score(labels, found.labels).f1(2) == 1.0


def test_an_unsure_heap_seen_from_afar_takes_no_sure_particle_away():
    labels = disks((128, 256), *((64, x, 10) for x in range(20, 250, 30)))

    class Dreamer(Oracle):
        """At half the scale the row is one faint rod."""

        def maps(self, grey):
            if grey.shape != (64, 128):
                return super().maps(grey)
            rod = np.zeros(grey.shape, np.int32)
            rod[22:42, 2:126] = 1
            return perfect_maps(rod) * np.float32([0.6, 1, 1, 1])[:, None, None]

    grey = np.where(labels > 0, 0.2, 0.7).astype(np.float32)
    coarse = candidates(Dreamer(labels).maps(grey[::2, ::2]), RULE, coarse=True)
    assert 0.5 < coarse.confidence[1] < SegmentSettings().min_confidence
    assert segment_with(Dreamer(labels), grey, SegmentSettings()).count == 8


def test_small_particles_beside_a_large_one_are_all_found():
    labels = disks((256, 256), (90, 90, 60), (200, 40, 5), (200, 60, 5), (40, 220, 6))
    found = segment_with(
        Oracle(labels), np.zeros(labels.shape, np.float32), SegmentSettings(min_relative_area=0)
    )
    assert found.count == 4
    assert score(labels, found.labels).f1(1) == 1.0


def test_the_better_side_wins_where_two_scales_disagree():
    whole = np.zeros((10, 20), np.int32)
    whole[2:8, 2:18] = 1
    halves = whole.copy()
    halves[2:8, 10:18] = 2
    coarse = sure_of(whole, 0.7, overlap=1.0)
    for sure, count in ((0.6, 1), (0.8, 2)):
        fine = sure_of(halves, sure, sure, overlap=0.5)
        found = merged(coarse, fine, RULE)
        assert found.labels.max() == count
        assert found.confidence[1:] == pytest.approx([0.7] if count == 1 else [sure, sure])
        assert found.overlap[1:].tolist() == ([1.0] if count == 1 else [0.5, 0.5])


def test_merging_numbers_without_gaps_and_keeps_what_only_one_scale_saw():
    coarse = sure_of(disks((40, 40), (10, 10, 5)), 0.5)
    fine = sure_of(disks((40, 40), (30, 30, 5)), 0.9)
    found = merged(coarse, fine, RULE)
    assert found.labels[10, 10] == 1
    assert found.labels[30, 30] == 2
    assert found.confidence.tolist() == pytest.approx([0, 0.5, 0.9])


def test_overlap_is_the_mean_number_of_further_particles():
    # 10 x 12 pixels: over two columns of ten lies one more particle, over one of them a second
    labels = np.zeros((20, 24), np.int32)
    labels[4:14, 5:17] = 1
    layers = (labels > 0).astype(np.uint8)
    layers[4:14, 5:7] += 1
    layers[4:14, 5] += 1
    found = candidates(perfect_maps(labels, layers=layers), RULE)
    assert found.overlap.tolist() == pytest.approx([0, 3 * 10 / 120], abs=0.01)
    alone = candidates(perfect_maps(labels), RULE)
    assert alone.overlap.tolist() == [0, 0]


def test_overlaps_count_shared_pixels():
    a = np.array([[1, 1, 0], [2, 2, 2]], np.int32)
    b = np.array([[1, 0, 3], [3, 3, 1]], np.int32)
    # pairs of two labels: (1, 1) once, (2, 3) twice, (2, 1) once
    first, second, shared = overlaps(a, b)
    pairs = zip(first.tolist(), second.tolist(), shared.tolist(), strict=True)
    assert sorted(pairs) == [(1, 1, 1), (2, 1, 1), (2, 3, 2)]


def test_cores_are_filled_but_not_the_gap_between_several_particles():
    labels = np.zeros((9, 20), np.int32)
    labels[1:8, 1:8] = 1
    labels[3:6, 3:6] = 0  # a core of particle 1
    labels[1:8, 10:15] = 2
    labels[1:8, 14:19] = 3
    labels[3:6, 13:16] = 0  # a gap between 2 and 3
    labels[0, 4] = 0
    found = filled(labels)
    assert (found[3:6, 3:6] == 1).all()
    assert (found[3:6, 13:16] == 0).all()


def test_without_drops_and_numbers_anew():
    found = sure_of(np.array([[0, 1, 2, 3]], np.int32), 0.1, 0.2, 0.3)
    left = without(found, found.confidence == np.float32(0.2))
    assert left.labels.tolist() == [[0, 1, 0, 2]]
    assert left.confidence.tolist() == pytest.approx([0, 0.1, 0.3])


def test_print_is_counted_and_not_found():
    labels = disks((128, 128), (40, 40, 15))
    printed = np.zeros(labels.shape, bool)
    printed[100:110, 60:120] = True
    found = segment_with(
        Oracle(labels, printed), np.zeros(labels.shape, np.float32), SegmentSettings()
    )
    assert found.count == 1
    assert found.excluded["print"] == 1


def test_a_picture_without_particles_gives_none():
    empty = np.zeros((64, 96), np.int32)
    found = segment_with(Oracle(empty), np.zeros((64, 96), np.float32), SegmentSettings())
    assert found.count == 0
    assert found.confidence is not None
    assert found.confidence.shape == (0,)


@pytest.mark.parametrize(("inside", "polarity"), [(0.2, "dark"), (0.9, "bright")])
def test_polarity_is_read_from_the_picture(inside, polarity):
    labels = disks((96, 96), (48, 48, 20))
    grey = np.where(labels > 0, inside, 0.5).astype(np.float32)
    assert segment_with(Oracle(labels), grey, SegmentSettings()).polarity == polarity


def test_confidence_and_overlap_are_in_the_order_of_the_labels():
    # the left disk's distances are spoiled, so it must be the less confident one; over it lies one
    labels = disks((128, 128), (90, 30, 18), (30, 90, 18))
    maps = perfect_maps(labels, layers=np.where(labels == 1, 2, 1).astype(np.uint8))
    maps[2][:, :64] *= 0.75
    found = decoded({1.0: maps}, RULE)

    class Fixed:
        def maps(self, grey):
            return maps if grey.shape == labels.shape else np.zeros((4, *grey.shape), np.float32)

    got = segment_with(Fixed(), np.zeros(labels.shape, np.float32), SegmentSettings())
    assert found.labels.max() == 2
    assert got.labels[30, 90] == 1  # raster order: the upper right one first
    assert got.confidence[0] > got.confidence[1]
    assert got.overlap.tolist() == pytest.approx([0, 1])
    assert len(ZOOMS) > 1
