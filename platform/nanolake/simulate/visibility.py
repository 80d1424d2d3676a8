"""Which particles the eye would see on their film, and how much darker the others must be.

An expert outlines only what is seen, so a truth that is to teach a network may hold nothing else.
All is counted in signal, relative to the beam: with T what the film lets through (HAADF: what is
left to scatter, exp(-film / 3)), a particle of mean depth m changes the signal by T (1 - exp(-m)).
Noise and film are smoothed first over a part of the particles' diameter, as the eye does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.arrange import Placement
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.stamp import Stamp

Single = NDArray[np.float32]
Floats = NDArray[np.float64]

HAADF_CARBON = 1.0 / 3.0
SMOOTHED = 0.12
"""Smoothing (sd) relative to the particles' diameter, between `SMOOTH_PX`."""
SMOOTH_PX = (0.6, 3.0)
LEAST_STEP = {"dark": 0.06, "bright": 0.03}
"""Least change of the signal that shows on a display stretched from black to white; HAADF pictures
are stretched over less than the whole beam."""
OPAQUE = 0.93
"""A particle that would have to take out more than this is not there at all."""


def seen(
    settings: MicrographSettings, stamps: list[Stamp], placement: Placement, film: Single
) -> tuple[list[Stamp], Placement]:
    """Return stamps deep enough to be seen and the placement without those that cannot be.

    A particle's step must be ``stand_out`` times the noise and half of that times the unevenness
    of the film in a window of half again its size. ``film`` (y, x) is the film's optical depth.
    """
    if not settings.stand_out or not placement.index.size:
        return stamps, placement
    mean_depth = np.array([_mean_depth(stamps[index]) for index in placement.index.tolist()])
    share = _least_share(settings, stamps, placement, film, mean_depth)
    kept = share < OPAQUE
    factor = np.maximum(1.0, -np.log1p(-np.minimum(share, OPAQUE)) / mean_depth)
    raised = list(stamps)
    for index, by in zip(placement.index[kept].tolist(), factor[kept].tolist(), strict=True):
        if by > 1.0:
            raised[index] = replace(stamps[index], depth=stamps[index].depth * np.float32(by))
    return raised, Placement(placement.index[kept], placement.anchors[kept])


def _mean_depth(stamp: Stamp) -> float:
    covered = max(int(np.count_nonzero(stamp.mask)), 1)
    return max(float(stamp.depth.sum(where=stamp.mask)) / covered, 1e-3)


def _least_share(
    settings: MicrographSettings,
    stamps: list[Stamp],
    placement: Placement,
    film: Single,
    mean_depth: Floats,
) -> Floats:
    """Return the part of the beam (m,) that each placed particle must take out to be seen."""
    carbon = 1.0 if settings.polarity == "dark" else HAADF_CARBON
    halves = np.array([stamps[index].half for index in placement.index.tolist()])
    smooth = float(np.clip(SMOOTHED * 2.0 * np.median(halves), *SMOOTH_PX))
    through = _smoothed(np.exp(-np.float32(carbon) * film), smooth)
    level, uneven = _local(through, placement.anchors, halves)
    signal = level if settings.polarity == "dark" else 1.03 - level * np.exp(-mean_depth)
    noise = np.sqrt(signal / settings.dose + (settings.readout_sd / settings.dose) ** 2)
    noise *= min(settings.enlarged / (2.0 * np.sqrt(np.pi) * smooth), 1.0)
    step = settings.stand_out * np.hypot(noise, 0.5 * uneven) + LEAST_STEP[settings.polarity]
    return np.asarray(step / np.maximum(level, 1e-6))


def _smoothed(through: Single, sd: float) -> Single:
    import cv2

    return np.asarray(cv2.GaussianBlur(through, (0, 0), sd), np.float32)


def _local(
    through: Single, anchors: NDArray[np.int64], halves: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return mean and sd of what the film lets through in a window about each anchor."""
    means, spreads = [], []
    size = np.array(through.shape) - 1
    for anchor, half in zip(np.clip(anchors, 0, size), halves.tolist(), strict=True):
        reach = max(int(1.5 * half), 8)
        low = np.maximum(anchor - reach, 0)
        step = max(1, reach // 12)
        part = through[low[0] : anchor[0] + reach : step, low[1] : anchor[1] + reach : step]
        means.append(float(part.mean()))
        spreads.append(float(part.std()))
    return np.array(means), np.array(spreads)
