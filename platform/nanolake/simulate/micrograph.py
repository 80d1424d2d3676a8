"""Whole simulated micrographs with an absolute truth (SCIENCE.md 1).

What is modelled
    Particles: outlines of eq. 1 of the paper or polyhedra turned in space; lognormal sizes; rough
    outlines, necks; thickness profiles, hollow cores, cores and shells, facets, twins, grain,
    spots, bend contours, stripes as of lattice fringes and Moiré, a blur of each particle's own
    (depth of focus), absorption that differs between particles.
    Arrangement: apart, clustered, touching, jammed, in chains, overlapping, on lattice islands, on
    their support.
    Stage: a carbon film with grain, speckle, mottle, specks and round holes; lacey webs, lumpy and
    granular carriers, layered carbon, flakes, fibres, film edges, grid bars, stains, light
    blotches, drying rings, dirt, a cloud around particles (`support`); an uneven beam with a
    vignette.
    Picture: Beer-Lambert transmission with a first-order Fresnel fringe, or HAADF; point spread,
    Poisson, row and readout noise, hot pixels, camera spread, enlargement; 8-bit display with
    levels, gamma, sharpening, few greys, blur and JPEG once or twice, or 16-bit counts.
    Print: scale bars, panel letters, words, data bars, borders, insets, arrows and outlines.

What is not (yet)
    Lattice fringes computed from a crystal (stripes are drawn), diffraction, a contrast transfer
    function beyond the first order, drift and astigmatism, scan distortion, detector gain patterns,
    amorphous carriers whose grain grows with their thickness, colour.

Where to add: a support goes into `support`, an order of particles into `arrange`, a thickness into
`stamp`, an optical effect into `camera.expose`, print into `marks`. What a random picture draws is
said in `any_lab` (particles), `stage_draw` and `print_draw`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nanolake.errors import SettingsError
from nanolake.simulate.annotate import print_on
from nanolake.simulate.arrange import arrange
from nanolake.simulate.camera import compress, expose, record
from nanolake.simulate.families import Draws, draw_particles, recorded
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.sites import Sites, find_sites
from nanolake.simulate.stamp import Stamp, make_stamp
from nanolake.simulate.texture import beam, film_depth, with_cloud
from nanolake.simulate.truth import SimulatedMicrograph, paint, particle_table, summed_depth
from nanolake.simulate.visibility import seen


def simulate_micrograph(settings: MicrographSettings, seed: int) -> SimulatedMicrograph:
    """Simulate one micrograph: pixels (y, x) uint8 or uint16, labels (y, x) uint16.

    Same settings and seed, same bytes. Particles, places, stage and noise have random streams of
    their own, so that another film or dose leaves every particle where it was. Fewer particles
    than asked are placed where no room is left.

    Raises
    ------
    SettingsError
        The seed is negative, or the coverage asks for more particles than a label map can hold.

    >>> picture = simulate_micrograph(MicrographSettings(height_px=64, width_px=64, count=2), 7)
    >>> picture.pixels.shape, str(picture.labels.dtype)
    ((64, 64), 'uint16')
    """
    particle_rng, place_rng, stage_rng, noise_rng = _streams(seed)
    draws = draw_particles(settings, particle_rng)
    sites = find_sites(settings, draws, place_rng)
    draws = draws if sites is None else _turned(draws, sites)
    stamps = _stamps(settings, draws, particle_rng)
    film = film_depth(settings, stage_rng) if settings.on_support else None
    placement = arrange(settings, stamps, sites, place_rng, film)
    if film is None:
        film = film_depth(settings, stage_rng, summed_depth(settings, stamps, placement))
    stamps, placement = seen(settings, stamps, placement, film)
    painted = paint(settings, stamps, placement)
    film = with_cloud(settings, film, painted.depth)
    light = beam(settings, stage_rng)
    signal = expose(settings, film, painted.depth, light)
    pixels, printed = print_on(settings, record(settings, signal, noise_rng))
    labels, particles = particle_table(
        settings, recorded(settings, draws), stamps, placement, painted, printed
    )
    return SimulatedMicrograph(
        pixels=compress(settings, pixels),
        labels=labels,
        layers=np.where(printed, np.uint8(0), painted.layers),
        printed=printed,
        particles=particles,
        pixel_size_nm=settings.pixel_size_nm,
        settings=settings,
        seed=seed,
    )


def _streams(seed: int) -> list[np.random.Generator]:
    if seed < 0:
        raise SettingsError(f"seed={seed} is negative; give a whole number from 0 up")
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]


def _stamps(settings: MicrographSettings, draws: Draws, rng: np.random.Generator) -> list[Stamp]:
    return [_stamp(settings, draws, index, rng) for index in range(draws.p.size)]


def _stamp(
    settings: MicrographSettings, draws: Draws, index: int, rng: np.random.Generator
) -> Stamp:
    return make_stamp(
        float(draws.p[index]),
        int(draws.d[index]),
        float(draws.l_ratio[index]),
        float(draws.phi_rad[index]),
        diameter_px=float(draws.diameter_px[index]),
        depth=float(draws.depth[index]),
        family=settings.families[int(draws.family[index])],
        rng=rng,
        gap_px=settings.gap_px,
    )


def _turned(draws: Draws, sites: Sites) -> Draws:
    """Return the first draws, one a site, turned as the sites ask."""
    kept = sites.phi_rad.size
    columns = {name: getattr(draws, name)[:kept] for name in vars(draws)}
    return replace(draws, **{**columns, "phi_rad": sites.phi_rad})
