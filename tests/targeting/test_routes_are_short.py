"""The way through the stops visits each once, is short, and does not depend on their order."""

import time
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.mending import kicked, mended
from epicycle.targeting.routes import (
    MOST_STOPS,
    route_length_um,
    route_time_s,
    route_with,
    shooting_order,
    shortest_route,
)
from epicycle.targeting.tours import EXACT_STOPS, cost_of, exact_way, nearest_first
from epicycle.targeting.travel import ShiftTimes, TravelTimes

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
    for seed in range(3):
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
    with pytest.raises(BadInput, match="200001 stops are more"):
        shortest_route(np.zeros((MOST_STOPS + 1, 2)))
    with pytest.raises(BadInput, match="names a stop twice"):
        route_with((0, 0), [(0, 0), (1, 1)], (0, 0))
    with pytest.raises(BadInput, match="one that is none of the 1"):
        route_with((1,), [(0, 0)], (0, 0))
    with pytest.raises(BadInput, match="acceleration of the stage"):
        TravelTimes(speed_um_per_s=0)
    with pytest.raises(BadInput, match="image shift"):
        ShiftTimes(settle_s=-1)


def test_a_move_takes_as_long_as_the_stage_needs() -> None:
    """100 µm/s², 50 µm/s: 25 µm to full speed and down again; 10 µm past and back where it comes from above."""
    stage = TravelTimes(
        speed_um_per_s=50, acceleration_um_per_s2=100, backlash_um=10, overhead_s=1, settle_s=2, settle_s_per_um=0.5
    )

    def seconds(x_um: float, y_um: float) -> float:
        return float(stage.between([(0, 0)], [(x_um, y_um)])[0, 0])

    assert seconds(0, 0) == 0
    assert seconds(9, 0) == pytest.approx(1 + 2 + 4.5 + 2 * np.sqrt(9 / 100))
    assert seconds(100, 0) == pytest.approx(1 + 20 + 100 / 50 + 50 / 100)  # the rest at its most
    assert seconds(-9, 0) == pytest.approx(1 + 2 + 4.5 + 2 * np.sqrt(19 / 100) + 2 * np.sqrt(10 / 100))
    assert seconds(9, -9) == pytest.approx(1 + 2 + np.hypot(9, 9) / 2 + 2 * np.sqrt(19 / 100) + 2 * np.sqrt(10 / 100))
    np.testing.assert_allclose(ShiftTimes(1.0, 0.5).between([(0, 0)], [(0, 0), (3, 4)]), [[0.0, 3.5]])


def uneven(count: int, seed: int) -> np.ndarray:
    """Costs that differ there and back."""
    rng = np.random.default_rng(seed)
    stops = rng.uniform(0, 100, (count, 2))
    costs: np.ndarray = TravelTimes(backlash_um=30).between(stops, stops) * rng.uniform(0.8, 1.2, (count, count))
    return costs


@pytest.mark.parametrize("seed", range(4))
def test_few_stops_are_ordered_exactly(seed: int) -> None:
    costs = uneven(8, seed)
    best = min(cost_of(np.array([0, *order]), costs) for order in permutations(range(1, 8)))
    assert cost_of(exact_way(costs), costs) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [2, 3, 6, 9, EXACT_STOPS + 1])
def test_mending_and_kicks_find_the_exact_way_of_few_stops(count: int, seed: int) -> None:
    costs = uneven(count, seed)
    best = cost_of(exact_way(costs), costs)
    first = nearest_first(costs)
    without = cost_of(mended(first, costs), costs)
    way = kicked(first, costs, np.random.default_rng(0))
    assert sorted(way.tolist()) == list(range(count))
    assert way[0] == 0
    assert best - 1e-9 <= cost_of(way, costs) <= without + 1e-9 <= cost_of(first, costs) + 2e-9
    assert cost_of(way, costs) <= 1.05 * best


@pytest.mark.parametrize(("count", "seeds"), [(40, 3), (300, 1)])
def test_stage_time_well_below_the_nearest_neighbours(count: int, seeds: int) -> None:
    ratios, stage = [], TravelTimes()
    for seed in range(seeds):
        stops = np.random.default_rng(seed).uniform(0, 8 * np.sqrt(count), (count, 2))
        nodes = np.vstack([(0, 0), stops])
        costs = stage.between(nodes, nodes)
        ours = route_time_s(stops, shortest_route(stops, travel=stage), (0, 0), stage)
        ratios.append(ours / cost_of(nearest_first(costs), costs))
    assert np.mean(ratios) <= 0.88


def test_a_whole_grid_is_ordered_by_patches() -> None:
    rng = np.random.default_rng(2)
    squares = 125.0 * np.array([(i, j) for i in range(14) for j in range(14)])
    stops = (squares[:, None] + rng.uniform(0, 90, (196, 9, 2))).reshape(-1, 2)
    began = time.process_time()
    way = shortest_route(stops)
    assert time.process_time() - began < 2
    assert sorted(way) == list(range(len(stops)))
    nodes = np.vstack([(0, 0), stops])
    nearest = nearest_first(np.sqrt(((nodes[:, None] - nodes[None]) ** 2).sum(axis=2)))
    assert route_length_um(stops, way) < route_length_um(stops, tuple((nearest[1:] - 1).tolist()))


@settings(max_examples=60, deadline=None)
@given(st.lists(places, min_size=1, max_size=14, unique=True), st.integers(0, 14), places, st.booleans())
def test_added_stops_are_put_in_and_the_rest_kept(stops, known, start, by_time) -> None:  # type: ignore[no-untyped-def]
    travel = TravelTimes() if by_time else None
    order = shortest_route(stops[:known], start, travel=travel)
    longer = route_with(order, stops, start, travel=travel)
    assert sorted(longer) == list(range(len(stops)))
    assert tuple(stop for stop in longer if stop < known) == order


def test_an_added_stop_stands_where_it_costs_least() -> None:
    stops = [(10.0, 0.0), (20.0, 0.0), (30.0, 0.0), (21.0, 1.0)]
    assert route_with((0, 1, 2), stops, (0, 0)) == (0, 1, 3, 2)
    assert route_with((1, 2), stops[:3], (15, 0)) in {(0, 1, 2)}
    assert route_with((), stops, (0, 0)) == (0, 1, 3, 2)
    assert route_with((2,), [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)], (3, 0)) == (2, 1, 0)


def test_holes_of_a_group_in_the_order_of_short_shifts() -> None:
    row = [(4.0, 0.0), (-2.0, 0.0), (0.0, 0.0), (2.0, 0.0), (-4.0, 0.0)]
    assert route_length_um(row, shooting_order(row)) == 12
    assert shooting_order(row)[0] == 2
    assert shooting_order([]) == ()
    ring = [(np.cos(turn), np.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 9)[:8]]
    way = shooting_order(ring)
    assert {(after - before) % 8 for before, after in pairwise(way)} in ({1}, {7})
