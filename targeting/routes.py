"""The order of visits: of squares, of groups in a square, of holes in a group; short in way or in time.

The way is open: it starts where the stage is and ends at the last stop. `tours` orders the stops, `travel` says what
the stage needs between them. More stops than one table of costs should hold are ordered patch by patch.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocols.errors import BadInput
from .mending import Table, mended
from .points import Points, as_point, as_points, distances
from .tours import nearest_first, shortest_way
from .travel import MoveTimes, ShiftTimes

MOST_STOPS = 200_000
"""As many as holes are grouped at once."""

_ONE_TABLE = 1500
_PATCH = 300
_LEGS_AT_ONCE = 256
_SEED = 20240229


def shortest_route(
    points_um: ArrayLike, start_um: ArrayLike = (0.0, 0.0), *, travel: MoveTimes | None = None
) -> tuple[int, ...]:
    """Order stops so that the way through them from ``start_um`` is short.

    The same stops give the same way, whatever order they come in. More than 1500 are ordered patch by patch.

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
        Positions that are no finite pairs, or more than 200,000 of them.
    """
    points = as_points(points_um, "Stops")
    start = as_point(start_um, "The start of the way")
    if len(points) > MOST_STOPS:
        raise BadInput(f"{len(points)} stops are more than the {MOST_STOPS} one way can hold; order them in parts.")
    if len(points) == 0:
        return ()
    canonical = np.lexsort((points[:, 1], points[:, 0]))
    stops = points[canonical]
    if len(stops) > _ONE_TABLE:
        return tuple(canonical[_by_patches(stops, start, travel)].tolist())
    way = shortest_way(_costs(np.vstack([start, stops]), travel), np.random.default_rng(_SEED))
    return tuple(canonical[way[1:] - 1].tolist())


def _by_patches(stops: Points, start: Points, travel: MoveTimes | None) -> NDArray[np.intp]:
    """Order patches by their middles, then each patch's stops from where the one before ended."""
    patches = list(_patches(stops))
    middles = np.array([stops[patch].mean(axis=0) for patch in patches])
    ordered: list[NDArray[np.intp]] = []
    for number in shortest_route(middles, start, travel=travel):
        patch = patches[number]
        costs = _costs(np.vstack([start, stops[patch]]), travel)
        ordered.append(patch[mended(nearest_first(costs), costs)[1:] - 1])
        start = stops[ordered[-1][-1]]
    return np.concatenate(ordered)


def _patches(stops: Points) -> Iterator[NDArray[np.intp]]:
    """Halve the stops across the longer side until no patch holds too many."""
    waiting = [np.arange(len(stops), dtype=np.intp)]
    while waiting:
        rows = waiting.pop()
        if rows.size <= _PATCH:
            yield rows
            continue
        axis = int(np.argmax(np.ptp(stops[rows], axis=0)))
        order = rows[np.lexsort((stops[rows, 1 - axis], stops[rows, axis]))]
        waiting += [order[: rows.size // 2], order[rows.size // 2 :]]


def route_with(
    order: tuple[int, ...],
    points_um: ArrayLike,
    start_um: ArrayLike,
    *,
    travel: MoveTimes | None = None,
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


def shooting_order(shifts_um: ArrayLike, times: MoveTimes | None = None) -> tuple[int, ...]:
    """Order the holes of a group by the time of the image shifts between them, from no shift on.

    Parameters
    ----------
    shifts_um
        Shift of each hole from the group's centre, (n, 2).
    times
        What a shift takes; None is an ordinary microscope's.
    """
    return shortest_route(shifts_um, (0.0, 0.0), travel=ShiftTimes() if times is None else times)


def route_time_s(points_um: ArrayLike, order: tuple[int, ...], start_um: ArrayLike, travel: MoveTimes) -> float:
    """Give how long the stage takes from ``start_um`` through the stops in that order, s."""
    points = as_points(points_um, "Stops")[list(order)]
    nodes = np.vstack([as_point(start_um, "The start of the way"), points])
    total = 0.0
    for first in range(0, len(points), _LEGS_AT_ONCE):
        ends = nodes[first + 1 : first + 1 + _LEGS_AT_ONCE]
        total += float(np.diagonal(travel.between(nodes[first : first + len(ends)], ends)).sum())
    return total


def _costs(nodes: Points, travel: MoveTimes | None) -> Table:
    return distances(nodes, nodes) if travel is None else travel.between(nodes, nodes)


def route_length_um(points_um: ArrayLike, order: tuple[int, ...], start_um: ArrayLike = (0.0, 0.0)) -> float:
    """Give the length of the way from ``start_um`` through the stops in that order."""
    points = as_points(points_um, "Stops")[list(order)]
    nodes = np.vstack([as_point(start_um, "The start of the way"), points])
    return float(np.linalg.norm(np.diff(nodes, axis=0), axis=1).sum())
