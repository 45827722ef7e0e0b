"""The truth about one grid, drawn from the seed square by square and hole by hole as it is looked at.

Places are µm in the grid's own frame: origin at its centre, axes along the bars. Nothing that decides or detects may
import this.
"""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .cassette_world import GridSpec
from .cells import Floats, field, key, normal, uniform
from .defects import Defects, defects_of
from .film import MIXED, RIM_UM, bars_of, film_of, nearest_cell
from .ice import between_squares, in_the_middle, lenses_of, within_square
from .marks import marks_of
from .openings import Holes, SquareKind, Squares, SquaresAt

WOBBLE_UM = 25.0
"""Length over which the film's lattice bends."""

DEEP_NM = 120.0
"""No hole is empty in ice thicker than this."""

SHEET_NM = 300.0
"""Ice thicker than this is a sheet of its own, whose thickness varies no further."""

STAIN_NM = 2.0
"""Stain holds back as many electrons as so many times its thickness of ice; assumed."""

SLIP_UM = 12.0
"""How far from a wrinkle the film has come back to its place."""


class GridWorld:
    """One grid."""

    def __init__(self, seed: int, slot: int, spec: GridSpec) -> None:
        self.spec = spec
        self.slot = slot
        self.seed = key("grid", seed, slot)
        self.film = film_of(spec.hole_type, spec.material, self.seed)
        self.bars = bars_of(spec.mesh, self.seed)
        self._defects: dict[tuple[int, int], Defects] = {}

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
        ice = spec.ice_nm * np.exp(between_squares(seed, spec, i, j, x, y)) * (STAIN_NM if self.film.stain else 1.0)
        thick = 150.0 + 350.0 * uniform(seed, "thick", i, j)
        small = kind == SquareKind.SMALL
        ice = np.where((kind == SquareKind.THICK) | small, ice + thick * np.where(small, 0.4, 1.0), ice)
        ice = np.where((kind == SquareKind.DRY) | (kind == SquareKind.EMPTY), 0.0, ice)
        wet = (ice > 0) & (kind != SquareKind.EMPTY)
        # Most squares have a thin seam of thick ice along the bars; in some it has crept far inwards and rounds them.
        crept = uniform(seed, "crept", i, j) < 0.1
        meniscus = spec.meniscus_nm * np.exp(0.5 * normal(seed, "meniscus", i, j)) * np.where(crept, 4.0, 1.0)
        meniscus = np.where(small, np.maximum(meniscus, 220.0) * 8.0, meniscus)
        has_patch = (uniform(seed, "patch", i, j) < spec.thick_centres) & wet
        opening = self.bars.mesh.opening_um
        loose = np.where((kind == SquareKind.CRACKED) | (kind == SquareKind.TORN), 0.15, 0.0)
        return Squares(
            i, j, x, y, kind,
            size=1.0 - 0.06 * uniform(seed, "size", i, j) - 0.02 * np.abs(normal(seed, "small", i, j)),
            ice_nm=ice,
            meniscus_nm=np.where(wet, meniscus, 0.25 * meniscus * (kind != SquareKind.EMPTY)),
            meniscus_um=opening * (0.02 + 0.03 * uniform(seed, "meniscus width", i, j)) * np.where(small, 2.5, 1.0),
            patch_x_um=0.08 * opening * normal(seed, "patch x", i, j),
            patch_y_um=0.08 * opening * normal(seed, "patch y", i, j),
            patch_um=opening * (0.05 + 0.09 * uniform(seed, "patch radius", i, j)),
            patch_round=0.45 + 0.55 * uniform(seed, "patch round", i, j),
            patch_turn=math.pi * uniform(seed, "patch turn", i, j),
            patch_nm=np.where(has_patch, 60.0 + 260.0 * uniform(seed, "patch ice", i, j), 0.0),
            empty_holes=np.where(kind == SquareKind.DRY, 0.9, spec.empty_holes + loose),
            wrinkle_x_um=0.15 * opening * normal(seed, "wrinkle x", i, j),
            wrinkle_y_um=0.15 * opening * normal(seed, "wrinkle y", i, j),
            wrinkle_turn=math.pi * uniform(seed, "wrinkle turn", i, j),
            wrinkle_bend=0.15 / opening * normal(seed, "wrinkle bend", i, j),
            wrinkle_um=0.1 + 0.2 * uniform(seed, "wrinkle width", i, j),
            wrinkle_slip_um=self._slips(i, j, kind),
        )  # fmt: skip

    def holes(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Holes:
        """Say what these holes are like; ``a`` and ``b`` of one shape."""
        seed, film = self.seed, self.film
        x = film.origin_um[0] + film.basis_um[0, 0] * a + film.basis_um[0, 1] * b
        y = film.origin_um[1] + film.basis_um[1, 0] * a + film.basis_um[1, 1] * b
        bend, jitter = 0.012 * film.pitch_um, 0.006 * film.pitch_um
        x = x + bend * field(seed, "bend x", x, y, WOBBLE_UM) + jitter * normal(seed, "jitter x", a, b)
        y = y + bend * field(seed, "bend y", x, y, WOBBLE_UM) + jitter * normal(seed, "jitter y", a, b)
        square = self.squares_at(x, y)
        if self.spec.wrinkled > 0:
            x, y = self._slipped(x, y, square)
        empty = uniform(seed, "empty hole", a, b) < square.empty_holes
        # Where water is deep, at the bars or all over, no hole runs dry.
        at = np.nonzero(empty)
        near = self.squares_at(x[at], y[at])
        empty[at] = self.meniscus(x[at], y[at], near) + near.ice_nm < DEEP_NM
        radius = film.hole_um / 2 * (1.0 + 0.01 * normal(seed, "radius", a, b))
        if film.mixed:
            radius = radius * np.take(MIXED, (2 * a + 3 * b) % len(MIXED))
        lenses = lenses_of(seed, self.spec, a, b, empty)
        # Where there is no film there is nothing for ice to pile up on.
        held = np.where(square.kind == SquareKind.EMPTY, 0.0, lenses.collar_nm)
        return Holes(a, b, x, y, radius, replace(lenses, collar_nm=held))

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
        inside = np.exp(within_square(self.seed, self.spec, x, y, self.film.stain))
        dx, dy = x - square.x_um - square.patch_x_um, y - square.y_um - square.patch_y_um
        blob = square.patch_nm * np.exp(-(((dx**2 + dy**2) / (2 * square.patch_um**2)) ** 2))
        thin = np.minimum(square.ice_nm, SHEET_NM)
        return np.asarray(square.ice_nm + thin * (inside - 1) + blob)

    def ice_in_hole(self, holes: Holes) -> Floats:
        """Give the thickness of the ice in the middle of these holes."""
        beside = self.ice_nm(holes.x_um, holes.y_um)
        return in_the_middle(beside, holes.lens.factor, holes.lens.depth)

    def height_um(self, x: Floats | float, y: Floats | float) -> Floats:
        """Height of the specimen at these places above the grid's reference, when it lies flat in the holder."""
        tilt = 0.012 * normal(self.seed, "lies tilted", np.arange(2))
        bent = self.spec.bent_um * field(self.seed, "bent", x, y, 900.0) + 1.2 * field(self.seed, "sagging", x, y, 60.0)
        return np.asarray(25.0 * float(normal(self.seed, "height", 0)) + tilt[0] * x + tilt[1] * y + bent)

    def defects(self, i: int, j: int) -> Defects:
        """Give the tears and the dirt of one square."""
        found = self._defects.get((i, j))
        if found is None:
            found = defects_of(
                self.seed,
                self.square(i, j),
                self.bars.mesh.opening_um,
                self.spec,
                self.film.gold,
                self._holes_near if self.film.hole_um > 0 else None,
            )
            self._defects[(i, j)] = found
        return found

    def _slips(self, i: NDArray[np.int64], j: NDArray[np.int64], kind: NDArray[np.int64]) -> Floats:
        # The lattice must not slip by more than the film between holes leaves room for.
        film, seed = self.film, self.seed
        most = 0.5 * (film.pitch_um - film.hole_um) if film.hole_um > 0 else 1.0
        folded = (uniform(seed, "wrinkled", i, j) < self.spec.wrinkled) & (kind != SquareKind.EMPTY)
        side = np.where(uniform(seed, "wrinkle side", i, j) < 0.5, -1.0, 1.0)
        return np.where(folded, side * most * (0.4 + 0.6 * uniform(seed, "wrinkle slip", i, j)), 0.0)

    def _slipped(self, x: Floats, y: Floats, square: SquaresAt) -> tuple[Floats, Floats]:
        """Move places of the film as the wrinkles of their squares have moved them."""
        slip = square.wrinkle_slip_um
        if not slip.any():
            return x, y
        c, s = np.cos(square.wrinkle_turn), np.sin(square.wrinkle_turn)
        dx, dy = x - square.x_um - square.wrinkle_x_um, y - square.y_um - square.wrinkle_y_um
        along = c * dx + s * dy
        across = c * dy - s * dx - square.wrinkle_bend * along**2
        moved = 0.5 * slip * np.sign(across) * np.exp(-np.abs(across) / SLIP_UM)
        return x + c * moved, y + s * moved

    @cached_property
    def marks(self) -> tuple[Floats, ...]:
        """Outlines (n, 2) of the metal that marks the mesh."""
        if not self.spec.marks:
            return ()
        return marks_of(self.bars.basis_um, np.array(self.offset_um), self.bars.mesh.opening_um)

    def marks_near(self, i: int, j: int) -> list[Floats]:
        """Outlines of the marks that reach into an opening or stand next to it."""
        if not self.marks:
            return []
        points, starts = self._mark_points
        away = np.linalg.norm(points - self.centre_of(i, j), axis=1)
        near = np.minimum.reduceat(away, starts) < self.bars.mesh.pitch_um
        return [line for line, here in zip(self.marks, near, strict=True) if here]

    @cached_property
    def _mark_points(self) -> tuple[Floats, NDArray[np.int64]]:
        """All corners of all marks, one after the other, and where each mark begins."""
        return np.concatenate(self.marks), np.cumsum([0, *(len(line) for line in self.marks[:-1])])

    def _holes_near(self, places: Floats) -> tuple[Floats, Floats]:
        # To the lattice's own points: what a hole lies off them is less than what grows at its edge is wide.
        film = self.film
        index = np.stack(nearest_cell(film.basis_um, film.origin_um, *places.T), axis=-1)
        return film.origin_um + index @ film.basis_um.T, np.full(len(places), film.hole_um / 2)

    def _kinds(self, i: NDArray[np.int64], j: NDArray[np.int64], x: Floats, y: Floats) -> NDArray[np.int64]:
        spec = self.spec
        alike = 0.6 * field(self.seed, "fate", x, y, 180.0) + 0.8 * normal(self.seed, "fate of square", i, j)
        order = (SquareKind.EMPTY, SquareKind.TORN, SquareKind.CRACKED, SquareKind.DRY, SquareKind.CONTAMINATED)
        shares = [spec.empty, spec.torn, spec.cracked, spec.dry, spec.contaminated]
        thick = (SquareKind.CRYSTALLINE, SquareKind.SMALL, SquareKind.THICK)
        names = [*order, SquareKind.INTACT, *thick]
        intact = max(1.0 - sum(shares) - spec.thick - spec.small - spec.crystalline, 0.0)
        edges = np.cumsum([*shares, intact, spec.crystalline, spec.small])
        return np.array(names, np.int64)[np.searchsorted(edges, ndtr(alike), side="right")]
