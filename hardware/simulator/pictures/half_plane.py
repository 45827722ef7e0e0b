"""The contrast transfer over the half-plane of a real image's spectrum, worked out a few rows at a time.

Everything that depends on |k| alone is a table of one dimension; only defocus with astigmatism is worked out at every
frequency. Bands of rows are small enough to stay in the processor's cache.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .lens import Aberrations

Plane = NDArray[np.float32]
Waves = NDArray[np.complex64]
Floats = NDArray[np.float64]
Index = NDArray[np.intp]

BAND = 32
"""Rows worked on at once."""

STEPS = 8192
"""Steps of a radial table from zero to the corner of the plane."""


class HalfPlane:
    """Frequencies of an image of ``shape`` (rows, cols) as `scipy.fft.rfft2` orders them, in Å⁻¹."""

    def __init__(self, shape: tuple[int, int], pixel_size_a: float) -> None:
        self.shape = shape
        self.pixel_size_a = pixel_size_a
        self.ky = np.fft.fftfreq(shape[0], pixel_size_a).astype(np.float32)[:, None]
        self.kx = np.fft.rfftfreq(shape[1], pixel_size_a).astype(np.float32)[None, :]
        self.corner = math.hypot(float(np.abs(self.ky).max()), float(self.kx.max()))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the half-plane."""
        return self.shape[0], self.kx.shape[1]

    @cached_property
    def radii(self) -> Floats:
        """Frequencies at which radial tables are given, in Å⁻¹, from zero; shape (STEPS + 1,)."""
        return np.linspace(0, self.corner, STEPS + 1)

    def bands(self) -> Iterator[slice]:
        """Give the rows of one band after the other."""
        for top in range(0, self.shape[0], BAND):
            yield slice(top, min(top + BAND, self.shape[0]))

    def places(self, rows: slice) -> Index:
        """Say which element of a radial table each frequency of a band takes."""
        ky, kx = self.ky[rows], self.kx
        k = np.sqrt(ky * ky + kx * kx)
        k *= np.float32(STEPS / self.corner)
        k += np.float32(0.5)
        return np.asarray(k.astype(np.intp))

    def phase(self, optics: Aberrations, rows: slice) -> Plane:
        """Give ``χ + asin A`` of a band."""
        half = optics.astigmatism_a / 2
        c, s = math.cos(2 * optics.angle_rad), math.sin(2 * optics.angle_rad)
        lead = math.pi * optics.wavelength_a
        ky, kx = self.ky[rows], self.kx
        ky2, kx2 = ky * ky, kx * kx
        spherical = np.float32(0.5 * math.pi * optics.cs_a * optics.wavelength_a**3)
        start = np.float32(math.asin(optics.amplitude_contrast) + optics.phase_shift_rad)
        # π λ (Δf k² + half (c (kx² - ky²) + 2 s kx ky)) - (π/2) Cs λ³ k⁴ with k⁴ = kx⁴ + 2 kx² ky² + ky⁴.
        own_y = np.float32(lead * (optics.defocus_a - half * c)) * ky2 - spherical * ky2 * ky2
        own_x = np.float32(lead * (optics.defocus_a + half * c)) * kx2 - spherical * kx2 * kx2
        chi = own_y + (own_x + start)
        chi += (np.float32(lead * 2 * half * s) * ky - (np.float32(2) * spherical * ky2) * kx) * kx
        return np.asarray(chi)

    def coma(self, optics: Aberrations, rows: slice) -> Waves:
        """Give the phase factor by which a tilted beam displaces what the lens images, of a band."""
        lead = np.float32(2 * math.pi * optics.cs_a * optics.wavelength_a**2)
        ky, kx = self.ky[rows], self.kx
        phase = ky * np.float32(optics.tilt_rad[0]) + kx * np.float32(optics.tilt_rad[1])
        phase *= ky * ky + kx * kx
        phase *= lead
        turned = np.empty(phase.shape, np.complex64)
        np.cos(phase, out=turned.real)
        np.sin(phase, out=turned.imag)
        return turned


def rings_left(frequency: Floats, wavelength: float, thickness_nm: float) -> Floats:
    """Give how much matter spread over a depth leaves of its rings: ``sin ξ / ξ``, ``ξ = π λ t k²``.

    The thickness term of CTFFIND5 (Elferink et al., eLife 2024): negative where the rings have turned over.
    """
    return np.asarray(np.sinc(wavelength * thickness_nm * 10.0 * frequency**2))


def response(phase: Plane, left: Plane) -> Plane:
    """Give what the lens makes of phase, ``2 sin χ``, with the rings of thick matter blurred.

    For noise the mean square over depth is ``2 (1 - m cos 2χ)`` with ``m`` from `rings_left`; the sign of ``sin χ`` is
    kept for what is no noise. Contrast is negative: matter looks dark in underfocus.

    Parameters
    ----------
    phase
        From `HalfPlane.phase`; overwritten.
    left
        From `rings_left` at the same frequencies.
    """
    sine = np.sin(phase, out=phase)
    power = sine * sine
    power *= np.float32(-2)
    power += np.float32(1)
    power *= left
    np.subtract(np.float32(1), power, out=power)
    power *= np.float32(2)
    np.sqrt(np.maximum(power, 0, out=power), out=power)
    return np.asarray(np.copysign(power, np.negative(sine, out=sine)))
