"""The way through the stops visits each once, is short, and does not depend on their order."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.routes import route_length_um, shortest_route

places = st.tuples(st.integers(-50, 50), st.integers(-50, 50))


@settings(max_examples=60, deadline=None)
@given(st.lists(places, max_size=25), places, st.randoms(use_true_random=False))
def test_every_stop_once_whatever_their_order(stops, start, shuffle) -> None:  # type: ignore[no-untyped-def]
    way = shortest_route(stops, start)
    assert sorted(way) == list(range(len(stops)))
    order = list(range(len(stops)))
    shuffle.shuffle(order)
    again = shortest_route([stops[place] for place in order], start)
    assert [stops[order[place]] for place in again] == [stops[place] for place in way]


@pytest.mark.parametrize("seed", range(8))
def test_few_stops_near_the_best_way(seed: int) -> None:
    stops = np.random.default_rng(seed).uniform(-100, 100, (7, 2))
    best = min(route_length_um(stops, order, (0, 0)) for order in permutations(range(7)))
    assert route_length_um(stops, shortest_route(stops, (0, 0)), (0, 0)) <= 1.1 * best


def test_shorter_than_nearest_neighbour() -> None:
    ratios = []
    for seed in range(6):
        stops = np.random.default_rng(seed).uniform(-500, 500, (80, 2))
        here, left, greedy = np.zeros(2), list(range(80)), []
        while left:
            nearest = min(left, key=lambda stop: float(np.hypot(*(stops[stop] - here))))
            left.remove(nearest)
            greedy.append(nearest)
            here = stops[nearest]
        ratios.append(route_length_um(stops, shortest_route(stops)) / route_length_um(stops, tuple(greedy)))
    assert max(ratios) <= 1.0
    assert np.mean(ratios) < 0.9


def test_it_starts_from_where_the_stage_is() -> None:
    stops = [(0.0, 0.0), (10.0, 0.0), (20.0, 0.0)]
    assert shortest_route(stops, (25, 0)) == (2, 1, 0)
    assert shortest_route(stops, (-5, 0)) == (0, 1, 2)
    assert shortest_route([]) == ()


def test_bad_stops_are_refused() -> None:
    with pytest.raises(BadInput, match="Stops: number 1"):
        shortest_route([(0, 0), (float("inf"), 0)])
    with pytest.raises(BadInput, match="start of the way"):
        shortest_route([(0, 0)], (float("nan"), 0))
    with pytest.raises(BadInput, match="5001 stops are more"):
        shortest_route(np.zeros((5001, 2)))
