"""What a hole's score is worked out from: rings around it at one scale, and levels against film, view and vacuum.

All of it is logarithms of ratios of counts, so another gain changes nothing, and rings know no direction, so a turn
changes nothing either; vacuum, where it is known, is in the image's own counts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .scene import Points
from .working_size import binned

CROP_PX, RADIUS_PX = 48, 8.0
"""Side of a crop, and the hole's radius in it."""

_LEAST_PART = 0.02
_SAMPLED = 1.6
_SMOOTH_PX, _SMOOTH_RADII = 1.2, 0.4

_RINGS = (0.0, 0.35, 0.6, 0.8, 0.95, 1.1, 1.3, 1.6, 2.0, 2.5, 3.0)
"""Bounds of rings around a hole, in its radii: ice is a lens, thin in the middle, and dirt lies on one side."""

_VIEW, _BRIGHTEST = (0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999), 8
_NEAR, _NEAR_PX, _NEAR_RADIUS_PX = (0.05, 0.5, 0.9, 0.98), 32, 2.5
"""Shares of the view, and of what is near, that levels are brighter than; how near: side of a crop, and the hole's
radius in it."""

_STEEP, _PLAIN, _MOST_PLAIN = 20.0, 4.0, 4.0
"""How logarithms are scaled: the ice that makes an empty hole a usable one must tell, and so must a bar."""

NUMBERS = 2 * (4 * (len(_RINGS) - 1) + 6 + len(_VIEW) + len(_NEAR) + 3) + 1
"""How many numbers are told of a hole; the last says how vacuum is known, one of the three that follow."""

UNKNOWN, NOMINAL, KNOWN = 0.0, 0.5, 1.0
"""Vacuum not known; known from the nominal dose, from which the beam has drifted; or as it is."""


@dataclass(frozen=True, slots=True)
class HoleLevels:
    """What is seen of holes, in logarithms: (n, k) of what needs no vacuum, (n, 3) levels to be held against it."""

    ratios: NDArray[np.float32]
    levels: NDArray[np.float32]

    def numbers(self, vacuum: float | None = None, *, nominal: bool = False) -> NDArray[np.float32]:
        """Hold levels against vacuum and scale everything.

        Parameters
        ----------
        vacuum
            Counts per pixel where nothing is in the beam; None when not known.
        nominal
            Whether that is only what the nominal dose would give: the beam may be weaker by a sixth by now.

        Returns
        -------
        numpy.ndarray
            (n, `NUMBERS`): every logarithm twice, as ``asinh(20 x)`` and ``4 x``; last how vacuum is known.
        """
        known = vacuum is not None and vacuum > 0
        beam = np.log(vacuum) if known and vacuum is not None else 0.0
        told = np.concatenate([self.ratios, (self.levels - beam) * known], axis=1)
        plain = np.clip(_PLAIN * told, -_MOST_PLAIN, _MOST_PLAIN)
        how = np.full((len(told), 1), known * (NOMINAL if nominal else KNOWN))
        return np.concatenate([np.arcsinh(_STEEP * told), plain, how], axis=1).astype(np.float32)


def hole_levels(pixels: NDArray[np.float32], places: Points, radius_px: float) -> HoleLevels:
    """Look at holes: each over the rings around it, over its film, over what is near it and in view.

    Parameters
    ----------
    pixels
        The image, in counts.
    places
        (n, 2) (row, col) px.
    radius_px
        Of the holes.
    """
    step = max(1, int(radius_px / RADIUS_PX / _SAMPLED))
    small, own = binned(pixels, step), radius_px / step
    here = (places - (step - 1) / 2) / step
    smooth = np.asarray(cv2.GaussianBlur(small, (0, 0), max(_SMOOTH_RADII * own, 0.5)), np.float32)
    calm = np.asarray(cv2.GaussianBlur(small, (0, 0), _SMOOTH_PX * own / RADIUS_PX), np.float32)
    view = np.quantile(smooth, _VIEW)
    floor = _LEAST_PART * max(float(view[_BRIGHTEST]), 1e-6)
    view = np.log(np.maximum(view, floor))
    near = _cut(smooth, here, own, _NEAR_PX, _NEAR_RADIUS_PX)
    near = np.log(np.maximum(np.quantile(near, _NEAR, axis=(1, 2)), floor))
    sharp = np.log(np.maximum(_cut(small, here, own, CROP_PX, RADIUS_PX), floor))
    hole, film = np.median(sharp[:, _DISC], axis=1), np.median(sharp[:, _FILM], axis=1)
    over = _rings(np.log(np.maximum(_cut(calm, here, own, CROP_PX, RADIUS_PX), floor)), hole)
    over += [hole - film, *_within(sharp, hole), *(hole - level for level in (*near, *view))]
    levels = np.stack([hole, film, np.full_like(hole, view[_BRIGHTEST])], axis=1)
    return HoleLevels(np.stack(over, axis=1).astype(np.float32), levels.astype(np.float32))


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
_DISC, _FILM, _FAR = _AWAY < 0.75, (_AWAY > 1.15) & (_AWAY < 1.5), (_AWAY > 1.5) & (_AWAY < 2.0)
_RING = [np.digitize(_AWAY, _RINGS) == number for number in range(1, len(_RINGS))]


def _rings(calm: NDArray[np.float32], hole: NDArray[np.float32]) -> list[NDArray[np.floating]]:
    """Give mean, spread, least and most of each ring; and how the hole's level changes from its middle outwards."""
    told = []
    for where in _RING:
        ring = calm[:, where] - hole[:, None]
        told += [ring.mean(axis=1), ring.std(axis=1), ring.min(axis=1), ring.max(axis=1)]
    return [*told, told[0] - told[4], told[4] - told[8]]


def _within(sharp: NDArray[np.float32], hole: NDArray[np.float32]) -> list[NDArray[np.floating]]:
    """Give the hole over the film farther away, and how uneven it is: between tenths, and from pixel to pixel."""
    low, high = np.quantile(sharp[:, _DISC], [0.1, 0.9], axis=1)
    return [hole - np.median(sharp[:, _FAR], axis=1), high - low, sharp[:, _DISC].std(axis=1)]
