"""The order of visits: nearest neighbour, then improved by reversing and moving stretches of the way.

The way is open: it starts where the stage is and ends at the last stop. 2-opt after Croes (1958), or-opt after Or
(1976).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocols.errors import BadInput
from .points import as_point, as_points, distances

MOST_STOPS = 5000
"""Above this the matrix of distances no longer fits a workstation's memory well."""

_IMPROVED_STOPS = 1500
_GAIN = 1e-9
_LONGEST_STRETCH = 3


def shortest_route(points_um: ArrayLike, start_um: ArrayLike = (0.0, 0.0)) -> tuple[int, ...]:
    """Order stops so that the way through them from ``start_um`` is short.

    The same stops give the same way, whatever order they come in. Above 1500 stops the nearest-neighbour way is given.

    Parameters
    ----------
    points_um
        Stops, shape (n, 2).
    start_um
        Where the stage is.

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
    gaps = distances(nodes, nodes)
    way = _nearest_first(gaps)
    if len(points) <= _IMPROVED_STOPS:
        way = _improved(way, gaps)
    return tuple(int(canonical[node - 1]) for node in way[1:])


def route_length_um(points_um: ArrayLike, order: tuple[int, ...], start_um: ArrayLike = (0.0, 0.0)) -> float:
    """Give the length of the way from ``start_um`` through the stops in that order."""
    points = as_points(points_um, "Stops")[list(order)]
    nodes = np.vstack([as_point(start_um, "The start of the way"), points])
    return float(np.linalg.norm(np.diff(nodes, axis=0), axis=1).sum())


def _nearest_first(gaps: NDArray[np.float64]) -> NDArray[np.intp]:
    free = np.ones(len(gaps), dtype=bool)
    way = np.zeros(len(gaps), dtype=np.intp)
    for place in range(1, len(gaps)):
        free[way[place - 1]] = False
        way[place] = int(np.argmin(np.where(free, gaps[way[place - 1]], np.inf)))
    return way


def _improved(way: NDArray[np.intp], gaps: NDArray[np.float64]) -> NDArray[np.intp]:
    """Take the best reversal or removal of a stretch until none shortens the way."""
    for _ in range(20 * len(way)):
        reversal, first, last = _best_reversal(way, gaps)
        if reversal < -_GAIN:
            way = np.concatenate([way[:first], way[first : last + 1][::-1], way[last + 1 :]])
            continue
        moved = _moved_stretch(way, gaps)
        if moved is None:
            break
        way = moved
    return way


def _best_reversal(way: NDArray[np.intp], gaps: NDArray[np.float64]) -> tuple[float, int, int]:
    """Give the change in length and the ends of the best stretch to run backwards; node 0 stays first."""
    along = gaps[np.ix_(way, way)]
    steps = np.append(np.diagonal(along, 1), 0.0)  # leaving the last stop costs nothing
    before = along[:-1, 1:]  # (i - 1, j) for stretches i..j
    after = np.hstack([along[1:, 2:], np.zeros((len(way) - 1, 1))])  # (i, j + 1)
    change = before + after - steps[:-1, None] - steps[None, 1:]
    change[np.tril_indices(len(change))] = np.inf
    if change.size <= 1:
        return 0.0, 0, 0
    best = int(np.argmin(change))
    first, last = divmod(best, change.shape[1])
    return float(change[first, last]), first + 1, last + 1


def _moved_stretch(way: NDArray[np.intp], gaps: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Move the stretch of one to three stops whose move saves most, either way round; None when none saves."""
    best, answer = -_GAIN, None
    for length in range(1, min(_LONGEST_STRETCH, len(way) - 2) + 1):
        for first in range(1, len(way) - length + 1):
            stretch = way[first : first + length]
            rest = np.concatenate([way[:first], way[first + length :]])
            change, place, turned = _best_insertion(stretch, rest, first, gaps)
            if change < best:
                best = change
                inside = stretch[::-1] if turned else stretch
                answer = np.concatenate([rest[:place], inside, rest[place:]])
    return answer


def _best_insertion(
    stretch: NDArray[np.intp], rest: NDArray[np.intp], first: int, gaps: NDArray[np.float64]
) -> tuple[float, int, bool]:
    """Give the change in length, the place in ``rest`` and whether it is turned, for putting the stretch back best."""
    head, tail = stretch[0], stretch[-1]
    following = np.append(rest[1:], -1)
    leaving = np.where(following >= 0, 1.0, 0.0)
    broken = leaving * gaps[rest, following]
    forward = gaps[rest, head] + leaving * gaps[tail, following] - broken
    turned = gaps[rest, tail] + leaving * gaps[head, following] - broken
    now = gaps[rest[first - 1], head]
    if first < len(rest):
        now = now + gaps[tail, rest[first]] - gaps[rest[first - 1], rest[first]]
    costs = np.minimum(forward, turned)
    place = int(np.argmin(costs))
    return float(costs[place] - now), place + 1, bool(turned[place] < forward[place])
