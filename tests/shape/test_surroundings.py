"""Maps: the mask, the grey values around it and the other particles, at one place and scale."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.shape import cut, cut_maps
from nanolake.shape.surroundings import map_batches, unknown

MIDDLE = (np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 31.0).astype(bool)
"""The circle that a network reads."""


def two_squares(scale: int = 1) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """A square of 20 px, and 2 px right of it a smaller one; grey 200 on 100."""
    labels = np.zeros((60, 80), np.uint16)
    labels[20:40, 20:40] = 3
    labels[25:35, 42:52] = 7
    labels = np.kron(labels, np.ones((scale, scale), np.uint16))
    return labels, np.where(labels > 0, 200.0, 100.0).astype(np.float32)


def maps_of(labels: NDArray[np.uint16], pixels: NDArray[np.float32] | None) -> NDArray[np.float32]:
    return cut_maps(labels, pixels, cut(labels))


@pytest.mark.parametrize("scale", [1, 6])  # enlarged, and reduced
def test_background_is_a_quarter_and_the_particle_three(scale: int) -> None:
    labels, pixels = two_squares(scale)
    mask, grey, others = maps_of(labels, pixels)[0]
    np.testing.assert_array_equal(mask, cut(labels)[0])
    inside, outside = MIDDLE & (mask == 1.0), MIDDLE & (mask == 0.0) & (others == 0.0)
    np.testing.assert_allclose(grey[inside], 0.75, atol=1e-5)
    np.testing.assert_allclose(grey[outside], 0.25, atol=1e-5)
    np.testing.assert_allclose(grey[MIDDLE], (0.25 + 0.5 * (mask + others))[MIDDLE], atol=1e-5)
    assert others[MIDDLE].max() == pytest.approx(1.0)
    assert not others[:, :50][MIDDLE[:, :50]].any()  # the other one is to the right


def test_polarity_contrast_and_brightness_are_gone() -> None:
    labels, pixels = two_squares()
    rough = pixels + np.random.default_rng(0).normal(0.0, 8.0, pixels.shape)
    wanted = maps_of(labels, rough)
    for other in (255.0 - rough, 40.0 * rough - 7.0):
        np.testing.assert_allclose(maps_of(labels, other), wanted, atol=1e-4)


def test_what_the_mask_missed_is_seen() -> None:
    labels, pixels = two_squares()
    labels[30:40, 30:40] = 0  # a quarter was not found
    _, grey, others = maps_of(labels, pixels)[0]
    mask = cut(labels)[0]
    missed = MIDDLE & (mask == 0.0) & (grey > 0.6) & (others == 0.0)
    assert missed.sum() > 150


def test_a_quarter_turn_turns_the_maps() -> None:
    labels, pixels = two_squares()
    pixels += np.random.default_rng(1).normal(0.0, 5.0, pixels.shape).astype(np.float32)
    plain = maps_of(labels, pixels)
    turned = maps_of(np.rot90(labels).copy(), np.rot90(pixels).copy())
    for one, other in zip(turned, plain, strict=True):
        wanted = np.rot90(other, axes=(1, 2))
        np.testing.assert_allclose(one[:, MIDDLE], wanted[:, MIDDLE], atol=1e-4)


def test_batches_are_the_whole() -> None:
    labels, pixels = two_squares()
    parts = list(map_batches(labels, pixels, cut(labels), 1))
    assert [len(part) for part in parts] == [1, 1]
    np.testing.assert_array_equal(np.concatenate(parts), maps_of(labels, pixels))
    assert cut_maps(np.zeros((9, 9), np.uint8), None, np.zeros((0, 64, 64), np.float32)).shape == (
        0, 3, 64, 64,
    )  # fmt: skip


@pytest.mark.parametrize("pixels", [None, np.full((60, 80), 5.0, np.float32)])
def test_without_a_picture_or_contrast_the_mask_stands_for_it(
    pixels: NDArray[np.float32] | None,
) -> None:
    labels, _ = two_squares()
    found = maps_of(labels, pixels)
    np.testing.assert_array_equal(found, unknown(cut(labels)))
    np.testing.assert_allclose(found[:, 1], 0.25 + 0.5 * found[:, 0])
    assert not found[:, 2].any()


def test_the_border_goes_on_and_a_full_picture_has_no_background() -> None:
    labels, pixels = two_squares()
    mask, grey, _ = maps_of(labels[20:40, 20:40].copy(), pixels[20:40, 20:40].copy())[0]
    np.testing.assert_allclose(grey, 0.25 + 0.5 * mask)  # nothing to compare the particle with
    _, grey, _ = maps_of(labels[20:], pixels[20:])[0]
    assert np.abs(grey[:3, 25:40] - 0.75).max() < 1e-5  # above the border: as at the border


def test_another_shape_is_refused() -> None:
    labels, pixels = two_squares()
    with pytest.raises(PictureError, match="one picture's"):
        maps_of(labels, pixels[:-1])
