"""Fewest discs that cover all holes: weighted local search, with a bound from the linear program and an exact proof.

A cover problem has rows (holes to be covered) and candidates (places a group may stand, each covering some rows). The
search keeps weights on the rows: a row that stays uncovered grows heavier until a candidate covering it comes in (row
weighting after Gao, Weise and Li, 2015, "An efficient local search heuristic with row weighting for the unicost set
covering problem"). Its work is counted in steps, never in seconds, so that the same problem has the same answer on
every host.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

Indices = NDArray[np.intp]

_LARGEST_PROGRAM = 1500


@dataclass(frozen=True, slots=True)
class CoverProblem:
    """Which candidate covers which rows. ``covers[s]`` are rows, ``coverers[r]`` candidates; no row is without one."""

    covers: tuple[Indices, ...]
    coverers: tuple[Indices, ...]

    @classmethod
    def of(cls, covers: Sequence[Indices], rows: int) -> "CoverProblem":
        """Build from the rows of each candidate; raises ValueError for a row that none covers."""
        candidates = np.repeat(np.arange(len(covers)), [len(covered) for covered in covers])
        flat = np.concatenate([np.asarray(covered, dtype=np.intp) for covered in covers])
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=rows)
        if rows and counts.min() == 0:
            raise ValueError(f"no candidate covers row {int(np.argmin(counts))}")
        coverers = np.split(candidates[order], np.cumsum(counts)[:-1])
        return cls(tuple(covers), tuple(coverers))

    def matrix(self) -> csr_array:
        """Give the rows × candidates incidence matrix."""
        lengths = [len(coverers) for coverers in self.coverers]
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        columns = np.concatenate(self.coverers)
        return csr_array((np.ones(len(columns)), columns, pointers), shape=(len(self.coverers), len(self.covers)))


def least_possible(problem: CoverProblem, *, quick: bool = False) -> float:
    """Give a number that no cover goes below: the optimum of the linear program, or what is quickly seen.

    Quickly seen are two feasible solutions of the dual program: rows no two of which share a candidate, each worth 1;
    and every row worth the share it has in its widest candidate.
    """
    if quick or len(problem.coverers) > _LARGEST_PROGRAM:
        return max(float(_packed_rows(problem)), _shares(problem))
    matrix = problem.matrix()
    rule = LinearConstraint(matrix, 1, np.inf)
    answer = milp(np.ones(matrix.shape[1]), constraints=rule, bounds=Bounds(0, 1))  # nothing integral: the relaxation
    return float(answer.fun) if answer.status == 0 else least_possible(problem, quick=True)


def _shares(problem: CoverProblem) -> float:
    sizes = np.array([len(covered) for covered in problem.covers])
    return float(sum(1.0 / sizes[coverers].max() for coverers in problem.coverers))


def _packed_rows(problem: CoverProblem) -> int:
    free, packed = np.ones(len(problem.covers), dtype=bool), 0
    for coverers in sorted(problem.coverers, key=len):
        if free[coverers].all():
            free[coverers] = False
            packed += 1
    return packed


def smaller_cover(problem: CoverProblem, than: int, nodes: int) -> tuple[Indices | None, bool]:
    """Ask HiGHS for a cover of fewer than ``than`` candidates.

    Parameters
    ----------
    nodes
        Most nodes of the search tree; a limit in seconds would make the answer depend on the host.

    Returns
    -------
    tuple
        The smaller cover or None, and whether the question is settled: ``(None, True)`` proves ``than`` the optimum.
    """
    matrix = problem.matrix()
    ones = np.ones(matrix.shape[1])
    rules = [LinearConstraint(matrix, 1, np.inf), LinearConstraint(ones[None, :], -np.inf, than - 1)]
    whole = np.ones(matrix.shape[1], dtype=np.int64)
    answer = milp(ones, constraints=rules, integrality=whole, bounds=Bounds(0, 1), options={"node_limit": nodes})
    if answer.x is not None:
        chosen = np.flatnonzero(np.asarray(answer.x) > 0.5)
        return chosen, answer.status == 0
    return None, answer.status == 2


def search_cover(problem: CoverProblem, rng: Generator, *, steps: int, enough: int = 0) -> Indices:
    """Search a cover with few candidates; greedy first, then local search.

    Parameters
    ----------
    rng
        Breaks ties and picks the row to mend.
    steps
        Most exchanges tried.
    enough
        Stop at a cover of so few (a lower bound).

    Returns
    -------
    Indices
        Candidates of the smallest cover met, sorted.
    """
    search = _Search(problem, rng)
    search.cover_greedily()
    best = search.chosen()
    for step in range(1, steps + 1):
        while search.uncovered == 0:
            best = search.chosen()
            if len(best) <= enough:
                return best
            search.remove(search.cheapest(), step)
        search.exchange(step)
    return search.chosen() if search.uncovered == 0 else best


class _Search:
    """State of the local search, changed by adding and removing candidates.

    ``gain`` is the weight of uncovered rows a candidate outside would cover, ``loss`` that of the rows only it covers
    for one inside. ``covering`` sums the candidates covering a row, so that it names the one when the count is 1.
    """

    def __init__(self, problem: CoverProblem, rng: Generator) -> None:
        rows, candidates = len(problem.coverers), len(problem.covers)
        self._covers, self._coverers, self._rng = problem.covers, problem.coverers, rng
        longest = max(len(coverers) for coverers in problem.coverers)
        self._padded = np.full((rows, longest), candidates, dtype=np.intp)  # the last slot of gain takes the padding
        for row, coverers in enumerate(problem.coverers):
            self._padded[row, : len(coverers)] = coverers
        self._weight = np.ones(rows)
        self._count = np.zeros(rows, dtype=np.intp)
        self._covering = np.zeros(rows, dtype=np.intp)
        self._gain = np.zeros(candidates + 1)
        self._gain[:-1] = [len(covered) for covered in problem.covers]
        self._loss = np.zeros(candidates)
        self._inside = np.zeros(candidates, dtype=bool)
        self._moved_at = np.zeros(candidates)
        self._barred = -1
        self.uncovered = rows

    def chosen(self) -> Indices:
        return np.flatnonzero(self._inside)

    def cover_greedily(self) -> None:
        while self.uncovered:
            ties = self._rng.random(len(self._loss)) * 0.5
            self.add(int(np.argmax(self._gain[:-1] + ties)), 0)

    def cheapest(self) -> int:
        """Give the chosen candidate whose removal loses least weight, among equals the one longest inside."""
        inside = self.chosen()
        free = inside[inside != self._barred] if len(inside) > 1 else inside
        losses = self._loss[free]
        ties = free[losses == losses.min()]
        return int(ties[np.argmin(self._moved_at[ties])])

    def exchange(self, step: int) -> None:
        """Take the cheapest candidate out, put in the best one for a random uncovered row, make the rest heavier."""
        out = self.cheapest()
        self.remove(out, step)
        bare = np.flatnonzero(self._count == 0)
        row = int(bare[int(self._rng.random() * len(bare))])
        options = self._coverers[row]
        options = options[options != out] if len(options) > 1 else options
        gains = self._gain[options]
        ties = options[gains == gains.max()]
        self._barred = int(ties[np.argmin(self._moved_at[ties])])
        self.add(self._barred, step)
        bare = bare[self._count[bare] == 0]
        self._weight[bare] += 1
        np.add.at(self._gain, self._padded[bare].ravel(), 1.0)

    def add(self, candidate: int, step: int) -> None:
        rows = self._covers[candidate]
        counts = self._count[rows] + 1
        self._count[rows] = counts
        fresh, doubled = rows[counts == 1], rows[counts == 2]
        if doubled.size:
            np.subtract.at(self._loss, self._covering[doubled], self._weight[doubled])
        self._covering[rows] += candidate
        self._loss[candidate] = self._weight[fresh].sum()
        self._change_gain(fresh, -1.0)
        self.uncovered -= fresh.size
        self._inside[candidate], self._moved_at[candidate] = True, step

    def remove(self, candidate: int, step: int) -> None:
        rows = self._covers[candidate]
        counts = self._count[rows] - 1
        self._count[rows] = counts
        self._covering[rows] -= candidate
        bare, single = rows[counts == 0], rows[counts == 1]
        if single.size:
            np.add.at(self._loss, self._covering[single], self._weight[single])
        self._change_gain(bare, 1.0)
        self.uncovered += bare.size
        self._inside[candidate], self._moved_at[candidate] = False, step

    def _change_gain(self, rows: Indices, sign: float) -> None:
        if rows.size:
            weights = np.repeat(sign * self._weight[rows], self._padded.shape[1])
            np.add.at(self._gain, self._padded[rows].ravel(), weights)
