"""What every hardware call goes through: it is counted, faults strike it, its effects are kept before it answers."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from ..errors import ConnectionLost
from .faults import FailCall, Fault, struck
from .instrument import Instrument

T = TypeVar("T")

HANG_S = 1e9


class Calls:
    """The door between callers and the instrument."""

    def __init__(self, instrument: Instrument, faults: Sequence[Fault], plan: FailCall | None) -> None:
        self._instrument = instrument
        self._faults = tuple(faults)
        self._plan = plan

    def act(
        self, call: str, effect: Callable[[], T], garbled: Callable[[T], T] | None = None, slot: int | None = None
    ) -> T:
        """Do something to the instrument.

        Parameters
        ----------
        call
            Name of the method.
        effect
            What it does.
        garbled
            Turns its answer into one that cannot be true. An act that has no answer to garble is quietly not done when
            a fault asks for garbage.
        slot
            The slot it is about, if that is not the one whose grid is on the stage.
        """
        self._instrument.state.acts += 1
        return self._perform(call, effect, garbled, slot)

    def read(self, call: str, effect: Callable[[], T], garbled: Callable[[T], T]) -> T:
        """Ask the instrument something; this draws no random numbers, so it may be asked any number of times."""
        return self._perform(call, effect, garbled, None)

    def _perform(self, call: str, effect: Callable[[], T], garbled: Callable[[T], T] | None, slot: int | None) -> T:
        instrument, state = self._instrument, self._instrument.state
        state.calls += 1
        state.calls_of[call] = state.calls_of.get(call, 0) + 1
        instrument.let_time_pass()
        hits = self._strike(call, state.on_stage if slot is None else slot)
        instrument.keep()
        if "hang-before" in hits:
            instrument.clock.sleep(HANG_S)
        if "lost-before" in hits:
            raise _lost(call)
        if "garbage" in hits and garbled is None:
            return None  # type: ignore[return-value]
        try:
            answer = effect()
        except Exception:
            # A failed act has its effects too: time, dose, a grid unloaded.
            self._keep()
            raise
        self._keep()
        if "hang-after" in hits:
            instrument.clock.sleep(HANG_S)
        if "lost-after" in hits:
            raise _lost(call)
        return garbled(answer) if "garbage" in hits and garbled is not None else answer

    def _keep(self) -> None:
        self._instrument.let_time_pass()
        self._instrument.keep()

    def _strike(self, call: str, slot: int | None) -> frozenset[str]:
        """Find what strikes this call, and let lasting faults begin."""
        instrument, state = self._instrument, self._instrument.state
        hits: set[str] = set()
        for index, fault in enumerate(self._faults):
            strikes = state.strikes.get(index, 0)
            if struck(fault, call, slot, state.calls_of[call], instrument.hours(), strikes):
                state.strikes[index] = strikes + 1
                hits.add(_name(fault))
                _begin(instrument, fault)
        if self._plan is not None and self._plan.number == state.calls:
            hits.add("lost-before" if self._plan.how == "raise" else self._plan.how)
        instrument.striking = frozenset(hits)
        return instrument.striking


def _begin(instrument: Instrument, fault: Fault) -> None:
    """Bring about what lasts."""
    state, now = instrument.state, instrument.clock.now()
    until = datetime.max.replace(tzinfo=now.tzinfo) if fault.lasts_h is None else now + timedelta(hours=fault.lasts_h)
    match fault.kind:
        case "valve-closes":
            state.valve_open, state.valve_stuck_until = False, until
        case "vacuum-lost":
            state.valve_open, state.vacuum_lost_until = False, until
        case "beam-off":
            state.beam_off_until = until
        case _:
            pass


def _name(fault: Fault) -> str:
    match fault.kind:
        case "call-hangs":
            return f"hang-{fault.how}"
        case "connection-lost":
            return f"lost-{fault.how}"
        case _:
            return fault.kind


def _lost(call: str) -> ConnectionLost:
    return ConnectionLost(f"the connection dropped during {call}; read the state before anything else")
