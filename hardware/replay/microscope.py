"""A recorded session in the place of a microscope: no pixels, but the recorded places, times and results.

The replay knows where images were taken and gives for each the name it had, what it showed where that is known, and
the time that it took in the recording; places nobody imaged raise `NotRecorded`. Stage moves, optics and settling take
no time of their own: in a recording their time is part of the next image's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from math import hypot
from typing import Any, Literal

from pydantic import Field

from ...protocols.preset import Level, Preset
from ..clock import Clock
from ..errors import LoadFailed, NotRecorded, StageLimit
from ..protocols import HeightMethod, Installation
from ..records import (
    Acquired,
    Affine,
    Capabilities,
    Drift,
    Focused,
    ImageShift,
    ScopeStatus,
    Shot,
    Slot,
    SlotState,
    StagePosition,
    Vacuum,
)
from .ledger import Ledger
from .reading import RecordingChoice, checked
from .records import RecordedSession
from .register import Register

SLOTS = 12
TILT_LIMIT_DEG = 70.0
STAGE_MARGIN_UM = 200.0
SHIFT_MARGIN_UM = 5.0
SLACK_S = 60.0

RECORDER_LEVEL: Mapping[Level, str] = {"atlas": "gr", "square": "sq", "hole": "hl", "focus": "fa", "exposure": "en"}
NOMINAL: Mapping[Level, tuple[int, float, float]] = {
    "atlas": (100, 0.001, 1000.0),
    "square": (500, 0.01, 200.0),
    "hole": (2500, 0.1, 30.0),
    "focus": (45000, 5.0, 1.0),
    "exposure": (45000, 50.0, 1.0),
}
"""Magnification, dose in e⁻/Å² and beam diameter in µm, which a recording does not tell."""
NOMINAL_PIXEL_A = 1.0
NOMINAL_EXPOSURE_S = 1.0


class ReplayOptions(RecordingChoice):
    """Which recording, and in what time."""

    times: Literal["recorded", "typical"] = Field(
        default="recorded",
        description="Whether each image takes the time it took, pauses and refills included, or what its kind took "
        "typically.",
    )


def connect(installation: Installation) -> "ReplayMicroscope":
    """Connect to a recording; the plug-in's factory.

    Raises
    ------
    BadInput
        When an option is not known or the recording cannot be read.
    """
    options = checked(ReplayOptions, installation.options, "the microscope `replay`")
    return ReplayMicroscope(
        options.session(),
        installation.clock,
        Ledger(installation.memory / "replay.jsonl"),
        slot=min(grid.slot for grid in installation.cassette.slots),
        typical=options.times == "typical",
    )


class ReplayMicroscope:
    """The recorded session as a `Microscope`.

    Parameters
    ----------
    session
        What is replayed.
    clock
        Where its times pass.
    ledger
        What of it was replayed already, and how the instrument stands.
    slot
        Slot of the cassette in which the recorded grid lies; all others are empty.
    typical
        Take the typical time of each kind of image instead of the recorded one.
    """

    def __init__(
        self, session: RecordedSession, clock: Clock, ledger: Ledger, slot: int = 1, typical: bool = False
    ) -> None:
        self._session, self._register = session, Register(session, typical)
        self._clock, self._ledger, self._slot = clock, ledger, slot
        self._capabilities = self._able()

    # Loader

    def inventory(self) -> Sequence[Slot]:
        """Say that one slot is filled."""
        own = SlotState.OCCUPIED if self.loaded() is None else SlotState.ON_STAGE
        return [Slot(n, own if n == self._slot else SlotState.EMPTY) for n in range(1, SLOTS + 1)]

    def loaded(self) -> int | None:
        """Say whether the grid is on the stage."""
        slot: int | None = self._ledger.state.get("slot")
        return slot

    def load(self, slot: int) -> None:
        """Bring the recorded grid to the stage, in no time: the recording begins with it there."""
        if slot != self._slot:
            raise LoadFailed(f"slot {slot} is empty: a recording holds one grid, which lies in slot {self._slot}")
        if self.loaded() != slot:
            self._ledger.enter(slot=slot)

    def unload(self) -> None:
        """Bring it back."""
        if self.loaded() is not None:
            self._ledger.enter(slot=None)

    # Stage and optics

    def position(self) -> StagePosition:
        """Read the stage."""
        return StagePosition(**self._ledger.state.get("stage", {"x_um": 0.0, "y_um": 0.0}))

    def go_to(self, target: StagePosition) -> StagePosition:
        """Go exactly there, in no time."""
        limit_um = self._capabilities.stage_limit_um
        if max(abs(target.x_um), abs(target.y_um)) > limit_um or abs(target.alpha_deg) > TILT_LIMIT_DEG:
            raise StageLimit(
                f"the stage goes {limit_um:.0f} µm and {TILT_LIMIT_DEG:.0f}° to each side, not to ({target.x_um:.1f}, "
                f"{target.y_um:.1f}) µm and {target.alpha_deg:.1f}°"
            )
        self._ledger.enter(stage=asdict(target))
        return target

    def presets(self) -> Mapping[Level, Preset]:
        """Answer optics with the recording's scales; what it does not tell (dose, exposure time) is nominal."""
        return {level: self._preset(level, *NOMINAL[level]) for level in NOMINAL}

    def _preset(self, level: Level, magnification: int, dose_e_per_a2: float, beam_um: float) -> Preset:
        scale_um, half = self._session.um_per_px, self._session.half_frame_px
        recorder = RECORDER_LEVEL[level]
        width = max(16, 2 * round(half.get(recorder, 512)))
        return Preset(
            level=level,
            magnification=magnification,
            pixel_size_a=1e4 * scale_um[recorder] if recorder in scale_um else NOMINAL_PIXEL_A,
            rows_px=width,
            cols_px=width,
            exposure_s=NOMINAL_EXPOSURE_S,
            dose_e_per_a2=dose_e_per_a2,
            beam_diameter_um=beam_um,
        )

    def use(self, preset: Preset) -> None:
        """Take the image shift away; the optics themselves come with each shot."""
        self.shift_image(ImageShift())

    def shift_image(self, shift: ImageShift) -> None:
        """Set the image shift; raises `StageLimit` beyond what the recording needed."""
        limit_um = self._capabilities.image_shift_limit_um
        if not hypot(shift.x_um, shift.y_um) <= limit_um:
            raise StageLimit(
                f"an image shift of ({shift.x_um:.2f}, {shift.y_um:.2f}) µm is beyond the {limit_um:.1f} µm of this "
                "recording; move the stage"
            )
        self._ledger.enter(shift=asdict(shift))

    def set_defocus(self, defocus_um: float) -> None:
        """Note the defocus; what it was in the recording is not known."""
        self._ledger.enter(defocus_um=defocus_um)

    def refine_zero_loss(self) -> None:
        """Do nothing: a recording has no energy filter."""

    # Focus

    def eucentric_height(self, how: HeightMethod) -> float:
        """Answer the present height: the recording tells none, and its time is part of the square's image."""
        return self.position().z_um

    def autofocus(self, target_um: float) -> Focused:
        """Take the time of the focus images of the group at this place, if there is one."""
        stage = self.position()
        if (found := self._register.focus(stage.x_um, stage.y_um)) is not None:
            self._clock.sleep(self._register.price(found.bill, self._ledger.acts[found.bill.key]))
            self._ledger.enter((found.bill.key,))
        return Focused(target_um, trusted=True)

    def settle(self, below_a_per_s: float, timeout_s: float) -> Drift:
        """Answer at once: the time to settle is part of the next exposure's."""
        return Drift(0.0, 0.0, settled=True)

    # Camera

    def acquire(self, shot: Shot, name: str) -> Acquired:
        """Give what was recorded at the present place.

        The first image of a place takes the time of all the images that stand for it in the recording, and of those
        before it in the workflow that nobody has asked for yet.

        Raises
        ------
        NotRecorded
            When nobody took such an image here, or the exposure here or of this name was had already.
        """
        if self.loaded() is None:
            raise NotRecorded(f"no image {name}: the recorded grid is not on the stage; load slot {self._slot} first")
        if shot.preset.level == "exposure" and self.stored(name) is not None:
            raise NotRecorded(f"{name} is an exposure that was had already; it is not had twice")
        acts = self._ledger.acts
        found = self._register.find(shot.preset.level, *self._aim(), had=acts)
        due = [*(bill for bill in found.before if not acts[bill.key]), found.bill]
        seconds = sum(self._register.price(bill, acts[bill.key]) for bill in due)
        self._clock.sleep(seconds)
        image = self._image(shot, name, seconds, found.details)
        self._ledger.enter(tuple(bill.key for bill in due), image)
        return image

    def stored(self, name: str) -> Acquired | None:
        """Answer what was given under this name."""
        return self._ledger.images.get(name)

    def _aim(self) -> tuple[float, float]:
        stage, shift = self.position(), self._shift()
        return stage.x_um + shift.x_um, stage.y_um + shift.y_um

    def _shift(self) -> ImageShift:
        return ImageShift(**self._ledger.state.get("shift", {}))

    def _image(self, shot: Shot, name: str, seconds: float, details: Mapping[str, Any]) -> Acquired:
        preset = shot.preset
        now = self._clock.now()
        counts = preset.dose_e_per_a2 * preset.pixel_size_a**2
        return Acquired(
            name=name,
            path=None,
            preset=preset.level,
            pixel_size_a=preset.pixel_size_a,
            image_to_stage=self._image_to_stage(preset),
            stage=self.position(),
            image_shift=self._shift(),
            defocus_um=self._ledger.state.get("defocus_um", preset.defocus_um),
            dose_e_per_a2=preset.dose_e_per_a2,
            frames=preset.frames,
            mean_counts=counts if self._ledger.state.get("valve_open") else 0.0,
            started_at=now - timedelta(seconds=min(seconds, preset.exposure_s)),
            ended_at=now,
            details=details,
        )

    def _image_to_stage(self, preset: Preset) -> Affine:
        """Lay the image along the stage's axes, columns along x, with the aim in its middle."""
        x_um, y_um = self._aim()
        scale = preset.pixel_size_a * 1e-4
        half_rows, half_cols = (preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2
        return (0.0, scale, x_um - scale * half_cols), (scale, 0.0, y_um - scale * half_rows)

    # Health

    def status(self) -> ScopeStatus:
        """Say that all is well; pauses of the recording are part of the next image's time."""
        return ScopeStatus(
            valve_open=bool(self._ledger.state.get("valve_open")),
            vacuum=Vacuum.GREEN,
            beam_on=True,
            filling=False,
            refill_due_s=None,
            loader_ok=True,
        )

    def open_valve(self) -> None:
        """Open the column valve."""
        self._ledger.enter(valve_open=True)

    def refill(self) -> None:
        """Do nothing: refills are pauses of the recording."""

    def capabilities(self) -> Capabilities:
        """Say what the recording can be asked for."""
        return self._capabilities

    def _able(self) -> Capabilities:
        farthest_um = self._session.farthest_um()
        return Capabilities(
            name=f"replay of {self._session.name}, {self._session.atlas}",
            slots=SLOTS,
            stage_limit_um=farthest_um + STAGE_MARGIN_UM,
            tilt_limit_deg=TILT_LIMIT_DEG,
            image_shift_limit_um=self._register.reach_um() + SHIFT_MARGIN_UM,
            has_energy_filter=False,
            has_refill=False,
            voltage_kv=300.0,
            cs_mm=2.7,
            slowest_call_s=self._register.slowest_s() + SLACK_S,
        )

    def park(self) -> None:
        """Close the valve, bring stage and shift to zero."""
        self._ledger.enter(stage=asdict(StagePosition(0.0, 0.0)), shift=asdict(ImageShift()), valve_open=False)
