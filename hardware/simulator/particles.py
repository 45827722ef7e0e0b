"""Particles: a place of the world each, pushed out of thin ice, seen from random directions."""

import math

import numpy as np
from numpy.typing import NDArray

from .cells import Floats, uniform
from .specimen import Layer, Layers, View
from .world import GridWorld

CELL_UM = 0.05
"""Particles are drawn cell by cell of this size."""

THIN_FILM_NM = 3.0
"""Where there is more film than this, particles are not told from it."""


def particles_in(world: GridWorld, view: View, layers: Layers, coarse: int, voltage_kv: float) -> Layer | None:
    """Give the phase of all particles in a view, radians; None where there are none.

    ``layers`` is laid out on every ``coarse``-th pixel of the view.
    """
    if world.spec.particles_per_um2 <= 0:
        return None
    spots, first, second = _spots(world, view)
    at = view.pixels_of(spots)
    row, col = np.clip((at / coarse).astype(int), 0, [side - 1 for side in layers.ice_nm.shape]).T
    size_nm = world.spec.particle_a / 10
    room = np.clip((layers.ice_nm[row, col] - 0.6 * size_nm) / (0.6 * size_nm), 0, 1)
    seen = room * (layers.film_nm[row, col] < THIN_FILM_NM) * layers.free[row, col]
    kept = seen > uniform(world.seed, "squeezed", first, second)
    if not kept.any():
        return None
    views = particle_views(world.spec.particle_a, view.pixel_um * 1e4, world.seed & 0xFFFFFFFF)
    which = (uniform(world.seed, "direction", first, second)[kept] * len(views)).astype(np.int64)
    return place_particles((view.rows, view.cols), at[kept], views, which)


def particle_views(diameter_a: float, pixel_size_a: float, seed: int, count: int = 8) -> list[Layer]:
    """Project one random globular particle in random directions: phase in radians, each (size, size)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 77])))
    radius = diameter_a / 2
    lobes = rng.standard_normal((26, 3))
    lobes *= (0.72 * radius * rng.random(26) ** (1 / 3) / np.linalg.norm(lobes, axis=1))[:, None]
    width = radius * rng.uniform(0.16, 0.34, 26)
    half = max(math.ceil(1.25 * radius / pixel_size_a), 1)
    axis = np.arange(-half, half + 1) * pixel_size_a
    views = []
    for _ in range(count):
        turned = lobes @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        rows = np.exp(-((axis[:, None] - turned[:, 0]) ** 2) / (2 * width**2))
        cols = np.exp(-((axis[:, None] - turned[:, 1]) ** 2) / (2 * width**2))
        view = np.einsum("rl,cl,l->rc", rows, cols, width)
        views.append(view.astype(np.float32))
    # Protein in ice adds about 2.5 V over its thickness: 0.0018 rad for each Å at 200 kV.
    scale = np.float32(0.0018 * 0.7 * diameter_a / max(float(view.max()) for view in views))
    return [view * scale for view in views]


def place_particles(
    shape: tuple[int, int], at_px: NDArray[np.float64], views: list[Layer], which: NDArray[np.int64]
) -> Layer:
    """Add particle views at these (row, col), each cut by the border where it must be."""
    canvas = np.zeros(shape, np.float32)
    for (row, col), number in zip(np.rint(at_px).astype(int), which, strict=True):
        view = views[number % len(views)]
        half = view.shape[0] // 2
        low_r, low_c = max(row - half, 0), max(col - half, 0)
        high_r, high_c = min(row + half + 1, shape[0]), min(col + half + 1, shape[1])
        if low_r < high_r and low_c < high_c:
            part = view[low_r - row + half : high_r - row + half, low_c - col + half : high_c - col + half]
            canvas[low_r:high_r, low_c:high_c] += part
    return canvas


def _spots(world: GridWorld, view: View) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Give the places of all particles there could be in this view, (n, 2), grid's frame, and two numbers of each."""
    corners = view.corners / CELL_UM
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    mean = world.spec.particles_per_um2 * CELL_UM**2
    most = max(math.ceil(mean * 3), 3)
    i, j, n = (part.ravel() for part in np.mgrid[low[0] : high[0], low[1] : high[1], 0:most])
    first, second = i * most + n, j
    there = uniform(world.seed, "particle", first, second) < mean / most
    first, second = first[there], second[there]
    x = i[there] + uniform(world.seed, "particle x", first, second)
    y = second + uniform(world.seed, "particle y", first, second)
    return np.stack([x, y], axis=1) * CELL_UM, first, second
