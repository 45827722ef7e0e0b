"""Crops of openings as a scorer sees them: turned upright, one size in units of the usual opening, one scale of grey.

Whatever the pixel size, the storage and the turn of the grid, a crop shows the same: bars are 0, the usual film of the
same image is 1, and the usual opening takes the same number of pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import Points, aligned_box
from .square_class import Population

CROP_PX = 128
"""Side of a crop."""

REACH = 1.3
"""Side of a crop in units of the usual opening's side, so that bars and a larger opening's rim are seen too."""

_LIMITS = (-0.5, 4.0)
_HOT = (0.02, 0.999)


def without_hot_pixels(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give an image, finite, whose hot pixels are as their neighbours.

    Hot is what alone among its neighbours stands as far above the image's brightest as those above its darkest: what
    lets all light through is never so bright, and a tear is never so small.
    """
    low, high = (float(value) for value in np.quantile(pixels[::3, ::3], _HOT))
    hot = pixels > high + (high - low)
    if not hot.any():
        return pixels
    calm = cv2.medianBlur(pixels, 3)
    return np.where(hot & (pixels - calm > high - low), calm, pixels)


def crops_of(
    pixels: NDArray[np.float32], hulls: list[Points], angle_deg: float, usual: Population
) -> NDArray[np.float32]:
    """Cut out every opening, shape (n, `CROP_PX`, `CROP_PX`); what lies outside the image is as dark as the bars.

    Parameters
    ----------
    pixels
        The image, finite, (rows, cols).
    hulls
        Convex hulls, (m, 2) (row, col) px each.
    angle_deg
        Common angle of the boxes.
    usual
        What is usual in this image.
    """
    step = REACH * usual.side / CROP_PX
    height = max(usual.film - usual.dark, 1e-12)
    crops = np.empty((len(hulls), CROP_PX, CROP_PX), np.float32)
    for crop, hull in zip(crops, hulls, strict=True):
        middle = aligned_box(hull, angle_deg).mean(axis=0)
        crop[:] = (_cut(pixels, middle, step, angle_deg, usual.dark) - usual.dark) / height
    return np.clip(crops, *_LIMITS)


def _cut(
    pixels: NDArray[np.float32], middle: Points, step: float, angle_deg: float, outside: float
) -> NDArray[np.float32]:
    """Sample a turned square window; pixels finer than the crop's are averaged first."""
    bin_px = max(1, int(step))
    reach = int(np.ceil(0.71 * CROP_PX * step)) + 2 * bin_px
    first = np.floor(middle).astype(int) - reach
    size = -(-(2 * reach + 1) // bin_px) * bin_px
    window = np.full((size, size), outside, np.float32)
    low, high = np.maximum(first, 0), np.minimum(first + size, pixels.shape)
    if (low < high).all():
        part = pixels[low[0] : high[0], low[1] : high[1]]
        window[low[0] - first[0] : high[0] - first[0], low[1] - first[1] : high[1] - first[1]] = part
    if bin_px > 1:
        window = np.asarray(
            cv2.resize(window, (size // bin_px, size // bin_px), interpolation=cv2.INTER_AREA), np.float32
        )
    here = (middle - first + 0.5) / bin_px - 0.5
    angle, scale = np.deg2rad(angle_deg), step / bin_px
    down, right = scale * np.array([np.cos(angle), -np.sin(angle)]), scale * np.array([np.sin(angle), np.cos(angle)])
    origin = here - 0.5 * (CROP_PX - 1) * (down + right)
    to_window = np.array([[right[1], down[1], origin[1]], [right[0], down[0], origin[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(window, to_window, (CROP_PX, CROP_PX), flags=flags, borderValue=float(outside))
    return np.asarray(cut, np.float32)
