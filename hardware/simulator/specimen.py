"""What lies in the beam: thickness of ice and film, and the bars, at every pixel of one view of a grid.

Smooth things (bars, ice) are worked out on coarse nodes and interpolated; holes, tears and dirt have edges and are
drawn at the pixels themselves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from .cells import Floats, field
from .defects import Tear
from .distortion import Distortion
from .film import RIM_UM
from .opened import open_band, table_of
from .openings import Holes, SquareKind, SquaresAt
from .world import GridWorld

Layer = NDArray[np.float32]

NODES_UM = 0.8
"""Distance of the coarse nodes."""
BAND = 32
"""Rows worked on at once."""

LACEY_UM, LACEY_WIDTH = 3.5, 0.22
"""Mesh of a lacey film and the share of it that is film; assumed."""


@dataclass(frozen=True)
class View:
    """Pixels and where they lie: ``to_grid`` (2, 3) takes (row, col, 1) to µm in the grid's frame.

    With a distortion that holds near the middle only; `pixels_of` and `places_of` know of it, the lay-out is straight.
    """

    to_grid: Floats
    rows: int
    cols: int
    distortion: Distortion | None = None

    @cached_property
    def pixel_um(self) -> float:
        """Side of a pixel."""
        return float(math.sqrt(abs(np.linalg.det(self.to_grid[:, :2]))))

    def coarser(self, step: int) -> "View":
        """Give the view whose pixels are blocks of step × step of these; the last ones reach beyond the edge."""
        middle = self.to_grid @ np.array([(step - 1) / 2, (step - 1) / 2, 1.0])
        return View(np.column_stack([self.to_grid[:, :2] * step, middle]), -(-self.rows // step), -(-self.cols // step))

    def places(self, step: int) -> tuple[Floats, Floats]:
        """Give the grid coordinates of every step-th pixel, the last node beyond the last pixel."""
        rows = np.arange(0, self.rows + step, step)[:, None]
        cols = np.arange(0, self.cols + step, step)[None, :]
        a = self.to_grid
        return a[0, 0] * rows + a[0, 1] * cols + a[0, 2], a[1, 0] * rows + a[1, 1] * cols + a[1, 2]

    def straightened(self) -> "View":
        """Give the view without distortion that holds all of this one, larger by a margin on each side."""
        if self.distortion is None:
            return self
        margin = self.distortion.margin_px
        first = self.to_grid @ np.array([-margin, -margin, 1.0])
        return View(np.column_stack([self.to_grid[:, :2], first]), self.rows + 2 * margin, self.cols + 2 * margin)

    def pixels_of(self, places: Floats) -> Floats:
        """Give (row, col) of places (..., 2) in the grid's frame."""
        straight = np.asarray((places - self.to_grid[:, 2]) @ self._from_grid)
        return straight if self.distortion is None else self.distortion.drawn(straight)

    def places_of(self, pixels: Floats) -> Floats:
        """Give the places (..., 2) in the grid's frame of pixels (row, col); inverts `pixels_of`."""
        straight = pixels if self.distortion is None else self.distortion.straight(pixels)
        return np.asarray(straight @ self.to_grid[:, :2].T + self.to_grid[:, 2])

    @cached_property
    def _from_grid(self) -> Floats:
        return np.asarray(np.linalg.inv(self.to_grid[:, :2]).T)

    @cached_property
    def corners(self) -> Floats:
        """The corners in the grid's frame, shape (4, 2)."""
        ends = np.array([[0, 0, 1], [0, self.cols, 1], [self.rows, 0, 1], [self.rows, self.cols, 1]], float)
        return ends @ self.to_grid.T


@dataclass(frozen=True, slots=True)
class Stain:
    """Mark of an earlier exposure: centre in the grid's frame, radius of the beam."""

    x_um: float
    y_um: float
    radius_um: float


@dataclass(slots=True)
class Layers:
    """Thickness at every pixel; ``free`` is 1 in the open and 0 behind bars."""

    ice_nm: Layer
    film_nm: Layer
    free: Layer


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
    if not free.any():
        return Layers(ice, film, free)
    if world.film.hole_um > 0:
        _open_holes(world, view, ice, film)
    _draw_defects(world, view, ice, film)
    for stain in stains:
        _draw_stain(view, stain, ice, film)
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


def _lace(world: GridWorld, view: View) -> Layer:
    step = _step(0.15, view.pixel_um)
    x, y = view.places(step)
    strand = np.abs(field(world.seed, "lace", x, y, LACEY_UM))
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


def _draw_defects(world: GridWorld, view: View, ice: Layer, film: Layer) -> None:
    corners = view.corners
    i, j = world.square_at(*corners.T)
    pixel = view.pixel_um
    limit = world.squares.i.shape[0] // 2
    reach = world.bars.mesh.opening_um * 0.8 / pixel
    for first in range(max(int(i.min()) - 1, -limit), min(int(i.max()) + 2, limit + 1)):
        for second in range(max(int(j.min()) - 1, -limit), min(int(j.max()) + 2, limit + 1)):
            middle = world.centre_of(first, second)
            row, col = view.pixels_of(middle)
            if not (-reach < row < view.rows + reach and -reach < col < view.cols + reach):
                continue
            defects = world.defects(first, second)
            for tear in defects.tears:
                _draw_tear(view, tear, ice, film)
            dirt = defects.dirt
            small = dirt.radius_um < 1.2 * pixel
            _deposit(view, dirt.middle_um[small], dirt.radius_um[small], dirt.water_nm[small], ice)
            for outline, water in zip(dirt.outline_um[~small], dirt.water_nm[~small], strict=True):
                spot = _mask(view, outline, 1)
                if spot is not None:
                    ice[spot[0]] += np.float32(water / 255.0) * spot[1]


def _draw_tear(view: View, tear: Tear, ice: Layer, film: Layer) -> None:
    fold = max(round(tear.fold_um / view.pixel_um), 1)
    spot = _mask(view, tear.outline_um, fold + 2)
    if spot is None:
        return
    window, mask = spot
    rolled = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * fold + 1, 2 * fold + 1)))
    film[window] *= 1 + rolled * np.float32(1.5 / 255)
    left = 1 - mask * np.float32(1 / 255)
    film[window] *= left
    ice[window] *= left


def _draw_stain(view: View, stain: Stain, ice: Layer, film: Layer) -> None:
    """Draw an exposed spot: some ice gone from the middle, some carbon grown at its edge."""
    row, col = view.pixels_of(np.array([stain.x_um, stain.y_um]))
    radius = stain.radius_um / view.pixel_um
    low_r, high_r = max(int(row - 1.3 * radius), 0), min(int(row + 1.3 * radius) + 2, view.rows)
    low_c, high_c = max(int(col - 1.3 * radius), 0), min(int(col + 1.3 * radius) + 2, view.cols)
    if low_r >= high_r or low_c >= high_c:
        return
    rows = np.arange(low_r, high_r, dtype=np.float32)[:, None] - np.float32(row)
    cols = np.arange(low_c, high_c, dtype=np.float32)[None, :] - np.float32(col)
    out = np.sqrt(rows * rows + cols * cols) / np.float32(radius)
    window = (slice(low_r, high_r), slice(low_c, high_c))
    ice[window] *= 1 - np.float32(0.25) * np.clip((1 - out) * 8, 0, 1)
    film[window] += np.float32(5.0) * np.exp(-(((out - 1) / np.float32(0.09)) ** 2))


def _deposit(view: View, middle: Floats, radius: Floats, water: Floats, ice: Layer) -> None:
    """Spread grains smaller than a pixel over the four pixels around them."""
    at = view.pixels_of(middle)
    low = np.floor(at).astype(np.int64)
    part = at - low
    amount = water * math.pi * (radius / view.pixel_um) ** 2
    for down in (0, 1):
        for right in (0, 1):
            row, col = low[:, 0] + down, low[:, 1] + right
            share = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1]) * amount
            keep = (row >= 0) & (row < view.rows) & (col >= 0) & (col < view.cols)
            np.add.at(ice, (row[keep], col[keep]), share[keep].astype(np.float32))


def _mask(view: View, outline: Floats, margin: int) -> tuple[tuple[slice, slice], NDArray[np.uint8]] | None:
    """Fill an outline: the window of the image it touches, and 0..255 there; None when it lies outside."""
    at = view.pixels_of(outline)
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + margin + 1, [view.rows, view.cols])
    if (low >= high).any():
        return None
    mask = np.zeros(tuple(high - low), np.uint8)
    corners = np.round((at - low)[:, ::-1] * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, lineType=cv2.LINE_AA, shift=4)
    return (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))), mask


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
