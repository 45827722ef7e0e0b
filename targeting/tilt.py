"""A tilted specimen: where its holes stand as the beam sees them, and how far along the beam they lie from focus.

Places on the specimen are stage µm as at no tilt. Tilted by α about an axis, a place ``p`` across the axis and ``h``
above the plane of the axis is seen at ``p cos α − h sin α`` across it and lies ``p sin α + h cos α`` up the beam.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocols.errors import BadInput
from .points import Points, as_points

STEEPEST_DEG = 75.0


@dataclass(frozen=True, slots=True)
class Tilt:
    """A tilt of the stage.

    Attributes
    ----------
    alpha_deg
        Angle, −75 to 75.
    axis_deg
        Direction of the axis in the stage's plane, from x towards y.
    """

    alpha_deg: float = 0.0
    axis_deg: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite([self.alpha_deg, self.axis_deg]).all() and abs(self.alpha_deg) <= STEEPEST_DEG):
            raise BadInput(f"A tilt of {self.alpha_deg}° cannot be imaged; give −{STEEPEST_DEG:g} to {STEEPEST_DEG:g}.")


LEVEL = Tilt()


def seen(positions_um: ArrayLike, tilt: Tilt, heights_um: ArrayLike | None = None) -> Points:
    """Give places (n, 2) of the specimen in the plane across the beam, stage axes, µm; untilted they stay."""
    points, heights = as_points(positions_um, "Positions"), _heights(heights_um, positions_um)
    across = _across(tilt)
    alpha = np.deg2rad(tilt.alpha_deg)
    moved = (points @ across) * (np.cos(alpha) - 1.0) - heights * np.sin(alpha)
    return np.asarray(points + moved[:, None] * across)


def on_specimen(seen_um: ArrayLike, tilt: Tilt, heights_um: ArrayLike | None = None) -> Points:
    """Give the places (n, 2) on the specimen, at known heights, that are seen at these: the inverse of `seen`."""
    points, heights = as_points(seen_um, "Positions"), _heights(heights_um, seen_um)
    across = _across(tilt)
    alpha = np.deg2rad(tilt.alpha_deg)
    there = (points @ across + heights * np.sin(alpha)) / np.cos(alpha)
    return np.asarray(points + (there - points @ across)[:, None] * across)


def up_the_beam_um(positions_um: ArrayLike, tilt: Tilt, heights_um: ArrayLike | None = None) -> NDArray[np.float64]:
    """Give how far up the beam places (n, 2) lie, µm; the defocus to set for a hole grows by just that."""
    points, heights = as_points(positions_um, "Positions"), _heights(heights_um, positions_um)
    alpha = np.deg2rad(tilt.alpha_deg)
    lifted: NDArray[np.float64] = (points @ _across(tilt)) * np.sin(alpha) + heights * np.cos(alpha)
    return lifted


def _across(tilt: Tilt) -> NDArray[np.float64]:
    axis = np.deg2rad(tilt.axis_deg)
    return np.array([-np.sin(axis), np.cos(axis)])


def _heights(heights_um: ArrayLike | None, positions: ArrayLike) -> NDArray[np.float64]:
    count = len(np.asarray(positions))
    if heights_um is None:
        return np.zeros(count)
    heights = np.asarray(heights_um, dtype=np.float64)
    if heights.shape != (count,) or not np.isfinite(heights).all():
        raise BadInput(f"Heights must be {count} finite numbers, one for each position.")
    return heights
