"""Expected and found holes give the shift between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.recentre import StageErrors, correction, expected_offset


def sites(seed: int, pitch: float = 60.0, angle: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.array([(i, j) for i in range(7) for j in range(7)]) @ turn * pitch + rng.normal(0, 1, (49, 2))


@settings(max_examples=60, deadline=None)
@given(st.floats(-19, 19), st.floats(-19, 19), st.integers(0, 9999))
def test_the_shift_is_found_among_lost_and_false_holes(row: float, col: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = sites(seed)
    found = (expected + np.array([row, col]) + rng.normal(0, 1, expected.shape))[rng.random(49) > 0.3]
    found = np.vstack([found, rng.uniform(0, 400, (6, 2))])
    drow, dcol, matched = correction(expected, rng.permutation(found), 29)  # below half the pitch
    assert np.hypot(drow - row, dcol - col) < 2
    assert matched >= len(found) - 6 - 2


def test_a_whole_lattice_step_gives_way_to_the_smaller_shift() -> None:
    expected = sites(1)
    found = sites(1)[7:]  # the first row is out of the picture
    drow, dcol, matched = correction(expected, found, 200)
    assert np.hypot(drow, dcol) < 1
    assert matched == 42


def test_single_holes_match_within_the_limit() -> None:
    assert correction([(100, 100)], [(103, 96)], 10) == (3.0, -4.0, 1)
    assert correction([(100, 100)], [(103, 96)], 4) == (0.0, 0.0, 0)


def test_no_holes_no_shift() -> None:
    assert correction([], [(1, 1)], 10) == (0.0, 0.0, 0)
    assert correction([(1, 1)], [], 10) == (0.0, 0.0, 0)


def test_each_hole_is_matched_once() -> None:
    _, _, matched = correction([(0, 0), (50, 0), (100, 0)], [(1, 0), (2, 0), (51, 0)], 20)
    assert matched == 2


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_no_length_is_refused(limit: float) -> None:
    with pytest.raises(BadInput, match="limit of a re-centring"):
        correction([(0, 0)], [(0, 0)], limit)


def test_the_next_group_is_looked_for_where_the_last_ones_were() -> None:
    errors = StageErrors()
    alone = expected_offset([], (0.0, 0.0), errors)
    assert (alone.x_um, alone.y_um) == (0.0, 0.0)
    near = [((float(x), 0.0), (1.4, -0.6)) for x in range(0, 40, 8)]
    found = expected_offset(near, (48.0, 0.0), errors)
    assert (found.x_um, found.y_um) == pytest.approx((1.4, -0.6), abs=0.3)
    assert found.spread.worst_um < alone.spread.worst_um
    far = expected_offset(near, (2000.0, 0.0), errors)
    assert far.spread.worst_um > found.spread.worst_um  # what was learnt is forgotten on the way


def test_an_expected_shift_of_more_than_half_a_pitch_is_found_from_there() -> None:
    """A stage that wanders by more than half the lattice's pitch over many short moves is followed hole by hole."""
    rng = np.random.default_rng(8)
    errors, pitch, wandered = StageErrors(), 2.5, np.zeros(2)
    earlier: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for group in range(40):
        place = (12.0 * group, 0.0)
        wandered = wandered + np.array([0.05, -0.02])
        true = wandered + rng.normal(0, 0.2, 2)
        believed = expected_offset(earlier, place, errors)
        lattice = np.array([(x, y) for x in range(-3, 4) for y in range(-3, 4)]) * pitch
        drow, dcol, matched = correction(
            lattice + np.array([believed.x_um, believed.y_um]), lattice + true, 0.48 * pitch
        )
        measured = (believed.x_um + drow, believed.y_um + dcol)
        assert matched > 30
        assert measured == pytest.approx(tuple(true), abs=1e-6)
        earlier.append((place, measured))
    assert np.hypot(*wandered) > 0.8 * pitch
