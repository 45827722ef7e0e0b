"""Coordinate frames: image pixels, specimen plane and stage as 2×3 affines that compose, invert and fit.

An `Affine` carries points of one plane into another, ``q = A @ (p0, p1, 1)``. Image positions are (row, col) pixels
with the origin at the centre of the first pixel, stage positions µm.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..hardware.records import Affine, ImageShift, StagePosition
from ..protocols.errors import BadInput
from .points import Points, as_points

FitKind = Literal["shift", "rigid", "similarity", "affine"]
_PAIRS_NEEDED: dict[FitKind, int] = {"shift": 1, "rigid": 2, "similarity": 2, "affine": 3}

IDENTITY: Affine = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True, slots=True)
class Fit:
    """An affine fitted to pairs of points.

    ``rms`` and ``worst`` are the distances left over, in units of the target plane.
    """

    affine: Affine
    rms: float
    worst: float


def identity() -> Affine:
    """Give the affine that changes nothing."""
    return IDENTITY


def shift(first: float, second: float) -> Affine:
    """Give the affine that adds ``(first, second)``."""
    return ((1.0, 0.0, float(first)), (0.0, 1.0, float(second)))


def rotation(angle_deg: float, about: tuple[float, float] = (0.0, 0.0)) -> Affine:
    """Give the turn by ``angle_deg`` from the first axis towards the second, about a point that stays."""
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.asarray(about, dtype=np.float64)
    return _affine(turn, centre - turn @ centre)


def compose(outer: Affine, inner: Affine) -> Affine:
    """Give the affine that does ``inner`` first, then ``outer``."""
    outer_linear, outer_offset = _parts(outer)
    inner_linear, inner_offset = _parts(inner)
    return _affine(outer_linear @ inner_linear, outer_linear @ inner_offset + outer_offset)


def invert(affine: Affine) -> Affine:
    """Give the way back.

    Raises
    ------
    BadInput
        The affine flattens the plane (a singular calibration).
    """
    linear, offset = _parts(affine)
    sizes = np.linalg.svd(linear, compute_uv=False)
    if not np.isfinite(sizes).all() or sizes[1] <= 1e-9 * sizes[0]:
        raise BadInput("The coordinate frame is singular: it maps the plane onto a line; calibrate it again.")
    back = np.asarray(np.linalg.inv(linear), dtype=np.float64)
    return _affine(back, -back @ offset)


def apply(affine: Affine, points: ArrayLike) -> Points:
    """Carry points (n, 2) through the affine; raises BadInput for points that are no finite pairs."""
    linear, offset = _parts(affine)
    return as_points(points, "Positions") @ linear.T + offset


def carry(affine: Affine, first: float, second: float) -> tuple[float, float]:
    """Carry one point through the affine."""
    (a, b, c), (d, e, f) = affine
    return a * first + b * second + c, d * first + e * second + f


def scale_of(affine: Affine) -> float:
    """Give the linear scale, the root of the area's: µm per pixel for an ``image_to_stage``."""
    linear, _ = _parts(affine)
    return float(np.sqrt(abs(np.linalg.det(linear))))


def angle_of(affine: Affine) -> float:
    """Give the direction in degrees, −180 to 180, in which the second axis's unit vector (a column step) comes out."""
    linear, _ = _parts(affine)
    return float(np.rad2deg(np.arctan2(linear[1, 1], linear[0, 1])))


def image_to_stage(
    shape: tuple[int, int],
    pixel_size_a: float,
    stage: StagePosition,
    image_shift: ImageShift = ImageShift(),  # noqa: B008  (frozen)
    *,
    rotation_deg: float = 0.0,
    mirrored: bool = False,
) -> Affine:
    """Give the frame of an image taken at ``stage`` with ``image_shift``: its middle stands at their sum.

    Columns run along ``rotation_deg`` from the stage's x axis towards y; rows run a right angle before that (down the
    picture is −y at no rotation), or after it when ``mirrored``.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    pixel_size_a
        Pixel size at the specimen in Å.

    Raises
    ------
    BadInput
        Pixel size or shape not positive.
    """
    if not pixel_size_a > 0 or min(shape) < 1:
        raise BadInput(f"An image of {shape[0]} × {shape[1]} px of {pixel_size_a} Å has no place on the stage.")
    angle, step_um = np.deg2rad(rotation_deg), pixel_size_a * 1e-4
    along_cols = np.array([np.cos(angle), np.sin(angle)])
    along_rows = np.array([np.sin(angle), -np.cos(angle)]) * (-1.0 if mirrored else 1.0)
    linear = step_um * np.column_stack([along_rows, along_cols])
    middle = np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2])
    place = np.array([stage.x_um + image_shift.x_um, stage.y_um + image_shift.y_um])
    return _affine(linear, place - linear @ middle)


def fit(source: ArrayLike, target: ArrayLike, kind: FitKind = "affine") -> Fit:
    """Fit the affine that carries ``source`` (n, 2) onto ``target`` (n, 2) by least squares.

    ``rigid`` is rotation and shift (Kabsch 1976), ``similarity`` adds one scale (Umeyama 1991); neither mirrors.

    Raises
    ------
    BadInput
        Unequal numbers of points, too few of them for this kind, or all on one spot or line.
    """
    here, there = as_points(source, "Source positions"), as_points(target, "Target positions")
    if len(here) != len(there):
        raise BadInput(f"A fit needs pairs: {len(here)} source and {len(there)} target positions were given.")
    if len(here) < _PAIRS_NEEDED[kind]:
        raise BadInput(f"A fit of kind {kind} needs at least {_PAIRS_NEEDED[kind]} pairs, got {len(here)}.")
    linear = _fit_linear(here - here.mean(axis=0), there - there.mean(axis=0), kind)
    affine = _affine(linear, there.mean(axis=0) - linear @ here.mean(axis=0))
    left = np.linalg.norm(apply(affine, here) - there, axis=1)
    return Fit(affine, float(np.sqrt(np.mean(left**2))), float(left.max()))


def _fit_linear(here: Points, there: Points, kind: FitKind) -> NDArray[np.float64]:
    if kind == "shift":
        return np.eye(2)
    sizes = np.linalg.svd(here, compute_uv=False)
    if sizes[0] == 0 or (kind == "affine" and sizes[1] <= 1e-9 * sizes[0]):
        raise BadInput(f"The positions lie on one spot or line; a fit of kind {kind} needs them spread out.")
    if kind == "affine":
        return np.asarray(np.linalg.lstsq(here, there, rcond=None)[0].T, dtype=np.float64)
    cosine = float(np.sum(here * there))
    sine = float(np.sum(here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]))
    size = float(np.hypot(cosine, sine))
    if size == 0:
        raise BadInput("The target positions show no direction; a rotation cannot be fitted to them.")
    turn = np.array([[cosine, -sine], [sine, cosine]]) / size
    return turn * (size / float(np.sum(here**2))) if kind == "similarity" else turn


def _parts(affine: Affine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (2, 3):
        raise BadInput(f"A coordinate frame is a 2×3 affine, not an array of shape {matrix.shape}.")
    return matrix[:, :2], matrix[:, 2]


def _affine(linear: NDArray[np.float64], offset: NDArray[np.float64]) -> Affine:
    (a, b), (d, e) = linear.tolist()
    return ((a, b, float(offset[0])), (d, e, float(offset[1])))
