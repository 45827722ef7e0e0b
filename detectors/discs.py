"""Bright discs of every size: how much brighter than its surroundings each place is, looked at with many radii.

A difference of two Gaussians stands for disc minus surroundings. Both are averages over film alone, so that a bar or
the image's border next to a hole does not count as dark surroundings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .film import View
from .regions import Mask

CENTRE, SURROUND = 0.55, 1.05
"""Widths of the two Gaussians over the radius looked for."""

_LEAST_RADIUS = 2.4
_FINE_RADIUS = 6.0
_RATIO = 1.33
_MOST_PEAKS = 800


@dataclass(frozen=True, slots=True)
class Discs:
    """What one radius sees.

    Attributes
    ----------
    radius
        In working pixels of the view.
    step
        Working pixels per pixel of `response`.
    response
        Centre minus surroundings over its own robust spread; NaN-free, 0 where there is no film.
    film
        At the size of `response`.
    peaks
        (n, 2) (row, col) of local maxima in pixels of `response`, strongest first.
    strength
        Response at the peaks.
    """

    radius: float
    step: int
    response: NDArray[np.float32]
    film: Mask
    peaks: NDArray[np.float64]
    strength: NDArray[np.float64]


def radii(view: View, least: float | None = None, most: float | None = None) -> list[float]:
    """Answer the radii worth looking with, in working pixels: from a few pixels to a fifth of the view."""
    low = max(_LEAST_RADIUS, least or 0.0)
    high = min(0.2 * min(view.pixels.shape), most or np.inf)
    if high < low:
        return [low] if low < 0.3 * min(view.pixels.shape) else []
    count = max(1, int(np.ceil(np.log(high / low) / np.log(_RATIO))))
    return [float(low * (high / low) ** (i / count)) for i in range(count + 1)]


def looks(view: View, wanted: list[float]) -> Iterator[Discs]:
    """Look at `view` with each radius, ascending; large radii look at a shrunken view."""
    pixels, film, step = view.pixels, view.film.astype(np.float32), 1
    for radius in wanted:
        while radius / step > _FINE_RADIUS and min(pixels.shape) > 24:
            step *= 2
            rows, cols = pixels.shape[0] // 2, pixels.shape[1] // 2
            both = cv2.resize(
                np.dstack((pixels * film, film))[: 2 * rows, : 2 * cols], (cols, rows), None, 0, 0, cv2.INTER_AREA
            )
            film = np.ascontiguousarray(both[..., 1])
            pixels = np.where(film > 0.05, both[..., 0] / np.maximum(film, 0.05), 0).astype(np.float32)
        yield _look(pixels, film, radius, step)


def _look(pixels: NDArray[np.float32], film: NDArray[np.float32], radius: float, step: int) -> Discs:
    own = radius / step
    seen = film > 0.5
    response = film_mean(pixels, film, CENTRE * own) - film_mean(pixels, film, SURROUND * own)
    everywhere = bool(seen.all())
    if not everywhere:
        response[~seen] = 0
    inside = response.ravel() if everywhere else response[seen]
    inside = inside[:: max(1, inside.size // 50_000)]
    spread = float(np.percentile(np.abs(inside - np.median(inside)), 68.3)) if inside.size else 0.0
    response = response / max(spread, 1e-6)
    peaks, strength, cap = _peaks(response, seen, own)
    # A few empty holes may outshine all others many times; capped, they count as one hole each.
    return Discs(radius, step, np.clip(response, -cap, cap), seen, peaks, np.minimum(strength, cap))


def film_mean(pixels: NDArray[np.float32], film: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian mean over film alone: `sigma` px; 0 where no film is near."""
    if film.min() > 0.99:
        blurred = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        down, right = (_axis_weight(length, sigma) for length in pixels.shape)
        return np.asarray(blurred / down[:, None] / right[None, :], np.float32)
    weighed = cv2.GaussianBlur(pixels * film, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.GaussianBlur(film, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(weighed / np.maximum(weight, 0.02), np.float32)


@lru_cache(maxsize=256)
def _axis_weight(length: int, sigma: float) -> NDArray[np.float32]:
    """Weight of a Gaussian that lies inside the image along one axis of a view full of film."""
    inside = ndimage.gaussian_filter1d(np.ones(length), sigma, mode="constant", truncate=4.0).astype(np.float32)
    inside.setflags(write=False)
    return np.asarray(inside)


def _peaks(
    response: NDArray[np.float32], film: Mask, own: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Local maxima over about a hole's width, to a part of a pixel, their strength, and the strength to cap at."""
    width = 2 * max(1, round(0.9 * own)) + 1
    top = cv2.dilate(response, np.ones((width, width), np.uint8))
    rows, cols = np.nonzero((response >= top) & film & (response > 1.0))
    rows, cols = rows.astype(np.intp), cols.astype(np.intp)
    kept = _round(response, rows, cols, own)
    rows, cols = rows[kept], cols[kept]
    strength = response[rows, cols].astype(np.float64)
    order = np.argsort(-strength, kind="stable")[:_MOST_PEAKS]
    rows, cols, strength = rows[order], cols[order], strength[order]
    if strength.size == 0:
        return np.empty((0, 2)), strength, 1.0
    usual = float(np.median(strength[: max(4, len(strength) // 2)]))
    kept = strength > 0.4 * usual
    rows, cols, strength = rows[kept], cols[kept], strength[kept]
    points = np.c_[rows, cols] + np.c_[_vertex(response, rows, cols, 0), _vertex(response, rows, cols, 1)]
    return points.astype(np.float64), strength, 1.6 * usual


def _round(
    response: NDArray[np.float32], rows: NDArray[np.intp], cols: NDArray[np.intp], own: float
) -> NDArray[np.bool_]:
    """Tell tops from ridges: the response falls in every direction, the slowest at least an eighth of the fastest."""
    reach = max(1, round(0.5 * own))
    r0, r1 = np.maximum(rows - reach, 0), np.minimum(rows + reach, response.shape[0] - 1)
    c0, c1 = np.maximum(cols - reach, 0), np.minimum(cols + reach, response.shape[1] - 1)
    here = response[rows, cols]
    # At the border the neighbour outside is taken to be like the one inside.
    up, down = response[np.where(r0 == rows, r1, r0), cols], response[np.where(r1 == rows, r0, r1), cols]
    left, right = response[rows, np.where(c0 == cols, c1, c0)], response[rows, np.where(c1 == cols, c0, c1)]
    along_rows, along_cols = up + down - 2 * here, left + right - 2 * here
    mixed = (response[r1, c1] - response[r1, c0] - response[r0, c1] + response[r0, c0]) / 2
    half, size = (along_rows + along_cols) / 2, np.hypot((along_rows - along_cols) / 2, mixed)
    return np.asarray((half + size < 0) & (half + size < 0.125 * (half - size)), np.bool_)


def _vertex(
    response: NDArray[np.float32], rows: NDArray[np.intp], cols: NDArray[np.intp], axis: int
) -> NDArray[np.float64]:
    """Offset of a parabola's vertex through three neighbours along `axis`, at most half a pixel."""
    here = (rows, cols)[axis]
    low, high = np.maximum(here - 1, 0), np.minimum(here + 1, response.shape[axis] - 1)
    before = response[low, cols] if axis == 0 else response[rows, low]
    after = response[high, cols] if axis == 0 else response[rows, high]
    bend = (before + after - 2 * response[rows, cols]).astype(np.float64)
    offset = 0.5 * (before - after) / np.where(bend < -1e-9, bend, -np.inf)
    offset[(low == here) | (high == here)] = 0
    return np.asarray(np.clip(offset, -0.5, 0.5), np.float64)
