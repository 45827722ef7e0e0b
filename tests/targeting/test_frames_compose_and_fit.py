"""Frames compose, invert, and come back from pairs of points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epicycle.hardware.records import Affine, ImageShift, StagePosition
from epicycle.protocols.errors import BadInput
from epicycle.targeting import frames

numbers = st.floats(-1e3, 1e3, allow_nan=False)
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8)


@st.composite
def invertible(draw: st.DrawFn) -> Affine:
    scale, angle = draw(st.floats(0.01, 50)), draw(st.floats(-180, 180))
    turned = frames.rotation(angle, (draw(numbers), draw(numbers)))
    stretched: Affine = ((scale, draw(st.floats(-0.5, 0.5)) * scale, draw(numbers)), (0.0, scale, draw(numbers)))
    return frames.compose(turned, stretched)


@given(invertible(), pairs)
def test_the_way_back_undoes_the_way(affine: Affine, points: list[tuple[float, float]]) -> None:
    there = frames.apply(affine, points)
    back = frames.apply(frames.invert(affine), there)
    np.testing.assert_allclose(back, np.array(points), atol=1e-6 * (1 + np.abs(there).max()) / frames.scale_of(affine))


@given(invertible(), invertible(), pairs)
def test_composing_is_doing_one_after_the_other(
    outer: Affine, inner: Affine, points: list[tuple[float, float]]
) -> None:
    at_once = frames.apply(frames.compose(outer, inner), points)
    in_turn = frames.apply(outer, frames.apply(inner, points))
    np.testing.assert_allclose(at_once, in_turn, atol=1e-7 * (1 + np.abs(in_turn).max()))


@given(invertible(), numbers, numbers)
def test_one_point_goes_as_many_do(affine: Affine, first: float, second: float) -> None:
    np.testing.assert_allclose(frames.carry(affine, first, second), frames.apply(affine, [(first, second)])[0])


def test_identity_and_shift() -> None:
    points = [(1.0, 2.0), (-3.0, 5.0)]
    np.testing.assert_array_equal(frames.apply(frames.identity(), points), points)
    np.testing.assert_array_equal(frames.apply(frames.shift(2, -1), points), [(3, 1), (-1, 4)])


def test_the_middle_of_an_image_stands_at_stage_plus_image_shift() -> None:
    affine = frames.image_to_stage((100, 201), 5000.0, StagePosition(10, -20), ImageShift(1, 2), rotation_deg=33)
    np.testing.assert_allclose(frames.carry(affine, 49.5, 100), (11, -18))
    assert frames.scale_of(affine) == pytest.approx(0.5)
    assert frames.angle_of(affine) == pytest.approx(33)


def test_columns_run_along_the_angle_and_rows_before_it() -> None:
    straight = frames.image_to_stage((3, 3), 1e4, StagePosition(0, 0))
    np.testing.assert_allclose(frames.apply(straight, [(1, 2), (2, 1)]), [(1, 0), (0, -1)], atol=1e-12)
    mirrored = frames.image_to_stage((3, 3), 1e4, StagePosition(0, 0), mirrored=True)
    np.testing.assert_allclose(frames.apply(mirrored, [(1, 2), (2, 1)]), [(1, 0), (0, 1)], atol=1e-12)


@pytest.mark.parametrize("kind", ["shift", "rigid", "similarity", "affine"])
def test_a_fit_finds_what_it_can_express(kind: frames.FitKind) -> None:
    true = {
        "shift": frames.shift(3, -4),
        "rigid": frames.rotation(70, (5, 6)),
        "similarity": frames.compose(((1.7, 0.0, 2.0), (0.0, 1.7, 1.0)), frames.rotation(-130)),
        "affine": ((1.0, 0.3, 2.0), (-0.2, 0.8, -7.0)),
    }[kind]
    points = np.random.default_rng(3).uniform(-50, 50, (12, 2))
    fit = frames.fit(points, frames.apply(true, points), kind)
    np.testing.assert_allclose(fit.affine, true, atol=1e-9)
    assert fit.rms < 1e-9


def test_a_fit_says_how_much_is_left_over() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(-50, 50, (400, 2))
    noisy = frames.apply(frames.rotation(20), points) + rng.normal(0, 0.1, points.shape)
    fit = frames.fit(points, noisy, "rigid")
    assert fit.rms == pytest.approx(0.1 * np.sqrt(2), rel=0.1)
    assert fit.worst > fit.rms
    np.testing.assert_allclose(fit.affine, frames.rotation(20), atol=0.03)


def test_a_rigid_fit_never_mirrors_or_scales() -> None:
    points = np.array([(0, 0), (4, 0), (0, 2), (5, 5)], dtype=float)
    fit = frames.fit(points, points * (-1, 1) * 3, "rigid")
    linear = np.array(fit.affine)[:, :2]
    assert np.linalg.det(linear) == pytest.approx(1)


@pytest.mark.parametrize(
    ("source", "target", "kind", "said"),
    [
        ([(0, 0), (1, 1)], [(0, 0)], "affine", "needs pairs: 2 source and 1 target"),
        ([(0, 0), (1, 1)], [(0, 0), (1, 1)], "affine", "at least 3 pairs, got 2"),
        ([(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 2)], "affine", "on one spot or line"),
        ([(1, 1), (1, 1)], [(0, 0), (1, 1)], "rigid", "on one spot or line"),
        ([(0, 0), (1, 1)], [(2, 2), (2, 2)], "rigid", "show no direction"),
        ([(0, float("nan"))], [(2, 2)], "shift", r"number 0 \(counted from 0\) is not finite"),
        ([(0, 0, 0)], [(2, 2)], "shift", r"have the shape \(1, 3\)"),
        ([("a", "b")], [(2, 2)], "shift", "are not all numbers"),
    ],
)
def test_a_fit_refuses_what_fixes_nothing(source, target, kind, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match=said):
        frames.fit(source, target, kind)


def test_a_singular_calibration_is_refused() -> None:
    with pytest.raises(BadInput, match="singular"):
        frames.invert(((1.0, 2.0, 0.0), (2.0, 4.0, 1.0)))
    with pytest.raises(BadInput, match="2×3 affine"):
        frames.apply(((1.0, 0.0), (0.0, 1.0)), [(0, 0)])  # type: ignore[arg-type]


def test_an_image_without_size_has_no_frame() -> None:
    with pytest.raises(BadInput, match="no place on the stage"):
        frames.image_to_stage((10, 10), 0.0, StagePosition(0, 0))
