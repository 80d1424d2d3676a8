"""Particles in their own boxes: polyhedra, uneven outlines, what shows inside, coats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from nanolake.simulate.settings import Family
from nanolake.simulate.solids import Solid, _regular, silhouette, thickness, turned_solid
from nanolake.simulate.stamp import Stamp, make_stamp

SOLIDS = [
    "cube",
    "tetrahedron",
    "octahedron",
    "truncated_octahedron",
    "cuboctahedron",
    "icosahedron",
    "decahedron",
    "shard",
]


def stamp_of(diameter_px: float = 60.0, l_ratio: float = 1.0, **values: object) -> Stamp:
    family = Family.build({"contrast_sd": 0.0, **values})
    rng = np.random.default_rng(11)
    return make_stamp(2.0, 2, l_ratio, 0.0, diameter_px, 1.0, family, rng)


def at(body: Solid, y: float, x: float) -> float:
    return float(thickness(body, np.float32([[y]]), np.float32([[x]]))[0, 0])


def test_a_cube_along_the_beam() -> None:
    # Corners at (+-1, +-1, +-1): 2 thick within, nothing outside; R is 1 to a side and the root of
    # 2 to a corner.
    cube = _regular("cube")
    assert at(cube, 0.0, 0.0) == pytest.approx(2.0)
    assert at(cube, 0.9, -0.9) == pytest.approx(2.0)
    np.testing.assert_allclose(
        silhouette(cube, np.array([0.0, np.pi / 4, np.pi / 2])), [1.0, 2**0.5, 1.0], rtol=1e-6
    )


def test_an_octahedron_along_the_beam_is_a_pyramid() -> None:
    # |z| + |y| + |x| <= 1: 2 (1 - |y| - |x|) thick, and a square on its corner.
    octahedron = _regular("octahedron")
    for y, x in ((0.0, 0.0), (0.5, 0.0), (-0.25, 0.25), (0.8, 0.8)):
        expected = max(0.0, 2.0 * (1.0 - abs(y) - abs(x)))
        assert at(octahedron, y, x) == pytest.approx(expected, abs=1e-5)
    assert silhouette(octahedron, np.array([np.pi / 4]))[0] == pytest.approx(0.5**0.5, rel=1e-6)


FACES = {"cube": 6, "octahedron": 8, "decahedron": 10, "cuboctahedron": 14, "icosahedron": 20}


@pytest.mark.parametrize(("name", "faces"), FACES.items())
def test_faces_are_counted_once(name: str, faces: int) -> None:
    assert len(_regular(name).normals) == faces


@settings(derandomize=True, max_examples=24, deadline=None)
@given(name=st.sampled_from(SOLIDS), seed=st.integers(0, 1000))
def test_path_lengths_add_up_to_the_volume_in_every_turn(name: str, seed: int) -> None:
    body = turned_solid(name, np.random.default_rng(seed))
    hull = ConvexHull(body.vertices)
    axis = np.linspace(-2.5, 2.5, 241, dtype=np.float32)
    path = thickness(body, axis[:, None], axis[None, :])
    pixel = float(axis[1] - axis[0]) ** 2
    assert path.sum() * pixel == pytest.approx(hull.volume, rel=0.01)
    theta = np.linspace(0.0, 2.0 * np.pi, 1440, endpoint=False)
    area = 0.5 * theta[1] * np.sum(silhouette(body, theta) ** 2)
    assert np.count_nonzero(path) * pixel == pytest.approx(area, rel=0.02)


@pytest.mark.parametrize("solid", SOLIDS)
def test_a_solid_has_the_area_of_its_diameter_and_is_thickest_inside(solid: str) -> None:
    stamp = stamp_of(solid=solid)
    assert stamp.mask.sum() == pytest.approx(np.pi * 30.0**2, rel=0.02)
    assert stamp.depth.max() == pytest.approx(1.0, abs=0.02)
    assert stamp.depth[stamp.mask].min() >= 0.0
    assert stamp.depth.sum(where=~stamp.mask) < 0.02 * stamp.depth.sum()


def test_no_roughness_leaves_the_outline_and_roughness_its_area() -> None:
    smooth, same = stamp_of(), stamp_of(roughness=0.0, roughness_order=30)
    np.testing.assert_array_equal(smooth.mask, same.mask)
    rough = stamp_of(roughness=0.08, roughness_order=5)
    assert rough.mask.sum() == pytest.approx(smooth.mask.sum(), rel=0.02)
    centre = np.array([rough.half + rough.centroid_y, rough.half + rough.centroid_x])
    rim = rough.mask & ~_shrunk(rough.mask)
    spread = np.hypot(*(np.argwhere(rim) - centre).T) / 30.0
    assert 0.04 < spread.std() < 0.13  # asked: 0.08 of the radius; a smooth disc has 0.01


def _shrunk(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_erosion

    return np.asarray(binary_erosion(mask))


INNER = [
    {"facets": 5},
    {"twinned": 1.0},
    {"wedge": 1.0},
    {"speckle": 0.4},
    {"spots": 12},
    {"core": 0.5},
    {"core": 0.3, "core_shift": 1.0, "shell": 2.0},
]


@pytest.mark.parametrize("inner", INNER, ids=lambda values: "-".join(values))
def test_what_shows_inside_changes_no_mask(inner: dict[str, object]) -> None:
    plain, marked = stamp_of(), stamp_of(**inner)
    np.testing.assert_array_equal(plain.mask, marked.mask)
    inside = _shrunk(plain.mask)
    assert np.ptp(plain.depth[inside]) < 0.01
    assert np.ptp(marked.depth[inside]) > 0.05
    far = ~_grown(plain.mask)
    assert not marked.depth[far].any()
    assert marked.depth[plain.mask].min() >= 0.0


def _grown(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(mask, iterations=2))


def test_sectors_are_flat_pieces_of_as_many_contrasts() -> None:
    # 5 sectors of a flat plate: 5 depths, and one more where the first wraps around.
    stamp = stamp_of(diameter_px=120.0, facets=5, facet_contrast=0.4)
    depths = np.unique(stamp.depth[_shrunk(stamp.mask)].round(4))
    assert 4 <= len(depths) <= 6


def test_core_and_shell_have_their_depths() -> None:
    stamp = stamp_of(diameter_px=80.0, core=0.5, shell=0.25)
    middle = stamp.half
    assert stamp.depth[middle, middle] == pytest.approx(1.0, abs=1e-3)
    assert stamp.depth[middle, middle + 30] == pytest.approx(0.25, abs=1e-3)  # 30 of 40 px out


def test_pores_are_lighter_and_spots_darker() -> None:
    assert stamp_of(spots=30, spot_contrast=-0.5).depth.sum() < stamp_of().depth.sum()
    assert stamp_of(spots=30, spot_contrast=0.5).depth.sum() > stamp_of().depth.sum()


def test_a_coat_is_not_particle() -> None:
    bare, coated = stamp_of(), stamp_of(ligand=0.1, ligand_px=6.0)
    assert coated.mask.sum() == bare.mask.sum()
    middle, x = coated.half, coated.half + 33  # 3 px outside the radius of 30
    assert not coated.mask[middle, x]
    assert coated.depth[middle, x] == pytest.approx(0.1, abs=1e-3)
    assert coated.depth[middle, -1] == 0.0
    assert coated.depth[middle, middle] == pytest.approx(1.0)


def test_a_waist_narrows_the_middle_and_nothing_else() -> None:
    # The ellipse 2 : 1 (long axis along x at phi = 0) is 1 : 2 at its short axis; a waist of a half
    # makes that 1 : 4.
    stamp = stamp_of(l_ratio=0.5, waist=0.5, diameter_px=80.0)
    across = stamp.mask[:, stamp.half].sum()
    along = stamp.mask[stamp.half, :].sum()
    assert across / along == pytest.approx(0.25, abs=0.02)
    assert stamp.mask.sum(axis=0).max() > 1.4 * across  # the lobes are wider than the neck


def test_a_hollow_rim_is_deeper_than_the_middle() -> None:
    stamp = stamp_of(diameter_px=80.0, hollow=0.8, profile="dome")
    middle = stamp.half
    assert stamp.depth[middle, middle] == pytest.approx(1.0 - 0.8, abs=0.02)
    assert stamp.depth[middle, middle + 32] == pytest.approx(0.6, abs=0.05)  # sqrt(1 - 0.8 ** 2)


def test_lattice_stripes_have_their_period_and_leave_the_mask() -> None:
    # A flat box of depth 1 with stripes of 6 px within a tenth: the strongest wave of its inside
    # lies between periods 5.4 and 6.6 (the window of 64 px resolves 1/64, hence 5.0 to 7.3).
    values = {"p": 60.0, "p_sd": 0.0, "profile": "flat"}
    plain = stamp_of(200.0, **values)
    striped = stamp_of(200.0, **values, lattice=0.4, lattice_px=6.0)
    np.testing.assert_array_equal(plain.mask, striped.mask)
    inside = striped.depth[striped.half - 32 : striped.half + 32, striped.half - 32 :][:, :64]
    power = np.abs(np.fft.fft2(inside - inside.mean()))
    row, column = np.unravel_index(power.argmax(), power.shape)
    frequency = np.hypot(np.fft.fftfreq(64)[row], np.fft.fftfreq(64)[column])
    assert 5.0 < 1.0 / frequency < 7.3
    assert 0.6 <= inside.min() < 0.95
    assert 1.05 < inside.max() <= 1.4 + 1e-6


def test_crossed_stripes_stay_within_their_strength() -> None:
    # Two sets of 0.6 each: at most 1.2 times the strength of 0.4.
    crossed = stamp_of(120.0, profile="flat", lattice=0.4, lattice_px=3.0, crossed=1.0)
    assert crossed.depth.max() <= 1.0 + 0.4 * 1.2 + 1e-6
    assert crossed.depth.min() >= 0.0


def test_a_particle_out_of_focus_keeps_outline_and_total() -> None:
    # A blur moves absorption but takes none (the box has 2.5 sd of room: 1.3 % lies beyond at
    # most), and the outline stays where it was; the sharp edge is no longer there.
    sharp, soft = stamp_of(40.0, profile="flat"), stamp_of(40.0, profile="flat", soft=0.2)
    assert soft.mask.sum() == pytest.approx(sharp.mask.sum(), rel=0.02)
    assert soft.depth.sum() == pytest.approx(sharp.depth.sum(), rel=0.03)
    assert soft.half > sharp.half
    steepest = [np.abs(np.diff(stamp.depth, axis=1)).max() for stamp in (sharp, soft)]
    assert steepest[1] < 0.7 * steepest[0]
