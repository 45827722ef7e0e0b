"""Groups that together are worth most when each costs something: some holes may be left out.

Greedy first, then groups are added, dropped and exchanged as long as that gains; then some near each other are taken
out at random, at times another put in, the rest filled greedily and mended, and the better set is kept (iterated
greedy, Ruiz and Stützle 2007).
The work is counted in rounds, never timed, so that the same problem has the same answer on any host.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .cover import Indices

_GAIN = 1e-9
_TIE = 1e-6
_TAKEN_OUT = 3
_PUT_IN = 0.5


class PrizeSearch:
    """Places and the rows they cover, each row with a prize that is won once; a place costs the same each.

    Parameters
    ----------
    covers, coverers
        Rows of each place, places of each row.
    """

    def __init__(self, covers: Sequence[Indices], coverers: Sequence[Indices], rng: Generator) -> None:
        self._covers, self._coverers, self._rng = covers, coverers, rng
        self._prizes = np.zeros(len(coverers))
        self._cost = 0.0
        self._clear()

    def _clear(self) -> None:
        self._count = np.zeros(len(self._coverers), dtype=np.intp)
        self._inside = np.zeros(len(self._covers), dtype=bool)
        self._gains = np.zeros(len(self._covers))

    def best(self, prizes: NDArray[np.float64], cost: float, starts: Sequence[Indices], rounds: int) -> Indices:
        """Give the places, sorted, that win most less their costs.

        Parameters
        ----------
        prizes
            Of the rows, 0 or more.
        cost
            Of each place.
        starts
            Sets to begin from; the greedy one is always tried.
        rounds
            How often to take some out and mend.
        """
        self._prizes, self._cost = prizes, cost
        first = [self._settled(start) for start in (*starts, np.zeros(0, dtype=np.intp))]
        worth, chosen = max(first, key=lambda one: one[0])
        self._stand(chosen)
        for _ in range(rounds if chosen.size and len(self._covers) > 1 else 0):
            before = self._inside.copy(), self._count.copy(), self._gains.copy()
            self._disturb()
            now = self._worth()
            if now < worth - _GAIN:
                self._inside, self._count, self._gains = before
            worth = max(now, worth)
        return np.flatnonzero(self._inside)

    def _settled(self, start: Indices) -> tuple[float, Indices]:
        self._stand(start)
        self._mend(start.tolist())
        return self._worth(), np.flatnonzero(self._inside)

    def _stand(self, places: Indices) -> None:
        self._clear()
        for place, rows in enumerate(self._covers):
            self._gains[place] = self._prizes[rows].sum()
        for place in places.tolist():
            self._put(place)

    def _worth(self) -> float:
        return float(self._prizes[self._count > 0].sum()) - self._cost * float(self._inside.sum())

    def _disturb(self) -> None:
        """Take out groups near a random row, put others in, and mend around them.

        Greedy filling alone comes back to the group that gains most; another, put in at random at half of the times,
        is how two that gain more together are found.
        """
        row = int(self._rng.random() * len(self._coverers))
        reaching = self._coverers[row]
        near = np.unique(np.concatenate([self._covers[place] for place in reaching.tolist()]))
        places = np.unique(np.concatenate([self._coverers[one] for one in near.tolist()]))
        standing = places[self._inside[places]]
        out = self._rng.permutation(standing)[:_TAKEN_OUT].tolist()
        for place in out:
            self._take(place)
        others = places[~np.isin(places, standing)]
        entered = self._rng.permutation(others)[:1].tolist() if self._rng.random() < _PUT_IN else []
        for place in entered:
            self._put(place)
        self._mend([*(place for place in standing.tolist() if place not in out), *entered])

    def _mend(self, standing: Sequence[int]) -> None:
        """Add what gains most while anything does; drop and exchange these groups and those added."""
        waiting = [*standing, *self._fill()]
        while waiting:
            place = waiting.pop()
            if self._inside[place]:
                waiting += self._exchanged(place)

    def _fill(self) -> list[int]:
        added: list[int] = []
        while self._gains.size:
            ties = self._rng.random(len(self._gains)) * _TIE
            place = int(np.argmax(self._gains + ties))
            if self._gains[place] <= self._cost + _GAIN:
                return added
            self._put(place)
            added.append(place)
        return added

    def _exchanged(self, place: int) -> list[int]:
        """Take a group out for the best other one near, or for none; give what is to be looked at again."""
        self._take(place)
        rows = self._covers[place]
        bare = rows[self._count[rows] == 0]
        if bare.size == 0:
            return self._fill()
        options = np.unique(np.concatenate([self._coverers[row] for row in bare.tolist()]))
        gains = self._gains[options]
        at = int(np.argmax(gains))
        loss = float(self._gains[place])
        if gains[at] > loss + _GAIN and gains[at] > self._cost + _GAIN:
            self._put(int(options[at]))
            return [int(options[at]), *self._fill()]
        if loss < self._cost - _GAIN:
            return self._fill()
        self._put(place)
        return []

    def _put(self, place: int) -> None:
        rows = self._covers[place]
        fresh = rows[self._count[rows] == 0]
        self._count[rows] += 1
        self._inside[place] = True
        self._change(fresh, -1.0)

    def _take(self, place: int) -> None:
        rows = self._covers[place]
        self._count[rows] -= 1
        self._inside[place] = False
        self._change(rows[self._count[rows] == 0], 1.0)

    def _change(self, rows: Indices, sign: float) -> None:
        for row in rows.tolist():
            self._gains[self._coverers[row]] += sign * self._prizes[row]
