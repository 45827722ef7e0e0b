"""The cassette and the way of a grid to the stage: each load seats the grid anew."""

from ...errors import LoaderJammed, LoadFailed
from ...records import Slot, SlotState
from .instrument import Instrument


def inventory(instrument: Instrument) -> tuple[Slot, ...]:
    """Look into every slot."""
    instrument.spend(instrument.profile.times.inventory, "inventory")
    return tuple(Slot(slot, _state_of(instrument, slot)) for slot in range(1, instrument.profile.loader.slots + 1))


def loaded(instrument: Instrument) -> int | None:
    """Say whose slot the grid on the stage belongs to; a fault may make it name the next one."""
    here = instrument.state.on_stage
    if "wrong-slot-reading" in instrument.striking:
        return (here or 0) % instrument.profile.loader.slots + 1
    return here


def load(instrument: Instrument, slot: int) -> None:
    """Bring a grid to the stage, unloading another first.

    Raises
    ------
    LoadFailed
        The slot is empty, there is no such slot, or its cartridge did not arrive; the stage is empty then.
    LoaderJammed
        No more exchanges tonight.
    """
    state = instrument.state
    if state.on_stage == slot:
        return
    if not 1 <= slot <= instrument.profile.loader.slots:
        raise LoadFailed(f"there is no slot {slot}; the cassette has slots 1 to {instrument.profile.loader.slots}")
    _check_jam(instrument)
    unload(instrument)
    state.attempts[slot] = state.attempts.get(slot, 0) + 1
    instrument.spend(instrument.profile.times.load, "load")
    _check_jam(instrument)
    if "load-fails" in instrument.striking:
        raise LoadFailed(f"slot {slot}: the loader reports that the cartridge did not arrive; try again or leave it")
    grid = instrument.grid_in(slot)
    if grid is None:
        raise LoadFailed(f"slot {slot} is empty; there is nothing to load from it")
    state.loads[slot] = state.loads.get(slot, 0) + 1
    state.on_stage, state.grid = slot, grid
    _come_to_rest(instrument)


def unload(instrument: Instrument) -> None:
    """Bring the grid on the stage back to its slot; raises `LoaderJammed`."""
    if instrument.state.on_stage is None:
        return
    _check_jam(instrument)
    instrument.spend(instrument.profile.times.unload, "unload")
    instrument.state.on_stage = instrument.state.grid = None


def _come_to_rest(instrument: Instrument) -> None:
    """Leave the stage in the middle, flat, with the shift off and the holder drifting, as an exchange does."""
    state, stage = instrument.state, instrument.profile.stage
    state.x_um = state.y_um = state.z_um = state.alpha_deg = 0.0
    state.error_x_um = state.error_y_um = state.error_z_um = 0.0
    state.slow_x_um = state.slow_y_um = 0.0
    state.shift_x_um = state.shift_y_um = 0.0
    state.focal_um = 0.0
    rng = instrument.rng("exchange")
    state.drift_a_per_s = float(stage.drift_a_per_s[1] * rng.uniform(0.7, 1.0))
    state.drift_tau_s = float(3 * stage.drift_tau_s[1])
    state.drift_turn_rad = float(rng.uniform(0, 6.283))
    state.moved_at = instrument.clock.now()


def _check_jam(instrument: Instrument) -> None:
    if "loader-jam" in instrument.striking:
        instrument.state.jammed = True
    if instrument.state.jammed:
        raise LoaderJammed("the loader is jammed; somebody has to look at it before the next exchange")


def _state_of(instrument: Instrument, slot: int) -> SlotState:
    if instrument.state.on_stage == slot:
        return SlotState.ON_STAGE
    return SlotState.EMPTY if instrument.grid_in(slot) is None else SlotState.OCCUPIED
