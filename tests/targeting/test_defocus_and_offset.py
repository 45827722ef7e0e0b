"""Rolling defocus, where to focus, and offsets inside a hole."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.defocus import focus_places, focus_point, rolling_defocus
from epicycle.targeting.offset import offset_um


def test_the_series_starts_near_zero_and_comes_round() -> None:
    assert [rolling_defocus(n, -1.0, -2.0, 0.25) for n in range(6)] == [-1.0, -1.25, -1.5, -1.75, -2.0, -1.0]
    assert [rolling_defocus(n, -2.0, -1.0, -0.4) for n in range(4)] == [-1.0, -1.4, -1.8, -1.0]


def test_no_step_holds_the_end_nearest_zero() -> None:
    assert {rolling_defocus(n, -2.5, -1.5, 0.0) for n in range(5)} == {-1.5}
    assert rolling_defocus(7, -2.0, -2.0, 0.3) == -2.0


def test_overfocus_rolls_upward() -> None:
    assert [rolling_defocus(n, 1.0, 2.0, 0.5) for n in range(4)] == [1.0, 1.5, 2.0, 1.0]


@given(st.integers(0, 10**6), st.floats(-5, -0.1), st.floats(-5, -0.1), st.floats(0, 2))
def test_the_series_stays_in_its_range(n: int, one: float, other: float, step: float) -> None:
    assert min(one, other) - 1e-5 <= rolling_defocus(n, one, other, step) <= max(one, other) + 1e-5


@pytest.mark.parametrize(
    ("values", "said"),
    [((-1, -1, -2, 0.1), "counted from 0"), ((0, -1, 1, 0.1), "through focus"), ((0, float("nan"), 1, 1), "finite")],
)
def test_a_series_that_cannot_be_is_refused(values, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=said):
        rolling_defocus(*values)


def grid(steps: int, a: tuple[float, float], b: tuple[float, float]) -> np.ndarray:
    return np.array(
        [i * np.array(a) + j * np.array(b) for i in range(-steps, steps + 1) for j in range(-steps, steps + 1)]
    )


@pytest.mark.parametrize(("a", "b"), [((2.0, 0.0), (0.0, 2.0)), ((1.8, 0.9), (-0.9, 1.8)), ((2.0, 0.0), (1.0, 1.732))])
def test_focus_is_on_the_film_half_a_diagonal_away(a: tuple[float, float], b: tuple[float, float]) -> None:
    holes = grid(3, a, b)
    place = np.array(focus_point((0, 0), holes, a, b, 0.4, hole_radius_um=0.5))
    halves = [np.array(a) / 2 + np.array(b) / 2, np.array(a) / 2 - np.array(b) / 2]
    assert min(np.linalg.norm(place - sign * half) for half in halves for sign in (1, -1)) < 1e-9
    assert np.linalg.norm(holes - place, axis=1).min() >= 0.9


def test_focus_keeps_away_from_holes_to_be_exposed() -> None:
    holes = grid(1, (2, 0), (0, 2))
    place = np.array(focus_point((0, 0), holes, (2, 0), (0, 2), 1.6, hole_radius_um=0.5))
    assert np.linalg.norm(holes - place, axis=1).min() >= 2.1
    assert np.linalg.norm(place) < 6


def test_focus_without_lattice_is_at_the_distance() -> None:
    place = np.array(focus_point((10, 0), [(10, 0), (12, 0)], None, None, 0.5, distance_um=3))
    assert np.linalg.norm(place - (10, 0)) == pytest.approx(3)
    assert np.linalg.norm(place - (12, 0)) > 3


def test_focus_gives_the_widest_gap_when_nothing_is_clear() -> None:
    holes = grid(9, (2, 0), (0, 2))
    place = np.array(focus_point((0, 0), holes, (2, 0), (0, 2), 5.0))
    assert np.linalg.norm(holes - place, axis=1).min() == pytest.approx(np.sqrt(2))


def test_a_lattice_on_one_line_is_refused() -> None:
    with pytest.raises(BadInput, match="on one line"):
        focus_point((0, 0), [], (1, 0), (2, 0), 0.5)
    with pytest.raises(BadInput, match="cannot be"):
        focus_point((0, 0), [], (1, 0), (0, 1), -0.5)


def offsets(count: int = 4000, **options: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([offset_um(None, 0.6, "carbon", rng, **options) for _ in range(count)])


def test_random_offsets_fill_the_disc_evenly_in_all_directions() -> None:
    found = offsets()
    far = np.hypot(*found.T)
    assert far.max() <= 0.48 + 1e-9
    assert np.mean(far < 0.48 / np.sqrt(2)) == pytest.approx(0.5, abs=0.03)
    assert np.abs(found.mean(axis=0)).max() < 0.015


def test_the_beam_stays_inside_the_hole_and_outside_the_inner_radius() -> None:
    far = np.hypot(*offsets(beam_radius_um=0.35, inner_um=0.1).T)
    assert far.max() <= 0.25 + 1e-9
    assert far.min() >= 0.1 - 1e-9
    assert np.hypot(*offsets(10, beam_radius_um=2.0).T).max() == 0


def test_gold_is_sampled_nearer_the_middle() -> None:
    rng = np.random.default_rng(1)
    assert max(np.hypot(*offset_um(None, 1.0, "Gold", rng)) for _ in range(500)) <= 0.5 + 1e-9


def test_a_fixed_distance_goes_in_any_direction() -> None:
    rng = np.random.default_rng(2)
    found = np.array([offset_um(0.3, 0.6, "gold", rng) for _ in range(400)])
    np.testing.assert_allclose(np.hypot(*found.T), 0.3)
    assert np.abs(found.mean(axis=0)).max() < 0.05


def test_the_generator_moves_on_equally_whatever_is_asked() -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    offset_um(None, 0.6, "carbon", first)
    offset_um(0.2, 0.6, "carbon", second)
    assert first.random() == second.random()


def test_lengths_below_zero_are_refused() -> None:
    for lengths in ((-1.0, 0.6), (None, -0.6), (None, float("nan"))):
        with pytest.raises(BadInput, match="0 or more"):
            offset_um(lengths[0], lengths[1], "gold", np.random.default_rng(0))


def test_places_to_focus_lie_apart_and_begin_with_the_best() -> None:
    holes = [(2.5 * i, 2.5 * j) for i in range(-3, 4) for j in range(-3, 4)]
    places = focus_places((0, 0), holes, (2.5, 0), (0, 2.5), 0.7, 4, hole_radius_um=0.6)
    assert places[0] == focus_point((0, 0), holes, (2.5, 0), (0, 2.5), 0.7, hole_radius_um=0.6)
    assert len(places) == 4
    apart = [math.dist(a, b) for n, a in enumerate(places) for b in places[:n]]
    assert min(apart) >= 1.4
    assert min(math.dist(place, hole) for place in places for hole in holes) >= 1.3


def test_places_without_a_lattice_go_around_the_group_and_end_when_there_are_no_more() -> None:
    places = np.array(focus_places((5, 5), [(5, 5)], None, None, 0.75, 4, distance_um=3))
    assert len(places) == 4
    turns = np.sort(np.arctan2(*(places - 5).T))
    assert np.diff(turns).min() > 0.7
    assert len(focus_places((0, 0), [], None, None, 30.0, 5, distance_um=1)) == 1
