"""A plan at once, and better ones until the time is up.

The first answer is greedy and takes a few milliseconds for a square; each later search has several times the time of
the one before. Time is counted in steps, so that the same holes give the same plans on any host.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..protocols.errors import BadInput
from .plans import Plan, plan_groups
from .wishes import Wishes

_FIRST_S = 0.02
_LONGER = 4.0


def improving_plans(
    positions_um: ArrayLike,
    wishes: Wishes,
    *,
    limit_s: float,
    values: ArrayLike | None = None,
    heights_um: ArrayLike | None = None,
) -> Iterator[Plan]:
    """Give a plan at once, then each that is better, until so much time is spent or the fewest groups are proven.

    Parameters
    ----------
    positions_um, wishes, values, heights_um
        As `plan_groups` takes them; the wishes' own time limit is not heeded.
    limit_s
        Time of all searches together. The last plan given is the one to keep; take it whenever there is no more time.

    Raises
    ------
    BadInput
        As `plan_groups` does; a limit that is no time.
    """
    if not (np.isfinite(limit_s) and limit_s >= 0):
        raise BadInput(f"The time limit of the grouping is {limit_s} s; give 0 or more.")
    best: Plan | None = None
    for seconds in _shares(limit_s):
        plan = plan_groups(positions_um, replace(wishes, time_limit_s=seconds), values=values, heights_um=heights_um)
        same = best is not None and plan.left_out.keys() == best.left_out.keys()
        if best is not None and same:  # bounds are for the holes reached, and may be joined where these are the same
            plan = _bounded(plan, best.lower_bound)
        if best is None or _rank(plan, wishes) > _rank(best, wishes):
            best = plan
            yield best
        elif same and plan.lower_bound > best.lower_bound:
            best = _bounded(best, plan.lower_bound)
            yield best
        if best.exact and wishes.least_coverage == 1:
            return


def _shares(limit_s: float) -> Iterator[float]:
    """Split the time: nothing, then ever longer searches, the last of all that is left."""
    yield 0.0
    left, share = limit_s, _FIRST_S
    while left > 0:
        share = left if left < share * (1 + _LONGER) else share
        yield share
        left, share = left - share, share * _LONGER


def _bounded(plan: Plan, known: int) -> Plan:
    """Give a plan with the better of its own lower bound and another one for the same holes."""
    bound = max(plan.lower_bound, known)
    return replace(plan, lower_bound=bound, exact=bound == len(plan.groups))


def _rank(plan: Plan, wishes: Wishes) -> tuple[float, ...]:
    """Say how good a plan is: by the objective where holes may be left out, else fewer left out, fewer groups."""
    if wishes.least_coverage < 1:
        return (round(plan.good_per_hour if wishes.objective == "rate" else plan.score, 9),)
    shifts = float(np.nansum(np.sqrt((plan.shifts_um**2).sum(axis=1))))
    return plan.coverage, -float(len(plan.groups)), -round(shifts, 6)
