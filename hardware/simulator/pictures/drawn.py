"""Things with an outline drawn into the layers of a view: tears, folds, dirt, marks of the mesh and of exposures.

All are drawn from their places on the grid, so one thing lies at one place in the views of every level. What is smaller
than a pixel is spread over the pixels around it, as much as there is of it.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ..grid.cells import Floats
from ..grid.defects import Fern, Ridge, Tear
from ..grid.world import GridWorld
from .view import Layer, Stain, View

SMALL = 1.2
"""Things of a smaller radius than so many pixels are spread instead of drawn."""

BROAD_PX = 5.0
"""The two walls of a wrinkle so wide are told apart."""

DOUBLED = 1.5
"""How much more film there is where it has rolled up along a tear."""


def draw_defects(world: GridWorld, view: View, ice: Layer, film: Layer) -> None:
    """Draw all defects of all squares that reach into the view."""
    corners = view.corners
    i, j = world.square_at(*corners.T)
    pixel = view.pixel_um
    limit = world.squares.i.shape[0] // 2
    reach = world.bars.mesh.opening_um * 0.8 / pixel
    for first in range(max(int(i.min()) - 1, -limit), min(int(i.max()) + 2, limit + 1)):
        for second in range(max(int(j.min()) - 1, -limit), min(int(j.max()) + 2, limit + 1)):
            row, col = view.pixels_of(world.centre_of(first, second))
            if -reach < row < view.rows + reach and -reach < col < view.cols + reach:
                _draw_square(world, view, (first, second), ice, film)


def draw_marks(world: GridWorld, view: View, free: Layer) -> None:
    """Close what the marks of the mesh cover."""
    for outline in world.marks:
        spot = _mask(view, outline, 1)
        if spot is not None:
            free[spot[0]] *= 1 - spot[1] * np.float32(1 / 255)


def draw_stain(view: View, stain: Stain, ice: Layer, film: Layer) -> None:
    """Draw an exposed spot: some ice gone from the middle, some carbon grown at its edge."""
    row, col = view.pixels_of(np.array([stain.x_um, stain.y_um]))
    radius = stain.radius_um / view.pixel_um
    window, out = _disc(view, row, col, radius, 1.3)
    if out.size == 0:
        return
    ice[window] *= 1 - np.float32(0.25) * np.clip((1 - out) * 8, 0, 1)
    film[window] += np.float32(5.0) * np.exp(-(((out - 1) / np.float32(0.09)) ** 2))


def _draw_square(world: GridWorld, view: View, index: tuple[int, int], ice: Layer, film: Layer) -> None:
    defects = world.defects(*index)
    for ridge in defects.ridges:
        _draw_ridge(view, ridge, film)
    for tear in defects.tears:
        _draw_flap(view, tear, ice, film)
    for tear in defects.tears:
        _draw_tear(view, tear, ice, film)
    dirt = defects.dirt
    small = dirt.radius_um < SMALL * view.pixel_um
    _deposit(view, dirt.middle_um[small], dirt.radius_um[small], dirt.water_nm[small], ice)
    for outline, water in zip(dirt.outline_um[~small], dirt.water_nm[~small], strict=True):
        spot = _mask(view, outline, 1)
        if spot is not None:
            ice[spot[0]] += np.float32(water / 255.0) * spot[1]
    for fern in defects.ferns:
        _draw_fern(view, fern, ice)
    for x, y, radius, water in defects.drops_um:
        _draw_drop(view, np.array([x, y]), radius, water, ice)


def _draw_tear(view: View, tear: Tear, ice: Layer, film: Layer) -> None:
    fold = max(round(tear.fold_um / view.pixel_um), 1)
    spot = _mask(view, tear.outline_um, fold + 2)
    if spot is None:
        return
    window, mask = spot
    rolled = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * fold + 1, 2 * fold + 1)))
    # A roll narrower than a pixel darkens that pixel by its share.
    more = DOUBLED * min(tear.fold_um / (fold * view.pixel_um), 1.0)
    film[window] *= 1 + rolled * np.float32(more / 255)
    left = 1 - mask * np.float32(1 / 255)
    film[window] *= left
    ice[window] *= left


def _draw_flap(view: View, tear: Tear, ice: Layer, film: Layer) -> None:
    """Lay the film that was torn out doubled beside the tear, with what ice was on it."""
    if tear.flap_um is None:
        return
    spot = _mask(view, tear.flap_um, 1)
    if spot is not None:
        twice = 1 + spot[1] * np.float32(1 / 255)
        film[spot[0]] *= twice
        ice[spot[0]] *= twice


def _draw_ridge(view: View, ridge: Ridge, film: Layer) -> None:
    """Stand the film up along a line, as a wave; one narrower than a pixel darkens it by its share."""
    width = max(ridge.width_um / view.pixel_um, 1.0)
    at = view.pixels_of(ridge.line_um)
    low = np.maximum(np.floor(at.min(axis=0) - width - 2).astype(int), 0)
    high = np.minimum(np.ceil(at.max(axis=0) + width + 3).astype(int), [view.rows, view.cols])
    if (low >= high).any():
        return
    window = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    if width >= BROAD_PX:
        film[window] *= 1 + np.float32(ridge.layers) * _walls(at - low, tuple(high - low), width)
        return
    mask = np.zeros(tuple(high - low), np.uint8)
    side = _normals(at) * (width / 2)
    ribbon = np.concatenate([at + side, (at - side)[::-1]]) - low
    cv2.fillPoly(mask, [np.round(ribbon[:, ::-1] * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    share = ridge.width_um / view.pixel_um / width
    film[window] *= 1 + mask * np.float32(ridge.layers * share / 255)


def _walls(line: Floats, shape: tuple[int, ...], width: float) -> Layer:
    """Say how much more film lies across a wave of this width along a line: most in its walls, none on its crest.

    The mean across it is 1. Steep as it is, its thickness goes with the slope, a sine across half of it.
    """
    away = np.ones(shape, np.uint8)
    cv2.polylines(away, [np.round(line[:, ::-1] * 16).astype(np.int32)], False, 0, shift=4)
    out = np.minimum(cv2.distanceTransform(away, cv2.DIST_L2, 5) * np.float32(2 / width), 1)
    return np.asarray(np.sin(out * np.float32(math.pi)) * np.float32(math.pi / 2))


def _draw_fern(view: View, fern: Fern, ice: Layer) -> None:
    """Draw the grains of a fern: they touch, so all are filled at once."""
    if fern.radius_um.max() < SMALL * view.pixel_um:
        _deposit(view, fern.middle_um, fern.radius_um, np.full(len(fern.radius_um), fern.water_nm), ice)
        return
    at = view.pixels_of(fern.middle_um)
    radius = fern.radius_um / view.pixel_um
    low = np.maximum(np.floor((at - radius[:, None]).min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil((at + radius[:, None]).max(axis=0)).astype(int) + 2, [view.rows, view.cols])
    if (low >= high).any():
        return
    mask = np.zeros(tuple(high - low), np.uint8)
    for (row, col), size in zip(at - low, radius, strict=True):
        centre = round(col * 16), round(row * 16)
        cv2.circle(mask, centre, round(size * 16), 255, -1, cv2.LINE_AA, 4)
    window = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    ice[window] += np.float32(fern.water_nm / 255) * mask


def _draw_drop(view: View, middle: Floats, radius_um: float, water_nm: float, ice: Layer) -> None:
    """Draw a drop: thickest in the middle, round, with a sharp edge."""
    row, col = view.pixels_of(middle)
    radius = radius_um / view.pixel_um
    if radius < SMALL:
        _deposit(view, middle[None], np.array([radius_um]), np.array([water_nm * 2 / 3]), ice)
        return
    window, out = _disc(view, row, col, radius, 1.0 + 1.0 / radius)
    if out.size:
        ice[window] += np.float32(water_nm) * np.sqrt(np.maximum(1 - out * out, 0))


def _disc(view: View, row: float, col: float, radius: float, reach: float) -> tuple[tuple[slice, slice], Layer]:
    """Give the window that a disc touches, and the distance from its centre there, in radii."""
    low_r, high_r = max(int(row - reach * radius), 0), min(int(row + reach * radius) + 2, view.rows)
    low_c, high_c = max(int(col - reach * radius), 0), min(int(col + reach * radius) + 2, view.cols)
    rows = np.arange(low_r, max(high_r, low_r), dtype=np.float32)[:, None] - np.float32(row)
    cols = np.arange(low_c, max(high_c, low_c), dtype=np.float32)[None, :] - np.float32(col)
    out = np.sqrt(rows * rows + cols * cols) / np.float32(radius)
    return (slice(low_r, high_r), slice(low_c, high_c)), out


def _normals(line: Floats) -> Floats:
    """Give unit vectors across a line at each of its points, (n, 2)."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    return np.stack([-along[:, 1], along[:, 0]], axis=1)


def _deposit(view: View, middle: Floats, radius: Floats, water: Floats, ice: Layer) -> None:
    """Spread grains smaller than a pixel over the four pixels around them."""
    at = view.pixels_of(middle)
    low = np.floor(at).astype(np.int64)
    part = at - low
    amount = water * math.pi * (radius / view.pixel_um) ** 2
    for down in (0, 1):
        for right in (0, 1):
            row, col = low[:, 0] + down, low[:, 1] + right
            share = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1]) * amount
            keep = (row >= 0) & (row < view.rows) & (col >= 0) & (col < view.cols)
            np.add.at(ice, (row[keep], col[keep]), share[keep].astype(np.float32))


def _mask(view: View, outline: Floats, margin: int) -> tuple[tuple[slice, slice], NDArray[np.uint8]] | None:
    """Fill an outline: the window of the image it touches, and 0..255 there; None when it lies outside."""
    at = view.pixels_of(outline)
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + margin + 1, [view.rows, view.cols])
    if (low >= high).any():
        return None
    mask = np.zeros(tuple(high - low), np.uint8)
    corners = np.round((at - low)[:, ::-1] * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, lineType=cv2.LINE_AA, shift=4)
    return (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))), mask
