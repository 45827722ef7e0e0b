"""The simulated microscope and the factory that connects to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, ValidationError

from ...protocols.errors import BadInput
from ...protocols.preset import Level, Preset
from ..protocols import HeightMethod, Installation
from ..records import Acquired, Capabilities, Drift, Focused, ImageShift, ScopeStatus, Shot, Slot, StagePosition
from .grid.cassette_world import CassetteWorld, grids_of, load_world
from .instrument import camera, focus, health, loader, optics, stage
from .instrument.calls import Calls
from .instrument.faults import FailCall, Fault, drawn, read_faults
from .instrument.instrument import Instrument
from .instrument.memory import Memory
from .instrument.profile import Frozen, Profile, first_complaint, load_profile
from .instrument.state import State
from .pixel_free.conditions import THUMBNAIL_PX
from .pixel_free.error_models import fit_of, load_error_models
from .pixel_free.sightings import PixelFree

NO_SLOT = 99
"""What a confused loader answers."""


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
    fidelity: Literal["pixels", "pixel-free"] = Field(
        default="pixels",
        description="Whether pictures are rendered, or what detectors would find on them is drawn from error models; "
        "world, clock, faults and costs are the same.",
    )
    error_models: str | None = Field(
        default=None,
        description="For pixel-free: a fit by the name of its profile, or a file; null: that of the profile, which "
        "must have one.",
    )
    draw: int = Field(
        default=0,
        ge=0,
        description="For pixel-free: which of the nights that the error models allow on the same world; the instrument "
        "acts the same in all, what is found differs as chance has it.",
    )
    film_picture_px: int = Field(
        default=THUMBNAIL_PX,
        ge=THUMBNAIL_PX,
        le=1024,
        description="For pixel-free: shorter side of the pictures of squares and holes; more where a finder has to see "
        "where film is (regular-pattern: 96), which costs time.",
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
    if options.fidelity == "pixel-free":
        models = load_error_models(options.error_models or fit_of(options.profile))
        instrument.eye = PixelFree(models, options.draw, options.film_picture_px)
    installation.images.mkdir(parents=True, exist_ok=True)
    faults = [*world.faults, *read_faults(options.faults), *drawn(installation.seed, options.faults_per_h)]
    memory.write_state(state)
    return SimulatedMicroscope(instrument, Calls(instrument, faults, options.fail_call), options.camera_scale)


class SimulatedMicroscope:
    """Implements `hardware.protocols.Microscope` on one simulated instrument."""

    def __init__(self, instrument: Instrument, calls: Calls, camera_scale: float = 1.0) -> None:
        self._instrument = instrument
        self._calls = calls
        self._camera_scale = camera_scale

    @property
    def instrument(self) -> Instrument:
        """What stands behind the driver: for fits and evaluation, never for what decides."""
        return self._instrument

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        profile = self._instrument.profile
        lens = profile.optics
        return Capabilities(
            name=f"simulated {profile.name}",
            slots=profile.loader.slots,
            stage_limit_um=profile.stage.limit_um,
            tilt_limit_deg=profile.stage.tilt_limit_deg,
            image_shift_limit_um=lens.image_shift_limit_um,
            has_energy_filter=lens.energy_filter,
            has_refill=profile.dewars.has_refill,
            voltage_kv=lens.voltage_kv,
            cs_mm=lens.cs_mm,
            amplitude_contrast=lens.amplitude_contrast,
            camera_rows_px=profile.camera.rows_px,
            camera_cols_px=profile.camera.cols_px,
        )

    def presets(self) -> Mapping[Level, Preset]:
        """Answer the profile's presets, shrunk as the options ask."""
        levels, eye = self._instrument.profile.levels, self._instrument.eye
        shrunk = {name: _shrunk(level.preset, self._camera_scale) for name, level in levels.items()}
        return shrunk if eye is None else eye.presets(shrunk)

    def inventory(self) -> Sequence[Slot]:
        """Look into every slot."""
        return self._calls.act("inventory", lambda: loader.inventory(self._instrument), lambda _: ())

    def loaded(self) -> int | None:
        """Say whose grid is on the stage."""
        return self._calls.read("loaded", lambda: loader.loaded(self._instrument), lambda _: NO_SLOT)

    def load(self, slot: int) -> None:
        """Bring a grid to the stage."""
        self._calls.act("load", lambda: loader.load(self._instrument, slot), slot=slot)

    def unload(self) -> None:
        """Bring it back to its slot."""
        self._calls.act("unload", lambda: loader.unload(self._instrument))

    def position(self) -> StagePosition:
        """Read the stage."""
        return self._calls.read("position", lambda: stage.position(self._instrument), _nowhere)

    def go_to(self, target: StagePosition) -> StagePosition:
        """Move the stage."""
        return self._calls.act("go_to", lambda: stage.go_to(self._instrument, target), _nowhere)

    def use(self, preset: Preset) -> None:
        """Set a level's optics; the image shift goes to zero."""
        self._calls.act("use", lambda: optics.use(self._instrument, preset))

    def shift_image(self, shift: ImageShift) -> None:
        """Set the beam-image shift."""
        self._calls.act("shift_image", lambda: optics.shift_image(self._instrument, shift))

    def set_defocus(self, defocus_um: float) -> None:
        """Set the defocus."""
        self._calls.act("set_defocus", lambda: optics.set_defocus(self._instrument, defocus_um))

    def refine_zero_loss(self) -> None:
        """Centre the slit, where there is one."""
        self._calls.act("refine_zero_loss", lambda: optics.refine_zero_loss(self._instrument))

    def eucentric_height(self, how: HeightMethod) -> float:
        """Find the height and go there."""
        return self._calls.act(
            "eucentric_height", lambda: focus.eucentric_height(self._instrument, how), lambda _: math.nan
        )

    def autofocus(self, target_um: float) -> Focused:
        """Measure and set the defocus."""
        return self._calls.act(
            "autofocus",
            lambda: focus.autofocus(self._instrument, target_um),
            lambda got: replace(got, defocus_um=math.nan),
        )

    def settle(self, below_a_per_s: float, timeout_s: float) -> Drift:
        """Wait for the drift to go down."""
        return self._calls.act(
            "settle",
            lambda: focus.settle(self._instrument, below_a_per_s, timeout_s),
            lambda got: replace(got, rate_a_per_s=math.nan),
        )

    def acquire(self, shot: Shot, name: str) -> Acquired:
        """Expose and write the image."""
        return self._calls.act("acquire", lambda: camera.acquire(self._instrument, shot, name), _meaningless)

    def stored(self, name: str) -> Acquired | None:
        """Answer what is on disk."""
        return self._calls.read("stored", lambda: camera.stored(self._instrument, name), lambda _: None)

    def status(self) -> ScopeStatus:
        """Read the health of the column."""
        return self._calls.read(
            "status", lambda: health.status(self._instrument), lambda got: replace(got, refill_due_s=math.nan)
        )

    def open_valve(self) -> None:
        """Open the column valve."""
        self._calls.act("open_valve", lambda: health.open_valve(self._instrument))

    def refill(self) -> None:
        """Fill the dewars and wait until all is still."""
        self._calls.act("refill", lambda: health.refill(self._instrument))

    def park(self) -> None:
        """Close the valve, bring stage and shift to zero."""
        self._calls.act("park", lambda: health.park(self._instrument))


def _first_state(profile: Profile, installation: Installation) -> State:
    now = installation.clock.now()
    return State(
        started=now,
        now=now,
        fill_at=now + timedelta(hours=profile.dewars.first_fill_h),
        fill_s=profile.dewars.fill.median_s,
    )


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
