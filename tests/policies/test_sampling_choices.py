"""What each policy prefers, refuses and says."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epicycle.policies.alike import equal_shares, share_in_words
from epicycle.policies.cluster_sampling import cluster_sampling
from epicycle.policies.contract import grids_view, holes_view, squares_view
from epicycle.policies.first_come import first_come
from epicycle.policies.group_sampling import group_sampling
from epicycle.policies.random_choice import random_choice
from epicycle.policies.records import Choice, Limits, Offer, Policy, Question, SessionView
from epicycle.policies.sampling import groups_in_order
from epicycle.protocols.errors import BadInput


def view(question: Question, offers: list[Offer], want: int, limits: Limits | None = None) -> SessionView:
    return SessionView(question, tuple(offers), (), want, 7, limits or Limits())


def offer(number: int, category: str = "", score: float = 0.5, features: Mapping[str, float] | None = None) -> Offer:
    return Offer(number, number, 0.0, 0.0, score, category, features or {})


def choose(policy: Policy, seen: SessionView, seed: int = 0) -> Choice:
    return policy.choose(seen, np.random.default_rng(seed))


def holes(count: int, want: int) -> SessionView:
    """Whole holes whose number is their brightness."""
    return view("holes", [offer(n, "hole", features={"mean": 100.0 + n}) for n in range(1, count + 1)], want)


def test_first_come_takes_the_lowest_numbers_that_qualify() -> None:
    seen = view("squares", [offer(9, "good"), offer(2, "cracked"), offer(5, "good"), offer(7, "good")], 2)
    assert choose(first_come({}), seen).chosen == (5, 7)


def test_random_gives_everyone_the_same_chance() -> None:
    seen = view("holes", [offer(n, "hole", score=n / 10) for n in range(1, 6)], 1)
    taken = Counter(choose(random_choice({}), seen, seed).chosen[0] for seed in range(500))
    assert set(taken) == {1, 2, 3, 4, 5}
    assert max(taken.values()) < 150


def test_cluster_sampling_takes_squares_of_every_size() -> None:
    squares = [offer(n, "good", features={"area_um2": 100.0 * n}) for n in range(1, 26)]
    chosen = choose(cluster_sampling({}), view("squares", squares, 5)).chosen
    assert sorted((number - 1) // 5 for number in chosen) == [0, 1, 2, 3, 4]


def test_cluster_sampling_draws_its_groups_by_lot() -> None:
    squares = [offer(n, "good", features={"area_um2": 100.0 * n}) for n in range(1, 26)]
    firsts = {
        (choose(cluster_sampling({}), view("squares", squares, 1), seed).chosen[0] - 1) // 5 for seed in range(60)
    }
    assert firsts == {0, 1, 2, 3, 4}


def test_cluster_sampling_leaves_the_darkest_fifth_with_its_counts() -> None:
    choice = choose(cluster_sampling({}), holes(50, 0))
    assert set(choice.chosen) == set(range(11, 51))
    assert choice.reasons[1] == (
        "left: darkest fifth of this square, probably thick ice (101 counts, the others have 111 or more)"
    )
    assert set(choose(cluster_sampling({"drop_darkest": False}), holes(50, 0)).chosen) == set(range(1, 51))


def test_cluster_sampling_filters_once() -> None:
    """Asked for some, it takes from those it would give when asked for all."""
    every = set(choose(cluster_sampling({}), holes(50, 0)).chosen)
    for want in (1, 5, 40):
        some = choose(cluster_sampling({}), holes(50, want)).chosen
        assert len(some) == want
        assert set(some) <= every


@pytest.mark.parametrize("count", [1, 2, 4])
def test_cluster_sampling_keeps_holes_too_few_to_tell_the_dark_ones(count: int) -> None:
    assert len(choose(cluster_sampling({}), holes(count, 0)).chosen) == count


def test_cluster_sampling_keeps_holes_that_are_all_alike() -> None:
    seen = view("holes", [offer(n, "hole", features={"mean": 500.0}) for n in range(1, 31)], 0)
    assert len(choose(cluster_sampling({}), seen).chosen) == 30


def test_cluster_sampling_takes_the_best_of_a_group_or_any() -> None:
    squares = [offer(n, "good", score=n / 100, features={"area_um2": 100.0}) for n in range(1, 21)]
    assert choose(cluster_sampling({}), view("squares", squares, 1)).chosen == (20,)
    anyone = cluster_sampling({"within": "random"})
    assert len({choose(anyone, view("squares", squares, 1), seed).chosen for seed in range(40)}) > 8


def test_ice_gate_refuses_by_thickness() -> None:
    seen = view("holes", [offer(n, "hole", features={"mean": 5.0, "ice_nm": 10.0 * n}) for n in range(1, 11)], 0)
    for make in (cluster_sampling, group_sampling):
        choice = choose(make({"ice_min_nm": 25, "ice_max_nm": 80}), seen)
        assert set(choice.chosen) == {3, 4, 5, 6, 7, 8}
        assert choice.reasons[9] == "left: ice too thick (90 nm, at most 80 allowed)"
        assert choice.reasons[1] == "left: ice too thin (10 nm, at least 25 asked)"


def test_group_sampling_takes_the_best_of_each_score_group() -> None:
    squares = [offer(n, "good", score=n / 20) for n in range(1, 21)]
    assert choose(group_sampling({}), view("squares", squares, 4)).chosen == (20, 15, 10, 5)
    assert choose(group_sampling({"groups": 2, "per_group": 2}), view("squares", squares, 0)).chosen == (20, 10, 19, 9)


def test_group_sampling_takes_the_best_holes() -> None:
    seen = view("holes", [offer(n, "hole", score=n / 20) for n in range(1, 21)], 3)
    assert choose(group_sampling({}), seen).chosen == (20, 19, 18)


def test_limits_of_the_protocol_hold_for_every_policy() -> None:
    squares = [offer(n, "good", score=n / 10, features={"area_um2": 100.0 * n}) for n in range(1, 11)]
    limits = Limits(minimum_score=0.4, area_min_um2=300, area_max_um2=800)
    for make in (first_come, random_choice, cluster_sampling, group_sampling):
        choice = choose(make({}), view("squares", squares, 0, limits))
        assert set(choice.chosen) == {4, 5, 6, 7, 8}
        assert choice.reasons[3] == "left: the finder gave it 0.30, the protocol asks for 0.40"
        assert choice.reasons[1].startswith("left: too small (100 µm²")
        assert choice.reasons[10].startswith("left: too large (1000 µm²")


def test_group_sampling_puts_its_own_limits_first() -> None:
    squares = [offer(n, "good", score=n / 10) for n in range(1, 11)]
    seen = view("squares", squares, 0, Limits(minimum_score=0.9, groups=1))
    assert set(choose(group_sampling({"minimum_score": 0.75}), seen).chosen) == {8, 9, 10}


@pytest.mark.parametrize("make", [first_come, random_choice, cluster_sampling, group_sampling])
def test_doubtful_squares_fill_up_and_unfit_ones_wait_for_a_grid_without_others(make) -> None:  # type: ignore[no-untyped-def]
    good, doubtful = [offer(1, "good"), offer(2, "good")], [offer(3, "contaminated"), offer(4, "small_or_thick")]
    unfit = [offer(5, "broken_or_dry"), offer(6, "cracked"), offer(7, "partial")]
    everyone = view("squares", good + doubtful + unfit, 10)
    assert set(choose(make({}), replace(everyone, want=2)).chosen) == {1, 2}
    assert set(choose(make({}), everyone).chosen) == {1, 2, 3, 4}
    assert set(choose(make({}), replace(everyone, want=0)).chosen) == {1, 2}
    ruin = choose(make({}), view("squares", unfit, 1))
    assert ruin.chosen == (7,)
    assert "only partly on the atlas" in ruin.reasons[7]


def test_grids_are_ranked_by_usable_exposures_then_fit() -> None:
    def grid(number: int, usable: float, analysed: float, fit_a: float) -> Offer:
        return offer(number, features={"usable": usable, "analysed": analysed, "median_fit_a": fit_a})

    grids = [grid(1, 2, 10, 4.0), grid(2, 9, 10, 4.0), grid(3, 9, 10, 6.0), grid(4, 0, 10, 9.0), grid(5, 0, 0, 0.0)]
    for make in (first_come, cluster_sampling, group_sampling):
        choice = choose(make({}), view("grids", grids, 0))
        assert choice.chosen == (2, 3, 1, 5)
        assert choice.reasons[4] == "left: none of its 10 analysed exposures was usable"
        assert choice.scores[2] > choice.scores[3] > choice.scores[1]


def test_features_that_are_no_numbers_count_as_missing() -> None:
    broken = [offer(n, "good", score=float("nan"), features={"area_um2": float("nan")}) for n in range(1, 9)]
    for make in (first_come, random_choice, cluster_sampling, group_sampling):
        choice = choose(make({}), view("squares", broken, 3, Limits(area_min_um2=5)))
        assert len(choice.chosen) == 3
        assert set(choice.scores.values()) == {0.0}


@pytest.mark.parametrize("make", [first_come, random_choice, cluster_sampling, group_sampling])
def test_an_unknown_option_is_one_sentence_with_the_known_ones(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=r"no option named 'grups' \(known: "):
        make({"grups": 3})


def test_a_wrong_value_names_the_option_and_what_it_means() -> None:
    with pytest.raises(BadInput, match=r"groups is 0: .*greater than or equal to 1 \(Groups to draw from"):
        cluster_sampling({"groups": 0})


def test_groups_are_visited_in_the_order_of_the_policy() -> None:
    groups = [(1, 2, 3), (4, 5), (6,), (7, 8)]
    assert groups_in_order([5, 8, 4, 1], groups, 0) == (1, 3, 0)
    assert groups_in_order([5, 8, 4, 1], groups, 2) == (1, 3)
    assert groups_in_order([], groups, 2) == ()


def test_shares_are_named_from_both_ends() -> None:
    names = ("smallest", "middle", "largest")
    assert [share_in_words(place, 5, names) for place in range(5)] == [
        "smallest fifth", "second smallest fifth", "middle fifth", "second largest fifth", "largest fifth",
    ]  # fmt: skip
    assert share_in_words(0, 1, names) == "only group"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 8))
def test_equal_shares_hold_everyone_in_order(values: list[int], count: int) -> None:
    offers = [offer(n, features={"v": float(value)}) for n, value in enumerate(values)]
    shares = equal_shares(offers, lambda one: one.features["v"], count)
    assert sorted(one.id for share in shares for one in share) == list(range(len(values)))
    assert 1 <= len(shares) <= count
    assert all(shares)
    for lower, upper in pairwise(shares):
        assert max(one.features["v"] for one in lower) < min(one.features["v"] for one in upper)


def test_reasons_start_with_taken_or_left() -> None:
    for make in (first_come, random_choice, cluster_sampling, group_sampling):
        for seen in (squares_view(), holes_view(), grids_view()):
            choice = choose(make({}), seen)
            for one in seen.offers:
                assert choice.reasons[one.id].startswith("taken: " if one.id in choice.chosen else "left: ")
