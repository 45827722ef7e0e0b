"""The microscope as small capabilities, joined.

All positions are absolute and every act is idempotent where nature allows. Any act may raise from
`hardware.errors`; each driver maps its instrument's own failures into that tree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from ..protocols.cassette import Cassette
from ..protocols.preset import Level, Preset
from .clock import Clock
from .records import Acquired, Capabilities, Drift, Focused, ImageShift, ScopeStatus, Shot, Slot, StagePosition

HeightMethod = Literal["tilt", "focus"]
"""Eucentric height by image displacement on tilting, or by focus."""


class Loader(Protocol):
    """The cassette and the way from it to the stage and back."""

    def inventory(self) -> Sequence[Slot]:
        """Say what is in every slot; slow on some makes."""
        ...

    def loaded(self) -> int | None:
        """Say whose slot the grid on the stage belongs to; None when the stage is empty."""
        ...

    def load(self, slot: int) -> None:
        """Bring this slot's grid to the stage, unloading another first; nothing happens when it is there already."""
        ...

    def unload(self) -> None:
        """Bring the grid on the stage back to its own slot; nothing happens when the stage is empty."""
        ...


class Stage(Protocol):
    """The goniometer."""

    def position(self) -> StagePosition:
        """Read where the stage believes it is."""
        ...

    def go_to(self, target: StagePosition) -> StagePosition:
        """Go there, backlash corrected; returns where it says it got to. Resets nothing else."""
        ...


class Optics(Protocol):
    """Lenses, deflectors, filter."""

    def presets(self) -> Mapping[Level, Preset]:
        """Answer the presets set up on this microscope, one per level; a protocol may change them."""
        ...

    def use(self, preset: Preset) -> None:
        """Set magnification, illumination and filter for one level; the image shift goes to zero."""
        ...

    def shift_image(self, shift: ImageShift) -> None:
        """Set the beam-image shift, absolute."""
        ...

    def set_defocus(self, defocus_um: float) -> None:
        """Set the defocus relative to the last autofocus (underfocus negative)."""
        ...

    def refine_zero_loss(self) -> None:
        """Centre the zero-loss peak on the slit; nothing happens without an energy filter."""
        ...


class Focus(Protocol):
    """Procedures of the instrument that bring the specimen to height, to focus and to rest."""

    def eucentric_height(self, how: HeightMethod) -> float:
        """Find the height at the present place, move the stage's z to it, return it (µm)."""
        ...

    def autofocus(self, target_um: float) -> Focused:
        """Measure and set the defocus at the present place and shift."""
        ...

    def settle(self, below_a_per_s: float, timeout_s: float) -> Drift:
        """Wait until the drift falls below the limit, at most so long."""
        ...


class Camera(Protocol):
    """The detector."""

    def acquire(self, shot: Shot, name: str) -> Acquired:
        """Expose and write the image under this name; returns once the file is whole."""
        ...

    def stored(self, name: str) -> Acquired | None:
        """Answer what is on disk under this name: the whole image, or None."""
        ...


class Health(Protocol):
    """The state of the column, and the few acts that keep it well."""

    def status(self) -> ScopeStatus:
        """Read valve, vacuum, beam, dewars, loader."""
        ...

    def open_valve(self) -> None:
        """Open the column valve; raises `VacuumLost` on a vacuum that is not green."""
        ...

    def refill(self) -> None:
        """Start a dewar fill if none is running and return when it has ended and settled."""
        ...


class Microscope(Loader, Stage, Optics, Focus, Camera, Health, Protocol):
    """Everything the screening needs of an instrument."""

    def capabilities(self) -> Capabilities:
        """Say what it can do."""
        ...

    def park(self) -> None:
        """Close the valve, bring stage and shift to zero; can be called from any state, any number of times."""
        ...


@dataclass(frozen=True, slots=True)
class Installation:
    """What a driver's factory is given.

    Attributes
    ----------
    options
        The protocol's options for this microscope, checked by the driver's own model.
    images
        Folder where the camera writes its files.
    memory
        Folder where the driver keeps what must outlive its process (the simulator: the state of its world).
    clock
        All waiting goes through it.
    seed
        Seed of the night, for drivers that draw numbers.
    cassette
        What the user says was loaded.
    """

    options: Mapping[str, Any]
    images: Path
    memory: Path
    clock: Clock
    seed: int
    cassette: Cassette
