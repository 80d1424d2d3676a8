"""Settings of a simulated micrograph. Light to import: no array library is needed here."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from nanolake.settings import Settings

Arrangement = Literal["random", "clustered", "touching", "close_packed"]
Profile = Literal["flat", "dome", "faceted"]


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
    """Apart at random, in loose clusters, in touching chains, or on lattice islands."""
    touching_fraction: float = Field(default=0.15, ge=0.0, le=1.0)
    """Fraction of particles pushed against an earlier one (``touching``: all but a few seeds)."""
    overlap_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Fraction of particles pushed on over an earlier one."""
    overlap_depth: float = Field(default=0.2, gt=0.0, le=1.0)
    """Largest part of its own area by which such a particle covers others."""
    gap_px: float = Field(default=3.0, ge=0.0, le=50.0)
    """Least clear distance between particles that do not touch, px."""
    cluster_count: int = Field(default=3, ge=1)
    """Number of clusters or lattice islands."""
    keep_inside: bool = False
    """Keep every particle clear of the picture's border."""
    hidden_below: float = Field(default=0.25, ge=0.0, le=1.0)
    """A particle of whose area within the frame less than this is visible is listed as hidden."""

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

    bit_depth: Literal[8, 16] = 8
    """8: stretched for display (with gamma); 16: camera counts, linear."""
    gamma: float = Field(default=1.0, gt=0.2, lt=5.0)
    """Display gamma of an 8-bit picture."""
    jpeg_quality: int | None = Field(default=None, ge=10, le=100)
    """Pass an 8-bit picture through JPEG at this quality."""
    scale_bar: Literal["none", "black", "white", "boxed"] = "none"
    """A printed scale bar with its length, at the lower left."""
    letter: str = Field(default="", max_length=4)
    """A panel letter printed at the upper left."""
    data_bar: bool = False
    """A strip with the microscope's text under the picture (over its lowest twentieth)."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.count is not None and self.coverage is not None:
            raise ValueError("count and coverage are both set; give one of them")
        if self.jpeg_quality is not None and self.bit_depth == 16:
            raise ValueError("jpeg_quality needs bit_depth=8: JPEG holds 8 bits")
        for family in self.families:
            self._check_size(family)
        return self

    def _check_size(self, family: Family) -> None:
        diameter_px = family.diameter_nm / self.pixel_size_nm
        length_px = diameter_px / math.sqrt(family.l_ratio)
        side_px = min(self.height_px, self.width_px)
        if diameter_px < 3.0 or length_px > 0.9 * side_px:
            raise ValueError(
                f"family {family.name!r} is {diameter_px:.1f} px in diameter and about "
                f"{length_px:.0f} px long; it must be at least 3 px across and fit 0.9 of the "
                f"shorter side ({side_px} px): change diameter_nm or pixel_size_nm"
            )
