"""Calibrations as a file of JSON: written whole or not at all, read with a sentence for every mistake."""

from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, Field

from ..files.atomic import write_bytes
from ..protocols.explaining import read
from ..protocols.part import Part
from ..protocols.preset import Level
from .calibration import Backlash, Calibrations, PresetOffset, Quality, ShiftCalibration

Pair = tuple[float, float]


class QualityPart(Part):
    """When and how well something was measured."""

    taken_at: AwareDatetime = Field(description="When, with its zone.")
    residual_um: float = Field(ge=0, description="What the fit leaves, µm, root of the mean square per axis.")
    measurements: int = Field(ge=0, description="How many measurements it rests on.")

    def record(self) -> Quality:
        """Give the record."""
        return Quality(self.taken_at, self.residual_um, self.measurements)


class ShiftPart(Part):
    """Image shift to specimen."""

    matrix: tuple[Pair, Pair] = Field(description="Specimen µm per commanded µm, both along the stage's axes.")
    share: float = Field(ge=0, description="Standard deviation of its elements.")
    quality: QualityPart = Field(description="When and how well it was measured.")


class OffsetPart(Part):
    """Offset from one level's picture to another's."""

    coarse: Level = Field(description="Level on whose picture places are measured.")
    fine: Level = Field(description="Level they are aimed at with.")
    x_um: float = Field(description="Along the stage's x.")
    y_um: float = Field(description="Along the stage's y.")
    quality: QualityPart = Field(description="When and how well it was measured.")


class BacklashPart(Part):
    """The stage's backlash."""

    upwards_um: Pair = Field(description="Where it ends beside its target after a move upwards, along x and y.")
    downwards_um: Pair = Field(description="The same after a move downwards.")
    quality: QualityPart = Field(description="When and how well it was measured.")


class CalibrationsPart(Part):
    """What was measured of one microscope."""

    microscope: str = Field(description="Its name, as it reports it.")
    image_shift: ShiftPart | None = Field(default=None, description="Image shift to specimen.")
    offsets: tuple[OffsetPart, ...] = Field(default=(), description="Offsets between levels.")
    backlash: BacklashPart | None = Field(default=None, description="The stage's backlash.")
    magnifications: dict[Level, int] = Field(
        default_factory=dict, description="Nominal magnification of each level, as it was measured at."
    )


def read_calibrations(file: str | Path) -> Calibrations:
    """Read calibrations from their file; raises `BadInput` with one sentence for each mistake."""
    return _records(read(CalibrationsPart, file, "calibrations"))


def write_calibrations(file: str | Path, found: Calibrations) -> None:
    """Write calibrations to a file, or leave what was there; raises as `files.atomic.write_bytes` does."""
    write_bytes(Path(file), as_json(found).encode())


def as_json(found: Calibrations) -> str:
    """Give calibrations as JSON text."""
    return CalibrationsPart.model_validate(found, from_attributes=True).model_dump_json(indent=1) + "\n"


def from_json(text: str) -> Calibrations:
    """Take calibrations from JSON text that `as_json` made."""
    return _records(CalibrationsPart.model_validate_json(text))


def as_plain(found: Calibrations) -> dict[str, Any]:
    """Give calibrations as what JSON can hold, for a place within other JSON."""
    return CalibrationsPart.model_validate(found, from_attributes=True).model_dump(mode="json")


def from_plain(plain: dict[str, Any]) -> Calibrations:
    """Take calibrations from what `as_plain` made."""
    return _records(CalibrationsPart.model_validate(plain))


def _records(part: CalibrationsPart) -> Calibrations:
    shift, backlash = part.image_shift, part.backlash
    return Calibrations(
        part.microscope,
        None if shift is None else ShiftCalibration(shift.matrix, shift.share, shift.quality.record()),
        tuple(PresetOffset(one.coarse, one.fine, one.x_um, one.y_um, one.quality.record()) for one in part.offsets),
        None if backlash is None else Backlash(backlash.upwards_um, backlash.downwards_um, backlash.quality.record()),
        part.magnifications,
    )
