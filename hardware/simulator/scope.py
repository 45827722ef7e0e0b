"""The simulated microscope: every call counted, every fault struck, every change kept before the answer goes out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from ...protocols.errors import BadInput
from ...protocols.preset import Level, Preset
from ..errors import ConnectionLost, StageLimit, VacuumLost, ValveClosed
from ..protocols import HeightMethod, Installation
from ..records import (
    Acquired,
    Capabilities,
    Drift,
    Focused,
    ImageShift,
    ScopeStatus,
    Shot,
    Slot,
    StagePosition,
    Vacuum,
)
from . import camera, focus, loader, stage
from .cassette_world import CassetteWorld, grids_of, load_world
from .faults import FailCall, Fault, drawn, read_faults, struck
from .instrument import Instrument, State
from .memory import Memory
from .profile import Frozen, Profile, first_complaint, load_profile

T = TypeVar("T")

HANG_S = 1e9


class SimulatorOptions(Frozen):
    """What a protocol may say to the simulator."""

    profile: str = Field(default="demo-2k", description="Instrument: a shipped profile's name or a YAML file.")
    world: str | CassetteWorld | None = Field(
        default=None,
        description="What lies in the cassette: a shipped world's name, a YAML file, or the world itself; null draws "
        "the kind of every grid from the seed.",
    )
    faults: str | tuple[Fault, ...] = Field(
        default=(), description="Faults of this night besides the world's own: a list, or a YAML file that holds one."
    )
    faults_per_h: float = Field(default=0.0, ge=0, le=4, description="Mean rate of faults drawn from the seed.")
    camera_scale: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Shrinks the camera of the profile's presets; survey views keep their field.",
    )
    fail_call: FailCall | None = Field(
        default=None, description="For tests: strikes the n-th hardware call of any kind."
    )


def connect(installation: Installation) -> "SimulatedMicroscope":
    """Connect to the instrument whose state is in ``installation.memory``, or make a new one there.

    Raises
    ------
    BadInput
        An option, profile or world that cannot be used, or a folder that belongs to another night.
    """
    try:
        options = SimulatorOptions.model_validate(dict(installation.options))
    except ValidationError as error:
        raise BadInput(f"options of the simulated microscope: {first_complaint(error)}") from error
    profile = load_profile(options.profile)
    memory = Memory(installation.memory)
    world = load_world(options.world)
    kept = memory.settle_world(
        {
            "seed": installation.seed,
            "profile": options.profile,
            "world": world.model_dump(mode="json", exclude_unset=True),
            "cassette": installation.cassette.model_dump(mode="json"),
        }
    )
    world = load_world(kept["world"])
    cassette = type(installation.cassette).model_validate(kept["cassette"])
    state = memory.read_state() or _first_state(profile, installation)
    if installation.clock.virtual and installation.clock.now() < state.now:
        installation.clock.sleep((state.now - installation.clock.now()).total_seconds())
    grids = grids_of(world, cassette, installation.seed, profile.loader.slots)
    instrument = Instrument(
        profile, grids, installation.seed, installation.clock, memory, installation.images, state, memory.doses()
    )
    installation.images.mkdir(parents=True, exist_ok=True)
    faults = [*world.faults, *read_faults(options.faults), *drawn(installation.seed, options.faults_per_h)]
    memory.write_state(state)
    return SimulatedMicroscope(instrument, faults, options)


class SimulatedMicroscope:
    """Implements `hardware.protocols.Microscope` on one simulated instrument."""

    def __init__(self, instrument: Instrument, faults: Sequence[Fault], options: SimulatorOptions) -> None:
        self._instrument = instrument
        self._faults = tuple(faults)
        self._options = options

    # What it can do

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        profile = self._instrument.profile
        optics = profile.optics
        return Capabilities(
            name=f"simulated {profile.name}",
            slots=profile.loader.slots,
            stage_limit_um=profile.stage.limit_um,
            tilt_limit_deg=profile.stage.tilt_limit_deg,
            image_shift_limit_um=optics.image_shift_limit_um,
            has_energy_filter=optics.energy_filter,
            has_refill=profile.dewars.has_refill,
            voltage_kv=optics.voltage_kv,
            cs_mm=optics.cs_mm,
            amplitude_contrast=optics.amplitude_contrast,
        )

    def presets(self) -> Mapping[Level, Preset]:
        """Answer the profile's presets, shrunk as the options ask."""
        return {name: _shrunk(level.preset, self._options.camera_scale) for name, level in self._levels()}

    def _levels(self) -> Any:
        return self._instrument.profile.levels.items()

    # Loader

    def inventory(self) -> Sequence[Slot]:
        """Look into every slot."""
        return self._act("inventory", lambda: loader.inventory(self._instrument), lambda _: ())

    def loaded(self) -> int | None:
        """Say whose grid is on the stage."""
        return self._act("loaded", lambda: self._instrument.state.on_stage, lambda _: 99, reads=True)

    def load(self, slot: int) -> None:
        """Bring a grid to the stage."""
        self._act("load", lambda: loader.load(self._instrument, slot), slot=slot)

    def unload(self) -> None:
        """Bring it back."""
        self._act("unload", lambda: loader.unload(self._instrument))

    # Stage

    def position(self) -> StagePosition:
        """Read the stage."""
        return self._act("position", lambda: stage.position(self._instrument), _nowhere, reads=True)

    def go_to(self, target: StagePosition) -> StagePosition:
        """Move the stage."""
        return self._act("go_to", lambda: stage.go_to(self._instrument, target), _nowhere)

    # Optics

    def use(self, preset: Preset) -> None:
        """Set a level's optics; the image shift goes to zero."""
        self._act("use", lambda: self._use(preset))

    def shift_image(self, shift: ImageShift) -> None:
        """Set the beam-image shift; raises `StageLimit` beyond what the deflectors can do."""
        self._act("shift_image", lambda: self._shift(shift))

    def set_defocus(self, defocus_um: float) -> None:
        """Set the defocus."""
        self._act("set_defocus", lambda: setattr(self._instrument.state, "defocus_um", float(defocus_um)))

    def refine_zero_loss(self) -> None:
        """Centre the slit, where there is one."""
        self._act("refine_zero_loss", self._refine)

    # Focus

    def eucentric_height(self, how: HeightMethod) -> float:
        """Find the height."""
        return self._act("eucentric_height", lambda: focus.eucentric_height(self._instrument, how), lambda _: math.nan)

    def autofocus(self, target_um: float) -> Focused:
        """Measure and set the defocus."""
        return self._act(
            "autofocus",
            lambda: focus.autofocus(self._instrument, target_um),
            lambda got: Focused(math.nan, got.trusted),
        )

    def settle(self, below_a_per_s: float, timeout_s: float) -> Drift:
        """Wait for the drift to go down."""
        return self._act(
            "settle",
            lambda: focus.settle(self._instrument, below_a_per_s, timeout_s),
            lambda got: replace(got, rate_a_per_s=math.nan),
        )

    # Camera

    def acquire(self, shot: Shot, name: str) -> Acquired:
        """Expose and write the image."""
        return self._act("acquire", lambda: camera.acquire(self._instrument, shot, name), _meaningless)

    def stored(self, name: str) -> Acquired | None:
        """Answer what is on disk."""
        return self._act("stored", lambda: camera.stored(self._instrument, name), lambda _: None, reads=True)

    # Health

    def status(self) -> ScopeStatus:
        """Read the health of the column."""
        return self._act("status", self._status, lambda got: replace(got, refill_due_s=math.nan), reads=True)

    def open_valve(self) -> None:
        """Open the column valve; raises `VacuumLost`, or `ValveClosed` when it does not stay open."""
        self._act("open_valve", self._open_valve)

    def refill(self) -> None:
        """Fill the dewars and wait until all is still."""
        self._act("refill", self._refill)

    def park(self) -> None:
        """Close the valve, bring stage and shift to zero."""
        self._act("park", self._park)

    # How

    def _act(
        self,
        call: str,
        effect: Callable[[], T],
        garble: Callable[[T], T] | None = None,
        *,
        slot: int | None = None,
        reads: bool = False,
    ) -> T:
        """Count the call, let faults strike, do it, keep the state, answer.

        A call with no answer to garble is quietly not done when garbage is asked of it.
        """
        instrument = self._instrument
        state = instrument.state
        state.calls += 1
        state.calls_of[call] = state.calls_of.get(call, 0) + 1
        if not reads:
            state.acts += 1
        instrument.let_time_pass()
        hits = self._strike(call, slot if slot is not None else state.on_stage)
        instrument.memory.write_state(state)
        if "hang-before" in hits:
            instrument.clock.sleep(HANG_S)
        if "raise" in hits or "lost-before" in hits:
            raise ConnectionLost(f"the connection dropped during {call}; read the state before anything else")
        if "garbage" in hits and garble is None:
            return effect() if reads else None  # type: ignore[return-value]
        try:
            answer = effect()
        except Exception:
            # A failed act has its effects too: time, dose, a grid unloaded.
            instrument.let_time_pass()
            instrument.memory.write_state(state)
            raise
        instrument.let_time_pass()
        instrument.memory.write_state(state)
        if "hang-after" in hits:
            instrument.clock.sleep(HANG_S)
        if "lost-after" in hits:
            raise ConnectionLost(f"the connection dropped during {call}; read the state before anything else")
        if "garbage" in hits and garble is not None:
            return garble(answer)
        return answer

    def _strike(self, call: str, slot: int | None) -> set[str]:
        """Find what strikes this call, and let lasting faults begin."""
        instrument, state = self._instrument, self._instrument.state
        hits: set[str] = set()
        for index, fault in enumerate(self._faults):
            number, strikes = state.calls_of[call], state.strikes.get(index, 0)
            if not struck(fault, call, slot, number, instrument.hours(), strikes):
                continue
            state.strikes[index] = strikes + 1
            hits.add(_hit(fault))
            self._begin(fault)
        plan = self._options.fail_call
        if plan is not None and plan.number == state.calls:
            hits.add(plan.how)
        instrument.striking = frozenset(hits)
        return hits

    def _begin(self, fault: Fault) -> None:
        state, now = self._instrument.state, self._instrument.clock.now()
        until = (
            datetime.max.replace(tzinfo=now.tzinfo) if fault.lasts_h is None else now + timedelta(hours=fault.lasts_h)
        )
        match fault.kind:
            case "valve-closes":
                state.valve_open, state.valve_stuck_until = False, until
            case "vacuum-lost":
                state.valve_open, state.vacuum_lost_until = False, until
            case "beam-off":
                state.beam_off_until = until
            case _:
                pass

    def _use(self, preset: Preset) -> None:
        state = self._instrument.state
        if state.preset != preset:
            self._instrument.spend(self._instrument.profile.times.preset, "preset")
        state.preset = preset
        state.shift_x_um = state.shift_y_um = 0.0
        state.defocus_um = preset.defocus_um

    def _shift(self, shift: ImageShift) -> None:
        limit = self._instrument.profile.optics.image_shift_limit_um
        if not math.hypot(shift.x_um, shift.y_um) <= limit:
            raise StageLimit(
                f"an image shift of ({shift.x_um:g}, {shift.y_um:g}) µm is beyond the limit of {limit:g} µm; move the "
                "stage"
            )
        self._instrument.spend(self._instrument.profile.times.image_shift, "image shift")
        self._instrument.state.shift_x_um, self._instrument.state.shift_y_um = shift.x_um, shift.y_um

    def _refine(self) -> None:
        if self._instrument.profile.optics.energy_filter:
            self._instrument.spend(self._instrument.profile.times.zero_loss, "zero loss")

    def _status(self) -> ScopeStatus:
        instrument, now = self._instrument, self._instrument.clock.now()
        due = (instrument.state.fill_at - now).total_seconds()
        return ScopeStatus(
            valve_open=instrument.state.valve_open,
            vacuum=instrument.vacuum(now),
            beam_on=instrument.beam_on(now),
            filling=instrument.filling(now),
            refill_due_s=max(due, 0.0) if instrument.profile.dewars.has_refill else None,
            loader_ok=not instrument.state.jammed,
        )

    def _open_valve(self) -> None:
        instrument = self._instrument
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

    def _refill(self) -> None:
        instrument = self._instrument
        state, dewars = instrument.state, instrument.profile.dewars
        if not dewars.has_refill:
            return
        now = instrument.clock.now()
        state.fill_at = min(state.fill_at, now)
        end = state.fill_at + timedelta(seconds=state.fill_s + dewars.settle_s)
        instrument.memory.write_state(state)
        instrument.clock.sleep((end - now).total_seconds())

    def _park(self) -> None:
        instrument = self._instrument
        state = instrument.state
        state.valve_open = False
        state.shift_x_um = state.shift_y_um = 0.0
        stage.go_to(instrument, StagePosition(0.0, 0.0, 0.0, 0.0))


def _first_state(profile: Profile, installation: Installation) -> State:
    now = installation.clock.now()
    return State(
        started=now,
        now=now,
        fill_at=now + timedelta(hours=profile.dewars.first_fill_h),
        fill_s=profile.dewars.fill.median_s,
    )


def _hit(fault: Fault) -> str:
    match fault.kind:
        case "call-hangs":
            return f"hang-{fault.how}"
        case "connection-lost":
            return f"lost-{fault.how}"
        case _:
            return fault.kind


def _nowhere(_: StagePosition) -> StagePosition:
    return StagePosition(math.nan, math.nan, math.nan, math.nan)


def _meaningless(got: Acquired) -> Acquired:
    nothing = (math.nan, math.nan, math.nan)
    return replace(got, mean_counts=math.nan, image_to_stage=(nothing, nothing))


def _shrunk(preset: Preset, scale: float) -> Preset:
    if scale == 1.0:
        return preset
    rows, cols = max(round(preset.rows_px * scale), 16), max(round(preset.cols_px * scale), 16)
    changed: dict[str, Any] = {"rows_px": rows, "cols_px": cols}
    if preset.level in ("atlas", "square", "hole"):
        changed["pixel_size_a"] = preset.pixel_size_a * preset.rows_px / rows
        changed["dose_e_per_a2"] = preset.dose_e_per_a2 * (rows / preset.rows_px) ** 2
    return preset.model_copy(update=changed)
