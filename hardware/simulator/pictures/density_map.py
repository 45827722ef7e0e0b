"""A particle's density from an MRC map, seen from random directions.

Whatever the units of a map, what stands out of its solvent is taken for protein and given the mean potential that
protein has above ice, so that the phase of a projection has its right size.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from ....files.mrc import read_frames, read_header
from ....protocols.errors import BadInput

PROTEIN_V = 2.5
"""Mean inner potential of protein less that of ice; rounded from 6 V and 3.5 V."""

LARGEST_BOX = 144
"""Larger maps are averaged down before they are turned."""

THINNEST_BOX = 8
"""A stack of fewer sections is no volume."""

PROTEIN_FROM = 0.25
"""Density from which a voxel is protein, between solvent (0) and the brightest half percent (1)."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A particle: potential above ice in volts, cubic, its voxel in Å, and its diameter in Å."""

    volts: NDArray[np.float32]
    voxel_a: float
    diameter_a: float


@lru_cache(maxsize=4)
def read_volume(path: str, pixel_size_a: float | None = None) -> Volume:
    """Read a density map and give it the scale of protein.

    Parameters
    ----------
    path
        MRC file.
    pixel_size_a
        Of its voxels in Å, where the header does not say.

    Raises
    ------
    BadInput
        Not readable, not three-dimensional, without a pixel size, or empty.
    """
    header = read_header(Path(path))
    sides = header.frames, header.rows, header.cols
    if min(sides) < THINNEST_BOX:
        raise BadInput(
            f"density map {path}: {' × '.join(map(str, sides))} is not a volume; give a map in three dimensions"
        )
    voxel = pixel_size_a or header.pixel_size_a
    if voxel is None:
        raise BadInput(
            f"density map {path}: its header holds no pixel size (or 1 Å, which many programs write when they do not "
            "know); say it as density_map_pixel_a"
        )
    density = _cubic(np.asarray(read_frames(Path(path)), np.float32))
    factor = -(-density.shape[0] // LARGEST_BOX)
    if factor > 1:
        side = density.shape[0] // factor * factor
        cut = density[:side, :side, :side].reshape((side // factor, factor) * 3)
        density = np.asarray(cut.mean(axis=(1, 3, 5)), np.float32)
    solvent, bright = float(np.median(density)), float(np.percentile(density, 99.5))
    if not (np.isfinite(density).all() and bright > solvent):
        raise BadInput(f"density map {path}: nothing stands out of its solvent; give a map with a particle in it")
    volts = density - np.float32(solvent)
    inside = volts > PROTEIN_FROM * (bright - solvent)
    volts *= np.float32(PROTEIN_V / float(volts[inside].mean()))
    volts[volts < PROTEIN_FROM / 2 * float(volts[inside].mean())] = 0
    away = np.linalg.norm(np.argwhere(inside) - (density.shape[0] - 1) / 2, axis=1)
    return Volume(volts, voxel * factor, float(2 * np.percentile(away, 99) * voxel * factor))


def projections(
    volume: Volume, pixel_size_a: float, phase_per_volt_a: float, rng: np.random.Generator, count: int
) -> list[NDArray[np.float32]]:
    """Project from random directions: phase in radians, each square with an odd side, on pixels of this size."""
    side = volume.volts.shape[0]
    middle = np.full(3, (side - 1) / 2)
    half = max(round(side * volume.voxel_a / pixel_size_a / 2), 1)
    places = (np.arange(-half, half + 1) * pixel_size_a / volume.voxel_a + middle[0]).astype(np.float32)
    views = []
    for _ in range(count):
        turn = random_turn(rng)
        turned = affine_transform(volume.volts, turn, middle - turn @ middle, order=1)
        flat = turned.sum(axis=0) * np.float32(volume.voxel_a * phase_per_volt_a)
        if pixel_size_a > volume.voxel_a:
            flat = np.asarray(cv2.GaussianBlur(flat, (0, 0), 0.4 * pixel_size_a / volume.voxel_a), np.float32)
        across = np.broadcast_to(places[None, :], (len(places),) * 2)
        views.append(
            np.asarray(
                cv2.remap(flat, np.ascontiguousarray(across), np.ascontiguousarray(across.T), cv2.INTER_CUBIC),
                np.float32,
            )
        )
    return views


def random_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a rotation, all alike, shape (3, 3)."""
    turn, upper = np.linalg.qr(rng.standard_normal((3, 3)))
    turn = turn * np.sign(np.diag(upper))
    if np.linalg.det(turn) < 0:
        turn[:, 0] *= -1
    return np.asarray(turn)


def _cubic(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pad a map to a cube, its middle in the middle."""
    side = max(density.shape)
    before = [(side - length) // 2 for length in density.shape]
    padding = [(low, side - length - low) for low, length in zip(before, density.shape, strict=True)]
    return np.pad(density, padding, constant_values=float(np.median(density)))
