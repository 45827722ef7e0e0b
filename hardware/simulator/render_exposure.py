"""Exposures: projected potential of ice, film and particles through a real contrast transfer, as moving frames.

Ice and film are amorphous: white noise in phase whose power grows with thickness. Matter spread over a depth t blurs
the rings of that noise by ``sin(ξ) / ξ``, ``ξ = π λ t k²`` (the thickness term of CTFFIND5, Elferink et al., eLife
2024), so thick ice shows fewer rings.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from .detector import poisson
from .lens import Aberrations
from .specimen import Layer

ICE_POWER, FILM_POWER = 3.0e-4, 1.5e-3
"""Power of the phase noise in rad² Å² for each nm of ice and of carbon; chosen so that fits end where real ones do."""

SUBSTEPS = 5
"""Most positions into which the movement during one frame is cut."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What one exposure looks at.

    Attributes
    ----------
    noise_power
        Phase noise, rad² Å², shape (rows, cols) or a scalar.
    particles
        Phase of the particles in radians, shape (rows, cols); None where there are none.
    electrons
        Expected electrons per pixel, all frames, after all that the specimen holds back; (rows, cols) or a scalar.
    thickness_nm
        Mean thickness, for the damping of the rings.
    """

    noise_power: Layer | float
    particles: Layer | None
    electrons: Layer | float
    thickness_nm: float


def exit_spectrum(
    scene: Scene,
    optics: Aberrations,
    b_a2: float,
    shape: tuple[int, int],
    pixel_size_a: float,
    rng: np.random.Generator,
) -> NDArray[np.complex64]:
    """Give the half-plane spectrum of the image's contrast ``I / mean - 1`` before any movement."""
    phase = rng.standard_normal(shape, dtype=np.float32)
    phase *= np.sqrt(np.asarray(scene.noise_power, np.float32)) / np.float32(pixel_size_a)
    if scene.particles is not None:
        phase += scene.particles
    spectrum = scipy.fft.rfft2(phase, workers=1)
    spectrum *= transfer(optics, b_a2, scene.thickness_nm, shape, pixel_size_a)
    return np.asarray(spectrum)


def transfer(
    optics: Aberrations, b_a2: float, thickness_nm: float, shape: tuple[int, int], pixel_size_a: float
) -> NDArray[np.float32]:
    """Give what the lens makes of phase: ``2 sin χ`` with the rings of thick matter blurred, and the envelope.

    For noise the mean square over depth is ``(1 - m cos 2χ) / 2`` with ``m = sin(ξ) / ξ``; the sign of ``sin χ`` is
    kept for the particles. Contrast is negative: matter looks dark in underfocus.
    """
    rows, cols = shape
    ky = np.fft.fftfreq(rows, pixel_size_a).astype(np.float32)[:, None]
    kx = np.fft.rfftfreq(cols, pixel_size_a).astype(np.float32)[None, :]
    ky2, kx2 = ky * ky, kx * kx
    chi = _aberration(optics, ky, kx)
    out = np.sin(chi)
    if thickness_nm > 0:
        scale = np.float32(math.pi * optics.wavelength_a * thickness_nm * 10.0)
        depth = scale * ky2 + scale * kx2
        depth[0, 0] = 1.0
        blurred = np.sin(depth)
        blurred /= depth
        blurred[0, 0] = 1.0
        power = 1 - 2 * out * out
        power *= blurred
        np.subtract(1, power, out=power)
        power *= np.float32(0.5)
        np.sqrt(power, out=power)
        out = np.copysign(power, out)
    out *= np.exp(np.float32(-b_a2 / 4) * ky2) * np.float32(-2)
    out *= np.exp(np.float32(-b_a2 / 4) * kx2)
    return np.asarray(out)


def frames_of(
    spectrum: NDArray[np.complex64],
    scene: Scene,
    path_px: NDArray[np.float64],
    shape: tuple[int, int],
    dark_e_per_px: float,
    rng: np.random.Generator,
) -> Iterator[Layer]:
    """Record a movie, frame by frame: counts of one frame after the other.

    Parameters
    ----------
    spectrum
        From `exit_spectrum`.
    path_px
        Where the specimen stands at the beginning of each frame and at the end of the last, (row, col); shape
        (frames + 1, 2).
    """
    count = len(path_px) - 1
    each = np.asarray(scene.electrons, np.float32) / np.float32(count)
    for start, end in pairwise(path_px):
        moved = spectrum * _movement(start, end, shape)
        image = scipy.fft.irfft2(moved, s=shape, workers=1, overwrite_x=True)
        image += np.float32(1)
        image *= each
        image += np.float32(dark_e_per_px / count)
        yield poisson(np.maximum(image, 0, out=image), rng)


def induced_path_px(frames: int, dose: float, pixel_size_a: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the movement that the beam itself causes: fast at first, one way, with some wandering; (frames + 1, 2)."""
    turn = rng.uniform(0, 2 * math.pi)
    reach = 14.0 * math.exp(0.5 * rng.standard_normal())
    given = np.linspace(0, dose, frames + 1)
    along = reach * (1 - np.exp(-given / 6.0)) + 0.05 * given
    wander = np.concatenate([[[0.0, 0.0]], np.cumsum(rng.normal(0, 1.2 / math.sqrt(frames), (frames, 2)), axis=0)])
    return np.asarray((along[:, None] * [math.sin(turn), math.cos(turn)] + wander) / pixel_size_a)


def enlarged(coarse: Layer, shape: tuple[int, int]) -> Layer:
    """Interpolate a coarse layer to the pixels of the exposure."""
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR))


def _aberration(optics: Aberrations, ky: Layer, kx: Layer) -> Layer:
    half = optics.astigmatism_a / 2
    c, s = math.cos(2 * optics.angle_rad), math.sin(2 * optics.angle_rad)
    lead = math.pi * optics.wavelength_a
    ky2, kx2 = ky * ky, kx * kx
    spherical = np.float32(0.5 * math.pi * optics.cs_a * optics.wavelength_a**3)
    # χ + asin A = λπ(Δf k² + half (c (kx² - ky²) + 2 s kx ky)) - (π/2) Cs λ³ k⁴ + asin A, k⁴ = kx⁴ + 2 kx² ky² + ky⁴.
    own_y = np.float32(lead * (optics.defocus_a - half * c)) * ky2 - spherical * ky2 * ky2
    own_x = np.float32(lead * (optics.defocus_a + half * c)) * kx2 - spherical * kx2 * kx2
    chi = own_y + (own_x + np.float32(math.asin(optics.amplitude_contrast)))
    chi += (np.float32(lead * 2 * half * s) * ky) * kx - (np.float32(2) * spherical * ky2) * kx2
    return np.asarray(chi)


def _movement(start: NDArray[np.float64], end: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.complex64]:
    """Average the shift over the way from start to end."""
    steps = int(min(max(math.ceil(2 * math.dist(start, end)), 1), SUBSTEPS))
    ky = np.fft.fftfreq(shape[0])[:, None]
    kx = np.fft.rfftfreq(shape[1])[None, :]
    total: NDArray[np.complex64] | None = None
    for step in range(steps):
        row, col = start + (end - start) * ((step + 0.5) / steps)
        ramp_y = (np.exp(-2j * math.pi * ky * row) / steps).astype(np.complex64)
        ramp = ramp_y * np.exp(-2j * math.pi * kx * col).astype(np.complex64)
        total = ramp if total is None else total + ramp
    assert total is not None
    return total
