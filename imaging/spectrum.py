"""The power spectrum of a micrograph: averaged periodograms of overlapping patches, and its polar average."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from ..hardware.records import Pixels
from ..protocols.errors import BadInput
from .pixels import clipped

PATCH_A = 1000.0
"""Least side of a patch in Å: rings of 3 µm defocus are then still more than two frequency steps apart at 4 Å."""

SMALLEST_PATCH_PX, LARGEST_PATCH_PX = 64, 2048
"""Bounds of a patch's side."""

CLIP_SIGMA = 6.0
"""Pixels beyond this many deviations are clipped: hot pixels and X-rays spread over all frequencies."""

AXIS_PX = 3
"""Pixels of the spectrum left out on either side of its axes."""

SPOT = 8.0
"""Power over the mean of its ring at which a pixel is cut off; the spread of noise does not reach it."""

FINEST_A = 2.8
"""Frequencies beyond this resolution are cropped away: screening does not need them."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Averaged power on the half-plane of `scipy.fft.rfft2`, rows ordered from the most negative frequency.

    Attributes
    ----------
    power
        Shape (2 half + 1, half + 1); row ``half``, column 0 is frequency zero.
    step
        Å⁻¹ per pixel, both axes.
    finest
        Highest frequency held, Å⁻¹.
    patches
        How many patches were averaged.
    """

    power: NDArray[np.float32]
    step: float
    finest: float
    patches: int


@dataclass(frozen=True, slots=True)
class PolarSpectrum:
    """The half-plane averaged into sectors and rings one pixel wide.

    Attributes
    ----------
    power, count
        Mean power and number of pixels, shape (sectors, rings); power 0 where the count is 0.
    angle_rad
        Middle of each sector, from the column axis towards the row axis, shape (sectors,).
    frequency
        Of each ring in Å⁻¹, shape (rings,).
    step
        Å⁻¹ per ring.
    """

    power: NDArray[np.float32]
    count: NDArray[np.float32]
    angle_rad: NDArray[np.float32]
    frequency: NDArray[np.float32]
    step: float


def spectrum_of(micrograph: Pixels, pixel_size_a: float) -> Spectrum:
    """Average the periodograms of half-overlapping patches, cropped at `FINEST_A` or Nyquist.

    Parameters
    ----------
    micrograph
        Shape (rows, cols), sides of at least `SMALLEST_PATCH_PX`.
    pixel_size_a
        Å per pixel.

    Raises
    ------
    BadInput
        A picture too small, or a pixel size that is no positive number.
    """
    if min(micrograph.shape) < SMALLEST_PATCH_PX:
        rows, cols = micrograph.shape
        raise BadInput(f"An image of {rows} × {cols} px is too small for a power spectrum; take 64 px or more.")
    if not (math.isfinite(pixel_size_a) and pixel_size_a > 0):
        raise BadInput(f"A pixel size of {pixel_size_a} Å cannot be; give the true one in Å.")
    image = clipped(micrograph, CLIP_SIGMA)
    side = _patch_side(image.shape, pixel_size_a)
    half = min(side // 2, math.ceil(side * pixel_size_a / FINEST_A))
    window = signal.windows.tukey(side, 0.5, sym=False).astype(np.float32)
    taper = np.outer(window, window)
    total = np.zeros((2 * half + 1, half + 1), np.float32)
    corners = [(row, col) for row in _starts(image.shape[0], side) for col in _starts(image.shape[1], side)]
    for row, col in corners:
        patch = image[row : row + side, col : col + side]
        wave = fft.rfft2((patch - patch.mean()) * taper)
        upper, lower = wave[-half:, : half + 1], wave[: half + 1, : half + 1]
        total[:half] += upper.real**2 + upper.imag**2
        total[half:] += lower.real**2 + lower.imag**2
    step = 1 / (side * pixel_size_a)
    return Spectrum(total / np.float32(len(corners)), step, half * step, len(corners))


def _patch_side(shape: tuple[int, ...], pixel_size_a: float) -> int:
    """Side of a patch: a power of two of at least `PATCH_A`, or the largest fast to transform that fits the picture."""
    wanted = 2 ** math.ceil(math.log2(PATCH_A / pixel_size_a))
    wanted = min(max(wanted, SMALLEST_PATCH_PX), LARGEST_PATCH_PX)
    return int(wanted if wanted <= min(shape) else 2 * fft.prev_fast_len(min(shape) // 2))


def _starts(length: int, side: int) -> list[int]:
    """First pixels of patches that overlap by about a half and reach both ends."""
    count = 1 if length == side else math.ceil(2 * (length - side) / side) + 1
    return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]


def polar(spectrum: Spectrum, sectors: int = 45) -> PolarSpectrum:
    """Average into sectors and rings, without the lines and spots that cameras and resampling leave.

    The axes are left out, and no pixel counts for more than `SPOT` times the mean of its ring.
    """
    half = spectrum.power.shape[1] - 1
    ky = np.arange(-half, half + 1, dtype=np.float32)[:, None]
    kx = np.arange(half + 1, dtype=np.float32)[None, :]
    ring = (np.sqrt(ky * ky + kx * kx) + 0.5).astype(np.int32)
    use = (ring <= half) & (kx >= AXIS_PX) & (np.abs(ky) >= AXIS_PX)
    sector = np.minimum(((np.arctan2(ky, np.maximum(kx, 1e-6)) / np.pi + 0.5) * sectors).astype(np.int32), sectors - 1)
    ring, sector, power = ring[use], sector[use], spectrum.power[use]
    for _ in range(2):
        mean = np.bincount(ring, power, half + 1) / np.maximum(np.bincount(ring, minlength=half + 1), 1)
        power = np.minimum(power, SPOT * mean[ring])
    index, size = sector * (half + 1) + ring, sectors * (half + 1)
    count = np.bincount(index, minlength=size).reshape(sectors, half + 1).astype(np.float32)
    total = np.bincount(index, power, size).reshape(sectors, half + 1)
    middles = ((np.arange(sectors) + 0.5) / sectors - 0.5) * np.pi
    frequency = (np.arange(half + 1) * spectrum.step).astype(np.float32)
    average = (total / np.maximum(count, 1)).astype(np.float32)
    return PolarSpectrum(average, count, middles.astype(np.float32), frequency, spectrum.step)
