"""Groups for any number of holes: part by part, and parts too large for one table of shifts window by window.

A large part is cut into windows that are solved on their own; then a second set of windows is laid across the seams,
and in each the groups that only serve its inside are replaced where fewer do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.sparse import csr_array

from .assignment import NOT_GROUPED
from .cover import Indices
from .points import Points
from .reach import Reached, dense
from .solving import Solved, Table, bound_of, fewest_together, problem_of, solve_together

_ONE_TABLE = 1000
_WINDOW = 400
_SEAM_SHARE = 0.4
_LEANS = (0.31, 0.43)


@dataclass(frozen=True, slots=True)
class Grouped:
    """Answer for all holes: the places of the groups, for each hole its place among them or `NOT_GROUPED`."""

    centres: Indices
    groups: Indices
    bound: int
    exact: bool


def group_all(reached: Reached, where: Points, smallest: int, seconds: float, rng: Generator) -> Grouped:
    """Group all holes.

    Parameters
    ----------
    where
        The holes, (n, 2), in which the windows are cut.
    seconds
        How long to search, shared among the parts by their holes; counted in steps.
    """
    matrix = reached.by_row()
    groups = np.full(reached.holes, NOT_GROUPED, dtype=np.intp)
    centres: list[Indices] = []
    bound, exact, count = 0, True, 0
    for rows, solved in _solved_parts(reached, matrix, where, smallest, seconds, rng):
        grouped = solved.groups != NOT_GROUPED
        groups[rows[grouped]] = solved.groups[grouped] + count
        centres.append(solved.centres)
        count += solved.centres.size
        bound, exact = bound + solved.bound, exact and solved.exact
    return Grouped(np.concatenate([np.zeros(0, dtype=np.intp), *centres]), groups, bound, exact)


def fewest_for(reached: Reached, rows: Indices, seconds: float) -> int:
    """Give a number of groups below which no plan reaches all of these rows; places may reach others besides.

    Parameters
    ----------
    seconds
        How long was searched; where it was little the bound is one that is quickly seen.
    """
    matrix = reached.by_row()
    bound = 0
    for own, _ in reached.parts():
        asked = own[np.isin(own, rows)]
        if asked.size > _ONE_TABLE:
            bound += int(np.ceil(_shares(matrix, asked) - 1e-6))
        elif asked.size:
            table = dense(matrix, asked, np.unique(matrix[asked].indices))
            bound += bound_of(problem_of(table), seconds * asked.size / rows.size)
    return bound


def _solved_parts(
    reached: Reached, matrix: csr_array, where: Points, smallest: int, seconds: float, rng: Generator
) -> Iterator[tuple[Indices, Solved]]:
    """Solve what fits one table together, larger parts each in windows; centres are numbers of places of the whole."""
    parts = reached.parts()
    small = [(rows, places) for rows, places in parts if rows.size <= _ONE_TABLE]
    share = seconds * sum(rows.size for rows, _ in small) / max(reached.holes, 1)
    yield from _solved_together(reached, matrix, small, smallest, share, rng)
    for rows, _ in parts:
        if rows.size > _ONE_TABLE:
            yield rows, _windowed(reached, matrix, rows, where, smallest, seconds * rows.size / reached.holes, rng)


def _solved_together(
    reached: Reached,
    matrix: csr_array,
    parts: Sequence[tuple[Indices, Indices]],
    smallest: int,
    seconds: float,
    rng: Generator,
) -> Iterator[tuple[Indices, Solved]]:
    tables = [_table(reached, matrix, rows, places) for rows, places in parts]
    for (rows, places), solved in zip(parts, solve_together(tables, smallest, seconds, rng), strict=True):
        yield rows, Solved(places[solved.centres], solved.groups, solved.bound, solved.exact)


def _table(reached: Reached, matrix: csr_array, rows: Indices, places: Indices) -> Table:
    home = reached.home[places]
    inside = np.searchsorted(rows, home)
    inside[inside == rows.size] = 0
    return Table(dense(matrix, rows, places), np.where((home >= 0) & (rows[inside] == home), inside, -1))


def _windowed(
    reached: Reached, matrix: csr_array, rows: Indices, where: Points, smallest: int, seconds: float, rng: Generator
) -> Solved:
    """Solve a part in windows; with a smallest size every window keeps to its own holes."""
    groups = np.full(rows.size, NOT_GROUPED, dtype=np.intp)
    windows = list(_cut(where[rows], _WINDOW))
    parts = [(rows[window], _places_for(reached, matrix, rows[window])) for window in windows]
    own = seconds if smallest > 1 else seconds * (1 - _SEAM_SHARE)
    centres: list[int] = []
    for window, (_, solved) in zip(windows, _solved_together(reached, matrix, parts, smallest, own, rng), strict=True):
        grouped = solved.groups != NOT_GROUPED
        groups[window[grouped]] = solved.groups[grouped] + len(centres)
        centres += solved.centres.tolist()
    chosen = np.array(centres, dtype=np.intp)
    least = int(np.ceil(_shares(matrix, rows[groups != NOT_GROUPED]) - 1e-6))
    if smallest == 1:
        chosen = _mended(reached, matrix, rows, where, chosen, seconds * _SEAM_SHARE, rng)
        used, groups = np.unique(_nearest(matrix, rows, chosen), return_inverse=True)
        chosen = chosen[used]
    return Solved(chosen, groups, least, least == len(chosen))


def _cut(where: Points, most: int, lean: float = 0.5) -> Iterator[Indices]:
    """Cut across the longer side, at the median or where ``lean`` says first, until no window holds too many."""
    waiting = [(np.arange(len(where), dtype=np.intp), lean)]
    while waiting:
        rows, share = waiting.pop()
        if rows.size <= most:
            yield rows
            continue
        axis = int(np.argmax(np.ptp(where[rows], axis=0)))
        order = rows[np.lexsort((where[rows, 1 - axis], where[rows, axis]))]
        at = int(rows.size * share)
        waiting += [(np.sort(order[:at]), 0.5), (np.sort(order[at:]), 0.5 if share == 0.5 else share)]


def _places_for(reached: Reached, matrix: csr_array, rows: Indices) -> Indices:
    """Give the places that reach some of the rows, without those at home with other rows."""
    parts = [matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]] for row in rows.tolist()]
    places = np.unique(np.concatenate(parts))
    home = reached.home[places]
    return np.asarray(places[(home < 0) | np.isin(home, rows)], dtype=np.intp)


def _mended(
    reached: Reached, matrix: csr_array, rows: Indices, where: Points, chosen: Indices, seconds: float, rng: Generator
) -> Indices:
    """Lay windows across the seams, twice; replace the groups inside each by fewer where there are."""
    by_place = csr_array(matrix.T.tocsr())
    for lean in _LEANS:
        window_of = np.full(reached.holes, -1, dtype=np.intp)
        windows = [rows[window] for window in _cut(where[rows], _WINDOW, lean)]
        for number, window in enumerate(windows):
            window_of[window] = number
        inside = np.array([_only(window_of[_rows_of(by_place, place)]) for place in chosen.tolist()])
        count = np.zeros(reached.holes, dtype=np.intp)
        for place in chosen[inside < 0].tolist():
            count[_rows_of(by_place, place)] += 1
        asked = []
        for number, window in enumerate(windows):
            free = window[count[window] == 0]
            if free.size and (inside == number).sum() > 1:
                places = _places_for(reached, matrix, window)
                table = dense(matrix, free, places)
                some = np.isfinite(table).any(axis=0)
                asked.append((number, places[some], problem_of(table[:, some])))
        found = fewest_together([problem for _, _, problem in asked], seconds / len(_LEANS), rng) if asked else []
        for (number, places, _), (cover, _) in zip(asked, found, strict=True):
            if len(cover) < (inside == number).sum():
                stay = inside != number
                chosen = np.concatenate([chosen[stay], places[cover]])
                inside = np.concatenate([inside[stay], np.full(len(cover), -1)])
        chosen = np.sort(chosen)
    return chosen


def _only(windows: Indices) -> int:
    """Give the window that all of some rows lie in, or −1."""
    return int(windows[0]) if windows.size and (windows == windows[0]).all() else -1


def _rows_of(by_place: csr_array, place: int) -> Indices:
    return np.asarray(by_place.indices[by_place.indptr[place] : by_place.indptr[place + 1]], dtype=np.intp)


def _nearest(matrix: csr_array, rows: Indices, chosen: Indices) -> Indices:
    """Give for each row the place among the chosen of the one with the shortest shift."""
    among = np.full(matrix.shape[1], -1, dtype=np.intp)
    among[chosen] = np.arange(chosen.size)
    nearest = np.empty(rows.size, dtype=np.intp)
    for place, row in enumerate(rows.tolist()):
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        options = among[matrix.indices[span]]
        shifts = np.where(options >= 0, matrix.data[span], np.inf)
        nearest[place] = options[int(np.argmin(shifts))]
    return nearest


def _shares(matrix: csr_array, rows: Indices) -> float:
    """Give a bound: every row is worth the share it has in its widest place (feasible in the dual program)."""
    asked = csr_array(matrix[rows])
    sizes = np.bincount(asked.indices, minlength=matrix.shape[1])
    return float(
        sum(1.0 / sizes[places].max() for places in np.split(asked.indices, asked.indptr[1:-1]) if places.size)
    )
