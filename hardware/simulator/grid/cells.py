"""Random numbers that belong to a place: the same cell of the same world always answers the same.

A world is never built as a whole. What a square, a hole or a spot of ice is like follows from hashing the world's seed,
the name of the property and the cell's two indices (splitmix64's finaliser), so any view can be drawn in any order.
"""

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]

_STEP_I = np.uint64(0x9E3779B97F4A7C15)
_STEP_J = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


def key(*parts: int | str) -> int:
    """Make one 64-bit key of names and numbers, the same on every machine and in every process."""
    text = "/".join(str(part) for part in parts).encode()
    return zlib.crc32(text) << 32 | zlib.adler32(text[::-1] + b"epicycle")


def uniform(seed: int, name: str, i: ArrayLike, j: ArrayLike = 0) -> Floats:
    """Draw from (0, 1) for each cell; ``i`` and ``j`` are whole numbers and broadcast."""
    return (_bits(seed, name, i, j) >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54


def normal(seed: int, name: str, i: ArrayLike, j: ArrayLike = 0) -> Floats:
    """Draw from the standard normal for each cell."""
    return np.asarray(ndtri(uniform(seed, name, i, j)))


def field(seed: int, name: str, x: ArrayLike, y: ArrayLike, length: float) -> Floats:
    """Give a smooth random field at these points: mean 0, variance 1 everywhere, alike over about ``length``.

    Normal numbers at the nodes of a lattice, blended with smooth weights that are scaled to keep the variance.
    """
    u, v = np.broadcast_arrays(np.asarray(x, np.float64) / length, np.asarray(y, np.float64) / length)
    if u.size == 0:
        return np.zeros(u.shape)
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    fu, fv = _smooth(u - i), _smooth(v - j)
    (a, b), (c, d) = _corners(seed, name, i, j)
    near, far = a * (1 - fu) + c * fu, b * (1 - fu) + d * fu
    power = ((1 - fu) ** 2 + fu**2) * ((1 - fv) ** 2 + fv**2)
    return np.asarray((near * (1 - fv) + far * fv) / np.sqrt(power))


def _corners(seed: int, name: str, i: NDArray[np.int64], j: NDArray[np.int64]) -> list[list[Floats]]:
    """Give the numbers at the corners of each cell, by rows; cells that lie far apart draw none for those between."""
    first, second = i.min(), j.min()
    rows, cols = int(i.max() - first) + 2, int(j.max() - second) + 2
    if rows * cols > 4 * i.size:
        return [[normal(seed, name, i + down, j + right) for right in (0, 1)] for down in (0, 1)]
    nodes = normal(seed, name, np.arange(first, first + rows)[:, None], np.arange(second, second + cols)[None, :])
    flat, place = nodes.ravel(), (i - first) * cols + (j - second)
    return [[flat.take(place + down * cols + right) for right in (0, 1)] for down in (0, 1)]


def _smooth(t: Floats) -> Floats:
    return t * t * (3 - 2 * t)


def _bits(seed: int, name: str, i: ArrayLike, j: ArrayLike) -> NDArray[np.uint64]:
    rows = np.atleast_1d(np.asarray(i)).astype(np.int64).view(np.uint64)
    cols = np.atleast_1d(np.asarray(j)).astype(np.int64).view(np.uint64)
    start = _mixed(np.array([key(name) ^ (seed & (2**64 - 1))], np.uint64))
    bits = _mixed(_mixed(start + rows * _STEP_I) + cols * _STEP_J)
    return bits.reshape(np.broadcast_shapes(np.shape(i), np.shape(j)))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = bits ^ (bits >> np.uint64(30))
    bits *= _MIX_A
    bits ^= bits >> np.uint64(27)
    bits *= _MIX_B
    bits ^= bits >> np.uint64(31)
    return bits
