"""The plane through measured heights, focusing clear of targets, and upkeep where the stage moves anyway."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.focus_plan import focus_spots, known_height, spread_first
from epicycle.targeting.height_plane import SURE, Plane, Scatter, fit_plane, pooled, predicted
from epicycle.targeting.upkeep import HARD, due_before_it_begins, due_by_interval, expected_s

NOISE_UM = 0.1


def square(rng: np.random.Generator, count: int, noise_um: float = NOISE_UM) -> tuple[np.ndarray, np.ndarray]:
    """Places in a square of 60 µm and heights of a tilted film measured there."""
    places = rng.uniform(-30, 30, (count, 2))
    return places, 12.0 + places @ [0.02, -0.01] + noise_um * rng.standard_normal(count)


def planes(rng: np.random.Generator, count: int) -> list[Plane]:
    found = [fit_plane(*square(rng, 10)) for _ in range(count)]
    return [plane for plane in found if plane is not None]


# the plane


def test_an_exact_plane_is_found() -> None:
    places, heights = square(np.random.default_rng(1), 5, 0.0)
    plane = fit_plane(places, heights)
    assert plane is not None
    assert plane.slopes == pytest.approx((0.02, -0.01))
    assert plane.height_at((100, 50)) == pytest.approx(12.0 + 2.0 - 0.5)


def test_two_places_or_a_line_make_no_plane() -> None:
    assert fit_plane([(0, 0), (1, 1)], [1, 2]) is None
    assert fit_plane([(0, 0), (1, 1), (2, 2), (5, 5)], [1, 2, 3, 4]) is None
    assert fit_plane([(3, 3)] * 4, [1, 2, 3, 4]) is None
    assert known_height((0, 0), np.zeros((0, 2)), []) is None


@pytest.mark.parametrize(("places", "heights"), [([(0, 0), (1, 0), (0, 1)], [1, 2]), ([(0, 0)], [np.nan])])
def test_heights_that_do_not_fit_their_places_are_refused(places: list, heights: list) -> None:
    with pytest.raises(BadInput, match="all finite"):
        fit_plane(places, heights)


@pytest.mark.parametrize("count", [6, 10, 20])
def test_places_lie_within_the_range_told_as_often_as_it_says(count: int) -> None:
    rng = np.random.default_rng(count)
    inside = []
    for _ in range(1500):
        places, heights = square(rng, count + 1)
        told = known_height(places[-1], places[:-1], heights[:-1])
        if told is not None:
            inside.append(abs(told[1].height_um - heights[-1]) <= told[1].error_um)
    assert len(inside) > 750
    # Leaving wild values out costs a little of the range where there are few.
    assert SURE - 0.025 <= np.mean(inside) <= SURE + 0.02


def test_one_wild_height_does_not_tilt_the_plane() -> None:
    places, heights = square(np.random.default_rng(3), 12)
    heights[4] += 5.0
    plane = fit_plane(places, heights)
    assert plane is not None
    assert plane.used == 11
    assert plane.height_at((0, 0)) == pytest.approx(12.0, abs=0.15)
    assert plane.slopes == pytest.approx((0.02, -0.01), abs=0.005)


def test_scatter_of_other_squares_makes_few_heights_enough() -> None:
    rng = np.random.default_rng(5)
    elsewhere = pooled(planes(rng, 8))
    assert elsewhere.sd_um == pytest.approx(NOISE_UM, rel=0.3)
    alone, helped = [], []
    for _ in range(40):
        plane = fit_plane(*square(rng, 6))
        assert plane is not None
        for errors, others in ((alone, Scatter(0, 0)), (helped, elsewhere)):
            told = predicted(plane, others, plane.middle_um)
            assert told is not None
            errors.append(told.error_um)
    assert sum(error < 0.3 for error in helped) >= 28
    assert sum(error < 0.3 for error in alone) <= 22
    assert min(helped) > 1.4 * elsewhere.sd_um, "few values on a plane by chance make no square a much better one"


def test_a_square_rougher_than_the_others_is_believed_alone() -> None:
    rng = np.random.default_rng(6)
    elsewhere = pooled(planes(rng, 8))
    places, heights = square(rng, 10, 1.0)
    plane = fit_plane(places, heights)
    assert plane is not None
    told = predicted(plane, elsewhere, plane.middle_um)
    assert told == predicted(plane, Scatter(0, 0), plane.middle_um)
    assert told is not None
    assert told.error_um > 1.0


def test_few_heights_and_places_beyond_them_are_not_told() -> None:
    rng = np.random.default_rng(8)
    few, plane = fit_plane(*square(rng, 5)), fit_plane(*square(rng, 8))
    assert few is not None
    assert plane is not None
    assert predicted(few, Scatter(0.1, 30), few.middle_um) is None
    told = [predicted(plane, Scatter(0.1, 30), (x, 0)) for x in (0, 20, 40)]
    assert told[0] is not None
    assert told[2] is None


def test_a_bent_film_is_not_taken_for_a_plane() -> None:
    """A film that bulges by 2 µm over the square: what is told is told no better than it is."""
    rng = np.random.default_rng(9)
    inside, ranges = [], []
    for _ in range(600):
        places, heights = square(rng, 13, 0.05)
        heights = heights + 2.0 * (places**2).sum(axis=1) / 30**2
        told = known_height(places[-1], places[:-1], heights[:-1])
        if told is not None:
            inside.append(abs(told[1].height_um - heights[-1]) <= told[1].error_um)
            ranges.append(told[1].error_um)
    assert len(inside) > 200
    assert np.mean(inside) > 0.92
    assert np.mean(np.array(ranges) < 0.3) < 0.05


def test_what_is_focused_first_surrounds_the_others() -> None:
    places = np.array([(x, y) for x in range(0, 50, 10) for y in range(0, 50, 10)], dtype=float)
    first = spread_first(places)
    assert len(set(first)) == len(first) == 8
    corners = {(0.0, 0.0), (0.0, 40.0), (40.0, 0.0), (40.0, 40.0)}
    assert corners <= {tuple(places[row]) for row in first}
    plane = fit_plane(places[list(first)], places[list(first)] @ [0.01, 0.02])
    assert plane is not None
    assert all(plane.leverage_at(place) <= plane.widest + 1e-12 for place in places)
    assert spread_first(places[:7]) == ()


# where to focus

BASIS = ((2.0, 0.0), (0.0, 2.0))
SITES = np.array([(2.0 * i, 2.0 * j) for i in range(-6, 7) for j in range(-6, 7)])


def test_with_room_the_beam_is_clear_of_every_hole() -> None:
    spots = focus_spots((0, 0), SITES[:10], SITES[10:], BASIS, 0.6, 3, hole_radius_um=0.6)
    assert len(spots) == 3
    for spot in spots:
        assert np.linalg.norm(SITES - (spot.x_um, spot.y_um), axis=1).min() >= 1.2
        assert not spot.spoils


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.5, 2.0), st.integers(1, 40))
def test_no_target_is_lit_unless_it_is_said(seed: int, beam_um: float, count: int) -> None:
    chosen = np.random.default_rng(seed).permutation(len(SITES))
    targets, others = SITES[chosen[:count]], SITES[chosen[count:]]
    for spot in focus_spots((0, 0), targets, others, BASIS, beam_um, 3, hole_radius_um=0.6):
        lit = np.flatnonzero(np.linalg.norm(targets - (spot.x_um, spot.y_um), axis=1) < beam_um + 0.6 - 1e-9)
        assert tuple(lit) == spot.spoils


def test_holes_nobody_wants_are_lit_before_a_target_is() -> None:
    targets = SITES[np.linalg.norm(SITES, axis=1) < 3]
    others = SITES[np.linalg.norm(SITES, axis=1) >= 3]
    spots = focus_spots((0, 0), targets, others, BASIS, 1.2, 2, hole_radius_um=0.6)
    for spot in spots:
        assert not spot.spoils
        assert np.linalg.norm(targets - (spot.x_um, spot.y_um), axis=1).min() >= 1.8


def test_where_everything_is_wanted_it_is_said_what_is_lost() -> None:
    (spot, *_) = focus_spots((0, 0), SITES, np.zeros((0, 2)), BASIS, 2.0, 3, hole_radius_um=0.6)
    assert spot.spoils


def test_film_inside_is_preferred_to_film_at_the_bar() -> None:
    spot = focus_spots((4, 4), SITES, [], BASIS, 0.5, 1, hole_radius_um=0.5, towards_um=(0, 0))[0]
    assert np.hypot(spot.x_um, spot.y_um) < np.hypot(4, 4)


# upkeep


def test_what_is_asked_for_once_in_an_interval_is_done_at_the_nearer_long_move() -> None:
    hour = 3600.0
    moves = [n * 0.4 * hour for n in range(12)]
    done: list[float] = []
    for now in moves:
        since = None if not done else now - done[-1]
        if due_by_interval(since, hour, before_long_move=True, next_long_move_s=0.4 * hour):
            done.append(now)
    assert done[0] == 0
    gaps = np.diff(done)
    assert (np.abs(gaps - hour) <= 0.2 * hour + 1e-6).all()


def test_between_long_moves_it_waits_until_it_is_long_overdue() -> None:
    assert not due_by_interval(1.2 * 3600, 3600, before_long_move=False, next_long_move_s=None)
    assert due_by_interval(HARD * 3600, 3600, before_long_move=False, next_long_move_s=None)
    assert due_by_interval(None, 3600, before_long_move=False, next_long_move_s=None)
    assert due_by_interval(3600, 3600, before_long_move=True, next_long_move_s=None)


def test_a_fill_that_would_fall_on_the_next_square_is_due() -> None:
    assert due_before_it_begins(500, expected_s([600, 550, 900]))
    assert not due_before_it_begins(700, expected_s([600, 550, 650]))
    assert not due_before_it_begins(10, expected_s([]))
    assert not due_before_it_begins(None, 600)
