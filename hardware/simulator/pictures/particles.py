"""Particles: a place of the world each, pushed out of thin ice, piled at edges of holes, seen from all directions."""

import math
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..grid.cassette_world import GridSpec
from ..grid.cells import Floats, normal, uniform
from ..grid.world import GridWorld
from .density_map import PROTEIN_V, projections, random_turn, read_volume
from .lens import phase_per_volt_a
from .specimen import Layer, Layers, View

CELL_UM, CLUMP_UM = 0.05, 0.2
"""Particles are drawn cell by cell of this size; clumps lie one in each larger cell."""

LOOSE = 1.15
"""Standard deviation of a clump's particles about its middle in diameters: most touch one another; from a real
micrograph."""

THIN_FILM_NM = 3.0
"""Where there is more film than this, particles are not told from it."""

PILED, PILED_UM = 3.0, 0.06
"""How many times as many particles lie at the edge of a hole as in its middle, and how far that reaches; assumed."""

TOO_THICK_NM = (120.0, 170.0)
"""Ice in which particles begin to be missing, and in which there are none to be seen; assumed."""

ROOM = 0.6
"""Ice thinner than this part of a particle holds none, thicker than twice as much all."""

VIEWS = 8
"""Different views of a particle in one exposure."""

LOBES, PACKED = 26, 0.7
"""A random particle is so many balls, and of its diameter so much is protein at the thickest."""

STAINED = 2.0
"""How much stronger a particle stands out where stain is missing than it would in ice; assumed."""

UNFOLDED, UNFOLDED_PHASE = 1.5, 0.4
"""A denatured particle is so much wider, and so much fainter."""


def particles_in(
    world: GridWorld,
    view: View,
    layers: Layers,
    coarse: int,
    voltage_kv: float,
    padded: tuple[int, int] | None = None,
    margin_px: int = 0,
) -> Layer | None:
    """Give the phase of all particles in a view, radians; None where there are none.

    ``layers`` is laid out on every ``coarse``-th pixel of the view. With ``padded`` (rows, cols) the answer is that
    large, the view begins ``margin_px`` inside it, and what lies around the view is drawn too.

    Raises
    ------
    BadInput
        The grid's density map cannot be used.
    """
    spec = world.spec
    if spec.particles_per_um2 <= 0:
        return None
    pixel_a = view.pixel_um * 1e4
    size_a, whole, unfolded = _views(_shape_of(spec), round(pixel_a, 4), voltage_kv, world.seed & 0xFFFFFFFF)
    if world.film.stain:
        # Stain surrounds particles and is denser than they are.
        whole, unfolded = ([view * np.float32(-STAINED) for view in views] for views in (whole, unfolded))
    if world.film.hole_um == 0 and not world.film.lacey:
        # On a film without holes particles lie on it, and it is thin enough to see them.
        layers = replace(layers, film_nm=np.zeros_like(layers.film_nm))
    spots, first, second = _spots(world, view, size_a)
    at = view.pixels_of(spots)
    kept = _share_seen(layers, at / coarse, size_a, view.pixel_um * coarse) > uniform(
        world.seed, "squeezed", first, second
    )
    if not kept.any():
        return None
    first, second = first[kept], second[kept]
    which = (uniform(world.seed, "direction", first, second) * VIEWS).astype(np.int64)
    which += VIEWS * (uniform(world.seed, "denatured", first, second) < spec.particles_denatured)
    shape = (view.rows, view.cols) if padded is None else padded
    return place_particles(shape, at[kept] + margin_px, [*whole, *unfolded], which)


def particle_views(
    diameter_a: float, pixel_size_a: float, seed: int, voltage_kv: float, unfolded: bool = False
) -> list[Layer]:
    """Project one random globular particle in random directions: phase in radians, each (size, size)."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 77 + unfolded])))
    radius = diameter_a / 2 * (UNFOLDED if unfolded else 1.0)
    lobes = rng.standard_normal((LOBES, 3))
    lobes *= (0.72 * radius * rng.random(LOBES) ** (1 / 3) / np.linalg.norm(lobes, axis=1))[:, None]
    width = radius * (rng.uniform(0.3, 0.5, LOBES) if unfolded else rng.uniform(0.16, 0.34, LOBES))
    half = max(math.ceil(1.25 * radius / pixel_size_a), 1)
    axis = np.arange(-half, half + 1) * pixel_size_a
    views = []
    for _ in range(VIEWS):
        turned = lobes @ random_turn(rng)
        rows = np.exp(-((axis[:, None] - turned[:, 0]) ** 2) / (2 * width**2))
        cols = np.exp(-((axis[:, None] - turned[:, 1]) ** 2) / (2 * width**2))
        view = np.einsum("rl,cl,l->rc", rows, cols, width)
        views.append(view.astype(np.float32))
    most = phase_per_volt_a(voltage_kv) * PROTEIN_V * PACKED * diameter_a * (UNFOLDED_PHASE if unfolded else 1.0)
    scale = np.float32(most / max(float(view.max()) for view in views))
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


def _shape_of(spec: GridSpec) -> float | tuple[str, float | None]:
    """Say what a particle is: a diameter in Å, or a map and its pixel size."""
    return spec.particle_a if spec.density_map is None else (spec.density_map, spec.density_map_pixel_a)


@lru_cache(maxsize=8)
def _views(
    particle: float | tuple[str, float | None], pixel_a: float, voltage_kv: float, seed: int
) -> tuple[float, list[Layer], list[Layer]]:
    """Give a particle's diameter and views of it, whole and denatured."""
    if isinstance(particle, float):
        size = particle
        whole = particle_views(size, pixel_a, seed, voltage_kv)
    else:
        volume = read_volume(*particle)
        size = volume.diameter_a
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 79])))
        whole = projections(volume, pixel_a, phase_per_volt_a(voltage_kv), rng, VIEWS)
    return size, whole, particle_views(size, pixel_a, seed, voltage_kv, unfolded=True)


def _share_seen(layers: Layers, at: Floats, size_a: float, node_um: float) -> Floats:
    """Give the share of all particles that could lie at these nodes (n, 2) that do."""
    row, col = np.clip(at.astype(int), 0, [side - 1 for side in layers.ice_nm.shape]).T
    ice, size_nm = layers.ice_nm[row, col].astype(np.float64), size_a / 10
    room = np.clip((ice - ROOM * size_nm) / (ROOM * size_nm), 0, 1)
    low, high = TOO_THICK_NM
    room *= np.clip((high - ice) / (high - low), 0, 1)
    clear = (layers.film_nm < THIN_FILM_NM).astype(np.uint8)
    away_um = cv2.distanceTransform(clear, cv2.DIST_L2, 5)[row, col] * node_um if not clear.all() else np.inf
    crowd = (1 + (PILED - 1) * np.exp(-away_um / PILED_UM)) / PILED
    return np.asarray(room * crowd * clear[row, col] * layers.free[row, col])


def _spots(world: GridWorld, view: View, size_a: float) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Give the places of all particles there could be in this view, (n, 2), grid's frame, and two numbers of each."""
    corners = view.corners / CELL_UM
    low, high = np.floor(corners.min(axis=0)).astype(int) - 1, np.ceil(corners.max(axis=0)).astype(int) + 1
    mean = PILED * world.spec.particles_per_um2 * CELL_UM**2
    most = max(math.ceil(mean * 3), 3)
    i, j, n = (part.ravel() for part in np.mgrid[low[0] : high[0], low[1] : high[1], 0:most])
    first, second = i * most + n, j
    there = uniform(world.seed, "particle", first, second) < mean / most
    first, second = first[there], second[there]
    x = i[there] + uniform(world.seed, "particle x", first, second)
    y = second + uniform(world.seed, "particle y", first, second)
    return _clumped(world, np.stack([x, y], axis=1) * CELL_UM, first, second, size_a), first, second


def _clumped(
    world: GridWorld, places: Floats, first: NDArray[np.int64], second: NDArray[np.int64], size_a: float
) -> Floats:
    """Draw some particles together into clumps, one in each cell of `CLUMP_UM`."""
    drawn = uniform(world.seed, "clumped", first, second) < world.spec.particles_aggregated
    i, j = np.floor(places[drawn] / CLUMP_UM).astype(np.int64).T
    middle = np.stack([i + uniform(world.seed, "clump x", i, j), j + uniform(world.seed, "clump y", i, j)], axis=1)
    beside = [normal(world.seed, f"in clump {axis}", first[drawn], second[drawn]) for axis in "xy"]
    places[drawn] = middle * CLUMP_UM + size_a * 1e-4 * LOOSE * np.stack(beside, axis=1)
    return places
