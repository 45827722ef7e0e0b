"""Atlases as other cameras, microscopes and films would give them, so that what is learnt depends on none of them."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]

_BLUR_PX, _NOISE, _STRONG_NOISE = (0.4, 1.8), (0.003, 0.06), (0.05, 0.8)
_GREYS = 200
_TONE = (0.35, 1.6)
_MOTTLE, _MOTTLE_PX = (0.01, 0.15), (1.0, 40.0)
_LEAST_LIGHT = 0.2
_BINNED_SIGMA = 3.0


def as_other_cameras(rng: np.random.Generator, pixels: Picture) -> Picture:
    """Change film, sharpness, tone, evenness, brightest level, number of greys and noise of an atlas (rows, cols).

    What is where stays as it is, and about so do the darkest and the brightest percent, in the image's own unit, where
    noise is not strong. A tone bent far stands for ice and film that scatter more or less than those simulated do:
    without an objective aperture they stand little under vacuum.
    """
    low, high = (float(value) for value in np.quantile(pixels[::3, ::3], [0.01, 0.99]))
    height = max(high - low, 1e-6)
    seen = np.asarray((pixels - low) / height, np.float32)
    if rng.random() < 0.3:
        seen = _mottled(rng, seen)
    seen = _seen(rng, seen)
    if rng.random() < 0.5:
        seen += np.float32(_between(rng, _NOISE)) * rng.standard_normal(seen.shape, np.float32)
    if rng.random() < 0.3:
        seen = np.minimum(seen, np.float32(np.quantile(seen[::3, ::3], rng.uniform(0.9, 0.999))))
    if rng.random() < 0.3:
        seen = np.asarray(np.rint(seen * _GREYS) / _GREYS, np.float32)
    if rng.random() < 0.35:
        seen = _noisy(rng, seen)
    return np.asarray(low + height * seen, np.float32)


def _mottled(rng: np.random.Generator, pixels: Picture) -> Picture:
    """Let film and ice be thicker and thinner from place to place, which is no dirt."""
    spread, sigma = _between(rng, _MOTTLE), _between(rng, _MOTTLE_PX)
    step = max(1, int(sigma / _BINNED_SIGMA))
    rows, cols = (-(-length // step) for length in pixels.shape)
    field = cv2.GaussianBlur(rng.standard_normal((rows, cols), np.float32), (0, 0), sigma / step)
    wide = cv2.resize(field, (cols * step, rows * step), interpolation=cv2.INTER_CUBIC)
    uneven = wide[: pixels.shape[0], : pixels.shape[1]] / max(float(wide.std()), 1e-6)
    return np.asarray(pixels * np.maximum(1 + np.float32(spread) * uneven, _LEAST_LIGHT), np.float32)


def _noisy(rng: np.random.Generator, pixels: Picture) -> Picture:
    """Add strong noise: that of few electrons, more where more light is, or the same everywhere."""
    noise = np.float32(_between(rng, _STRONG_NOISE)) * rng.standard_normal(pixels.shape, np.float32)
    light = np.sqrt(np.clip(pixels, 0.02, 2.0)) if rng.random() < 0.5 else np.float32(1)
    return np.asarray(pixels + light * noise, np.float32)


def _seen(rng: np.random.Generator, pixels: Picture) -> Picture:
    """Blur, bend the tone and tilt the illumination of an atlas on the scale 0 to 1."""
    if rng.random() < 0.6:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), _between(rng, _BLUR_PX)), np.float32)
    if rng.random() < 0.6:
        pixels = np.sign(pixels) * np.abs(pixels) ** np.float32(_between(rng, _TONE))
    if rng.random() < 0.5:
        turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
        rows, cols = (np.linspace(-1, 1, length, dtype=np.float32) for length in pixels.shape)
        tilted = 1 + slope * (math.cos(turn) * rows[:, None] + math.sin(turn) * cols[None])
        return np.asarray(pixels * tilted, np.float32)
    return pixels


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1])))
