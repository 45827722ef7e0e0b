"""Support film and mesh: where the holes are, how far the bars are away."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....protocols.errors import BadInput
from ....protocols.grid_types import HOLE_TYPES, MESHES, Mesh
from .cells import Floats, normal, uniform

CARBON_NM, GOLD_NM = 16.0, 42.0
"""Thickness of the films; assumed from makers' figures of 10 to 20 and 40 to 50 nm."""

RIM_UM = 1150.0
"""Radius of what the grid's ring leaves free; assumed."""

_RIGHT_ANGLE = 1e-9
_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))

COUNTS, BAR_UM = (50, 75, 100, 150, 200, 300, 400), 35.0
"""Bars to the inch as sold, and the width of bars nobody lists, as on a 200 mesh."""

MIXED_UM, MIXED_PITCH_UM = 4.0, 10.0
MIXED = (1.0, 0.5, 1.75, 0.25, 1.25, 0.75, 1.5)
"""Holes of the film sold as MultiA are of many sizes: a mean one, their distance, and each as a multiple; assumed."""


@dataclass(frozen=True, slots=True)
class Film:
    """A support film lying on the mesh.

    ``basis_um`` holds the two lattice vectors as columns, in the grid's frame; ``origin_um`` is hole (0, 0). Without
    holes ``hole_um`` is 0; ``lacey`` says that the film is a net instead, ``mixed`` that its holes are of many sizes,
    ``stain`` that dried stain lies on it and no ice.
    """

    hole_um: float
    pitch_um: float
    basis_um: Floats
    origin_um: Floats
    thickness_nm: float
    gold: bool
    lacey: bool
    mixed: bool
    stain: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """The mesh, its bars along the axes of the grid's frame (hexagonal ones with a bar across the x axis)."""

    mesh: Mesh
    corner_um: float

    @property
    def basis_um(self) -> Floats:
        """Lattice vectors of the openings, as columns."""
        pitch = self.mesh.pitch_um
        if self.mesh.lattice == "hexagonal":
            return np.array([[pitch, pitch / 2], [0.0, pitch * math.sqrt(3) / 2]])
        return np.array([[pitch, 0.0], [0.0, pitch]])

    def distance_um(self, dx: Floats, dy: Floats, size: Floats | float) -> Floats:
        """Distance from the edge of the opening, negative inside it, of points relative to its centre.

        ``size`` is the opening's size as a fraction of the nominal one; corners are rounded.
        """
        half = self.mesh.opening_um / 2 * size
        if self.mesh.lattice == "hexagonal":
            far = np.maximum(np.abs(dx), np.maximum(_across(dx, dy, 1.0), _across(dx, dy, -1.0)))
            return np.asarray(far - half)
        px = np.abs(dx) - (half - self.corner_um)
        py = np.abs(dy) - (half - self.corner_um)
        outside = np.hypot(np.maximum(px, 0), np.maximum(py, 0))
        return np.asarray(outside + np.minimum(np.maximum(px, py), 0) - self.corner_um)

    def rounded(self, dx: Floats, dy: Floats) -> Floats:
        """Distance from the centre in a norm whose circles are squares with round corners: how ice sees the bars."""
        if self.mesh.lattice == "hexagonal":
            return np.hypot(dx, dy)
        x2, y2 = dx * dx, dy * dy
        return np.asarray(np.sqrt(np.sqrt(x2 * x2 + y2 * y2)))


def film_of(hole_type: str, material: str, seed: int) -> Film:
    """Lay a film of this type on a grid, turned and shifted at random."""
    hole, pitch, hexagonal = _sizes(hole_type)
    turn = math.pi * float(uniform(seed, "film turn", 0))
    first = pitch * np.array([math.cos(turn), math.sin(turn)])
    step = turn + (math.pi / 3 if hexagonal else math.pi / 2)
    second = pitch * np.array([math.cos(step), math.sin(step)])
    gold = material.lower() == "gold" or "aufoil" in hole_type.lower()
    return Film(
        hole_um=hole,
        pitch_um=pitch,
        basis_um=np.stack([first, second], axis=1),
        origin_um=pitch * uniform(seed, "film origin", np.arange(2)),
        thickness_nm=(GOLD_NM if gold else CARBON_NM) * math.exp(0.1 * float(normal(seed, "film thickness", 0))),
        gold=gold,
        lacey=hole_type.lower().startswith("lacey"),
        mixed=hole_type.lower().startswith("multi"),
        stain=hole_type.lower().startswith("negative"),
    )


def bars_of(mesh: str, seed: int) -> Bars:
    """Make the mesh of this name; one of another count of bars to the inch is made by the makers' rule.

    Raises
    ------
    BadInput
        Neither a known name nor one that begins with a number of bars to the inch as sold.
    """
    found = MESHES.get(mesh) or _by_count(mesh)
    return Bars(found, found.opening_um * (0.08 + 0.1 * float(uniform(seed, "corners", 0))))


def nearest_cell(basis: Floats, origin: Floats, x: Floats, y: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the indices of the lattice point nearest to each place; the basis is reduced, a right angle or 60°."""
    inverse = np.linalg.inv(basis)
    dx, dy = x - origin[0], y - origin[1]
    u = inverse[0, 0] * dx + inverse[0, 1] * dy
    v = inverse[1, 0] * dx + inverse[1, 1] * dy
    lean = float(basis[:, 0] @ basis[:, 1])
    if abs(lean) < _RIGHT_ANGLE * float(basis[:, 0] @ basis[:, 0]):
        return np.floor(u + 0.5).astype(np.int64), np.floor(v + 0.5).astype(np.int64)
    # The nearest is one of the four corners of the cell around the place; near an obtuse one indices mislead.
    low = np.floor(u), np.floor(v)
    best, nearest = np.zeros(np.shape(u), np.int64), np.full(np.shape(u), np.inf)
    for number, (i, j) in enumerate(_CORNERS):
        du, dv = u - low[0] - i, v - low[1] - j
        away = np.hypot(basis[0, 0] * du + basis[0, 1] * dv, basis[1, 0] * du + basis[1, 1] * dv)
        best = np.where(away < nearest, number, best)
        nearest = np.minimum(away, nearest)
    corner = np.array(_CORNERS)[best]
    return low[0].astype(np.int64) + corner[..., 0], low[1].astype(np.int64) + corner[..., 1]


def _by_count(mesh: str) -> Mesh:
    named = re.match(r"\s*(\d{2,4})\b(?!\s*[Hh]ex)", mesh)
    if named is None or int(named[1]) not in COUNTS:
        raise BadInput(f"the simulator knows no mesh called {mesh}; known are {', '.join(MESHES)}, or bars to the inch")
    if named[1] in MESHES:
        return MESHES[named[1]]
    pitch = 25400.0 / int(named[1])
    bar = min(BAR_UM, 0.4 * pitch)
    return Mesh(mesh, pitch - bar, bar, pitch, "square")


def _sizes(hole_type: str) -> tuple[float, float, bool]:
    if hole_type.lower().startswith("multi"):
        return MIXED_UM, MIXED_PITCH_UM, False
    if hole_type.lower().startswith("continuous"):
        return 0.0, 4.0, False
    known = HOLE_TYPES.get(hole_type)
    if known is not None:
        return known.hole_um or 0.0, known.pitch_um or 4.0, known.lattice == "hexagonal"
    named = re.fullmatch(r"\D*(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)", hole_type.strip())
    if named is None:
        raise BadInput(f"the simulator knows no hole type called {hole_type}; known are {', '.join(HOLE_TYPES)}")
    hole, gap = float(named[1]), float(named[2])
    return hole, hole + gap, False


def _across(dx: Floats, dy: Floats, side: float) -> Floats:
    return np.asarray(np.abs(0.5 * dx + side * math.sqrt(3) / 2 * dy))
