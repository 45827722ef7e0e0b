"""How a fault that has struck changes the instrument: what lasts, until when, and what nobody is told."""

import math
from datetime import datetime, timedelta

import numpy as np

from ..grid.cells import key, uniform
from .faults import Fault
from .instrument import Instrument

VIBRATION_A_PER_S, ZERO_LOSS_JUMP_EV, EMISSION_LOST = 30.0, 30.0, 0.65
"""How strong the faults of these names are; assumed."""

BEAM_ASTRAY = 0.8
"""How far a beam that has moved stands beside the axis, as a fraction of its radius; assumed."""


def begin(instrument: Instrument, fault: Fault, strike: int) -> None:
    """Bring about what goes on after the call that was struck."""
    state, now = instrument.state, instrument.clock.now()
    until = datetime.max.replace(tzinfo=now.tzinfo) if fault.lasts_h is None else now + timedelta(hours=fault.lasts_h)
    match fault.kind:
        case "valve-closes":
            state.valve_open, state.valve_stuck_until = False, until
        case "vacuum-lost":
            state.valve_open, state.vacuum_lost_until = False, until
        case "beam-off":
            state.beam_off_until = until
        case "beam-moved":
            turn = 2 * math.pi * float(uniform(key("astray", instrument.seed), "turn", strike))
            state.beam_moved_until = until
            state.beam_moved = BEAM_ASTRAY * math.cos(turn), BEAM_ASTRAY * math.sin(turn)
        case "dark-images":
            state.dark_until = until
        case "share-gone":
            state.share_gone_until = until
        case "message-box":
            state.box_until = until
        case "vibration":
            state.vibrates_until, state.vibration_a_per_s = until, VIBRATION_A_PER_S
        case "fill-during-shot":
            state.fill_at = min(state.fill_at, now)
        case "pump-cycle":
            state.pump_at, state.pump_s = now, (until - now).total_seconds()
        case "flash-needed":
            state.emission_lost = EMISSION_LOST
            if fault.lasts_h is not None and state.flash_at is not None:
                state.flash_at = min(state.flash_at, until)
        case "zero-loss-lost":
            state.zero_loss_jump_ev = ZERO_LOSS_JUMP_EV
        case "driver-restart":
            state.preset, state.shift_x_um, state.shift_y_um, state.defocus_um = None, 0.0, 0.0, 0.0
        case "grid-swapped":
            _swap(instrument, fault.slots or _two_slots(instrument, strike))
        case _:
            pass


def _two_slots(instrument: Instrument, strike: int) -> tuple[int, int] | None:
    """Draw two slots that are not empty and whose grids are not on the stage."""
    slots = range(1, instrument.profile.loader.slots + 1)
    there = [s for s in slots if s != instrument.state.on_stage and instrument.grid_in(s) is not None]
    if len(there) < 2:
        return None
    order = np.argsort(uniform(key("swapped", instrument.seed, strike), "order", np.arange(len(there))))
    return there[int(order[0])], there[int(order[1])]


def _swap(instrument: Instrument, slots: tuple[int, int] | None) -> None:
    if slots is None or instrument.state.on_stage in slots:
        return
    first, second = instrument.grid_in(slots[0]), instrument.grid_in(slots[1])
    instrument.state.in_slot.update({slots[0]: second, slots[1]: first})
