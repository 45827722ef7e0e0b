"""How strong the noise of an atlas is within its openings, and how much coarser to look so that film is even again."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from .mixture import Levels
from .regions import Region

_NOISY, _CALM = 0.25, 0.2
_LEAST_SIDE_PX = 20.0
_SD_OF_MEDIAN = 1.4826


def noise_within(pixels: NDArray[np.float32], regions: Sequence[Region], levels: Levels) -> float:
    """Give the standard deviation of a pixel's noise within openings, in parts of what they stand above the mesh."""
    inside = np.zeros(pixels.shape, np.uint8)
    for region in regions:
        rows, cols = region.mask.shape
        inside[region.row : region.row + rows, region.col : region.col + cols] |= region.mask
    within = cv2.erode(inside, np.ones((3, 3), np.uint8))[:-1, :-1] > 0
    if not within.any():
        return 0.0
    twice = pixels[:-1, :-1] - pixels[1:, :-1] - pixels[:-1, 1:] + pixels[1:, 1:]
    deviation = _SD_OF_MEDIAN / 2 * np.median(np.abs(twice[within]))
    return float(deviation / (levels.bright - levels.dark))


def coarser_against(noise: float, side: float) -> int:
    """Give the binning that calms such noise and leaves openings of `side` px some pixels; 1 where none is wanted."""
    if noise <= _NOISY:
        return 1
    return max(1, min(math.ceil(noise / _CALM), int(side / _LEAST_SIDE_PX)))
