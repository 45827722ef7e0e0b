"""What each opening looks like: numbers measured on it, a class from them, and a score.

All numbers compare an opening with its neighbours in the same image: its area with theirs, its film with theirs, and
its brightest parts with the brightest level seen, which is empty vacuum when anything is torn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .mixture import Levels
from .records import SquareClass
from .regions import Mask, Points, Region, aligned_box, edge_contrast, smoothed

_RIM = 0.07
_TEAR_LENGTH = 0.17
_VACUUM_MARGIN = 0.12
_TOO_BRIGHT = 0.5
_CRACK = 0.005


@dataclass(frozen=True, slots=True)
class Population:
    """What is usual in one image; intensities in the image's unit.

    Attributes
    ----------
    side, area
        Side (px) of the usual opening and area (px²) of its hull.
    dark
        Level of the mesh bars.
    film
        Median level of the usual opening.
    vacuum
        Brightest level that openings reach.
    unevenness
        Usual robust standard deviation inside an opening, lightly smoothed.
    """

    side: float
    area: float
    dark: float
    film: float
    vacuum: float
    unevenness: float

    @property
    def torn_seen(self) -> bool:
        """True when the brightest level lies so far above the film that it is something else than film."""
        margin = max(_VACUUM_MARGIN * (self.film - self.dark), 5.0 * self.unevenness)
        return self.vacuum - self.film > margin


@dataclass(frozen=True, slots=True)
class _Window:
    """An opening's pixels: raw, lightly smoothed, and which of them lie inside its hull clear of the rim."""

    raw: NDArray[np.float32]
    calm: NDArray[np.float32]
    inside: Mask


def measure(
    pixels: NDArray[np.float32], regions: Sequence[Region], levels: Levels, angle_deg: float, pixel_size_a: float | None
) -> list[dict[str, float]]:
    """Measure every region: one mapping of features each, in the same order.

    Parameters
    ----------
    pixels
        The image, finite.
    regions
        At least one.
    levels
        The image's two levels.
    angle_deg
        Common angle of the boxes.
    pixel_size_a
        Å, None when unknown; then there is no ``area_um2``.
    """
    return measured(pixels, regions, levels, angle_deg, pixel_size_a)[0]


def measured(
    pixels: NDArray[np.float32], regions: Sequence[Region], levels: Levels, angle_deg: float, pixel_size_a: float | None
) -> tuple[list[dict[str, float]], Population]:
    """Measure every region as `measure` does, and say what is usual among them."""
    areas = np.array([region.hull_area for region in regions])
    area = _usual(areas)
    side = float(np.sqrt(area))
    calm = smoothed(pixels, max(0.7, 0.006 * side))
    soft = smoothed(pixels, max(0.7, 0.03 * side))
    windows = [_window(pixels, calm, region, side) for region in regions]
    medians = np.array([float(np.median(window.raw[window.inside])) for window in windows])
    usual = (areas > 0.6 * area) & (areas < 1.6 * area)
    film = float(np.median(medians[usual])) if usual.any() else float(np.median(medians))
    bright = np.concatenate([window.calm[window.inside] for window in windows])
    uneven = float(np.median([_spread(window.calm[window.inside]) for window in windows]))
    population = Population(side, area, levels.dark, film, float(np.quantile(bright, 0.9995)), uneven)
    features = []
    for region, window, median in zip(regions, windows, medians, strict=True):
        one = _features(region, window, float(median), population, angle_deg)
        one["edge"] = edge_contrast(soft, region, levels, side)
        if pixel_size_a is not None:
            one["area_um2"] = region.hull_area * (pixel_size_a * 1e-4) ** 2
        features.append(one)
    return features, population


def _spread(values: NDArray[np.float32]) -> float:
    return 1.48 * float(np.median(np.abs(values - np.median(values))))


def usual_side(areas: Sequence[float]) -> float:
    """Side (px) of the opening that is usual among hulls of these areas, px²."""
    return float(np.sqrt(_usual(np.array(areas))))


def _usual(areas: NDArray[np.float64]) -> float:
    """Area with the most support among `areas`, as for the typical side."""
    ordered = np.sort(areas)
    support = np.searchsorted(ordered, ordered * 1.5, "right") - np.searchsorted(ordered, ordered / 1.5, "left")
    best = ordered[np.argmax(support * np.sqrt(ordered))]
    return float(np.median(ordered[(ordered > best / 1.5) & (ordered < best * 1.5)]))


def _window(pixels: NDArray[np.float32], calm: NDArray[np.float32], region: Region, side: float) -> _Window:
    shape = region.mask.shape
    window = (slice(region.row, region.row + shape[0]), slice(region.col, region.col + shape[1]))
    outline = np.rint((region.hull - (region.row, region.col))[:, ::-1]).astype(np.int32)
    hull = cv2.fillConvexPoly(np.zeros(shape, np.uint8), outline, 1)
    padded = np.pad(hull, 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    inside: Mask = depth > max(2.2, _RIM * side)
    if inside.sum() < 9:
        inside = region.mask
    return _Window(pixels[window], calm[window], inside)


def _features(region: Region, window: _Window, median: float, usual: Population, angle_deg: float) -> dict[str, float]:
    raw = window.raw[window.inside]
    height = max(usual.film - usual.dark, 1e-12)
    box = aligned_box(region.hull, angle_deg)
    sides = np.hypot(*(box[1] - box[0])), np.hypot(*(box[2] - box[1]))
    depth = (window.calm[window.inside] - usual.dark) / max(median - usual.dark, 1e-12)
    empty = (median - usual.film) / (usual.vacuum - usual.film) if usual.torn_seen else 0.0
    return {
        "mean": float(raw.mean()),
        "median": median,
        "std": float(raw.std()),
        "texture": float((raw - window.calm[window.inside]).std()) / height,
        "relative_area": region.hull_area / usual.area,
        "relative_brightness": (median - usual.dark) / height,
        "solidity": float(region.mask.sum()) / region.hull_area,
        "box_fill": region.hull_area / max(float(sides[0] * sides[1]), 1e-12),
        "elongation": float(max(sides) / max(min(sides), 1e-12)),
        "emptiness": empty,
        "bright_fraction": _torn(window, median, usual) if empty < _TOO_BRIGHT else 1.0,
        "dark_fraction": float((depth < 0.62).mean()),
        "black_fraction": float((depth < 0.35).mean()),
    }


def _torn(window: _Window, film: float, usual: Population) -> float:
    """Part of the opening taken by bright areas longer than any hole: tears and cracks, 0..1."""
    if not usual.torn_seen:
        return 0.0
    cut = film + 0.5 * (usual.vacuum - film)
    bright = ((window.calm > cut) & window.inside).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    longest = np.maximum(stats[1:count, cv2.CC_STAT_WIDTH], stats[1:count, cv2.CC_STAT_HEIGHT])
    tears = longest > max(5.0, _TEAR_LENGTH * usual.side)
    return float(stats[1:count, cv2.CC_STAT_AREA][tears].sum()) / float(window.inside.sum())


def classify(features: Mapping[str, float], partial: bool) -> tuple[SquareClass, float]:
    """Answer the class and the score 0..1 of one opening from its features."""
    score = _score(features, partial)
    if partial or (features["relative_area"] < 0.75 and (features["box_fill"] < 0.7 or features["elongation"] > 1.4)):
        return SquareClass.PARTIAL, min(score, 0.3)
    if features["bright_fraction"] > 0.5:
        return SquareClass.BROKEN_OR_DRY, min(score, 0.2)
    if features["bright_fraction"] > _CRACK or features["solidity"] < 0.85 or features["relative_area"] > 1.8:
        return SquareClass.CRACKED, min(score, 0.45)
    if features["relative_area"] < 0.7 or features["relative_brightness"] < 0.6:
        return SquareClass.SMALL_OR_THICK, min(score, 0.45)
    if features["dark_fraction"] > 0.06 or features["black_fraction"] > 0.02:
        return SquareClass.CONTAMINATED, min(score, 0.49)
    return SquareClass.GOOD, max(score, 0.5)


def _score(features: Mapping[str, float], partial: bool) -> float:
    area = min(features["relative_area"] / 0.95, 1.0)
    light = float(np.clip((features["relative_brightness"] - 0.2) / 0.7, 0.0, 1.0))
    empty = float(np.clip(1.0 - features["emptiness"], 0.0, 1.0))
    torn = float(np.exp(-features["bright_fraction"] / 0.06))
    dark = float(np.exp(-features["dark_fraction"] / 0.25 - features["black_fraction"] / 0.1))
    shape = float(np.clip((features["solidity"] - 0.6) / 0.35, 0.0, 1.0))
    score = 0.95 * area * light * empty * torn * dark * shape
    return float(np.clip(score * (0.3 if partial else 1.0), 0.0, 1.0))


def box_corners(hull: Points, angle_deg: float) -> tuple[tuple[float, float], ...]:
    """Corners (row, col) of the aligned box, for the record."""
    return tuple((float(row), float(col)) for row, col in aligned_box(hull, angle_deg))
