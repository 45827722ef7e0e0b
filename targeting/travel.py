"""How long stage and beam take from one place to another: acceleration, backlash, settling.

Each axis runs on its own with a trapezoid of speed; the slower one decides. The stage comes to rest from one side (from
below on both axes); an axis that would come from the other side goes past by the backlash and returns. It then rests,
the longer the farther it went.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocols.errors import BadInput
from .points import as_points, distances

Seconds = NDArray[np.float64]


class MoveTimes(Protocol):
    """What says how long moves take."""

    def between(self, start_um: ArrayLike, end_um: ArrayLike) -> Seconds:
        """Give the seconds of every move from one of ``start_um`` (n, 2) to one of ``end_um`` (m, 2), shape (n, m)."""
        ...


@dataclass(frozen=True, slots=True)
class TravelTimes:
    """Numbers of a stage; the defaults are usual ones of a side-entry stage.

    Attributes
    ----------
    speed_um_per_s, acceleration_um_per_s2
        Of each axis.
    backlash_um
        How far past its aim an axis goes to come back from the right side; 0 for a stage without backlash.
    overhead_s
        Spent on every move that is one.
    settle_s, settle_s_per_um, settle_at_most_s
        Rest after a move: a least one, growing with the way gone, up to a most.
    same_place_um
        Within this distance the stage does not move.
    """

    speed_um_per_s: float = 100.0
    acceleration_um_per_s2: float = 200.0
    backlash_um: float = 5.0
    overhead_s: float = 0.0
    settle_s: float = 0.0
    settle_s_per_um: float = 0.01
    settle_at_most_s: float = 20.0
    same_place_um: float = 0.05

    def __post_init__(self) -> None:
        lengths = (self.backlash_um, self.overhead_s, self.settle_s, self.settle_s_per_um, self.same_place_um)
        rates = (self.speed_um_per_s, self.acceleration_um_per_s2)
        if not (np.isfinite([*lengths, *rates]).all() and min(lengths) >= 0 and min(rates) > 0):
            raise BadInput("Speed and acceleration of the stage must be above 0, its times and backlash 0 or more.")

    def between(self, start_um: ArrayLike, end_um: ArrayLike) -> Seconds:
        """Give the seconds of every move from one of ``start_um`` (n, 2) to one of ``end_um`` (m, 2), shape (n, m)."""
        starts, ends = as_points(start_um, "Starts of moves"), as_points(end_um, "Ends of moves")
        gaps = ends[None, :, :] - starts[:, None, :]
        slower = np.maximum(self._axis_s(gaps[..., 0]), self._axis_s(gaps[..., 1]))
        far = np.sqrt(gaps[..., 0] ** 2 + gaps[..., 1] ** 2)
        rest = np.minimum(self.settle_s + self.settle_s_per_um * far, self.settle_at_most_s)
        return np.asarray(np.where(far <= self.same_place_um, 0.0, self.overhead_s + slower + rest))

    def _axis_s(self, gap_um: Seconds) -> Seconds:
        """Give the seconds of one axis's run, with the way past and back where it comes from the wrong side."""
        wrong = gap_um < -self.same_place_um
        there = self._run_s(np.abs(gap_um) + np.where(wrong, self.backlash_um, 0.0))
        return there + np.where(wrong, self._run_s(np.array(self.backlash_um)), 0.0)

    def _run_s(self, way_um: Seconds) -> Seconds:
        ramp_um = self.speed_um_per_s**2 / self.acceleration_um_per_s2
        short = 2 * np.sqrt(way_um / self.acceleration_um_per_s2)
        long_ = way_um / self.speed_um_per_s + self.speed_um_per_s / self.acceleration_um_per_s2
        return np.asarray(np.where(way_um <= ramp_um, short, long_))


@dataclass(frozen=True, slots=True)
class ShiftTimes:
    """How long the beam rests after an image shift: a least time, and more the farther it went."""

    settle_s: float = 1.0
    settle_s_per_um: float = 0.1

    def __post_init__(self) -> None:
        times = (self.settle_s, self.settle_s_per_um)
        if not (np.isfinite(times).all() and min(times) >= 0):
            raise BadInput("The times of an image shift must be 0 s or more.")

    def between(self, start_um: ArrayLike, end_um: ArrayLike) -> Seconds:
        """Give the seconds of every shift from one of ``start_um`` (n, 2) to one of ``end_um`` (m, 2), shape (n, m)."""
        far = distances(as_points(start_um, "Starts of shifts"), as_points(end_um, "Ends of shifts"))
        return np.where(far > 0, self.settle_s + self.settle_s_per_um * far, 0.0)
