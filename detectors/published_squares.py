"""`ptolemy-squares`: mesh openings found and scored as Kim et al. (2023) published it, with weights the user has.

Two Poisson levels per pixel, regions, convex hulls, one angle for all, aligned boxes, and a network that scores each
crop. Different from the published program: crops are right for images that are not square; images that hold no counts
(negative, 0..1) are brought to counts first; hot pixels are taken out; a score is its crop's own unless
``batch_statistics`` asks for the published way; noise gives no squares. Class, partial and features are not the
network's: they are this project's own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize_scalar

from ..hardware.records import Image
from .mixture import Levels, scaling, two_levels_of
from .published_crops import Splined, Turned, padded, without_spikes
from .published_weights import SQUARE_SCORER, PublishedOptions, published_options
from .records import FoundSquare, SquareDetections, SquareFinder
from .regions import Mask, Points, Region, aligned_box, common_angle, edge_contrast, region_of, smoothed
from .square_class import box_corners, classify, measure
from .stages import stage
from .working_size import finite

if TYPE_CHECKING:
    from .published_networks import SquareScorer

_LEAST_PX = 32
_JOINED_PX = 6
_LEAST_HULL_PX2 = 100.0
_COUNTS = 16.0
"""An image whose values span less than this holds no counts but something derived from them."""

_LEAST_EDGE, _SHARP_SHARE = 0.45, 0.3


class PtolemySquares:
    """The finder; made by `ptolemy_squares`."""

    name = "ptolemy-squares"
    version = "1"

    def __init__(self, options: PublishedOptions, scorer: "SquareScorer") -> None:
        self._options = options
        self._scorer = scorer

    def find(self, image: Image) -> SquareDetections:
        """Answer every region of more than 100 px², in order of its first pixel; never raises on a poor image."""
        pixels, bad = finite(image.pixels)
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX:
            return _none(image, f"the image is smaller than {_LEAST_PX} px, too small to tell an opening from noise")
        if bad.mean() > 0.5:
            return _none(image, "more than half of the image holds no number")
        counts = _counts(pixels if self._options.batch_statistics else without_spikes(pixels))
        with stage("Poisson mixture") as say:
            levels = levels_of_counts(counts)
            say("one level only" if levels is None else f"mesh {levels.dark:.4g}, openings {levels.bright:.4g}")
        if levels is None:
            return _none(image, "the image has one level only: no bright openings in a dark mesh")
        mask: Mask = np.trunc(counts) > levels.threshold
        with stage("regions and hulls") as say:
            regions = [region for region in joined_regions(mask) if region.hull_area > _LEAST_HULL_PX2]
            say(f"{len(regions)} regions")
        if not regions or not _end_sharply(counts, regions, levels):
            return _none(image, "no bright area ends as an opening of a mesh does")
        with stage("grid angle") as say:
            hulls = [region.hull for region in regions]
            angle = _published_angle(hulls) if self._options.batch_statistics else common_angle(hulls)
            say(f"{angle:.1f}°")
        squares = self._described(image, counts, mask, regions, levels, angle)
        kept = tuple(square for square in squares if square.score >= self._options.min_score)
        reason = "" if kept else f"all {len(squares)} openings score under {self._options.min_score:g}"
        return SquareDetections(kept, angle, image.pixel_size_a, reason)

    def _described(
        self,
        image: Image,
        counts: NDArray[np.float32],
        mask: Mask,
        regions: list[Region],
        levels: Levels,
        angle: float,
    ) -> list[FoundSquare]:
        from .published_networks import SQUARE_CROP_PX, scores

        as_published = self._options.batch_statistics
        source = Turned.of(counts, angle) if as_published else Splined.of(counts)
        film = counts[mask & (counts != 0)]
        middle, spread = float(film.mean()), max(float(film.std()), 1e-6)
        crops = []
        for region in regions:
            crop = padded(source.crop(aligned_box(region.hull, angle)), SQUARE_CROP_PX, late=as_published)
            crops.append((crop - np.float32(middle)) / np.float32(spread))
        with stage("network") as say:
            scored = scores(self._scorer, crops, self._options.batch_statistics)
            say(f"{len(crops)} crops, scores {min(scored):.2f} to {max(scored):.2f}")
        measured = measure(counts, regions, levels, angle, image.pixel_size_a)
        values = zip(regions, scored, measured, strict=True)
        return [_square(image.pixels, region, angle, score, features) for region, score, features in values]


def ptolemy_squares(options: Mapping[str, Any]) -> SquareFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown, missing or out of range, torch is not installed, or the weights cannot be had.
    """
    checked = published_options(PtolemySquares.name, options)
    from .published_networks import SquareScorer, with_weights

    return PtolemySquares(checked, with_weights(SquareScorer(), checked.weights / SQUARE_SCORER))


def levels_of_counts(counts: NDArray[np.float32]) -> Levels | None:
    """Fit the two Poisson levels to whole counts; pixels of one count share their responsibility."""
    values, often = np.unique(np.trunc(counts), return_counts=True)
    return two_levels_of(values.astype(np.float64), often.astype(np.float64)) if values.size > 1 else None


def joined_regions(mask: Mask) -> list[Region]:
    """Cut a mask into regions as published: what lies within 6 px is one; in order of their first pixel."""
    bridged = cv2.dilate(mask.astype(np.uint8), np.ones((_JOINED_PX, _JOINED_PX), np.uint8))
    labels = np.asarray(cv2.connectedComponents(bridged, connectivity=8)[1], np.int32)
    labels[~mask] = 0
    regions = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        regions.append(region_of(labels[window] == number, window[0].start, window[1].start))
    return regions


def _counts(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring an image to counts: as it is where that is possible, nothing under 0; else by the bulk of its values."""
    zero, unit = scaling(pixels)
    if unit > 0 and (zero < 0 or unit * 255 < _COUNTS):
        pixels = (pixels - np.float32(zero)) / np.float32(unit)
    return np.maximum(pixels, np.float32(0))


def _published_angle(hulls: list[Points]) -> float:
    """Find the grid's angle in degrees as the published program does: crops are cut along whole pixels of it."""

    def boxed(angle: float) -> float:
        corners = [aligned_box(hull, angle) for hull in hulls]
        return sum(float(np.hypot(*(box[1] - box[0])) * np.hypot(*(box[2] - box[1]))) for box in corners)

    return float(minimize_scalar(boxed, bounds=(0, 90), method="bounded").x) % 90.0


def _end_sharply(counts: NDArray[np.float32], regions: list[Region], levels: Levels) -> bool:
    """Tell openings from clouds and noise: those end with a step."""
    side = float(np.sqrt(np.median([region.hull_area for region in regions])))
    soft = smoothed(counts, 0.03 * side)
    sharp = sum(edge_contrast(soft, region, levels, side) >= _LEAST_EDGE for region in regions)
    return sharp >= max(1.0, _SHARP_SHARE * len(regions))


def _square(
    pixels: NDArray[np.float32], region: Region, angle: float, score: float, features: dict[str, float]
) -> FoundSquare:
    corners = box_corners(region.hull, angle)
    row, col = np.mean(corners, axis=0)
    rows, cols = region.mask.shape
    last = region.row + rows - 1, region.col + cols - 1
    partial = region.row < 1 or region.col < 1 or last[0] > pixels.shape[0] - 2 or last[1] > pixels.shape[1] - 2
    own = pixels[region.row :, region.col :][:rows, :cols][region.mask]
    category, _ = classify(features, partial)
    return FoundSquare(
        float(row), float(col), corners, region.hull_area, float(np.nanmean(own)), score, category, partial, features
    )


def _none(image: Image, reason: str) -> SquareDetections:
    return SquareDetections((), 0.0, image.pixel_size_a, reason)
