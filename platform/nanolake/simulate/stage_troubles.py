"""What makes pictures hard: carriers, webs, borders, dirt, grain, noise, defocus, odd contrast.

A trouble takes the settings drawn so far and returns them changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nanolake.simulate.stage_scene import Scene
from nanolake.simulate.stage_settings import Support

LARGEST_CARRIED = 0.15
"""Particles larger than this part of the picture are not taken on a catalyst's carrier."""

Values = dict[str, Any]
Trouble = Callable[[Scene, Values], Values]


def pick_troubles(scene: Scene) -> list[Trouble]:
    """Return one to three different troubles, in a fixed order: supports first, camera last."""
    weights = dict(_HAADF_WEIGHTS if scene.bright else _TEM_WEIGHTS)
    if scene.typical_px > LARGEST_CARRIED * scene.side_px:
        del weights["carrier"]
    names = list(weights)
    chance = np.array([weights[name] for name in names], float)
    number = 1 + int(scene.rng.binomial(2, 0.4))
    picked = scene.rng.choice(len(names), number, replace=False, p=chance / chance.sum())
    order = sorted(picked.tolist())
    return [_TROUBLES[names[index]] for index in order]


def _with_support(values: Values, *more: Support) -> Values:
    return {**values, "supports": (*values.get("supports", ()), *more)}


def _carrier(scene: Scene, values: Values) -> Values:
    """A catalyst's carrier: balls or grains of its own size, particles mostly on it.

    Pieces that could be taken for particles by their size are fainter than particles.
    """
    rng, side = scene.rng, scene.side_px
    kind = str(rng.choice(["clumps", "granular", "granular+clumps"]))
    deep = scene.between(0.2, 1.2) if scene.bright else scene.between(0.1, 0.5)
    cover, follow = scene.between(0.25, 1.0), scene.happens(0.8)
    faint = (1.2 if scene.bright else 0.4) * scene.depth
    parts = []
    if "clumps" in kind:
        size = scene.log_between(max(20.0, 2.0 * scene.typical_px), 0.3 * side)
        deep = min(deep, faint) if size < 4.0 * scene.typical_px else deep
        parts.append(Support(kind="clumps", depth=deep / 1.5, size_px=size, cover=cover,
                             soft_px=scene.between(1.0, 6.0), follow=follow))  # fmt: skip
    if "granular" in kind:
        size = scene.log_between(6.0, 60.0)
        deep = min(deep, faint) if size < 4.0 * scene.typical_px else deep
        parts.append(Support(kind="granular", depth=deep, size_px=size, cover=cover,
                             soft_px=scene.between(1.0, 6.0), follow=follow))  # fmt: skip
    return _with_support({**values, "film_depth": scene.between(0.0, 0.1)}, *parts)


def _web(scene: Scene, values: Values) -> Values:
    support = Support(
        kind="lacey",
        depth=scene.between(0.1, 0.8),
        size_px=scene.between(0.25, 0.9) * scene.side_px,
        cover=scene.between(0.25, 0.7),
        soft_px=scene.between(1.0, 4.0),
    )
    return _with_support(values, support)


def _flakes(scene: Scene, values: Values) -> Values:
    sheets = scene.happens(0.6)
    wide = (0.4, 1.3) if sheets else (0.01, 0.12)
    support = Support(
        kind="sheets" if sheets else "fibres",
        depth=scene.between(0.05, 0.3) * (3.0 if scene.bright else 1.0),
        size_px=max(2.0, scene.between(*wide) * scene.side_px),
        cover=scene.between(0.1, 0.5),
        soft_px=scene.between(0.7, 3.0),
    )
    return _with_support(values, support)


def _border(scene: Scene, values: Values) -> Values:
    """The film's edge, a bar of the grid, or (a wide beam only) its rim."""
    kinds = (
        ["edge", "edge", "grid_bar"] if scene.bright else ["edge", "edge", "grid_bar", "aperture"]
    )
    kind = str(scene.rng.choice(kinds))
    opaque = kind != "edge"
    cover = scene.between(0.03, 0.15) if kind == "grid_bar" else scene.between(0.45, 0.9)
    support = Support(
        kind=kind,  # type: ignore[arg-type]
        depth=scene.between(2.0, 6.0) if opaque else scene.between(0.0, 0.4),
        size_px=scene.log_between(4.0, 40.0),
        cover=cover,
        soft_px=scene.log_between(1.0, 40.0 if kind == "aperture" else 8.0),
    )
    return _with_support({**values, "film_depth": scene.between(0.1, 0.4)}, support)


def _dirt(scene: Scene, values: Values) -> Values:
    """Specks much smaller than the particles, or faint patches and rings, or a cloud on them."""
    kind = str(scene.rng.choice(["dirt", "stain", "ring", "cloud", "blotches"]))
    if kind == "blotches":
        return _blotched(scene, values)
    faint = scene.between(0.2, 0.6) * min(scene.depth, 0.6)
    if kind == "cloud":
        reach = float(np.clip(scene.typical_px * scene.between(0.1, 0.5), 1.0, 30.0))
        return {**values, "ligand_depth": 0.4 * faint, "ligand_px": reach}
    sizes = {
        "dirt": (2.0, max(2.5, 0.25 * scene.typical_px)),
        "stain": (8.0, 0.2 * scene.side_px),
        "ring": (2.0, 20.0),
    }
    support = Support(
        kind=kind,  # type: ignore[arg-type]
        depth=faint * (3.0 if scene.bright else 1.0),
        size_px=scene.log_between(*sizes[kind]),
        cover=scene.log_between(0.002, 0.03) if kind == "dirt" else scene.between(0.1, 0.5),
        soft_px=scene.log_between(1.0, 20.0),
        follow=scene.happens(0.5),
    )
    return _with_support(values, support)


def _blotched(scene: Scene, values: Values) -> Values:
    """A stained film with light patches and holes: the particles are dark, these are not."""
    support = Support(
        kind="blotches",
        depth=scene.between(0.3, 1.0),
        size_px=scene.log_between(8.0, 60.0),
        cover=scene.log_between(0.01, 0.2),
        soft_px=scene.log_between(0.5, 3.0),
    )
    film = scene.between(0.2, 0.7) * (2.5 if scene.bright else 1.0)
    return _with_support({**values, "film_depth": min(film, 2.0)}, support)


def _resolved(scene: Scene, values: Values) -> Values:
    """High resolution: carbon of strong speckle, by chance in layers, as fine as fringes."""
    wave = scene.between(2.2, 5.0)
    sharp = {name: min(values[name], 0.2 * wave) for name in ("blur_px", "detector_blur_px")}
    room = min(1.0, scene.typical_px / 20.0)
    speckle = {"film_speckle": room * scene.between(0.04, 0.2), "film_speckle_px": wave}
    values = {**values, **sharp, **speckle}
    if scene.happens(0.5):
        return values
    carbon = Support(
        kind="graphite",
        depth=room * scene.between(0.05, 0.3),
        size_px=wave,
        cover=scene.between(0.2, 0.9),
        soft_px=scene.log_between(1.0, 12.0),
    )
    return _with_support(values, carbon)


def _grainy(scene: Scene, values: Values) -> Values:
    """Strong carbon: grain, speckle of one wavelength, or slow mottle."""
    kind = str(scene.rng.choice(["grain", "speckle", "mottle"]))
    if kind == "mottle":
        return {**values, "film_mottle": scene.between(0.04, 0.15)}
    most = 0.5 * scene.depth * min(1.0, scene.typical_px / 12.0)
    sd = min(scene.between(0.03, 0.15), most)
    if kind == "grain":
        size = scene.between(0.7, float(np.clip(scene.typical_px / 8.0, 0.8, 3.0)))
        return {**values, "film_texture": sd, "film_grain_px": size}
    wave = scene.between(3.0, float(np.clip(0.4 * scene.typical_px, 3.0, 12.0)))
    return {**values, "film_speckle": sd, "film_speckle_px": wave}


def _holes(scene: Scene, values: Values) -> Values:
    more = {"hole_count": int(scene.rng.integers(1, 4)), "film_depth": scene.between(0.1, 0.5)}
    return values | more


def _noisy(scene: Scene, values: Values) -> Values:
    return {**values, "dose": scene.log_between(4.0, 60.0)}


def _small(scene: Scene, values: Values) -> Values:
    """A picture enlarged for print: everything in it is soft, its noise too."""
    most = float(np.clip(scene.typical_px / 5.0, 1.0, 3.5))
    by = str(scene.rng.choice(["cubic", "cubic", "linear", "nearest"]))
    return {**values, "enlarged": scene.between(min(1.3, most), most), "enlarged_by": by}


def _defocused(scene: Scene, values: Values) -> Values:
    blur = scene.between(1.0, float(np.clip(0.08 * scene.typical_px, 1.0, 3.5)))
    if scene.bright:
        return {**values, "blur_px": blur}
    sign = 1.0 if scene.happens(0.7) else -1.0
    reach = float(np.clip(0.15 * scene.typical_px, 1.0, 6.0))
    fringe = {"fringe": sign * scene.between(1.0, 2.0), "fringe_px": scene.between(1.0, reach)}
    return {**values, **fringe, "blur_px": min(values["blur_px"], blur)}


def _sharpened(scene: Scene, values: Values) -> Values:
    return {**values, "sharpen": scene.between(0.5, 3.0), "sharpen_px": scene.between(0.7, 3.0)}


def _odd_contrast(scene: Scene, values: Values) -> Values:
    """Washed out, cut off at one end, or few greys."""
    kind = str(scene.rng.choice(["weak", "cut", "cut", "posterised"]))
    if kind == "weak":
        black = scene.between(0.05, 0.5)
        return {**values, "black_level": black, "white_level": black + scene.between(0.25, 0.45)}
    if kind == "posterised":
        return {**values, "grey_levels": int(scene.rng.choice([16, 24, 32, 64]))}
    black = scene.between(-0.05 if scene.bright else -0.3, 0.0)
    return {**values, "black_level": black, "white_level": scene.between(1.0, 1.3)}


def _camera_faults(scene: Scene, values: Values) -> Values:
    kind = str(scene.rng.choice(["vignette", "hot", "rows", "readout", "slope"]))
    more: dict[str, Values] = {
        "vignette": {"vignette": scene.between(0.2, 0.7)},
        "hot": {"hot_pixels": scene.log_between(1e-4, 3e-3)},
        "rows": {"row_noise": scene.log_between(0.005, 0.05)},
        "readout": {"readout_sd": 0.1 * scene.contrast * values["dose"]},
        "slope": {"illumination": scene.between(0.2, 0.6)},
    }
    return values | more[kind]


_TROUBLES: dict[str, Trouble] = {
    "carrier": _carrier,
    "web": _web,
    "flakes": _flakes,
    "resolved": _resolved,
    "holes": _holes,
    "border": _border,
    "dirt": _dirt,
    "grainy": _grainy,
    "noisy": _noisy,
    "small": _small,
    "defocused": _defocused,
    "sharpened": _sharpened,
    "odd_contrast": _odd_contrast,
    "camera_faults": _camera_faults,
}
_TEM_WEIGHTS = {
    "carrier": 1.2, "web": 0.7, "flakes": 0.7, "resolved": 1.8, "holes": 0.4,
    "border": 0.8, "dirt": 2.0,
    "grainy": 1.8, "noisy": 1.0, "small": 1.5, "defocused": 1.2, "sharpened": 0.6,
    "odd_contrast": 1.2, "camera_faults": 0.8,
}  # fmt: skip
_HAADF_WEIGHTS = {
    "carrier": 5.0, "web": 0.6, "flakes": 1.0, "holes": 0.3, "border": 0.6, "dirt": 0.6,
    "grainy": 0.5, "noisy": 1.2, "small": 0.8, "defocused": 1.0, "sharpened": 0.3,
    "odd_contrast": 0.8, "camera_faults": 0.8,
}  # fmt: skip
