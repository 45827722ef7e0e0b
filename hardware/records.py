"""What passes between a microscope and everybody else: positions, shots, acquired images, states.

Stage and specimen positions are µm in the stage's frame; image positions are (row, col) pixels, origin at the centre
of the first stored pixel; times are UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocols.preset import Preset

Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
"""2×3: ``(x_um, y_um) = A @ (row_px, col_px, 1)``."""

SIGHTINGS = "sightings"
"""Under this name an image's file keeps what a pixel-free microscope saw."""

Pixels = NDArray[np.float32]
"""One image, shape (rows, cols)."""


@dataclass(frozen=True, slots=True)
class StagePosition:
    """Where the stage is or shall go, absolute."""

    x_um: float
    y_um: float
    z_um: float = 0.0
    alpha_deg: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageShift:
    """Beam-image shift, absolute from the optical axis, in the specimen plane along the stage's axes."""

    x_um: float = 0.0
    y_um: float = 0.0


class SlotState(StrEnum):
    """What the loader says of one slot; a grid on the stage still belongs to its slot."""

    OCCUPIED = "occupied"
    EMPTY = "empty"
    ON_STAGE = "on_stage"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of the cassette, numbered from 1."""

    number: int
    state: SlotState


@dataclass(frozen=True, slots=True)
class Shot:
    """One acquisition: the preset and what differs from it."""

    preset: Preset
    save_frames: bool = False


@dataclass(frozen=True, slots=True)
class Acquired:
    """An image that the camera has written whole to its file.

    Attributes
    ----------
    name
        The name asked for; it fixes the file, so that a crash can be settled.
    path
        MRC file: one section, or one per frame; None from a replay that holds no pixels.
    image_to_stage
        Nominal affine from (row, col) pixels to stage µm, as the instrument believes it.
    stage, image_shift, defocus_um
        The instrument's own readings at the shot (underfocus negative).
    dose_e_per_a2
        Nominal dose on the specimen, all frames.
    started_at, ended_at
        UTC.
    details
        Anything else worth keeping, JSON-able.
    """

    name: str
    path: Path | None
    preset: str
    pixel_size_a: float
    image_to_stage: Affine
    stage: StagePosition
    image_shift: ImageShift
    defocus_um: float
    dose_e_per_a2: float
    frames: int
    mean_counts: float
    started_at: datetime
    ended_at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """Pixels with what is needed to say where they are; what detectors and fitters look at.

    ``pixel_size_a`` and ``image_to_stage`` are None for a user's own file that does not say. ``sightings`` is what a
    pixel-free microscope tells in place of a picture, empty for every real one. ``nominal_counts`` are the counts per
    pixel that the nominal dose makes with nothing in the beam; None where nobody knows.
    """

    pixels: Pixels
    pixel_size_a: float | None = None
    image_to_stage: Affine | None = None
    name: str = ""
    sightings: Mapping[str, Any] = field(default_factory=dict)
    nominal_counts: float | None = None


@dataclass(frozen=True, slots=True)
class Focused:
    """Outcome of an autofocus: the defocus measured after it (underfocus negative) and whether it can be trusted.

    ``lens_um`` is the height that the lens is focused on when the defocus set is zero, up the beam from where it is
    with nothing added, as the change of its excitation tells; None when the instrument cannot say.
    """

    defocus_um: float
    trusted: bool
    lens_um: float | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """Outcome of settling: last measured rate, time waited, and whether the limit was reached in time."""

    rate_a_per_s: float
    waited_s: float
    settled: bool


class Vacuum(StrEnum):
    """The column's vacuum as a traffic light."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class ScopeStatus:
    """The health reading before anything that costs sample.

    ``refill_due_s`` is the time until the dewars need filling, None when the instrument cannot say; ``pumping`` says
    that the vacuum system's pump runs and shakes the specimen; ``emission`` is the beam's current as a fraction of what
    it was after the emitter's last flash, None when the instrument cannot say.
    """

    valve_open: bool
    vacuum: Vacuum
    beam_on: bool
    filling: bool
    refill_due_s: float | None
    loader_ok: bool
    free_disk_mb: float | None = None
    pumping: bool = False
    emission: float | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this microscope can do and its limits.

    ``slowest_call_s`` is the longest that any of its calls may rightly take, where that is longer than the usual
    deadlines (a replay sits out the pauses of its recording); 0 when the usual ones hold. ``camera_rows_px`` and
    ``camera_cols_px`` are the detector's, unbinned; 0 when the instrument cannot say.
    """

    name: str
    slots: int
    stage_limit_um: float
    tilt_limit_deg: float
    image_shift_limit_um: float
    has_energy_filter: bool
    has_refill: bool
    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float = 0.07
    slowest_call_s: float = 0.0
    camera_rows_px: int = 0
    camera_cols_px: int = 0
