"""What every hardware call goes through: it is counted, faults strike it, its effects are kept before it answers."""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from ...errors import ConnectionLost
from . import lasting
from .camera import HANG_S
from .fault_kinds import NATURES
from .faults import FailCall, Fault, Moment, struck
from .instrument import Instrument
from .memory import Struck

T = TypeVar("T")


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
        self._wait_for_box()
        if "hang-before" in hits:
            instrument.clock.sleep(HANG_S)
        if hits & {"lost-before", "driver-restart"}:
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

    def _looked_at(self, frame: Literal["stage", "grid"]) -> tuple[float, float] | None:
        """Give the place in the middle of the camera, as the stage reads it or where it is on the grid."""
        instrument, state = self._instrument, self._instrument.state
        if state.on_stage is None:
            return None
        if frame == "stage":
            return state.x_um, state.y_um
        x, y = instrument.to_grid(instrument.looked_at(instrument.clock.now()))
        return float(x), float(y)

    def _wait_for_box(self) -> None:
        """Answer nothing while a box waits for a person."""
        until, clock = self._instrument.state.box_until, self._instrument.clock
        if until is not None and clock.now() < until:
            clock.sleep((until - clock.now()).total_seconds())

    def _keep(self) -> None:
        self._instrument.let_time_pass()
        self._instrument.keep()

    def _strike(self, call: str, slot: int | None) -> frozenset[str]:
        """Find what strikes this call, and let lasting faults begin."""
        instrument, state = self._instrument, self._instrument.state
        hits: set[str] = set()
        moment = Moment(call, state.calls_of[call], slot, instrument.hours(), instrument.seed, self._looked_at)
        for index, fault in enumerate(self._faults):
            strikes = state.strikes.get(index, 0)
            if struck(fault, index, moment, strikes):
                state.strikes[index] = strikes + 1
                hits.add(_name(fault))
                lasting.begin(instrument, fault, strikes)
                instrument.memory.write_struck(
                    Struck(
                        instrument.clock.now(),
                        fault.kind,
                        index,
                        strikes + 1,
                        call,
                        moment.number,
                        slot,
                        fault.lasts_h if NATURES[fault.kind].lasts else None,
                        NATURES[fault.kind].what,
                    )
                )
        if self._plan is not None and self._plan.number == state.calls:
            hits.add("lost-before" if self._plan.how == "raise" else self._plan.how)
        instrument.striking = frozenset(hits)
        return instrument.striking


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
