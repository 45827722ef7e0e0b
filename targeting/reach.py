"""Which hole can be reached from which place a group may stand at, and by how long a shift.

Every rule (radius, tilt, defocus spread, pattern) is a mask on the pairs of a hole and a place, so that whole grids
stay sparse.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from .lattice import basis_of, lattice_points
from .points import Points
from .tilt import on_specimen, seen, up_the_beam_um
from .wishes import Wishes

Indices = NDArray[np.intp]

_FREE_IN_FULL = 150
_MIDDLES = 8
_HIT_OF_STEP = 0.25
NO_HOME = -1


@dataclass(frozen=True, slots=True)
class Reached:
    """Pairs of a hole (row) and a place it is reached from, sorted by place, then row; shifts in µm across the beam.

    ``home`` gives for each place the row of the hole that stands there, `NO_HOME` where none to be exposed does.
    """

    places_um: Points
    home: Indices
    rows: Indices
    places: Indices
    shifts_um: NDArray[np.float64]
    holes: int

    def parts(self) -> list[tuple[Indices, Indices]]:
        """Split into the pairs' connected parts: rows and places of each, no place of one reaching a row of another."""
        count = self.holes + len(self.places_um)
        links = coo_array((np.ones(len(self.rows)), (self.rows, self.places + self.holes)), shape=(count, count))
        number, labels = connected_components(links, directed=False)
        order = np.argsort(labels, kind="stable")
        cuts = np.searchsorted(labels[order], np.arange(1, number))
        parts = (np.sort(part) for part in np.split(order, cuts))
        split = ((part[part < self.holes], part[part >= self.holes] - self.holes) for part in parts)
        return [(rows, places) for rows, places in split if rows.size]

    def by_row(self) -> csr_array:
        """Give the shifts as a sparse matrix, holes × places; a shift of 0 is kept as an entry."""
        shape = (self.holes, len(self.places_um))
        return csr_array(coo_array((self.shifts_um, (self.rows, self.places)), shape=shape))


def dense(matrix: csr_array, rows: Indices, places: Indices) -> NDArray[np.float64]:
    """Give the shifts of some rows from some places (sorted), inf where one is not reached."""
    shifts = np.full((rows.size, places.size), np.inf)
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    at = np.concatenate([np.arange(s, e) for s, e in zip(starts, ends, strict=True)] or [np.zeros(0, dtype=np.intp)])
    row = np.repeat(np.arange(rows.size), ends - starts)
    column = np.searchsorted(places, matrix.indices[at])
    inside = column < places.size
    inside[inside] = places[column[inside]] == matrix.indices[at][inside]
    shifts[row[inside], column[inside]] = matrix.data[at][inside]
    return shifts


def reached(holes: Points, bad: Points, heights: NDArray[np.float64], wishes: Wishes) -> Reached:
    """Find all pairs that the wishes allow.

    Parameters
    ----------
    holes
        Holes to be exposed, (n, 2) µm on the specimen.
    bad
        Holes that may be centres and nothing else.
    heights
        Of the holes above the eucentric plane, µm; places between them stand at the height of the nearest hole.
    """
    places, home = _places(holes, bad, heights, wishes)
    tree = KDTree(holes)
    place_heights = heights[np.asarray(tree.query(places)[1])] if len(holes) else np.zeros(0)
    holes_seen, places_seen = seen(holes, wishes.tilt, heights), seen(places, wishes.tilt, place_heights)
    radius = wishes.reach_um()
    there = KDTree(places_seen).sparse_distance_matrix(
        KDTree(holes_seen), radius * (1 + 1e-9) + 1e-9, output_type="ndarray"
    )
    rows, at = there["j"].astype(np.intp), there["i"].astype(np.intp)
    gaps = holes_seen[rows] - places_seen[at]
    shifts = np.sqrt((gaps**2).sum(axis=1))
    kept = shifts <= radius
    if wishes.defocus_spread_um is not None:
        up, up_there = (
            up_the_beam_um(holes, wishes.tilt, heights),
            up_the_beam_um(places, wishes.tilt, place_heights),
        )
        kept &= np.abs(up[rows] - up_there[at]) <= wishes.defocus_spread_um / 2
    if wishes.pattern is not None:
        kept &= _on_pattern(holes[rows] - places[at], holes, wishes)
    kept |= home[at] == rows
    rows, at, shifts = rows[kept], at[kept], shifts[kept]
    order = np.lexsort((rows, at))
    return Reached(places, home, rows[order], at[order], shifts[order], len(holes))


def _places(holes: Points, bad: Points, heights: NDArray[np.float64], wishes: Wishes) -> tuple[Points, Indices]:
    """Give where a group may stand; a hole that is its own group always may."""
    own = np.arange(len(holes), dtype=np.intp)
    if len(holes) == 0 or wishes.reach_um() == 0:
        return holes, own
    more = bad
    if wishes.centre == "lattice":
        more = lattice_points(holes, _basis(holes, wishes), wishes.reach_um())
        gaps, _ = KDTree(holes).query(more)
        more = more[gaps > _HIT_OF_STEP * float(np.linalg.norm(_basis(holes, wishes), axis=1).min())]
    elif wishes.centre == "free" and wishes.pattern is None:
        more = on_specimen(_between(seen(holes, wishes.tilt, heights), wishes.reach_um()), wishes.tilt)
    return np.vstack([holes, more]), np.concatenate([own, np.full(len(more), NO_HOME, dtype=np.intp)])


def _between(points: Points, radius_um: float) -> Points:
    """Give places between holes: both centres of the circles through two of them, or middles where holes are many."""
    if len(points) > _FREE_IN_FULL:
        others = np.asarray(KDTree(points).query(points, k=min(_MIDDLES + 1, len(points)))[1])
        pairs = np.column_stack([np.repeat(np.arange(len(points)), others.shape[1] - 1), others[:, 1:].ravel()])
        pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        middles: Points = (points[pairs[:, 0]] + points[pairs[:, 1]]) / 2
        return middles
    pairs = KDTree(points).query_pairs(2 * radius_um * (1 - 1e-9), output_type="ndarray")
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    first, second = points[pairs[:, 0]], points[pairs[:, 1]]
    half = (second - first) / 2
    lengths = np.linalg.norm(half, axis=1)
    aside = np.sqrt(np.maximum((radius_um * (1 - 1e-9)) ** 2 - lengths**2, 0.0)) / lengths
    upright = np.column_stack([-half[:, 1], half[:, 0]]) * aside[:, None]
    return np.vstack([first + half, first + half + upright, first + half - upright])


def _basis(holes: Points, wishes: Wishes) -> NDArray[np.float64]:
    return basis_of(holes) if wishes.basis_um is None else np.asarray(wishes.basis_um, dtype=np.float64).reshape(2, 2)


def _on_pattern(gaps: Points, holes: Points, wishes: Wishes) -> NDArray[np.bool_]:
    """Say which offsets from a place to a hole are those of the pattern, within a quarter of its closest two sites."""
    offsets = np.asarray(wishes.pattern, dtype=np.float64)
    if wishes.pattern_unit == "lattice":
        basis = _basis(holes, wishes)
        offsets, step = offsets @ basis, float(np.linalg.norm(basis, axis=1).min())
    else:
        apart = np.asarray(KDTree(offsets).query(offsets, k=2)[0])[:, 1] if len(offsets) > 1 else np.ones(1)
        step = float(apart.min())
    off, _ = KDTree(offsets).query(gaps) if len(gaps) else (np.zeros(0), None)
    return np.asarray(off <= _HIT_OF_STEP * step)


def middle_of(members_um: Points) -> Points:
    """Give the middle of the smallest circle about some places, shape (2,)."""
    origin = members_um.mean(axis=0)
    (x_um, y_um), _ = cv2.minEnclosingCircle((members_um - origin).astype(np.float32))
    return np.asarray(origin + np.array([x_um, y_um]))
