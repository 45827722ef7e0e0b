"""The middle of the mesh opening in a square-level view, for re-centring.

Holes, ice and dirt move a centre of mass; the bars do not. So the four sides of the opening nearest the middle are
placed one by one where the film ends, and a side outside the view is replaced by the opening's own width the other way.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..hardware.records import Image
from .mixture import two_levels
from .regions import Mask, smoothed
from .working_size import finite

_WORKING_PX = 512
_LEAST_PART = 0.04
_USUAL_PART = 0.15


@dataclass(frozen=True, slots=True)
class _Outline:
    """Outline points (row, col) clear of the image's border, with outward normals of length 1."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]


def centre_of_opening(image: Image) -> tuple[float, float, float] | None:
    """Find the middle of the mesh opening nearest the middle of the view.

    Parameters
    ----------
    image
        Square-level view: one opening with its bars around it, whole or cut on one or two sides.

    Returns
    -------
    (row, col, confidence) or None
        Position in px, perhaps outside the image; confidence 0..1: about 0.9 when all four sides are seen, 0.7 with
        three, under 0.5 when one direction rests on a guess. None when no bars are seen.
    """
    pixels, _ = finite(image.pixels)
    if pixels.ndim != 2 or min(pixels.shape) < 32:
        return None
    step = max(1, min(pixels.shape) // _WORKING_PX)
    rows, cols = pixels.shape[0] // step, pixels.shape[1] // step
    small = np.asarray(cv2.resize(pixels, (cols, rows), interpolation=cv2.INTER_AREA), np.float32)
    found = _centre(small)
    if found is None:
        return None
    scale = np.array(pixels.shape) / np.array(small.shape)
    row, col = (np.array(found[:2]) + 0.5) * scale - 0.5
    return float(row), float(col), found[2]


def _centre(small: NDArray[np.float32]) -> tuple[float, float, float] | None:
    # Blurred wider than holes are, film and holes are one level and the bars the other.
    soft = smoothed(small, 0.02 * min(small.shape))
    levels = two_levels(soft)
    if levels is None:
        return None
    own = _nearest_region(soft > 0.5 * (levels.dark + levels.bright))
    if own is None:
        return None
    outline = _outline(own, soft)
    if len(outline.points) < 8:
        return None
    angle, straight = _direction(outline.normals)
    row, col, trust = _from_sides(outline, angle, own, straight) if straight >= 0.35 else _middle_of_hull(own, outline)
    hull = cv2.convexHull(np.argwhere(own).astype(np.int32))
    ragged = float(own.sum()) / max(cv2.contourArea(hull), 1.0)
    large = float(own.mean()) / _USUAL_PART
    return row, col, trust * min(1.0, large) * float(np.clip((ragged - 0.5) / 0.4, 0.0, 1.0))


def _nearest_region(mask: Mask) -> Mask | None:
    """Answer the region of some size that comes nearest the middle of the view, its holes filled."""
    _, found, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    labels = np.asarray(found)
    large = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] >= _LEAST_PART * mask.size)
    large = large[large > 0]
    if large.size == 0:
        return None
    middle = (np.array(mask.shape) - 1) / 2
    rows, cols = np.indices(mask.shape)
    distance = np.hypot(rows - middle[0], cols - middle[1])
    own = labels == min(large, key=lambda number: float(distance[labels == number].min()))
    contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED)) > 0


def _outline(own: Mask, soft: NDArray[np.float32]) -> _Outline:
    contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=len)[:, 0, ::-1]
    rim = max(2, round(0.01 * min(own.shape)))
    clear = ((points >= rim) & (points < np.array(own.shape) - rim)).all(1)
    points = points[clear]
    across = -cv2.Sobel(soft, cv2.CV_64F, 1, 0, ksize=5), -cv2.Sobel(soft, cv2.CV_64F, 0, 1, ksize=5)
    normals = np.stack([across[1][tuple(points.T)], across[0][tuple(points.T)]], axis=1)
    length = np.hypot(normals[:, 0], normals[:, 1])
    kept = length > 0.25 * np.median(length) if len(length) else np.zeros(0, np.bool_)
    return _Outline(points[kept].astype(np.float64), normals[kept] / np.maximum(length[kept], 1e-30)[:, None])


def _direction(normals: NDArray[np.float64]) -> tuple[float, float]:
    """Answer the sides' direction (rad, modulo a quarter turn) and how well the normals agree on it, 0..1."""
    turns = np.exp(4j * np.arctan2(normals[:, 1], normals[:, 0]))
    total = turns.mean()
    return float(np.angle(total) / 4), float(abs(total))


def _middle_of_hull(own: Mask, outline: _Outline) -> tuple[float, float, float]:
    """Middle of an opening without four straight sides: of its hull; little trusted when it is cut."""
    low, high = outline.points.min(0), outline.points.max(0)
    row, col = (low + high) / 2
    cut = own[0].any() or own[-1].any() or own[:, 0].any() or own[:, -1].any()
    return float(row), float(col), 0.3 if cut else 0.7


def _from_sides(outline: _Outline, angle: float, own: Mask, straight: float) -> tuple[float, float, float]:
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    along = outline.points @ axes.T
    facing = outline.normals @ axes.T
    seen = np.argwhere(own) @ axes.T
    spans = np.ptp(seen, axis=0)
    sides = [[_side(along, facing, axis, sign, 0.2 * float(spans[1 - axis])) for sign in (-1, 1)] for axis in (0, 1)]
    widths = [pair[1] - pair[0] if pair[0] is not None and pair[1] is not None else None for pair in sides]
    middle, trust = np.zeros(2), 0.95
    for axis in (0, 1):
        low, high = sides[axis]
        other = widths[1 - axis]
        if low is not None and high is not None:
            middle[axis] = (low + high) / 2
        elif low is None and high is None:
            middle[axis], trust = (seen[:, axis].min() + seen[:, axis].max()) / 2, trust * 0.3
        else:
            half = (other if other is not None else float(spans.max())) / 2
            middle[axis] = low + half if low is not None else (high or 0.0) - half
            trust *= 0.75 if other is not None else 0.5
    if widths[0] is not None and widths[1] is not None:
        trust *= max(0.2, 1 - abs(np.log(widths[0] / widths[1])))
    row, col = middle @ axes
    return float(row), float(col), float(trust * min(1.0, 0.5 + straight))


def _side(along: NDArray[np.float64], facing: NDArray[np.float64], axis: int, sign: int, least: float) -> float | None:
    """Place one side: median position of the outline that faces its way, None when too little of it is in view."""
    looks = sign * facing[:, axis] > 0.9
    if looks.sum() < max(4.0, 0.6 * least) or np.ptp(along[looks, 1 - axis]) < least:
        return None
    return float(np.median(along[looks, axis]))
