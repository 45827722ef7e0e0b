"""Short open ways through stops by a table of costs, which may differ there and back.

Few stops are ordered exactly (Held and Karp 1962), more by nearest neighbour and `mending`. Node 0 is the start.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .mending import Table, Way, kicked

EXACT_STOPS = 12


def cost_of(way: Way, costs: Table) -> float:
    """Give the cost of a way."""
    return float(costs[way[:-1], way[1:]].sum())


def shortest_way(costs: Table, rng: Generator) -> Way:
    """Give a cheap way from node 0 through all others."""
    if len(costs) <= EXACT_STOPS + 1:
        return exact_way(costs)
    return kicked(nearest_first(costs), costs, rng)


def nearest_first(costs: Table) -> Way:
    """Go on to the cheapest next stop, always."""
    free = np.ones(len(costs), dtype=bool)
    way = np.zeros(len(costs), dtype=np.intp)
    for place in range(1, len(costs)):
        free[way[place - 1]] = False
        way[place] = int(np.argmin(np.where(free, costs[way[place - 1]], np.inf)))
    return way


def exact_way(costs: Table) -> Way:
    """Give the cheapest way through few stops, by the cheapest ways through all their subsets."""
    stops = len(costs) - 1
    if stops < 1:
        return np.zeros(len(costs), dtype=np.intp)
    inner = costs[1:, 1:]
    best = np.full((1 << stops, stops), np.inf)
    came = np.zeros((1 << stops, stops), dtype=np.intp)
    best[1 << np.arange(stops), np.arange(stops)] = costs[0, 1:]
    subsets = np.arange(1 << stops)
    inside = (subsets[:, None] >> np.arange(stops)) & 1
    sizes = inside.sum(axis=1)
    for size in range(1, stops):
        those = subsets[sizes == size]
        there = best[those][:, :, None] + inner
        through = np.argmin(there, axis=1)
        cheapest = np.take_along_axis(there, through[:, None, :], axis=1)[:, 0, :]
        row, stop = np.nonzero(inside[those] == 0)
        larger = those[row] | (1 << stop)  # no two the same: what was added tells which subset it was added to
        best[larger, stop] = cheapest[row, stop]
        came[larger, stop] = through[row, stop]
    return _traced(best, came, stops)


def _traced(best: Table, came: NDArray[np.intp], stops: int) -> Way:
    subset = (1 << stops) - 1
    last, way = int(np.argmin(best[subset])), []
    for _ in range(stops):
        way.append(last + 1)
        subset, last = subset & ~(1 << last), int(came[subset, last])
    return np.array([0, *reversed(way)], dtype=np.intp)
