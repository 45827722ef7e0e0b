"""What goes on by itself: dewar fills, cycles of the buffer's pump, flashes of the emitter, and what they do.

Each begins at a time that the state holds, lasts its drawn length, and fixes when the next one comes. Reading the time
draws nothing: every length follows from the seed and from how many came before.
"""

import math
from datetime import datetime, timedelta

import numpy as np

from ..grid.cells import normal, uniform
from .profile import Profile
from .state import State

LEAST_EMISSION = 0.05
"""A cold emitter that is never flashed ends at so much of its beam; assumed."""


def begin(state: State, profile: Profile, own: int) -> None:
    """Fix when the first pump cycle and the first flash come, where no state says so yet."""
    if state.pump_at is None:
        waits = profile.pump.every_h * (0.3 + 0.7 * float(uniform(own, "first pump", 0)))
        state.pump_at = state.started + timedelta(hours=waits)
        state.pump_s = profile.pump.cycle.draw(float(normal(own, "pump", 0, 1)))
    if state.flash_at is None:
        state.flash_at = state.started + timedelta(hours=profile.optics.flash_every_h)
        state.flash_s = profile.times.flash.draw(float(normal(own, "flash", 0)))


def pass_time(state: State, profile: Profile, own: int, now: datetime) -> None:
    """Bring to the present what has ended meanwhile, and fix when its next one comes."""
    state.now = max(state.now, now)
    begin(state, profile, own)
    _fill(state, profile, own, now)
    _pump(state, profile, own, now)
    _flash(state, profile, own, now)


def filling(state: State, profile: Profile, at: datetime) -> bool:
    """Whether a dewar fill is under way."""
    return profile.dewars.has_refill and at >= state.fill_at


def pumping(state: State, at: datetime) -> bool:
    """Whether the buffer's pump runs."""
    return state.pump_at is not None and state.pump_at <= at < state.pump_at + timedelta(seconds=state.pump_s)


def flashing(state: State, at: datetime) -> bool:
    """Whether the emitter is being flashed; there is no beam then."""
    return state.flash_at is not None and state.flash_at <= at < state.flash_at + timedelta(seconds=state.flash_s)


def emission(state: State, profile: Profile, at: datetime) -> float:
    """Give the emitted current as a fraction of what it is right after a flash; 0 while flashing."""
    if flashing(state, at):
        return 0.0
    hours = (at - (state.flashed_at or state.started)).total_seconds() / 3600
    left = (1 - profile.optics.beam_decay_per_h * max(hours, 0.0)) * (1 - state.emission_lost)
    return max(left, LEAST_EMISSION)


def shaking_a_per_s(state: State, profile: Profile, at: datetime) -> float:
    """Give how fast fills, pump and vibration shake the specimen, Å/s; it trembles and is carried nowhere."""
    dewars, pump = profile.dewars, profile.pump
    rate = (
        dewars.drift_a_per_s
        if filling(state, profile, at)
        else _ebbing(dewars.drift_a_per_s, state.filled_at, dewars.settle_s, at)
    )
    rate += (
        pump.drift_a_per_s if pumping(state, at) else _ebbing(pump.drift_a_per_s, state.pumped_at, pump.settle_s, at)
    )
    if state.vibrates_until is not None and at < state.vibrates_until:
        rate += state.vibration_a_per_s
    return rate


def _ebbing(strength: float, ended: datetime | None, settle_s: float, at: datetime) -> float:
    if ended is None or settle_s <= 0:
        return 0.0
    since = (at - ended).total_seconds()
    return strength * math.exp(-4 * since / settle_s) if 0 <= since < 2 * settle_s else 0.0


def _fill(state: State, profile: Profile, own: int, now: datetime) -> None:
    dewars = profile.dewars
    while dewars.has_refill and now >= state.fill_at + timedelta(seconds=state.fill_s):
        state.filled_at = state.fill_at + timedelta(seconds=state.fill_s)
        state.fills += 1
        draws = normal(own, "fill", state.fills, np.arange(2))
        state.fill_at = state.filled_at + timedelta(hours=dewars.fill_every_h * math.exp(0.03 * float(draws[0])))
        state.fill_s = dewars.fill.draw(float(draws[1]))


def _pump(state: State, profile: Profile, own: int, now: datetime) -> None:
    while state.pump_at is not None and now >= state.pump_at + timedelta(seconds=state.pump_s):
        state.pumped_at = state.pump_at + timedelta(seconds=state.pump_s)
        state.pumps += 1
        draws = normal(own, "pump", state.pumps, np.arange(2))
        state.pump_at = state.pumped_at + timedelta(hours=profile.pump.every_h * math.exp(0.1 * float(draws[0])))
        state.pump_s = profile.pump.cycle.draw(float(draws[1]))


def _flash(state: State, profile: Profile, own: int, now: datetime) -> None:
    while state.flash_at is not None and now >= state.flash_at + timedelta(seconds=state.flash_s):
        state.flashed_at = state.flash_at + timedelta(seconds=state.flash_s)
        state.flashes += 1
        state.emission_lost = 0.0
        state.flash_at = state.flashed_at + timedelta(hours=profile.optics.flash_every_h)
        state.flash_s = profile.times.flash.draw(float(normal(own, "flash", state.flashes)))
