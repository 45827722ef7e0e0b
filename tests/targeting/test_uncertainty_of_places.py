"""Uncertainty grows with every step, shrinks with a measurement, and stays a covariance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epicycle.protocols.errors import BadInput
from epicycle.targeting.planes import Frame, Plane
from epicycle.targeting.uncertainty import Place, Spread, even, of_move, of_shift, of_time

sigma = st.floats(0, 20, allow_nan=False)
coordinate = st.floats(-1000, 1000, allow_nan=False)


@st.composite
def spread(draw: st.DrawFn) -> Spread:
    large, small, turn = draw(sigma), draw(sigma), draw(st.floats(0, math.pi))
    c, s = math.cos(turn), math.sin(turn)
    axes = np.array([[c, -s], [s, c]])
    matrix = axes @ np.diag([large**2, small**2]) @ axes.T
    return Spread(float(matrix[0, 0]), float(matrix[0, 1]), float(matrix[1, 1]))


def no_larger(one: Spread, other: Spread) -> bool:
    """Whether `one` is at most `other` in every direction."""
    room = 1e-7 * (1 + other.xx_um2 + other.yy_um2)
    return bool(np.linalg.eigvalsh(other.matrix - one.matrix).min() >= -room)


@given(
    coordinate, coordinate, spread(), st.lists(st.tuples(st.booleans(), coordinate, coordinate, spread()), max_size=8)
)
def test_it_stays_a_covariance_and_only_steps_enlarge_it(x: float, y: float, first: Spread, acts: list) -> None:  # type: ignore[type-arg]
    place = Place(x, y, first)
    for is_step, at_x, at_y, own in acts:
        before = place.spread
        place = place.after(own) if is_step else place.measured(at_x, at_y, own)
        assert np.linalg.eigvalsh(place.spread.matrix).min() >= -1e-9 * (1 + place.spread.worst_um**2)
        assert no_larger(before, place.spread) if is_step else no_larger(place.spread, before)
        if not is_step:
            assert no_larger(place.spread, own)


@given(spread(), spread())
def test_a_measurement_pulls_between_belief_and_reading(before: Spread, noise: Spread) -> None:
    found = Place(0.0, 0.0, before).measured(10.0, 0.0, noise)
    again = Place(10.0, 0.0, noise).measured(0.0, 0.0, before)
    if before.worst_um > 0.01 and noise.worst_um > 0.01 and min(_thin(before), _thin(noise)) > 1e-3:
        np.testing.assert_allclose((found.x_um, found.y_um), (again.x_um, again.y_um), atol=1e-5)


def _thin(of: Spread) -> float:
    values = np.linalg.eigvalsh(of.matrix)
    return float(values[0] / values[1]) if values[1] > 0 else 0.0


def test_a_sure_reading_replaces_the_belief_and_none_moves_nothing() -> None:
    believed = Place(1.0, 2.0, even(0.5))
    read = believed.measured(3.0, 4.0, Spread())
    assert (read.x_um, read.y_um) == pytest.approx((3.0, 4.0))
    assert read.spread.worst_um == pytest.approx(0.0, abs=1e-9)
    certain = Place(1.0, 2.0).measured(3.0, 4.0, even(1.0))
    assert (certain.x_um, certain.y_um) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("long", "short", "radius"), [(0.3, 0.3, 0.5), (0.5, 0.1, 0.6), (0.4, 1e-6, 0.6), (0.05, 0.05, 0.6)]
)
def test_the_chance_to_hit_is_that_of_many_throws(long: float, short: float, radius: float) -> None:
    rng = np.random.default_rng(5)
    throws = rng.normal(size=(200_000, 2)) * [long, short] @ [[0.8, 0.6], [-0.6, 0.8]]
    matrix = np.array([[0.8, -0.6], [0.6, 0.8]]) @ np.diag([long**2, short**2]) @ [[0.8, 0.6], [-0.6, 0.8]]
    place = Place(7.0, 7.0, Spread(matrix[0, 0], matrix[0, 1], matrix[1, 1]))
    assert place.chance_within(radius) == pytest.approx(np.mean(np.hypot(*throws.T) < radius), abs=0.004)
    assert place.chance_within(0.0) == 0.0
    assert Place(0, 0).chance_within(0.1) == 1.0


def test_steps_add_what_they_should() -> None:
    assert of_move(0.0, 0.2, 1.0, 1000.0).worst_um == pytest.approx(0.2)
    assert of_move(1e6, 0.2, 1.0, 1000.0).worst_um == pytest.approx(math.hypot(0.2, math.sqrt(2)))
    assert of_shift((3.0, 4.0), 0.01, 0.0).worst_um == pytest.approx(0.05)
    assert of_time(100.0, 0.01).worst_um == pytest.approx(0.1)
    assert even(1.0).plus(even(1.0)).worst_um == pytest.approx(math.sqrt(2))


def test_an_uncertainty_turns_with_its_frame() -> None:
    quarter = Frame(Plane.SPECIMEN, Plane.STAGE, ((0.0, -2.0, 0.0), (1.0, 0.0, 0.0)))
    turned = Place(1.0, 0.0, Spread(0.09, 0.0, 0.01)).carried(quarter)
    assert (turned.x_um, turned.y_um) == (0.0, 1.0)
    np.testing.assert_allclose(turned.spread.matrix, [[0.04, 0.0], [0.0, 0.09]])
    pixels = Frame(Plane.STAGE, Plane.IMAGE, quarter.affine)
    with pytest.raises(BadInput, match="cannot be carried to pixels"):
        turned.carried(pixels)


def test_what_is_no_covariance_is_refused() -> None:
    with pytest.raises(BadInput, match="less than none in some direction"):
        Spread(1.0, 2.0, 1.0)
    with pytest.raises(BadInput, match="finite"):
        Spread(float("nan"))
    with pytest.raises(BadInput, match="check the clock"):
        of_time(-1.0, 0.1)
