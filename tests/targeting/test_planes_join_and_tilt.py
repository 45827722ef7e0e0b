"""Typed frames join, invert and tilt; what does not fit together is refused in a sentence."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from epicycle.hardware.records import Image, ImageShift, StagePosition
from epicycle.protocols.errors import BadInput
from epicycle.targeting.planes import (
    Frame,
    HeightPlane,
    Plane,
    aim,
    image_to_specimen,
    shift_to_stage,
    specimen_to_stage,
)
from epicycle.targeting.tilt import Tilt, seen

number = st.floats(-500, 500, allow_nan=False)
part = st.floats(-3, 3, allow_nan=False)


@st.composite
def frame(draw: st.DrawFn, source: Plane = Plane.SPECIMEN, target: Plane = Plane.STAGE) -> Frame:
    a, b, d, e = (draw(part) for _ in range(4))
    assume(abs(a * e - b * d) > 0.05)
    return Frame(source, target, ((a, b, draw(number)), (d, e, draw(number))))


@given(frame(), number, number)
def test_the_way_back_undoes_the_way(there: Frame, x: float, y: float) -> None:
    back = there.back()
    assert (back.source, back.target) == (there.target, there.source)
    np.testing.assert_allclose(back.carry(*there.carry(x, y)), (x, y), atol=1e-6 * (1 + abs(x) + abs(y)) * 100)


@given(
    frame(Plane.IMAGE, Plane.STAGE), frame(Plane.STAGE, Plane.SPECIMEN), frame(Plane.SPECIMEN, Plane.STAGE), part, part
)
def test_joining_is_associative(first: Frame, second: Frame, third: Frame, x: float, y: float) -> None:
    one, other = first.then(second).then(third), first.then(second.then(third))
    assert (one.source, one.target) == (Plane.IMAGE, Plane.STAGE)
    np.testing.assert_allclose(one.carry(x, y), other.carry(x, y), atol=1e-8 * (1 + np.abs(other.affine).max()))


def test_frames_that_do_not_meet_are_not_joined() -> None:
    pixels = Frame(Plane.IMAGE, Plane.STAGE, ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)))
    with pytest.raises(BadInput, match="to stage µm cannot be followed by one from image px"):
        pixels.then(pixels)


@given(st.floats(-60, 60), st.floats(-180, 180), number, number, st.floats(-40, 40))
def test_a_tilted_place_comes_to_the_axis_where_it_is_seen(
    alpha: float, axis: float, x: float, y: float, height: float
) -> None:
    """The stage moves along its tilted plane: foreshortened, that way is what `tilt.seen` says is seen."""
    tilt = Tilt(alpha, axis)
    stage = specimen_to_stage(tilt, HeightPlane(height)).carry(x, y)
    np.testing.assert_allclose(seen([stage], tilt), seen([(x, y)], tilt, [height]), atol=1e-8)


def test_a_slope_moves_high_places_further() -> None:
    tilt, slope = Tilt(45.0), HeightPlane(0.0, 0.0, 0.1)
    stage = specimen_to_stage(tilt, slope).apply([(0, 0), (0, 10), (0, 20)])
    np.testing.assert_allclose(stage[:, 1], [0, 9, 18])  # 1 µm higher every 10 µm, tan 45° = 1


@pytest.mark.parametrize("alpha", [0.0, 30.0, -45.0])
def test_an_aim_hits_the_place_it_was_for(alpha: float) -> None:
    tilt, heights = Tilt(alpha), HeightPlane(3.0, 0.01, -0.02)
    matrix = ((1.03, 0.02), (-0.01, 0.97))
    stage = StagePosition(*specimen_to_stage(tilt, heights).carry(100.0, -40.0))
    found = aim((104.0, -37.0), stage, matrix, tilt, heights)
    on_axis = shift_to_stage(stage, matrix).then(specimen_to_stage(tilt, heights).back())
    np.testing.assert_allclose(on_axis.carry(found.shift.x_um, found.shift.y_um), (104.0, -37.0), atol=1e-9)
    rise = 3.0 * math.sin(math.radians(alpha)) + (4 * 0.01 - 3 * 0.02) * math.cos(math.radians(alpha))
    assert found.lift_um == pytest.approx(rise, abs=1e-9)


def test_without_tilt_and_with_a_perfect_shift_the_aim_is_the_difference() -> None:
    found = aim((4.0, 5.0), StagePosition(1.0, 1.0, 50.0), ((1.0, 0.0), (0.0, 1.0)))
    assert found.shift == ImageShift(3.0, 4.0)
    assert found.lift_um == 0.0


def test_what_has_no_frame_is_refused_in_a_sentence() -> None:
    pixels = np.zeros((4, 4), np.float32)
    there = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    with pytest.raises(BadInput, match=r"Image a has no pixel size.*give its pixel size in Å\.$"):
        image_to_specimen(Image(pixels, None, there, "a"))
    with pytest.raises(BadInput, match="does not say where on the stage it was taken"):
        image_to_specimen(Image(pixels, 1e4))
    with pytest.raises(BadInput, match="singular"):
        image_to_specimen(Image(pixels, 1e4, ((1.0, 1.0, 0.0), (1.0, 1.0, 0.0))))
    with pytest.raises(BadInput, match="singular"):
        shift_to_stage(StagePosition(0, 0), ((1.0, 2.0), (2.0, 4.0)))
    with pytest.raises(BadInput, match="singular"):
        specimen_to_stage(Tilt(45.0), HeightPlane(0.0, 0.0, 1.0))  # a slope that the beam runs along
    with pytest.raises(BadInput, match="finite"):
        specimen_to_stage(Tilt(10.0), HeightPlane(float("nan")))
