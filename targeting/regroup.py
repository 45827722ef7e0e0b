"""Groups again, after holes were added, taken away, judged anew or exposed: what need not change stays.

A group stays where it is as long as it has holes to expose, all in its reach, and its centre still may be one; what was
exposed or taken away leaves it. New holes join groups in whose reach they are. All others are grouped afresh.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from ..protocols.errors import BadInput
from .groups import checked
from .lattice import basis_of
from .plans import Plan, plan_groups, plan_of
from .points import Points
from .reach import reached
from .records import Group
from .wishes import Wishes

_SAME_UM = 1e-6


def followed(groups: Sequence[Group], before_um: ArrayLike, now_um: ArrayLike) -> tuple[Group, ...]:
    """Give groups with their members as rows of a new list of holes, known again by their places.

    Members that are gone are dropped from their group.
    """
    before, now = checked(before_um), checked(now_um)
    if len(now) == 0:
        return tuple(Group(group.x_um, group.y_um, ()) for group in groups)
    gaps, rows = map(np.asarray, KDTree(now).query(before))
    return tuple(
        Group(group.x_um, group.y_um, tuple(int(rows[m]) for m in group.members if gaps[m] <= _SAME_UM))
        for group in groups
    )


def regroup(
    positions_um: ArrayLike,
    wishes: Wishes,
    groups: Sequence[Group],
    *,
    values: ArrayLike | None = None,
    exposed: Sequence[bool] | NDArray[np.bool_] | None = None,
    heights_um: ArrayLike | None = None,
) -> Plan:
    """Plan again, keeping of earlier groups what need not change.

    Parameters
    ----------
    groups
        Earlier groups, members as rows of ``positions_um`` (see `followed`).
    exposed
        Which holes were exposed; they are in no group any more, and a group that has lost holes to exposure stays,
        however small it has become.

    Raises
    ------
    BadInput
        As `plan_groups` does; a member that is no row; a hole in two groups; a mask of another length.
    """
    points = checked(positions_um)
    wishes = _with_basis(wishes, points)
    worth = np.ones(len(points)) if values is None else np.asarray(values, dtype=np.float64)
    heights = np.zeros(len(points)) if heights_um is None else np.asarray(heights_um, dtype=np.float64)
    done = np.zeros(len(points), dtype=bool) if exposed is None else np.asarray(exposed, dtype=bool)
    if done.shape != (len(points),) or worth.shape != (len(points),):
        raise BadInput(f"The values and the mask of exposed holes must be {len(points)} long, as the holes are.")
    _check_members(groups, len(points))
    able = (worth > 0) & ~done
    kept = [group for earlier in groups if (group := _kept(earlier, points, heights, able, done, wishes)) is not None]
    free = able.copy()
    for group in kept:
        free[list(group.members)] = False
    possible = _possible(points, worth, heights, free, able | done, wishes)
    left_out = {row: why for row, why in possible.left_out.items() if free[row]}
    free &= np.isfinite(possible.defocus_um)
    kept = _joined(kept, points, heights, free, wishes)
    for group in kept:
        free[list(group.members)] = False
    rest = plan_groups(points, wishes, values=np.where(free, worth, 0.0), heights_um=heights)
    left_out |= {row: why for row, why in rest.left_out.items() if free[row]}
    left_out |= dict.fromkeys(np.flatnonzero(worth == 0).tolist(), "its value is 0")
    left_out |= dict.fromkeys(np.flatnonzero(done).tolist(), "it was exposed")
    return plan_of([*kept, *rest.groups], points, worth, heights, wishes, left_out, 0)


def _possible(
    points: Points,
    worth: NDArray[np.float64],
    heights: NDArray[np.float64],
    free: NDArray[np.bool_],
    present: NDArray[np.bool_],
    wishes: Wishes,
) -> Plan:
    """Plan everything afresh and at once, to see which free holes can be exposed beside those that are not free."""
    first = np.where(free, 0.5 * worth, np.where(present, 1.0, 0.0))
    return plan_groups(points, replace(wishes, time_limit_s=0.0, least_coverage=1.0), values=first, heights_um=heights)


def _with_basis(wishes: Wishes, points: Points) -> Wishes:
    """Fix the lattice's steps once, from all holes; a few of them would not show it."""
    needed = wishes.centre == "lattice" or (wishes.pattern is not None and wishes.pattern_unit == "lattice")
    if wishes.basis_um is not None or not needed or wishes.reach_um() == 0:
        return wishes
    return replace(wishes, basis_um=basis_of(points).tolist())


def _check_members(groups: Sequence[Group], count: int) -> None:
    members = [member for group in groups for member in group.members]
    if members and not 0 <= min(members) <= max(members) < count:
        raise BadInput(f"A group has a member that is none of the {count} holes; follow the groups to the new list.")
    if len(set(members)) < len(members):
        raise BadInput("A hole is in two of the earlier groups; give each hole one.")


def _kept(
    group: Group,
    points: Points,
    heights: NDArray[np.float64],
    able: NDArray[np.bool_],
    done: NDArray[np.bool_],
    wishes: Wishes,
) -> Group | None:
    """Give what is left of a group, None where it cannot stay."""
    members = [member for member in group.members if able[member]]
    begun = any(done[member] for member in group.members)
    if not members or (len(members) < wishes.minimum_size and not begun):
        return None
    if wishes.centre == "hole":
        gaps = np.sqrt(((points - (group.x_um, group.y_um)) ** 2).sum(axis=1))
        here = np.flatnonzero(gaps <= _SAME_UM)
        if not any(able[row] or done[row] or wishes.bad_centres for row in here.tolist()):
            return None
    if not _reaches(group, points[members], heights[members], wishes).all():
        return None
    return Group(group.x_um, group.y_um, tuple(members))


def _reaches(group: Group, holes: Points, heights: NDArray[np.float64], wishes: Wishes) -> NDArray[np.bool_]:
    """Say which holes the wishes allow from a group's centre."""
    gaps = np.sqrt(((holes - (group.x_um, group.y_um)) ** 2).sum(axis=1))
    here = np.asarray(gaps <= _SAME_UM)
    if wishes.reach_um() == 0:
        return here
    answer = here.copy()
    others = np.flatnonzero(~here)
    if others.size:
        pairs = reached(holes[others], np.array([[group.x_um, group.y_um]]), heights[others], _as_seen_from(wishes))
        answer[others[pairs.rows[pairs.places == others.size]]] = True
    return answer


def _as_seen_from(wishes: Wishes) -> Wishes:
    """Give the wishes for one known centre: no other places are asked for."""
    return replace(wishes, centre="hole")


def _joined(
    kept: Sequence[Group], points: Points, heights: NDArray[np.float64], free: NDArray[np.bool_], wishes: Wishes
) -> list[Group]:
    """Let free holes join the kept group with the shortest shift of those that reach them."""
    rows = np.flatnonzero(free)
    if rows.size == 0 or not kept:
        return list(kept)
    tree = KDTree(points[rows])
    wide = wishes.reach_um() / np.cos(np.deg2rad(wishes.tilt.alpha_deg)) + float(np.ptp(heights)) * 4
    best: dict[int, tuple[float, int]] = {}
    for number, group in enumerate(kept):
        near = rows[np.sort(np.asarray(tree.query_ball_point((group.x_um, group.y_um), wide), dtype=np.intp))]
        fits = near[_reaches(group, points[near], heights[near], wishes)] if near.size else near
        for row in fits.tolist():
            gap = float(np.hypot(points[row, 0] - group.x_um, points[row, 1] - group.y_um))
            best[row] = min(best.get(row, (np.inf, 0)), (gap, number))
    joining: dict[int, list[int]] = {}
    for row, (_, number) in sorted(best.items(), key=lambda entry: (entry[1][0], entry[0])):
        joining.setdefault(number, []).append(row)
    return [
        Group(group.x_um, group.y_um, (*group.members, *joining.get(number, ()))) for number, group in enumerate(kept)
    ]
