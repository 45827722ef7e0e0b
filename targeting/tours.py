"""Short open ways through stops by a table of costs, which may differ there and back.

Few stops are ordered exactly (Held and Karp 1962). Otherwise nearest neighbour, then stretches are turned (2-opt, Croes
1958) and moved (or-opt, Or 1976) as long as that saves, then kicked out of place and mended again (Martin, Otto and
Felten 1991). The work is counted, so that equal tables have equal ways on any host. Node 0 is the start.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Table = NDArray[np.float64]
Way = NDArray[np.intp]

EXACT_STOPS = 11
_GAIN = 1e-9
_LONGEST_STRETCH = 3
_KICKS_WORK = 3.5e6
_MOST_KICKS = 60
_KICK_SPAN = 30


def cost_of(way: Way, costs: Table) -> float:
    """Give the cost of a way."""
    return float(costs[way[:-1], way[1:]].sum())


def shortest_way(costs: Table, rng: Generator) -> Way:
    """Give a cheap way from node 0 through all others."""
    if len(costs) <= EXACT_STOPS + 1:
        return exact_way(costs)
    way = improved(nearest_first(costs), costs)
    return _kicked(way, costs, rng)


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
    bits = 1 << np.arange(stops)
    for subset in range(1, 1 << stops):
        there = best[subset][:, None] + inner
        outside = (subset & bits) == 0
        through = np.argmin(there, axis=0)
        cheapest = there[through, np.arange(stops)]
        nexts = np.flatnonzero(outside)
        best[subset | bits[nexts], nexts] = np.minimum(best[subset | bits[nexts], nexts], cheapest[nexts])
        came[subset | bits[nexts], nexts] = through[nexts]
    return _traced(best, came, stops)


def _traced(best: Table, came: NDArray[np.intp], stops: int) -> Way:
    subset = (1 << stops) - 1
    last, way = int(np.argmin(best[subset])), []
    for _ in range(stops):
        way.append(last + 1)
        subset, last = subset & ~(1 << last), int(came[subset, last])
    return np.array([0, *reversed(way)], dtype=np.intp)


def improved(way: Way, costs: Table) -> Way:
    """Turn and move stretches until nothing saves; savings that do not touch each other are taken together."""
    for _ in range(10 * len(way)):
        turned = _turned(way, costs)
        moved = _moved(turned, costs)
        if cost_of(moved, costs) >= cost_of(way, costs) - _GAIN:
            return way
        way = moved
    return way


def _turned(way: Way, costs: Table) -> Way:
    """Run stretches backwards where that saves."""
    along = costs[np.ix_(way, way)]
    forward, back = np.diagonal(along, 1), np.diagonal(along, -1)
    run = np.concatenate([[0.0], np.cumsum(back - forward)])  # what turning changes inside, as differences
    leaving = np.append(forward, 0.0)
    before = along[:-1, 1:]
    after = np.hstack([along[1:, 2:], np.zeros((len(way) - 1, 1))])
    change = before + after - leaving[:-1, None] - leaving[None, 1:] + run[None, 1:] - run[1:, None]
    change[np.tril_indices(len(change))] = 0.0
    new, touched = way.copy(), np.zeros(len(way) + 1, dtype=bool)
    for first, last in _cheapest_pairs(change):
        span = slice(first, last + 3)
        if not touched[span].any():
            touched[span] = True
            new[first + 1 : last + 2] = way[first + 1 : last + 2][::-1]
    return new


def _cheapest_pairs(change: Table, most: int = 60) -> list[tuple[int, int]]:
    """Give where a table of changes saves, the greatest savings first."""
    flat = np.flatnonzero(change.ravel() < -_GAIN)
    if flat.size > most:
        flat = flat[np.argpartition(change.ravel()[flat], most)[:most]]
    order = flat[np.argsort(change.ravel()[flat], kind="stable")]
    return [divmod(int(at), change.shape[1]) for at in order]


def _moved(way: Way, costs: Table) -> Way:
    """Move the stretch of one to three stops whose move saves most, either way round, as long as one saves."""
    best, answer = -_GAIN, way
    along = costs[np.ix_(way, way)]
    count = len(way)
    leaving = np.append(np.diagonal(along, 1), 0.0)
    for length in range(1, min(_LONGEST_STRETCH, count - 2) + 1):
        heads, tails = np.arange(1, count - length + 1), np.arange(length, count)
        after = np.minimum(tails + 1, count - 1)
        closing = np.where(tails + 1 < count, along[heads - 1, after], 0.0)
        freed = leaving[heads - 1] + leaving[tails] - closing
        inside = _inside(along, heads, length)
        nexts = np.minimum(np.arange(count) + 1, count - 1)
        open_end = np.arange(count) == count - 1
        for turned in (False, True):
            first, last = (tails, heads) if turned else (heads, tails)
            onward = np.where(open_end[:, None], 0.0, along[np.ix_(last, nexts)].T)
            change = along[:, first] + onward - leaving[:, None] - freed[None, :]
            change = change + (inside[None, :] if turned else 0.0)
            places = np.arange(count)[:, None]
            change[(places >= heads[None, :] - 1) & (places <= tails[None, :])] = 0.0
            at = int(np.argmin(change))
            place, which = divmod(at, change.shape[1])
            if change[place, which] < best:
                best = float(change[place, which])
                stretch = way[heads[which] : tails[which] + 1]
                rest = np.delete(way, np.arange(heads[which], tails[which] + 1))
                into = place + 1 if place < heads[which] else place + 1 - length
                answer = np.concatenate([rest[:into], stretch[::-1] if turned else stretch, rest[into:]])
    return answer


def _inside(along: Table, heads: NDArray[np.intp], length: int) -> NDArray[np.float64]:
    """Give what turning a stretch of that length changes inside of it, for each of its beginnings."""
    change = np.zeros(heads.size)
    for step in range(length - 1):
        change += along[heads + step + 1, heads + step] - along[heads + step, heads + step + 1]
    return change


def _kicked(way: Way, costs: Table, rng: Generator) -> Way:
    """Exchange two neighbouring stretches at random, mend the way around them, keep it if it is no dearer."""
    best = cost_of(way, costs)
    count = len(way)
    kicks = min(_MOST_KICKS, int(_KICKS_WORK / (count * 60 + 4000)))
    for _ in range(kicks):
        span = min(_KICK_SPAN, count - 1)
        first = 1 + int(rng.random() * (count - span))
        cuts = np.sort(first + rng.permutation(span)[:3])
        a, b, c = (int(cut) for cut in cuts)
        trial = np.concatenate([way[:a], way[b:c], way[a:b], way[c:]])
        low, high = max(a - _KICK_SPAN, 0), min(c + _KICK_SPAN, count)
        trial = _mended(trial, low, high, costs)
        cost = cost_of(trial, costs)
        if cost <= best + _GAIN:
            way, best = trial, cost
    return improved(way, costs)


def _mended(way: Way, low: int, high: int, costs: Table) -> Way:
    """Improve the piece of a way from ``low`` up to ``high``, whose first and last stop stay."""
    piece = way[low:high]
    table = costs[np.ix_(piece, piece)].copy()
    if high < len(way):
        far = float(table.max()) * len(table) + 1.0
        table[-1, :] = far  # leaving the last stop is so dear that it stays last
        table[-1, -1] = 0.0
    small = improved(np.arange(len(piece), dtype=np.intp), table)
    return np.concatenate([way[:low], piece[small], way[high:]])
