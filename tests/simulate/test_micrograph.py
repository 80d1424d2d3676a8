"""Whole micrographs: same bytes for a seed, and a label map that is the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.errors import SettingsError
from nanolake.simulate import Family, MicrographSettings, SimulatedMicrograph, simulate_micrograph
from nanolake.simulate.arrange import Placement
from nanolake.simulate.stamp import Stamp
from nanolake.simulate.superellipse import outline
from nanolake.simulate.truth import Painted, paint

QUIET = {
    "blur_px": 0.0,
    "detector_blur_px": 0.0,
    "fringe": 0.0,
    "film_texture": 0.0,
    "film_mottle": 0.0,
    "illumination": 0.0,
}


def make(seed: int = 1, **values: object) -> SimulatedMicrograph:
    return simulate_micrograph(
        MicrographSettings.build({"height_px": 256, "width_px": 320, **values}), seed
    )


def inside(picture: SimulatedMicrograph) -> np.ndarray:
    table = picture.particles
    return ~table["touches_border"] & (table["visible_fraction"] == 1.0)


@pytest.mark.parametrize("arrangement", ["random", "clustered", "touching", "close_packed"])
def test_same_seed_same_bytes_and_another_seed_another_picture(arrangement: str) -> None:
    first, second, other = (make(seed, arrangement=arrangement) for seed in (5, 5, 6))
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert first.labels.tobytes() == second.labels.tobytes()
    for name, column in first.particles.items():
        np.testing.assert_array_equal(column, second.particles[name])
    assert first.pixels.tobytes() != other.pixels.tobytes()
    assert first.labels.tobytes() != other.labels.tobytes()


def test_another_film_leaves_every_particle_where_it_was() -> None:
    plain, rough = make(), make(film_texture=0.2, debris_count=9, hole_count=1, dose=20.0)
    np.testing.assert_array_equal(plain.labels, rough.labels)
    assert plain.pixels.tobytes() != rough.pixels.tobytes()


def test_shape_type_and_gapless_labels() -> None:
    eight, sixteen = make(), make(bit_depth=16)
    assert eight.pixels.shape == eight.labels.shape == (256, 320)
    assert eight.pixels.dtype == np.uint8
    assert sixteen.pixels.dtype == np.uint16
    assert eight.labels.dtype == np.uint16
    np.testing.assert_array_equal(np.unique(eight.labels), np.arange(eight.count + 1))
    np.testing.assert_array_equal(eight.particles["label"], np.arange(1, eight.count + 1))


@pytest.mark.parametrize(
    ("p", "d", "l_ratio"), [(2, 2, 1.0), (8, 2, 0.9), (3, 2, 0.35), (2, 3, 0.5), (1.5, 5, 0.6),
                            (3, 1, 0.5)],
)  # fmt: skip
def test_label_area_is_the_outlines_area(p: float, d: int, l_ratio: float) -> None:
    # A pixel counts when its centre is inside, so the expected count is the area; the error of one
    # particle is at most about half a pixel along its outline, that of the sum far smaller.
    family = Family.build({"p": p, "d": d, "l_ratio": l_ratio, "diameter_nm": 16.0})
    picture = make(families=(family,), coverage=0.15, keep_inside=True)
    kept = inside(picture)
    area = np.pi / 4.0 * picture.particles["diameter_px"] ** 2
    counted = picture.particles["area_px"]
    assert kept.sum() >= 5
    np.testing.assert_allclose(counted[kept], area[kept], rtol=0.03)
    assert counted[kept].sum() == pytest.approx(area[kept].sum(), rel=0.005)


def test_area_column_counts_the_label_map() -> None:
    picture = make(overlap_fraction=0.5, scale_bar="boxed")
    counted = np.bincount(picture.labels.ravel(), minlength=picture.count + 1)[1:]
    np.testing.assert_array_equal(picture.particles["area_px"], counted)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_mask_is_the_outline_at_the_written_place_and_turn(d: int) -> None:
    # Independent route: the polygon of `superellipse.outline`, filled by matplotlib's point test.
    from matplotlib.path import Path

    family = Family.build({"p": 3.0, "d": d, "l_ratio": 0.5, "diameter_nm": 28.0})
    picture = make(families=(family,), count=1, keep_inside=True)
    row = {name: column[0] for name, column in picture.particles.items()}
    points = outline(
        row["p"], int(row["d"]), row["l_ratio"], row["phi_rad"],
        area=np.pi / 4.0 * row["diameter_px"] ** 2, points=720,
    )  # fmt: skip
    y, x = points.T
    cross = y * np.roll(x, -1) - np.roll(y, -1) * x
    centroid = [np.sum((v + np.roll(v, -1)) * cross) / (3.0 * cross.sum()) for v in (y, x)]
    points = points - centroid + [row["centroid_y_px"], row["centroid_x_px"]]
    grid = np.indices(picture.labels.shape).reshape(2, -1).T
    expected = Path(points).contains_points(grid).reshape(picture.labels.shape)
    wrong = np.count_nonzero(expected != (picture.labels == 1))
    assert wrong <= 4  # pixels whose centre lies within rounding of the outline
    assert expected.sum() > 3000


def test_centroids_are_those_of_the_label_map() -> None:
    # A side along the pixel rows gains or loses a whole row, which moves the centroid by up to a
    # quarter of a pixel; on average over particles nothing may be left.
    picture = make(keep_inside=True)
    grid = np.indices(picture.labels.shape)
    written = [picture.particles[f"centroid_{axis}_px"] for axis in "yx"]
    errors = [
        grid[:, picture.labels == row + 1].mean(axis=1) - [column[row] for column in written]
        for row in np.flatnonzero(inside(picture))
    ]
    assert len(errors) > 10
    assert np.abs(errors).max() < 0.3
    assert np.abs(np.mean(errors, axis=0)).max() < 0.05


def test_diameters_follow_the_asked_lognormal() -> None:
    family = Family.build({"p": 2, "diameter_nm": 10.0, "diameter_sd_nm": 1.5})
    picture = simulate_micrograph(
        MicrographSettings.build(
            {"height_px": 1024, "width_px": 1024, "pixel_size_nm": 0.7, "families": (family,),
             "count": 600, "touching_fraction": 0.0}
        ),
        3,
    )  # fmt: skip
    asked = picture.particles["diameter_nm"]
    kept = inside(picture)
    measured = np.sqrt(4.0 / np.pi * picture.particles["area_px"][kept]) * 0.7
    # Standard error of the mean 1.5 / sqrt(600) = 0.06 nm, of the sd about 0.05 nm: four of them.
    assert picture.count > 550
    assert asked.mean() == pytest.approx(10.0, abs=0.25)
    assert asked.std() == pytest.approx(1.5, abs=0.2)
    np.testing.assert_allclose(measured, asked[kept], rtol=0.03)
    sigma = np.sqrt(np.log1p(0.15**2))
    assert np.log(asked).mean() == pytest.approx(np.log(10.0) - sigma**2 / 2, abs=0.03)


def test_count_is_exact_where_all_lie_inside() -> None:
    picture = make(count=12, keep_inside=True)
    assert picture.count == 12
    assert not picture.particles["touches_border"].any()


def test_no_particles_is_a_picture_of_film() -> None:
    picture = make(count=0)
    assert picture.count == 0
    assert picture.labels.max() == 0
    assert picture.pixels.std() > 0
    assert picture.particles["diameter_nm"].shape == (0,)


def test_polarity() -> None:
    for polarity, sign in (("dark", -1), ("bright", 1)):
        picture = make(polarity=polarity)
        on, off = picture.labels > 0, picture.labels == 0
        step = picture.pixels[on].mean() - picture.pixels[off].mean()
        assert sign * step > 30


def test_transmission_is_beer_lambert() -> None:
    # Film 0.2 deep, a flat particle of contrast 0.6 and no spread: e^-0.2 of the dose beside it
    # and 0.4 of that through it; counts are 12 an electron plus 100.
    family = Family.build(
        {"p": 2, "diameter_nm": 30.0, "diameter_sd_nm": 0.0, "contrast": 0.6, "contrast_sd": 0.0}
    )
    picture = make(
        families=(family,), count=2, keep_inside=True, film_depth=0.2, bit_depth=16, dose=1000.0,
        **QUIET,
    )  # fmt: skip
    electrons = (picture.pixels.astype(float) - 100.0) / 12.0
    beside = 1000.0 * np.exp(-0.2)
    core = _shrunk(picture.labels > 0)
    assert electrons[~_grown(picture.labels > 0)].mean() == pytest.approx(beside, rel=0.005)
    assert electrons[core].mean() == pytest.approx(0.4 * beside, rel=0.005)
    assert electrons[core].var() == pytest.approx(0.4 * beside, rel=0.1)  # Poisson


def _grown(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, iterations=2))


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return ~_grown(~mask)


def test_fringe_is_bright_outside_at_underfocus_and_dark_at_overfocus() -> None:
    quiet = {**QUIET, "film_depth": 0.0, "dose": 4000.0, "bit_depth": 16, "count": 3}
    rims = []
    for fringe in (0.5, -0.5):
        picture = make(keep_inside=True, **{**quiet, "fringe": fringe})
        inked = picture.labels > 0
        rim, far = _grown(inked) & ~inked, ~_grown(_grown(_grown(_grown(inked))))
        rims.append(picture.pixels[rim].mean() - picture.pixels[far].mean())
    assert rims[0] > 0 > rims[1]


def test_a_hollow_particle_is_lighter_in_its_middle() -> None:
    family = {"p": 2, "diameter_nm": 30.0, "profile": "dome", "contrast_sd": 0.0}
    middles = []
    for hollow in (0.0, 0.7):
        families = (Family.build({**family, "hollow": hollow}),)
        picture = make(families=families, count=1, keep_inside=True, bit_depth=16, **QUIET)
        y, x = (round(picture.particles[f"centroid_{a}_px"][0]) for a in "yx")
        middles.append(float(picture.pixels[y - 3 : y + 4, x - 3 : x + 4].mean()))
    assert middles[1] > 1.2 * middles[0]


def test_apart_means_apart() -> None:
    from scipy.ndimage import label

    picture = make(touching_fraction=0.0, gap_px=2.0)
    _, islands = label(picture.labels > 0, structure=np.ones((3, 3)))
    assert islands == picture.count > 10


def test_touching_particles_share_islands_but_no_pixels() -> None:
    from scipy.ndimage import label

    picture = make(arrangement="touching", cluster_count=2)
    _, islands = label(picture.labels > 0, structure=np.ones((3, 3)))
    assert islands < 0.5 * picture.count
    assert picture.particles["visible_fraction"].min() == 1.0


def test_overlap_is_booked() -> None:
    picture = make(count=40, overlap_fraction=0.6, overlap_depth=0.5, touching_fraction=0.0)
    table = picture.particles
    covered = table["visible_fraction"] < 1.0
    assert covered.sum() >= 5
    whole = np.pi / 4.0 * table["diameter_px"] ** 2
    kept = ~table["touches_border"]
    seen = table["area_px"] / table["visible_fraction"].clip(1e-9)
    np.testing.assert_allclose(seen[kept], whole[kept], rtol=0.05)
    hidden = table["visible_fraction"] < picture.settings.hidden_below
    np.testing.assert_array_equal(table["hidden"], hidden)


def laid(*stamps: tuple[np.ndarray, int, int]) -> Painted:
    """Paint masks, each centred at (y, x), into a frame of 60 x 90 px."""
    made = [
        Stamp(mask=mask, reserve=mask.view(np.uint8), depth=mask.astype(np.float32),
              half=mask.shape[0] // 2, centroid_y=0.0, centroid_x=0.0, reach=1.0)
        for mask, _, _ in stamps
    ]  # fmt: skip
    anchors = np.array([(y, x) for _, y, x in stamps])
    settings = MicrographSettings(height_px=60, width_px=90)
    return paint(settings, made, Placement(np.arange(len(made)), anchors))


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return y**2 + x**2 <= radius**2


def test_equal_particles_halve_what_they_share_whichever_lies_on_top() -> None:
    # Two discs of radius 16 whose centres are 20 px apart: the border is the column between them.
    one = laid((disc(16), 30, 30), (disc(16), 30, 50))
    other = laid((disc(16), 30, 50), (disc(16), 30, 30))
    assert (one.labels[:, :40][one.labels[:, :40] > 0] == 1).all()
    assert (one.labels[:, 41:][one.labels[:, 41:] > 0] == 2).all()
    swapped = np.array([0, 2, 1])[other.labels]
    apart = np.arange(90) != 40  # the middle column is a tie
    np.testing.assert_array_equal(one.labels[:, apart], swapped[:, apart])
    assert one.layers.sum() == 2 * disc(16).sum()
    assert one.layers.max() == 2
    np.testing.assert_array_equal(one.layers > 0, one.labels > 0)
    np.testing.assert_array_equal(one.depth, one.layers)


def test_a_small_particle_keeps_its_shape_before_a_large_one() -> None:
    for stamps in (
        ((disc(25), 30, 40), (disc(6), 30, 40)),
        ((disc(6), 30, 40), (disc(25), 30, 40)),
    ):
        painted = laid(*stamps)
        small = 1 + [mask.shape[0] for mask, _, _ in stamps].index(13)
        assert (painted.labels == small).sum() > 0.85 * disc(6).sum()


def test_layers_count_the_whole_area_of_a_heap() -> None:
    picture = make(count=60, overlap_fraction=0.9, overlap_depth=0.9, hidden_below=0.0)
    table = picture.particles
    assert picture.layers.max() >= 3
    assert not picture.layers[picture.printed].any()
    np.testing.assert_array_equal(picture.layers > 0, picture.labels > 0)
    # Within the frame what the layers sum up to is what the particles have together.
    whole = np.bincount(picture.labels.ravel(), picture.layers.ravel())[1:]
    inside = ~table["touches_border"]
    found = np.sqrt(4 / np.pi * whole[inside]).mean()
    assert found == pytest.approx(table["diameter_px"][inside].mean(), rel=0.05)


def test_everything_is_hidden_when_all_must_be_seen_in_full() -> None:
    picture = make(count=40, overlap_fraction=0.6, overlap_depth=0.5, hidden_below=1.0)
    table = picture.particles
    np.testing.assert_array_equal(table["hidden"], table["visible_fraction"] < 1.0)
    assert table["hidden"].any()


def test_border_flag_is_the_label_maps() -> None:
    picture = make(coverage=0.3)
    edge = [picture.labels[0], picture.labels[-1], picture.labels[:, 0], picture.labels[:, -1]]
    at_edge = np.isin(picture.particles["label"], np.concatenate(edge))
    np.testing.assert_array_equal(picture.particles["touches_border"], at_edge)
    assert at_edge.any()


def test_close_packed_cubes_stand_parallel() -> None:
    family = Family.build({"diameter_sd_nm": 0.4})
    picture = make(families=(family,), arrangement="close_packed", coverage=0.4, cluster_count=1)
    turn = np.exp(4j * picture.particles["phi_rad"])  # a square repeats every quarter turn
    assert picture.count > 30
    assert abs(turn.mean()) > 0.95


def test_print_is_background() -> None:
    plain = make(coverage=0.4)
    printed = make(coverage=0.4, scale_bar="boxed", letter="(a)", data_bar=True)
    corner, strip = np.s_[:12, :12], np.s_[-14:, :]
    for box in (corner, strip):
        assert printed.labels[box].max() == 0
    changed = plain.labels != 0
    assert (printed.labels[~changed] == 0).all()
    assert printed.particles["touches_print"].any()
    assert not plain.particles["touches_print"].any()
    assert printed.pixels[corner].max() == 255
    assert printed.pixels[strip].min() == 0


def test_jpeg_changes_pixels_and_no_label() -> None:
    plain, coded = make(), make(jpeg_quality=40)
    np.testing.assert_array_equal(plain.labels, coded.labels)
    difference = np.abs(plain.pixels.astype(int) - coded.pixels)
    assert 0.5 < difference.mean() < 20


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    arrangement=st.sampled_from(["random", "clustered", "touching", "close_packed"]),
    d=st.integers(1, 6),
    p=st.floats(1.0, 30.0),
    l_ratio=st.floats(0.3, 1.0),
    overlap=st.floats(0.0, 0.5),
)
def test_truth_is_consistent_whatever_is_drawn(
    seed: int, arrangement: str, d: int, p: float, l_ratio: float, overlap: float
) -> None:
    family = Family.build({"p": p, "d": d, "l_ratio": l_ratio})
    picture = make(
        seed, height_px=128, width_px=160, families=(family,), arrangement=arrangement,
        overlap_fraction=overlap,
    )  # fmt: skip
    table = picture.particles
    assert {len(column) for column in table.values()} == {picture.count}
    assert picture.labels.max(initial=0) <= picture.count
    assert (table["area_px"] <= 1.1 * np.pi / 4.0 * table["diameter_px"] ** 2 + 8).all()
    assert ((table["visible_fraction"] >= 0) & (table["visible_fraction"] <= 1)).all()
    assert ((table["l_ratio"] > 0) & (table["l_ratio"] <= 1)).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"height_px": 0}, "height_px"),
        ({"count": 3, "coverage": 0.2}, "count and coverage"),
        ({"families": ()}, "families"),
        ({"families": ({"diameter_nm": 500.0},)}, "at most 2.0 of"),
        ({"families": ({"diameter_nm": 170.0},), "keep_inside": True}, "at most 0.9 of"),
        ({"families": ({"diameter_nm": 0.5},)}, "at least 3 px"),
        ({"families": ({"d": 7},)}, "families.0.d"),
        ({"jpeg_quality": 50, "bit_depth": 16}, "jpeg_quality"),
        ({"polarity": "grey"}, "polarity"),
        ({"dosis": 3}, "dosis"),
    ],
)
def test_bad_settings_are_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        MicrographSettings.build(values)


def test_bad_seed_and_too_many_particles() -> None:
    with pytest.raises(SettingsError, match="seed=-1"):
        make(-1)
    tiny = Family.build({"diameter_nm": 3.0})
    crowd = MicrographSettings.build(
        {"height_px": 4096, "width_px": 4096, "pixel_size_nm": 1.0, "families": (tiny,),
         "coverage": 0.9}
    )  # fmt: skip
    with pytest.raises(SettingsError, match="65535"):
        simulate_micrograph(crowd, 0)
