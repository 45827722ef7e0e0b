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


@dataclass(frozen=True, slots=True)
class Turned:
    """A whole image laid straight at once and cut along whole pixels: what the published program looks at."""

    pixels: NDArray[np.float64]
    matrix: Points
    offset: Points

    @classmethod
    def of(cls, pixels: NDArray[np.float32], angle_deg: float) -> "Turned":
        """Turn by an angle, from rows to columns; the canvas grows, and is 0 where there was no image.

        The published program turns an image of whole numbers into one of whole numbers.
        """
        kind = np.int32 if bool((pixels == np.rint(pixels)).all()) else np.float64
        turned = np.asarray(ndimage.rotate(pixels.astype(np.float64), angle_deg, output=kind), np.float64)
        angle = np.deg2rad(angle_deg)
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        offset = np.array(turned.shape) // 2 - np.array(pixels.shape) // 2 @ matrix
        return cls(turned, matrix, offset)

    def crop(self, corners: Points) -> NDArray[np.float32]:
        """Cut out what a box (4, 2) (row, col) of the image covers, as far as it lies on the canvas.

        The published program counts from the outer corner of the first pixel, half a pixel before its middle.
        """
        there = (corners + 0.5) @ self.matrix + self.offset
        low = np.maximum(np.floor(there.min(axis=0)).astype(np.intp), 0)
        high = np.floor(there.max(axis=0)).astype(np.intp)
        return self.pixels[low[0] : high[0], low[1] : high[1]].astype(np.float32)


def padded(crop: NDArray[np.float32], side: int, late: bool = False) -> NDArray[np.float32]:
    """Bring a crop to side × side: zeros all around where it is smaller, its middle where it is larger.

    Where the zeros cannot be shared evenly the odd one comes last, with ``late`` first, as in the published program.
    """
    answer = np.zeros((side, side), np.float32)
    taken, given = [], []
    for length in crop.shape:
        spare = (side - length + late) // 2
        taken.append(slice(max(0, -spare), max(0, -spare) + min(side, length)))
        given.append(slice(max(0, spare), max(0, spare) + min(side, length)))
    answer[given[0], given[1]] = crop[taken[0], taken[1]]
    return answer
