"""A plan at once, then better ones, always the same, never past the time given."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.any_time import improving_plans
from epicycle.targeting.plans import plan_groups
from epicycle.targeting.wishes import Wishes


def lattice(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = 2.0 * np.array([(i, j) for i in range(rows) for j in range(rows)], dtype=float)
    return (points + rng.normal(0, 0.05, points.shape))[rng.random(len(points)) > 0.1]


def test_the_first_plan_of_a_square_comes_within_20_ms() -> None:
    plan_groups(lattice(4, 0), Wishes(radius_um=4, time_limit_s=0))  # the first call loads the solver
    spent = []
    for seed in range(5):
        points = lattice(12, seed)
        began = time.process_time()
        next(improving_plans(points, Wishes(radius_um=4), limit_s=1.0))
        spent.append(time.process_time() - began)
    assert np.median(spent) <= 0.02


def test_later_plans_are_better_and_the_last_is_good() -> None:
    points = lattice(16, 1)
    plans = list(improving_plans(points, Wishes(radius_um=4), limit_s=0.6))
    assert len(plans) >= 2
    assert all(plan.coverage == 1.0 for plan in plans)
    assert all(len(later.groups) <= len(earlier.groups) for earlier, later in pairwise(plans))
    assert all(later.lower_bound >= earlier.lower_bound for earlier, later in pairwise(plans))
    assert plans[-1].lower_bound <= len(plans[-1].groups) < len(plans[0].groups)
    assert [plan.groups for plan in improving_plans(points, Wishes(radius_um=4), limit_s=0.6)] == [
        plan.groups for plan in plans
    ]


def test_no_more_time_is_spent_than_given() -> None:
    points = lattice(20, 2)
    list(improving_plans(points, Wishes(radius_um=4), limit_s=0.1))
    began = time.process_time()
    list(improving_plans(points, Wishes(radius_um=4), limit_s=0.5))
    assert time.process_time() - began < 1.5, "0.6 s on an idle machine; more here for a busy one"


def test_a_price_is_heeded_too() -> None:
    points = np.vstack([lattice(8, 3), [(90.0, 0.0)]])
    wishes = Wishes(radius_um=4, objective="score", weight=4, least_coverage=0)
    plans = list(improving_plans(points, wishes, limit_s=0.2))
    assert all(later.score > earlier.score for earlier, later in pairwise(plans))
    assert len(points) - 1 in plans[-1].left_out


spots = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25, unique=True)


@settings(max_examples=25, deadline=None)
@given(spots, st.randoms(use_true_random=False))
def test_whatever_order_the_holes_come_in(places, shuffle) -> None:  # type: ignore[no-untyped-def]
    points = np.array(places, dtype=float).reshape(-1, 2)
    order = list(range(len(points)))
    shuffle.shuffle(order)
    first = list(improving_plans(points, Wishes(radius_um=2.3), limit_s=0.05))
    second = list(improving_plans(points[order], Wishes(radius_um=2.3), limit_s=0.05))
    assert [[(g.x_um, g.y_um, g.members) for g in plan.groups] for plan in first] == [
        [(g.x_um, g.y_um, tuple(order[m] for m in g.members)) for g in plan.groups] for plan in second
    ]


@pytest.mark.parametrize("limit_s", [-1.0, float("nan"), float("inf")])
def test_a_limit_that_is_no_time(limit_s: float) -> None:
    with pytest.raises(BadInput, match="time limit of the grouping"):
        next(improving_plans([(0, 0)], Wishes(radius_um=4), limit_s=limit_s))
