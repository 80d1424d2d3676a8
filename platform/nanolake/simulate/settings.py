"""Settings of a simulated micrograph. Light to import: no array library is needed here."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from nanolake.settings import Settings
from nanolake.simulate.stage_settings import Mark, Support

Arrangement = Literal["random", "clustered", "touching", "close_packed", "jammed", "chain"]
Profile = Literal["flat", "dome", "faceted"]
Solid = Literal[
    "outline",
    "cube",
    "tetrahedron",
    "octahedron",
    "truncated_octahedron",
    "cuboctahedron",
    "icosahedron",
    "decahedron",
    "shard",
]

LONGEST = 2.0
"""Longest particle relative to the picture's shorter side: wires may cross the whole frame."""


class Family(Settings):
    """One kind of particle: its outline (paper, eq. 1), its sizes and how it absorbs."""

    name: str = "cubes"
    """Name of the family, as written in the truth table."""
    p: float = Field(default=8.0, ge=0.4, le=70.0)
    """Median curvature of the outline: 2 an ellipse, large a box, below 1 concave for d = 2."""
    p_sd: float = Field(default=0.1, ge=0.0, le=1.0)
    """Standard deviation of log p between particles."""
    d: int = Field(default=2, ge=1, le=6)
    """Number of major axes."""
    l_ratio: float = Field(default=1.0, ge=0.1, le=1.0)
    """Ratio of the axes, short over long."""
    l_ratio_sd: float = Field(default=0.03, ge=0.0, le=0.5)
    """Standard deviation of the ratio; a draw above 1 is folded to its inverse."""
    diameter_nm: float = Field(default=12.0, gt=0.0)
    """Mean equivalent circular diameter of the projected outline, nm."""
    diameter_sd_nm: float = Field(default=1.0, ge=0.0)
    """Standard deviation of the diameter, nm; the distribution is lognormal."""
    weight: float = Field(default=1.0, gt=0.0)
    """Share of this family among the particles, relative to the other weights."""
    profile: Profile = "flat"
    """Thickness across the particle: a plate or cube, a ball, or a plate with bevelled edges."""
    contrast: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Fraction of the beam taken out at the thickest point of a particle of mean diameter."""
    contrast_sd: float = Field(default=0.2, ge=0.0, le=1.0)
    """Standard deviation of the log absorption between particles (orientation, diffraction)."""
    bend_contours: float = Field(default=0.0, ge=0.0, le=1.0)
    """Fraction of particles crossed by a bend contour (transmission pictures only)."""
    hollow: float = Field(default=0.0, ge=0.0, lt=0.95)
    """Radius of a hollow core as a fraction of the particle's own; 0 is solid."""

    solid: Solid = "outline"
    """``outline``: eq. 1 with a thickness ``profile``. Else a polyhedron turned at random in space
    (``shard``: cut by random planes), as thick as it is along the beam; p, d and l_ratio do not
    apply and are recorded as unknown."""
    waist: float = Field(default=0.0, ge=0.0, le=0.8)
    """Depth of a neck across the middle (dumbbells, fused pairs), part of the radius there."""
    roughness: float = Field(default=0.0, ge=0.0, le=0.3)
    """Unevenness of the outline: sd of its radius relative to the smooth one."""
    roughness_order: int = Field(default=4, ge=2, le=80)
    """Highest number of bumps around the outline: 3 is a pebble, 40 a raspberry."""
    facets: int = Field(default=0, ge=0, le=12)
    """Sectors about the middle that differ in diffraction contrast (multiply twinned crystals)."""
    facet_contrast: float = Field(default=0.3, ge=0.0, le=1.5)
    """Standard deviation of the log absorption between sectors and between twin bands."""
    twinned: float = Field(default=0.0, ge=0.0, le=1.0)
    """Fraction of particles crossed by straight bands of another diffraction contrast."""
    speckle: float = Field(default=0.0, ge=0.0, le=1.5)
    """Inner texture (mesoporous, polycrystalline): sd of the log absorption between grains."""
    speckle_grain: float = Field(default=0.05, gt=0.0, le=0.5)
    """Size of those grains as a fraction of the diameter; never under a pixel."""
    core: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Radius of an inner core as a fraction of the particle's own; 0 is none."""
    shell: float = Field(default=0.4, ge=0.0, le=3.0)
    """Absorption of the shell around that core relative to the core's."""
    core_shift: float = Field(default=0.0, ge=0.0, le=1.0)
    """How far the core may lie off the middle: 1, up to the outline."""
    spots: int = Field(default=0, ge=0, le=200)
    """Number of small round spots on the particle (seeds, pores)."""
    spot_contrast: float = Field(default=0.5, ge=-1.0, le=3.0)
    """Absorption a spot adds relative to the particle's own; below 0 it is a pore."""
    wedge: float = Field(default=0.0, ge=0.0, le=1.0)
    """Largest relative change of the absorption from one side of the particle to the other."""
    lattice: float = Field(default=0.0, ge=0.0, le=1.0)
    """Lattice fringes: largest amplitude of stripes, relative to the absorption. Each particle has
    a strength, a direction and a period of its own."""
    lattice_px: float = Field(default=4.0, ge=2.0, le=40.0)
    """Period of those stripes, px, within a tenth."""
    crossed: float = Field(default=0.0, ge=0.0, le=1.0)
    """Fraction of particles with a second set of stripes: crossed fringes, or Moiré."""
    soft: float = Field(default=0.0, ge=0.0, le=0.3)
    """Depth of focus: largest blur of a particle, sd relative to its diameter; each draws its own
    between 0 and this. Its outline in the truth stays the sharp one."""
    ligand: float = Field(default=0.0, ge=-0.5, le=0.5)
    """Optical depth of a coat around the particle that is *not* particle in the truth."""
    ligand_px: float = Field(default=2.0, gt=0.0, le=40.0)
    """Thickness of that coat, px."""


class MicrographSettings(Settings):
    """One simulated micrograph: particles, their arrangement, film, optics, camera, print."""

    height_px: int = Field(default=512, ge=32, le=16384)
    """Picture height, px."""
    width_px: int = Field(default=512, ge=32, le=16384)
    """Picture width, px."""
    pixel_size_nm: float = Field(default=0.35, gt=0.0)
    """Side of a (square) pixel, nm."""
    families: tuple[Family, ...] = Field(default=(Family(),), min_length=1)
    """Kinds of particles; each particle's kind is drawn by weight."""

    count: int | None = Field(default=None, ge=0, le=60000)
    """Particles asked for with their centre in the picture; or give ``coverage``."""
    coverage: float | None = Field(default=None, ge=0.0, le=0.9)
    """Fraction of the picture to cover; 0.15 where neither this nor ``count`` is given."""
    arrangement: Arrangement = "random"
    """Apart at random, in loose clusters, in touching chains, on lattice islands; ``jammed``:
    pushed together at random until they touch; ``chain``: each against the one before it."""
    touching_fraction: float = Field(default=0.15, ge=0.0, le=1.0)
    """Fraction of particles pushed against an earlier one (``touching``: all but a few seeds)."""
    overlap_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Fraction of particles pushed on over an earlier one."""
    overlap_depth: float = Field(default=0.2, gt=0.0, le=1.0)
    """Largest part of its own area by which such a particle covers others."""
    gap_px: float = Field(default=3.0, ge=0.0, le=50.0)
    """Least clear distance between particles that do not touch, px."""
    cluster_count: int = Field(default=3, ge=1)
    """Number of clusters, lattice islands or chains."""
    branching: float = Field(default=0.1, ge=0.0, le=1.0)
    """``chain``: part of the particles that start a branch somewhere instead of going on."""
    on_support: bool = False
    """Draw places the likelier the thicker the film is there: particles sit on their support."""
    keep_inside: bool = False
    """Keep every particle clear of the picture's border."""
    hidden_below: float = Field(default=0.25, ge=0.0, le=1.0)
    """A particle that keeps less than this of its area within the frame in the label map, since
    others have the rest or print covers it, is listed as hidden."""
    stand_out: float = Field(default=0.0, ge=0.0, le=20.0)
    """Deepen each particle until its contrast is this many times the noise (and half as many times
    the unevenness of the film) about it, and leave out those that no depth makes visible; 0 leaves
    particles as they are, be they invisible."""

    polarity: Literal["dark", "bright"] = "dark"
    """Bright field (dark particles) or HAADF (bright particles)."""
    dose: float = Field(default=150.0, gt=0.0, le=1e6)
    """Electrons a pixel where nothing absorbs; the noise is Poisson in it."""
    blur_px: float = Field(default=0.8, ge=0.0, le=20.0)
    """Point spread of the optics, sd in px, before the noise."""
    detector_blur_px: float = Field(default=0.4, ge=0.0, le=5.0)
    """Spread of the camera, sd in px, after the noise: it correlates the noise."""
    fringe: float = Field(default=0.3, ge=-2.0, le=2.0)
    """Strength of the Fresnel fringe; above 0 a bright rim outside (underfocus)."""
    fringe_px: float = Field(default=1.5, gt=0.0, le=20.0)
    """Width of the fringe, px."""
    film_depth: float = Field(default=0.15, ge=0.0, le=2.0)
    """Optical depth of the carbon film."""
    film_texture: float = Field(default=0.05, ge=0.0, le=1.0)
    """Granularity of the film: sd of its optical depth in fine grain."""
    film_mottle: float = Field(default=0.02, ge=0.0, le=1.0)
    """Slow unevenness of the film: sd of its optical depth over a fifth of the picture."""
    hole_count: int = Field(default=0, ge=0, le=100)
    """Number of round holes in the film."""
    debris_count: int = Field(default=0, ge=0, le=10000)
    """Faint specks of dirt; they are background in the truth."""
    illumination: float = Field(default=0.08, ge=0.0, le=1.0)
    """Relative fall of the beam from its brightest to its darkest corner."""
    film_grain_px: float = Field(default=1.0, ge=0.5, le=10.0)
    """Size of the film's grain (``film_texture``): the sd of its finer smoothing, px."""
    film_speckle: float = Field(default=0.0, ge=0.0, le=1.0)
    """Phase contrast of amorphous carbon: sd of the optical depth in a narrow band of waves."""
    film_speckle_px: float = Field(default=4.0, ge=1.5, le=20.0)
    """Wavelength of that speckle, px."""
    supports: tuple[Support, ...] = ()
    """Carriers, edges, bars, stains and dirt, drawn one after another onto the film."""
    ligand_depth: float = Field(default=0.0, ge=0.0, le=1.0)
    """Optical depth of a faint cloud around the particles (ligand, contamination)."""
    ligand_px: float = Field(default=4.0, gt=0.0, le=60.0)
    """Reach of that cloud, px."""
    fringe_on_film: bool = False
    """Give the film and its supports the Fresnel fringe too (bright field)."""
    vignette: float = Field(default=0.0, ge=0.0, le=1.0)
    """Relative fall of the beam from the middle to the corners."""

    enlarged: float = Field(default=1.0, ge=1.0, le=6.0)
    """The picture was recorded this many times smaller and then enlarged: dose and camera spread
    count in the smaller pixels, so that noise is correlated over this many px."""
    enlarged_by: Literal["nearest", "linear", "cubic"] = "cubic"
    """Interpolation of the enlargement."""
    readout_sd: float = Field(default=0.0, ge=0.0, le=1000.0)
    """Readout noise, sd in electrons."""
    row_noise: float = Field(default=0.0, ge=0.0, le=1.0)
    """Noise from row to row of a scanned picture: sd relative to the mean signal."""
    hot_pixels: float = Field(default=0.0, ge=0.0, le=0.05)
    """Fraction of pixels that are stuck white or black."""

    bit_depth: Literal[8, 16] = 8
    """8: stretched for display (with gamma); 16: camera counts, linear."""
    gamma: float = Field(default=1.0, gt=0.2, lt=5.0)
    """Display gamma of an 8-bit picture."""
    black_level: float = Field(default=0.04, ge=-1.0, le=0.9)
    """Grey (0 to 1) of the darkest pixels of an 8-bit picture; below 0 they are cut off."""
    white_level: float = Field(default=0.96, ge=0.1, le=3.0)
    """Grey (0 to 1) of the brightest pixels of an 8-bit picture; above 1 they are cut off."""
    grey_levels: int = Field(default=256, ge=8, le=256)
    """Number of greys left in an 8-bit picture."""
    sharpen: float = Field(default=0.0, ge=0.0, le=5.0)
    """Strength of an unsharp mask on an 8-bit picture: halos at every edge."""
    sharpen_px: float = Field(default=1.5, gt=0.0, le=20.0)
    """Width of that mask, px."""
    reproduced_blur_px: float = Field(default=0.0, ge=0.0, le=5.0)
    """Blur of the finished 8-bit picture, print included, sd in px: a figure saved small."""
    jpeg_quality: int | None = Field(default=None, ge=10, le=100)
    """Pass an 8-bit picture through JPEG at this quality."""
    jpeg_before: int | None = Field(default=None, ge=10, le=100)
    """Quality of an earlier JPEG whose blocks lie 3 px lower and 5 px further right."""
    scale_bar: Literal["none", "black", "white", "boxed"] = "none"
    """A printed scale bar with its length, at the lower left."""
    letter: str = Field(default="", max_length=4)
    """A panel letter printed at the upper left."""
    data_bar: bool = False
    """A strip with the microscope's text under the picture (over its lowest twentieth)."""
    marks: tuple[Mark, ...] = ()
    """More print, one after another: letters, bars, strips, insets, outlines."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.count is not None and self.coverage is not None:
            raise ValueError("count and coverage are both set; give one of them")
        if self.jpeg_quality is not None and self.bit_depth == 16:
            raise ValueError("jpeg_quality needs bit_depth=8: JPEG holds 8 bits")
        if self.jpeg_before is not None and self.jpeg_quality is None:
            raise ValueError("jpeg_before needs jpeg_quality: it is the earlier of two")
        if self.black_level >= self.white_level:
            raise ValueError(
                f"black_level={self.black_level} is not below white_level={self.white_level}"
            )
        for family in self.families:
            self._check_size(family)
        return self

    def _check_size(self, family: Family) -> None:
        diameter_px = family.diameter_nm / self.pixel_size_nm
        length_px = diameter_px / math.sqrt(family.l_ratio)
        side_px = min(self.height_px, self.width_px)
        most = 0.9 if self.keep_inside else LONGEST
        if diameter_px < 3.0 or length_px > most * side_px:
            raise ValueError(
                f"family {family.name!r} is {diameter_px:.1f} px in diameter and about "
                f"{length_px:.0f} px long; it must be at least 3 px across and at most {most} of "
                f"the shorter side ({side_px} px) long: change diameter_nm or pixel_size_nm"
            )
