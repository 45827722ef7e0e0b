"""The power spectrum of a micrograph: averaged periodograms of overlapping patches, and its polar average."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from ..hardware.records import Pixels
from ..protocols.errors import BadInput

PATCH_A = 1000.0
"""Side of a patch in Å: rings of 3 µm defocus are then still two frequency steps wide at 4 Å."""

SMALLEST_PATCH_PX, LARGEST_PATCH_PX = 64, 2048
"""Bounds of a patch's side."""

CLIP_SIGMA = 5.0
"""Pixels beyond this many deviations are clipped: hot pixels and X-rays spread over all frequencies."""

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
    image = _clipped(micrograph)
    side = _patch_side(image.shape, pixel_size_a)
    half = min(side // 2, math.ceil(side * pixel_size_a / FINEST_A))
    window = signal.windows.hann(side, sym=False).astype(np.float32)
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


def _clipped(micrograph: Pixels) -> Pixels:
    """Bring outlying and non-finite pixels back to what the others show."""
    image = np.asarray(micrograph, np.float32)
    sample = image[::4, ::4]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return np.zeros_like(image)
    middle, spread = float(np.median(sample)), float(np.std(sample))
    cleaned = np.clip(image, middle - CLIP_SIGMA * spread, middle + CLIP_SIGMA * spread)
    return np.nan_to_num(cleaned, copy=False, nan=middle)


def _patch_side(shape: tuple[int, ...], pixel_size_a: float) -> int:
    """Side of a patch: a power of two of about `PATCH_A` that fits the picture."""
    wanted = 2 ** round(math.log2(PATCH_A / pixel_size_a))
    fits = 2 ** int(math.log2(min(shape)))
    return int(min(max(wanted, SMALLEST_PATCH_PX), LARGEST_PATCH_PX, fits))


def _starts(length: int, side: int) -> list[int]:
    """First pixels of patches that overlap by about a half and reach both ends."""
    count = 1 if length == side else math.ceil(2 * (length - side) / side) + 1
    return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]


def polar(spectrum: Spectrum, sectors: int = 45) -> PolarSpectrum:
    """Average into sectors and rings; the axes themselves are left out, where cameras put their lines."""
    cols = spectrum.power.shape[1]
    half = cols - 1
    ky = np.arange(-half, half + 1, dtype=np.float32)[:, None]
    kx = np.arange(cols, dtype=np.float32)[None, :]
    radius = np.sqrt(ky * ky + kx * kx)
    ring = (radius + 0.5).astype(np.int32)
    angle = np.arctan2(ky, np.maximum(kx, 1e-6))
    sector = np.minimum(((angle / np.pi + 0.5) * sectors).astype(np.int32), sectors - 1)
    use = (ring <= half) & (kx >= 2) & (np.abs(ky) >= 2)
    index = (sector * (half + 1) + ring)[use]
    size = sectors * (half + 1)
    count = np.bincount(index, minlength=size).reshape(sectors, half + 1).astype(np.float32)
    total = np.bincount(index, weights=spectrum.power[use], minlength=size).reshape(sectors, half + 1)
    middles = ((np.arange(sectors) + 0.5) / sectors - 0.5) * np.pi
    frequency = np.arange(half + 1) * spectrum.step
    power = (total / np.maximum(count, 1)).astype(np.float32)
    return PolarSpectrum(power, count, middles.astype(np.float32), frequency.astype(np.float32), spectrum.step)
