"""Colours on the right pixels, a scale bar of the right length, clear refusals."""

import itertools

import cv2
import numpy as np
import pytest

from nanolake.report import (
    GROUP_COLOURS,
    UNASSIGNED,
    Crop,
    ReportError,
    colour_of,
    cut_crop,
    montage,
    overlay,
    write_overlay,
)
from nanolake.report.colours import rgb
from nanolake.report.overlay import draw_scale_bar, neighbour_colours, outline_mask, stretch


def two_squares():
    """Label 1: rows and columns 10 to 29; label 2: rows 10 to 29, columns 40 to 59."""
    labels = np.zeros((50, 80), np.uint16)
    labels[10:30, 10:30], labels[10:30, 40:60] = 1, 2
    return np.where(labels > 0, 40, 200).astype(np.uint8), labels


def test_outline_lies_inside_its_label_in_its_groups_colour():
    pixels, labels = two_squares()
    picture = overlay(pixels, labels, groups=np.array([0, 2, 1]))
    assert picture.dtype == np.uint8
    assert picture.shape == (50, 80, 3)
    assert tuple(picture[10, 10]) == rgb(GROUP_COLOURS[1])
    assert tuple(picture[29, 20]) == rgb(GROUP_COLOURS[1])
    assert tuple(picture[20, 40]) == rgb(GROUP_COLOURS[0])
    assert tuple(picture[9, 10]) == tuple(picture[0, 0]) == (255, 255, 255)


def test_inside_is_tinted_lightly():
    pixels, labels = two_squares()
    # Inside, the picture is black after stretching: 65 % of it and 35 % of blue (0, 114, 178).
    picture = overlay(pixels, labels, groups={1: 1})
    assert tuple(picture[20, 20]) == (0, int(0.35 * 114), int(0.35 * 178))


@pytest.mark.parametrize("groups", [{2: 1}, {1: None, 2: 1}, {1: 0}, [0, float("nan"), 1]])
def test_what_is_not_grouped_is_grey(groups):
    pixels, labels = two_squares()
    assert tuple(overlay(pixels, labels, groups=groups)[10, 10]) == rgb(UNASSIGNED)


def test_touching_particles_differ_without_groups():
    labels = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((9, 9), int)).astype(np.int32)
    chosen = neighbour_colours(labels, 64)[labels]
    edge = labels[:, 1:] != labels[:, :-1]
    assert (chosen[:, 1:] != chosen[:, :-1])[edge].all()
    edge = labels[1:] != labels[:-1]
    assert (chosen[1:] != chosen[:-1])[edge].all()


def test_outline_mask_by_hand():
    labels = np.zeros((5, 7), np.int32)
    labels[1:4, 1:4], labels[1:4, 4:6] = 1, 2  # touching: both have an outline where they meet
    expected = labels > 0
    expected[2, 2] = False  # the only pixel whose eight neighbours are all of its own label
    assert (outline_mask(labels) == expected).all()


@pytest.mark.parametrize(
    ("nm_per_px", "nm", "px"),
    [(0.5, 50.0, 100), (1.0, 100.0, 100), (0.31, 20.0, 65), (0.02, 2.0, 100), (30.0, 2000.0, 67)],
)
def test_scale_bar_has_the_length_that_it_says(nm_per_px, nm, px):
    # A picture 500 px wide: the bar is the longest of 1, 2, 5 * 10^k nm in 100 px.
    picture = np.zeros((400, 500, 3), np.uint8)
    assert draw_scale_bar(picture, nm_per_px) == (nm, px)
    white = (picture == 255).all(axis=2)
    longest = max(len(list(run)) for row in white for on, run in itertools.groupby(row) if on)
    assert longest == px


def test_scale_bar_counts_reduced_pixels():
    pixels = np.full((400, 3000), 10, np.uint8)
    labels = np.zeros((400, 3000), np.uint16)
    picture = overlay(pixels, labels, pixel_size_nm=(9.0, 1.0), max_side_px=1000)
    # 3,000 nm over 1,000 px: 3 nm a pixel along the bar, 500 nm in at most 200 px: 167 px.
    white = (picture == 255).all(axis=2)
    assert picture.shape == (133, 1000, 3)
    assert max(len(list(r)) for row in white for on, r in itertools.groupby(row) if on) == 167


def test_no_pixel_size_draws_no_bar():
    pixels, labels = two_squares()
    with_bar = overlay(pixels, labels, groups={}, pixel_size_nm=1.0)
    without = overlay(pixels, labels, groups={})
    assert (without[45:, 60:] == without[45, 60]).all()
    assert (with_bar != without).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_any_dtype_gives_the_same_picture(dtype):
    pixels, labels = two_squares()
    assert (overlay(pixels.astype(dtype), labels) == overlay(pixels, labels)).all()


def test_stretch_of_odd_pictures():
    assert (stretch(np.full((4, 4), 7.0)) == 128).all()
    assert (stretch(np.full((4, 4), np.nan)) == 0).all()
    ramp = np.linspace(0, 1, 10_000).reshape(100, 100)
    ramp[0, 0] = np.nan
    assert stretch(ramp)[0, 0] == 0
    assert stretch(ramp).max() == 255


def test_inputs_are_not_changed():
    pixels, labels = two_squares()
    kept = pixels.copy(), labels.copy()
    overlay(pixels, labels, pixel_size_nm=1.0)
    assert (pixels == kept[0]).all()
    assert (labels == kept[1]).all()


def test_no_particles_leaves_a_grey_picture():
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    picture = overlay(pixels, np.zeros((20, 20), np.uint16))
    assert (picture == picture[..., :1]).all()


@pytest.mark.parametrize("name", ["a.png", "ünï code.png"])
def test_written_picture_reads_back_the_same(tmp_path, name):
    pixels, labels = two_squares()
    path = write_overlay(tmp_path / name, pixels, labels, groups={1: 1, 2: 2})
    back = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert (back[..., ::-1] == overlay(pixels, labels, groups={1: 1, 2: 2})).all()


def test_bad_input_is_named(tmp_path):
    pixels, labels = two_squares()
    with pytest.raises(ReportError, match=r"\(50, 80\) and \(50, 79\)"):
        overlay(pixels, labels[:, :-1])
    with pytest.raises(ReportError, match="whole numbers"):
        overlay(pixels, labels.astype(float))
    with pytest.raises(ReportError, match="has 2 entries but the largest label is 2"):
        overlay(pixels, labels, groups=[0, 1])
    with pytest.raises(ReportError, match="pixel_size_nm=-1"):
        overlay(pixels, labels, pixel_size_nm=-1)
    with pytest.raises(ReportError, match=r"\.tif"):
        write_overlay(tmp_path / "a.tif", pixels, labels)


def test_palette_is_told_apart_by_colour_blind_eyes():
    # CIEDE2000 of every two colours and of each with the grey, in normal sight and in the
    # deuteranopia and protanopia of Machado et al. 2009 (linear RGB), at least 11.
    from skimage.color import deltaE_ciede2000, rgb2lab

    sights = {
        "normal": np.eye(3),
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    }
    seen = np.array([rgb(c) for c in (*GROUP_COLOURS, UNASSIGNED)]) / 255
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    for name, matrix in sights.items():
        light = np.clip(linear @ np.array(matrix).T, 0, 1)
        lab = rgb2lab(
            np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        )
        apart = deltaE_ciede2000(lab[:, None], lab[None])
        assert apart[np.triu_indices(len(lab), 1)].min() > 11, name


def test_colours_repeat_after_twelve_groups():
    assert [colour_of(g) for g in (1, 12, 13)] == [
        GROUP_COLOURS[0], GROUP_COLOURS[11], GROUP_COLOURS[0],
    ]  # fmt: skip


def test_crop_is_centred_and_square():
    pixels, labels = two_squares()
    crop = cut_crop(pixels, labels, 1)
    # Bounding box 20 x 20, so a side of int(1.5 * 19) + 6 = 34 px about (19, 19).
    assert crop.pixels.shape == crop.mask.shape == (34, 34)
    assert crop.mask.sum() == 400
    rows, columns = np.nonzero(crop.mask)
    assert (rows.mean(), columns.mean()) == pytest.approx((16.5, 16.5), abs=1)


def test_crop_over_the_border_marks_the_particle_once():
    labels = np.zeros((20, 20), np.uint8)
    labels[:6, :6] = 1
    assert cut_crop(labels * 9, labels, 1).mask.sum() == 36
    with pytest.raises(ReportError, match="label 4"):
        cut_crop(labels, labels, 4)


def test_montage_has_a_row_a_group_in_its_colour():
    grey, mask = np.full((30, 30), 90, np.uint8), np.zeros((30, 30), bool)
    mask[8:22, 8:22] = True
    picture = montage({1: [Crop(grey, mask, "5.0 nm")] * 3, 4: []}, tile_px=60, columns=4)
    half = picture.shape[0] // 2
    for number, part in ((1, picture[:half]), (4, picture[half:])):
        assert (part == rgb(colour_of(number))).all(axis=2).any()
    assert not (picture[:half] == rgb(colour_of(4))).all(axis=2).any()
    with pytest.raises(ReportError, match="at least one group"):
        montage({})


def test_a_small_picture_is_enlarged_by_a_whole_number() -> None:
    pixels = np.zeros((20, 30), np.uint8)
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, 5:25] = 1
    assert overlay(pixels, labels, min_side_px=100).shape == (60, 90, 3)  # 3 x 30 <= 100 < 4 x 30
