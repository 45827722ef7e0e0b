"""A way made cheaper: stretches turned (2-opt) and moved (or-opt) around a stop, then kicked and mended where it hurt.

Croes (1958), Or (1976), kicks after Martin, Otto and Felten (1991) kept to a stretch, near stops only, work on what
changed only (Bentley 1992). Costs may differ there and back: what turning changes inside a stretch is kept as running
sums. The work is counted, never timed, so that equal tables have equal ways on any host.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Table = NDArray[np.float64]
Way = NDArray[np.intp]

_GAIN = 1e-7
_NEAR = 8
_LONGEST_STRETCH = 3
_KICKS_OF_STOP = 20
_KICKS_WORK, _WORK_OF_KICK = 540_000, 500
_KICK_SPAN = 50
_FEWEST_FOR_KICKS = 8


class _Change(NamedTuple):
    """Stretch from place ``first`` to ``last`` of the way, turned where it is, or put behind place ``behind``."""

    gain: float
    first: int
    last: int
    behind: int | None
    turned: bool


def mended(way: Way, costs: Table) -> Way:
    """Turn and move stretches of a way, whose first stop stays first, until nothing near saves."""
    mending = _Mending(way, costs)
    mending.mend(way.tolist())
    return mending.way()


def kicked(way: Way, costs: Table, rng: Generator) -> Way:
    """Exchange neighbouring stretches at random, mend the way around them, and keep it if it is no dearer."""
    mending = _Mending(way, costs)
    mending.mend(way.tolist())
    stops = len(way) - 1
    if stops < _FEWEST_FOR_KICKS:
        return mending.way()
    kicks = min(_KICKS_OF_STOP * stops, _KICKS_WORK // (stops + _WORK_OF_KICK))
    span = min(_KICK_SPAN, stops)
    for lead, *shares in rng.random((kicks, 4)).tolist():
        first = 1 + int(lead * (stops + 1 - span))
        cuts = sorted({first + int(share * span) for share in shares})
        if len(cuts) == 3:
            mending.kick(*cuts)
    return mending.way()


class _Mending:
    """A way being changed. It ends in a stop that costs nothing to reach and is never left, so that its end is free."""

    def __init__(self, way: Way, costs: Table) -> None:
        count = len(costs)
        self._end = count
        self._table = np.zeros((count + 1, count + 1))
        self._table[:count, :count] = costs
        self._costs: list[list[float]] = self._table.tolist()
        both = costs + costs.T
        np.fill_diagonal(both, np.inf)
        self._near: list[list[int]] = np.argsort(both, axis=1, kind="stable")[:, : min(_NEAR, count - 1)].tolist()
        self._even = bool((costs == costs.T).all())
        self._way: list[int] = [*way.tolist(), count]
        self._place = [0] * (count + 1)
        self._turning = [0.0] * (count + 1)
        self._note(0, count)

    def way(self) -> Way:
        return np.array(self._way[:-1], dtype=np.intp)

    def mend(self, stops: Sequence[int]) -> float:
        """Improve around these stops, and around all that this changes; give what it changed in cost."""
        waiting = list(reversed(stops))
        known, total = set(waiting), 0.0
        while waiting:
            stop = waiting.pop()
            known.discard(stop)
            while (change := self._best_around(stop)) is not None:
                total += change.gain
                touched = [end for end in self._make(change) if end != self._end and end not in known]
                waiting += touched
                known.update(touched)
        return total

    def kick(self, first: int, second: int, third: int) -> None:
        """Exchange the stretches between three places; undo it if mending does not make up for it."""
        before = self._way[:], self._place[:], self._turning
        way, costs = self._way, self._costs
        ends = [way[place + step] for place in (first, second, third) for step in (-1, 0)]
        before_first, at_first, before_second, at_second, before_third, at_third = ends
        change = costs[before_first][at_second] + costs[before_third][at_first] + costs[before_second][at_third]
        change -= sum(costs[here][following] for here, following in zip(ends[::2], ends[1::2], strict=True))
        self._put(first, way[second:third] + way[first:second])
        if change + self.mend([end for end in dict.fromkeys(ends) if end != self._end]) > _GAIN:
            self._way, self._place, self._turning = before

    def _best_around(self, stop: int) -> _Change | None:
        best = min(self._turns(stop), default=None, key=_gain_of)
        for change in self._moves(stop):
            if best is None or change.gain < best.gain:
                best = change
        return best

    def _turns(self, stop: int) -> Iterator[_Change]:
        """Give stretches whose turning brings the stop beside a near one, and saves."""
        way, costs, turning = self._way, self._costs, self._turning
        here = self._place[stop]
        for near in self._near[stop]:
            there = self._place[near]
            low, high = (here, there) if here < there else (there, here)
            for first, last in ((low + 1, high), (low, high - 1)):
                if first < 1 or first >= last:
                    continue
                before, head, tail, after = way[first - 1], way[first], way[last], way[last + 1]
                gain = costs[before][tail] + costs[head][after] - costs[before][head] - costs[tail][after]
                gain += turning[last] - turning[first]
                if gain < -_GAIN:
                    yield _Change(gain, first, last, None, turned=True)

    def _moves(self, stop: int) -> Iterator[_Change]:
        """Give stretches of a few stops with this one at an end that are cheaper beside a near stop."""
        way, costs, turning = self._way, self._costs, self._turning
        here = self._place[stop]
        for first, last in _stretches(here, self._end - 1):
            head, tail = way[first], way[last]
            before, after = way[first - 1], way[last + 1]
            freed = costs[before][head] + costs[tail][after] - costs[before][after]
            other = tail if here == first else head
            around = turning[last] - turning[first]
            for near in self._near[stop]:
                there = self._place[near]
                if first <= there <= last:
                    continue
                following = way[there + 1]
                if there + 1 != first:
                    gain = costs[near][stop] + costs[other][following] - costs[near][following] - freed
                    gain += around if here != first else 0.0
                    if gain < -_GAIN:
                        yield _Change(gain, first, last, there, turned=here != first)
                if there > 0 and there - 1 != last:
                    earlier = way[there - 1]
                    gain = costs[earlier][other] + costs[stop][near] - costs[earlier][near] - freed
                    gain += around if here != last else 0.0
                    if gain < -_GAIN:
                        yield _Change(gain, first, last, there - 1, turned=here != last)

    def _make(self, change: _Change) -> tuple[int, ...]:
        """Make a change; give the stops at its ends."""
        way = self._way
        first, last = change.first, change.last
        ends: tuple[int, ...] = (way[first - 1], way[first], way[last], way[last + 1])
        stretch = way[last : first - 1 : -1] if change.turned else way[first : last + 1]
        if change.behind is None:
            self._put(first, stretch)
            return ends
        ends = (*ends, way[change.behind], way[change.behind + 1])
        if change.behind < first:
            self._put(change.behind + 1, stretch + way[change.behind + 1 : first])
        else:
            self._put(first, way[last + 1 : change.behind + 1] + stretch)
        return ends

    def _put(self, first: int, stops: list[int]) -> None:
        self._way[first : first + len(stops)] = stops
        self._note(first, first + len(stops) - 1)

    def _note(self, first: int, last: int) -> None:
        for place in range(first, last + 1):
            self._place[self._way[place]] = place
        if not self._even:
            order = np.array(self._way[:-1])
            back = self._table[order[1:], order[:-1]] - self._table[order[:-1], order[1:]]
            self._turning = [0.0, *np.cumsum(back).tolist(), 0.0]


def _gain_of(change: _Change) -> float:
    return change.gain


def _stretches(place: int, last_place: int) -> Iterator[tuple[int, int]]:
    """Give the first and last places of the short stretches that begin or end here; the way's first stop is in none."""
    for longer in range(_LONGEST_STRETCH):
        if place >= 1 and place + longer <= last_place:
            yield place, place + longer
        if longer and place - longer >= 1:
            yield place - longer, place
