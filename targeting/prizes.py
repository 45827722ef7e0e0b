"""Leaving out what does not pay: groups and holes at a price for the time they take.

At a price θ a set of groups is worth the values of its holes less θ times its costs. The best price for the rate
(values per time) is the rate itself (Dinkelbach 1967), found by taking turns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cover import Indices
from .prize_search import PrizeSearch

Taken = tuple[Indices, Indices]
"""Places chosen, and for each row its group among them, negative where it is left out."""

Settle = Callable[[Indices, NDArray[np.bool_]], Taken]
"""Give the groups that can be made at these places of the rows that are wanted."""

_TURNS = 8
_GAIN = 1e-9


@dataclass(frozen=True, slots=True)
class Market:
    """What there is to choose from.

    Attributes
    ----------
    values
        Of the rows.
    group_cost, row_cost
        Of each group and of each row taken, in one unit.
    fixed_cost
        What is spent whatever is chosen.
    everything
        Groups of all rows that can be in one, as few as were found.
    search
        Of places that together win most.
    settle
        Makes groups at them.
    rounds
        Of the search, in all.
    """

    values: NDArray[np.float64]
    group_cost: float
    row_cost: float
    fixed_cost: float
    everything: Taken
    search: PrizeSearch
    settle: Settle
    rounds: int

    def worth(self, taken: Taken) -> float:
        """Give the value per cost of some groups."""
        rows = taken[1] >= 0
        cost = self.fixed_cost + self.group_cost * len(taken[0]) + self.row_cost * float(rows.sum())
        return float(self.values[rows].sum()) / cost if cost > 0 else 0.0

    def share(self, taken: Taken) -> float:
        """Give the share of the values that can be won that these groups win."""
        whole = float(self.values[self.everything[1] >= 0].sum())
        return float(self.values[taken[1] >= 0].sum()) / whole if whole > 0 else 1.0


def best_rate(market: Market) -> tuple[Taken, float]:
    """Give what to take for the highest value per cost, and the price at which it is the best."""
    taken, price = market.everything, 0.0
    for _ in range(_TURNS):
        rate = market.worth(taken)
        if rate <= price + _GAIN:
            break
        price = rate
        better = at_price(market, price, market.rounds // (_TURNS // 2))
        if market.worth(better) > rate:
            taken = better
    return taken, price


def covering_enough(market: Market, taken: Taken, price: float, least: float) -> Taken:
    """Lower the price until so large a share of the values is taken; at 0 all that can be is."""
    if market.share(taken) >= least - _GAIN:
        return taken
    low, high = 0.0, price
    best = market.everything
    for _ in range(_TURNS):
        middle = (low + high) / 2
        taken = at_price(market, middle, market.rounds // _TURNS)
        if market.share(taken) >= least - _GAIN:
            low, best = middle, taken
        else:
            high = middle
    return best


def at_price(market: Market, price: float, rounds: int) -> Taken:
    """Give the groups that are worth most at a price: searched anew, or of all groups those that pay."""
    if price <= 0:
        return market.everything
    prizes, cost = market.values - price * market.row_cost, price * market.group_cost
    places = market.search.best(np.maximum(prizes, 0.0), cost, [market.everything[0]], rounds)

    def net(taken: Taken) -> float:
        return float(prizes[taken[1] >= 0].sum()) - cost * len(taken[0])

    return max(market.settle(places, prizes > 0), _those_that_pay(market.everything, prizes, cost), key=net)


def _those_that_pay(taken: Taken, prizes: NDArray[np.float64], cost: float) -> Taken:
    places, groups = taken
    won = np.bincount(groups[groups >= 0], prizes[groups >= 0], minlength=len(places))
    paying = won > cost
    renumber = np.append(np.where(paying, np.cumsum(paying) - 1, -1), -1)  # rows in no group look at the last
    return places[paying], renumber[groups]
