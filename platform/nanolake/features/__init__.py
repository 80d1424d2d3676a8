"""Features: what is measured of each particle, from its pixels and its label.

`measure` gives every column of ``schemas/tables/particle.toml`` that has a group; `FEATURES` is
the registry behind it; `found_columns` adds what the segmentation itself says. The science stands
in one module a group: `size`, `shape`, `moments`, `intensity`, `place`. The passes over pixels are
compiled (`raster`, `hull`, `surroundings`).
"""

from nanolake.features.found import found_columns
from nanolake.features.measure import measure
from nanolake.features.registry import FEATURES, Feature, feature_columns

__all__ = ["FEATURES", "Feature", "feature_columns", "found_columns", "measure"]
