"""A plan for the holes of a square or a grid: groups by every wish, shifts, defocus, aims, and what it is worth.

Steps: holes that are worth nothing or in another's way are set aside (`dose`), pairs of holes and places found
(`reach`), the fewest groups searched (`windows`), what does not pay left out (`prizes`), free centres put amid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ..protocols.errors import BadInput
from .assignment import sized_groups
from .dose import shots_in_hole, spared
from .groups import checked, made, search_s
from .points import Points
from .prize_search import PrizeSearch
from .prizes import Market, Taken, at_price, best_rate, covering_enough
from .reach import Reached, dense, middle_of, reached
from .records import Group
from .tilt import on_specimen, seen, up_the_beam_um
from .windows import Grouped, fewest_for, group_all
from .wishes import Wishes

_SEED = 20240229
_ROUND_S, _ROUND_OF_HOLE_S = 4e-4, 1e-6
_SHARE_OF_PRIZES = 0.4
_LARGEST_TABLE = 2_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Groups, and what they are worth.

    Attributes
    ----------
    groups
        Ordered by their centre's x, then y; members are rows of the input.
    left_out
        For every row that is in no group, why.
    coverage
        Share of the holes of a value above 0 that are in a group.
    lower_bound
        No plan that reaches all the holes which this one reaches has fewer groups. Where holes are left out because
        they do not pay, a plan that reaches others may have fewer.
    exact
        Whether the number of groups is proven the least for these holes.
    good_per_hour
        Good exposures per hour, by the values and the time costs.
    score
        SmartScope's: 100 × coverage − weight × groups.
    shifts_um
        Beam-image shift of each row across the beam, (n, 2), NaN for those left out.
    defocus_um
        What to add to the group's defocus for each row (tilt and height), NaN for those left out.
    aims_um
        Where the shots of each row go on the specimen, (n, shots, 2), NaN for those left out.
    """

    groups: tuple[Group, ...]
    left_out: Mapping[int, str]
    coverage: float
    lower_bound: int
    exact: bool
    good_per_hour: float
    score: float
    shifts_um: Points
    defocus_um: NDArray[np.float64]
    aims_um: NDArray[np.float64]


def plan_groups(
    positions_um: ArrayLike,
    wishes: Wishes,
    *,
    values: ArrayLike | None = None,
    heights_um: ArrayLike | None = None,
    seed: int = _SEED,
) -> Plan:
    """Plan the groups of some holes. The same holes give the same plan, in whatever order they come.

    Parameters
    ----------
    positions_um
        Holes, (n, 2), stage µm as at no tilt.
    values
        Probability of each that its exposure will be good, 0 to 1; 0 is never exposed. None means 1 for all.
    heights_um
        Of each above the eucentric plane; None means 0 for all.

    Raises
    ------
    BadInput
        Positions that are no finite pairs or on one spot, values that are no probabilities, too many holes.
    """
    points = checked(positions_um)
    worth = _values(values, len(points))
    heights = np.zeros(len(points)) if heights_um is None else np.asarray(heights_um, dtype=np.float64)
    order = np.lexsort((points[:, 1], points[:, 0]))
    good, barred = order[worth[order] > 0], order[worth[order] == 0]
    left_out = dict.fromkeys(barred.tolist(), "its value is 0")
    if wishes.beam is not None:
        fits = spared(
            points[good], worth[good], wishes.beam, shots_in_hole(wishes.shots, wishes.beam, wishes.offsets_um)
        )
        left_out |= dict.fromkeys(good[~fits].tolist(), "the beam on a better hole would reach it")
        good = good[fits]
    bad = points[barred] if wishes.bad_centres else np.zeros((0, 2))
    pairs = reached(points[good], bad, heights[good], wishes)
    rng = np.random.default_rng(seed)
    seconds = search_s(wishes.time_limit_s, len(good)) * (1.0 if wishes.least_coverage == 1 else 1 - _SHARE_OF_PRIZES)
    found = group_all(pairs, points[good], wishes.minimum_size, seconds, rng)
    kept = found if wishes.least_coverage == 1 else _paying(pairs, found, worth[good], wishes, rng)
    lone = f"no group of {wishes.minimum_size} or more can be made with it"
    for row, could in zip(good[kept.groups < 0].tolist(), found.groups[kept.groups < 0] >= 0, strict=True):
        left_out[row] = "it does not pay" if could else lone
    found = kept
    groups = made(pairs, points[good], found, good)
    if wishes.centre == "free" and wishes.pattern is None:
        groups = [_in_the_middle(group, points, heights, wishes) for group in groups]
    return plan_of(groups, points, worth, heights, wishes, left_out, found.bound)


def plan_of(
    groups: Sequence[Group],
    points: Points,
    values: NDArray[np.float64],
    heights: NDArray[np.float64],
    wishes: Wishes,
    left_out: Mapping[int, str],
    bound: int,
) -> Plan:
    """Work out shifts, defocus, aims and worth of given groups."""
    shifts, defocus = np.full((len(points), 2), np.nan), np.full(len(points), np.nan)
    up, there = up_the_beam_um(points, wishes.tilt, heights), seen(points, wishes.tilt, heights)
    for group in groups:
        members = list(group.members)
        centre, height = np.array([[group.x_um, group.y_um]]), heights[_nearest(points, group)][None]
        shifts[members] = there[members] - seen(centre, wishes.tilt, height)
        defocus[members] = up[members] - up_the_beam_um(centre, wishes.tilt, height)
    grouped = np.isfinite(defocus)
    good = int((values > 0).sum())
    coverage = float(grouped.sum()) / good if good else 0.0
    costs = wishes.costs
    seconds = costs.arrival_s + costs.group_s * len(groups) + costs.shot_s * wishes.shots * float(grouped.sum())
    aims = points[:, None, :] + shots_in_hole(wishes.shots, wishes.beam, wishes.offsets_um)[None]
    return Plan(
        groups=tuple(sorted(groups, key=lambda group: (group.x_um, group.y_um))),
        left_out=dict(sorted(left_out.items())),
        coverage=coverage,
        lower_bound=bound,
        exact=bound == len(groups),
        good_per_hour=3600 * wishes.shots * float(values[grouped].sum()) / seconds if grouped.any() else 0.0,
        score=100 * coverage - wishes.weight * len(groups),
        shifts_um=shifts,
        defocus_um=defocus,
        aims_um=np.where(grouped[:, None, None], aims, np.nan),
    )


def _values(values: ArrayLike | None, count: int) -> NDArray[np.float64]:
    worth = np.ones(count) if values is None else np.asarray(values, dtype=np.float64)
    if worth.shape != (count,):
        raise BadInput(f"The values have the shape {worth.shape}; there are {count} holes.")
    wrong = np.flatnonzero(~((worth >= 0) & (worth <= 1)))
    if wrong.size:
        raise BadInput(f"The value of hole {wrong[0]} (counted from 0) is {worth[wrong[0]]}; give a share from 0 to 1.")
    return worth


def _paying(pairs: Reached, found: Grouped, values: NDArray[np.float64], wishes: Wishes, rng: Generator) -> Grouped:
    """Leave out groups and holes that do not pay, as far as the least coverage allows."""
    costs = wishes.costs
    by_rate = wishes.objective == "rate"
    by_row = pairs.by_row()
    seconds = search_s(wishes.time_limit_s, pairs.holes)
    market = Market(
        values=values * wishes.shots if by_rate else np.full(values.size, 100.0 / max(values.size, 1)),
        group_cost=costs.group_s if by_rate else wishes.weight,
        row_cost=costs.shot_s * wishes.shots if by_rate else 0.0,
        fixed_cost=costs.arrival_s,
        everything=(found.centres, found.groups),
        search=PrizeSearch(_lists(csr_array(by_row.T.tocsr())), _lists(by_row), rng),
        settle=lambda places, wanted: _settled(pairs, by_row, places, wanted, wishes.minimum_size),
        rounds=int(_SHARE_OF_PRIZES * seconds / (_ROUND_S + _ROUND_OF_HOLE_S * pairs.holes)),
    )
    taken, price = best_rate(market) if by_rate else (at_price(market, 1.0, market.rounds), 1.0)
    places, groups = covering_enough(market, taken, price, wishes.least_coverage)
    bound = fewest_for(pairs, np.flatnonzero(groups >= 0), seconds)
    return Grouped(places, groups, bound, bound == len(places))


def _settled(
    pairs: Reached, by_row: csr_array, places: NDArray[np.intp], wanted: NDArray[np.bool_], smallest: int
) -> Taken:
    """Make groups at some places of the rows that are wanted: the nearest, or as the smallest size needs it."""
    rows = np.flatnonzero(wanted)
    groups = np.full(len(wanted), -1, dtype=np.intp)
    if places.size == 0 or rows.size == 0:
        return np.zeros(0, dtype=np.intp), groups
    if smallest == 1:
        groups[rows] = _nearest_of(by_row, rows, places)
        used, numbers = np.unique(groups[groups >= 0], return_inverse=True)
        groups[groups >= 0] = numbers
        return places[used], groups
    if rows.size * places.size > _LARGEST_TABLE:
        return np.zeros(0, dtype=np.intp), groups  # too many for an assignment at once; whole groups are dropped then
    home = np.searchsorted(rows, pairs.home[places])
    home[home == rows.size] = 0
    home = np.where((pairs.home[places] >= 0) & (rows[home] == pairs.home[places]), home, -1)
    kept, inside = sized_groups(dense(by_row, rows, places), home, np.arange(places.size, dtype=np.intp), smallest)
    groups[rows] = inside
    return places[kept], groups


def _nearest_of(by_row: csr_array, rows: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give for each row the number of the nearest of the places, negative where none reaches it."""
    among = np.full(by_row.shape[1], -1, dtype=np.intp)
    among[places] = np.arange(len(places))
    nearest = np.full(rows.size, -1, dtype=np.intp)
    for at, row in enumerate(rows.tolist()):
        span = slice(by_row.indptr[row], by_row.indptr[row + 1])
        options = among[by_row.indices[span]]
        best = int(np.argmin(np.where(options >= 0, by_row.data[span], np.inf)))
        nearest[at] = options[best]
    return nearest


def _lists(matrix: csr_array) -> list[NDArray[np.intp]]:
    if matrix.shape[0] == 0:
        return []
    return [np.asarray(part, dtype=np.intp) for part in np.split(matrix.indices, matrix.indptr[1:-1])]


def _in_the_middle(group: Group, points: Points, heights: NDArray[np.float64], wishes: Wishes) -> Group:
    """Put a free centre where the longest shift of its members is shortest, if every rule holds there too."""
    members = list(group.members)
    middle = middle_of(seen(points[members], wishes.tilt, heights[members]))
    place = on_specimen(middle[None], wishes.tilt, heights[members[:1]])[0]
    moved = replace(group, x_um=float(place[0]), y_um=float(place[1]))
    height = heights[_nearest(points, moved)][None]
    shifts = seen(points[members], wishes.tilt, heights[members]) - seen(place[None], wishes.tilt, height)
    lengths = np.sqrt((shifts**2).sum(axis=1))
    up = up_the_beam_um(points[members], wishes.tilt, heights[members])
    off = np.abs(up - up_the_beam_um(place[None], wishes.tilt, height))
    spread = np.inf if wishes.defocus_spread_um is None else wishes.defocus_spread_um / 2
    if lengths.max() > wishes.reach_um() or off.max() > spread:
        return group
    return replace(moved, members=tuple(members[place] for place in np.argsort(lengths, kind="stable").tolist()))


def _nearest(points: Points, group: Group) -> int:
    """Give the row nearest to a group's centre; a centre stands at its height."""
    return int(np.argmin(((points - (group.x_um, group.y_um)) ** 2).sum(axis=1)))
