"""Images of atlas, square and hole level: what the specimen lets through and the lens makes of it."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..grid.cells import Floats
from .lens import phase_per_nm, wavelength_a
from .specimen import Layer, Layers

BAR_TRANSMISSION = 0.002
"""What comes through the bars; assumed."""

LEAST_PX = 0.25
"""Blur narrower than this does not show."""


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


@dataclass(frozen=True, slots=True)
class Blur:
    """What blurs an image before it is counted, all in pixels.

    Attributes
    ----------
    camera_px
        Standard deviation of the camera's point spread.
    defocus_px
        Standard deviation of the blur by defocus, of either sign, on nodes over the image (n, m).
    movement_px
        Way of the specimen during the exposure, (row, col).
    shaking_px
        Standard deviation of its trembling.
    """

    camera_px: float
    defocus_px: Layer
    movement_px: Floats
    shaking_px: float = 0.0


def transmitted(
    layers: Layers, paths: Paths, gold: bool, defocus_um: Layer | float, pixel_um: float, voltage_kv: float
) -> Layer:
    """Give the fraction of electrons that each pixel lets through, with the fringes that defocus puts at edges.

    The fringes follow the transport of intensity to first order: ``1 + (λ Δf / 2π) ∇²φ``; ``defocus_um`` may be given
    on nodes over the image.
    """
    through = np.exp(layers.ice_nm * np.float32(-1 / paths.ice_nm) + layers.film_nm * np.float32(-1 / paths.film_nm))
    defocus = np.atleast_2d(np.asarray(defocus_um, np.float32))
    strength = defocus * np.float32(-wavelength_a(voltage_kv) * 1e-4 / (2 * math.pi) / pixel_um**2)
    if float(np.abs(strength).max()) > 2e-3:
        film = phase_per_nm(voltage_kv, "gold" if gold else "carbon")
        # Of the wave behind a heavy film little is coherent enough to interfere.
        coherent = np.exp(layers.film_nm * np.float32(-1.5 / paths.film_nm))
        phase = layers.ice_nm * np.float32(phase_per_nm(voltage_kv, "ice"))
        phase += layers.film_nm * coherent * np.float32(film)
        far = float(np.abs(defocus).max())
        width = max(0.7, 0.4 * math.sqrt(wavelength_a(voltage_kv) * 1e-4 * far) / pixel_um)
        phase = np.asarray(cv2.GaussianBlur(phase, (0, 0), width), np.float32)
        scale = float(strength.flat[0]) if strength.size == 1 else 1.0
        fringes = np.asarray(cv2.Laplacian(phase, cv2.CV_32F, scale=scale), np.float32)
        if strength.size > 1:
            fringes *= over(strength, fringes.shape)
        through *= np.clip(fringes + np.float32(1), 0.4, 1.5, out=fringes)
    through *= layers.free
    through += BAR_TRANSMISSION
    return np.asarray(through)


def over(nodes: Layer, shape: tuple[int, ...]) -> Layer:
    """Interpolate nodes, the first and last of which lie in the middles of the outermost pixels, to all pixels."""
    rows, cols = shape[:2]
    down, across = (nodes.shape[0] - 1) / max(rows - 1, 1), (nodes.shape[1] - 1) / max(cols - 1, 1)
    matrix = np.array([[across, 0, 0], [0, down, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(nodes, matrix, (cols, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def lit(through: Layer, light: Light, blur: Blur) -> Layer:
    """Turn transmission into expected electrons per pixel: beam profile and blur."""
    rows = np.arange(through.shape[0], dtype=np.float32)[:, None] - np.float32(light.centre_px[0])
    cols = np.arange(through.shape[1], dtype=np.float32)[None, :] - np.float32(light.centre_px[1])
    out = (rows * rows + cols * cols) * np.float32(1 / light.radius_px**2)
    beam = 1 - np.float32(light.vignetting) * out
    if out.max() > 0.9:
        beam *= np.clip((1 - out) * 25, 0, 1)
    beam *= np.float32(light.electrons)
    beam *= through
    return moved(blurred(beam, blur), blur.movement_px)


def blurred(image: Layer, blur: Blur) -> Layer:
    """Blur by camera, shaking and defocus; where the focus varies, between its sharpest and its most blurred."""
    fixed = blur.camera_px**2 + blur.shaking_px**2
    square = blur.defocus_px**2 + np.float32(fixed)
    least, most = float(square.min()), float(square.max())
    sharp = _gaussian(image, math.sqrt(least))
    if most - least < LEAST_PX**2:
        return sharp
    # Between two Gaussians their mixture has the right variance.
    soft = _gaussian(image, math.sqrt(most))
    soft -= sharp
    soft *= over((square - np.float32(least)) / np.float32(most - least), image.shape)
    soft += sharp
    return soft


def moved(image: Layer, way_px: Floats) -> Layer:
    """Smear an image along a straight way (row, col)."""
    length = float(np.hypot(*way_px))
    if length < LEAST_PX:
        return image
    # The way is cut into steps of a quarter pixel, each shared between the four pixels around it.
    half = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    steps = math.ceil(4 * length) + 1
    at = half + np.outer(np.linspace(-0.5, 0.5, steps), way_px)
    low = np.floor(at).astype(np.int64)
    part = at - low
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1]) / steps
            np.add.at(kernel, (low[:, 0] + down, low[:, 1] + right), share.astype(np.float32))
    return np.asarray(cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE))


def glowing(electrons: Layer, glow: float) -> Layer:
    """Spread a fraction of the light wide, as cameras and scattering in the column do."""
    if glow <= 0:
        return electrons
    size = (max(electrons.shape[1] // 16, 2), max(electrons.shape[0] // 16, 2))
    small = cv2.resize(electrons, size, interpolation=cv2.INTER_AREA)
    wide = cv2.GaussianBlur(small, (0, 0), max(small.shape) / 14)
    spread = np.asarray(cv2.resize(wide, electrons.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    spread *= np.float32(glow)
    spread += electrons * np.float32(1 - glow)
    return spread


def _gaussian(image: Layer, width_px: float) -> Layer:
    if width_px < LEAST_PX:
        return image.copy()
    return np.asarray(cv2.GaussianBlur(image, (0, 0), width_px), np.float32)
