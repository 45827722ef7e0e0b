"""Which hole goes with which group, once the places are known: shortest shifts, and no group below the smallest size.

Groups are given by their centres, places that reach some holes. Where a hole that is to be exposed stands at a centre
(its home), it always belongs to that group, so a group never loses the hole its shifts are measured from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Indices = NDArray[np.intp]
Reach = NDArray[np.float64]
"""Shift from each hole (row) to each possible centre (column), inf where it is beyond the radius."""

_FAR = 1e6
_GAIN = 1e-9
NOT_GROUPED = -1


def nearest_groups(reach: Reach, centres: Indices) -> Indices:
    """Give for each hole the place in ``centres`` of its nearest one, `NOT_GROUPED` where none is in reach."""
    shifts = reach[:, centres]
    nearest = np.argmin(shifts, axis=1)
    return np.where(np.isfinite(shifts.min(axis=1)), nearest, NOT_GROUPED)


def sized_groups(reach: Reach, home: Indices, centres: Indices, smallest: int) -> tuple[Indices, Indices]:
    """Assign holes to groups of at least ``smallest`` at the least total shift; drop groups that cannot be filled.

    Each group has ``smallest`` places that must be filled, one of them by the hole at home there; the others are a
    linear assignment of holes in reach. All holes left go to their nearest centre.

    Parameters
    ----------
    home
        For each place (column) the hole (row) that stands there, negative where none does.

    Returns
    -------
    tuple of Indices
        The centres kept, and for each hole its place among them or `NOT_GROUPED`.
    """
    kept = np.array(centres, dtype=np.intp)
    while kept.size:
        groups = nearest_groups(reach, kept)
        at_home = home[kept] >= 0
        groups[home[kept][at_home]] = np.flatnonzero(at_home)
        short = np.bincount(groups[groups >= 0], minlength=kept.size) < smallest
        if not short.any():
            return kept, groups
        filled, groups = _filled(reach, home, kept, groups, smallest)
        if filled.min() >= smallest:
            return kept, groups
        kept = np.delete(kept, int(np.argmin(filled)))
    return kept, np.full(len(reach), NOT_GROUPED, dtype=np.intp)


def _filled(reach: Reach, home: Indices, centres: Indices, groups: Indices, smallest: int) -> tuple[Indices, Indices]:
    """Fill the places of every group; give how many each got and the groups of the holes."""
    at_home = home[centres] >= 0
    others = np.setdiff1d(np.arange(len(reach)), home[centres][at_home])
    nearest = reach[others][:, centres].min(axis=1)
    extra = reach[np.ix_(others, centres)] - np.where(np.isfinite(nearest), nearest, 0.0)[:, None]
    owner = np.repeat(np.arange(centres.size), smallest - at_home)
    costs = np.where(np.isfinite(extra), extra, _FAR)[:, owner]
    holes, places = linear_sum_assignment(costs)
    real = costs[holes, places] < _FAR
    taken = owner[places[real]]
    answer = groups.copy()
    answer[others[holes[real]]] = taken
    return np.bincount(taken, minlength=len(centres)) + at_home, answer


def shorter_shifts(reach: Reach, centres: Indices, rounds: int) -> Indices:
    """Move centres one at a time to where all stay covered and the total shift is least, until none moves.

    Interchange after Teitz and Bart (1968), restricted to covers.
    """
    chosen = list(map(int, centres))
    for _ in range(rounds):
        moved = [_moved_centre(reach, chosen, place) for place in range(len(chosen))]
        if not any(moved):
            break
    return np.array(sorted(chosen), dtype=np.intp)


def _moved_centre(reach: Reach, chosen: list[int], place: int) -> bool:
    """Put one centre where it serves best with the others fixed; say whether it moved."""
    here = chosen[place]
    others = np.array(chosen[:place] + chosen[place + 1 :], dtype=np.intp)
    own = np.flatnonzero(np.isfinite(reach[:, here]))
    without = _least(reach, own, others)
    bare = own[~np.isfinite(without)]
    must = bare if bare.size else own[reach[own, here] < without]
    options = np.setdiff1d(np.flatnonzero(np.isfinite(reach[must]).all(axis=0)), others)
    near = np.flatnonzero(np.isfinite(reach[:, options]).any(axis=1))
    known = _least(reach, near, others)
    base = np.where(np.isfinite(known), known, 0.0)
    totals = (np.minimum(known[:, None], reach[np.ix_(near, options)]) - base[:, None]).sum(axis=0)
    best = int(np.argmin(totals))
    if totals[best] < totals[np.searchsorted(options, here)] - _GAIN:
        chosen[place] = int(options[best])
        return True
    return False


def _least(reach: Reach, rows: Indices, centres: Indices) -> NDArray[np.float64]:
    """Give the shift of each of the rows to its nearest of the centres, inf where none is in reach."""
    least: NDArray[np.float64] = np.min(reach[np.ix_(rows, centres)], axis=1, initial=np.inf)
    return least


def total_shift_um(reach: Reach, centres: Sequence[int] | Indices, groups: Indices) -> float:
    """Give the sum of the shifts of all grouped holes."""
    grouped = np.flatnonzero(groups >= 0)
    return float(reach[grouped, np.asarray(centres, dtype=np.intp)[groups[grouped]]].sum())
