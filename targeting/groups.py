"""Beam-image-shift groups: all holes reached with the fewest stage positions, then with the shortest shifts.

A group has its centre at a hole that is to be exposed and takes holes no farther than the radius. Holes are taken in an
order of their own and split into parts that no group can join; each part is a cover problem (`cover`), its holes are
then assigned to the groups (`assignment`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from ..protocols.errors import BadInput
from .assignment import NOT_GROUPED, Reach, nearest_groups, shorter_shifts, sized_groups, total_shift_um
from .cover import CoverProblem, Indices, least_possible, search_cover, smaller_cover
from .points import Points, as_points, distances
from .records import Group, Grouping

MOST_HOLES = 4000
"""Above this one call would need gigabytes; a square has at most some hundreds of holes."""

_SEED = 20240229
_ONE_SQUARE = 150
_STEPS_PER_S = 15_000
_FEWEST_STEPS = 200
_LIMIT_ONE_SQUARE_S, _LIMIT_MORE_S = 0.12, 1.2
_MORE_COVERS = 5
_NODES = 100
_ROUNDS = 4
_RATINGS = 60_000
_ONE_SPOT_UM = 1e-6


@dataclass(frozen=True, slots=True)
class _Solved:
    """Answer for one part: centres, for each hole its place among them or `NOT_GROUPED`, bound, whether proven."""

    centres: Indices
    groups: Indices
    bound: int
    exact: bool


def group_holes(
    positions_um: ArrayLike,
    *,
    radius_um: float,
    minimum_size: int = 1,
    exposable: Sequence[bool] | NDArray[np.bool_] | None = None,
    time_limit_s: float | None = None,
    rng: Generator | None = None,
) -> Grouping:
    """Group holes so that every exposable one is reached from the fewest stage positions, with the shortest shifts.

    The same holes give the same groups, whatever their order and however busy the host.

    Parameters
    ----------
    positions_um
        Holes, shape (n, 2), stage µm.
    radius_um
        Longest beam-image shift from the group's centre hole; 0 makes each hole its own group.
    minimum_size
        Groups of fewer holes are not made; holes that find no other group are left out.
    exposable
        Which holes may be exposed; the others are neither centres nor members. None means all.
    time_limit_s
        How long to search. It is turned into a number of search steps at a fixed rate, so that the answer does not
        depend on the host; None takes 0.12 up to 150 holes and 1.2 above.
    rng
        Generator of the search; None starts from a fixed seed.

    Returns
    -------
    Grouping
        Groups ordered by their centre's x, then y; members the centre first, then by the length of their shift.
        ``lower_bound`` is for covering the grouped holes.

    Raises
    ------
    BadInput
        Positions that are no finite pairs, two holes on one spot, a radius below 0, a minimum below 1, or a mask of
        another length; above 4000 holes.
    """
    points = _checked(positions_um, radius_um, minimum_size)
    able = _able(exposable, len(points))
    generator = np.random.default_rng(_SEED) if rng is None else rng
    order = np.lexsort((points[:, 1], points[:, 0]))
    order = order[able[order]]
    groups: list[Group] = []
    bound, exact = 0, True
    seconds = _seconds(time_limit_s, len(order))
    for part in _parts(points[order], radius_um):
        holes = order[part]
        solved = _solve(points[holes], radius_um, minimum_size, seconds * len(part) / len(order), generator)
        groups += _made(points, holes, solved)
        bound, exact = bound + solved.bound, exact and solved.exact
    groups.sort(key=lambda group: (group.x_um, group.y_um))
    taken = {member for group in groups for member in group.members}
    return Grouping(tuple(groups), tuple(sorted(set(range(len(points))) - taken)), bound, exact)


def total_shift(positions_um: ArrayLike, grouping: Grouping) -> float:
    """Give the sum in µm of all shifts of a grouping."""
    points = as_points(positions_um, "Holes")
    shifts = [np.hypot(*(points[list(g.members)] - (g.x_um, g.y_um)).T).sum() for g in grouping.groups]
    return float(sum(shifts))


def _checked(positions_um: ArrayLike, radius_um: float, minimum_size: int) -> Points:
    points = as_points(positions_um, "Holes")
    if not (np.isfinite(radius_um) and radius_um >= 0):
        raise BadInput(
            f"The beam-image-shift radius is {radius_um} µm; give 0 for each hole alone, or a length above it."
        )
    if minimum_size < 1:
        raise BadInput(f"The smallest group cannot have {minimum_size} holes; give 1 or more.")
    if len(points) > MOST_HOLES:
        raise BadInput(
            f"{len(points)} holes are more than the {MOST_HOLES} grouped at once; group them square by square."
        )
    if len(points) > 1:
        near = KDTree(points).query_pairs(_ONE_SPOT_UM)
        if near:
            first, second = min(near)
            x, y = points[first]
            raise BadInput(
                f"Holes {first} and {second} (counted from 0) stand on one spot, ({x:g}, {y:g}) µm; keep one."
            )
    return points


def _able(exposable: Sequence[bool] | NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    if exposable is None:
        return np.ones(count, dtype=bool)
    able = np.asarray(exposable, dtype=bool)
    if able.shape != (count,):
        raise BadInput(f"The mask of exposable holes has the shape {able.shape}; there are {count} holes.")
    return able


def _seconds(time_limit_s: float | None, holes: int) -> float:
    if time_limit_s is None:
        return _LIMIT_ONE_SQUARE_S if holes <= _ONE_SQUARE else _LIMIT_MORE_S
    if not time_limit_s >= 0:
        raise BadInput(f"The time limit of the grouping is {time_limit_s} s; give 0 or more.")
    return min(time_limit_s, 1e4)


def _parts(points: Points, radius_um: float) -> list[Indices]:
    """Split holes into parts with no two holes of different parts in reach of each other."""
    if len(points) == 0:
        return []
    pairs = KDTree(points).query_pairs(max(radius_um * (1 + 1e-9), _ONE_SPOT_UM), output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(points), len(points)))
    number, labels = connected_components(links, directed=False)
    return [np.flatnonzero(labels == label) for label in range(number)]


def _solve(points: Points, radius_um: float, smallest: int, seconds: float, rng: Generator) -> _Solved:
    """Group one part; holes with too few others in reach of any centre are left out before the search."""
    if len(points) == 1 and smallest == 1:
        return _Solved(np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.intp), 1, True)
    gaps = distances(points, points)
    reach = np.where(gaps <= radius_um, gaps, np.inf)
    wide = np.isfinite(reach).sum(axis=0) >= smallest
    reach[:, ~wide] = np.inf
    coverable = np.isfinite(reach.min(axis=1))
    if not coverable.any():
        return _Solved(np.zeros(0, dtype=np.intp), np.full(len(points), NOT_GROUPED), 0, True)
    rows, candidates = np.flatnonzero(coverable), np.flatnonzero(wide)
    inner = reach[np.ix_(rows, candidates)]
    problem = _problem(inner)
    chosen, bound = _fewest(problem, seconds, rng)
    centres = candidates[_shortest(inner, problem, chosen, rng)]
    if smallest == 1:
        return _Solved(centres, nearest_groups(reach, centres), bound, bound == len(centres))
    centres, groups = _sized(reach, centres, smallest, coverable)
    grouped = np.flatnonzero(groups != NOT_GROUPED)
    complete = grouped.size == rows.size
    if not complete:
        bound = _bound(_problem(reach[np.ix_(grouped, candidates)])) if grouped.size else 0
    return _Solved(centres, groups, bound, complete and bound == len(centres))


def _fewest(problem: CoverProblem, seconds: float, rng: Generator) -> tuple[Indices, int]:
    """Give a smallest cover found and the lower bound."""
    holes = len(problem.coverers)
    least = least_possible(problem)
    bound = int(np.ceil(least - 1e-6))
    best = search_cover(problem, rng, steps=max(int(seconds * _STEPS_PER_S), _FEWEST_STEPS), enough=bound)
    if len(best) > bound and _provable(holes, len(best) - 1 - least, seconds):
        smaller, settled = smaller_cover(problem, len(best), _NODES)
        best = best if smaller is None else smaller
        bound = len(best) if settled else bound
    return best, bound


def _shortest(reach: Reach, problem: CoverProblem, cover: Indices, rng: Generator) -> Indices:
    """Shorten the shifts of a cover; on one square also of others as small, and give the best."""
    covers = [cover]
    for _ in range(_MORE_COVERS if len(reach) <= _ONE_SQUARE else 0):
        another = search_cover(problem, rng, steps=_FEWEST_STEPS, enough=len(cover))
        covers += [another] if len(another) == len(cover) else []
    shortened = [shorter_shifts(reach, one, _ROUNDS) for one in covers]
    return min(shortened, key=lambda one: total_shift_um(reach, one, nearest_groups(reach, one)))


def _problem(reach: Reach) -> CoverProblem:
    return CoverProblem.of([np.flatnonzero(column) for column in np.isfinite(reach).T], len(reach))


def _bound(problem: CoverProblem) -> int:
    return int(np.ceil(least_possible(problem) - 1e-6))


def _provable(holes: int, slack: float, seconds: float) -> bool:
    """Say whether a proof is quick: few holes and a linear program close below; with time to spend, for a whole square.

    Measured: up to 0.1 s within the first rule, seconds beyond it.
    """
    return (holes <= 100 and holes * max(slack, 0.0) <= 20) or (holes <= _ONE_SQUARE and seconds >= 1)


def _sized(reach: Reach, centres: Indices, smallest: int, coverable: NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Make groups of at least the smallest size, then take in left-out holes while another set of centres allows it."""
    rating, centres, groups = _rated(reach, centres, smallest)
    budget = min(_RATINGS // len(reach), 400)
    while budget > 0:
        left = np.flatnonzero(coverable & (groups == NOT_GROUPED))
        trials = _variants(reach, centres, left)[:budget]
        budget -= len(trials)
        better = min((_rated(reach, trial, smallest) for trial in trials), key=lambda option: option[0], default=None)
        if better is None or better[0] >= rating:
            break
        rating, centres, groups = better
    return centres, groups


def _rated(reach: Reach, centres: Indices, smallest: int) -> tuple[tuple[int, int, float], Indices, Indices]:
    kept, groups = sized_groups(reach, centres, smallest)
    left = int((groups == NOT_GROUPED).sum())
    return (left, kept.size, round(total_shift_um(reach, kept, groups), 6)), kept, groups


def _variants(reach: Reach, centres: Indices, left: Indices) -> list[Indices]:
    """Give sets of centres with one more, or one moved, that reach a left-out hole."""
    options = np.setdiff1d(np.flatnonzero(np.isfinite(reach[left]).any(axis=0)), centres)
    trials = []
    for option in options.tolist():
        trials.append(np.append(centres, option))
        near = np.flatnonzero(np.isfinite(reach[centres, option]))
        trials += [np.append(np.delete(centres, place), option) for place in near.tolist()]
    return trials


def _made(points: Points, holes: Indices, solved: _Solved) -> list[Group]:
    made = []
    for place, centre in enumerate(solved.centres.tolist()):
        x_um, y_um = map(float, points[holes[centre]])
        members = holes[np.flatnonzero(solved.groups == place)]
        gaps = points[members] - (x_um, y_um)
        order = np.lexsort((np.arctan2(gaps[:, 1], gaps[:, 0]), np.round(np.hypot(gaps[:, 0], gaps[:, 1]), 3)))
        made.append(Group(x_um, y_um, tuple(members[order].tolist())))
    return made
