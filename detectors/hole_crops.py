"""What a hole's score is worked out from: a crop around it at one scale, and levels against film and vacuum.

All of it is ratios of counts, so another gain changes nothing; vacuum, where it is known, is in the image's own counts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .film import binned
from .scene import Points

CROP_PX, RADIUS_PX = 48, 8.0
"""Side of a crop, and the hole's radius in it."""

_FINE, _COARSE = 5.0, 1.0
_MOST = 2.5
_LEAST_PART = 0.02
_BRIGHTEST = 0.995
_SAMPLED = 1.6


@dataclass(frozen=True, slots=True)
class HoleCrops:
    """Holes ready to be scored.

    Attributes
    ----------
    pictures
        (n, 2, 48, 48): logarithm of counts over the hole's own level, finely and coarsely.
    numbers
        (n, 7): logarithms of the hole over its film and over the brightest of the view, unevenness of the hole, whether
        vacuum is known, and logarithms of hole, film and brightest over vacuum (0 where it is not known).
    """

    pictures: NDArray[np.float32]
    numbers: NDArray[np.float32]


def hole_crops(pixels: NDArray[np.float32], places: Points, radius_px: float, vacuum: float | None = None) -> HoleCrops:
    """Cut out holes.

    Parameters
    ----------
    pixels
        The image, in counts.
    places
        (n, 2) (row, col) px.
    radius_px
        Of the holes.
    vacuum
        Counts per pixel where nothing is in the beam; None when not known.
    """
    step = max(1, int(radius_px / RADIUS_PX / _SAMPLED))
    small = binned(pixels, step)
    here = (places - (step - 1) / 2) / step
    cut = _cut(small, here, radius_px / step, CROP_PX, RADIUS_PX)
    hole, film, uneven = _levels(cut)
    brightest = _brightest(small, radius_px / step)
    floor = _LEAST_PART * np.maximum(brightest, 1e-6)
    ratio = np.log(np.maximum(cut, floor) / np.maximum(hole, floor)[:, None, None])
    pictures = np.stack([np.clip(_FINE * ratio, -_MOST, _MOST), np.clip(_COARSE * ratio, -_MOST, _MOST)], axis=1)
    known = vacuum is not None and vacuum > 0
    levels = np.log(np.maximum(np.stack([hole, film, np.full(len(hole), brightest)]), floor))
    over_vacuum = levels - np.log(vacuum) if known and vacuum is not None else np.zeros_like(levels)
    numbers = np.stack(
        [levels[0] - levels[1], levels[0] - levels[2], uneven, np.full(len(hole), float(known)), *over_vacuum], axis=1
    )
    return HoleCrops(pictures.astype(np.float32), np.clip(numbers, -4, 4).astype(np.float32))


def standard_crops(
    pixels: NDArray[np.float32], places: Points, radius_px: float, side: int, radius: float
) -> NDArray[np.float32]:
    """Cut out holes as the published scorers see them: (n, side, side), each with mean 0 and standard deviation 1.

    Parameters
    ----------
    side, radius
        Of the crop and of the hole in it, px.
    """
    step = max(1, int(radius_px / radius / _SAMPLED))
    cut = _cut(binned(pixels, step), (places - (step - 1) / 2) / step, radius_px / step, side, radius)
    mean, spread = cut.mean((1, 2), keepdims=True), cut.std((1, 2), keepdims=True)
    return np.asarray((cut - mean) / np.maximum(spread, 1e-6), np.float32)


def _cut(pixels: NDArray[np.float32], places: Points, own: float, side: int, radius: float) -> NDArray[np.float32]:
    """Sample (n, side, side) around places; beyond the border the image is mirrored."""
    offset = (np.arange(side) - (side - 1) / 2) * own / radius
    found = []
    for row, col in places:
        rows = np.repeat((row + offset)[:, None], side, axis=1).astype(np.float32)
        cols = np.repeat((col + offset)[None, :], side, axis=0).astype(np.float32)
        found.append(cv2.remap(pixels, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))
    return np.asarray(found, np.float32).reshape(-1, side, side)


_AT = (np.arange(CROP_PX) - (CROP_PX - 1) / 2) / RADIUS_PX
_AWAY = np.hypot(_AT[:, None], _AT[None, :])
_DISC, _FILM = _AWAY < 0.75, (_AWAY > 1.15) & (_AWAY < 1.5)


def _levels(cut: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give levels of holes and of the film around, and how uneven the holes are over their level."""
    inside, around = cut[:, _DISC].astype(np.float64), cut[:, _FILM].astype(np.float64)
    hole, film = np.median(inside, axis=1), np.median(around, axis=1)
    low, high = np.quantile(inside, [0.1, 0.9], axis=1)
    return hole, film, (high - low) / np.maximum(np.abs(hole), 1e-6)


def _brightest(pixels: NDArray[np.float32], own: float) -> float:
    """Give the level that hardly anything of the view is brighter than, noise smoothed away."""
    return float(np.quantile(cv2.GaussianBlur(pixels, (0, 0), max(0.4 * own, 0.5)), _BRIGHTEST))
