"""Where a beam smaller than the camera ends: beyond an arc of a circle a view is dark, whatever the specimen.

Bars end dark areas too, but with straight sides, and a rounded corner of an opening turns by a quarter at most. Ice
that leaves a round window in an opening dims slowly; film around one large hole is not as dark as nothing, nor as
quiet. Few points of an outline off the circle are let pass, where a bar crosses the beam's edge.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import Mask, Points, smoothed
from .working_size import binned

_LOOK_PX, _BLUR_PX = 256, 1.5
_DARKEST, _DARK = 0.002, 0.3
_LEAST_PART, _MOST_PART = 0.005, 0.9
_LEAST_ARC, _SMALLEST, _LARGEST = 0.27, 0.25, 1.5
_NEAR_PX, _MOSTLY, _GAP_DEG, _ROUNDER = 2.5, 0.8, 3.0, 0.3
_PLATEAU, _FULL, _WIDEST_EDGE, _BRIGHT = (0.4, 0.8), 0.85, 0.85, 0.8
_BEYOND, _UNLIT, _QUIET = 1.08, 0.05, 0.33


def beyond_beam(pixels: NDArray[np.float32]) -> Mask | None:
    """Find what the beam does not light, its soft edge included; None where the view is lit to its corners.

    Parameters
    ----------
    pixels
        Finite, shape (rows, cols).
    """
    step = max(1, min(pixels.shape) // _LOOK_PX)
    soft = smoothed(binned(pixels, step), _BLUR_PX)
    low, usual = np.quantile(soft, [_DARKEST, 0.5])
    outline = _outline(soft < low + _DARK * (usual - low))
    circle = None if outline is None else _circle(outline, min(soft.shape))
    if circle is None:
        return None
    row, col, radius = circle
    away = np.hypot(*(np.indices(soft.shape) - np.array([row, col])[:, None, None]))
    inner = _lit_radius(soft, away, radius, float(low))
    if inner < _WIDEST_EDGE * radius or not _as_dark_as_anything(soft, away, radius, float(low)):
        return None
    rows, cols = (np.arange(size)[:, None] for size in pixels.shape)
    here = np.array([row, col]) * step + (step - 1) / 2
    away_px = np.hypot(rows - here[0], cols.T - here[1])
    quiet = _noise(pixels, away_px > _BEYOND * radius * step) <= _QUIET * _noise(pixels, away_px < inner * step)
    return np.asarray(away_px > inner * step, np.bool_) if quiet else None


def _outline(dark: Mask) -> Points | None:
    """Give the (row, col) of what is beside dark areas that reach in from the border; None where too little is."""
    _, labels = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)
    touching = np.unique(np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1])))
    unlit = np.isin(labels, touching[touching > 0])
    if not _LEAST_PART < unlit.mean() < _MOST_PART:
        return None
    contours, _ = cv2.findContours((~unlit).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(contours)[:, 0, ::-1].astype(np.float64)
    inside = (points > 1).all(axis=1) & (points < np.array(dark.shape) - 2).all(axis=1)
    return np.asarray(points[inside]) if inside.sum() > 8 else None


def _circle(outline: Points, side: int) -> tuple[float, float, float] | None:
    """Fit a circle, (row, col, radius); None where the outline is none or too little of one."""
    # Seldom needed, and slow to import.
    from scipy.optimize import least_squares

    start = [*outline.mean(axis=0), 0.5 * side]

    def off(circle: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.hypot(*(outline - circle[:2]).T) - circle[2])

    fit = least_squares(off, start, loss="soft_l1", f_scale=0.01 * side)
    row, col, radius = (float(value) for value in fit.x)
    near = np.abs(off(fit.x)) < _NEAR_PX
    angles = np.degrees(np.arctan2(*(outline[near] - [row, col]).T))
    arc = len(np.unique(np.rint(angles))) / 360
    good = near.mean() > _MOSTLY and arc > _LEAST_ARC and _SMALLEST * side < radius < _LARGEST * side
    return (row, col, radius) if good and _bent(outline[near], angles, off(fit.x)[near]) else None


def _bent(points: Points, angles_deg: NDArray[np.float64], off_circle: NDArray[np.float64]) -> bool:
    """Tell whether the pieces of an outline follow the circle rather than straight lines, as the sides of bars do."""
    order = np.argsort(angles_deg)
    gaps = np.diff(angles_deg[order], append=angles_deg[order[0]] + 360)
    order = np.roll(order, -1 - int(np.argmax(gaps)))
    turns = np.diff(angles_deg[order]) % 360
    pieces = np.split(points[order], np.flatnonzero(turns > _GAP_DEG) + 1)
    off_lines = sum(float(np.linalg.svd(one - one.mean(axis=0), compute_uv=False)[-1] ** 2) for one in pieces)
    return float((off_circle**2).sum()) < _ROUNDER * off_lines


def _lit_radius(soft: NDArray[np.float32], away: NDArray[np.float64], radius: float, low: float) -> float:
    """Give how far from the beam's axis it is as bright as nearer to it."""
    rings = np.linspace(_PLATEAU[0], 1.0, 25)
    number = np.digitize(away / radius, rings)
    # The bright part of each ring: bars may take much of it.
    parts = [soft[number == n] for n in range(1, len(rings))]
    usual = np.array([np.quantile(part, _BRIGHT) if part.size else np.nan for part in parts])
    plateau = float(np.nanmedian(usual[rings[:-1] < _PLATEAU[1]]))
    lit = usual - low > _FULL * (plateau - low)
    last = rings[1:][lit & np.isfinite(usual)]
    return radius * float(last.max()) if last.size else 0.0


def _as_dark_as_anything(soft: NDArray[np.float32], away: NDArray[np.float64], radius: float, low: float) -> bool:
    """Tell whether it is as dark beyond the circle as at the darkest place."""
    beyond = soft[away > _BEYOND * radius]
    lit = float(np.median(soft[away < radius]))
    return beyond.size == 0 or float(np.median(beyond)) - low < _UNLIT * (lit - low)


def _noise(pixels: NDArray[np.float32], where: Mask) -> float:
    """Give the noise of pixels there, in the image's units: what nothing falls on has the camera's own alone."""
    fine = np.abs(pixels - cv2.blur(pixels, (3, 3)))[where]
    return float(np.median(fine)) if fine.size else 0.0
