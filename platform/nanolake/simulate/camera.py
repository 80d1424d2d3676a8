"""From thickness to a picture: transmission or HAADF, fringe, blur, electrons, display."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.settings import MicrographSettings

Single = NDArray[np.float32]

COUNTS_PER_ELECTRON = 12.0
DARK_COUNTS = 100.0
HAADF_FLOOR = 0.03
"""Signal of a HAADF detector where there is nothing, relative to full scattering."""


def expose(settings: MicrographSettings, film: Single, particles: Single, light: Single) -> Single:
    """Return the expected signal, relative to the unobstructed beam.

    Bright field: ``light * exp(-(film + particles))`` (Beer-Lambert) with the Fresnel fringe.
    HAADF: ``light * (floor + 1 - exp(-(film / 3 + particles)))``: carbon scatters little.
    """
    import cv2

    if settings.polarity == "bright":
        signal = light * (HAADF_FLOOR + 1.0 - np.exp(-(film / 3.0 + particles)))
    else:
        signal = light * np.exp(-(film + particles)) * _fringe(settings, particles)
    if settings.blur_px:
        signal = cv2.GaussianBlur(signal, (0, 0), settings.blur_px)
    return np.asarray(np.maximum(signal, 0.0), np.float32)


def record(
    settings: MicrographSettings, signal: Single, rng: np.random.Generator
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Count electrons (Poisson), spread them in the camera, write 8-bit grey or 16-bit counts."""
    import cv2

    electrons = rng.poisson(signal * np.float32(settings.dose)).astype(np.float32)
    if settings.detector_blur_px:
        electrons = cv2.GaussianBlur(electrons, (0, 0), settings.detector_blur_px)
    if settings.bit_depth == 16:
        counts = np.rint(electrons * COUNTS_PER_ELECTRON + DARK_COUNTS)
        return np.asarray(np.clip(counts, 0, 65535), np.uint16)
    return _display(settings, electrons)


def compress(
    settings: MicrographSettings, pixels: NDArray[np.uint8] | NDArray[np.uint16]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Pass the picture through JPEG where the settings ask for it."""
    import cv2

    if settings.jpeg_quality is None:
        return pixels
    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg_quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), np.uint8)


def _fringe(settings: MicrographSettings, depth: Single) -> Single:
    """Transport of intensity to first order: 1 + f * s^2 * Laplacian of the smoothed depth.

    The phase is taken proportional to the depth, so a thickness step has a bright rim outside
    and a dark one inside at underfocus.
    """
    import cv2

    if not settings.fringe:
        return np.ones_like(depth)
    smooth = cv2.GaussianBlur(depth, (0, 0), settings.fringe_px)
    laplacian = cv2.Laplacian(smooth, cv2.CV_32F, ksize=1)
    factor = 1.0 + settings.fringe * settings.fringe_px**2 * laplacian
    return np.asarray(np.maximum(factor, 0.1), np.float32)


def _display(settings: MicrographSettings, electrons: Single) -> NDArray[np.uint8]:
    """Stretch between the 0.1 and 99.9 percentiles, with some head room, and apply gamma."""
    low, high = np.percentile(electrons[::3, ::3], [0.1, 99.9])
    span = max(float(high - low), 1e-6)
    level = np.clip((electrons - low) / span * 0.92 + 0.04, 0.0, 1.0)
    if settings.gamma != 1.0:
        level = level**settings.gamma
    return np.asarray(np.rint(level * 255.0), np.uint8)
