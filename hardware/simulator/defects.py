"""Things with an outline: tears and cracks in the film, ice crystals and other dirt on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .cells import Floats
from .openings import SquareKind, SquaresAt

CORNERS, DIRT_CORNERS = 48, 14


@dataclass(frozen=True, slots=True)
class Tear:
    """An opening in the film, outline (n, 2) in the grid's frame, with the film rolled up along its edge."""

    outline_um: Floats
    fold_um: float

    def holds(self, x_um: float, y_um: float) -> bool:
        """Whether a place lies inside."""
        return float(cv2.pointPolygonTest(self.outline_um.astype(np.float32), (float(x_um), float(y_um)), False)) >= 0


@dataclass(frozen=True, slots=True)
class Dirt:
    """Ice crystals and other grains, one array element each.

    Attributes
    ----------
    middle_um
        Shape (n, 2), grid's frame.
    radius_um
        Mean radius.
    outline_um
        Shape (n, corners, 2).
    water_nm
        Thickness, as that of so much ice.
    """

    middle_um: Floats
    radius_um: Floats
    outline_um: Floats
    water_nm: Floats


@dataclass(frozen=True, slots=True)
class Defects:
    """All outlines of one square."""

    tears: tuple[Tear, ...]
    dirt: Dirt


def defects_of(seed: int, square: SquaresAt, opening_um: float, crystals: float) -> Defects:
    """Draw the defects of one square (arrays of one element) from its own generator."""
    i, j, kind = int(square.i[0]), int(square.j[0]), SquareKind(int(square.kind[0]))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, i + 2**20, j + 2**20])))
    centre = np.array([square.x_um[0], square.y_um[0]])
    opening = opening_um * float(square.size[0])
    tears: list[Tear] = []
    if kind is SquareKind.TORN:
        tears += [_tear(rng, centre, opening) for _ in range(1 + int(rng.random() < 0.3))]
    if kind is SquareKind.CRACKED:
        tears += [_crack(rng, centre, opening) for _ in range(1 + int(rng.random() < 0.5))]
    many = {SquareKind.EMPTY: 0.0, SquareKind.CONTAMINATED: 18.0 + 4.0 * crystals}.get(kind, crystals)
    dirt = _joined([_dirt(rng, centre, opening, int(rng.poisson(many))), *(_shreds(rng, tear) for tear in tears)])
    return Defects(tuple(tears), dirt)


def _tear(rng: np.random.Generator, centre: Floats, opening: float) -> Tear:
    middle = centre + rng.uniform(-0.25, 0.25, 2) * opening
    radius = opening * rng.uniform(0.12, 0.36)
    return Tear(_ragged(rng, middle, radius, 0.22, 9), opening * rng.uniform(0.004, 0.02))


def _crack(rng: np.random.Generator, centre: Floats, opening: float) -> Tear:
    steps = 9
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.45, steps))
    along = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0) * opening * rng.uniform(0.05, 0.09)
    along += centre + rng.uniform(-0.3, 0.3, 2) * opening - along.mean(axis=0)
    across = np.stack([-np.sin(turns), np.cos(turns)], axis=1)
    width = opening * 0.012 * np.sin(np.pi * (np.arange(steps) + 0.5) / steps) * rng.uniform(0.4, 1.8, steps)
    outline = np.concatenate([along + across * width[:, None], (along - across * width[:, None])[::-1]])
    return Tear(outline, 0.003 * opening)


def _dirt(rng: np.random.Generator, centre: Floats, opening: float, heaps: int) -> Dirt:
    # Most grains lie alone, some in heaps; the ragged outlines of all are drawn at once.
    alone = rng.random(heaps) < 0.75
    grains = np.where(alone, 1, rng.integers(3, 12, heaps))
    heap = np.repeat(np.arange(heaps), grains)
    size = 0.12 * np.exp(0.8 * rng.standard_normal(heaps))
    spread = np.where(alone, 0.0, 1.1 * size * np.sqrt(grains - 1.0))
    middle = centre + rng.uniform(-0.5, 0.5, (heaps, 2)) * opening
    middle = middle[heap] + rng.standard_normal((heap.size, 2)) * spread[heap, None]
    radius = size[heap] * rng.uniform(0.6, 1.4, heap.size)
    water = 250.0 * np.exp(0.7 * rng.standard_normal(heaps))[heap]
    return Dirt(middle, radius, _ragged(rng, middle, radius, 0.15, 4, DIRT_CORNERS), water)


def _shreds(rng: np.random.Generator, tear: Tear) -> Dirt:
    """Draw scraps of film rolled up at the edge of a tear."""
    size = np.ptp(tear.outline_um, axis=0).max()
    count = int(rng.integers(0, 5 + int(size / 4)))
    middle = tear.outline_um[rng.integers(0, len(tear.outline_um), count)]
    middle = middle + 0.02 * size * rng.standard_normal((count, 2))
    radius = np.minimum(size * rng.uniform(0.005, 0.035, count), 1.5)
    return Dirt(middle, radius, _ragged(rng, middle, radius, 0.3, 4, DIRT_CORNERS), rng.uniform(100, 700, count))


def _joined(parts: Sequence[Dirt]) -> Dirt:
    return Dirt(
        np.concatenate([part.middle_um for part in parts]),
        np.concatenate([part.radius_um for part in parts]),
        np.concatenate([part.outline_um for part in parts]),
        np.concatenate([part.water_nm for part in parts]),
    )


def _ragged(
    rng: np.random.Generator,
    middle: Floats,
    radius: Floats | float,
    roughness: float,
    waves: int,
    corners: int = CORNERS,
) -> Floats:
    """Draw outlines (..., corners, 2) around middles (..., 2): circles with some random harmonics."""
    radius = np.asarray(radius)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    order = np.arange(2, 2 + waves)
    height = rng.normal(0, roughness, (*radius.shape, waves)) / order**0.7
    phase = rng.uniform(0, 2 * np.pi, (*radius.shape, waves))
    waved = height[..., None] * np.cos(order[:, None] * angle + phase[..., None])
    reach = radius[..., None] * np.maximum(1 + waved.sum(axis=-2), 0.15)
    return np.asarray(middle[..., None, :] + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * reach[..., None])
