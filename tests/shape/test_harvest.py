"""Crops cut from segmented simulated micrographs carry the truth of the right crystal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nanolake.shape.crops import cut
from nanolake.shape.harvest import Harvest, harvest
from nanolake.shape.surroundings import cut_maps
from nanolake.simulate import MicrographSettings, simulate_micrograph
from nanolake.simulate.any_shape import draw_shape_settings

PICTURE = simulate_micrograph(
    MicrographSettings(height_px=200, width_px=200, count=8, keep_inside=True, hidden_below=0.0), 4
)


def _alone() -> np.ndarray:
    """Return the rows of crystals that are whole and in plain sight."""
    known = PICTURE.particles
    return np.flatnonzero(
        (known["visible_fraction"] >= 0.7) & ~known["touches_border"] & ~known["touches_print"]
    )


def test_a_faultless_segmentation_gives_every_crystal() -> None:
    found = harvest(PICTURE, PICTURE.labels, crop_px=64)
    rows = _alone()
    np.testing.assert_array_equal(found.p, PICTURE.particles["p"][rows])
    np.testing.assert_array_equal(found.iou, 1.0)
    chosen = np.isin(np.unique(PICTURE.labels[PICTURE.labels > 0]), rows + 1)
    masks = cut(PICTURE.labels, size=64)
    wanted = cut_maps(PICTURE.labels, PICTURE.pixels, masks)[chosen]
    np.testing.assert_allclose(found.maps(), wanted, atol=0.5 / 255 + 1e-6)
    area = PICTURE.particles["area_px"][rows]
    np.testing.assert_allclose(found.size_px, 2 * np.sqrt(area / np.pi))


def test_numbers_of_the_labels_do_not_matter() -> None:
    count = int(PICTURE.labels.max())
    other = np.concatenate([[0], np.random.default_rng(0).permutation(count) + 5]).astype(np.uint16)
    plain = harvest(PICTURE, PICTURE.labels, crop_px=64)
    renumbered = harvest(PICTURE, other[PICTURE.labels], crop_px=64)
    assert len(plain) == len(renumbered) > 2
    pairs = np.argsort(plain.p), np.argsort(renumbered.p)
    np.testing.assert_array_equal(plain.maps(pairs[0]), renumbered.maps(pairs[1]))


def test_masks_of_nothing_and_poor_masks_are_left_out() -> None:
    assert len(harvest(PICTURE, np.zeros_like(PICTURE.labels), crop_px=64)) == 0
    labels = PICTURE.labels.copy()
    row = _alone()[0]
    inside = np.argwhere(labels == row + 1)
    gone = inside[: int(0.6 * len(inside))]  # 40 % of the crystal is left: IoU 0.4
    labels[gone[:, 0], gone[:, 1]] = 0
    found = harvest(PICTURE, labels, crop_px=64)
    assert len(found) == len(_alone()) - 1
    assert PICTURE.particles["p"][row] not in found.p


def test_saved_and_joined(tmp_path: Path) -> None:
    found = harvest(PICTURE, PICTURE.labels, crop_px=64)
    found.save(tmp_path / "b.npz")
    replace(found, p=found.p + 1).save(tmp_path / "a.npz")
    both = Harvest.of_folder(tmp_path)
    np.testing.assert_array_equal(both.p, np.concatenate([found.p + 1, found.p]))
    assert len(both.first(3)) == 3
    assert not list(tmp_path.glob("*.writing"))


def test_micrographs_of_every_shape() -> None:
    drawn = [draw_shape_settings(seed) for seed in range(6)]
    assert drawn[0] == draw_shape_settings(0)
    assert drawn[0] != drawn[1]
    assert len({family.d for one in drawn for family in one.families}) == 6
    assert all(
        family.solid == "outline" and not family.p_sd for f in drawn for family in f.families
    )
    picture = simulate_micrograph(drawn[0], 0)
    assert np.isfinite(picture.particles["p"]).all()  # the truth is known for every crystal
    assert 0 < picture.count < 150
