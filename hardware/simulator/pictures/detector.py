"""The camera: counting electrons, and what every image carries of the sensor's own faults.

Gain error, hot and dead pixels belong to the sensor: they follow from its key and stay where they are from image to
image. Shot noise, read noise and X-rays are new in each.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..grid.cells import key
from ..instrument.profile import Camera

Plane = NDArray[np.float32]

BLOCK_PX = 256
"""Side of the parts of the sensor whose faults are drawn together, in the sensor's own pixels."""

EXACT_BELOW = 0.5
"""Fewer electrons per pixel than this are drawn one pixel at a time."""

WIDE_CELLS = 6
"""Into how many parts across the wide gain error is cut."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One camera in one way of reading it out.

    Attributes
    ----------
    key
        Names the sensor; its faults follow from it.
    rows_px, cols_px
        Size of the stored image, which lies in the middle of the sensor.
    binning
        Side of the block of sensor pixels that make one stored pixel.
    """

    key: int
    rows_px: int
    cols_px: int
    binning: int


def counted(
    electrons: Plane, seconds: float, camera: Camera, sensor: Sensor, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Let a camera in linear mode count.

    Parameters
    ----------
    electrons
        Expected electrons in each stored pixel, (rows, cols).
    seconds
        Exposure time; what hot pixels and X-rays leave grows with it.
    """
    counts = poisson(electrons + np.float32(camera.dark_e_per_px), rng)
    counts *= np.float32(camera.counts_per_electron)
    if camera.spread_px > 0.2:
        counts = np.asarray(cv2.GaussianBlur(counts, (0, 0), camera.spread_px), np.float32)
    _strike(counts, seconds, camera, rng)
    counts *= gain_left(camera, sensor)
    if camera.read_noise_counts > 0:
        counts += np.float32(camera.read_noise_counts) * rng.standard_normal(counts.shape, dtype=np.float32)
    hot, strength = hot_pixels(camera, sensor)
    np.add.at(counts.ravel(), hot, strength * np.float32(seconds))
    counts.flat[dead_pixels(camera, sensor)] = 0.0
    np.clip(counts, -32768, 32767, out=counts)
    return np.rint(counts, out=counts).astype(np.int16)


def poisson(mean: Plane, rng: np.random.Generator) -> Plane:
    """Draw Poisson numbers.

    Large means by the asymptotic expansion of the quantile in a normal number w, ``floor(m + w √m + (2 + w²) / 6 -
    (2 w + w³) / (72 √m))`` (M. B. Giles, ACM Trans. Math. Softw. 42, 2016), within 1 % of mean and 5 % of variance from
    half an electron on; smaller ones exactly.
    """
    normal = rng.standard_normal(mean.shape, dtype=np.float32)
    root = np.sqrt(np.maximum(mean, np.float32(EXACT_BELOW)))
    square = normal * normal
    drawn = square + np.float32(2)
    square *= np.float32(1 / 6)
    square += mean
    square += np.float32(1 / 3)
    drawn *= normal
    drawn *= np.float32(-1 / 72)
    drawn /= root
    normal *= root
    drawn += square
    drawn += normal
    np.floor(drawn, out=drawn)
    np.maximum(drawn, 0, out=drawn)
    few = np.flatnonzero(mean < EXACT_BELOW)
    if few.size:
        drawn.flat[few] = rng.poisson(np.maximum(mean.flat[few], 0))
    return np.asarray(drawn)


@lru_cache(maxsize=4)
def gain_left(camera: Camera, sensor: Sensor) -> Plane:
    """Give the gain of every stored pixel after correction, near 1.

    Each way of reading out has a gain reference of its own, so what it leaves differs between them; the average over a
    binned block is better than one pixel.
    """
    shape = (sensor.rows_px, sensor.cols_px)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([sensor.key, *shape, sensor.binning, 1])))
    fine = rng.standard_normal(shape, dtype=np.float32) * np.float32(camera.gain_error / sensor.binning)
    wide = rng.standard_normal((WIDE_CELLS, WIDE_CELLS), dtype=np.float32) * np.float32(camera.gain_wide_error)
    fine += cv2.resize(wide, shape[::-1], interpolation=cv2.INTER_CUBIC)
    fine += np.float32(1)
    fine.setflags(write=False)
    return np.asarray(fine)


@lru_cache(maxsize=4)
def hot_pixels(camera: Camera, sensor: Sensor) -> tuple[NDArray[np.int64], Plane]:
    """Give the hot pixels: their flat places in the stored image and counts per second."""
    at, normal = _faulty(sensor, "hot", camera.hot_pixels)
    return at, (camera.hot_counts_per_s * np.exp(0.7 * normal)).astype(np.float32)


@lru_cache(maxsize=4)
def dead_pixels(camera: Camera, sensor: Sensor) -> NDArray[np.int64]:
    """Give the flat places of the stored pixels that see nothing: whole ones where binning has not hidden the fault."""
    at, _ = _faulty(sensor, "dead", camera.dead_pixels / sensor.binning**2)
    return at


def _faulty(sensor: Sensor, name: str, fraction: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw faulty pixels of the sensor block by block, so that one pixel is faulty in every way of reading out."""
    rows, cols = sensor.rows_px * sensor.binning, sensor.cols_px * sensor.binning
    reach_r, reach_c = -(-rows // (2 * BLOCK_PX)), -(-cols // (2 * BLOCK_PX))
    found = [
        _in_block(sensor.key, name, fraction, i, j) for i in range(-reach_r, reach_r) for j in range(-reach_c, reach_c)
    ]
    table = np.concatenate(found)
    at = np.floor((table[:, :2] + [rows / 2, cols / 2]) / sensor.binning).astype(np.int64)
    within = ((at >= 0) & (at < [sensor.rows_px, sensor.cols_px])).all(axis=1)
    at = at[within]
    return at[:, 0] * sensor.cols_px + at[:, 1], table[within, 2]


def _in_block(sensor: int, name: str, fraction: float, i: int, j: int) -> NDArray[np.float64]:
    """Give row and column from the sensor's middle and a normal number of each fault of one block, (n, 3)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([sensor, key(name), i + 2**16, j + 2**16])))
    count = int(rng.poisson(fraction * BLOCK_PX**2))
    place = np.array([i, j]) * BLOCK_PX + rng.integers(0, BLOCK_PX, (count, 2)) + 0.5
    return np.column_stack([place, rng.standard_normal(count)])


def _strike(counts: Plane, seconds: float, camera: Camera, rng: np.random.Generator) -> None:
    """Let X-rays leave their marks: most in a pixel or two, some as a streak."""
    rows, cols = counts.shape
    for _ in range(int(rng.poisson(camera.xrays_per_s * seconds))):
        start = rng.uniform(0, 1, 2) * [rows, cols]
        length, turn = rng.exponential(2.0) if rng.random() < 0.7 else rng.exponential(12.0), rng.uniform(0, math.tau)
        steps = 1 + math.ceil(length)
        way = start + np.outer(np.linspace(0, length, steps), [math.sin(turn), math.cos(turn)])
        at = np.floor(way).astype(np.int64)
        at = at[((at >= 0) & (at < [rows, cols])).all(axis=1)]
        left = rng.exponential(camera.xray_counts) * rng.uniform(0.3, 1.0, len(at)) / math.sqrt(steps)
        np.add.at(counts, (at[:, 0], at[:, 1]), left.astype(np.float32))
