"""The fast split against scikit-image's h-maxima and watershed."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from nanolake.segment.split import distance_inside, split_touching


def disks(seed, count=25, size=160):
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(count):
        cv2.circle(mask, tuple(rng.integers(10, size - 10, 2).tolist()), int(rng.integers(5, 16)),
                   1, -1)  # fmt: skip
    return mask.astype(bool)


def in_steps(depth):
    """Depths in steps of 1/64 px, so that the oracle sees the same numbers."""
    return (np.rint(depth * 64) / 64).astype(np.float32)


def test_distance_is_exact_and_the_picture_edge_is_no_outside():
    mask = disks(0)
    assert np.allclose(distance_inside(mask), distance_transform_edt(mask), atol=1e-3)
    assert np.isfinite(distance_inside(np.ones((5, 9), bool))).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("height", [0.5, 1.0, 2.0])
def test_basins_are_those_of_h_maxima(seed, height):
    depth = in_steps(distance_inside(disks(seed)))
    seeds = label(h_maxima(depth, height), connectivity=2)
    basins = split_touching(depth, height_px=height, relative=0)
    assert basins.max() == seeds.max()
    numbers = range(1, basins.max() + 1)
    assert [np.unique(seeds[(basins == i) & (seeds > 0)]).size for i in numbers] == [1] * len(
        numbers
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_regions_are_nearly_those_of_the_watershed(seed):
    depth = in_steps(distance_inside(disks(seed)))
    basins = split_touching(depth, height_px=1, relative=0)
    seeds = label(h_maxima(depth, 1), connectivity=2)
    oracle = watershed(-depth, seeds, mask=depth > 0, connectivity=2)
    pairs = np.unique(np.stack([basins[seeds > 0], oracle[seeds > 0]]), axis=1)
    to_oracle = np.zeros(basins.max() + 1, int)
    to_oracle[pairs[0]] = pairs[1]
    # The two differ only in which side a pixel on the dividing line falls to.
    assert (to_oracle[basins] != oracle).mean() < 0.02


def test_relative_height_has_no_scale():
    # Two disks with a neck of 75 % of the width: parted at 20 %, whole at 30 %, at any size.
    for scale in (1, 2, 4):
        mask = np.zeros((100 * scale, 160 * scale), np.uint8)
        # neck 2 sqrt(r² - a²) = 1.5 r where the half distance a = 0.661 r, r = 30
        for x in (60, 100):
            cv2.circle(mask, (x * scale, 50 * scale), 30 * scale, 1, -1)
        depth = distance_inside(mask.astype(bool))
        assert split_touching(depth, height_px=0.5, relative=0.2).max() == 2
        assert split_touching(depth, height_px=0.5, relative=0.3).max() == 1


def test_nothing_in_nothing_out():
    assert split_touching(np.zeros((5, 6), np.float32), height_px=1, relative=0.1).max() == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_are_flooded_as_one_by_one(threads, monkeypatch):
    """A picture of many pieces, on one core or two, is each piece's own flood, put together."""
    monkeypatch.setattr("nanolake.segment.threads._LEAST_PX", 1)
    depth = in_steps(distance_inside(disks(4)))
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(threads)
        together = split_touching(depth, height_px=1, relative=0.2)
    finally:
        cv2.setNumThreads(before)
    _, pieces = cv2.connectedComponents((depth > 0).view(np.uint8), connectivity=8)
    count = 0
    for piece in range(1, int(pieces.max()) + 1):
        own = split_touching(np.where(pieces == piece, depth, 0), height_px=1, relative=0.2)
        found = np.unique(together[pieces == piece])
        assert found.size == own.max()
        assert (own > 0).sum() == (pieces == piece).sum()
        count += found.size
    assert together.max() == count
