"""Moving the stage: how long it takes, play and backlash, errors of position, and the drift a move leaves."""

import math

import numpy as np

from ...errors import StageLimit
from ...records import StagePosition
from .instrument import Instrument

OVERSHOOT_UM = 15.0
"""How far a stage runs beyond its target that does not stop in time; assumed."""


def position(instrument: Instrument) -> StagePosition:
    """Read the stage."""
    state = instrument.state
    return StagePosition(state.x_um, state.y_um, state.z_um, state.alpha_deg)


def go_to(instrument: Instrument, target: StagePosition) -> StagePosition:
    """Move there. Where it really ends is off by an error that longer moves make larger.

    Raises
    ------
    StageLimit
        The stage does not reach so far.
    """
    _check_limits(instrument, target)
    target = StagePosition(float(target.x_um), float(target.y_um), float(target.z_um), float(target.alpha_deg))
    state, stage, times = instrument.state, instrument.profile.stage, instrument.profile.times
    dx, dy, dz = target.x_um - state.x_um, target.y_um - state.y_um, target.z_um - state.z_um
    turn = target.alpha_deg - state.alpha_deg
    far = math.hypot(dx, dy)
    if max(far, abs(dz)) < stage.same_place_um and abs(turn) < 0.01:
        return position(instrument)
    instrument.spend(times.stage_move, "stage move")
    way_s = travel_s(far, times.stage_um_per_s, times.stage_um_per_s2)
    if abs(dz) >= stage.same_place_um:
        way_s += times.stage_z_s + abs(dz) / times.stage_z_um_per_s
    instrument.clock.sleep(way_s + abs(turn) / times.tilt_deg_per_s)
    if "stage-stuck" in instrument.striking:
        return position(instrument)
    rng = instrument.rng("stage")
    if "stage-overshoot" in instrument.striking and far >= stage.same_place_um:
        target = _beyond(instrument, target, dx / far, dy / far)
    if far >= stage.same_place_um:
        _err(instrument, dx, dy, rng)
    state.error_z_um = stage.z_error_um * float(rng.standard_normal())
    noise = stage.reading_noise_um * rng.standard_normal(3)
    state.x_um, state.y_um = target.x_um + float(noise[0]), target.y_um + float(noise[1])
    state.z_um, state.alpha_deg = target.z_um + float(noise[2]), target.alpha_deg
    least, most = stage.drift_a_per_s
    vigour = min(1.0, 0.3 + 0.7 * far / stage.long_move_um + abs(turn) / 20)
    state.drift_a_per_s = least + (most - least) * float(rng.random()) * vigour
    state.drift_tau_s = float(rng.uniform(*stage.drift_tau_s))
    state.drift_turn_rad = float(rng.uniform(0, 2 * math.pi))
    state.moved_at = instrument.clock.now()
    return position(instrument)


def _err(instrument: Instrument, dx: float, dy: float, rng: np.random.Generator) -> None:
    """Draw the error of a move: a part that wanders with the way gone, a new part, and what is left of the backlash."""
    state, stage = instrument.state, instrument.profile.stage
    far = math.hypot(dx, dy)
    kept = math.exp(-far / stage.long_move_um)
    slow = stage.error_long_um * math.sqrt(1 - kept**2) * rng.standard_normal(2)
    state.slow_x_um = kept * state.slow_x_um + float(slow[0])
    state.slow_y_um = kept * state.slow_y_um + float(slow[1])
    new = stage.error_um * rng.standard_normal(2) - stage.backlash_um * np.array([dx, dy]) / far
    _take_up_play(instrument, dx, dy)
    state.error_x_um = state.slow_x_um + float(new[0]) - state.play_x_um
    state.error_y_um = state.slow_y_um + float(new[1]) - state.play_y_um


def _take_up_play(instrument: Instrument, dx: float, dy: float) -> None:
    """Follow each drive through its play: it lags behind the way it went last, unless every move ends upwards.

    The lag of a move that is corrected is always the same and belongs to the stage's zero.
    """
    state, stage = instrument.state, instrument.profile.stage
    half, step = stage.play_um / 2, stage.backlash_step_um
    ends = []
    for lag, way in ((state.play_x_um, dx), (state.play_y_um, dy)):
        if step > 0:
            # The zero is where the lag is `half`: first beyond the target downwards, then up by the step.
            before = min(max(lag + half + way - step, -half), half)
            ends.append(min(max(before + step, -half), half) - half)
        else:
            ends.append(min(max(lag + way, -half), half))
    state.play_x_um, state.play_y_um = ends


def travel_s(way_um: float, speed_um_per_s: float, acceleration_um_per_s2: float) -> float:
    """Give how long a way takes from rest to rest."""
    if way_um < speed_um_per_s**2 / acceleration_um_per_s2:
        return 2 * math.sqrt(way_um / acceleration_um_per_s2)
    return way_um / speed_um_per_s + speed_um_per_s / acceleration_um_per_s2


def _beyond(instrument: Instrument, target: StagePosition, along_x: float, along_y: float) -> StagePosition:
    """Give where a stage ends that does not stop in time; it reads so."""
    limit = instrument.profile.stage.limit_um
    x_um = min(max(target.x_um + OVERSHOOT_UM * along_x, -limit), limit)
    y_um = min(max(target.y_um + OVERSHOOT_UM * along_y, -limit), limit)
    return StagePosition(x_um, y_um, target.z_um, target.alpha_deg)


def _check_limits(instrument: Instrument, target: StagePosition) -> None:
    stage = instrument.profile.stage
    for name, value, limit in (
        ("x", target.x_um, stage.limit_um),
        ("y", target.y_um, stage.limit_um),
        ("z", target.z_um, stage.z_limit_um),
        ("tilt", target.alpha_deg, stage.tilt_limit_deg),
    ):
        if not abs(value) <= limit:
            raise StageLimit(
                f"the stage cannot go to {name} = {value:g}; its limit is ±{limit:g}, choose another target"
            )
