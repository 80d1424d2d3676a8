"""The camera and the reproduction: noise, enlargement, display, compression."""

from __future__ import annotations

import numpy as np
import pytest

from nanolake.errors import SettingsError
from nanolake.simulate import Family, MicrographSettings, simulate_micrograph
from nanolake.simulate.camera import compress, expose, record

SIDE = 192
STILL = {"height_px": SIDE, "width_px": SIDE, "blur_px": 0.0, "detector_blur_px": 0.0}
COUNTED = {**STILL, "bit_depth": 16, "dose": 100.0}


def electrons(seed: int = 0, **values: object) -> np.ndarray:
    """Record an even signal of 1; 16-bit counts are 12 an electron plus 100."""
    settings = MicrographSettings.build({**COUNTED, **values})
    flat = np.ones((SIDE, SIDE), np.float32)
    return (record(settings, flat, np.random.default_rng(seed)).astype(float) - 100.0) / 12.0


def shown(level: np.ndarray, **values: object) -> np.ndarray:
    """Display a signal at so high a dose that its noise is below one grey."""
    settings = MicrographSettings.build({**STILL, "dose": 1e6, **values})
    return np.asarray(record(settings, level.astype(np.float32), np.random.default_rng(0)))


def ramp() -> np.ndarray:
    return np.tile(np.linspace(0.5, 1.0, SIDE), (SIDE, 1))


def test_an_enlarged_picture_has_noise_of_larger_pixels() -> None:
    # Recorded at a third of the size and repeated: each 3 x 3 block is one pixel of Poisson noise
    # of 100 electrons, sd 10.
    counts = electrons(enlarged=3.0, enlarged_by="nearest")
    blocks = counts.reshape(SIDE // 3, 3, SIDE // 3, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert counts.std() == pytest.approx(10.0, rel=0.05)
    smooth = electrons(enlarged=3.0, enlarged_by="linear")
    assert smooth.std() < 0.9 * counts.std()
    assert smooth.mean() == pytest.approx(100.0, rel=0.01)


@pytest.mark.parametrize("by", ["nearest", "linear", "cubic"])
def test_enlarging_moves_nothing(by: str) -> None:
    # The centroid of what a disc takes out of the beam stays within a tenth of a pixel, also for a
    # factor that does not divide the side.
    y, x = np.mgrid[:SIDE, :SIDE]
    signal = 1.0 - 0.9 * ((y - 80.3) ** 2 + (x - 110.7) ** 2 < 30.0**2)
    settings = MicrographSettings.build(
        {**COUNTED, "dose": 4000.0, "enlarged": 2.7, "enlarged_by": by}
    )
    pixels = record(settings, signal.astype(np.float32), np.random.default_rng(0))
    taken = np.clip(0.9 * 4000.0 * 12.0 - pixels.astype(float), 0.0, None)
    centre = [(taken * axis).sum() / taken.sum() for axis in (y, x)]
    assert centre == pytest.approx([80.3, 110.7], abs=0.1)


def test_labels_do_not_know_of_the_camera() -> None:
    values = {"height_px": 128, "width_px": 128, "families": (Family(diameter_nm=6.0),)}
    rough = {"enlarged": 2.5, "sharpen": 2.0, "row_noise": 0.05, "hot_pixels": 0.01,
             "vignette": 0.5, "black_level": -0.2, "white_level": 1.3, "grey_levels": 16,
             "jpeg_quality": 20, "jpeg_before": 15, "reproduced_blur_px": 1.0,
             "readout_sd": 5.0}  # fmt: skip
    plain = simulate_micrograph(MicrographSettings.build(values), 2)
    worn = simulate_micrograph(MicrographSettings.build({**values, **rough}), 2)
    np.testing.assert_array_equal(plain.labels, worn.labels)
    assert np.unique(worn.pixels).size > 1


def test_rows_differ_by_their_noise() -> None:
    # Row means of 192 pixels of 100 electrons have an sd of 0.7 from counting alone.
    assert electrons().mean(axis=1).std() < 1.2
    assert electrons(row_noise=0.1).mean(axis=1).std() == pytest.approx(10.0, rel=0.25)


def test_readout_noise_adds_in_squares() -> None:
    # sqrt(100 + 20^2) electrons.
    assert electrons(readout_sd=20.0).std() == pytest.approx(np.sqrt(500.0), rel=0.03)


def test_hot_pixels_are_stuck_at_the_ends() -> None:
    counts, clean = electrons(hot_pixels=0.02), electrons()
    changed = counts != clean
    assert changed.mean() == pytest.approx(0.02, abs=0.004)
    assert set(np.unique(counts[changed])) <= {clean.min(), clean.max()}


def test_levels_place_the_ends_and_cut_beyond() -> None:
    weak = shown(ramp(), black_level=0.3, white_level=0.6)
    assert weak.min() == pytest.approx(0.3 * 255, abs=3)
    assert weak.max() == pytest.approx(0.6 * 255, abs=3)
    # From -0.5 to 1.5 the middle half of the ramp spans the greys, a quarter is cut at each end.
    cut = shown(ramp(), black_level=-0.5, white_level=1.5)
    assert (cut == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert (cut == 255).mean() == pytest.approx(0.25, abs=0.02)


def test_few_greys_are_evenly_spaced() -> None:
    greys = np.unique(shown(ramp(), grey_levels=16, black_level=0.0, white_level=1.0))
    assert greys.size == 16
    np.testing.assert_array_equal(greys, np.arange(16) * 17)


def test_sharpening_overshoots_at_an_edge_only() -> None:
    step = np.where(np.arange(SIDE) < SIDE // 2, 0.5, 1.0)[None, :] * np.ones((SIDE, 1))
    values = {"black_level": 0.3, "white_level": 0.7}
    plain, sharp = shown(step, **values), shown(step, **values, sharpen=1.0, sharpen_px=2.0)
    row = sharp[SIDE // 2].astype(int)
    assert row[SIDE // 2] > plain.max() + 20
    assert row[SIDE // 2 - 1] < plain.min() - 20
    np.testing.assert_allclose(row[:80], plain[SIDE // 2, :80], atol=3)


def test_an_earlier_jpeg_has_blocks_of_its_own() -> None:
    # The 3 rows and 5 columns of padding move the earlier grid: its block borders lie in the
    # columns 3, 11, … (8 k - 5) of the picture.
    texture = np.random.default_rng(1).integers(60, 200, (SIDE, SIDE)).astype(np.uint8)
    once = MicrographSettings.build({**STILL, "jpeg_quality": 100})
    twice = MicrographSettings.build({**STILL, "jpeg_quality": 100, "jpeg_before": 10})
    a, b = (compress(settings, texture).astype(int) for settings in (once, twice))
    assert a.shape == b.shape == texture.shape
    steps = np.abs(np.diff(b, axis=1)).mean(axis=0)
    at_border = steps[2::8].mean()
    assert at_border > 1.1 * np.delete(steps, np.s_[2::8]).mean()
    assert np.abs(a - texture).mean() < np.abs(b - texture).mean()


def test_reproduction_blurs_print_too() -> None:
    pixels = np.full((SIDE, SIDE), 200, np.uint8)
    pixels[50:60] = 0
    soft = compress(MicrographSettings.build({**STILL, "reproduced_blur_px": 1.0}), pixels)
    assert 0 < soft[49, 0] < 200
    assert soft[10, 0] == 200


def test_a_film_edge_has_a_fringe_where_asked() -> None:
    film = np.zeros((SIDE, SIDE), np.float32)
    film[:, SIDE // 2 :] = 0.3
    nothing, light = np.zeros_like(film), np.ones_like(film)
    spans = []
    for on in (False, True):
        settings = MicrographSettings.build({**STILL, "fringe": 1.0, "fringe_on_film": on})
        row = expose(settings, film, nothing, light)[SIDE // 2]
        spans.append((float(row.min()), float(row.max())))
    assert spans[0] == pytest.approx((np.exp(-0.3), 1.0))
    assert spans[1][0] < spans[0][0] - 0.02
    assert spans[1][1] > 1.02  # underfocus: bright outside the edge


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"jpeg_before": 50}, "jpeg_before needs jpeg_quality"),
        ({"black_level": 0.7, "white_level": 0.6}, "black_level=0.7"),
        ({"enlarged": 0.5}, "enlarged"),
        ({"grey_levels": 2}, "grey_levels"),
    ],
)
def test_bad_camera_settings_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        MicrographSettings.build(values)
