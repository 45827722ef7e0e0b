"""What lies in the beam: thickness of ice and film, and the bars, at every pixel of one view of a grid.

Smooth things (bars, ice) are worked out on coarse nodes and interpolated; holes, tears and dirt have edges and are
drawn at the pixels themselves.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ..grid.cells import Floats, field
from ..grid.film import RIM_UM
from ..grid.openings import Holes, SquareKind, SquaresAt
from ..grid.world import GridWorld
from .drawn import draw_defects, draw_marks, draw_stain
from .opened import open_band, table_of
from .view import Layer, Layers, Stain, View

__all__ = ["Layer", "Layers", "Stain", "View", "holes_in", "lay_out"]

NODES_UM = 0.8
"""Distance of the coarse nodes."""

GRAIN_UM, GRAIN_CONTRAST = 0.8, 0.6
"""Size of the grains of crystalline ice, and how much darker or brighter they are; assumed."""

BAND = 32
"""Rows worked on at once."""

LACEY_UM, LACEY_WIDTH = 3.5, 0.22
"""Mesh of a lacey film and the share of it that is film; assumed."""


def lay_out(world: GridWorld, view: View, stains: Sequence[Stain] = ()) -> Layers:
    """Work out what lies in every pixel of this view."""
    pixel = view.pixel_um
    step = _step(NODES_UM, pixel)
    x, y = view.places(step)
    squares = world.squares_at(x, y)
    edge = np.maximum(world.bar_distance_um(x, y, squares), np.hypot(x, y) - RIM_UM)
    ice, film = _smooth_layers(world, view, step, x, y, squares, edge)
    away = _spread(edge, step, view)
    free = np.clip(0.5 - away / np.float32(max(pixel, 0.02)), 0, 1)
    draw_marks(world, view, free)
    if not free.any():
        return Layers(ice, film, free)
    if world.film.hole_um > 0:
        _open_holes(world, view, ice, film)
    _break_up(world, view, step, squares, ice)
    draw_defects(world, view, ice, film)
    for stain in stains:
        draw_stain(view, stain, ice, film)
    return Layers(ice, film, free)


def holes_in(world: GridWorld, corners: Floats, margin: int = 1) -> Holes:
    """Give all holes in the lattice cells that the corners (n, 2) span, on a rectangle of indices."""
    first, second = _spanned(world, corners, margin)
    return world.holes(*np.mgrid[first[0] : first[1], second[0] : second[1]])


def _smooth_layers(
    world: GridWorld, view: View, step: int, x: Floats, y: Floats, squares: SquaresAt, away: Floats
) -> tuple[Layer, Layer]:
    nodes = np.zeros(x.shape)
    # Behind the bars nobody sees the ice; that is half of an atlas.
    seen = away < 2 * step * view.pixel_um
    here = x[seen], y[seen]
    own = world.squares_at(*here)
    nodes[seen] = world.ice_level(*here, own) + world.meniscus(*here, own)
    ice = _spread(nodes, step, view)
    there = np.where(squares.kind == SquareKind.EMPTY, 0.0, world.film.thickness_nm)
    if there.min() == there.max() and not world.film.lacey:
        return ice, np.full((view.rows, view.cols), there.flat[0], np.float32)
    film = _spread(there, step, view)
    if world.film.lacey:
        thread = _lace(world, view)
        film *= thread
        # Ice spans the meshes of the net as it spans holes.
        ice *= 0.55 + 0.45 * thread
    return ice, film


def _break_up(world: GridWorld, view: View, step: int, squares: SquaresAt, ice: Layer) -> None:
    """Make crystals of the ice of crystalline squares: grains side by side, some of which hold the beam back more."""
    here = squares.kind == SquareKind.CRYSTALLINE
    if not here.any():
        return
    inside = _spread(here.astype(np.float64), step, view) > 0.5
    fine = _step(0.12, view.pixel_um)
    x, y = view.places(fine)
    which = cv2.resize(inside.astype(np.uint8), x.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    grain = np.zeros(x.shape)
    grain[which] = np.tanh(5.0 * field(world.seed, "crystal grains", x[which], y[which], GRAIN_UM))
    ice *= 1 + np.float32(GRAIN_CONTRAST) * _spread(grain, fine, view)


def _lace(world: GridWorld, view: View) -> Layer:
    step = _step(0.15, view.pixel_um)
    x, y = view.places(step)
    # Two families of strands that cross each other make a net.
    strand = np.abs(field(world.seed, "lace", x, y, LACEY_UM))
    np.minimum(strand, np.abs(field(world.seed, "lace across", x, y, 1.4 * LACEY_UM)) * 1.3, out=strand)
    sharp = np.float32(LACEY_UM / max(view.pixel_um, 0.05) / 4)
    return np.asarray(np.clip((np.float32(LACEY_WIDTH) - _spread(strand, step, view)) * sharp + 0.5, 0, 1))


def _open_holes(world: GridWorld, view: View, ice: Layer, film: Layer) -> None:
    """Take the film away in the holes and give the ice in them its own thickness, a lens thin in the middle."""
    lattice = world.film
    first, second = _spanned(world, view.corners, 1)
    a, b = np.mgrid[first[0] : first[1], second[0] : second[1]]
    table = table_of(lattice, world.holes(a, b))
    # Indices are affine in (row, col).
    inverse = np.linalg.inv(lattice.basis_um)
    index = np.column_stack([inverse @ view.to_grid[:, :2], inverse @ (view.to_grid[:, 2] - lattice.origin_um)])
    index[:, 2] -= [first[0], second[0]]
    for top in range(0, view.rows, BAND):
        rows = slice(top, min(top + BAND, view.rows))
        shifted = index.copy()
        shifted[:, 2] += index[:, 0] * top
        open_band(world.film, table, shifted, view.pixel_um, ice[rows], film[rows])


def _spread(nodes: Floats, step: int, view: View) -> Layer:
    """Interpolate nodes at every step-th pixel to all pixels."""
    fine = np.ascontiguousarray(nodes, np.float32)
    if step == 1:
        return fine[: view.rows, : view.cols].copy()
    matrix = np.array([[1 / step, 0, 0], [0, 1 / step, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(fine, matrix, (view.cols, view.rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )


def _spanned(world: GridWorld, corners: Floats, margin: int) -> tuple[tuple[int, int], tuple[int, int]]:
    index = (corners - world.film.origin_um) @ np.linalg.inv(world.film.basis_um).T
    low, high = np.floor(index.min(axis=0) - margin), np.ceil(index.max(axis=0) + margin + 1)
    return (int(low[0]), int(high[0])), (int(low[1]), int(high[1]))


def _step(nodes_um: float, pixel_um: float) -> int:
    return min(math.ceil(nodes_um / pixel_um), 32)
