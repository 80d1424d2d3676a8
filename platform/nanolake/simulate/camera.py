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
        phase = particles + film if settings.fringe_on_film else particles
        signal = light * np.exp(-(film + particles)) * _fringe(settings, phase)
    if settings.blur_px:
        signal = cv2.GaussianBlur(signal, (0, 0), settings.blur_px)
    return np.asarray(np.maximum(signal, 0.0), np.float32)


def record(
    settings: MicrographSettings, signal: Single, rng: np.random.Generator
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Count electrons (Poisson), spread them in the camera, write 8-bit grey or 16-bit counts.

    An enlarged picture is recorded on larger pixels and brought back to size: what lies where
    stays exactly as it was.
    """
    electrons = _enlarged(settings, _counted(settings, _reduced(settings, signal), rng))
    if settings.hot_pixels:
        _set_hot(electrons, settings.hot_pixels, rng)
    if settings.bit_depth == 16:
        counts = np.rint(electrons * COUNTS_PER_ELECTRON + DARK_COUNTS)
        return np.asarray(np.clip(counts, 0, 65535), np.uint16)
    return _display(settings, electrons)


def _counted(settings: MicrographSettings, signal: Single, rng: np.random.Generator) -> Single:
    """Return electrons a pixel with their noise: shot, rows, camera spread, readout."""
    import cv2

    if settings.row_noise:
        row = rng.normal(0.0, settings.row_noise, (signal.shape[0], 1)).astype(np.float32)
        signal = np.maximum(signal + row * signal.mean(), 0.0)
    electrons = rng.poisson(signal * np.float32(settings.dose)).astype(np.float32)
    if settings.detector_blur_px:
        electrons = cv2.GaussianBlur(electrons, (0, 0), settings.detector_blur_px)
    if settings.readout_sd:
        electrons += np.float32(settings.readout_sd) * rng.standard_normal(signal.shape, np.float32)
    return np.asarray(electrons, np.float32)


def _reduced(settings: MicrographSettings, signal: Single) -> Single:
    import cv2

    if settings.enlarged == 1.0:
        return signal
    height, width = (max(8, round(n / settings.enlarged)) for n in signal.shape)
    return np.asarray(cv2.resize(signal, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _enlarged(settings: MicrographSettings, electrons: Single) -> Single:
    import cv2

    if settings.enlarged == 1.0:
        return electrons
    way = {"nearest": cv2.INTER_NEAREST_EXACT, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
    size = (settings.width_px, settings.height_px)
    return np.asarray(
        cv2.resize(electrons, size, interpolation=way[settings.enlarged_by]), np.float32
    )


def _set_hot(electrons: Single, fraction: float, rng: np.random.Generator) -> None:
    number = rng.poisson(fraction * electrons.size)
    places = rng.integers(0, electrons.size, number)
    low, high = float(electrons.min()), float(electrons.max())
    electrons.flat[places] = np.where(rng.random(number) < 0.7, high, low)


def compress(
    settings: MicrographSettings, pixels: NDArray[np.uint8] | NDArray[np.uint16]
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Blur the printed picture and pass it through JPEG, once or twice, where asked for."""
    import cv2

    if settings.reproduced_blur_px and pixels.dtype == np.uint8:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), settings.reproduced_blur_px), np.uint8)
    if settings.jpeg_quality is None:
        return pixels
    if settings.jpeg_before is not None:
        moved = cv2.copyMakeBorder(pixels, 3, 0, 5, 0, cv2.BORDER_REPLICATE)
        coded = _through_jpeg(np.asarray(moved, np.uint8), settings.jpeg_before)
        pixels = np.asarray(coded[3:, 5:].copy(), np.uint8)
    return _through_jpeg(pixels, settings.jpeg_quality)


def _through_jpeg(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], quality: int
) -> NDArray[np.uint8]:
    import cv2

    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
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
    """Stretch the 0.1 and 99.9 percentiles to the black and white levels; gamma, sharpening."""
    low, high = np.percentile(electrons[::3, ::3], [0.1, 99.9])
    span = max(float(high - low), 1e-6)
    black, room = settings.black_level, settings.white_level - settings.black_level
    level = np.clip((electrons - low) / span * room + black, 0.0, 1.0)
    if settings.gamma != 1.0:
        level = level**settings.gamma
    if settings.sharpen:
        level = _sharpened(settings, np.asarray(level, np.float32))
    if settings.grey_levels < 256:
        steps = settings.grey_levels - 1
        level = np.rint(level * steps) / steps
    return np.asarray(np.rint(level * 255.0), np.uint8)


def _sharpened(settings: MicrographSettings, level: Single) -> Single:
    import cv2

    soft = cv2.GaussianBlur(level, (0, 0), settings.sharpen_px)
    return np.asarray(np.clip(level + settings.sharpen * (level - soft), 0.0, 1.0), np.float32)
