"""Where particles lie: rafts, jams, chains, carriers; and which of them can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label
from scipy.spatial import cKDTree

from nanolake.simulate import Family, MicrographSettings, SimulatedMicrograph, simulate_micrograph
from nanolake.simulate.arrange import SQUEEZE, Carrier, Placement
from nanolake.simulate.stamp import Stamp, make_stamp
from nanolake.simulate.visibility import LEAST_STEP, seen

BALL = {"p": 2.0, "p_sd": 0.0, "diameter_nm": 16.0, "diameter_sd_nm": 0.0, "l_ratio_sd": 0.0}


def make(seed: int = 1, **values: object) -> SimulatedMicrograph:
    base = {"height_px": 256, "width_px": 256, "pixel_size_nm": 1.0, "touching_fraction": 0.0}
    return simulate_micrograph(MicrographSettings.build({**base, **values}), seed)


def whole(picture: SimulatedMicrograph) -> np.ndarray:
    return ~picture.particles["touches_border"]


def centres(picture: SimulatedMicrograph) -> np.ndarray:
    table = picture.particles
    return np.stack([table["centroid_y_px"], table["centroid_x_px"]], axis=1)


@pytest.mark.parametrize("gap", [1.0, 4.0])
def test_rods_side_by_side_are_the_gap_apart_and_do_not_overlap(gap: float) -> None:
    # Area pi / 4 32^2 = 804 px^2 and L = 0.2, p = 20: nearly a box of 12.7 by 63 px (0.2 : 1), so
    # neighbours' centres are 12.7 + gap apart; places are rounded to pixels.
    rod = {"p": 20.0, "p_sd": 0.0, "l_ratio": 0.2, "l_ratio_sd": 0.0, "diameter_nm": 32.0,
           "diameter_sd_nm": 0.0}  # fmt: skip
    picture = make(families=(rod,), arrangement="close_packed", cluster_count=1, count=12,
                   gap_px=gap)  # fmt: skip
    assert picture.count >= 8
    assert (picture.particles["visible_fraction"] == 1.0).all()
    nearest = cKDTree(centres(picture)).query(centres(picture), k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(np.sqrt(804.0 * 0.2) + gap, abs=1.0)


def test_jammed_balls_touch_and_hardly_overlap() -> None:
    picture = make(
        families=(BALL,), arrangement="jammed", coverage=0.5, cluster_count=1, gap_px=0.0
    )
    places = centres(picture)
    nearest = cKDTree(places).query(places, k=2)[0][:, 1]
    assert picture.count > 100
    assert np.median(nearest) == pytest.approx(16.0, abs=1.0)  # one diameter
    assert picture.particles["visible_fraction"].min() >= 1.0 - 6 * SQUEEZE
    assert np.median(picture.particles["visible_fraction"]) > 0.97
    _, islands = label(picture.labels > 0, structure=np.ones((3, 3)))
    assert islands < 0.25 * picture.count


def test_a_jam_over_the_whole_frame_covers_what_was_asked() -> None:
    picture = make(families=(BALL,), arrangement="jammed", coverage=0.65, gap_px=0.0)
    assert np.mean(picture.labels > 0) == pytest.approx(0.65, abs=0.07)


def test_a_chain_hangs_together() -> None:
    picture = make(families=(BALL,), arrangement="chain", cluster_count=1, count=14, branching=0.0,
                   keep_inside=True)  # fmt: skip
    _, islands = label(picture.labels > 0, structure=np.ones((3, 3)))
    assert picture.count == 14
    assert islands == 1
    assert picture.particles["visible_fraction"].min() == 1.0
    step = np.hypot(*np.diff(centres(picture), axis=0).T)
    assert np.median(step) == pytest.approx(16.0, abs=1.5)  # each touches the one before it


def test_a_carrier_draws_places_where_the_film_is_thick() -> None:
    film = np.full((60, 80), 0.1, np.float32)
    film[10:30, 20:50] = 0.9
    places = Carrier(film).places(500, np.random.default_rng(0))
    inside = (places >= [10, 20]).all(axis=1) & (places < [30, 50]).all(axis=1)
    assert inside.all()
    # Twice as thick, twice as many: of the excess over the bare film, 0.8 and 0.4.
    film[10:30, 20:35] = 0.5
    places = Carrier(film).places(4000, np.random.default_rng(0))
    assert np.mean(places[:, 1] < 35) == pytest.approx(1 / 3, abs=0.03)


def test_an_even_film_carries_particles_everywhere() -> None:
    places = Carrier(np.zeros((50, 50), np.float32)).places(4000, np.random.default_rng(0))
    np.testing.assert_allclose(places.mean(axis=0), 24.5, atol=1.0)


def test_on_support_particles_lie_on_their_support() -> None:
    edge = {"kind": "edge", "depth": 0.0, "cover": 0.5}
    values = {"families": ({**BALL, "diameter_nm": 6.0},), "count": 60, "supports": (edge,),
              "film_depth": 0.3, "film_texture": 0.0, "film_mottle": 0.0, "polarity": "dark",
              "dose": 2000.0}  # fmt: skip
    film_only = make(**{**values, "count": 0, "illumination": 0.0})
    on_film = film_only.pixels < 128  # film is darker than vacuum
    assert 0.3 < on_film.mean() < 0.7
    counts = [
        np.mean([on_film[int(y), int(x)] for y, x in _framed(make(**values, on_support=on))])
        for on in (True, False)
    ]
    assert counts[0] > 0.97
    assert counts[1] < 0.8


def _framed(picture: SimulatedMicrograph) -> np.ndarray:
    places = np.rint(centres(picture))
    return places[((places >= 0) & (places < 256)).all(axis=1)]


def _faint(depth: float) -> tuple[list[Stamp], Placement]:
    rng = np.random.default_rng(0)
    stamp = make_stamp(2.0, 2, 1.0, 0.0, 20.0, depth, Family.build({"p": 2.0}), rng)
    return [stamp], Placement(np.array([0]), np.array([[50, 50]]))


def _film(depth: float) -> np.ndarray:
    return np.full((100, 100), depth, np.float32)


def test_a_faint_particle_is_deepened_until_it_is_seen() -> None:
    # Even film, so many electrons that only the least step counts: 0.06 = e^-0.2 (1 - e^-m).
    picture = MicrographSettings.build({"dose": 1e6, "stand_out": 4.0})
    stamps, placement = seen(picture, *_faint(0.001), _film(0.2))
    mean = stamps[0].depth[stamps[0].mask].mean()
    assert mean == pytest.approx(-np.log(1.0 - LEAST_STEP["dark"] * np.exp(0.2)), rel=0.1)
    assert placement.index.tolist() == [0]


def test_noise_asks_for_more_depth_and_dark_particles_are_left() -> None:
    depths = []
    for dose in (1e5, 100.0, 20.0):
        picture = MicrographSettings.build({"dose": dose, "stand_out": 5.0})
        depths.append(seen(picture, *_faint(0.001), _film(0.2))[0][0].depth.max())
    assert depths[0] < depths[1] < depths[2]
    stamps, placement = _faint(2.0)
    assert seen(picture, stamps, placement, _film(0.2))[0][0].depth is stamps[0].depth


def test_what_no_depth_makes_visible_is_left_out_of_the_truth() -> None:
    picture = MicrographSettings.build({"dose": 100.0, "stand_out": 4.0})
    assert seen(picture, *_faint(1.0), _film(20.0))[1].index.size == 0
    assert seen(picture, *_faint(1.0), _film(0.1))[1].index.size == 1
    careless = MicrographSettings.build({"dose": 100.0})
    assert seen(careless, *_faint(1.0), _film(20.0))[1].index.size == 1


def test_outlines_outside_equation_1_are_recorded_as_unknown() -> None:
    families = ({**BALL, "solid": "octahedron", "name": "solid"}, {**BALL, "name": "ball"})
    table = make(families=families, count=40).particles
    solid = table["family"] == "solid"
    assert 0 < solid.sum() < solid.size
    assert np.isnan(table["p"][solid]).all()
    assert np.isnan(table["l_ratio"][solid]).all()
    assert (table["d"][solid] == 0).all()
    assert (table["p"][~solid] == 2.0).all()
