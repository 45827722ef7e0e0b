"""A second look at what the found openings leave: squares under thick ice may be hardly brighter than the bars.

How dark such a square is, nobody knows beforehand, and each is another: every level from just above the bars up to
where openings were found is tried, and an area counts when it stands out of the bars around it by half of its own
height, as an opening does whatever its brightness. Where the mesh is known, an area around one of its sites may be
smaller than the usual opening: ice that is thick at the rim lets only the middle through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .lattice import Fit
from .mixture import Levels
from .regions import Mask, Points, Region, region_of, smoothed

_COARSE_SIDE_PX = 32.0
_BESIDE, _RING, _CALM = 0.06, 0.12, 0.03
_STEP = 1.2
_CLOSEST = 0.3
_NOISE, _LEAST_HEIGHT = 5.0, 0.012
_USUAL, _SMALL = (0.4, 1.8), 0.06
_SOLID, _APART, _SHARP = 0.85, 0.9, 0.45
_ON_SITE = 0.2
_HALF = (0.3, 0.65)


@dataclass(frozen=True, slots=True)
class _Coarse:
    """The image so small that the usual opening has few pixels, and what of it is free.

    Attributes
    ----------
    soft
        Lightly smoothed.
    free
        Neither opening nor margin, nor close beside one.
    step
        Pixels of the image per pixel here.
    side
        Of the usual opening, pixels here.
    """

    soft: NDArray[np.float32]
    free: Mask
    step: float
    side: float


@dataclass(frozen=True, slots=True)
class _Area:
    """What may be an opening: its coarse pixels, half of its height, and how far its rim's level is off that.

    `own` is the window of its pixels, whose first is (`row`, `col`) of the coarse image: noise makes many areas.
    """

    row: int
    col: int
    own: Mask
    cut: float
    off: float

    def within(self, coarse: Mask) -> Mask:
        """Give its window of a coarse image."""
        rows, cols = self.own.shape
        return coarse[self.row : self.row + rows, self.col : self.col + cols]


def dim_openings(
    calm: NDArray[np.float32], found: Sequence[Region], levels: Levels, margin: Mask, side: float, fit: Fit | None
) -> list[Region]:
    """Find openings that are darker than those found, and apart from them.

    Parameters
    ----------
    calm
        The image, lightly smoothed, on the scale of `levels`.
    found, side
        Openings that are known, and the side (px) of the usual one.
    margin
        What belongs to no specimen.
    fit
        The mesh, where it is known.
    """
    coarse = _coarse(calm, found, margin, side)
    bars = coarse.soft[coarse.free]
    if bars.size < 0.02 * coarse.free.size or bars.size < 16:
        return []
    ground, spread = _bars(bars)
    height = levels.bright - ground
    level = ground + max(_NOISE * spread, _LEAST_HEIGHT * height)
    areas: list[_Area] = []
    while level < levels.threshold:
        areas += _areas(coarse, level, fit)
        level = ground + (level - ground) * _STEP
    # The area whose rim lies nearest to half of its height stands for all that overlap it.
    taken = np.zeros(coarse.free.shape, np.bool_)
    kept = []
    for area in sorted(areas, key=lambda one: one.off):
        here = area.within(taken)
        if not (here & area.own).any():
            here |= area.own
            kept.append(area)
    return [region for area in kept if (region := _outlined(calm, coarse, area)) is not None]


def _coarse(calm: NDArray[np.float32], found: Sequence[Region], margin: Mask, side: float) -> _Coarse:
    step = max(1.0, side / _COARSE_SIDE_PX)
    shape = tuple(max(1, round(length / step)) for length in calm.shape)
    small = np.asarray(cv2.resize(calm, shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
    taken = np.asarray(cv2.resize(margin.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    for region in found:
        outline = np.rint((region.hull + 0.5) / step - 0.5)[:, ::-1].astype(np.int32)
        taken = np.asarray(cv2.fillConvexPoly(taken, outline, 1), np.uint8)
    reach = 2 * max(1, round(_BESIDE * side / step)) + 1
    free = cv2.dilate(taken, np.ones((reach, reach), np.uint8)) == 0
    return _Coarse(smoothed(small, 0.05 * side / step), np.asarray(free), step, side / step)


def _bars(values: NDArray[np.float32]) -> tuple[float, float]:
    """Level at which the values lie closest, which is that of the bars, and their spread below it."""
    ordered = np.sort(values[:: max(1, values.size // 200_000)]).astype(np.float64)
    many = max(2, int(_CLOSEST * ordered.size))
    first = int(np.argmin(ordered[many - 1 :] - ordered[: ordered.size - many + 1]))
    ground = float(np.median(ordered[first : first + many]))
    return ground, 1.48 * (ground - float(np.median(ordered[ordered <= ground])))


def _areas(coarse: _Coarse, level: float, fit: Fit | None) -> list[_Area]:
    """Give the areas above a level that may be openings."""
    above = ((coarse.soft > level) & coarse.free).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(above, connectivity=4)
    found = []
    for number in range(1, count):
        size = stats[number, cv2.CC_STAT_AREA] / coarse.side**2
        if not _SMALL <= size <= _USUAL[1]:
            continue
        if size < _USUAL[0] and not _on_site(coarse, centres[number][::-1], fit):
            continue
        area = _area(coarse, np.asarray(labels, np.int32), number, stats[number], level)
        found += [] if area is None else [area]
    return found


def _area(
    coarse: _Coarse, labels: NDArray[np.int32], number: int, stats: NDArray[np.int32], level: float
) -> _Area | None:
    """Look at one area; None where it is ragged, leans against something, or fades into its surroundings."""
    reach = max(2, round(_RING * coarse.side))
    left, top, wide, tall = (int(value) for value in stats[:4])
    rows, cols = slice(max(0, top - reach), top + tall + reach), slice(max(0, left - reach), left + wide + reach)
    mine, soft, free = labels[rows, cols] == number, coarse.soft[rows, cols], coarse.free[rows, cols]
    mine = mine.astype(np.uint8)
    points = cv2.findNonZero(mine)
    hull = cv2.fillConvexPoly(np.zeros_like(mine), cv2.convexHull(points), 1)
    if mine.sum() < _SOLID * hull.sum():
        return None
    beside = (cv2.dilate(mine, np.ones((3, 3), np.uint8)) > 0) & (mine == 0)
    if free[beside].mean() < _APART:
        return None
    away = cv2.distanceTransform(1 - mine, cv2.DIST_L2, 3)
    around = (away > 0.5 * reach) & (away <= reach) & free
    if around.sum() < 8:
        return None
    inside, outside = float(np.median(soft[mine > 0])), float(np.median(soft[around]))
    share = (level - outside) / max(inside - outside, 1e-12)
    if not _HALF[0] <= share <= _HALF[1]:
        return None
    close = (away > 0) & (away <= 0.5 * reach) & free
    sharp = (inside - float(np.median(soft[close]))) / (inside - outside)
    if stats[cv2.CC_STAT_AREA] >= _USUAL[0] * coarse.side**2 and sharp < _SHARP:
        return None
    own = labels[top : top + tall, left : left + wide] == number
    return _Area(top, left, own, 0.5 * (inside + outside), abs(share - 0.5))


def _on_site(coarse: _Coarse, centre: Points, fit: Fit | None) -> bool:
    if fit is None:
        return False
    off = (np.asarray(centre) + 0.5) * coarse.step - 0.5 - fit.origin
    site = np.rint(off @ np.linalg.inv(fit.basis))
    return float(np.hypot(*(off - site @ fit.basis))) < _ON_SITE * fit.pitch


def _outlined(calm: NDArray[np.float32], coarse: _Coarse, area: _Area) -> Region | None:
    """Outline an area in the image's own pixels at half of its height."""
    spots = np.argwhere(area.own) + np.array([area.row, area.col])
    reach = max(2.0, _BESIDE * coarse.side)
    low = np.maximum(((spots.min(axis=0) - reach) * coarse.step).astype(int), 0)
    high = np.minimum(((spots.max(axis=0) + 1 + reach) * coarse.step).astype(int), calm.shape)
    window = smoothed(calm[low[0] : high[0], low[1] : high[1]], _CALM * coarse.side * coarse.step)
    where = np.rint((np.argwhere(np.ones_like(window, np.bool_)) + low + 0.5) / coarse.step - 0.5).astype(int)
    where = np.minimum(where, np.array(coarse.free.shape) - 1) - np.array([area.row - 2, area.col - 2])
    near = cv2.dilate(np.pad(area.own, 2).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    # Beyond its window and one pixel around it nothing is near.
    where = np.clip(where, 0, np.array(near.shape) - 1)
    mask = (window > area.cut) & near[where[:, 0], where[:, 1]].reshape(window.shape)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return region_of(labels == largest, int(low[0]), int(low[1]))
