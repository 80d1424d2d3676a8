"""The training data: seeds, shapes, and maps that stay on their picture."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from nanolake.segment.learned.data import (  # noqa: E402
    FixedScenes,
    Scene,
    SimulatedCrops,
    fixed_scenes,
    scene,
    worn_crop,
)
from nanolake.segment.learned.settings import SegmenterTrainSettings  # noqa: E402
from nanolake.segment.learned.targets import training_maps  # noqa: E402

TINY = SegmenterTrainSettings.short(crop_px=64, micrograph_px=128, batch_size=2, pool=4)


def disc(side_px: int = 128) -> Scene:
    """One bright disc beside the middle on a dark ground, grey as its own map."""
    y, x = np.mgrid[:side_px, :side_px]
    labels = ((y - 50) ** 2 + (x - 80) ** 2 < 30**2).astype(np.uint16)
    maps = training_maps(labels, np.zeros(labels.shape, bool))
    return Scene(labels.astype(np.float32), maps, labels)


def test_a_seed_is_a_picture() -> None:
    a, again, other = (scene(seed, 128) for seed in ((7, 1), (7, 1), (7, 2)))
    np.testing.assert_array_equal(a.grey, again.grey)
    np.testing.assert_array_equal(a.maps, again.maps)
    assert not np.array_equal(a.grey, other.grey)
    assert a.grey.dtype == np.float32
    assert 0 <= a.grey.min() < a.grey.max() <= 1
    assert a.maps.shape == (128, 128, 5)
    assert np.array_equal(a.maps[..., 0] > 0, a.labels > 0)


@pytest.mark.parametrize("kind", ["piled_share", "many_shapes_share"])
def test_a_share_of_the_pictures_is_of_a_kind(kind: str) -> None:
    """The others are what they are without any: a share of 0.5 mixes both."""
    numbers = range(12)
    none, half, all_ = (
        [scene((0, number), 128, **{kind: share}).labels for number in numbers]
        for share in (0.0, 0.5, 1.0)
    )
    same = [np.array_equal(a, b) for a, b in zip(none, half, strict=True)]
    assert 2 < sum(same) < 10
    for number in numbers:
        assert np.array_equal(half[number], (none if same[number] else all_)[number])


@pytest.mark.parametrize("seed", range(12))
def test_maps_follow_the_picture_through_wear(seed: int) -> None:
    # Inverting, bending, noise and blur leave |correlation| of a picture with itself high; a crop,
    # turn or flip applied to one and not to the other would not.
    rng = np.random.default_rng(seed)
    grey, maps = worn_crop(disc(), 64, (0.5, 1.0), rng)
    assert grey.shape == (64, 64)
    assert maps.shape == (5, 64, 64)
    assert grey.dtype == maps.dtype == np.float32
    assert 0 <= grey.min() <= grey.max() <= 1
    assert 0 <= maps[:4].min() <= maps[:4].max() <= 1
    assert maps[0].std() > 0.1, "the disc covers a part of every crop of these seeds"
    assert abs(np.corrcoef(grey.ravel(), maps[0].ravel())[0, 1]) > 0.85


def test_half_of_the_crops_are_inverted() -> None:
    rng = np.random.default_rng(0)
    crops = [worn_crop(disc(), 64, (0.5, 0.5), rng) for _ in range(60)]
    bright = [grey[maps[0] > 0.9].mean() > grey[maps[0] < 0.1].mean() for grey, maps in crops]
    assert 15 < sum(bright) < 45


def test_every_epoch_and_worker_sees_other_micrographs() -> None:
    seeds = ((0, 1, 0, 0), (0, 1, 1, 0), (0, 1, 0, 1), (0, 1, 0, 0))
    a, epoch, worker, again = (next(iter(SimulatedCrops(TINY, seed, 1))) for seed in seeds)
    assert all(torch.equal(x, y) for x, y in zip(a, again, strict=True))
    for other in (epoch, worker):
        assert a[0].shape != other[0].shape or not torch.equal(a[0], other[0])


def test_batches_from_near_and_from_afar() -> None:
    batches = list(SimulatedCrops(TINY, (0, 5, 0, 0), 12))
    assert len(batches) == len(SimulatedCrops(TINY, (0, 5, 0, 0), 12))
    shapes = {tuple(grey.shape) for grey, _ in batches}
    assert shapes == {(2, 1, 64, 64), (8, 1, 32, 32)}  # the same pixels in both
    assert all(maps.shape == (len(grey), 5, *grey.shape[2:]) for grey, maps in batches)


def test_fixed_scenes_are_fixed_and_the_test_is_not_the_validation() -> None:
    first, again = (next(fixed_scenes(1, 128)) for _ in range(2))
    np.testing.assert_array_equal(first.grey, again.grey)
    (validation,) = FixedScenes(TINY, range(1))
    assert validation[0].shape == (1, 1, 128, 128)
    assert not np.array_equal(validation[0][0, 0].numpy(), first.grey)
