"""The view at the size at which holes are looked at, and how places in it are sampled in polar coordinates."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .film import View
from .working_size import binned

Points = NDArray[np.float64]

SECTORS = 24
"""Directions in which a hole's edge is looked for."""

_SAMPLED_RADIUS = 14.0


@dataclass(frozen=True, slots=True)
class Scene:
    """The view at the size at which holes of the wanted radius are looked at.

    Attributes
    ----------
    pixels, film
        As in the view; film as weight 0..1.
    step
        Working pixels of the view per pixel here.
    """

    pixels: NDArray[np.float32]
    film: NDArray[np.float32]
    step: int

    def here(self, points: Points) -> Points:
        """Positions in the view to positions here."""
        return (points - (self.step - 1) / 2) / self.step

    def back(self, points: Points) -> Points:
        """Positions here to positions in the view."""
        return points * self.step + (self.step - 1) / 2


def scene_for(view: View, radius: float, sampled: float = _SAMPLED_RADIUS) -> Scene:
    """Shrink the view so that a hole of `radius` working px has about the radius `sampled`, no more."""
    step = max(1, int(radius / sampled))
    film = view.film.astype(np.float32)
    if step == 1:
        return Scene(view.pixels, film, 1)
    weight = binned(film, step)
    mean = binned(view.pixels * film, step) / np.maximum(weight, 0.05)
    return Scene(np.where(weight > 0.05, mean, binned(view.pixels, step)).astype(np.float32), weight, step)


def directions() -> Points:
    """Answer unit steps (row, col) to the middles of the sectors."""
    angles = 2 * np.pi * (np.arange(SECTORS) + 0.5) / SECTORS
    return np.stack([np.sin(angles), np.cos(angles)], axis=1)


def polar(
    scene: Scene, points: Points, radii: NDArray[np.float64], stretch: Points
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample levels and film weight at (site, sector, radius); NaN outside the image and off the film."""
    along = directions() @ stretch
    rows = points[:, 0, None, None] + along[None, :, :1] * radii
    cols = points[:, 1, None, None] + along[None, :, 1:] * radii
    where = np.array([rows, cols])
    levels = ndimage.map_coordinates(scene.pixels, where, order=1, mode="nearest").astype(np.float64)
    film = np.ones(levels.shape)
    if scene.film.min() < 1:
        film = ndimage.map_coordinates(scene.film, where, order=1, mode="nearest").astype(np.float64)
    high = np.array(scene.pixels.shape) - 1
    outside = (rows < 0) | (cols < 0) | (rows > high[0]) | (cols > high[1])
    film[outside] = np.nan
    levels[outside | (film < 0.5)] = np.nan
    return levels, film


def mean_known(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean of the numbers along an axis; NaN where fewer than a fifth are numbers."""
    known = np.isfinite(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.where(count > 0.2 * values.shape[axis], total / np.maximum(count, 1), np.nan)


def level_of(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of each site's known levels; NaN for a site without any."""
    return quantile_known(levels.reshape(len(levels), math.prod(levels.shape[1:])), 0.5)


def quantile_known(values: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Quantile of the numbers of each row; NaN for a row without any."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(ordered).sum(1)
    index = np.clip(np.floor(part * (count - 1)).astype(int), 0, None)
    picked = np.take_along_axis(ordered, index[:, None], axis=1)[:, 0]
    return np.where(count > 0, picked, np.nan)
