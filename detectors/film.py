"""Where the film is in a view: everything but grid bars, at a size the finder can work at.

Bars and film differ as much as film and holes may, so brightness alone does not tell them apart. Two things do: a bar
passes few electrons and is therefore quiet, and the bright side of it is one large area rather than many holes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .mixture import two_levels
from .regions import Mask, smoothed

_LARGEST_SIDE = 1536
_LOOK_PX = 512
_QUIET = 0.6
_LARGE_PART = 0.08


@dataclass(frozen=True, slots=True)
class View:
    """An image brought to working size.

    Attributes
    ----------
    pixels
        Intensities with the film's median at 0 and its spread at 1, shape (rows, cols).
    film
        Where film, holes included, is seen.
    step
        Pixels of the image per pixel of `pixels`, along rows and columns alike.
    level, spread
        Median and robust standard deviation of the film in the image's unit.
    has_bars
        True when grid bars were seen.
    """

    pixels: NDArray[np.float32]
    film: Mask
    step: float
    level: float
    spread: float
    has_bars: bool


def view_of(pixels: NDArray[np.float32]) -> View | None:
    """Bring an image to working size and find its film; None when the film is all of one value or there is none."""
    step = max(1, int(np.ceil(max(pixels.shape) / _LARGEST_SIDE)))
    small = binned(pixels, step)
    film = _film(small)
    inside = small[film]
    if inside.size < 256:
        return None
    level = float(np.median(inside))
    spread = float(np.percentile(np.abs(inside - level), 68.3))
    if spread <= 0:
        spread = float(inside.std())
    if not spread > 1e-9 * abs(level):
        return None
    scaled = np.where(film, (small - level) / spread, 0).astype(np.float32)
    return View(np.clip(scaled, -8, 8), film, float(step), level, spread, not bool(film.all()))


def binned(pixels: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Mean over blocks of `step` × `step` px; what does not fill a block at the far borders is left out."""
    if step == 1:
        return pixels
    rows, cols = pixels.shape[0] // step, pixels.shape[1] // step
    cut = pixels[: rows * step, : cols * step]
    return np.asarray(cv2.resize(cut, (cols, rows), interpolation=cv2.INTER_AREA), np.float32)


def _film(small: NDArray[np.float32]) -> Mask:
    """Answer where film is; everywhere when no bars are seen."""
    everywhere = np.ones(small.shape, np.bool_)
    step = max(1, min(small.shape) // _LOOK_PX)
    look = binned(small, step)
    soft = smoothed(look, 0.015 * min(look.shape))
    levels = two_levels(soft)
    if levels is None:
        return everywhere
    bright = soft > levels.threshold
    count, found, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=4)
    labels, areas = np.asarray(found), stats[:, cv2.CC_STAT_AREA] / bright.size
    large = [i for i in range(1, count) if areas[i] > _LARGE_PART]
    if not large or sum(areas[i] for i in large) < 0.6 * areas[1:].sum():
        return everywhere
    loud = look - smoothed(look, 1.0)
    noise_dark, noise_bright = float(np.median(np.abs(loud[~bright]))), float(np.median(np.abs(loud[bright])))
    if noise_dark > _QUIET * noise_bright:
        return everywhere
    seen = np.isin(labels, [i for i in range(1, count) if areas[i] > 0.1 * _LARGE_PART])
    film = np.zeros(small.shape, np.bool_)
    grown = cv2.resize(seen.astype(np.uint8), small.shape[::-1], interpolation=cv2.INTER_NEAREST)
    film |= np.asarray(grown) > 0
    return film
