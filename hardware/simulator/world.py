"""The truth about one grid, drawn from the seed square by square and hole by hole as it is looked at.

Places are µm in the grid's own frame: origin at its centre, axes along the bars. Nothing that decides or detects may
import this.
"""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .cassette_world import GridSpec
from .cells import Floats, field, key, normal, uniform
from .defects import Defects, defects_of
from .film import RIM_UM, bars_of, film_of, nearest_cell
from .openings import Holes, SquareKind, Squares, SquaresAt

FIELD_UM, PATCH_UM, MOTTLE_UM, WOBBLE_UM = 250.0, 9.0, 2.0, 25.0
"""Lengths over which ice is alike on the grid and within a square, and over which the film's lattice bends."""

DEEP_NM = 120.0
"""Ice thicker than this is a sheet of its own: no hole in it is empty, and its thickness hardly varies."""

DIP_NM = 45.0
"""Ice in a hole is a lens thinner than the ice on the film beside it, by no more than this."""


class GridWorld:
    """One grid."""

    def __init__(self, seed: int, slot: int, spec: GridSpec) -> None:
        self.spec = spec
        self.slot = slot
        self.seed = key("grid", seed, slot)
        self.film = film_of(spec.hole_type, spec.material, self.seed)
        self.bars = bars_of(spec.mesh, self.seed)
        self.lens = 0.15 + 0.35 * float(uniform(self.seed, "lens", 0))
        self._defects: dict[tuple[int, int], Defects] = {}
        turn = 2 * math.pi * float(uniform(self.seed, "gradient", 0))
        self._gradient = spec.gradient / RIM_UM * np.array([math.cos(turn), math.sin(turn)])

    @cached_property
    def offset_um(self) -> tuple[float, float]:
        """Where the opening (0, 0) lies: no mesh is centred on its ring."""
        u = uniform(self.seed, "mesh offset", np.arange(2)) - 0.5
        return float(u[0] * self.bars.mesh.pitch_um), float(u[1] * self.bars.mesh.pitch_um)

    def square_at(self, x: Floats, y: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give the indices of the opening to which each place belongs."""
        return nearest_cell(self.bars.basis_um, np.array(self.offset_um), x, y)

    def centre_of(self, i: int, j: int) -> Floats:
        """Give the centre of an opening, shape (2,)."""
        return np.asarray(np.array(self.offset_um) + self.bars.basis_um @ np.array([i, j]))

    def squares_at(self, x: Floats, y: Floats) -> SquaresAt:
        """Say what the squares are like to which these places belong."""
        reach = self.squares.i.shape[0] // 2
        i, j = self.square_at(x, y)
        return SquaresAt(self.squares, (np.clip(i, -reach, reach) + reach, np.clip(j, -reach, reach) + reach))

    def square(self, i: int, j: int) -> SquaresAt:
        """Say what one square is like: each number an array of one element."""
        reach = self.squares.i.shape[0] // 2
        return SquaresAt(self.squares, (np.array([i + reach]), np.array([j + reach])))

    @cached_property
    def squares(self) -> Squares:
        """All squares of the grid and some beyond its rim; arrays (2 n + 1, 2 n + 1), number (0, 0) in the middle."""
        reach = math.ceil(1.3 * RIM_UM / self.bars.mesh.pitch_um)
        i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        spec, seed = self.spec, self.seed
        basis = self.bars.basis_um
        x = self.offset_um[0] + basis[0, 0] * i + basis[0, 1] * j
        y = self.offset_um[1] + basis[1, 0] * i + basis[1, 1] * j
        kind = self._kinds(i, j, x, y)
        common = 0.6 * field(seed, "ice", x, y, FIELD_UM) + 0.8 * normal(seed, "ice of square", i, j)
        ice = spec.ice_nm * np.exp(spec.ice_spread * common + self._gradient[0] * x + self._gradient[1] * y)
        thick = 150.0 + 350.0 * uniform(seed, "thick", i, j)
        ice = np.where(kind == SquareKind.THICK, ice + thick, ice)
        ice = np.where((kind == SquareKind.DRY) | (kind == SquareKind.EMPTY), 0.0, ice)
        wet = (ice > 0) & (kind != SquareKind.EMPTY)
        # Most squares have a thin seam of thick ice along the bars; in some it has crept far inwards and rounds them.
        crept = uniform(seed, "crept", i, j) < 0.1
        meniscus = spec.meniscus_nm * np.exp(0.5 * normal(seed, "meniscus", i, j)) * np.where(crept, 4.0, 1.0)
        has_patch = (uniform(seed, "patch", i, j) < spec.thick_centres) & wet
        opening = self.bars.mesh.opening_um
        loose = np.where((kind == SquareKind.CRACKED) | (kind == SquareKind.TORN), 0.15, 0.0)
        return Squares(
            i, j, x, y, kind,
            size=1.0 - 0.06 * uniform(seed, "size", i, j) - 0.02 * np.abs(normal(seed, "small", i, j)),
            ice_nm=ice,
            meniscus_nm=np.where(wet, meniscus, 0.25 * meniscus * (kind != SquareKind.EMPTY)),
            meniscus_um=opening * (0.02 + 0.03 * uniform(seed, "meniscus width", i, j)),
            patch_x_um=0.08 * opening * normal(seed, "patch x", i, j),
            patch_y_um=0.08 * opening * normal(seed, "patch y", i, j),
            patch_um=opening * (0.05 + 0.09 * uniform(seed, "patch radius", i, j)),
            patch_round=0.45 + 0.55 * uniform(seed, "patch round", i, j),
            patch_turn=math.pi * uniform(seed, "patch turn", i, j),
            patch_nm=np.where(has_patch, 60.0 + 260.0 * uniform(seed, "patch ice", i, j), 0.0),
            empty_holes=np.where(kind == SquareKind.DRY, 0.9, spec.empty_holes + loose),
        )  # fmt: skip

    def holes(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Holes:
        """Say what these holes are like; ``a`` and ``b`` of one shape."""
        seed, film = self.seed, self.film
        x = film.origin_um[0] + film.basis_um[0, 0] * a + film.basis_um[0, 1] * b
        y = film.origin_um[1] + film.basis_um[1, 0] * a + film.basis_um[1, 1] * b
        bend, jitter = 0.02 * film.pitch_um, 0.006 * film.pitch_um
        x = x + bend * field(seed, "bend x", x, y, WOBBLE_UM) + jitter * normal(seed, "jitter x", a, b)
        y = y + bend * field(seed, "bend y", x, y, WOBBLE_UM) + jitter * normal(seed, "jitter y", a, b)
        square = self.squares_at(x, y)
        factor = np.exp(self.spec.ice_spread_holes * normal(seed, "ice of hole", a, b))
        empty = uniform(seed, "empty hole", a, b) < square.empty_holes
        # Where water is deep, at the bars or all over, no hole runs dry.
        at = np.nonzero(empty)
        near = self.squares_at(x[at], y[at])
        empty[at] = self.meniscus(x[at], y[at], near) + near.ice_nm < DEEP_NM
        radius = film.hole_um / 2 * (1.0 + 0.01 * normal(seed, "radius", a, b))
        return Holes(a, b, x, y, radius, np.where(empty, 0.0, factor))

    def bar_distance_um(self, x: Floats, y: Floats, square: SquaresAt) -> Floats:
        """Distance from the opening's edge, negative in the open."""
        return self.bars.distance_um(x - square.x_um, y - square.y_um, square.size)

    def ice_nm(self, x: Floats, y: Floats) -> Floats:
        """Thickness of the ice on the film at these places, were there no hole."""
        square = self.squares_at(x, y)
        return self.ice_level(x, y, square) + self.meniscus(x, y, square)

    def meniscus(self, x: Floats, y: Floats, square: SquaresAt) -> Floats:
        """Give the ice that clings to the bars, and more so in the corners."""
        half = self.bars.mesh.opening_um / 2 * square.size
        inwards = np.minimum(self.bars.rounded(x - square.x_um, y - square.y_um) - half, 0.0)
        return np.asarray(square.meniscus_nm * np.exp(inwards / square.meniscus_um))

    def ice_level(self, x: Floats, y: Floats, square: SquaresAt) -> Floats:
        """Give the part of the ice that does not come from the bars."""
        patchy = 0.9 * field(self.seed, "patchy", x, y, PATCH_UM) + 0.45 * field(self.seed, "mottled", x, y, MOTTLE_UM)
        inside = np.exp(self.spec.ice_spread_inside * patchy)
        dx, dy = x - square.x_um - square.patch_x_um, y - square.y_um - square.patch_y_um
        blob = square.patch_nm * np.exp(-(((dx**2 + dy**2) / (2 * square.patch_um**2)) ** 2))
        thin = np.minimum(square.ice_nm, DEEP_NM)
        return np.asarray(square.ice_nm + thin * (inside - 1) + blob)

    def ice_in_hole(self, holes: Holes) -> Floats:
        """Give the thickness of the ice in the middle of these holes."""
        beside = self.ice_nm(holes.x_um, holes.y_um)
        least = np.where(holes.factor > 0, np.maximum(beside - DIP_NM, 0.0), 0.0)
        return np.asarray(np.maximum(beside * holes.factor * (1 - self.lens), least))

    def height_um(self, x: Floats | float, y: Floats | float) -> Floats:
        """Height of the specimen at these places above the grid's reference, when it lies flat in the holder."""
        tilt = 0.012 * normal(self.seed, "lies tilted", np.arange(2))
        bent = 12.0 * field(self.seed, "bent", x, y, 900.0) + 1.2 * field(self.seed, "sagging", x, y, 60.0)
        return np.asarray(25.0 * float(normal(self.seed, "height", 0)) + tilt[0] * x + tilt[1] * y + bent)

    def defects(self, i: int, j: int) -> Defects:
        """Give the tears and the dirt of one square."""
        found = self._defects.get((i, j))
        if found is None:
            found = defects_of(self.seed, self.square(i, j), self.bars.mesh.opening_um, self.spec.crystals)
            self._defects[(i, j)] = found
        return found

    def _kinds(self, i: NDArray[np.int64], j: NDArray[np.int64], x: Floats, y: Floats) -> NDArray[np.int64]:
        spec = self.spec
        alike = 0.6 * field(self.seed, "fate", x, y, 180.0) + 0.8 * normal(self.seed, "fate of square", i, j)
        order = (SquareKind.EMPTY, SquareKind.TORN, SquareKind.CRACKED, SquareKind.DRY, SquareKind.CONTAMINATED)
        shares = [spec.empty, spec.torn, spec.cracked, spec.dry, spec.contaminated]
        names = [*order, SquareKind.INTACT, SquareKind.THICK]
        edges = np.cumsum([*shares, max(1.0 - sum(shares) - spec.thick, 0.0)])
        return np.array(names, np.int64)[np.searchsorted(edges, ndtr(alike), side="right")]
