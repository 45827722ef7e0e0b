"""The column's health, and the acts that keep it well: valve, dewars, parking."""

from datetime import timedelta

from ...errors import VacuumLost, ValveClosed
from ...records import ScopeStatus, StagePosition, Vacuum
from . import rhythms, stage
from .instrument import Instrument


def status(instrument: Instrument) -> ScopeStatus:
    """Read valve, vacuum, beam, dewars, loader."""
    state, now = instrument.state, instrument.clock.now()
    due = max((state.fill_at - now).total_seconds(), 0.0)
    return ScopeStatus(
        valve_open=state.valve_open,
        vacuum=instrument.vacuum(now),
        beam_on=instrument.beam_on(now),
        filling=instrument.filling(now),
        refill_due_s=due if instrument.profile.dewars.has_refill else None,
        loader_ok=not state.jammed,
        free_disk_mb=0.0 if instrument.share_gone(now) else None,
        pumping=instrument.pumping(now),
        emission=rhythms.emission(state, instrument.profile, now),
    )


def open_valve(instrument: Instrument) -> None:
    """Open the column valve; raises `VacuumLost`, or `ValveClosed` while a fault keeps it from staying open."""
    state = instrument.state
    if state.valve_open:
        return
    instrument.spend(instrument.profile.times.valve, "valve")
    now = instrument.clock.now()
    if instrument.vacuum(now) is not Vacuum.GREEN:
        raise VacuumLost("the vacuum is not green; the valve stays closed until it is")
    if state.valve_stuck_until is not None and now < state.valve_stuck_until:
        raise ValveClosed("the column valve closes again by itself; wait, or have it looked at")
    state.valve_open = True


def refill(instrument: Instrument) -> None:
    """Fill the dewars, or wait for the fill that runs, until all is still; an emitter half due is flashed meanwhile."""
    state, dewars = instrument.state, instrument.profile.dewars
    if not dewars.has_refill:
        return
    now = instrument.clock.now()
    state.fill_at = min(state.fill_at, now)
    if state.flash_at is not None and instrument.hours(state.flash_at) - instrument.hours(now) < (
        instrument.profile.optics.flash_every_h / 2
    ):
        state.flash_at = min(state.flash_at, now)
    # A fill goes on although the process that asked for it dies.
    instrument.keep()
    end = state.fill_at + timedelta(seconds=state.fill_s + dewars.settle_s)
    instrument.clock.sleep((end - now).total_seconds())


def park(instrument: Instrument) -> None:
    """Close the valve, bring stage and shift to zero."""
    state = instrument.state
    state.valve_open = False
    state.shift_x_um = state.shift_y_um = 0.0
    stage.go_to(instrument, StagePosition(0.0, 0.0, 0.0, 0.0))
