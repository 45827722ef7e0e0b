"""By how much one picture is displaced against another: cross-correlation, and how far its peak stands out."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal.windows import tukey

LONGEST = 1 / 8
"""Waves longer than this part of the picture are left out: they are the beam's profile, not the specimen."""

FINEST = 0.35
"""Frequency in cycles per pixel at which the pictures are smoothed to one half."""

TAPER = 0.25
"""Part of the picture's sides over which it fades out towards its edges."""

LEAST_SHARE = 0.01
"""No wave counts less: what looks like noise alone may still hold some signal."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where the content of the second picture lies beside that of the first, (row, col) px.

    ``clear`` says how many times its own noise the peak of the correlation is high: pictures that share nothing stay
    below 5.
    """

    row: float
    col: float
    clear: float


def displacement(first: NDArray[np.float32], second: NDArray[np.float32], noise: float | None = None) -> Displacement:
    """Find it by the phases of the waves, so that one strong edge does not outweigh all else.

    Both pictures are of one shape, its sides even. ``noise`` is the variance of each pixel's noise, where it is known:
    waves then count by how much of them is signal.
    """
    shape = first.shape
    window = np.outer(tukey(shape[0], TAPER), tukey(shape[1], TAPER)).astype(np.float32)
    waves = _waves(first, window), _waves(second, window)
    cross = np.conj(waves[0]) * waves[1]
    size = np.abs(cross)
    if float(size.max()) <= 0.0:
        return Displacement(0.0, 0.0, 0.0)
    weights = _band(shape)
    if noise is not None:
        weights *= _signal_share(waves, noise * float((window**2).sum()))
    cross *= weights / np.maximum(size, np.float32(1e-12))
    plane = scipy.fft.irfft2(cross, s=shape, workers=1)
    row, col = (int(index) for index in np.unravel_index(int(plane.argmax()), shape))
    # Phases that have nothing to do with one another add up to a plane of this spread.
    spread = math.sqrt(_total(weights**2)) / plane.size
    off_row, off_col = _top(plane[:, col], row), _top(plane[row], col)
    return Displacement(
        _around(row + off_row, shape[0]), _around(col + off_col, shape[1]), float(plane[row, col]) / spread
    )


def _signal_share(waves: tuple[NDArray[np.complex64], ...], noise: float) -> NDArray[np.float32]:
    """Give which part of the power at each frequency is not noise, from the means over rings of frequencies."""
    rows = waves[0].shape[0]
    ky, kx = np.fft.fftfreq(rows)[:, None], np.arange(waves[0].shape[1])[None, :] / rows
    ring = np.asarray(np.hypot(ky, kx) * rows + 0.5, np.intp)
    power = sum((np.abs(wave) ** 2 for wave in waves), np.zeros(ring.shape)) / len(waves)
    mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    return np.asarray(np.clip(1 - noise / np.maximum(mean, 1e-12), LEAST_SHARE, 1)[ring], np.float32)


def _waves(picture: NDArray[np.float32], window: NDArray[np.float32]) -> NDArray[np.complex64]:
    middle = float((picture * window).sum() / window.sum())
    return np.asarray(scipy.fft.rfft2((picture - np.float32(middle)) * window, workers=1))


def _band(shape: tuple[int, ...]) -> NDArray[np.float32]:
    ky = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    kx = np.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    k2 = ky * ky + kx * kx
    low = np.float32((1 / (LONGEST * min(shape))) ** 2)
    return np.asarray((1 - np.exp(-k2 / low)) * np.exp(k2 * np.float32(-math.log(2) / FINEST**2)), np.float32)


def _total(half: NDArray[np.float32]) -> float:
    """Sum over the whole plane of what is given on its half."""
    return float(2 * half.sum(dtype=np.float64) - half[:, 0].sum(dtype=np.float64) - half[:, -1].sum(dtype=np.float64))


def _top(line: NDArray[np.float32], at: int) -> float:
    """Give how far beside an element the top of the parabola through it and its neighbours lies."""
    before, here, after = (float(line[(at + step) % len(line)]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def _around(place: float, length: int) -> float:
    return place - length if place > length / 2 else place
