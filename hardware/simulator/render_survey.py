"""Images of atlas, square and hole level: what the specimen lets through, the lens blurs, and the camera counts."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .lens import phase_per_nm, wavelength_a
from .profile import Camera
from .specimen import Layer, Layers

BAR_TRANSMISSION = 0.002
CONVERGENCE_RAD = 1e-4
"""Spread of the beam's directions at low magnification; with the defocus it blurs. Assumed."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Mean free paths of what lies in the beam, nm."""

    ice_nm: float
    film_nm: float


@dataclass(frozen=True, slots=True)
class Light:
    """The illumination of one image.

    Attributes
    ----------
    electrons
        Mean electrons per pixel in the middle of the beam, without a specimen.
    centre_px
        Where the middle of the beam falls, (row, col).
    radius_px
        Radius of the illuminated disc.
    vignetting
        Fraction lost at its rim.
    """

    electrons: float
    centre_px: tuple[float, float]
    radius_px: float
    vignetting: float


def transmitted(
    layers: Layers, paths: Paths, gold: bool, defocus_um: float, pixel_um: float, voltage_kv: float
) -> Layer:
    """Give the fraction of electrons that each pixel lets through, with the fringes that defocus puts at edges.

    The fringes follow the transport of intensity to first order: ``1 + (λ Δf / 2π) ∇²φ``.
    """
    through = np.exp(layers.ice_nm * np.float32(-1 / paths.ice_nm) + layers.film_nm * np.float32(-1 / paths.film_nm))
    strength = wavelength_a(voltage_kv) * 1e-4 * -defocus_um / (2 * math.pi) / pixel_um**2
    if abs(strength) > 2e-3:
        film = phase_per_nm(voltage_kv, "gold" if gold else "carbon")
        # Of the wave behind a heavy film little is coherent enough to interfere.
        coherent = np.exp(layers.film_nm * np.float32(-1.5 / paths.film_nm))
        phase = layers.ice_nm * np.float32(phase_per_nm(voltage_kv, "ice"))
        phase += layers.film_nm * coherent * np.float32(film)
        width = max(0.7, 0.4 * math.sqrt(wavelength_a(voltage_kv) * 1e-4 * abs(defocus_um)) / pixel_um)
        phase = np.asarray(cv2.GaussianBlur(phase, (0, 0), width), np.float32)
        fringes = cv2.Laplacian(phase, cv2.CV_32F, scale=strength)
        through *= np.clip(fringes + np.float32(1), 0.4, 1.5, out=fringes)
    through *= layers.free
    through += BAR_TRANSMISSION
    return np.asarray(through)


def blur_px(camera: Camera, defocus_um: float, pixel_um: float) -> float:
    """Width of the blur by camera and defocus, in pixels."""
    return math.hypot(camera.blur_px, CONVERGENCE_RAD * abs(defocus_um) / pixel_um)


def lit(through: Layer, light: Light, camera: Camera, blur: float) -> Layer:
    """Turn transmission into expected electrons per pixel: beam profile, blur, and the glow of the camera."""
    rows = np.arange(through.shape[0], dtype=np.float32)[:, None] - np.float32(light.centre_px[0])
    cols = np.arange(through.shape[1], dtype=np.float32)[None, :] - np.float32(light.centre_px[1])
    out = (rows * rows + cols * cols) * np.float32(1 / light.radius_px**2)
    beam = 1 - np.float32(light.vignetting) * out
    if out.max() > 0.9:
        beam *= np.clip((1 - out) * 25, 0, 1)
    beam *= np.float32(light.electrons)
    beam *= through
    if blur > 0.2:
        beam = np.asarray(cv2.GaussianBlur(beam, (0, 0), blur), np.float32)
    if camera.glow > 0:
        small = cv2.resize(
            beam, (max(beam.shape[1] // 16, 2), max(beam.shape[0] // 16, 2)), interpolation=cv2.INTER_AREA
        )
        wide = cv2.GaussianBlur(small, (0, 0), max(small.shape) / 14)
        beam *= np.float32(1 - camera.glow)
        beam += np.float32(camera.glow) * cv2.resize(wide, beam.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(beam)


def counted(electrons: Layer, camera: Camera, rng: np.random.Generator) -> NDArray[np.int16]:
    """Let a camera in linear mode count: shot noise, gain, read noise, hot pixels."""
    counts = poisson(electrons + np.float32(camera.dark_e_per_px), rng)
    counts *= np.float32(camera.counts_per_electron)
    if camera.read_noise_counts > 0:
        counts += np.float32(camera.read_noise_counts) * rng.standard_normal(counts.shape, dtype=np.float32)
    hot = int(rng.poisson(camera.hot_pixels * counts.size))
    if hot:
        counts.flat[rng.integers(0, counts.size, hot)] = 4.0 * float(counts.max()) + 50.0
    np.clip(counts, -32768, 32767, out=counts)
    return np.rint(counts, out=counts).astype(np.int16)


def poisson(mean: Layer, rng: np.random.Generator) -> Layer:
    """Draw Poisson numbers by the Cornish-Fisher expansion: nearly right down to one count, and much faster."""
    normal = rng.standard_normal(mean.shape, dtype=np.float32)
    drawn = np.sqrt(np.maximum(mean, 0)) * normal
    drawn += mean
    normal *= normal
    normal -= 1
    drawn += normal * np.float32(1 / 6)
    np.rint(drawn, out=drawn)
    return np.asarray(np.maximum(drawn, 0, out=drawn))
