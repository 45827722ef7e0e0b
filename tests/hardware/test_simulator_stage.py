"""Stage, drift, focus and dewars behave in numbers as the profile says."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.errors import FocusFailed, StageLimit
from epicycle.hardware.records import ImageShift, Shot, StagePosition
from epicycle.hardware.simulator.grid.openings import SquareKind

Make = Callable[..., Any]


def errors_after(microscope: Any, instrument: Any, far_um: float, count: int = 120) -> np.ndarray:
    found = []
    for number in range(count):
        microscope.go_to(StagePosition(far_um * (number % 2), 0.0))
        found.append((instrument.state.error_x_um, instrument.state.error_y_um))
    return np.array(found)


def test_long_moves_end_less_exactly_than_short_ones(bench: Make, behind: Make) -> None:
    microscope = bench().connect()
    microscope.load(1)
    instrument = behind(microscope)
    short = np.diff(errors_after(microscope, instrument, 5.0), axis=0)
    long = np.diff(errors_after(microscope, instrument, 900.0), axis=0)
    assert short[:, 1].std() / np.sqrt(2) == pytest.approx(0.21, rel=0.25)
    assert long[:, 1].std() / np.sqrt(2) == pytest.approx(1.0, rel=0.3)


def test_height_and_tilt_leave_the_place_alone(bench: Make, behind: Make) -> None:
    microscope = bench().connect()
    microscope.load(1)
    at = microscope.go_to(StagePosition(100.0, 50.0))
    state = behind(microscope).state
    kept = (state.error_x_um, state.error_y_um)
    microscope.go_to(StagePosition(at.x_um, at.y_um, 20.0, 5.0))
    assert (state.error_x_um, state.error_y_um) == kept


def test_backlash_left_over_lags_behind_the_move(bench: Make, behind: Make) -> None:
    microscope = bench().connect()
    microscope.load(1)
    changes = np.diff(errors_after(microscope, behind(microscope), 5.0, 400)[:, 0])
    # Moves 1, 3, … went up in x, 2, 4, … came back.
    assert changes[0::2].mean() == pytest.approx(-0.2, abs=0.08)
    assert changes[1::2].mean() == pytest.approx(0.2, abs=0.08)


def test_going_where_it_is_moves_nothing(bench: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    at = microscope.go_to(StagePosition(50.0, 60.0))
    state, before = behind(microscope).state, night.clock.now()
    kept = (state.error_x_um, state.error_y_um, state.moved_at)
    assert microscope.go_to(StagePosition(50.0, 60.0)) == at
    assert (state.error_x_um, state.error_y_um, state.moved_at) == kept
    assert night.clock.now() == before


def test_longer_moves_take_longer(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    took = []
    for far in (10.0, 900.0):
        begun = night.clock.now()
        microscope.go_to(StagePosition(far, 0.0))
        took.append((night.clock.now() - begun).total_seconds())
    assert took[1] > took[0] + 5.0


def test_drift_decays_after_a_move(bench: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    starts, taus = [], []
    for number in range(40):
        microscope.go_to(StagePosition(400.0 * (number % 2) - 200.0, 0.0))
        instrument, now = behind(microscope), night.clock.now()
        floor = instrument.profile.stage.drift_floor_a_per_s
        first = instrument.drift_rate(now) - floor
        night.clock.sleep(20.0)
        second = instrument.drift_rate(night.clock.now()) - floor
        starts.append(first)
        taus.append(-20.0 / math.log(second / first))
    assert min(starts) >= 5.0
    assert max(starts) <= 30.0
    assert min(taus) >= 10.0
    assert max(taus) <= 30.0


def test_settling_waits_for_the_drift_that_the_move_left(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    microscope.go_to(StagePosition(500.0, 0.0))
    loose = microscope.settle(5.0, 300.0)
    tight = microscope.settle(1.0, 300.0)
    assert loose.settled
    assert tight.settled
    assert tight.waited_s > 5.0
    assert microscope.settle(1.0, 300.0).waited_s < 10.0, "it is at rest already"


def test_beyond_any_limit_is_said(bench: Make) -> None:
    microscope = bench().connect()
    for far in (
        StagePosition(991.0, 0.0),
        StagePosition(0.0, -1e4),
        StagePosition(0.0, 0.0, 300.0),
        StagePosition(0.0, 0.0, 0.0, 75.0),
        StagePosition(math.nan, 0.0),
    ):
        with pytest.raises(StageLimit):
            microscope.go_to(far)
    with pytest.raises(StageLimit):
        microscope.shift_image(ImageShift(math.nan, 0.0))


def test_eucentric_height_brings_the_specimen_to_height(bench: Make, on_square: Make, behind: Make) -> None:
    left = []
    for seed in range(12):
        night = bench(seed=seed, folder=str(seed))
        microscope = night.connect()
        at = on_square(microscope)
        microscope.go_to(StagePosition(at.x_um, at.y_um, at.z_um + 25.0))
        microscope.eucentric_height("tilt" if seed % 2 else "focus")
        instrument = behind(microscope)
        left.append(instrument.height_um(instrument.looked_at(night.clock.now())))
    assert np.median(np.abs(left)) < 1.0


def on_film(microscope: Any, instrument: Any, at: StagePosition) -> ImageShift:
    """Give the image shift to the nearest place in the middle between holes."""
    world, state = instrument.world, instrument.state
    aim = np.array([at.x_um + state.error_x_um, at.y_um + state.error_y_um])
    x, y = instrument.to_grid(aim)
    index = np.linalg.inv(world.film.basis_um) @ (np.array([x, y]) - world.film.origin_um)
    off = world.film.basis_um @ (np.floor(index) + 0.5 - index)
    turn = instrument.seating.turn_rad
    c, s = math.cos(turn), math.sin(turn)
    return ImageShift(float(c * off[0] - s * off[1]), float(s * off[0] + c * off[1]))


def test_autofocus_finds_the_defocus_and_costs_dose(bench: Make, on_square: Make, behind: Make) -> None:
    left, said = [], []
    for seed in range(12):
        night = bench(seed=seed, folder=str(seed))
        microscope = night.connect()
        at = on_square(microscope)
        instrument = behind(microscope)
        microscope.use(microscope.presets()["focus"])
        microscope.shift_image(on_film(microscope, instrument, at))
        instrument.state.focal_um += 3.0 * (-1) ** seed
        said.append(microscope.autofocus(-1.5).defocus_um)
        microscope.set_defocus(-2.0)
        now = night.clock.now()
        left.append(instrument.true_defocus_um(instrument.looked_at(now), now) + 2.0)
        assert instrument.doses[-1].level == "focus"
        assert instrument.doses[-1].dose_e_per_a2 > 0
    assert np.median(np.abs(left)) < 0.1
    assert np.abs(np.array(said) + 1.5).max() < 0.2


def test_nothing_to_see_nothing_to_focus_on(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(world={"grids": {"1": {"kind": "broken", "empty": 0.9, "torn": 0.0, "dry": 0.0}}})
    microscope = night.connect()
    with pytest.raises(FocusFailed):
        microscope.eucentric_height("tilt")
    microscope.load(1)
    world = behind(microscope).world
    empty = next((i, j) for i in range(-3, 4) for j in range(-3, 4) if world.square(i, j).kind[0] == SquareKind.EMPTY)
    on_square(microscope, empty)
    with pytest.raises(FocusFailed, match="no film"):
        microscope.eucentric_height("focus")
    at = microscope.position()
    microscope.go_to(StagePosition(at.x_um + world.bars.mesh.pitch_um / 2, at.y_um, at.z_um))
    with pytest.raises(FocusFailed):
        microscope.autofocus(-1.0)


def test_dewars_fill_by_themselves_and_shake(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    due = microscope.status().refill_due_s
    assert due is not None
    night.clock.sleep(due + 60)
    assert microscope.status().filling
    assert microscope.status().refill_due_s == 0.0
    shaken = microscope.settle(2.0, 30.0)
    assert not shaken.settled
    assert shaken.rate_a_per_s > 20.0
    image = microscope.acquire(Shot(microscope.presets()["hole"]), "during")
    assert image.path is not None
    begun = night.clock.now()
    microscope.refill()
    assert 60.0 < (night.clock.now() - begun).total_seconds() < 1800.0
    assert not microscope.status().filling
    assert microscope.status().refill_due_s > 6 * 3600
    assert microscope.settle(2.0, 120.0).settled


def test_a_refill_at_once_puts_off_the_next(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    before = microscope.status().refill_due_s
    microscope.refill()
    after = microscope.status().refill_due_s
    assert before < 4.1 * 3600
    assert after > 7 * 3600
