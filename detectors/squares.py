"""`mixture-squares`: finds and classifies mesh openings on an atlas or one of its tiles, without weights.

Two Poisson levels on the histogram, regions, convex hulls, one angle for all, aligned boxes (Kim et al. 2023, section
2.2), then each opening is compared with the others of the image.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..hardware.records import Image
from ..protocols.errors import BadInput
from .mixture import Levels, two_levels
from .records import FoundSquare, SquareDetections, SquareFinder
from .regions import (
    Mask,
    Region,
    bright_regions,
    common_angle,
    edge_contrast,
    filled_margin,
    large_enough,
    smoothed,
    typical_side,
)
from .square_class import box_corners, classify, measure

_LEAST_PX = 32
_DIM_ROUNDS = 3
_LEAST_EDGE = 0.45
_LEAST_SOLIDITY = 0.87


class SquareOptions(BaseModel):
    """Options of `mixture-squares`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(0.0, ge=0, le=1, description="Openings scored lower are left out of the answer.")


class MixtureSquares:
    """The finder; made by `mixture_squares`."""

    name = "mixture-squares"
    version = "1"

    def __init__(self, options: SquareOptions) -> None:
        self._options = options

    def find(self, image: Image) -> SquareDetections:
        """Answer every opening in order of its first pixel; never raises on a poor image."""
        pixels, bad = finite(image.pixels)
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX:
            return _none(image, f"the image is smaller than {_LEAST_PX} px, too small to tell an opening from noise")
        if bad.mean() > 0.5:
            return _none(image, "more than half of the image holds no number")
        margin = bad | filled_margin(pixels)
        if margin.any():
            # What a stitcher filled in shall not leak into openings when blurred.
            pixels = np.where(margin, np.quantile(pixels[~margin][::7], 0.02), pixels).astype(np.float32)
        calm = smoothed(pixels, 0.7)
        levels = two_levels(calm[~margin])
        if levels is None:
            return _none(image, "the image has one level only: no bright openings in a dark mesh")
        regions, angle, reason = _openings(calm, levels, margin)
        if not regions:
            return _none(image, reason)
        squares = _described(image, pixels, regions, levels, angle, margin)
        kept = tuple(square for square in squares if square.score >= self._options.min_score)
        reason = "" if kept else f"all {len(squares)} openings score under {self._options.min_score:g}"
        return SquareDetections(kept, angle, image.pixel_size_a, reason)


def mixture_squares(options: Mapping[str, Any]) -> SquareFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown or out of range.
    """
    try:
        return MixtureSquares(SquareOptions.model_validate(dict(options)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(SquareOptions.model_fields)
        raise BadInput(f"mixture-squares: option '{where}': {first['msg']}; options are: {known}") from error


def finite(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], Mask]:
    """Answer the pixels as contiguous float32 with what is no number replaced by the median, and where that was."""
    values = np.ascontiguousarray(pixels, np.float32)
    bad: Mask = ~np.isfinite(values)
    if bad.any():
        values = values.copy()
        values[bad] = np.median(values[~bad]) if not bad.all() else 0.0
    return values, bad


def _none(image: Image, reason: str) -> SquareDetections:
    return SquareDetections((), 0.0, image.pixel_size_a, reason)


def _openings(calm: NDArray[np.float32], levels: Levels, margin: Mask) -> tuple[list[Region], float, str]:
    """Find the regions that end as openings do; answer them, their angle, or the reason why there are none."""
    side = typical_side((calm > levels.threshold) & ~margin)
    if not large_enough(side):
        return [], 0.0, "what is brighter than the rest comes in specks of a few pixels, as noise does"
    calm = smoothed(calm, 0.01 * side)
    mask = (calm > levels.threshold) & ~margin
    side = typical_side(mask)
    regions = bright_regions(mask, side)
    soft = smoothed(calm, 0.03 * side)
    sharp = [region for region in regions if edge_contrast(soft, region, levels, side) >= _LEAST_EDGE]
    if len(sharp) < 0.3 * len(regions) or not sharp:
        return [], 0.0, "bright areas fade into dark ones without an edge, as noise and gradients do"
    for _ in range(_DIM_ROUNDS):
        more = _dim_openings(calm, sharp, levels, margin, side)
        sharp += more
        if not more:
            break
    angle = common_angle([region.hull for region in sharp if region.hull_area > 0.4 * side**2] or [sharp[0].hull])
    return _plausible(sharp, angle, calm.shape)


def _dim_openings(
    calm: NDArray[np.float32], found: list[Region], levels: Levels, margin: Mask, side: float
) -> list[Region]:
    """Look again at what the found openings leave: thick ice may be nearer to the bars than to thin ice.

    Only what has the usual size, fills its hull and stands clear of the bars' own unevenness is taken.
    """
    taken = margin.astype(np.uint8)
    for region in found:
        outline = np.rint(region.hull[:, ::-1]).astype(np.int32)
        taken = np.asarray(cv2.fillConvexPoly(taken, outline, 1), np.uint8)
    reach = 2 * round(0.12 * side) + 1
    free = cv2.dilate(taken, np.ones((reach, reach), np.uint8)) == 0
    soft = smoothed(calm, 0.05 * side)
    if free.mean() < 0.02:
        return []
    dim = two_levels(soft[free])
    if dim is None or dim.bright - dim.dark < 0.03 * (levels.bright - levels.dark):
        return []
    dim = Levels(dim.dark, dim.bright, 0.5 * (dim.dark + dim.bright), dim.share)
    more = []
    for region in bright_regions((soft > dim.threshold) & free, side, 2.0):
        usual = 0.4 * side**2 < region.hull_area < 1.8 * side**2
        if usual and region.mask.sum() > 0.9 * region.hull_area and edge_contrast(soft, region, dim, side) > 0.7:
            more.append(region)
    return more


def _plausible(regions: list[Region], angle: float, shape: tuple[int, ...]) -> tuple[list[Region], float, str]:
    """Refuse strips, and views in which nothing but a few cut pieces is seen."""
    kept = []
    for region in regions:
        first, last = region.hull.min(0), region.hull.max(0)
        spans = (first <= 0.5) & (last >= np.array(shape) - 1.5)
        corners = np.array(box_corners(region.hull, angle))
        sides = np.hypot(*(corners[1] - corners[0])), np.hypot(*(corners[2] - corners[1]))
        strip = max(sides) > 4.0 * min(sides) and not _touches(region, None, shape)
        if not spans.any() and not strip:
            kept.append(region)
    whole = [region for region in kept if not _touches(region, None, shape)]
    if not whole and len(kept) < 3:
        return [], 0.0, "no whole opening is in view, only bright areas that run out of the image"
    if _usual_solidity(kept) < _LEAST_SOLIDITY:
        return [], 0.0, "the bright areas are ragged blots, no openings of a mesh"
    return kept, angle, ""


def _usual_solidity(regions: list[Region]) -> float:
    """Solidity of the region in the middle of the summed area."""
    areas = np.array([region.hull_area for region in regions])
    solidity = np.array([region.mask.sum() for region in regions]) / areas
    order = np.argsort(solidity)
    middle = np.searchsorted(np.cumsum(areas[order]), areas.sum() / 2)
    return float(solidity[order][min(middle, len(order) - 1)])


def _touches(region: Region, near_margin: Mask | None, shape: tuple[int, ...]) -> bool:
    """Tell whether the region is cut by the image's border or lies against a filled margin."""
    rows, cols = region.mask.shape
    if region.row < 1 or region.col < 1 or region.row + rows > shape[0] - 1 or region.col + cols > shape[1] - 1:
        return True
    if near_margin is None:
        return False
    window = near_margin[region.row : region.row + rows, region.col : region.col + cols]
    return bool((window & region.mask).sum() > 2)


def _described(
    image: Image, pixels: NDArray[np.float32], regions: list[Region], levels: Levels, angle: float, margin: Mask
) -> list[FoundSquare]:
    features = measure(pixels, regions, levels, angle, image.pixel_size_a)
    squares = []
    near_margin = cv2.dilate(margin.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 if margin.any() else None
    for region, one in zip(regions, features, strict=True):
        partial = _touches(region, near_margin, pixels.shape)
        category, score = classify(one, partial)
        corners = box_corners(region.hull, angle)
        row, col = np.mean(corners, axis=0)
        own = pixels[region.row :, region.col :][: region.mask.shape[0], : region.mask.shape[1]][region.mask]
        squares.append(
            FoundSquare(
                float(row), float(col), corners, region.hull_area, float(own.mean()), score, category, partial, one
            )
        )
    return squares
