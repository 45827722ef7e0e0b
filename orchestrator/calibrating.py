"""Calibrations measured on the microscope from its own low-dose pictures: image shift, and offsets between levels.

The stage stands still throughout, over film with something to see; every picture is held against one taken before.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..hardware.clock import Clock
from ..hardware.protocols import Camera, Microscope, Optics, Stage
from ..hardware.records import Image, ImageShift, Shot
from ..imaging.across_levels import offset_between
from ..protocols.preset import Preset
from ..targeting import frames
from ..targeting.calibration import Calibrations, PresetOffset, ShiftCalibration, check_offset, check_shift
from ..targeting.calibration_fits import fit_offset, fit_shift
from .shooting import look_at

SURE = 0.4
"""Correlation from which a picture found in another is believed."""

MIDDLE = 0.4
"""Share of the picture's sides that is looked for in the unshifted one; the rest is for the shift."""

DIRECTIONS = 8


class Scope(Stage, Optics, Camera, Protocol):
    """What of a microscope this needs."""


def measure_aim(
    scope: Microscope,
    clock: Clock,
    name: str,
    *,
    fine: Preset,
    hole_um: tuple[float, float],
    radius_um: float,
    reach_um: float = 4.0,
    off_um: float = 1.0,
) -> Calibrations:
    """Measure all that a night aims by: image shift, and the offsets from square to hole and to exposure level.

    Parameters
    ----------
    fine
        The exposure level's optics at a low dose; its camera may be binned.
    hole_um, radius_um
        A hole near the middle of the view, stage µm as a hole-level picture's frame says, and its radius.
    reach_um, off_um
        Length of the shifts, and farthest that shift and levels may miss: less than half the pitch of the holes.

    Raises
    ------
    CalibrationRefused
        Something was not seen well enough.
    """
    presets = scope.presets()
    hole, square = presets["hole"], presets["square"]
    shift = measure_shift(scope, hole, clock, f"{name}-shift", reach_um=reach_um, off_um=off_um)
    to_exposure = measure_offset(
        scope, hole, fine, clock, f"{name}-exposure", holes_um=[hole_um], radius_um=radius_um,
        off_um=min(off_um, 0.6 * radius_um), shift=shift,
    )  # fmt: skip
    to_hole = measure_level_offset(scope, square, hole, clock, f"{name}-square", reach_um=reach_um / 2, off_um=off_um)
    now = clock.now()
    return Calibrations(
        scope.capabilities().name,
        check_shift(shift, now),
        (check_offset(to_hole, now), check_offset(to_exposure, now)),
        magnifications={one.level: one.magnification for one in (square, hole, fine)},
    )


def measure_shift(
    scope: Scope, preset: Preset, clock: Clock, name: str, *, reach_um: float, off_um: float
) -> ShiftCalibration:
    """Measure what image shift does, by pictures at shifts all round.

    Parameters
    ----------
    preset
        Level at which the film shows its detail; ``reach_um`` must leave the middle of its picture in view.
    reach_um
        Length of the shifts; half of them are half as long.
    off_um
        Farthest that a shift may miss: less than half the pitch of the holes.

    Raises
    ------
    CalibrationRefused
        Too few pictures were found again.
    """
    shifts = [ImageShift(*_around(n, reach_um * (1.0 if n % 2 else 0.5))) for n in range(DIRECTIONS)]
    base = _picture(scope, preset, ImageShift(), f"{name}-0")
    commanded, moved = [(0.0, 0.0)], [(0.0, 0.0)]
    for number, shift in enumerate(shifts, start=1):
        view = _cut(_picture(scope, preset, shift, f"{name}-{number}"))
        found = offset_between(base, view, off_um)
        if found is not None and found.confidence >= SURE:
            commanded.append((shift.x_um, shift.y_um))
            # What the frame of the shifted picture is off by, the shift fell short of.
            moved.append((shift.x_um - found.x_um, shift.y_um - found.y_um))
    scope.shift_image(ImageShift())
    return fit_shift(commanded, moved, clock.now())


def measure_offset(
    scope: Scope,
    coarse: Preset,
    fine: Preset,
    clock: Clock,
    name: str,
    *,
    holes_um: Sequence[tuple[float, float]],
    radius_um: float,
    off_um: float,
    shift: ShiftCalibration | None = None,
) -> PresetOffset:
    """Measure by how much two levels' pictures show different places, by the edges of holes all round.

    A picture at exposure magnification is smaller than a hole; it shows a piece of the edge, which tells the offset
    across it.

    Parameters
    ----------
    coarse, fine
        Presets; give ``fine`` a low dose.
    holes_um
        Holes on the coarse picture, stage µm as its frame says, within reach of image shift.
    radius_um
        Radius of the holes.
    off_um
        Farthest that the levels may be off from one another, less than the radius.
    shift
        The image shift's calibration, if it is known.

    Raises
    ------
    CalibrationRefused
        Too few edges were found again.
    """
    base = _picture(scope, coarse, ImageShift(), f"{name}-0")
    stage = scope.position()
    displaced, normals = [], []
    for number, (hole, n) in enumerate(((hole, n) for hole in holes_um for n in range(DIRECTIONS)), start=1):
        out = _around(n, 1.0)
        place = hole[0] + radius_um * out[0], hole[1] + radius_um * out[1]
        wanted = place[0] - stage.x_um, place[1] - stage.y_um
        view = _picture(
            scope, fine, ImageShift(*wanted) if shift is None else shift.command(wanted), f"{name}-{number}"
        )
        view = _framed_at(view, place)
        found = offset_between(base, view, off_um)
        if found is not None and found.confidence >= SURE:
            displaced.append((found.x_um, found.y_um))
            normals.append(out)
    scope.shift_image(ImageShift())
    return fit_offset(coarse.level, fine.level, displaced, clock.now(), normals)


def measure_level_offset(
    scope: Scope, coarse: Preset, fine: Preset, clock: Clock, name: str, *, reach_um: float, off_um: float
) -> PresetOffset:
    """Measure the offset between two survey levels: views of the finer one found in a picture of the coarser one.

    Parameters
    ----------
    reach_um
        Length of the image shifts between which the finer views are taken.
    off_um
        Farthest that the levels may be off from one another: less than half the pitch of the holes.

    Raises
    ------
    CalibrationRefused
        Too few views were found again.
    """
    base = _picture(scope, coarse, ImageShift(), f"{name}-0")
    displaced = []
    for number in range(1, DIRECTIONS + 1):
        view = _picture(scope, fine, ImageShift(*_around(number, reach_um)), f"{name}-{number}")
        found = offset_between(base, view, off_um)
        if found is not None and found.confidence >= SURE:
            displaced.append((found.x_um, found.y_um))
    scope.shift_image(ImageShift())
    return fit_offset(coarse.level, fine.level, displaced, clock.now())


def _picture(scope: Scope, preset: Preset, shift: ImageShift, name: str) -> Image:
    scope.use(preset)
    scope.shift_image(shift)
    return look_at(scope.acquire(Shot(preset), name)).image()


def _around(number: int, length: float) -> tuple[float, float]:
    angle = 2 * math.pi * number / DIRECTIONS
    return length * math.cos(angle), length * math.sin(angle)


def _cut(image: Image) -> Image:
    """Give the middle of a picture with its frame."""
    first = [round(side * (1 - MIDDLE) / 2) for side in image.pixels.shape]
    rows, cols = (slice(at, side - at) for at, side in zip(first, image.pixels.shape, strict=True))
    assert image.image_to_stage is not None
    frame = frames.compose(image.image_to_stage, frames.shift(*first))
    return Image(np.ascontiguousarray(image.pixels[rows, cols]), image.pixel_size_a, frame, image.name)


def _framed_at(image: Image, place: tuple[float, float]) -> Image:
    """Give the picture a frame whose middle is the place aimed at, whatever had to be commanded for it."""
    assert image.image_to_stage is not None
    middle = [(side - 1) / 2 for side in image.pixels.shape]
    said = frames.carry(image.image_to_stage, *middle)
    frame = frames.compose(frames.shift(place[0] - said[0], place[1] - said[1]), image.image_to_stage)
    return Image(image.pixels, image.pixel_size_a, frame, image.name)
