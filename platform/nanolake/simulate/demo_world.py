"""The demonstration world: two labs and their six experiments, before any file is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nanolake.simulate.demo_files import Calibration
from nanolake.simulate.settings import Family, MicrographSettings

Fault = Literal["truncated", "constant", "duplicate", "excluded"]


@dataclass(frozen=True, kw_only=True)
class DemoExperiment:
    """One experiment of the demo: its row in the sample sheet and how its pictures look."""

    experiment: str
    lab: str
    sample: str
    stem: str
    """File names are ``<lab>/<stem>_001.tif`` and so on."""
    settings: MicrographSettings
    pictures: int
    parent_sample: str = ""
    route: str = ""
    operator: str = ""
    instrument: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration = "nm"
    """Unit of the pixel size in the files; ``none``: only the sheet has it."""
    fault: Fault | None = None
    """The trouble that one further file of this experiment brings."""


def _cubes(diameter_nm: float) -> Family:
    return Family(
        name="cubes", p=8.0, l_ratio=0.97, diameter_nm=diameter_nm, diameter_sd_nm=1.1, contrast=0.5
    )


RODS = Family(
    name="rods", p=3.0, l_ratio=0.35, l_ratio_sd=0.04, diameter_nm=18.0, diameter_sd_nm=1.8,
    contrast=0.55, contrast_sd=0.25, bend_contours=0.2,
)  # fmt: skip
SPHERES = Family(
    name="spheres", p=2.0, p_sd=0.03, diameter_nm=30.0, diameter_sd_nm=3.0, profile="dome",
    contrast=0.85, contrast_sd=0.1,
)  # fmt: skip
TRIANGLES = Family(
    name="triangles", d=3, p=2.0, l_ratio=0.5, diameter_nm=24.0, diameter_sd_nm=3.5,
    profile="faceted", contrast=0.55,
)  # fmt: skip
CROSSES = Family(
    name="crosses", d=4, p=1.6, l_ratio=0.5, diameter_nm=26.0, diameter_sd_nm=3.5,
    profile="faceted", contrast=0.55,
)  # fmt: skip
STARS = Family(
    name="stars", d=5, p=1.5, l_ratio=0.55, diameter_nm=26.0, diameter_sd_nm=3.5,
    profile="faceted", contrast=0.55,
)  # fmt: skip


def _frame(
    side_px: int, pixel_size_nm: float, *families: Family, **more: Any
) -> MicrographSettings:
    values = {"height_px": side_px, "width_px": side_px, "pixel_size_nm": pixel_size_nm}
    return MicrographSettings.build({**values, "families": families, **more})


DEMO_EXPERIMENTS: tuple[DemoExperiment, ...] = (
    DemoExperiment(
        experiment="CsPbBr3 batch 1", sample="CPB-1", stem="cubes_a", pictures=8,
        lab="lab_north", operator="A. Nord", instrument="TEM 200 kV",
        parent_sample="Cs-oleate-7", route="hot injection",
        conditions={"temperature": "180", "time": "0.1", "precursor": "PbBr2"},
        settings=_frame(1024, 0.3, _cubes(12.0), coverage=0.17), fault="duplicate",
    ),
    DemoExperiment(
        experiment="CsPbBr3 batch 2", sample="CPB-2", stem="cubes_b", pictures=7,
        lab="lab_north", operator="A. Nord", instrument="TEM 200 kV",
        parent_sample="Cs-oleate-7", route="hot injection",
        conditions={"temperature": "183", "time": "0.1", "precursor": "PbBr2"},
        settings=_frame(1024, 0.3, _cubes(12.4), coverage=0.17, dose=110.0, gamma=1.1),
    ),
    DemoExperiment(
        experiment="CsPbBr3 overview", sample="CPB-1", stem="cubes_wide", pictures=4,
        lab="lab_north", operator="A. Nord", instrument="TEM 200 kV",
        parent_sample="Cs-oleate-7", route="hot injection",
        conditions={"temperature": "180", "time": "0.1", "precursor": "PbBr2"},
        settings=_frame(2048, 0.5, _cubes(12.0), coverage=0.05), calibration="um",
    ),
    DemoExperiment(
        experiment="Au rods", sample="AuNR-3", stem="rods", pictures=7,
        lab="lab_south", operator="S. Sur", instrument="STEM 300 kV",
        route="seed-mediated growth", fault="excluded",
        conditions={"temperature": "28", "time": "720", "precursor": "HAuCl4"},
        settings=_frame(1024, 0.45, RODS, coverage=0.11, film_texture=0.06, scale_bar="black"),
    ),
    DemoExperiment(
        experiment="Au spheres", sample="AuNP-9", stem="spheres", pictures=7,
        lab="lab_south", operator="S. Sur", instrument="STEM 300 kV",
        route="citrate reduction", calibration="none", fault="constant",
        conditions={"temperature": "100", "time": "20", "precursor": "HAuCl4"},
        settings=_frame(
            1024, 0.9, SPHERES, coverage=0.12, polarity="bright", bit_depth=16, dose=80.0,
            arrangement="clustered", cluster_count=6,
        ),
    ),
    DemoExperiment(
        experiment="Pd mixed", sample="Pd-2", stem="irregular", pictures=7,
        lab="lab_south", operator="S. Sur", instrument="STEM 300 kV",
        route="polyol", fault="truncated",
        conditions={"temperature": "160", "time": "60", "precursor": "Pd(acac)2"},
        settings=_frame(
            1024, 0.6, TRIANGLES, CROSSES, STARS, coverage=0.11, bit_depth=16, illumination=0.15,
        ),
    ),
)  # fmt: skip
"""Six experiments: cubes, a near copy of them, the first batch at another magnification, rods,
spheres (HAADF, no pixel size in the file) and a mixture of concave shapes. Forty good pictures."""
