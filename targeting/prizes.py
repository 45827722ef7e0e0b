"""Leaving out what does not pay: groups and holes at a price for the time they take.

At a price θ a set of groups is worth the values of its holes less θ times its costs. The best price for the rate
(values per time) is the rate itself (Dinkelbach 1967), found by taking turns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cover import Indices

_ROUNDS = 6
_TURNS = 8
_GAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Market:
    """What there is to choose from.

    Attributes
    ----------
    covers, coverers
        Rows of each place, places of each row.
    values
        Of the rows.
    group_cost, row_cost
        Of each group and of each row taken, in one unit.
    fixed_cost
        What is spent whatever is chosen.
    whole_groups
        Whether groups are only dropped whole, as they are (they have a smallest size).
    """

    covers: Sequence[Indices]
    coverers: Sequence[Indices]
    values: NDArray[np.float64]
    group_cost: float
    row_cost: float
    fixed_cost: float
    whole_groups: bool = False

    def worth(self, rows: NDArray[np.bool_], groups: int) -> float:
        """Give the value per cost of taking some rows in so many groups."""
        cost = self.fixed_cost + self.group_cost * groups + self.row_cost * float(rows.sum())
        return float(self.values[rows].sum()) / cost if cost > 0 else 0.0


Taken = tuple[Indices, NDArray[np.bool_]]
"""Places chosen, and which rows are taken."""


def best_rate(market: Market, start: Indices) -> tuple[Taken, float]:
    """Give what to take for the highest value per cost, and the price at which it is the best."""
    price = 0.0
    taken = at_price(market, start, price)
    for _ in range(_TURNS):
        rate = market.worth(taken[1], len(taken[0]))
        if rate <= price + _GAIN:
            break
        price = rate
        better = at_price(market, start, price)
        if market.worth(better[1], len(better[0])) > rate:
            taken = better
    return taken, price


def covering_enough(take: Callable[[float], Taken], values: NDArray[np.float64], price: float, least: float) -> Taken:
    """Lower the price until so large a share of the values is taken; at 0 all that can be is."""
    taken = take(price)
    whole = float(values.sum())
    if float(values[taken[1]].sum()) >= least * whole - _GAIN:
        return taken
    low, high = 0.0, price
    best = take(0.0)
    for _ in range(_TURNS):
        middle = (low + high) / 2
        taken = take(middle)
        if float(values[taken[1]].sum()) >= least * whole - _GAIN:
            low, best = middle, taken
        else:
            high = middle
    return best


def at_price(market: Market, start: Indices, price: float) -> Taken:
    """Give places and rows that are worth most at a price: from a start by dropping, adding and exchanging groups."""
    prizes = market.values - price * market.row_cost
    prizes = prizes if market.whole_groups else np.maximum(prizes, 0.0)
    state = _State(market, prizes, price * market.group_cost)
    for place in start.tolist():
        state.put(place, 1)
    state.drop()
    if not market.whole_groups:
        for _ in range(_ROUNDS):
            if not (state.add() | state.swap() | state.drop()):
                break
    taken = (state.count > 0) & (prizes > 0 if price > 0 and not market.whole_groups else True)
    return np.array(sorted(state.inside), dtype=np.intp), np.asarray(taken)


class _State:
    """Groups chosen, and by how many each row is covered."""

    def __init__(self, market: Market, prizes: NDArray[np.float64], cost: float) -> None:
        self._market, self._prizes, self._cost = market, prizes, cost
        self.count = np.zeros(len(prizes), dtype=np.intp)
        self.inside: set[int] = set()

    def put(self, place: int, sign: int) -> None:
        self.count[self._market.covers[place]] += sign
        self.inside = self.inside | {place} if sign > 0 else self.inside - {place}

    def _loss(self, place: int) -> float:
        rows = self._market.covers[place]
        return float(self._prizes[rows[self.count[rows] == 1]].sum())

    def _gain_of(self, place: int) -> float:
        rows = self._market.covers[place]
        return float(self._prizes[rows[self.count[rows] == 0]].sum())

    def drop(self) -> bool:
        """Drop groups that do not pay, the worst first; say whether any did."""
        changed = False
        for place in sorted(self.inside, key=lambda place: (self._loss(place), place)):
            if self._loss(place) < self._cost - _GAIN or (self._cost == 0 and self._loss(place) == 0):
                self.put(place, -1)
                changed = True
        return changed

    def _best_for(self, rows: Indices) -> tuple[float, int]:
        """Give the gain of the best place that covers one of the rows, and the place."""
        options = {place for row in rows.tolist() for place in self._market.coverers[row].tolist()} - self.inside
        return max(((self._gain_of(place), -place) for place in options), default=(0.0, 0))

    def add(self) -> bool:
        """Add groups that pay; say whether any did."""
        changed = False
        for row in np.flatnonzero((self.count == 0) & (self._prizes > 0)).tolist():
            if self.count[row] == 0:
                gain, place = self._best_for(np.array([row]))
                if gain > self._cost + _GAIN:
                    self.put(-place, 1)
                    changed = True
        return changed

    def swap(self) -> bool:
        """Put single groups where they gain more; say whether any went."""
        changed = False
        for here in sorted(self.inside):
            rows = self._market.covers[here]
            own = rows[self.count[rows] == 1]
            loss = self._loss(here)
            self.put(here, -1)
            gain, place = self._best_for(own)
            if gain > loss + _GAIN:
                self.put(-place, 1)
                changed = True
            else:
                self.put(here, 1)
        return changed
