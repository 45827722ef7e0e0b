"""Ice as random fields nested in one another: over the grid, square by square, within a square, hole by hole.

Every level is a normal field times its own spread, and thickness goes with the exponential of their sum. How the
variance falls over the lengths is taken from the recorded session (`benchmarks/spatial_correlation.py`): what its
exposures reached is alike over a few µm, less so over tens, and squares side by side hardly know of each other.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cassette_world import GridSpec
from .cells import Floats, field, normal, uniform
from .film import RIM_UM

GRID_UM, WIDE_UM, PATCH_UM, MOTTLE_UM = 250.0, 22.0, 7.0, 2.0
"""Lengths over which ice is alike: between squares, within one, among neighbouring holes, and from hole to hole."""

GRID_SHARE = 0.25
"""Share of the variance between squares that neighbouring squares have in common; fitted to the recorded session."""

WIDE_SHARE, PATCH_SHARE = 0.43, 0.25
"""Shares of the variance within a square at its two greater lengths, the rest at the smallest; fitted likewise."""

STAIN_MOTTLE = 1.6
"""How much more unevenly stain dries than ice freezes; assumed."""

DIP_NM, DIP_SHARE = 40.0, 0.15
"""Ice in a hole is a lens thinner than that on the film beside it, by no more than this and such a share of it."""

LEAST_LENS, MOST_LENS = 0.02, 0.75
"""Bounds of how much thinner a lens is in the middle than at its edge."""


@dataclass(frozen=True, slots=True)
class Lenses:
    """How ice fills holes, one array element each.

    Attributes
    ----------
    factor
        Ice at the edge of the hole, as a fraction of that on the film beside it.
    depth
        How much thinner the middle is than the edge, as a fraction.
    lean_x, lean_y
        Slope: change of thickness from the middle to the edge along each axis, as a fraction.
    collar_nm
        Ice piled up on the film at the hole's edge.
    """

    factor: Floats
    depth: Floats
    lean_x: Floats
    lean_y: Floats
    collar_nm: Floats


def between_squares(
    seed: int, spec: GridSpec, i: NDArray[np.int64], j: NDArray[np.int64], x: Floats, y: Floats
) -> Floats:
    """Give ln of each square's ice over the median: the blotting gradient, what neighbours share, and its own level."""
    turn = 2 * math.pi * float(uniform(seed, "gradient", 0))
    blotted = spec.gradient / RIM_UM * (math.cos(turn) * x + math.sin(turn) * y)
    shared = math.sqrt(GRID_SHARE) * field(seed, "ice", x, y, GRID_UM)
    own = math.sqrt(1 - GRID_SHARE) * normal(seed, "ice of square", i, j)
    return np.asarray(blotted + spec.ice_spread * (shared + own))


def within_square(seed: int, spec: GridSpec, x: Floats, y: Floats, stain: bool = False) -> Floats:
    """Give ln of the ice at these places over that of their square."""
    mottle = max(1 - WIDE_SHARE - PATCH_SHARE, 0.0) * (STAIN_MOTTLE**2 if stain else 1.0)
    return np.asarray(
        spec.ice_spread_inside
        * (
            math.sqrt(WIDE_SHARE) * field(seed, "wide", x, y, WIDE_UM)
            + math.sqrt(PATCH_SHARE) * field(seed, "patchy", x, y, PATCH_UM)
            + math.sqrt(mottle) * field(seed, "mottled", x, y, MOTTLE_UM)
        )
    )


def lenses_of(seed: int, spec: GridSpec, a: ArrayLike, b: ArrayLike, empty: NDArray[np.bool_]) -> Lenses:
    """Draw how ice fills these holes; an ``empty`` one holds none."""
    grid = spec.lens * math.exp(0.3 * float(normal(seed, "lens", 0)))
    depth = np.clip(grid + spec.lens_spread * normal(seed, "lens of hole", a, b), LEAST_LENS, MOST_LENS)
    # Water drains one way on a grid; each hole departs from it.
    turn = 2 * math.pi * float(uniform(seed, "drain", 0)) + 0.9 * normal(seed, "drain of hole", a, b)
    lean = spec.lean * np.abs(normal(seed, "lean", a, b))
    factor = spec.hole_ice * np.exp(spec.ice_spread_holes * normal(seed, "ice of hole", a, b))
    collar = spec.collar_nm * np.exp(0.5 * normal(seed, "collar", a, b))
    return Lenses(np.where(empty, 0.0, factor), depth, lean * np.cos(turn), lean * np.sin(turn), collar)


def in_the_middle(beside_nm: Floats, factor: Floats, depth: Floats) -> Floats:
    """Give the ice in the middle of holes, beside which the film holds so much."""
    least = np.where(factor > 0, np.maximum(beside_nm * (1 - DIP_SHARE) - DIP_NM, 0.0), 0.0)
    return np.asarray(np.maximum(beside_nm * factor * (1 - depth), least))
