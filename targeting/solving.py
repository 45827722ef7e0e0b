"""The places for the groups of one connected part: fewest, all holes reached, none too small, then shortest shifts.

The smallest cover is searched for (`cover`), proven where that is quick, shifted to where its shifts are short and its
holes assigned (`assignment`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .assignment import NOT_GROUPED, Reach, nearest_groups, shorter_shifts, sized_groups, total_shift_um
from .cover import CoverProblem, Indices, least_possible, search_cover, smaller_cover
from .side_by_side import search_covers, steps_in

_ONE_SQUARE = 150
_MANY = 8
_STEPS_PER_S = 15_000
_FEWEST_STEPS = 200
_FIRST_ANSWER_S = 0.02
_MORE_COVERS = 5
_NODES = 100
_ROUNDS = 4
_RATINGS = 60_000
_DOMINATED_IN_FULL = 12_000


@dataclass(frozen=True, slots=True)
class Solved:
    """Answer for one part: centres, for each hole its place among them or `NOT_GROUPED`, bound, whether proven."""

    centres: Indices
    groups: Indices
    bound: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One part to be grouped.

    Attributes
    ----------
    reach
        Shift from every hole (row) to every place (column), inf where it is not reached.
    home
        For each place the row of the hole that stands there, negative where none does.
    """

    reach: Reach
    home: Indices


@dataclass(frozen=True, slots=True)
class _Cover:
    """The cover problem of a table: its coverable rows, the places worth trying, the shifts between them."""

    rows: Indices
    candidates: Indices
    inner: Reach
    problem: CoverProblem


def solve(table: Table, smallest: int, seconds: float, rng: Generator) -> Solved:
    """Group one part; holes with too few others in reach of any centre are left out before the search.

    Parameters
    ----------
    seconds
        How long to search, turned into steps at a fixed rate.
    """
    cover = _cover(table, smallest)
    if isinstance(cover, Solved):
        return cover
    chosen, bound = fewest(cover.problem, seconds, rng)
    return _finished(table, cover, chosen, bound, smallest, seconds, rng)


def solve_together(tables: Sequence[Table], smallest: int, seconds: float, rng: Generator) -> list[Solved]:
    """Group many parts, none joined to another; side by side where there are many and little time for each."""
    holes = sum(len(table.reach) for table in tables)
    if len(tables) < _MANY or not _hurried(holes, seconds):
        return [solve(table, smallest, seconds * len(table.reach) / holes, rng) for table in tables]
    covers = [_cover(table, smallest) for table in tables]
    asked = [cover for cover in covers if isinstance(cover, _Cover)]
    found = iter(fewest_together([cover.problem for cover in asked], seconds, rng))
    return [
        cover if isinstance(cover, Solved) else _finished(table, cover, *next(found), smallest, 0.0, rng)
        for table, cover in zip(tables, covers, strict=True)
    ]


def fewest_together(problems: Sequence[CoverProblem], seconds: float, rng: Generator) -> list[tuple[Indices, int]]:
    """Give a smallest cover found and the lower bound of each, searched side by side with others of about its size."""
    bounds = [int(np.ceil(least_possible(problem, quick=True) - 1e-6)) for problem in problems]
    entries = np.array([len(problem.covers) for problem in problems], dtype=np.float64)
    found: list[tuple[Indices, int]] = [(np.zeros(0, dtype=np.intp), 0)] * len(problems)
    sizes = np.ceil(np.log2(np.maximum(entries, 1.0)))
    for size in np.unique(sizes):
        those = np.flatnonzero(sizes == size).tolist()
        some = [problems[place] for place in those]
        steps = steps_in(some, seconds * float(entries[those].sum() / entries.sum()))
        answers = search_covers(some, rng, steps=steps, enough=[bounds[place] for place in those])
        for place, answer in zip(those, answers, strict=True):
            found[place] = (answer, bounds[place])
    return found


def _cover(table: Table, smallest: int) -> "_Cover | Solved":
    """Make the cover problem of a table, or its answer where there is nothing to search."""
    if len(table.reach) == 1 and smallest == 1:
        return Solved(np.argmin(table.reach, axis=1), np.zeros(1, dtype=np.intp), 1, True)
    wide = np.isfinite(table.reach).sum(axis=0) >= smallest
    rows = np.flatnonzero(np.isfinite(table.reach[:, wide].min(axis=1, initial=np.inf)))
    if rows.size == 0:
        return Solved(np.zeros(0, dtype=np.intp), np.full(len(table.reach), NOT_GROUPED), 0, True)
    candidates = _worth_trying(table.reach[rows], table.home, np.flatnonzero(wide))
    inner = table.reach[np.ix_(rows, candidates)]
    return _Cover(rows, candidates, inner, problem_of(inner))


def _finished(
    table: Table, cover: _Cover, chosen: Indices, bound: int, smallest: int, seconds: float, rng: Generator
) -> Solved:
    """Shorten the shifts of a cover, assign the holes, keep to the smallest size."""
    centres = cover.candidates[_shortest(cover.inner, cover.problem, chosen, seconds, rng)]
    if smallest == 1:
        return Solved(centres, nearest_groups(table.reach, centres), bound, bound == len(centres))
    wide = np.isfinite(table.reach).sum(axis=0) >= smallest
    reach = np.where(wide[None, :], table.reach, np.inf)
    centres, groups = _sized(reach, table.home, centres, smallest, cover.rows, seconds)
    grouped = np.flatnonzero(groups != NOT_GROUPED)
    complete = grouped.size == cover.rows.size
    if not complete:
        left = problem_of(reach[np.ix_(grouped, cover.candidates)]) if grouped.size else None
        bound = bound_of(left, seconds) if left is not None else 0
    return Solved(centres, groups, bound, complete and bound == len(centres))


def problem_of(reach: Reach) -> CoverProblem:
    """Give the cover problem of a table of shifts."""
    return CoverProblem.of([np.flatnonzero(column) for column in np.isfinite(reach).T], len(reach))


def fewest(problem: CoverProblem, seconds: float, rng: Generator) -> tuple[Indices, int]:
    """Give a smallest cover found and the lower bound."""
    holes = len(problem.coverers)
    least = least_possible(problem, quick=_hurried(holes, seconds))
    bound = int(np.ceil(least - 1e-6))
    steps = max(int(seconds * _STEPS_PER_S), _FEWEST_STEPS if seconds > 0 else 0)
    best = search_cover(problem, rng, steps=steps, enough=bound)
    if len(best) > bound and _provable(holes, len(best) - 1 - least, seconds):
        smaller, settled = smaller_cover(problem, len(best), _NODES)
        best = best if smaller is None else smaller
        bound = len(best) if settled else bound
    return best, bound


def _worth_trying(reach: Reach, home: Indices, candidates: Indices) -> Indices:
    """Leave out places that reach no more than another; of equal ones the first with the shortest shifts stays.

    Places at holes stay, unless there are places elsewhere to choose from.
    """
    if (home[candidates] >= 0).all() or candidates.size > _DOMINATED_IN_FULL:
        return candidates
    inside = np.isfinite(reach[:, candidates])
    sums = np.where(inside, reach[:, candidates], 0.0).sum(axis=0)
    order = np.lexsort((sums, -inside.sum(axis=0)))
    packed = np.packbits(inside[:, order], axis=0)
    _, first = np.unique(packed, axis=1, return_index=True)
    order = order[np.sort(first)]
    kept = inside[:, order].astype(np.float32)
    shared = kept.T @ kept
    sizes = kept.sum(axis=0)
    within = np.triu(shared >= sizes[None, :], 1).any(axis=0)  # an earlier one, at least as large, holds all of it
    return np.sort(candidates[order[~within]])


def _shortest(reach: Reach, problem: CoverProblem, cover: Indices, seconds: float, rng: Generator) -> Indices:
    """Shorten the shifts of a cover; on one square, with time, also of others as small, and give the best."""
    if _hurried(len(reach), seconds):
        return shorter_shifts(reach, cover, 1)
    covers = [cover]
    for _ in range(_MORE_COVERS if len(reach) <= _ONE_SQUARE else 0):
        another = search_cover(problem, rng, steps=_FEWEST_STEPS, enough=len(cover))
        covers += [another] if len(another) == len(cover) else []
    shortened = [shorter_shifts(reach, one, _ROUNDS) for one in covers]
    return min(shortened, key=lambda one: total_shift_um(reach, one, nearest_groups(reach, one)))


def bound_of(problem: CoverProblem, seconds: float) -> int:
    """Give a number of candidates below which there is no cover; where there is little time, one quickly seen."""
    return int(np.ceil(least_possible(problem, quick=_hurried(len(problem.coverers), seconds)) - 1e-6))


def _hurried(holes: int, seconds: float) -> bool:
    """Say whether the first answer is all there is time for."""
    return seconds * _ONE_SQUARE < _FIRST_ANSWER_S * 2 * holes


def _provable(holes: int, slack: float, seconds: float) -> bool:
    """Say whether a proof is quick: few holes and a linear program close below; with time to spend, for a whole square.

    Measured: up to 0.1 s within the first rule, seconds beyond it.
    """
    quick = holes <= 100 and holes * max(slack, 0.0) <= 20 and not _hurried(holes, seconds)
    return quick or (holes <= _ONE_SQUARE and seconds >= 1)


def _sized(
    reach: Reach, home: Indices, centres: Indices, smallest: int, coverable: Indices, seconds: float
) -> tuple[Indices, Indices]:
    """Make groups of at least the smallest size, then take in left-out holes while another set of centres allows it."""
    rating, centres, groups = _rated(reach, home, centres, smallest)
    budget = 0 if _hurried(len(reach), seconds) else min(_RATINGS // len(reach), 400)
    while budget > 0:
        left = coverable[groups[coverable] == NOT_GROUPED]
        trials = _variants(reach, centres, left)[:budget]
        budget -= len(trials)
        rated = (_rated(reach, home, trial, smallest) for trial in trials)
        better = min(rated, key=lambda option: option[0], default=None)
        if better is None or better[0] >= rating:
            break
        rating, centres, groups = better
    return centres, groups


def _rated(
    reach: Reach, home: Indices, centres: Indices, smallest: int
) -> tuple[tuple[int, int, float], Indices, Indices]:
    kept, groups = sized_groups(reach, home, centres, smallest)
    left = int((groups == NOT_GROUPED).sum())
    return (left, kept.size, round(total_shift_um(reach, kept, groups), 6)), kept, groups


def _variants(reach: Reach, centres: Indices, left: Indices) -> list[Indices]:
    """Give sets of centres with one more, or one moved, that reach a left-out hole."""
    options = np.setdiff1d(np.flatnonzero(np.isfinite(reach[left]).any(axis=0)), centres)
    trials = []
    for option in options.tolist():
        trials.append(np.append(centres, option))
        # those that may be in the way: they reach a hole the new one reaches
        ours = np.flatnonzero(np.isfinite(reach[:, option]))
        near = np.flatnonzero(np.isfinite(reach[np.ix_(ours, centres)]).any(axis=0))
        trials += [np.append(np.delete(centres, place), option) for place in near.tolist()]
    return trials
