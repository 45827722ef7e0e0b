"""Where film has gone from a view: tears, cracks and bare openings are as bright as vacuum, even, and not round."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .mixture import two_levels
from .regions import Mask, smoothed
from .working_size import binned, enlarged

_LOOK_PX = 512
_LARGE_PART = 0.08
_TEAR_PART = 0.015
_TEAR_RATIO = 15.0
_CRACK_PART, _CRACK_RIM = 0.005, 0.01
_MOST_TORN = 0.75
_LEAST_OTHERS = 6
_SPECK_PX = 8
_VACUUM = 0.8
_FLAT = 0.1
_BARE_FLAT = 0.15


def tears(small: NDArray[np.float32], film: Mask) -> Mask:
    """Answer where film has gone: as bright as holes, but many times larger than the other bright areas.

    Only for views with bars around, where holes are many and small.
    """
    patches = _bright_patches(small, film)
    if patches is None or patches.count < _LEAST_OTHERS:
        return np.zeros(small.shape, np.bool_)
    large = (patches.areas > _TEAR_PART * patches.labels.size) & (patches.areas > _TEAR_RATIO * patches.usual)
    large &= patches.areas < _MOST_TORN * patches.film_area
    flat = [i for i in map(int, np.flatnonzero(large)) if patches.is_flat(i, _FLAT)]
    return patches.where([i for i in flat if not _is_disc(patches.labels == i)], film)


def cracks(small: NDArray[np.float32], film: Mask) -> Mask:
    """Answer where cracks and tears are, of which there may be but one beside few holes, with a rim around them.

    Even patches of film look so too: look at the whole view first.
    """
    patches = _bright_patches(small, film)
    if patches is None:
        return np.zeros(small.shape, np.bool_)
    large = map(int, np.flatnonzero(patches.areas > _CRACK_PART * patches.labels.size))
    torn = [i for i in large if patches.is_flat(i, _BARE_FLAT) and not _is_disc(patches.labels == i)]
    size = 2 * round(_CRACK_RIM * min(small.shape)) + 1
    return np.asarray(cv2.dilate(patches.where(torn, film).astype(np.uint8), np.ones((size, size), np.uint8)) > 0)


def bare(small: NDArray[np.float32], film: Mask) -> Mask:
    """Answer where much of an opening's film has gone, whatever shape is left; film with few holes looks so too."""
    patches = _bright_patches(small, film)
    if patches is None:
        return np.zeros(small.shape, np.bool_)
    large = patches.areas > _LARGE_PART * patches.labels.size
    return patches.where([i for i in map(int, np.flatnonzero(large)) if patches.is_flat(i, _BARE_FLAT)], film)


def is_flat(values: NDArray[np.float32], height: float, part: float = _FLAT) -> bool:
    """Tell whether an area is of one level, as vacuum is and thin film with its holes is not."""
    low, high = np.quantile(values, [0.1, 0.9])
    return bool(high - low < part * height)


def _is_disc(own: Mask) -> bool:
    """Tell whether an area fills the circle around it, as a hole does, a cut one of which at least half is seen too."""
    contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    _, radius = cv2.minEnclosingCircle(outline)
    hull = cv2.contourArea(cv2.convexHull(outline))
    filled = own.sum() / max(np.pi * radius**2, 1.0)
    return bool(filled > 0.8 or (filled > 0.4 and _cut(own) and own.sum() > 0.9 * hull))


def _cut(own: Mask) -> bool:
    return bool(own[0].any() or own[-1].any() or own[:, 0].any() or own[:, -1].any())


@dataclass(frozen=True, slots=True)
class _Patches:
    """Connected areas as bright as vacuum: their labels and areas, the first being what is not bright.

    ``count`` and ``usual`` are the number and the median area of those that are no specks; ``look`` is the smoothed
    view they were seen in, ``height`` how far vacuum stands above film.
    """

    look: NDArray[np.float32]
    labels: NDArray[np.int32]
    areas: NDArray[np.float64]
    count: int
    usual: float
    height: float
    film_area: float

    def is_flat(self, index: int, part: float) -> bool:
        return is_flat(self.look[self.labels == index], self.height, part)

    def where(self, chosen: list[int], film: Mask) -> Mask:
        """Give the places of some, at the size of the film, a pixel wider."""
        if not chosen:
            return np.zeros(film.shape, np.bool_)
        grown = cv2.dilate(np.isin(self.labels, chosen).astype(np.uint8), np.ones((3, 3), np.uint8))
        return np.asarray(enlarged(np.asarray(grown) > 0, film.shape) & film)


def _bright_patches(small: NDArray[np.float32], film: Mask) -> _Patches | None:
    """Find what is as bright as vacuum; None where all is of one level or nothing is so."""
    step = max(1, min(small.shape) // _LOOK_PX)
    look, on_film = smoothed(binned(small, step), 1.2), binned(film.astype(np.float32), step) > 0.5
    levels = two_levels(look[on_film])
    if levels is None:
        return None
    top = float(np.quantile(look[on_film], 0.99))
    cut = levels.dark + _VACUUM * (top - levels.dark)
    bright = cv2.morphologyEx(((look > cut) & on_film).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    others = areas[1:][areas[1:] > _SPECK_PX]
    if others.size == 0:
        return None
    areas[0] = 0.0
    return _Patches(
        look, np.asarray(labels), areas, len(others), float(np.median(others)), top - levels.dark, float(on_film.sum())
    )
