"""The order of visits: of squares, of groups in a square, of holes in a group; short in way or in time.

The way is open: it starts where the stage is and ends at the last stop. `tours` orders the stops, `travel` says what
the stage needs between them.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..protocols.errors import BadInput
from .points import Points, as_point, as_points, distances
from .tours import Table, cost_of, nearest_first, shortest_way
from .travel import TravelTimes

MOST_STOPS = 5000
"""Above this the matrix of distances no longer fits a workstation's memory well."""

_IMPROVED_STOPS = 1500
_SEED = 20240229


def shortest_route(
    points_um: ArrayLike, start_um: ArrayLike = (0.0, 0.0), *, travel: TravelTimes | None = None
) -> tuple[int, ...]:
    """Order stops so that the way through them from ``start_um`` is short.

    The same stops give the same way, whatever order they come in. Above 1500 stops the nearest-neighbour way is given.

    Parameters
    ----------
    points_um
        Stops, shape (n, 2).
    start_um
        Where the stage is.
    travel
        What the stage needs between stops; None makes the way short instead of quick, as for image shifts.

    Returns
    -------
    tuple of int
        Row numbers of ``points_um`` in the order of visits.

    Raises
    ------
    BadInput
        Positions that are no finite pairs, or more than 5000 of them.
    """
    points = as_points(points_um, "Stops")
    start = as_point(start_um, "The start of the way")
    if len(points) > MOST_STOPS:
        raise BadInput(f"{len(points)} stops are more than the {MOST_STOPS} one way can hold; order them in parts.")
    if len(points) == 0:
        return ()
    canonical = np.lexsort((points[:, 1], points[:, 0]))
    nodes = np.vstack([start, points[canonical]])
    costs = _costs(nodes, travel)
    many = len(points) > _IMPROVED_STOPS
    way = nearest_first(costs) if many else shortest_way(costs, np.random.default_rng(_SEED))
    return tuple(int(canonical[node - 1]) for node in way[1:])


def route_with(
    order: tuple[int, ...],
    points_um: ArrayLike,
    start_um: ArrayLike,
    *,
    travel: TravelTimes | None = None,
) -> tuple[int, ...]:
    """Put stops that were added into a route where they cost least; stops of the route keep their order.

    Parameters
    ----------
    order
        The route as it is, row numbers of ``points_um``; stops already visited are left out of it.
    points_um
        All stops, (n, 2); those that are not in ``order`` are put in, the one that costs least first.
    """
    points = as_points(points_um, "Stops")
    if len(set(order)) < len(order) or not all(0 <= stop < len(points) for stop in order):
        raise BadInput(f"The route names a stop twice, or one that is none of the {len(points)}; make it anew.")
    costs = _costs(np.vstack([as_point(start_um, "The start of the way"), points]), travel)
    way = [0, *(stop + 1 for stop in order)]
    left = sorted(set(range(1, len(points) + 1)) - set(way))
    while left:
        here, following = np.array(way), np.array([*way[1:], -1])
        onward = np.where(following >= 0, 1.0, 0.0)
        free = np.array(left)
        more = costs[np.ix_(here, free)] + onward[:, None] * costs[np.ix_(free, following)].T
        more = more - (onward * costs[here, following])[:, None]
        place, which = divmod(int(np.argmin(more)), len(left))
        way.insert(place + 1, left.pop(which))
    return tuple(node - 1 for node in way[1:])


def route_time_s(points_um: ArrayLike, order: tuple[int, ...], start_um: ArrayLike, travel: TravelTimes) -> float:
    """Give how long the stage takes from ``start_um`` through the stops in that order, s."""
    points = as_points(points_um, "Stops")[list(order)]
    nodes = np.vstack([as_point(start_um, "The start of the way"), points])
    return cost_of(np.arange(len(nodes), dtype=np.intp), travel.between(nodes, nodes))


def _costs(nodes: Points, travel: TravelTimes | None) -> Table:
    return distances(nodes, nodes) if travel is None else travel.between(nodes, nodes)


def route_length_um(points_um: ArrayLike, order: tuple[int, ...], start_um: ArrayLike = (0.0, 0.0)) -> float:
    """Give the length of the way from ``start_um`` through the stops in that order."""
    points = as_points(points_um, "Stops")[list(order)]
    nodes = np.vstack([as_point(start_um, "The start of the way"), points])
    return float(np.linalg.norm(np.diff(nodes, axis=0), axis=1).sum())
