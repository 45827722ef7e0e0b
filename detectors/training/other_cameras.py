"""Atlases as other cameras and microscopes would give them, so that what is learnt does not depend on one of them."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

_AS_IT_IS = 0.25
_BLUR_PX, _NOISE = (0.4, 1.8), (0.003, 0.06)
_GREYS = 200


def as_other_cameras(rng: np.random.Generator, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change sharpness, tone, evenness, noise, the brightest level and the number of greys of an atlas (rows, cols).

    A quarter of the atlases stay as they are. What is where stays as it is in all, and so do the darkest and the
    brightest percent, in the image's own unit.
    """
    if rng.random() < _AS_IT_IS:
        return pixels
    low, high = (float(value) for value in np.quantile(pixels[::3, ::3], [0.01, 0.99]))
    height = max(high - low, 1e-6)
    seen = _seen(rng, np.asarray((pixels - low) / height, np.float32))
    if rng.random() < 0.5:
        seen += np.float32(_between(rng, _NOISE)) * rng.standard_normal(seen.shape, np.float32)
    if rng.random() < 0.3:
        seen = np.minimum(seen, np.float32(np.quantile(seen[::3, ::3], rng.uniform(0.9, 0.999))))
    if rng.random() < 0.3:
        seen = np.asarray(np.rint(seen * _GREYS) / _GREYS, np.float32)
    return np.asarray(low + height * seen, np.float32)


def _seen(rng: np.random.Generator, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur, bend the tone and tilt the illumination of an atlas on the scale 0 to 1."""
    if rng.random() < 0.6:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), _between(rng, _BLUR_PX)), np.float32)
    if rng.random() < 0.5:
        pixels = np.sign(pixels) * np.abs(pixels) ** np.float32(math.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.5:
        turn, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
        rows, cols = (np.linspace(-1, 1, length, dtype=np.float32) for length in pixels.shape)
        tilted = 1 + slope * (math.cos(turn) * rows[:, None] + math.sin(turn) * cols[None])
        return np.asarray(pixels * tilted, np.float32)
    return pixels


def _between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return math.exp(rng.uniform(math.log(ends[0]), math.log(ends[1])))
