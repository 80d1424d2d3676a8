"""Intensity: grey values in the particle, against what lies round it, in counts of the picture."""

from __future__ import annotations

from nanolake.features.ratios import ratio
from nanolake.features.registry import Floats, Primitives, feature


@feature("intensity", unit="counts")
def intensity_mean(found: Primitives) -> Floats:
    """Mean."""
    return found["intensity_mean"]


@feature("intensity", unit="counts")
def intensity_sd(found: Primitives) -> Floats:
    """Standard deviation of the population."""
    return found["intensity_sd"]


@feature("intensity", unit="counts")
def intensity_min(found: Primitives) -> Floats:
    """Lowest."""
    return found["intensity_min"]


@feature("intensity", unit="counts")
def intensity_max(found: Primitives) -> Floats:
    """Highest."""
    return found["intensity_max"]


@feature("intensity", unit="px")
def weighted_centroid_y_px(found: Primitives) -> Floats:
    """Row of the centroid weighted by intensity; NaN where intensities sum to 0."""
    return found["weighted_row"]


@feature("intensity", unit="px")
def weighted_centroid_x_px(found: Primitives) -> Floats:
    """Column of the centroid weighted by intensity; NaN where intensities sum to 0."""
    return found["weighted_column"]


@feature("intensity", unit="counts")
def background_intensity(found: Primitives) -> Floats:
    """Median of the ring of background; NaN where there is none."""
    return found["background"]


@feature("intensity", unit="counts")
def background_sd(found: Primitives) -> Floats:
    """Standard deviation in the ring of background; NaN where there is none."""
    return found["background_sd"]


@feature("intensity", unit="counts")
def contrast(found: Primitives) -> Floats:
    """Mean less local background: negative where the particle is the darker."""
    return found["intensity_mean"] - found["background"]


@feature("intensity")
def contrast_to_noise(found: Primitives) -> Floats:
    """Contrast over the standard deviation of the background; NaN where that is 0."""
    return ratio(contrast(found), found["background_sd"])


@feature("intensity", unit="1/px")
def edge_sharpness(found: Primitives) -> Floats:
    """Share of the contrast that falls in one pixel across the edge."""
    return -ratio(found["edge_step"], contrast(found))
