"""What was measured of a microscope's aim, when and how well; refused where it is stale, poor, singular or too little.

Offsets and lags are µm along the stage's axes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from ..hardware.records import ImageShift
from ..protocols.errors import EpicycleError
from ..protocols.preset import Level
from .uncertainty import Spread, of_shift

Found = TypeVar("Found")
Matrix = tuple[tuple[float, float], tuple[float, float]]
UNIT: Matrix = ((1.0, 0.0), (0.0, 1.0))


class CalibrationRefused(EpicycleError):
    """A calibration that must not be aimed by; says which, why, and what to measure again."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How a calibration came to be.

    Attributes
    ----------
    taken_at
        UTC.
    residual_um
        Root of the mean square per axis of what the fit leaves, outliers counted down.
    measurements
        How many it rests on.
    """

    taken_at: datetime
    residual_um: float
    measurements: int


@dataclass(frozen=True, slots=True)
class ShiftCalibration:
    """What a commanded image shift really does on the specimen.

    Attributes
    ----------
    matrix
        Specimen µm per commanded µm, both along the stage's axes.
    share
        Standard deviation of its elements.
    """

    matrix: Matrix
    share: float
    quality: Quality

    def command(self, wanted_um: tuple[float, float]) -> ImageShift:
        """Give the shift to command for one that is wanted on the specimen."""
        x, y = np.linalg.solve(np.asarray(self.matrix), np.asarray(wanted_um))
        return ImageShift(float(x), float(y))

    def spread(self, wanted_um: tuple[float, float]) -> Spread:
        """Give how unsure the place is that such a shift brings to the axis."""
        return of_shift(wanted_um, self.share, self.quality.residual_um)


@dataclass(frozen=True, slots=True)
class PresetOffset:
    """By how much the middle of one level's picture shows another place than that of another level.

    What stands in the middle of the ``coarse`` picture is found at ``(x_um, y_um)`` beside the middle of the ``fine``
    one; a place measured on the coarse picture is aimed at with the fine optics by adding this.
    """

    coarse: Level
    fine: Level
    x_um: float
    y_um: float
    quality: Quality


@dataclass(frozen=True, slots=True)
class Backlash:
    """Where the stage comes to rest beside its target, by axis and by the direction from which it came, (x, y)."""

    upwards_um: tuple[float, float]
    downwards_um: tuple[float, float]
    quality: Quality

    @property
    def play_um(self) -> tuple[float, float]:
        """The difference between the two directions, what turning round costs."""
        (ux, uy), (dx, dy) = self.upwards_um, self.downwards_um
        return dx - ux, dy - uy

    def expected_um(self, move_um: tuple[float, float]) -> tuple[float, float]:
        """Give where beside its target a move like this one is expected to end; nothing for an axis that stays."""
        ends = zip(move_um, self.upwards_um, self.downwards_um, strict=True)
        x, y = (up if way > 0 else down if way < 0 else (up + down) / 2 for way, up, down in ends)
        return x, y


@dataclass(frozen=True, slots=True)
class Calibrations:
    """What is known of one microscope; nothing where nobody measured.

    ``magnifications`` are those of the levels it was measured at, as the microscope shows them.
    """

    microscope: str
    image_shift: ShiftCalibration | None = None
    offsets: tuple[PresetOffset, ...] = ()
    backlash: Backlash | None = None
    magnifications: Mapping[Level, int] = field(default_factory=dict)

    def offset(self, coarse: Level, fine: Level) -> PresetOffset | None:
        """Give the offset between two levels, the latest measured."""
        own = [one for one in self.offsets if (one.coarse, one.fine) == (coarse, fine)]
        return max(own, key=lambda one: one.quality.taken_at, default=None)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a calibration must be worth to be aimed by."""

    age_h: float
    residual_um: float
    measurements: int


SHIFT_LIMITS = Limits(24.0, 0.1, 5)
"""Image shift wanders with the lenses' temperature, by some tenths of a per cent in hours."""

OFFSET_LIMITS = Limits(7 * 24.0, 0.15, 3)
BACKLASH_LIMITS = Limits(90 * 24.0, 0.5, 8)
"""Mechanics change with wear."""


def check_shift(found: ShiftCalibration, now: datetime, limits: Limits = SHIFT_LIMITS) -> ShiftCalibration:
    """Give the calibration back if it may be aimed by; raises `CalibrationRefused`."""
    name = "The image shift's calibration"
    _check(name, found.quality, now, limits)
    large, small = np.linalg.svd(np.asarray(found.matrix, np.float64), compute_uv=False)
    if not (np.isfinite(large) and small > 0.1 * large > 0):
        raise CalibrationRefused(
            f"{name} is singular: two different shifts would do the same; measure it with shifts along both axes."
        )
    return found


def check_offset(found: PresetOffset, now: datetime, limits: Limits = OFFSET_LIMITS) -> PresetOffset:
    """Give the offset back if it may be aimed by; raises `CalibrationRefused`."""
    _check(f"The offset from {found.coarse} to {found.fine}", found.quality, now, limits)
    return found


def check_backlash(found: Backlash, now: datetime, limits: Limits = BACKLASH_LIMITS) -> Backlash:
    """Give the backlash back if it may be believed; raises `CalibrationRefused`."""
    _check("The stage's backlash", found.quality, now, limits)
    return found


def usable(found: Calibrations, now: datetime) -> tuple[Calibrations, tuple[str, ...]]:
    """Give what of the calibrations may be aimed by, and a sentence for each that is refused."""
    refused: list[str] = []
    shift = _or_none(found.image_shift, check_shift, now, refused)
    offsets = [_or_none(one, check_offset, now, refused) for one in found.offsets]
    backlash = _or_none(found.backlash, check_backlash, now, refused)
    kept = tuple(one for one in offsets if one is not None)
    return Calibrations(found.microscope, shift, kept, backlash, found.magnifications), tuple(refused)


def _or_none(
    found: Found | None, check: Callable[[Found, datetime], Found], now: datetime, refused: list[str]
) -> Found | None:
    if found is None:
        return None
    try:
        return check(found, now)
    except CalibrationRefused as error:
        refused.append(str(error))
        return None


def _check(name: str, quality: Quality, now: datetime, limits: Limits) -> None:
    age = now - quality.taken_at
    if age > timedelta(hours=limits.age_h):
        raise CalibrationRefused(
            f"{name} is {age.total_seconds() / 3600:.0f} h old, the limit is {limits.age_h:g} h; measure it again."
        )
    if age < timedelta(hours=-1):
        raise CalibrationRefused(f"{name} is dated {quality.taken_at:%Y-%m-%d %H:%M} UTC, in the future; correct it.")
    if quality.measurements < limits.measurements:
        raise CalibrationRefused(
            f"{name} rests on {quality.measurements} measurements, {limits.measurements} are needed; measure it again."
        )
    if not quality.residual_um <= limits.residual_um:
        raise CalibrationRefused(
            f"{name} leaves {quality.residual_um:.2f} µm unexplained, the limit is {limits.residual_um:g} µm; measure "
            "it again where the specimen shows more."
        )
