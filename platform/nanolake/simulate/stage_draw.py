"""A random, realistic stage for a simulated micrograph: film, optics, camera and display.

The ranges are those of pictures from many labs: about half plain and clean, the others with one to
three of the troubles of `stage_troubles`. Print is drawn in `print_draw`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nanolake.simulate.print_draw import draw_print
from nanolake.simulate.stage_scene import Scene
from nanolake.simulate.stage_troubles import pick_troubles

PLAIN = {"dark": 0.55, "bright": 0.35}
"""Share of plain pictures; scanned ones are mostly taken of particles on a carrier."""
PRINTED = {"dark": 0.65, "bright": 0.4}
ROSE = 6.0
"""Least signal over noise of one particle, summed over its area: it just stays visible."""


def draw_stage(
    rng: np.random.Generator,
    *,
    polarity: str,
    typical_px: float,
    side_px: int = 512,
    contrast: float = 0.4,
) -> dict[str, Any]:
    """Return film, optics, camera and print settings for `MicrographSettings`, as keywords.

    ``typical_px`` is the diameter of the particles and ``contrast`` the part of the beam that a
    usual one takes out: blur, grain and dose are drawn so that such a particle stays visible.
    ``side_px`` is the picture's shorter side, by which print is scaled. ``polarity`` is ``"dark"``
    or ``"bright"``.
    """
    scene = Scene(rng, polarity, float(typical_px), side_px, contrast)
    values = _plain(scene) | _display(scene)
    if not scene.happens(PLAIN[polarity]):
        for trouble in pick_troubles(scene):
            values = trouble(scene, values)
    values["dose"] = max(values["dose"], _least_dose(scene, values.get("enlarged", 1.0)))
    if scene.happens(PRINTED[polarity]):
        values["marks"] = draw_print(rng, polarity=polarity, side_px=side_px)
    return {"polarity": polarity, **values}


def _least_dose(scene: Scene, enlarged: float) -> float:
    """Return the dose at which a usual particle reaches `ROSE`: c d sqrt(pi dose) / 2 = ROSE."""
    across = scene.typical_px / enlarged
    return float(max(4.0, (ROSE * 2.0 / np.sqrt(np.pi) / (scene.contrast * across)) ** 2))


def _plain(scene: Scene) -> dict[str, Any]:
    typical = scene.typical_px
    values: dict[str, Any] = {
        "film_depth": scene.between(0.02, 0.3),
        "film_texture": min(scene.log_between(0.004, 0.04), 0.1 * scene.depth),
        "film_grain_px": scene.between(0.6, min(2.0, 0.15 * typical)),
        "film_mottle": scene.log_between(0.003, 0.03),
        "illumination": scene.between(0.0, 0.15),
        "blur_px": scene.log_between(0.4, float(np.clip(0.06 * typical, 0.6, 2.5))),
        "detector_blur_px": scene.between(0.0, 1.0),
        "dose": scene.log_between(60.0, 3000.0),
    }
    if not scene.bright:
        reach = float(np.clip(0.08 * typical, 0.7, 4.0))
        values["fringe"] = float(np.clip(scene.rng.normal(0.3, 0.5), -1.5, 2.0))
        values["fringe_px"] = scene.between(0.7, reach)
        values["fringe_on_film"] = True
    elif scene.happens(0.4):
        values["row_noise"] = scene.log_between(0.003, 0.03)
    return values


def _display(scene: Scene) -> dict[str, Any]:
    values: dict[str, Any] = {
        "black_level": scene.between(0.0, 0.12),
        "white_level": scene.between(0.8, 1.02),
        "gamma": scene.log_between(0.65, 1.5),
    }
    if scene.happens(0.6):
        values["jpeg_quality"] = int(scene.rng.integers(25, 97))
        if scene.happens(0.3):
            values["jpeg_before"] = int(scene.rng.integers(30, 90))
    if scene.happens(0.25):
        values["reproduced_blur_px"] = scene.between(0.4, min(1.0, 0.1 * scene.typical_px))
    return values
