"""Print: it stays in its box, has its size and its greys, and never touches a label elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.errors import SettingsError
from nanolake.simulate import Family, MicrographSettings, simulate_micrograph
from nanolake.simulate.annotate import print_on
from nanolake.simulate.lettering import text_sheet
from nanolake.simulate.print_draw import draw_print
from nanolake.simulate.stage_settings import Mark

GREY = 120
OUTLINES = ["rectangle", "ellipse", "line", "arrow"]


def printed(*marks: dict[str, object], side: int = 200) -> tuple[np.ndarray, np.ndarray]:
    values = {"height_px": side, "width_px": side, "marks": marks}
    return print_on(MicrographSettings.build(values), np.full((side, side), GREY, np.uint8))


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_text_stands_in_its_corner_with_its_margin(y: int, x: int) -> None:
    mark = {"words": "(a)", "place_y": y, "place_x": x, "margin_px": 7, "paper": 1.0}
    pixels, mask = printed(mark)
    top, bottom, left, right = box(mask)
    assert (top if y == 0 else 200 - bottom) == 7
    assert (left if x == 0 else 200 - right) == 7
    assert mask[top:bottom, left:right].all()
    assert (pixels[~mask] == GREY).all()
    assert pixels[mask].min() == 0
    assert pixels[top, left] == 255  # paper


def test_a_bare_bar_is_as_long_and_thick_as_asked() -> None:
    pixels, mask = printed({"kind": "bar", "length_px": 80, "thick_px": 5, "ink": 1.0})
    assert np.count_nonzero(pixels == 255) == 80 * 5
    assert np.count_nonzero(mask) == 86 * 11  # 3 px of room on each side


@pytest.mark.parametrize("at", ["above", "below", "right"])
def test_words_stand_where_they_should(at: str) -> None:
    mark = {"kind": "bar", "length_px": 90, "thick_px": 6, "words": "20 nm", "words_at": at}
    pixels, mask = printed({**mark, "place_y": 0.5, "place_x": 0.5})
    runs = np.count_nonzero(pixels == 0, axis=1) >= 90
    bar = np.flatnonzero(runs)
    assert bar.size == 6
    ink = pixels < GREY
    ink[bar[0] : bar[-1] + 1] = False
    if at == "right":
        columns = np.flatnonzero((pixels < GREY).any(axis=0))
        assert columns[-1] - columns[0] > 110
        return
    rows = np.flatnonzero(ink.any(axis=1))
    assert (rows.max() < bar[0]) if at == "above" else (rows.min() > bar[-1])
    assert (pixels[~mask] == GREY).all()


def test_ticks_at_the_ends() -> None:
    pixels, _ = printed(
        {"kind": "bar", "length_px": 60, "thick_px": 2, "ends": True, "size_px": 20}
    )
    heights = np.count_nonzero(pixels == 0, axis=0)
    inked = heights[heights > 0]
    # size 20: ticks 10 px high and as wide as the bar is thick, at both ends; 2 px between.
    assert inked[:2].tolist() == inked[-2:].tolist() == [10, 10]
    assert set(inked[2:-2].tolist()) == {2}


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_a_strip_covers_one_side(side: str) -> None:
    pixels, mask = printed({"kind": "strip", "side": side, "size_px": 12, "paper": 1.0})
    turned = {"top": pixels, "bottom": pixels[::-1], "left": pixels.T, "right": pixels.T[::-1]}
    assert (turned[side][:12] == 255).all()
    assert (turned[side][12:] == GREY).all()
    assert mask.sum() == 12 * 200


def test_a_data_bar_has_words_and_a_bar() -> None:
    strip = {"kind": "strip", "size_px": 40, "paper": 0.0, "ink": 1.0, "words": "HV=200kV\nBF"}
    pixels, mask = printed({**strip, "length_px": 50, "thick_px": 3})
    assert mask.sum() == 40 * 200
    assert np.count_nonzero(pixels[160:] == 255, axis=1).max() >= 50
    assert (pixels[160:, :90] > 0).any()
    assert (pixels[:160] == GREY).all()


def test_a_contour_surrounds_the_letters() -> None:
    plain, _ = printed({"words": "b", "ink": 1.0, "size_px": 40})
    rimmed, _ = printed({"words": "b", "ink": 1.0, "size_px": 40, "rim": 0.0})
    assert plain.min() == GREY
    assert rimmed.min() == 0
    assert (rimmed[plain == 255] == 255).all()


@pytest.mark.parametrize("pattern", [4, 5])
def test_an_inset_has_its_size_border_and_seed(pattern: int) -> None:
    mark = {"kind": "inset", "size_px": 60, "length_px": 80, "thick_px": 2, "ink": 1.0}
    first, mask = printed({**mark, "pattern": pattern, "place_x": 1.0})
    again, _ = printed({**mark, "pattern": pattern, "place_x": 1.0})
    other, _ = printed({**mark, "pattern": pattern + 2, "place_x": 1.0})
    assert box(mask) == (0, 60, 120, 200)
    assert (first[0, 120:] == 255).all()
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first[2:58, 122:198].std() > 5


@pytest.mark.parametrize("kind", OUTLINES)
def test_outlines_hide_nothing(kind: str) -> None:
    mark = {"kind": kind, "size_px": 60, "length_px": 60, "thick_px": 2, "place_y": 0.5,
            "place_x": 0.5, "angle_deg": 30.0}  # fmt: skip
    pixels, mask = printed(mark)
    drawn = np.count_nonzero(pixels != GREY)
    assert not mask.any()
    assert 80 < drawn < 1000
    broken, _ = printed({**mark, "dashed": True})
    assert np.count_nonzero(broken != GREY) < 0.8 * drawn


def test_a_rectangle_has_its_sides() -> None:
    # 60 x 40 with a 1 px outline drawn 1 px inside its box: 58 x 38, so 2 * (58 + 38) - 4 pixels.
    pixels, _ = printed({"kind": "rectangle", "size_px": 40, "length_px": 60, "thick_px": 1})
    assert np.count_nonzero(pixels == 0) == 2 * (58 + 38) - 4


def test_print_larger_than_the_picture_is_cut() -> None:
    pixels, mask = printed(
        {"words": "a very long line of words", "size_px": 60, "place_x": 1.0, "paper": 0.0},
        {"kind": "bar", "length_px": 900, "place_y": 1.0},
        {"kind": "inset", "size_px": 300, "length_px": 300, "place_y": 1.0},
        {"kind": "strip", "size_px": 300},
        {"kind": "line", "length_px": 900},
    )
    assert pixels.shape == (200, 200)
    assert mask.all()


def test_labels_change_only_under_print() -> None:
    values = {"height_px": 200, "width_px": 200, "coverage": 0.4, "pixel_size_nm": 0.5,
              "families": (Family(diameter_nm=8.0),)}  # fmt: skip
    marks = ({"words": "(a)", "size_px": 40}, {"kind": "arrow", "place_y": 0.5, "place_x": 0.5})
    plain = simulate_micrograph(MicrographSettings.build(values), 3)
    over = simulate_micrograph(MicrographSettings.build({**values, "marks": marks}), 3)
    assert over.printed.any()
    assert not plain.printed.any()
    assert (over.labels[over.printed] == 0).all()
    assert plain.labels[over.printed].any()
    on, off = over.labels[~over.printed] > 0, plain.labels[~over.printed] > 0
    np.testing.assert_array_equal(on, off)
    assert over.particles["touches_print"].any()


@pytest.mark.parametrize("font", ["sans", "italic", "serif", "wide", "mono"])
def test_every_typeface_writes_its_letters(font: str) -> None:
    light, bold = (text_sheet("(a) 20 µm", 30, 2, font, weight) for weight in (400, 800))
    assert 15 < light.shape[0] < 50
    assert 80 < light.shape[1] < 240
    assert bold.mean() * bold.size > 1.1 * light.mean() * light.size
    assert (light[:2] == 0).all()  # padded


def test_a_missing_typeface_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from nanolake.simulate import lettering

    lettering._face.cache_clear()
    monkeypatch.setattr(lettering, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"font='serif'.*nanolake\[report\]"):
        text_sheet("a", 20, 0, "serif")
    lettering._face.cache_clear()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    polarity=st.sampled_from(["dark", "bright"]),
    side=st.sampled_from([96, 200, 512]),
)
def test_whatever_is_drawn_stays_in_its_boxes(seed: int, polarity: str, side: int) -> None:
    marks = draw_print(np.random.default_rng(seed), polarity=polarity, side_px=side)
    assert marks
    blank = np.full((side, side), GREY, np.uint8)
    solid = tuple(mark for mark in marks if mark.kind not in OUTLINES)
    pixels, mask = print_on(MicrographSettings(height_px=side, width_px=side, marks=solid), blank)
    assert (pixels[~mask] == GREY).all()
    assert mask.any() == bool(solid)
    again = draw_print(np.random.default_rng(seed), polarity=polarity, side_px=side)
    assert marks == again


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "stamp"}, "kind"),
        ({"ink": 2.0}, "ink"),
        ({"font": "comic"}, "font"),
        ({"place_y": -0.1}, "place_y"),
    ],
)
def test_bad_marks_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Mark.build(values)
