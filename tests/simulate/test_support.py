"""Supports: what each leaves and adds, and that nothing of the stage is a particle."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, label

from nanolake.simulate import Family, MicrographSettings, simulate_micrograph
from nanolake.simulate.noise import fractal, smooth
from nanolake.simulate.stage_settings import Support, SupportKind
from nanolake.simulate.support import add_support
from nanolake.simulate.texture import beam, film_depth, with_cloud

SIDE = 256
KINDS = get_args(SupportKind)


def added(film: float = 0.0, seed: int = 0, **values: object) -> np.ndarray:
    depth = np.full((SIDE, SIDE), film, np.float32)
    nothing = np.zeros_like(depth)
    return add_support(Support.build(values), depth, nothing, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_seeded_keeps_its_input_and_does_something(kind: str) -> None:
    depth = np.full((SIDE, 200), 0.2, np.float32)
    support = Support.build({"kind": kind, "size_px": 30.0, "cover": 0.3})
    first, again, other = (
        add_support(support, depth, np.zeros_like(depth), np.random.default_rng(seed))
        for seed in (3, 3, 4)
    )
    assert first.dtype == np.float32
    assert first.shape == depth.shape
    assert (depth == np.float32(0.2)).all()
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert np.isfinite(first).all()
    assert np.abs(first - depth).max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_no_support_changes_a_label(kind: str) -> None:
    values = {"height_px": 128, "width_px": 128, "families": (Family(diameter_nm=6.0),)}
    support = Support.build({"kind": kind, "size_px": 20.0, "follow": True})
    plain = simulate_micrograph(MicrographSettings.build(values), 5)
    carried = simulate_micrograph(MicrographSettings.build({**values, "supports": (support,)}), 5)
    np.testing.assert_array_equal(plain.labels, carried.labels)
    assert plain.pixels.tobytes() != carried.pixels.tobytes()
    assert not carried.printed.any()


@pytest.mark.parametrize("cover", [0.3, 0.7])
def test_beyond_a_film_edge_is_vacuum(cover: float) -> None:
    # The film is 0.2 deep: beyond its edge exactly nothing is left, so that the transmission
    # exp(-depth) is 1 there; both parts are one piece, and the film keeps the fraction asked for
    # (the level is read off every 16th pixel, the edge is 1.5 px of 256 wide: 2 % of leeway).
    depth = added(film=0.2, kind="edge", depth=0.0, cover=cover)
    vacuum, film = depth == 0.0, depth == np.float32(0.2)
    assert film.mean() == pytest.approx(cover, abs=0.02)
    assert vacuum.mean() == pytest.approx(1.0 - cover, abs=0.02)
    assert label(vacuum)[1] == 1


def test_a_curled_edge_is_thicker_only_at_its_rim() -> None:
    flat, curled = (added(film=0.2, kind="edge", depth=d, size_px=8.0, cover=0.5) for d in (0, 1))
    more = curled - flat
    assert more.max() > 0.5
    assert (more[flat == 0.0] == 0.0).all()
    assert np.median(more[flat > 0.1]) < 0.01


def test_a_web_has_vacuum_in_its_holes() -> None:
    depth = added(film=0.1, kind="lacey", depth=0.3, size_px=80.0, cover=0.4)
    assert (depth == 0.0).mean() == pytest.approx(0.6, abs=0.05)
    strand = depth[depth > 0.0]
    assert np.median(strand) > 0.1 + 0.4 * 0.3 - 1e-3  # a full strand has 0.4 to 1 of the depth


def test_a_grid_bar_stops_the_beam_on_its_side() -> None:
    # One bar covers a tenth; where a second one crosses it (a corner of the grid) both together
    # cover more than one and at most two tenths.
    covered = []
    for seed in range(8):
        depth = added(kind="grid_bar", depth=5.0, cover=0.1, soft_px=1.0, seed=seed)
        covered.append(float((np.exp(-depth) < 0.01).mean()))
        assert (depth == 0.0).mean() > 0.77
    assert min(covered) == pytest.approx(0.1, abs=0.02)
    assert max(covered) < 0.22


def test_an_aperture_is_round() -> None:
    # On a circle the squared distance from its centre is one number. Fitting
    # y^2 + x^2 = 2 a y + 2 b x + c to the border must leave less than 2 px.
    depth = added(kind="aperture", depth=1.0, soft_px=1.0, seed=2)
    y, x = np.nonzero((depth > 0.0) & (depth < 1.0))
    assert y.size > 50
    terms = np.stack([2 * y, 2 * x, np.ones_like(y)], axis=1).astype(float)
    (a, b, c), *_ = np.linalg.lstsq(terms, (y**2 + x**2).astype(float), rcond=None)
    radius = np.sqrt(c + a * a + b * b)
    assert np.abs(np.hypot(y - a, x - b) - radius).max() < 2.0


def test_dirt_covers_what_it_should_in_many_small_pieces() -> None:
    depth = added(kind="dirt", depth=0.4, size_px=4.0, cover=0.02)
    pieces, number = label(depth > 0.0)
    sizes = np.bincount(pieces.ravel())[1:]
    assert (depth > 0.0).mean() == pytest.approx(0.02, abs=0.006)
    assert number > 10
    assert np.sqrt(np.median(sizes)) < 3 * 4.0


def test_granules_leave_vacuum_around_them() -> None:
    depth = added(kind="granular", depth=0.5, size_px=8.0, cover=0.4)
    assert (depth == 0.0).mean() > 0.3
    assert depth.max() > 0.7


def test_graphite_has_stripes_of_its_period() -> None:
    # Over a whole carrier the power of waves of 4 to 6 px must stand far above that of waves of
    # 2.5 to 3.5 px, where neither the stripes nor the slow thickness have any.
    depth = added(kind="graphite", depth=1.0, size_px=5.0, cover=1.0)
    power = np.abs(np.fft.fft2(depth - depth.mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    stripes = power[(frequency > 1 / 6.0) & (frequency < 1 / 4.0)].mean()
    between = power[(frequency > 1 / 3.5) & (frequency < 1 / 2.5)].mean()
    assert stripes > 20.0 * between


def test_blotches_take_the_part_asked_for_and_spare_particles() -> None:
    # Depth 0.75 leaves a quarter of the film of 0.4, cover 0.2 of the picture; without particles.
    values = {"kind": "blotches", "depth": 0.75, "size_px": 20.0, "cover": 0.2, "soft_px": 0.5}
    depth = added(film=0.4, **values)
    assert depth.min() == pytest.approx(0.1, abs=1e-6)
    assert depth.max() == pytest.approx(0.4, abs=1e-6)
    assert (depth < 0.25).mean() == pytest.approx(0.2, abs=0.04)
    film = np.full((SIDE, SIDE), 0.4, np.float32)
    where = np.zeros_like(film)
    where[64:192, 64:192] = 1.0
    spared = add_support(Support.build(values), film, where, np.random.default_rng(0))
    under = (spared < 0.25)[64:192, 64:192].mean()
    assert under < 0.25 * (spared < 0.25)[where == 0.0].mean()


def test_grains_are_rounder_than_clumps() -> None:
    # The same seeds draw the same balls: the less sheared and bent they are, the shorter is the
    # border (pixels that touch the outside) of the area that they cover.
    def border(kind: str) -> float:
        lengths = []
        for seed in range(6):
            inside = added(kind=kind, size_px=50.0, cover=0.2, seed=seed) > 0.0
            lengths.append(np.count_nonzero(inside & ~binary_erosion(inside)) / inside.sum() ** 0.5)
        return float(np.mean(lengths))

    assert border("grains") < 0.97 * border("clumps")


@pytest.mark.parametrize("kind", ["clumps", "granular", "stain"])
def test_a_carrier_follows_the_particles(kind: str) -> None:
    where = np.zeros((SIDE, SIDE), np.float32)
    where[180:220, 180:220] = 1.0
    values = {"kind": kind, "size_px": 20.0, "cover": 0.15, "follow": True}
    on, off = 0.0, 0.0
    for seed in range(6):
        film = np.zeros_like(where)
        depth = add_support(Support.build(values), film, where, np.random.default_rng(seed))
        on, off = on + depth[where > 0].mean(), off + depth[where == 0].mean()
    assert on > 2.0 * off > 0.0


def test_supports_lie_one_on_another_and_never_below_nothing() -> None:
    edge = Support.build({"kind": "edge", "cover": 0.5, "depth": 0.0})
    dirt = Support.build({"kind": "dirt", "cover": 0.05, "depth": 1.0})
    values = {"height_px": SIDE, "width_px": SIDE, "film_texture": 0.3, "film_mottle": 0.0}
    depths = [
        film_depth(
            MicrographSettings.build({**values, "supports": order}), np.random.default_rng(0)
        )
        for order in ((dirt, edge), (edge, dirt))
    ]
    assert min(depth.min() for depth in depths) == 0.0
    vacuum = [float((depth == 0.0).mean()) for depth in depths]
    assert vacuum[0] > vacuum[1] > 0.4  # dirt that lies beyond the edge is seen only if laid later


def test_the_cloud_fades_away_from_the_particles() -> None:
    # One blur of sd 4: at the middle of a straight border the blur is 1/2, so the cloud is full
    # there, and beyond 4 sd it is under 0.01 of its depth.
    where = np.zeros((SIDE, SIDE), np.float32)
    where[:, :128] = 0.7
    settings = MicrographSettings.build({"ligand_depth": 0.2, "ligand_px": 4.0})
    row = with_cloud(settings, np.zeros_like(where), where)[128]
    np.testing.assert_allclose(row[:128], 0.2, atol=0.02)
    assert row[144:].max() < 0.2 * 0.01
    off = MicrographSettings()
    assert with_cloud(off, where, where) is where


def test_vignette_darkens_the_corners_by_its_fraction() -> None:
    values = {"height_px": 101, "width_px": 101, "illumination": 0.0, "vignette": 0.4}
    light = beam(MicrographSettings.build(values), np.random.default_rng(0))
    assert light[50, 50] == pytest.approx(1.0)
    assert light[0, 0] == pytest.approx(0.6)


@pytest.mark.parametrize("wave_px", [4.0, 8.0])
def test_speckle_has_its_wavelength(wave_px: float) -> None:
    values = {"height_px": SIDE, "width_px": SIDE, "film_depth": 2.0, "film_texture": 0.0,
              "film_mottle": 0.0, "film_speckle": 0.1, "film_speckle_px": wave_px}  # fmt: skip
    depth = film_depth(MicrographSettings.build(values), np.random.default_rng(0))
    assert depth.std() == pytest.approx(0.1, rel=0.01)
    power = np.abs(np.fft.fft2(depth - depth.mean())) ** 2
    waves = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    rings = np.bincount((waves * 64).astype(int).ravel(), power.ravel())
    counts = np.bincount((waves * 64).astype(int).ravel())
    best = (np.argmax(rings / counts) + 0.5) / 64.0
    assert 1.0 / best == pytest.approx(wave_px, rel=0.25)


def test_grain_of_another_size_is_coarser() -> None:
    values = {"height_px": SIDE, "width_px": SIDE, "film_depth": 2.0, "film_mottle": 0.0}
    steps = []
    for size in (1.0, 3.0):
        settings = MicrographSettings.build({**values, "film_grain_px": size})
        depth = film_depth(settings, np.random.default_rng(0))
        steps.append(np.abs(np.diff(depth)).mean() / depth.std())
    assert steps[1] < 0.5 * steps[0]


def test_noise_is_standard_and_as_coarse_as_asked() -> None:
    field = fractal((300, 200), np.random.default_rng(0), 20.0, 3)
    assert field.shape == (300, 200)
    assert field.dtype == np.float32
    assert abs(float(field.mean())) < 1e-4
    assert float(field.std()) == pytest.approx(1.0, abs=1e-3)
    fine = fractal((300, 200), np.random.default_rng(0), 4.0, 3)
    assert np.abs(np.diff(fine)).mean() > 2.0 * np.abs(np.diff(field)).mean()


def test_wide_smoothing_on_a_reduced_picture_is_the_plain_one() -> None:
    import cv2

    noise = np.random.default_rng(0).random((256, 256), np.float32)
    plain = cv2.GaussianBlur(noise, (0, 0), 12.0)
    difference = (smooth(noise, 12.0) - plain)[40:-40, 40:-40]
    assert np.abs(difference).max() < 0.2 * plain[40:-40, 40:-40].std()
    assert smooth(noise, 0.0) is noise
