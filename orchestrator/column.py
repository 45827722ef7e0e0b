"""The driver's seat: one thread touches the microscope, and every call has a deadline.

A call that outlasts its deadline becomes `Stuck`: its thread is given up, the driver connected anew, and what the
instrument says of itself is read before anything else is asked of it. Whether the lost command ran is for the journal
to settle; it is never sent again from here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from ..hardware.clock import Clock
from ..hardware.errors import Garbage, ScopeFault, Stuck
from ..hardware.protocols import HeightMethod, Microscope
from ..hardware.records import (
    Acquired,
    Capabilities,
    Drift,
    Focused,
    ImageShift,
    ScopeStatus,
    Shot,
    Slot,
    StagePosition,
)
from ..protocols.preset import Level, Preset
from ..targeting.aiming import AS_IT_IS, Aiming

T = TypeVar("T")

READINGS = frozenset({"loaded", "position", "status", "capabilities", "presets", "stored"})
"""Calls that change nothing, so that a crash around them is a crash around the act before."""

PIXELS_PER_S = 150_000
"""Slowest read-out and transfer to be borne before a camera is given up."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each act may take, in seconds; several times what it takes on a healthy instrument."""

    reading: float = 60.0
    inventory: float = 1800.0
    exchange: float = 900.0
    move: float = 180.0
    optics: float = 120.0
    height: float = 600.0
    focus: float = 400.0
    zero_loss: float = 300.0
    valve: float = 120.0
    refill: float = 3600.0
    camera: float = 60.0
    park: float = 300.0
    connect: float = 7200.0
    """A simulated microscope first brings the clock to where its world had come to."""


@dataclass(frozen=True, slots=True)
class Reread:
    """What the instrument said of itself after its driver was restarted."""

    loaded: int | None
    stage: StagePosition
    status: ScopeStatus


def _nothing(_: str) -> None:
    """Stand where a trigger point would."""


class Seat:
    """One thread that does what it is given, in order; a daemon, so that a hung instrument cannot keep us alive."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._work, name="column", daemon=True).start()

    def submit(self, call: Callable[[], T]) -> "Future[T]":
        """Queue a call."""
        future: Future[T] = Future()
        self._queue.put((future, call))
        return future

    def leave(self) -> None:
        """Let the thread end once it is free."""
        self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, call = item
            try:
                answer = call()
            except BaseException as error:  # handed to whoever waits
                future.set_exception(error)
            else:
                future.set_result(answer)


class Column:
    """The microscope as the rest of the night may touch it."""

    def __init__(
        self,
        connect: Callable[[], Microscope],
        clock: Clock,
        point: Callable[[str], None] = lambda _: None,
        on_restart: Callable[[str, Reread], None] = lambda _act, _reread: None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._point = point
        self.on_restart = on_restart
        self.deadlines = deadlines or Deadlines()
        self.last_status: ScopeStatus | None = None
        """The last reading of health, for those who may not ask the microscope."""
        self.aiming: Aiming = AS_IT_IS
        """How shifts and the frames of images are corrected."""
        self._level: Level | None = None
        self._slowest_s = 0.0
        self._seat = Seat()
        self._scope = self._ask(self._connect, self.deadlines.connect)
        self._slowest_s = self.capabilities().slowest_call_s

    def close(self) -> None:
        """Give up the seat; the microscope stays as it is."""
        self._seat.leave()

    # Loader

    def inventory(self) -> Sequence[Slot]:
        """Say what is in every slot."""
        return self._do("inventory", lambda scope: scope.inventory(), self.deadlines.inventory)

    def loaded(self) -> int | None:
        """Say whose slot the grid on the stage belongs to."""
        return self._do("loaded", lambda scope: scope.loaded(), self.deadlines.reading)

    def load(self, slot: int) -> None:
        """Bring this slot's grid to the stage."""
        self._do("load", lambda scope: scope.load(slot), self.deadlines.exchange)

    def unload(self) -> None:
        """Bring the grid on the stage back to its slot."""
        self._do("unload", lambda scope: scope.unload(), self.deadlines.exchange)

    # Stage

    def position(self) -> StagePosition:
        """Read the stage."""
        return _believable(self._do("position", lambda scope: scope.position(), self.deadlines.reading))

    def go_to(self, target: StagePosition) -> StagePosition:
        """Move the stage; returns where it says it got to."""
        return _believable(self._do("go_to", lambda scope: scope.go_to(target), self.deadlines.move))

    # Optics

    def presets(self) -> Mapping[Level, Preset]:
        """Answer the presets set up on the microscope."""
        return self._do("presets", lambda scope: scope.presets(), self.deadlines.reading)

    def use(self, preset: Preset) -> None:
        """Set the optics of one level."""
        self._level = preset.level
        self._do("use", lambda scope: scope.use(preset), self.deadlines.optics)

    def shift_image(self, shift: ImageShift) -> None:
        """Set the beam-image shift, given as what it shall do on the specimen."""
        commanded = self.aiming.commanded(self._level, shift)
        self._do("shift_image", lambda scope: scope.shift_image(commanded), self.deadlines.optics)

    def set_defocus(self, defocus_um: float) -> None:
        """Set the defocus."""
        self._do("set_defocus", lambda scope: scope.set_defocus(defocus_um), self.deadlines.optics)

    def refine_zero_loss(self) -> None:
        """Centre the zero-loss peak."""
        self._do("refine_zero_loss", lambda scope: scope.refine_zero_loss(), self.deadlines.zero_loss)

    # Focus

    def eucentric_height(self, how: HeightMethod) -> float:
        """Find the eucentric height and bring the stage to it."""
        height_um = self._do("eucentric_height", lambda scope: scope.eucentric_height(how), self.deadlines.height)
        if not math.isfinite(height_um):
            raise Garbage("the microscope reported a height that is no number; the height is asked for again")
        return height_um

    def autofocus(self, target_um: float) -> Focused:
        """Focus at the present place."""
        focused = self._do("autofocus", lambda scope: scope.autofocus(target_um), self.deadlines.focus)
        if not math.isfinite(focused.defocus_um):
            raise Garbage("the microscope reported a defocus that is no number; focusing is tried again")
        return focused

    def settle(self, below_a_per_s: float, timeout_s: float) -> Drift:
        """Wait for the drift to fall below the limit."""
        drift = self._do(
            "settle", lambda scope: scope.settle(below_a_per_s, timeout_s), timeout_s + self.deadlines.focus
        )
        if not math.isfinite(drift.rate_a_per_s):
            raise Garbage("the microscope reported a drift that is no number; it is measured again")
        return drift

    # Camera

    def acquire(self, shot: Shot, name: str) -> Acquired:
        """Expose, and have the image on disk when this returns."""
        preset = shot.preset
        pixels = preset.rows_px * preset.cols_px * (preset.frames if shot.save_frames else 1)
        deadline_s = self.deadlines.camera + preset.exposure_s + pixels / PIXELS_PER_S
        acquired = self._do("acquire", lambda scope: scope.acquire(shot, name), deadline_s)
        _believable(acquired.stage)
        if not (
            math.isfinite(acquired.mean_counts)
            and all(math.isfinite(v) for row in acquired.image_to_stage for v in row)
        ):
            raise Garbage(f"image {name} came with counts or a position that are no numbers; it is not used")
        return self.aiming.placed(acquired)

    def stored(self, name: str) -> Acquired | None:
        """Answer what the camera has on disk under this name."""
        found = self._do("stored", lambda scope: scope.stored(name), self.deadlines.camera)
        return None if found is None else self.aiming.placed(found)

    # Health

    def status(self) -> ScopeStatus:
        """Read valve, vacuum, beam, dewars, loader."""
        self.last_status = self._do("status", lambda scope: scope.status(), self.deadlines.reading)
        return self.last_status

    def open_valve(self) -> None:
        """Open the column valve."""
        self._do("open_valve", lambda scope: scope.open_valve(), self.deadlines.valve)

    def refill(self) -> None:
        """Fill the dewars and wait for the end."""
        self._do("refill", lambda scope: scope.refill(), self.deadlines.refill)

    def capabilities(self) -> Capabilities:
        """Say what the microscope can do."""
        return self._do("capabilities", lambda scope: scope.capabilities(), self.deadlines.reading)

    def park(self) -> None:
        """Bring the microscope to rest."""
        self._do("park", lambda scope: scope.park(), self.deadlines.park)

    # The seat

    def _do(self, act: str, call: Callable[[Microscope], T], deadline_s: float) -> T:
        deadline_s = max(deadline_s, self._slowest_s)
        point = self._point if act not in READINGS else _nothing
        point(f"before {act}")
        try:
            answer = self._ask(lambda: call(self._scope), deadline_s)
        except TimeoutError:
            raise self._stuck(act, deadline_s) from None
        point(f"after {act}")
        return answer

    def _ask(self, call: Callable[[], T], deadline_s: float) -> T:
        return self._clock.watch(lambda: self._seat.submit(call), deadline_s)

    def _stuck(self, act: str, deadline_s: float) -> Exception:
        """Give up the thread that hangs, connect anew, read the state; answers the error to raise."""
        self._clock.abandon()
        self._seat.leave()
        self._seat = Seat()
        try:
            self._scope = self._ask(self._connect, self.deadlines.connect)
            scope = self._scope
            reread = self._ask(
                lambda: Reread(scope.loaded(), scope.position(), scope.status()), self.deadlines.exchange
            )
        except TimeoutError:
            # Whoever asks next must not queue behind the call that hangs.
            self._clock.abandon()
            self._seat.leave()
            self._seat = Seat()
            return ScopeFault(f"the microscope did not answer {act}, nor after its driver was restarted; look at it")
        self.on_restart(act, reread)
        return Stuck(
            f"{act} gave no answer in {deadline_s:.0f} s; its driver was restarted and the microscope's state read"
        )


def _believable(position: StagePosition) -> StagePosition:
    if not all(math.isfinite(v) for v in (position.x_um, position.y_um, position.z_um, position.alpha_deg)):
        raise Garbage("the stage reported a position that is no number; it is asked again before anything moves")
    return position
