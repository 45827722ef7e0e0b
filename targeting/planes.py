"""Typed frames: an affine that knows which plane it comes from and which it leads to, and refuses to be joined wrongly.

Four planes. *image px*: (row, col) of one picture. *specimen µm*: places on the specimen along the stage's axes, as at
no tilt. *stage µm*: the reading at which a place stands on the axis, as the stage is tilted. *image shift µm*: what is
commanded. A stage tilted by α moves along its own tilted plane, so a place at height h above the tilt axis's plane
comes to the axis ``h tan α`` earlier across the axis; at no tilt, or at height 0, stage and specimen are one.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..hardware.records import Affine, Image, ImageShift, StagePosition
from ..protocols.errors import BadInput
from . import frames
from .points import Points, as_points
from .tilt import LEVEL, Tilt, up_the_beam_um


class Plane(StrEnum):
    """A plane, with its unit."""

    IMAGE = "image px"
    SPECIMEN = "specimen µm"
    STAGE = "stage µm"
    SHIFT = "image shift µm"


@dataclass(frozen=True, slots=True)
class Frame:
    """The way from one plane to another.

    Attributes
    ----------
    source, target
        Planes, units included.
    affine
        2×3: ``target = affine @ (source0, source1, 1)``.
    """

    source: Plane
    target: Plane
    affine: Affine

    def then(self, further: "Frame") -> "Frame":
        """Give the way through both; raises BadInput where the second does not begin at the end of this one."""
        if further.source is not self.target:
            raise BadInput(
                f"A frame to {self.target.value} cannot be followed by one from {further.source.value}; invert one of "
                "them or put the missing frame between."
            )
        return Frame(self.source, further.target, frames.compose(further.affine, self.affine))

    def back(self) -> "Frame":
        """Give the way back; raises BadInput for a frame that flattens the plane (a singular calibration)."""
        return Frame(self.target, self.source, frames.invert(self.affine))

    def carry(self, first: float, second: float) -> tuple[float, float]:
        """Carry one point."""
        return frames.carry(self.affine, first, second)

    def apply(self, points: ArrayLike) -> Points:
        """Carry points (n, 2); raises BadInput for points that are no finite pairs."""
        return frames.apply(self.affine, points)

    @property
    def linear(self) -> NDArray[np.float64]:
        """The part without the shift, (2, 2)."""
        return np.asarray(self.affine, np.float64)[:, :2]


@dataclass(frozen=True, slots=True)
class HeightPlane:
    """How high the specimen lies about one place, over the plane of the tilt axis: flat, but perhaps sloping.

    Attributes
    ----------
    height_um
        At specimen (0, 0), towards the beam.
    slope_x, slope_y
        Rise per µm along the stage's x and y.
    """

    height_um: float = 0.0
    slope_x: float = 0.0
    slope_y: float = 0.0

    def at(self, places_um: ArrayLike) -> NDArray[np.float64]:
        """Give the heights (n,) of places (n, 2) on the specimen."""
        places = as_points(places_um, "Places")
        return np.asarray(self.height_um + places @ np.array([self.slope_x, self.slope_y]))


FLAT = HeightPlane()


def specimen_to_stage(tilt: Tilt = LEVEL, heights: HeightPlane = FLAT) -> Frame:
    """Give the stage reading at which places of the specimen stand on the axis.

    Parameters
    ----------
    tilt
        How the stage is tilted while it goes there.
    heights
        The specimen's height about the places; with tilt it moves them across the tilt axis.

    Raises
    ------
    BadInput
        A height or slope that is no number, or a slope so steep that the specimen is seen edge-on.
    """
    if not np.isfinite([heights.height_um, heights.slope_x, heights.slope_y]).all():
        raise BadInput("The specimen's height and slope must be finite numbers; measure the height again.")
    axis, lean = np.deg2rad(tilt.axis_deg), np.tan(np.deg2rad(tilt.alpha_deg))
    across = np.array([-np.sin(axis), np.cos(axis)])
    linear = np.eye(2) - lean * np.outer(across, [heights.slope_x, heights.slope_y])
    (a, b), (d, e) = linear.tolist()
    offset = -lean * heights.height_um * across
    affine: Affine = ((a, b, float(offset[0])), (d, e, float(offset[1])))
    frames.invert(affine)
    return Frame(Plane.SPECIMEN, Plane.STAGE, affine)


def image_to_specimen(image: Image, tilt: Tilt = LEVEL, heights: HeightPlane = FLAT) -> Frame:
    """Give the way from a picture's pixels to the specimen.

    Raises
    ------
    BadInput
        The picture says neither how large its pixels are nor where it was taken.
    """
    name = image.name or "without a name"
    if image.pixel_size_a is None or not image.pixel_size_a > 0:
        raise BadInput(f"Image {name} has no pixel size, so nothing on it can be gone to; give its pixel size in Å.")
    if image.image_to_stage is None:
        raise BadInput(f"Image {name} does not say where on the stage it was taken; give its image_to_stage.")
    frames.invert(image.image_to_stage)
    to_stage = Frame(Plane.IMAGE, Plane.STAGE, image.image_to_stage)
    return to_stage.then(specimen_to_stage(tilt, heights).back())


def shift_to_stage(stage: StagePosition, matrix: tuple[tuple[float, float], tuple[float, float]]) -> Frame:
    """Give the stage place that an image shift brings to the axis while the stage stands at ``stage``.

    ``matrix`` is what a commanded µm really does, see `calibration.ShiftCalibration`; raises BadInput for one that
    flattens the plane.
    """
    (a, b), (d, e) = matrix
    affine: Affine = ((a, b, stage.x_um), (d, e, stage.y_um))
    frames.invert(affine)
    return Frame(Plane.SHIFT, Plane.STAGE, affine)


@dataclass(frozen=True, slots=True)
class Aim:
    """What to command for one place: the image shift, and by how much the defocus has to grow for its height."""

    shift: ImageShift
    lift_um: float


def aim(
    place_um: tuple[float, float],
    stage: StagePosition,
    matrix: tuple[tuple[float, float], tuple[float, float]],
    tilt: Tilt = LEVEL,
    heights: HeightPlane = FLAT,
) -> Aim:
    """Give the image shift that brings a place on the specimen to the axis, and how far up the beam it lies.

    ``lift_um`` is relative to where the stage's own place lies, which is what was focused on.
    """
    to_stage = specimen_to_stage(tilt, heights)
    shift = shift_to_stage(stage, matrix).back().carry(*to_stage.carry(*place_um))
    on_axis = to_stage.back().carry(stage.x_um, stage.y_um)
    both = [place_um, on_axis]
    here, focused = up_the_beam_um(both, tilt, heights.at(both))
    return Aim(ImageShift(*shift), float(here - focused))
