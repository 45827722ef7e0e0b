"""Where the openings of a mesh are: bright regions that end sharply, have the usual size and are no noise.

Atlases wider than a few thousand pixels are looked at binned: an opening then still has more pixels than its outline
needs, and time and memory stay bounded whatever the atlas measures.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .atlas_noise import coarser_against, noise_within
from .blank import filled_margin
from .dim_openings import dim_openings
from .grey_scales import Clipped, Plain, Rooted, Scale
from .lattice import Fit
from .mesh import mesh_of, parted, told, usual_openings
from .mixture import Levels, two_levels
from .records import Mesh
from .regions import (
    Mask,
    Region,
    bright_regions,
    common_angle,
    edge_contrast,
    large_enough,
    smoothed,
    typical_side,
)
from .square_class import box_corners, usual_side
from .stages import stage
from .working_size import Working, working_image

LEAST_PX = 32
"""Sides of the smallest image looked at."""

_DIM_ROUNDS = 3
_LEAST_EDGE = 0.45
_LEAST_SOLIDITY = 0.87
_WORKING_PX = 4096
_COARSER = (2, 4, 8)
_LEAST_BINNED_PX = 100
_AS_MANY = 0.9
_FEW_PX = 40.0
_ZERO, _DARKEST = 0.01, 0.02
_BESIDE = (0.06, 0.16)
_LEAST_RING = 0.002
_FILM_HEIGHT = 0.25


@dataclass(frozen=True, slots=True)
class Openings:
    """The openings of one image, all in px of the working image.

    Attributes
    ----------
    working
        The image looked at, its filled margins made dark.
    margin
        What a stitcher filled in, or what holds no number; shape of the working image.
    levels
        Dark mesh and bright openings.
    regions
        At least one, in order of their first pixel, those found on a second look last.
    angle_deg
        Common angle of their boxes.
    fit
        The lattice they stand on; None where too few agree on one.
    """

    working: Working
    margin: Mask
    levels: Levels
    regions: tuple[Region, ...]
    angle_deg: float
    fit: Fit | None = None

    @property
    def mesh(self) -> Mesh | None:
        """The mesh in px of the whole image."""
        if self.fit is None:
            return None
        whole = ~self.cut
        return told(self.fit, self.side, usual_openings(self.regions, whole, self.side), self.working.step)

    @property
    def side(self) -> float:
        """Side of the usual opening, px of the working image."""
        return usual_side([region.hull_area for region in self.regions])

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Which openings the image's border cuts, or a filled margin that lies or begins within two px."""
        near = None
        if self.margin.any():
            near = np.asarray(cv2.dilate(self.margin.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)
        return np.array([touches(region, near, self.working.pixels.shape) for region in self.regions], np.bool_)


def search(pixels: NDArray[np.generic]) -> Openings | str:
    """Find the openings of an image (rows, cols); answers the reason in words where there are none."""
    if pixels.ndim != 2 or min(pixels.shape) < LEAST_PX:
        return f"the image is smaller than {LEAST_PX} px, too small to tell an opening from noise"
    step = -(-max(pixels.shape) // _WORKING_PX)
    found = _search(working_image(pixels, step))
    # Openings of so few binned pixels want a closer look, which costs four times as much, not more.
    if step > 1 and _is_coarse(found):
        found = _search(working_image(pixels, step // 2))
    if isinstance(found, str):
        found = _among_noise(pixels, step, found)
    return found if isinstance(found, str) else _calmed(pixels, found)


def _among_noise(pixels: NDArray[np.generic], step: int, reason: str) -> Openings | str:
    """Look at the image binned, in which noise is less and noise alone is noise still; else answer `reason`."""
    for coarser in _COARSER:
        if min(pixels.shape) < _LEAST_BINNED_PX * coarser * step:
            break
        found = _search(working_image(pixels, coarser * step))
        if isinstance(found, Openings):
            return found
    return reason


def _calmed(pixels: NDArray[np.generic], found: Openings) -> Openings:
    """Look again, binned, where noise is so strong that film looks uneven by it; else answer what was found."""
    noise = noise_within(found.working.pixels, found.regions, found.levels)
    coarser = coarser_against(noise, found.side)
    if coarser == 1:
        return found
    again = _search(working_image(pixels, coarser * found.working.step))
    if isinstance(again, str) or len(again.regions) < _AS_MANY * len(found.regions):
        return found
    return again


def _is_coarse(found: Openings | str) -> bool:
    return isinstance(found, str) or float(np.median([region.hull_area for region in found.regions])) < _FEW_PX**2


def _search(working: Working) -> Openings | str:
    pixels, bad = working.pixels, working.bad
    if bad.mean() > 0.5:
        return "more than half of the image holds no number"
    margin = bad | filled_margin(pixels)
    if margin.any():
        # What a stitcher filled in shall not leak into openings when blurred.
        pixels = np.where(margin, np.quantile(pixels[~margin][::7], 0.02), pixels).astype(np.float32)
    cleared = Working(pixels, bad, working.step)
    found = _looked(cleared, margin, Plain())
    if isinstance(found, str):
        zero = float(np.quantile(pixels[~margin][::7], _ZERO))
        again = _looked(cleared, margin, Rooted(zero))
        return found if isinstance(again, str) or _film_between(again) is not None else again
    film = _film_between(found)
    if film is None:
        return found
    again = _looked(cleared, margin, Clipped(film))
    if isinstance(again, str) or _film_between(again) is not None:
        return "the bright areas lie in film, as holes do, and not in a dark mesh"
    return again


def _looked(working: Working, margin: Mask, scale: Scale) -> Openings | str:
    """Look for openings on one scale of grey."""
    calm = smoothed(scale.of(working.pixels), 0.7)
    with stage("Poisson mixture") as say:
        levels = two_levels(calm[~margin])
        say("one level only" if levels is None else f"mesh {levels.dark:.4g}, openings {levels.bright:.4g}")
    if levels is None:
        return "the image has one level only: no bright openings in a dark mesh"
    with stage("openings") as say:
        regions, angle, reason = _openings(calm, levels, margin)
        say(reason or f"{len(regions)}, looked at 1:{working.step}, grid at {angle:.1f}°")
    if not regions:
        return reason
    found = _on_mesh(Openings(working, margin, scale.back(levels), tuple(regions), angle))
    with stage("dim openings") as say:
        more = dim_openings(calm, found.regions, levels, margin, found.side, found.fit)
        say(f"{len(more)} more")
    return replace(found, regions=(*found.regions, *more))


def _film_between(found: Openings) -> float | None:
    """Give the level between the openings where that is film, because bars elsewhere are much darker; else None."""
    pixels, side = found.working.pixels, found.side
    inside = np.zeros(pixels.shape, np.uint8)
    for region in found.regions:
        inside = np.asarray(cv2.fillConvexPoly(inside, np.rint(region.hull[:, ::-1]).astype(np.int32), 1), np.uint8)
    near, far = (2 * max(1, round(share * side)) + 1 for share in _BESIDE)
    ring = cv2.dilate(inside, np.ones((far, far), np.uint8)) > cv2.dilate(inside, np.ones((near, near), np.uint8))
    ring &= ~found.margin
    if ring.sum() < _LEAST_RING * found.margin.size:
        return None
    soft = smoothed(pixels, 0.03 * side)
    dark, between = float(np.quantile(soft[~found.margin][::3], _DARKEST)), float(np.median(soft[ring]))
    height = found.levels.bright - dark
    return between if between - dark > _FILM_HEIGHT * height > 0 else None


def _on_mesh(found: Openings) -> Openings:
    """Fit the mesh, and part what covers two of its cells."""
    fit = mesh_of(found.regions, ~found.cut, found.angle_deg, found.side)
    if fit is None:
        return found
    return replace(found, regions=tuple(parted(found.regions, fit, found.side)), fit=fit)


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
    softer = smoothed(calm, 0.05 * side)
    for _ in range(_DIM_ROUNDS):
        more = _dim_openings(softer, sharp, levels, margin, side)
        sharp += more
        if not more:
            break
    angle = common_angle([region.hull for region in sharp if region.hull_area > 0.4 * side**2] or [sharp[0].hull])
    return _plausible(sharp, angle, calm.shape)


def _dim_openings(
    soft: NDArray[np.float32], found: list[Region], levels: Levels, margin: Mask, side: float
) -> list[Region]:
    """Look again at what the found openings leave: thick ice may be nearer to the bars than to thin ice.

    `soft` is the image with its noise smoothed away. Only what has the usual size, fills its hull and stands clear of
    the bars' own unevenness is taken.
    """
    taken = margin.astype(np.uint8)
    for region in found:
        outline = np.rint(region.hull[:, ::-1]).astype(np.int32)
        taken = np.asarray(cv2.fillConvexPoly(taken, outline, 1), np.uint8)
    reach = 2 * round(0.12 * side) + 1
    free = cv2.dilate(taken, np.ones((reach, reach), np.uint8)) == 0
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
        strip = max(sides) > 4.0 * min(sides) and not touches(region, None, shape)
        if not spans.any() and not strip:
            kept.append(region)
    whole = [region for region in kept if not touches(region, None, shape)]
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


def touches(region: Region, near_margin: Mask | None, shape: tuple[int, ...]) -> bool:
    """Tell whether the region is cut by the image's border or lies against a filled margin."""
    rows, cols = region.mask.shape
    if region.row < 1 or region.col < 1 or region.row + rows > shape[0] - 1 or region.col + cols > shape[1] - 1:
        return True
    if near_margin is None:
        return False
    window = near_margin[region.row : region.row + rows, region.col : region.col + cols]
    return bool((window & region.mask).sum() > 2)
