"""What the published networks look at: images without a sensor's spikes, and crops along turned boxes."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .regions import Points

_BULK = (0.002, 0.998)


def without_spikes(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace hot and dead pixels and X-rays by the median around them.

    A spike differs from the median of 5 × 5 px by more than the whole range that the image's other values span; no
    thing on the specimen does. The networks saw images that a camera had cleaned, and one spike upsets them.
    """
    low, high = np.quantile(pixels[::3, ::3], _BULK)
    around = np.asarray(cv2.medianBlur(pixels, 5), np.float32)
    return np.where(np.abs(pixels - around) > high - low, around, pixels)


@dataclass(frozen=True, slots=True)
class Splined:
    """An image made ready to be looked at between its pixels."""

    coefficients: NDArray[np.float64]

    @classmethod
    def of(cls, pixels: NDArray[np.float32]) -> "Splined":
        """Work out the spline's coefficients, once for all crops."""
        return cls(np.asarray(ndimage.spline_filter(pixels.astype(np.float64), 3, mode="mirror"), np.float64))

    def crop(self, corners: Points) -> NDArray[np.float32]:
        """Cut a box out and lay it straight; what lies outside the image is 0.

        Parameters
        ----------
        corners
            (4, 2) (row, col), in order around the box from its upper left corner along its upper side.
        """
        matrix, start, shape = _frame(corners)
        answer = ndimage.affine_transform(
            self.coefficients, matrix, start, shape, order=3, mode="constant", cval=0.0, prefilter=False
        )
        return np.asarray(answer, np.float32)


def _frame(corners: Points) -> tuple[Points, NDArray[np.float64], tuple[int, int]]:
    """Give matrix, offset and shape that take (row, col) of the crop to the image."""
    down, right = corners[3] - corners[0], corners[1] - corners[0]
    tall, wide = float(np.hypot(*down)), float(np.hypot(*right))
    matrix = np.stack([down / tall, right / wide], axis=1)
    shape = (max(1, round(tall)), max(1, round(wide)))
    return matrix, corners[0] + matrix @ np.array([0.5, 0.5]), shape


def padded(crop: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Bring a crop to side × side: zeros all around where it is smaller, its middle where it is larger."""
    answer = np.zeros((side, side), np.float32)
    taken, given = [], []
    for length in crop.shape:
        spare = (side - length) // 2
        taken.append(slice(max(0, -spare), max(0, -spare) + min(side, length)))
        given.append(slice(max(0, spare), max(0, spare) + min(side, length)))
    answer[given[0], given[1]] = crop[taken[0], taken[1]]
    return answer
