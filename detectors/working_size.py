"""An image of any type and size as the finders work on it: 32-bit floats, all of them numbers, no more than needed."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import Mask

_BAND_PX = 512


@dataclass(frozen=True, slots=True)
class Working:
    """What is worked on.

    Attributes
    ----------
    pixels
        Finite, shape (rows, cols).
    bad
        Where the image holds no number.
    step
        Pixels of the image per pixel of `pixels`, along rows and columns alike.
    """

    pixels: NDArray[np.float32]
    bad: Mask
    step: int

    def here(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring (row, col) of `pixels` to those of the image; both count from the middle of the first pixel."""
        return places if self.step == 1 else np.asarray((places + 0.5) * self.step - 0.5)


def finite(pixels: NDArray[np.generic]) -> tuple[NDArray[np.float32], Mask]:
    """Answer the pixels as contiguous float32 with what is no number replaced by the median, and where that was."""
    values = np.ascontiguousarray(pixels, np.float32)
    bad: Mask = ~np.isfinite(values)
    if bad.any():
        values = values.copy()
        values[bad] = np.median(values[~bad]) if not bad.all() else 0.0
    return values, bad


def working_image(pixels: NDArray[np.generic], step: int) -> Working:
    """Bin an image (rows, cols) by `step`, band by band, so that no second copy of a large one is made.

    A block most of whose pixels are numbers has their mean. Rows and columns that fill no block are left out.
    """
    if step == 1:
        return Working(*finite(pixels), 1)
    rows, cols = pixels.shape[0] // step, pixels.shape[1] // step
    small, bad = np.empty((rows, cols), np.float32), np.zeros((rows, cols), np.bool_)
    band = max(1, _BAND_PX // step)
    for first in range(0, rows, band):
        part = np.asarray(pixels[first * step : (first + band) * step, : cols * step], np.float32)
        size = (cols, part.shape[0] // step)
        part = part[: size[1] * step]
        known = np.isfinite(part)
        here = slice(first, first + size[1])
        if known.all():
            small[here] = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
            continue
        share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        total = cv2.resize(np.where(known, part, np.float32(0)), size, interpolation=cv2.INTER_AREA)
        small[here] = total / np.maximum(share, 1e-6)
        bad[here] = share < 0.5
    if bad.any():
        small[bad] = np.median(small[~bad]) if not bad.all() else 0.0
    return Working(small, bad, step)


def binned(pixels: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Mean over blocks of `step` × `step` px; what does not fill a block at the far borders is left out."""
    if step == 1:
        return pixels
    rows, cols = pixels.shape[0] // step, pixels.shape[1] // step
    cut = pixels[: rows * step, : cols * step]
    return np.asarray(cv2.resize(cut, (cols, rows), interpolation=cv2.INTER_AREA), np.float32)


def enlarged(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Give a mask the size of a larger image, nearest pixel for pixel."""
    grown = cv2.resize(mask.astype(np.uint8), (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(grown) > 0
