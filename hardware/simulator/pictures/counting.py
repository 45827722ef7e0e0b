"""The detector at exposure level: electrons come one by one, blurred by the sensor, lost where two come at once.

Poisson numbers are looked up: the expected number, in steps far finer than its noise, picks a row of a table, 16 random
bits the place in it. That is several times faster than drawing normal numbers.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from ..instrument.profile import Camera
from .detector import poisson

Layer = NDArray[np.float32]
Floats = NDArray[np.float64]

DRAWS = 65536
"""Entries of a row of the table."""

STEP_SHARE = 0.0001
"""Variance that steps between rows may add, as a share of the Poisson variance."""

MOST = 150.0
"""Greatest expected number that is looked up; beyond, Poisson numbers are as good as normal."""

BAND = 32
KERNEL_PX = 9
"""Side of the kernel by which an integrating camera blurs electrons."""


def modulation(frequency_of_nyquist: Floats, camera: Camera) -> Floats:
    """Interpolate the modulation transfer; frequencies in units of Nyquist's, falling on beyond the last point."""
    at, value = np.array([(0.0, 1.0), *camera.mtf]).T
    # Corners of the spectrum lie beyond Nyquist: go on falling as a Gaussian through the last point.
    beyond = value[-1] ** ((np.maximum(frequency_of_nyquist, 1e-9) / at[-1]) ** 2)
    return np.asarray(np.where(frequency_of_nyquist <= at[-1], np.interp(frequency_of_nyquist, at, value), beyond))


def counted_share(electrons_per_px_s: float, camera: Camera) -> float:
    """Give the fraction of electrons that a counting camera does not take two of for one."""
    return 1 / (1 + electrons_per_px_s * camera.coincidence_s) if camera.counting else 1.0


def counts(expected: Layer, camera: Camera, rng: np.random.Generator, most: int) -> Layer | NDArray[np.uint8]:
    """Draw what the camera reads where this many electrons per pixel are expected; no more than ``most``.

    A counting camera gives whole electrons in white noise, whose signal its modulation transfer has lessened before;
    an integrating one blurs signal and noise together, here.
    """
    low, high = float(expected.min()), float(expected.max())
    if high <= MOST:
        drawn = _looked_up(expected, low, high, rng, min(most, 255))
    else:
        drawn = np.minimum(poisson(np.maximum(expected, 0), rng), most)
    if camera.counting:
        return drawn
    spread = cv2.filter2D(np.asarray(drawn, np.float32), -1, _kernel(camera), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.clip(np.rint(spread), 0, most), np.float32)


def _looked_up(expected: Layer, low: float, high: float, rng: np.random.Generator, most: int) -> NDArray[np.uint8]:
    low = max(low, 0.0)
    step = max(math.sqrt(12 * STEP_SHARE * max(low + high, 0.02) / 2), (high - low) / 255)
    rows = max(math.ceil((high - low) / step), 0) + 1
    table = _table(np.asarray(low + step * np.arange(rows), np.float64), most)
    drawn = np.empty(expected.shape, np.uint8)
    scale, start = np.float32(1 / step), np.float32(0.5 - low / step)
    for top in range(0, expected.shape[0], BAND):
        band = expected[top : top + BAND]
        row = band * scale
        row += start
        np.clip(row, 0, rows - 0.5, out=row)
        place = row.astype(np.int32)
        place *= DRAWS
        place += rng.integers(0, DRAWS, band.shape, dtype=np.uint16)
        # All places are within the table: with this mode that is not looked at again, and nothing is copied.
        np.take(table, place, out=drawn[top : top + BAND], mode="wrap")
    return drawn


def _table(means: Floats, most: int) -> NDArray[np.uint8]:
    """Give, for each mean, the Poisson quantiles of 65536 equal shares, one after the other."""
    numbers = np.arange(most + 1)
    table = np.empty((len(means), DRAWS), np.uint8)
    for row, mean in zip(table, means, strict=True):
        ends = np.rint(pdtr(numbers, mean) * DRAWS).astype(np.int64)
        ends[-1] = DRAWS
        row[:] = np.repeat(numbers.astype(np.uint8), np.diff(ends, prepend=0))
    return table.ravel()


def _kernel(camera: Camera) -> Layer:
    """Give the point spread of which the modulation transfer is the transform; sum 1."""
    at = np.fft.fftfreq(KERNEL_PX)
    transfer = modulation(2 * np.hypot(at[:, None], at[None, :]), camera)
    spread = np.fft.fftshift(np.fft.ifft2(transfer).real)
    return np.asarray(spread / spread.sum(), np.float32)
