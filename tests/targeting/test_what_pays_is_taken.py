"""What is left out when holes and groups have a price: never worth more than what is taken, near the best there is."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from epicycle.targeting.plans import plan_groups
from epicycle.targeting.prize_search import PrizeSearch
from epicycle.targeting.wishes import Wishes

spots = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=9, unique=True)


def lists(points: np.ndarray, radius_um: float) -> list[np.ndarray]:
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    return [np.flatnonzero(row) for row in gaps <= radius_um]


def worth(places: tuple[int, ...] | list[int], near: list[np.ndarray], prizes: np.ndarray, cost: float) -> float:
    rows = {int(row) for place in places for row in near[place]}
    return float(sum(prizes[row] for row in rows)) - cost * len(places)


@settings(max_examples=60, deadline=None)
@given(spots, st.sampled_from([0.3, 1.2, 2.5]), st.integers(0, 99))
@example(places=[(0, 1), (2, 0), (0, 0), (3, 0), (0, 2), (0, 3), (1, 1)], cost=1.2, seed=1)  # one gains most, two more
def test_of_few_places_the_best_set_is_found(places, cost, seed) -> None:  # type: ignore[no-untyped-def]
    near = lists(np.array(places, dtype=float), 1.5)
    prizes = np.round(np.random.default_rng(seed).random(len(near)), 2)
    every = (some for size in range(len(near) + 1) for some in combinations(range(len(near)), size))
    best = max(worth(some, near, prizes, cost) for some in every)
    found = PrizeSearch(near, near, np.random.default_rng(0)).best(prizes, cost, [], 60)
    assert worth(found.tolist(), near, prizes, cost) == pytest.approx(best)


@pytest.mark.parametrize("minimum", [1, 2, 3])
@pytest.mark.parametrize("weight", [0.5, 2.0, 6.0])
def test_the_score_of_a_square_lattice(minimum: int, weight: float) -> None:
    """Discs of radius 3 µm on a lattice of 2 µm hold 9 holes; so many percent less the weight is the most of each."""
    points = 2.0 * np.array([(i, j) for i in range(10) for j in range(10)], dtype=float)
    wishes = Wishes(radius_um=3, objective="score", weight=weight, minimum_size=minimum, least_coverage=0)
    plan = plan_groups(points, wishes)
    assert plan.score == pytest.approx(100 * plan.coverage - weight * len(plan.groups))
    assert all(len(group.members) >= minimum for group in plan.groups)
    assert plan.score >= {0.5: 92.0, 2.0: 71.0, 6.0: 27.0}[weight]
    assert plan.score <= 100 / 9 * (9 - weight) + 1e-9


def test_the_least_coverage_is_kept_whatever_pays() -> None:
    points = 2.0 * np.array([(i, j) for i in range(10) for j in range(10)], dtype=float)
    shares = []
    for least in (0.0, 0.6, 0.9, 1.0):
        wishes = Wishes(radius_um=3, objective="score", weight=8, minimum_size=2, least_coverage=least)
        plan = plan_groups(points, wishes)
        assert plan.coverage >= least - 1e-9
        shares.append(plan.coverage)
    assert shares == sorted(shares)
    assert shares[0] < 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9, unique=True),
    st.sampled_from([1, 2]),
    st.sampled_from([0.0, 1.0]),
)
def test_the_bound_is_of_the_holes_that_are_taken(places: list[tuple[int, int]], minimum: int, least: float) -> None:
    points = 2.0 * np.array(places, dtype=float)
    wishes = Wishes(radius_um=2.1, objective="score", weight=8, minimum_size=minimum, least_coverage=least)
    plan = plan_groups(points, wishes)
    taken = set(range(len(points))) - set(plan.left_out)
    reach = [{int(row) for row in rows} & taken for rows in lists(points, 2.1)]
    sizes = range(len(points) + 1)
    fewest = next(n for n in sizes if any(taken <= set().union(*some) for some in combinations(reach, n)))
    assert min(len(taken), 1) <= plan.lower_bound <= fewest <= len(plan.groups)


def test_what_is_left_out_does_not_take_the_proof_away() -> None:
    """Four holes in a square, far from one alone that does not pay: one group reaches them, two would be too many."""
    points = np.array([(0, 0), (2, 0), (0, 2), (2, 2), (90, 90)], dtype=float)
    plan = plan_groups(points, Wishes(radius_um=3, objective="score", weight=25, least_coverage=0))
    assert (set(plan.left_out), plan.lower_bound, plan.exact) == ({4}, 1, True)


def exact(near: list[np.ndarray], prizes: np.ndarray, cost: float) -> float:
    """Give the most that any places are worth, by an exact solver."""
    places, rows = len(near), len(prizes)
    rule = np.zeros((rows, places + rows))
    for place, covered in enumerate(near):
        rule[covered, place] = -1
    rule[np.arange(rows), places + np.arange(rows)] = 1
    whole = np.append(np.ones(places), np.zeros(rows))
    price = np.append(np.full(places, cost), -prizes)
    answer = milp(price, constraints=LinearConstraint(rule, -np.inf, 0), integrality=whole, bounds=Bounds(0, 1))
    return -float(answer.fun)


def test_on_lattices_with_holes_missing_it_is_near_the_best() -> None:
    shares = []
    for seed, cost in product(range(8), (1.5, 3.0)):
        rng = np.random.default_rng(seed)
        points = 2.0 * np.array([(i, j) for i in range(6) for j in range(6) if rng.random() < 0.85], dtype=float)
        near, prizes = lists(points, 2.2), rng.random(len(points))
        found = PrizeSearch(near, near, np.random.default_rng(0)).best(prizes, cost, [], 200)
        best = exact(near, prizes, cost)
        shares.append(worth(found.tolist(), near, prizes, cost) / best if best > 0 else 1.0)
    assert np.mean(shares) > 0.99
    assert min(shares) > 0.95
