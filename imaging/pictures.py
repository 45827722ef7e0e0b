"""Small pictures for people: the micrograph, and its spectrum beside the fitted model. PNG bytes."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..hardware.records import Pixels
from .lens import Lens, defocus_along
from .records import CtfFit
from .spectrum import Spectrum

MICROGRAPH_PX = 512
"""Longest side of the micrograph's picture."""

SMOOTHED_PX = 1.0
"""Standard deviation of its smoothing, in px of the picture."""

SPECTRUM_PX = 384
"""Side of the spectrum's picture."""

RINGS_A = (20.0, 10.0, 6.0, 4.0, 3.0)
"""Resolutions marked in the spectrum."""

MARK = 150
FIT_MARK = 255


def micrograph_png(micrograph: Pixels) -> bytes:
    """Average down to `MICROGRAPH_PX`, smooth what the eye takes for noise, stretch between extreme percentiles."""
    rows, cols = micrograph.shape
    scale = min(1.0, MICROGRAPH_PX / max(rows, cols))
    size = (max(1, round(cols * scale)), max(1, round(rows * scale)))
    image = np.nan_to_num(np.asarray(micrograph, np.float32))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    return _png(_stretched(cv2.GaussianBlur(small, (0, 0), SMOOTHED_PX), 0.5, 99.5))


def spectrum_png(spectrum: Spectrum, lens: Lens, fit: CtfFit | None) -> bytes:
    """Left half the measured spectrum, flattened; right half the fitted rings, bright as far as they were followed.

    Without a fit both halves show the data. Circles mark round resolutions in Å, the brightest one the fit resolution.
    """
    side = SPECTRUM_PX
    centre = side // 2
    y, x = np.mgrid[:side, :side].astype(np.float32)
    ky, kx = ((axis - centre) * np.float32(spectrum.finest / centre) for axis in (y, x))
    picture = _measured(spectrum, ky, kx)
    if fit is not None:
        model = _model(lens, fit, ky, kx)
        picture[:, centre:] = model[:, centre:]
        cv2.line(picture, (centre, 0), (centre, side - 1), MARK, 1)
    _mark(picture, spectrum.finest, fit)
    return _png(picture)


def _measured(spectrum: Spectrum, ky: Pixels, kx: Pixels) -> NDArray[np.uint8]:
    """Spectrum over its rotational average, on the picture's frequencies, contrast stretched."""
    half = spectrum.power.shape[1] - 1
    logs = np.log(np.maximum(spectrum.power, 1e-20))
    rows, cols = np.ogrid[-half : half + 1, : half + 1]
    ring = np.minimum(np.sqrt(rows * rows + cols * cols).astype(np.int32), half)
    mean = np.bincount(ring.ravel(), logs.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    width = max(9, half // 6) | 1
    padded = np.pad(mean, width // 2, mode="reflect", reflect_type="odd")
    smooth = np.convolve(padded, np.ones(width) / width, mode="valid")
    flat = cv2.GaussianBlur((logs - smooth[ring]).astype(np.float32), (0, 0), max(0.6, half / SPECTRUM_PX))
    sign = np.where(kx < 0, np.float32(-1), np.float32(1))
    at_x, at_y = np.abs(kx) / np.float32(spectrum.step), sign * ky / np.float32(spectrum.step) + half
    drawn = cv2.remap(flat, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _stretched(drawn, 3.0, 99.0)


def _model(lens: Lens, fit: CtfFit, ky: Pixels, kx: Pixels) -> NDArray[np.uint8]:
    """Fitted CTF², dimmed beyond the fit resolution."""
    half, twice = fit.astigmatism_a / 2, 2 * np.radians(fit.angle_deg)
    angle = np.arctan2(ky, kx)
    defocus = defocus_along(angle, fit.defocus_um * 1e4, half * np.cos(twice), half * np.sin(twice))
    k2 = kx * kx + ky * ky
    squared = np.sin(lens.phase(k2, defocus)) ** 2
    bright = np.where(k2 <= 1 / fit.fit_resolution_a**2, 230, 90)
    return np.asarray(20 + squared * bright, np.uint8)


def _mark(picture: NDArray[np.uint8], finest: float, fit: CtfFit | None) -> None:
    """Draw the circles and their labels."""
    side = picture.shape[0]
    centre = side // 2
    marks = [(ring, MARK) for ring in RINGS_A]
    if fit is not None:
        marks.append((fit.fit_resolution_a, FIT_MARK))
    for resolution_a, grey in marks:
        radius = centre / (resolution_a * finest)
        if radius > centre * 1.3 or radius < 6:
            continue
        cv2.circle(picture, (centre, centre), round(radius), int(grey), 1, cv2.LINE_AA)
        along = (-0.5, 0.87) if grey == FIT_MARK else (-0.71, -0.71)
        at = (round(centre + along[0] * radius) + 2, round(centre + along[1] * radius))
        label = f"{resolution_a:.1f} A" if grey == FIT_MARK else f"{resolution_a:g}"
        for colour, width in ((0, 3), (255, 1)):
            cv2.putText(picture, label, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, width, cv2.LINE_AA)


def _stretched(picture: Any, low: float, high: float) -> NDArray[np.uint8]:
    """Grey levels between two percentiles; mid-grey for a flat picture."""
    image = np.asarray(picture, np.float32)
    bottom, top = (float(v) for v in np.percentile(image, [low, high]))
    if not top > bottom:
        return np.full(image.shape, 128, np.uint8)
    return np.asarray(np.clip((image - bottom) * (255 / (top - bottom)), 0, 255), np.uint8)


def _png(picture: NDArray[np.uint8]) -> bytes:
    """Encode in 64 greys: noise hides the steps and would fill the file with the rest."""
    done, encoded = cv2.imencode(".png", picture & 0xFC)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {picture.shape} as PNG")
    return bytes(encoded)
