"""Domain randomisation: how a drawn part of an image is turned, stretched and spoilt before a network learns from it.

Ranges are wide on purpose; a network shall meet more microscopes, cameras and specimens than any simulator has.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..regions import Points

_TILTED, _MOST_TILT_DEG = 0.35, 62.0
_INVERTED = 0.06
_SHADOWED = 0.25


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a part is cut out: source = `matrix` @ (row, col of the part) + `start`, all in px of the source."""

    matrix: Points
    start: NDArray[np.float64]

    def source(self, rows: int, cols: int, stride: int) -> Points:
        """Give the places in the source of the middles of blocks of stride × stride px, (rows, cols, 2)."""
        at = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1) * stride + (stride - 1) / 2
        return np.asarray(at @ self.matrix.T + self.start)

    def cut(self, pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
        """Cut the part out of a source; beyond its border the source is mirrored."""
        m, s = self.matrix, self.start
        # cv2 counts (x, y): rows and columns change places in the matrix.
        affine = np.array([[m[1, 1], m[1, 0], s[1]], [m[0, 1], m[0, 0], s[0]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(pixels, affine, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.float32
        )


def drawn(rng: np.random.Generator, scale: float, middle: Points, side: int) -> Drawn:
    """Draw rotation, flip and tilt of a part whose pixels are `scale` px of the source, around a place."""
    turn, axis = rng.uniform(0, 2 * np.pi, 2)
    squeeze = np.eye(2)
    if rng.random() < _TILTED:
        # A tilt squeezes what is seen, so the part takes in more of the source along that direction.
        squeeze = np.diag([1.0, 1 / math.cos(math.radians(rng.uniform(0, _MOST_TILT_DEG)))])
        squeeze /= math.sqrt(float(np.linalg.det(squeeze)))
    matrix = scale * rotation(axis) @ squeeze @ rotation(turn)
    if rng.random() < 0.5:
        matrix = matrix @ np.diag([1.0, -1.0])
    return Drawn(matrix, np.asarray(middle - matrix @ np.full(2, (side - 1) / 2)))


def rotation(angle: float) -> Points:
    """Give the matrix of a turn."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def spoilt(rng: np.random.Generator, part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change gain, offset, gamma, sharpness and noise, lay gradients and shadows over; (rows, cols), standardised."""
    side = part.shape[0]
    seen: NDArray[np.floating[Any]] = np.sign(part) * np.abs(part) ** np.float32(math.exp(rng.uniform(-0.35, 0.35)))
    if rng.random() < 0.5:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 1.8)))
    if rng.random() < 0.5:
        turn, height = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.7)
        along = np.linspace(-1, 1, side, dtype=np.float32)
        seen = seen + height * (math.cos(turn) * along[:, None] + math.sin(turn) * along[None, :])
    if rng.random() < _SHADOWED:
        seen = _shadowed(rng, np.asarray(seen, np.float32))
    if rng.random() < _INVERTED:
        seen = -seen
    seen = seen * math.exp(rng.uniform(-0.6, 0.6)) + rng.normal(0, 0.4)
    if rng.random() < 0.7:
        noise: NDArray[np.floating[Any]] = rng.normal(0, 1, seen.shape).astype(np.float32)
        if rng.random() < 0.5:
            width = rng.uniform(0.4, 1.2)
            noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), width)) * (2 * math.sqrt(math.pi) * width)
        seen = seen + noise * abs(rng.normal(0, 0.6))
    return np.asarray(np.clip(seen, -8, 8), np.float32)


def nothing(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw a field without holes: noise of one or two lengths, as film, ice and particles give, at times with a bar."""
    field = np.zeros((side, side), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        fine = math.exp(rng.uniform(math.log(0.5), math.log(side / 5)))
        noise: NDArray[np.floating[Any]] = rng.normal(0, 1, (side, side)).astype(np.float32)
        soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), fine))
        if rng.random() < 0.5:
            soft = soft - np.asarray(cv2.GaussianBlur(soft, (0, 0), fine * rng.uniform(1.3, 3.0)))
        field += (soft / max(float(soft.std()), 1e-6) * rng.uniform(0.3, 1.0)).astype(np.float32)
    if rng.random() < 0.2:
        turn, width = rng.uniform(0, np.pi), rng.uniform(3, side / 3)
        at = np.arange(side, dtype=np.float32) - rng.uniform(0, side)
        field = np.where(np.abs(at[:, None] * math.cos(turn) + at[None] * math.sin(turn)) < width, -4.0, field)
    # What is skewed has spots that stand out, as particles and dirt do.
    bent = np.exp(rng.normal(0, 0.4) * np.clip(field, -3, 3))
    return np.asarray((bent - bent.mean()) / max(float(bent.std()), 1e-6), np.float32)


def _shadowed(rng: np.random.Generator, seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay dark blots over, as dirt does."""
    side = seen.shape[0]
    shade = np.zeros(seen.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        row, col = (int(value) for value in rng.integers(0, side, 2))
        axes = tuple(int(value) for value in np.exp(rng.uniform(np.log(2), np.log(side / 6), 2)) + 1)
        cv2.ellipse(shade, (col, row), axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.5, 4)), -1)
    return np.asarray(seen - cv2.GaussianBlur(shade, (0, 0), float(rng.uniform(0.5, 2.5))), np.float32)
