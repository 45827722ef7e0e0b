"""The cover search of `cover`, step by step in many problems at once.

A whole grid is some hundred squares that no group joins. Taken one after the other most time goes into calls on short
arrays; here every call serves all squares. The rules of the search are the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .cover import CoverProblem, Indices

_STEP_S = 2e-4
_STEP_OF_ENTRY_S = 1.2e-8
_COVERED_OFTEN = 1 << 40


def steps_in(problems: Sequence[CoverProblem], seconds: float) -> int:
    """Turn seconds into steps at the rate of an ordinary core: a share for the calls, a share for what they carry."""
    widest = max((len(problem.covers) for problem in problems), default=0)
    return int(seconds / (_STEP_S + _STEP_OF_ENTRY_S * 3 * widest * len(problems)))


def search_covers(
    problems: Sequence[CoverProblem], rng: Generator, *, steps: int, enough: Sequence[int]
) -> list[Indices]:
    """Search a cover with few candidates for each problem; greedy first, then local search.

    Parameters
    ----------
    steps
        Most exchanges tried in each.
    enough
        Stop a problem at a cover of so few (its lower bound).

    Returns
    -------
    list of Indices
        For each problem the candidates of the smallest cover met, sorted.
    """
    search = _Searches(problems, rng)
    search.cover_greedily()
    goal = np.asarray(enough)
    for step in range(1, steps + 1):
        search.keep_covers()
        active = np.flatnonzero(search.best_size > goal)
        if active.size == 0:
            break
        while (whole := active[search.uncovered[active] == 0]).size:
            search.remove(whole, search.cheapest(whole), step)
            search.keep_covers()
        search.exchange(active, step)
    search.keep_covers()
    return search.best()


class _Searches:
    """State of all searches; rows and candidates are numbered through, one past the end is padding."""

    def __init__(self, problems: Sequence[CoverProblem], rng: Generator) -> None:
        self._rng = rng
        self._first_row = np.cumsum([0] + [len(problem.coverers) for problem in problems])
        self._first = np.cumsum([0] + [len(problem.covers) for problem in problems])
        self._rows, self._candidates = int(self._first_row[-1]), int(self._first[-1])
        pairs = list(zip(problems, self._first_row.tolist(), self._first.tolist(), strict=False))
        covers = [rows + first_row for problem, first_row, _ in pairs for rows in problem.covers]
        coverers = [candidates + first for problem, _, first in pairs for candidates in problem.coverers]
        self._covers, self._coverers = _padded(covers, self._rows), _padded(coverers, self._candidates)
        self._row_table = _padded([np.arange(*ends) for ends in _spans(self._first_row)], self._rows)
        self._table = _padded([np.arange(*ends) for ends in _spans(self._first)], self._candidates)
        self._weight = np.append(np.ones(self._rows), 0.0)
        self._count = np.append(np.zeros(self._rows, dtype=np.intp), _COVERED_OFTEN)
        self._covering = np.zeros(self._rows + 1, dtype=np.intp)
        self._gain = np.append([float(len(rows)) for rows in covers], -np.inf)
        self._loss = np.append(np.zeros(self._candidates), np.inf)
        self._inside = np.zeros(self._candidates + 1, dtype=bool)
        self._moved_at = np.zeros(self._candidates + 1)
        self._barred = np.full(len(problems), self._candidates, dtype=np.intp)
        self._best = np.zeros(self._candidates, dtype=bool)
        self.uncovered = np.diff(self._first_row)
        self.best_size = np.full(len(problems), self._candidates + 1)

    def best(self) -> list[Indices]:
        return [np.flatnonzero(self._best[start:end]) for start, end in _spans(self._first)]

    def cover_greedily(self) -> None:
        while (open_ := np.flatnonzero(self.uncovered)).size:
            table = self._table[open_]
            ties = self._rng.random(table.shape) * 0.5
            self.add(open_, table[np.arange(open_.size), np.argmax(self._gain[table] + ties, axis=1)], 0)

    def keep_covers(self) -> None:
        """Keep every cover that is complete and smaller than the one kept."""
        whole = np.flatnonzero(self.uncovered == 0)
        inside = self._inside[self._table[whole]]
        sizes = inside.sum(axis=1)
        better = sizes < self.best_size[whole]
        for problem in whole[better].tolist():
            span = slice(self._first[problem], self._first[problem + 1])
            self._best[span] = self._inside[span]
        self.best_size[whole[better]] = sizes[better]

    def cheapest(self, which: Indices) -> Indices:
        """Give for each problem the chosen candidate whose removal loses least, among equals the longest inside."""
        table = self._table[which]
        losses = np.where(self._inside[table], self._loss[table], np.inf)
        several = np.isfinite(losses).sum(axis=1) > 1
        losses[(table == self._barred[which][:, None]) & several[:, None]] = np.inf
        oldest = np.where(losses == losses.min(axis=1)[:, None], self._moved_at[table], np.inf)
        return np.asarray(table[np.arange(which.size), np.argmin(oldest, axis=1)])

    def exchange(self, which: Indices, step: int) -> None:
        """Take the cheapest candidate out, put in the best one for a random uncovered row, make the rest heavier."""
        out = self.cheapest(which)
        self.remove(which, out, step)
        table = self._row_table[which]
        bare = self._count[table] == 0
        pick = np.floor(self._rng.random(which.size) * bare.sum(axis=1)).astype(np.intp)
        row = table[np.arange(which.size), np.argmax(np.cumsum(bare, axis=1) > pick[:, None], axis=1)]
        options = self._coverers[row]
        gains = self._gain[options]
        alone = (options < self._candidates).sum(axis=1) == 1
        gains[(options == out[:, None]) & ~alone[:, None]] = -np.inf
        oldest = np.where(gains == gains.max(axis=1)[:, None], self._moved_at[options], np.inf)
        self._barred[which] = options[np.arange(which.size), np.argmin(oldest, axis=1)]
        self.add(which, self._barred[which], step)
        left = table[bare]
        left = left[self._count[left] == 0]
        self._weight[left] += 1
        np.add.at(self._gain, self._coverers[left].ravel(), 1.0)

    def add(self, which: Indices, candidates: Indices, step: int) -> None:
        rows = self._covers[candidates]
        counts = self._count[rows] + 1
        self._count[rows] = counts
        fresh, doubled = counts == 1, rows[counts == 2]
        np.subtract.at(self._loss, self._covering[doubled], self._weight[doubled])
        self._covering[rows] += candidates[:, None]
        self._loss[candidates] = np.where(fresh, self._weight[rows], 0.0).sum(axis=1)
        self._change_gain(rows[fresh], -1.0)
        self.uncovered[which] -= fresh.sum(axis=1)
        self._inside[candidates], self._moved_at[candidates] = True, step
        self._count[-1] = _COVERED_OFTEN

    def remove(self, which: Indices, candidates: Indices, step: int) -> None:
        rows = self._covers[candidates]
        counts = self._count[rows] - 1
        self._count[rows] = counts
        self._covering[rows] -= candidates[:, None]
        bare, single = counts == 0, rows[counts == 1]
        np.add.at(self._loss, self._covering[single], self._weight[single])
        self._change_gain(rows[bare], 1.0)
        self.uncovered[which] += bare.sum(axis=1)
        self._inside[candidates], self._moved_at[candidates] = False, step
        self._count[-1] = _COVERED_OFTEN

    def _change_gain(self, rows: Indices, sign: float) -> None:
        np.add.at(
            self._gain, self._coverers[rows].ravel(), np.repeat(sign * self._weight[rows], self._coverers.shape[1])
        )


def _padded(lists: Sequence[NDArray[np.intp]], padding: int) -> Indices:
    """Give lists of unequal lengths as the rows of a table, with one more row of padding at the end."""
    lengths = np.array([len(values) for values in lists])
    table = np.full((len(lists) + 1, int(lengths.max())), padding, dtype=np.intp)
    table[np.repeat(np.arange(len(lists)), lengths), np.concatenate([np.arange(n) for n in lengths])] = np.concatenate(
        lists
    )
    return table


def _spans(firsts: NDArray[np.intp]) -> list[tuple[int, int]]:
    ends = firsts.tolist()
    return list(pairwise(ends))
