"""Where an image shows nothing: what a stitcher or a rotation filled in, what is no number, what the beam leaves dark.

Filled areas have one exact value and reach in from the border with straight sides. So do bars that a camera clips to
black; they differ in how they end: a picture begins at once, bars fade into film.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..hardware.records import Image
from .beam_edge import beyond_beam
from .mixture import two_levels
from .records import FoundHole, HoleDetections, Lattice, Site
from .regions import Mask, smoothed

_BORDER_PART, _LEAST_PART = 0.02, 0.003
_SOLID_PX, _RUN_PX, _STRAIGHT = 5, 15, 0.7
_OUTLINE_PX, _LONG_PART = 1.0, 0.06
_BEGINS, _WITHIN, _ABRUPT = (2, 5), (9, 16), 0.35
_EDGE_PX = 2
_AROUND = 1 / 16
_MOST_BLANK, _WHOLE, _ISLAND_PART = 0.5, 0.05, 0.01


def filled_margin(pixels: NDArray[np.float32]) -> Mask:
    """Find what a stitcher filled in around an atlas: straight sides along rows and columns, a mesh outside of it.

    Where a camera clips dark mesh to one value, no dark mesh is left outside.
    """
    filled = _of_one_value(pixels)
    margin = _without_islands(filled)
    if not margin.any() or not _along_axes(margin):
        return np.zeros(pixels.shape, np.bool_)
    left, fill = pixels[~margin], float(pixels[filled][0])
    without = two_levels(left)
    if without is None:
        return np.zeros(pixels.shape, np.bool_)
    low, high = np.quantile(left[:: max(1, left.size // 100_000)], [0.01, 0.99])
    mesh = without.bright - without.dark > 0.3 * (high - min(low, fill))
    return margin if mesh else np.zeros(pixels.shape, np.bool_)


def blank_part(pixels: NDArray[np.float32]) -> Mask:
    """Find what was filled in around a view, at any angle, and what is no number."""
    bad: Mask = ~np.isfinite(pixels)
    margin = _without_islands(_of_one_value(pixels))
    if margin.any() and _straight(margin) and _abrupt(pixels, margin | bad):
        # What was drawn at an angle has pixels on the edge that are part picture, part fill.
        size = 2 * _EDGE_PX + 1
        bad = bad | (cv2.dilate(margin.astype(np.uint8), np.ones((size, size), np.uint8)) > 0)
    return bad


def beside_blank(image: Image, find: Callable[[Image, Mask | None], HoleDetections]) -> HoleDetections:
    """Let a finder look at what an image shows, and at nothing else; see `beside`."""
    pixels = np.asarray(image.pixels)
    if pixels.ndim != 2 or pixels.size == 0:
        return find(image, None)
    values = np.ascontiguousarray(pixels, np.float32)
    blank = blank_part(values)
    if blank.all():
        return find(image, None)
    unlit = beyond_beam(_levelled(values, blank))
    blank = blank if unlit is None else blank | unlit
    if not blank.any():
        return find(image, None)
    return beside(image, blank, find)


def beside(image: Image, blank: Mask, find: Callable[[Image, Mask | None], HoleDetections]) -> HoleDetections:
    """Let a finder look at an image but for some of it; places are answered in px of the whole image.

    What is blank all along a side is cut off. What is left of it is given the level around, without noise; sites that
    mostly lie there are left out.
    """
    values = np.ascontiguousarray(image.pixels, np.float32)
    rows, cols = np.flatnonzero(~blank.all(axis=1)), np.flatnonzero(~blank.all(axis=0))
    corner = int(rows[0]), int(cols[0])
    part = np.s_[corner[0] : int(rows[-1]) + 1, corner[1] : int(cols[-1]) + 1]
    left = blank[part]
    if not np.isfinite(values[part]).mean() > _MOST_BLANK:
        return find(image, None)
    shown = _levelled(values[part], left)
    found = find(replace(image, pixels=shown), left if left.any() else None)
    kept = tuple(_moved(hole, corner) for one in found.holes if (hole := _seen(one, left)) is not None)
    reason = found.reason or ("" if kept or not found.holes else "all sites lie where the image shows nothing")
    return replace(found, holes=kept, lattice=_lattice_moved(found.lattice, corner), reason=reason)


def _of_one_value(pixels: NDArray[np.float32]) -> Mask:
    """Find solid areas of the border's most frequent value that reach in from the border; none of them if tiny."""
    none = np.zeros(pixels.shape, np.bool_)
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    border = border[np.isfinite(border)]
    if border.size == 0:
        return none
    values, counts = np.unique(border, return_counts=True)
    if counts.max() < _BORDER_PART * border.size:
        return none
    same = (pixels == values[np.argmax(counts)]).astype(np.uint8)
    solid = np.ones((_SOLID_PX, _SOLID_PX), np.uint8)
    same = cv2.morphologyEx(same, cv2.MORPH_OPEN, solid, borderType=cv2.BORDER_REPLICATE)
    _, labels = cv2.connectedComponents(same, connectivity=4)
    touching = np.unique(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    margin: Mask = np.isin(labels, touching[touching > 0])
    return none if margin.mean() < _LEAST_PART or margin.all() else margin


def _without_islands(margin: Mask) -> Mask:
    """Take what a margin cuts off from the picture for margin too: writing and scale bars in a band below it."""
    if not margin.any():
        return margin
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~margin).astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0.0
    small = np.flatnonzero(areas < _ISLAND_PART * areas.max())
    return np.asarray(np.isin(labels, small), np.bool_)


def _along_axes(margin: Mask) -> bool:
    """Tell whether the margin's outline runs along rows and columns, as tiles' borders do."""
    rows = (margin[1:] != margin[:-1]).astype(np.uint8)
    cols = (margin[:, 1:] != margin[:, :-1]).astype(np.uint8)
    length = int(rows.sum()) + int(cols.sum())
    long_rows = cv2.morphologyEx(rows, cv2.MORPH_OPEN, np.ones((1, _RUN_PX), np.uint8)).sum()
    long_cols = cv2.morphologyEx(cols, cv2.MORPH_OPEN, np.ones((_RUN_PX, 1), np.uint8)).sum()
    return length > 0 and (int(long_rows) + int(long_cols)) > _STRAIGHT * length


def _straight(margin: Mask) -> bool:
    """Tell whether the margin's outline within the image is made of long straight pieces, at any angle."""
    contours, _ = cv2.findContours(margin.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    long, total = 0.0, 0.0
    last = np.array(margin.shape)[::-1] - 1
    for contour in contours:
        corners = np.asarray(cv2.approxPolyDP(contour, _OUTLINE_PX, True), float).reshape(-1, 2)
        ends = np.roll(corners, -1, axis=0)
        along = ((corners == ends) & ((corners == 0) | (corners == last))).any(axis=1)
        length = np.hypot(*(ends - corners).T)[~along]
        long += float(length[length > _LONG_PART * min(margin.shape)].sum())
        total += float(length.sum())
    return total > 0 and long > _STRAIGHT * total


def _abrupt(pixels: NDArray[np.float32], margin: Mask) -> bool:
    """Tell whether the picture is as bright beside the margin as it is farther in."""
    away = cv2.distanceTransform((~margin).astype(np.uint8), cv2.DIST_L2, 3)
    beside = pixels[(away > _BEGINS[0]) & (away <= _BEGINS[1])]
    within = pixels[(away > _WITHIN[0]) & (away <= _WITHIN[1])]
    if beside.size == 0 or within.size == 0:
        return False
    spread = float(np.std(pixels[~margin]))
    return abs(float(beside.mean()) - float(within.mean())) < _ABRUPT * spread


def _levelled(pixels: NDArray[np.float32], blank: Mask) -> NDArray[np.float32]:
    """Give blank places the mean of the picture around them."""
    if not blank.any():
        return pixels
    known = (~blank).astype(np.float32)
    sigma = max(1.0, _AROUND * min(pixels.shape))
    usual = float(np.median(pixels[~blank]))
    total, share = smoothed(np.where(blank, np.float32(0), pixels - usual), sigma), smoothed(known, sigma)
    level = usual + total / np.maximum(share, 1e-3)
    return np.where(blank, level, pixels).astype(np.float32)


def hidden(hole: FoundHole, blank: Mask) -> float:
    """Give the part of a hole that lies on blank places."""
    reach = math.ceil(hole.radius_px)
    row, col = round(hole.row_px), round(hole.col_px)
    top, left = max(0, row - reach), max(0, col - reach)
    window = blank[top : row + reach + 1, left : col + reach + 1]
    rows, cols = np.indices(window.shape)
    disc = np.hypot(rows + top - hole.row_px, cols + left - hole.col_px) <= hole.radius_px
    return float(window[disc].mean()) if disc.any() else 0.0


def _seen(hole: FoundHole, blank: Mask) -> FoundHole | None:
    """Call a hole partial that is partly blank; None where most of it is."""
    part = hidden(hole, blank)
    if part > _MOST_BLANK:
        return None
    return replace(hole, status=Site.PARTIAL) if part > _WHOLE and hole.status is Site.HOLE else hole


def _moved(hole: FoundHole, corner: tuple[int, int]) -> FoundHole:
    return replace(hole, row_px=hole.row_px + corner[0], col_px=hole.col_px + corner[1])


def _lattice_moved(lattice: Lattice | None, corner: tuple[int, int]) -> Lattice | None:
    if lattice is None:
        return None
    row, col = lattice.origin_px
    return replace(lattice, origin_px=(row + corner[0], col + corner[1]))
