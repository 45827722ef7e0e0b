"""Beam-image-shift groups: all holes reached with the fewest stage positions, then with the shortest shifts.

The short way in: a radius, a smallest size, holes that may be exposed. `plans` takes every wish. Holes are taken in an
order of their own, so that the answer does not depend on how they come.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from ..protocols.errors import BadInput
from .points import Points, as_points
from .reach import Reached, reached
from .records import Group, Grouping
from .windows import Grouped, group_all
from .wishes import Wishes

MOST_HOLES = 200_000
"""Above this one call would need minutes and gigabytes; a whole grid has some ten thousand holes."""

_SEED = 20240229
_ONE_SQUARE, _ONE_GRID = 150, 4000
_LIMIT_ONE_SQUARE_S, _LIMIT_MORE_S, _LIMIT_GRID_S = 0.12, 1.2, 2.0
_ONE_SPOT_UM = 1e-6


def group_holes(
    positions_um: ArrayLike,
    *,
    radius_um: float,
    minimum_size: int = 1,
    exposable: Sequence[bool] | NDArray[np.bool_] | None = None,
    time_limit_s: float | None = None,
    rng: Generator | None = None,
) -> Grouping:
    """Group holes so that every exposable one is reached from the fewest stage positions, with the shortest shifts.

    The same holes give the same groups, whatever their order and however busy the host.

    Parameters
    ----------
    positions_um
        Holes, shape (n, 2), stage µm.
    radius_um
        Longest beam-image shift from the group's centre hole; 0 makes each hole its own group.
    minimum_size
        Groups of fewer holes are not made; holes that find no other group are left out.
    exposable
        Which holes may be exposed; the others are neither centres nor members. None means all.
    time_limit_s
        How long to search. It is turned into a number of search steps at a fixed rate, so that the answer does not
        depend on the host; None takes 0.12 up to 150 holes and 1.2 above,
        2 for whole grids.
    rng
        Generator of the search; None starts from a fixed seed.

    Returns
    -------
    Grouping
        Groups ordered by their centre's x, then y; members the centre first, then by the length of their shift.
        ``lower_bound`` is for covering the grouped holes.

    Raises
    ------
    BadInput
        Positions that are no finite pairs, two holes on one spot, a radius below 0, a minimum below 1, or a mask of
        another length; above 200,000 holes.
    """
    wishes = Wishes(radius_um=radius_um, minimum_size=minimum_size, time_limit_s=time_limit_s)
    points = checked(positions_um)
    able = _able(exposable, len(points))
    generator = np.random.default_rng(_SEED) if rng is None else rng
    order = np.lexsort((points[:, 1], points[:, 0]))
    order = order[able[order]]
    holes = points[order]
    pairs = reached(holes, np.zeros((0, 2)), np.zeros(len(holes)), wishes)
    found = group_all(pairs, holes, minimum_size, search_s(time_limit_s, len(order)), generator)
    groups = made(pairs, holes, found, order)
    taken = np.zeros(len(points), dtype=bool)
    for group in groups:
        taken[list(group.members)] = True
    return Grouping(tuple(groups), tuple(np.flatnonzero(~taken).tolist()), found.bound, found.exact)


def total_shift(positions_um: ArrayLike, grouping: Grouping) -> float:
    """Give the sum in µm of all shifts of a grouping."""
    points = as_points(positions_um, "Holes")
    shifts = [np.hypot(*(points[list(g.members)] - (g.x_um, g.y_um)).T).sum() for g in grouping.groups]
    return float(sum(shifts))


def checked(positions_um: ArrayLike) -> Points:
    """Give holes as an array (n, 2); raises BadInput for what is no hole, for two on one spot and for too many."""
    points = as_points(positions_um, "Holes")
    if len(points) > MOST_HOLES:
        raise BadInput(
            f"{len(points)} holes are more than the {MOST_HOLES} grouped at once; group them square by square."
        )
    if len(points) > 1:
        near = KDTree(points).query_pairs(_ONE_SPOT_UM)
        if near:
            first, second = min(near)
            x, y = points[first]
            raise BadInput(
                f"Holes {first} and {second} (counted from 0) stand on one spot, ({x:g}, {y:g}) µm; keep one."
            )
    return points


def _able(exposable: Sequence[bool] | NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    if exposable is None:
        return np.ones(count, dtype=bool)
    able = np.asarray(exposable, dtype=bool)
    if able.shape != (count,):
        raise BadInput(f"The mask of exposable holes has the shape {able.shape}; there are {count} holes.")
    return able


def search_s(time_limit_s: float | None, holes: int) -> float:
    """Give how long to search, s; what is not said depends on the number of holes."""
    if time_limit_s is not None:
        return min(time_limit_s, 1e4)
    if holes <= _ONE_SQUARE:
        return _LIMIT_ONE_SQUARE_S
    return _LIMIT_MORE_S if holes <= _ONE_GRID else _LIMIT_GRID_S


def made(pairs: Reached, holes: Points, found: Grouped, order: NDArray[np.intp]) -> list[Group]:
    """Write the groups out, sorted by their centre's x, then y; members by the length of their shift, then around."""
    grouped = np.flatnonzero(found.groups >= 0)
    grouped = grouped[np.argsort(found.groups[grouped], kind="stable")]
    cuts = np.searchsorted(found.groups[grouped], np.arange(1, len(found.centres)))
    groups = []
    for place, members in zip(found.centres.tolist(), np.split(grouped, cuts), strict=False):
        x_um, y_um = map(float, pairs.places_um[place])
        gaps = holes[members] - (x_um, y_um)
        way = np.lexsort((np.arctan2(gaps[:, 1], gaps[:, 0]), np.round(np.hypot(gaps[:, 0], gaps[:, 1]), 3)))
        groups.append(Group(x_um, y_um, tuple(order[members[way]].tolist())))
    groups.sort(key=lambda group: (group.x_um, group.y_um))
    return groups
