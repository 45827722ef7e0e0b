"""Calibrations fitted to measurements, robustly: image shift to specimen, offsets between levels, the stage's backlash.

Each measurement is a place in µm along the stage's axes, however it was found: holes seen again, pictures correlated.
A wrong match among them is counted down (soft-l1 loss), not believed.
"""

from collections.abc import Callable
from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from ..protocols.errors import BadInput
from ..protocols.preset import Level
from .calibration import Backlash, CalibrationRefused, PresetOffset, Quality, ShiftCalibration
from .points import Points, as_points

Floats = NDArray[np.float64]

_FLOOR_UM = 1e-4
"""Errors smaller than this are rounding, not measurement."""

_OUTLIER = 3.0
"""Residuals so many times the usual one are no longer counted in full."""


def fit_shift(commanded_um: ArrayLike, moved_um: ArrayLike, taken_at: datetime) -> ShiftCalibration:
    """Fit what a commanded image shift does.

    Parameters
    ----------
    commanded_um
        Image shifts that were set, (n, 2), n at least 4, not all on one line.
    moved_um
        The place of the specimen in the middle of the picture at each, (n, 2), against any fixed place.
    taken_at
        UTC.

    Raises
    ------
    BadInput
        Positions that are no finite pairs, or unequal numbers of them.
    CalibrationRefused
        Too few measurements, shifts on one line, or an answer that is singular.
    """
    commanded, moved = _pairs(commanded_um, moved_um, "image shifts", "places")
    _demand(len(commanded) >= 4, f"An image shift's calibration needs at least 4 measurements, got {len(commanded)}")
    sizes = np.linalg.svd(commanded - commanded.mean(axis=0), compute_uv=False)
    _demand(sizes[1] > 0.05 * sizes[0], "The image shifts measured lie on one line, which is singular")
    design = np.column_stack([commanded, np.ones(len(commanded))])
    solved, residual_um, covariance = _fit(design, moved)
    matrix = solved[:2].T
    large, small = np.linalg.svd(matrix, compute_uv=False)
    _demand(bool(small > 0.1 * large), "The pictures hardly moved with the image shift, or along one line only")
    (a, b), (d, e) = matrix.tolist()
    share = float(np.sqrt(np.diag(covariance)[:2].max()))
    return ShiftCalibration(((a, b), (d, e)), share, Quality(taken_at, residual_um, len(commanded)))


def fit_offset(
    coarse: Level, fine: Level, displaced_um: ArrayLike, taken_at: datetime, normals: ArrayLike | None = None
) -> PresetOffset:
    """Fit the offset between the middles of two levels' pictures.

    Parameters
    ----------
    displaced_um
        At each measurement, where the content of the coarse picture's middle lies beside the fine picture's, (n, 2).
    normals
        Where a picture shows one straight edge, the direction (n, 2) across it: only along that does the measurement
        count. None counts all of them both ways.

    Raises
    ------
    BadInput
        Positions that are no finite pairs, or unequal numbers of them.
    CalibrationRefused
        Fewer than 3 measurements, or edges that all run in one direction.
    """
    displaced = as_points(displaced_um, "Displacements")
    _demand(len(displaced) >= 3, f"An offset needs at least 3 measurements, got {len(displaced)}")
    if normals is None:
        solved, residual_um, _ = _fit(np.ones((len(displaced), 1)), displaced)
        return _offset(coarse, fine, solved[0], Quality(taken_at, residual_um, len(displaced)))
    _, across = _pairs(displaced, normals, "displacements", "normals")
    length = np.linalg.norm(across, axis=1)
    _demand(bool((length > 0).all()), "A normal of length 0 has no direction")
    across = across / length[:, None]
    sizes = np.linalg.svd(across, compute_uv=False)
    _demand(sizes[1] > 0.2 * sizes[0], "The edges all run in one direction, along which the offset stays unknown")
    along = np.einsum("ni,ni->n", displaced, across)
    solved, residual_um, _ = _fit(across, along[:, None])
    return _offset(coarse, fine, solved[:, 0], Quality(taken_at, residual_um, len(displaced)))


def _offset(coarse: Level, fine: Level, found: Floats, quality: Quality) -> PresetOffset:
    return PresetOffset(coarse, fine, float(found[0]), float(found[1]), quality)


def fit_backlash(moves_um: ArrayLike, missed_um: ArrayLike, taken_at: datetime) -> Backlash:
    """Fit where the stage ends beside its target, by axis and direction.

    Parameters
    ----------
    moves_um
        The last move before each measurement, (n, 2); its signs count.
    missed_um
        Where the stage ended beside where it said, (n, 2).

    Raises
    ------
    BadInput
        Positions that are no finite pairs, or unequal numbers of them.
    CalibrationRefused
        An axis that was not gone along at least twice each way.
    """
    moves, missed = _pairs(moves_um, missed_um, "moves", "errors")
    ends: dict[int, list[float]] = {1: [], -1: []}
    squares = 0.0
    for axis, name in enumerate("xy"):
        for way, words in ((1, "upwards"), (-1, "downwards")):
            own = missed[np.sign(moves[:, axis]) == way, axis]
            _demand(len(own) >= 2, f"The stage went {len(own)} times {words} along {name}, at least 2 are needed")
            solved, residual_um, _ = _fit(np.ones((len(own), 1)), own[:, None])
            ends[way].append(float(solved[0, 0]))
            squares += residual_um**2 / 4
    (up_x, up_y), (down_x, down_y) = ends[1], ends[-1]
    return Backlash((up_x, up_y), (down_x, down_y), Quality(taken_at, float(np.sqrt(squares)), len(moves)))


def _pairs(first: ArrayLike, second: ArrayLike, one: str, other: str) -> tuple[Points, Points]:
    here, there = as_points(first, one.capitalize()), as_points(second, other.capitalize())
    if len(here) != len(there):
        raise BadInput(f"A calibration needs pairs: {len(here)} {one} and {len(there)} {other} were given.")
    return here, there


def _demand(met: bool | np.bool_, otherwise: str) -> None:
    if not met:
        raise CalibrationRefused(f"{otherwise}; measure again.")


def _fit(design: Floats, target: Floats) -> tuple[Floats, float, Floats]:
    """Solve ``design @ x = target``, outliers counted down: x (k, m), rms left per number, covariance of x (k, k)."""
    start: Floats = np.asarray(np.linalg.lstsq(design, target, rcond=None)[0], np.float64)
    scale = _usual(target - design @ _settled(design, target, start))
    answer = least_squares(_left_over(design, target), start.ravel(), loss="soft_l1", f_scale=_OUTLIER * scale)
    solved = np.asarray(answer.x, np.float64).reshape(start.shape)
    left = target - design @ solved
    weights = 1 / np.sqrt(1 + (left / (_OUTLIER * scale)) ** 2)
    rms = float(np.sqrt(np.sum(weights * left**2) / max(float(weights.sum()) - solved.size, 1.0)))
    normal = design.T @ (design * weights.mean(axis=1)[:, None])
    return solved, rms, np.asarray(np.linalg.pinv(normal, hermitian=True) * max(rms, _FLOOR_UM) ** 2)


def _left_over(design: Floats, target: Floats) -> Callable[[Floats], Floats]:
    def residuals(flat: Floats) -> Floats:
        return np.asarray(target - design @ flat.reshape(design.shape[1], -1)).ravel()

    return residuals


def _settled(design: Floats, target: Floats, start: Floats) -> Floats:
    """Fit by least absolute deviations, nearly: the scale of the errors must not be that of the outliers."""
    solved = start
    for _ in range(20):
        left = np.abs(target - design @ solved).sum(axis=1)
        weights = np.sqrt(1 / np.maximum(left, _FLOOR_UM))[:, None]
        solved = np.asarray(np.linalg.lstsq(design * weights, target * weights, rcond=None)[0], np.float64)
    return solved


def _usual(left: Floats) -> float:
    """Give the standard deviation by the median, so that few outliers do not matter."""
    return max(1.4826 * float(np.median(np.abs(left))), _FLOOR_UM)
