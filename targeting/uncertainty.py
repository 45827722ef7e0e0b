"""How surely a place is known: a Gaussian about it that grows with every step and shrinks with every measurement."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..protocols.errors import BadInput
from .planes import Frame, Plane

_DIRECTIONS = 256
"""Directions over which the chance to fall within a circle is summed."""

_ROUNDING = 1e-10
"""Share of a variance that is nothing but rounding."""

_NOTHING_UM2 = 1e-24
"""A variance too small to calculate with."""

_THIN = 1e-8
"""An ellipse so much narrower than long is taken for so wide; sums over directions need some width."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Covariance of a place's error, symmetric and without negative directions."""

    xx_um2: float = 0.0
    xy_um2: float = 0.0
    yy_um2: float = 0.0

    def __post_init__(self) -> None:
        values = (self.xx_um2, self.xy_um2, self.yy_um2)
        if not np.isfinite(values).all():
            raise BadInput("An uncertainty must be finite numbers in µm²; leave out the step that has none.")
        size = self.xx_um2 + self.yy_um2
        if min(self.xx_um2, self.yy_um2) < 0 or self.xx_um2 * self.yy_um2 - self.xy_um2**2 < -1e-9 * size**2:
            raise BadInput(f"An uncertainty of {values} µm² is less than none in some direction; give a covariance.")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Shape (2, 2), µm²."""
        return np.array([[self.xx_um2, self.xy_um2], [self.xy_um2, self.yy_um2]])

    @property
    def worst_um(self) -> float:
        """Standard deviation in the direction in which it is largest."""
        middle, apart = (self.xx_um2 + self.yy_um2) / 2, (self.xx_um2 - self.yy_um2) / 2
        return math.sqrt(middle + math.hypot(apart, self.xy_um2))

    def plus(self, step: "Spread") -> "Spread":
        """Give the uncertainty after a step that adds an independent error."""
        return Spread(self.xx_um2 + step.xx_um2, self.xy_um2 + step.xy_um2, self.yy_um2 + step.yy_um2)

    def through(self, linear: NDArray[np.float64]) -> "Spread":
        """Give the uncertainty in another frame; ``linear`` is (2, 2), µm to µm."""
        return _spread(linear @ self.matrix @ linear.T)


def even(sigma_um: float) -> Spread:
    """Give an uncertainty that is the same in all directions, from its standard deviation per axis."""
    return Spread(sigma_um**2, 0.0, sigma_um**2)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in µm as it is believed, and how surely."""

    x_um: float
    y_um: float
    spread: Spread = Spread()

    def after(self, step: Spread) -> "Place":
        """Give the place after something that may have moved it, nobody knows where to."""
        return Place(self.x_um, self.y_um, self.spread.plus(step))

    def carried(self, frame: Frame) -> "Place":
        """Give the place in another frame; raises BadInput where one of the planes counts in pixels."""
        if Plane.IMAGE in (frame.source, frame.target):
            raise BadInput("An uncertainty in µm² cannot be carried to pixels; compose the frames to end in µm.")
        return Place(*frame.carry(self.x_um, self.y_um), self.spread.through(frame.linear))

    def measured(self, x_um: float, y_um: float, spread: Spread) -> "Place":
        """Give the place after a measurement: both weighted by how sure they are (Kalman's update of a Gaussian)."""
        before, noise = self.spread.matrix, spread.matrix
        both = before + noise
        if np.trace(both) < _NOTHING_UM2:
            return self
        # What is known for certain along a line has no inverse across it; a rounding's worth of doubt gives it one.
        gain = before @ np.linalg.inv(both + _ROUNDING * float(np.trace(both)) * np.eye(2))
        rest = np.eye(2) - gain
        moved = gain @ np.array([x_um - self.x_um, y_um - self.y_um])
        # Joseph's form stays a covariance whatever is rounded.
        left = rest @ before @ rest.T + gain @ noise @ gain.T
        return Place(self.x_um + float(moved[0]), self.y_um + float(moved[1]), _spread(left))

    def chance_within(self, radius_um: float) -> float:
        """Give the probability that the true place lies within a circle about the believed one.

        The normal density integrated outwards in each direction (closed form), then summed over directions.
        """
        if not radius_um > 0:
            return 0.0
        large, small = (float(value) for value in np.linalg.eigvalsh(self.spread.matrix)[::-1])
        if large <= 0:
            return 1.0
        small = max(small, _THIN * large)
        # Directions even in the ellipse's own angle: thin ellipses need no more of them than round ones.
        angle = 2 * math.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
        reach = radius_um**2 / (large * np.cos(angle) ** 2 + small * np.sin(angle) ** 2)
        return float(np.mean(-np.expm1(-reach / 2)))


def of_shift(shift_um: tuple[float, float], share: float, residual_um: float) -> Spread:
    """Give what an image shift adds.

    Parameters
    ----------
    share
        Standard deviation of the calibration's elements, as a fraction of the shift.
    residual_um
        Standard deviation per axis of what the calibration does not explain.
    """
    return even(math.hypot(share * math.hypot(*shift_um), residual_um))


def of_time(seconds: float, um_per_root_s: float) -> Spread:
    """Give what waiting adds since a place was last measured: drift that wanders, its variance growing with time."""
    if seconds < 0:
        raise BadInput(f"A place cannot have been measured {-seconds:g} s from now; check the clock.")
    return even(um_per_root_s * math.sqrt(seconds))


def of_move(distance_um: float, each_um: float, long_um: float, forgotten_um: float) -> Spread:
    """Give what a stage move adds.

    Parameters
    ----------
    distance_um
        Length of the move.
    each_um
        Standard deviation per axis of any move, backlash and all.
    long_um
        Standard deviation per axis of what a very long move adds besides.
    forgotten_um
        Length over which that error is forgotten for a new one.
    """
    kept = math.exp(-abs(distance_um) / forgotten_um)
    # What is left of the old error and what comes new: the difference of the two wanders by this.
    return even(math.hypot(each_um, long_um * math.sqrt(2 * (1 - kept))))


def _spread(matrix: NDArray[np.float64]) -> Spread:
    """Make a spread of a matrix that is a covariance but for rounding."""
    xx, yy = max(float(matrix[0, 0]), 0.0), max(float(matrix[1, 1]), 0.0)
    limit = math.sqrt(xx * yy)
    return Spread(xx, min(max(float(matrix[0, 1] + matrix[1, 0]) / 2, -limit), limit), yy)
