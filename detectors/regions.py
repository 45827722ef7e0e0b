"""Bright regions of a low-magnification image as mesh openings: hulls, common angle, aligned boxes.

Nothing here has a size in pixels: gaps closed, specks dropped and edges probed are fractions of the side that most
openings of this very image have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .mixture import Levels

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

_GAP = 0.06
_SPECK = 0.035
_OVERSIZE = 1.6
_CORE = 0.25
_LEAST_SIDE_PX = 9.0
_LEAST_SHARE = 0.15
_BINNED_SIGMA = 4.0
"""Least width (px) that is left of a blur when it is drawn on a binned image."""


@dataclass(frozen=True, slots=True)
class Region:
    """One bright region.

    Attributes
    ----------
    row, col
        Upper left pixel of `mask` in the image.
    mask
        The region's pixels, holes and gaps filled as found, shape of its own window.
    hull
        Convex hull of its pixels' corners, (n, 2) (row, col).
    hull_area
        px².
    """

    row: int
    col: int
    mask: Mask
    hull: Points
    hull_area: float


def smoothed(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Blur with a Gaussian of `sigma` px, mirrored at the borders; a wide one is drawn on the binned image."""
    if sigma <= 0:
        return pixels
    step = int(sigma / _BINNED_SIGMA)
    if step < 2:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)
    rows, cols = pixels.shape
    small = cv2.resize(pixels, (-(-cols // step), -(-rows // step)), interpolation=cv2.INTER_AREA)
    # Binning and the way back blur too, each by the variance of what it spreads a pixel over.
    rest = np.sqrt((sigma / step) ** 2 - 1 / 12 - 1 / 6)
    small = cv2.GaussianBlur(small, (0, 0), rest, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.resize(small, (cols, rows), interpolation=cv2.INTER_LINEAR), np.float32)


def typical_side(mask: Mask) -> float:
    """Side in px that most openings have: the best supported area among the components; 0 when there are none.

    Support counts the components within a factor of 1.6 in area, weighted by the side, if they hold a fair share of all
    that is bright: neither many specks nor one huge torn area wins against a few openings.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return 0.0
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA].astype(np.float64))
    first, last = np.searchsorted(areas, areas / 1.6, "left"), np.searchsorted(areas, areas * 1.6, "right")
    summed = np.concatenate(([0.0], np.cumsum(areas)))
    share = (summed[last] - summed[first]) / summed[-1]
    best = areas[np.argmax((last - first) * np.sqrt(areas) * (share >= min(_LEAST_SHARE, share.max())))]
    near = areas[(areas > best / 1.6) & (areas < best * 1.6)]
    return float(np.sqrt(np.median(near)))


def bright_regions(mask: Mask, side: float, most: float = np.inf) -> list[Region]:
    """Cut `mask` into regions, gaps up to a small part of `side` bridged, in order of their first pixel.

    Regions of more than `most` times the square of `side` are left out; other large ones are split where they are two
    or more openings leaking into each other.
    """
    gap = max(1, round(_GAP * side))
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (gap, gap))
    bridged = cv2.dilate(mask.astype(np.uint8), kernel)
    labels = np.asarray(cv2.connectedComponents(bridged, connectivity=8)[1], np.int32)
    labels[~mask] = 0
    regions: list[Region] = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        own = labels[window] == number
        if not _SPECK * side**2 <= own.sum() <= most * side**2:
            continue
        regions += [region_of(part, window[0].start, window[1].start) for part in _parted(own, side)]
    return [region for region in regions if region.hull_area >= _SPECK * side**2]


def _parted(own: Mask, side: float) -> list[Mask]:
    """Split a region that is two or more openings leaking into each other; else answer it alone."""
    if own.sum() < _OVERSIZE * side**2:
        return [own]
    padded = np.pad(ndimage.binary_fill_holes(own), 1).astype(np.uint8)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    cores, count = ndimage.label(inside > _CORE * side)
    sizes = ndimage.sum_labels(np.ones_like(cores), cores, np.arange(1, count + 1))
    kept = [i + 1 for i, size in enumerate(np.atleast_1d(sizes)) if size > 0.1 * side**2]
    if len(kept) < 2:
        return [own]
    cores[~np.isin(cores, kept)] = 0
    nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
    owner = cores[tuple(nearest)]
    return [own & (owner == i) for i in kept]


def region_of(own: Mask, row: int, col: int) -> Region:
    """Trim a mask, whose first pixel is (row, col) of the image, to its window and find its hull."""
    rows, cols = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    own = own[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    row, col = row + int(rows[0]), col + int(cols[0])
    first, last = own.argmax(1), own.shape[1] - 1 - own[:, ::-1].argmax(1)
    lines = np.flatnonzero(own.any(1))
    ends = np.concatenate((np.c_[lines, first[lines]], np.c_[lines, last[lines]])).astype(np.float32)
    around = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)], np.float32)
    corners = (ends[:, None] + around).reshape(-1, 2)
    hull = cv2.convexHull(corners)[:, 0].astype(np.float64)
    area = float(cv2.contourArea(hull.astype(np.float32)))
    return Region(row, col, own, hull + np.array([row, col]), area)


def common_angle(hulls: Sequence[Points]) -> float:
    """Angle in degrees, 0 ≤ angle < 90, at which the aligned boxes of the hulls (one or more) have the least area."""
    points = np.concatenate(hulls)
    starts = np.cumsum([0, *(len(hull) for hull in hulls[:-1])])
    coarse = np.arange(0.0, 90.0, 1.0)
    best = coarse[np.argmin([_boxed_area(points, starts, angle) for angle in coarse])]
    for step in (0.2, 0.04):
        near = best + step * np.arange(-6, 7)
        best = near[np.argmin([_boxed_area(points, starts, angle) for angle in near])]
    return float(best % 90.0)


def _boxed_area(points: Points, starts: NDArray[np.intp], angle_deg: float) -> float:
    """Sum of the boxes' areas at an angle; hull number i takes the points from ``starts[i]`` on."""
    turned = points @ _turn(angle_deg).T
    extent = np.maximum.reduceat(turned, starts) - np.minimum.reduceat(turned, starts)
    return float(extent.prod(axis=1).sum())


def _turn(angle_deg: float) -> Points:
    angle = np.deg2rad(angle_deg)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def aligned_box(hull: Points, angle_deg: float) -> Points:
    """Corners (4, 2) (row, col) of the box around `hull` whose sides are turned by `angle_deg`, in order around it."""
    turn = _turn(angle_deg)
    turned = hull @ turn.T
    (r0, c0), (r1, c1) = turned.min(0), turned.max(0)
    return np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]]) @ turn


def edge_contrast(image: NDArray[np.float32], region: Region, levels: Levels, side: float) -> float:
    """Answer how sharply the region ends: step across its outline in units of the two levels' distance.

    An opening falls from film to mesh within a few hundredths of its side; a cloud or a gradient does not. `image`
    should be smoothed a little, else noise that made the region also makes the step.
    """
    reach = max(2, round(0.12 * side))
    r0, c0 = max(0, region.row - reach), max(0, region.col - reach)
    r1 = min(image.shape[0], region.row + region.mask.shape[0] + reach)
    c1 = min(image.shape[1], region.col + region.mask.shape[1] + reach)
    own = np.zeros((r1 - r0, c1 - c0), np.uint8)
    own[region.row - r0 :, region.col - c0 :][: region.mask.shape[0], : region.mask.shape[1]] = region.mask
    window = image[r0:r1, c0:c1]
    inner = cv2.distanceTransform(own, cv2.DIST_L2, 3)
    outer = cv2.distanceTransform(1 - own, cv2.DIST_L2, 3)
    near, far = max(1.0, 0.03 * side), max(2.5, 0.10 * side)
    inside, outside = window[(inner > near) & (inner <= far)], window[(outer > near) & (outer <= far)]
    if inside.size < 4 or outside.size < 4:
        return 0.0
    return float((np.median(inside) - np.median(outside)) / (levels.bright - levels.dark))


def large_enough(side: float) -> bool:
    """Tell whether openings of this side (px) can be judged at all."""
    return side >= _LEAST_SIDE_PX
