"""`ptolemy-unet`: holes found and scored as Kim et al. (2023) published it, with weights the user has.

A U-Net marks a blob at each hole's centre, the square lattice through them that fits best gives the sites, and a
second network scores a crop around each. It works where film fills the view and holes are 60 to 145 px wide; lattices
that are not square, tilted views and whole squares are beyond it. Different from the published program: sites beyond
one edge do not count at the other; values below zero are kept; hot pixels are taken out; images of more than 2048 px
are binned; a score is its crop's own unless ``batch_statistics`` asks for the published way; a lattice on which hardly
any site is marked is none. Radii are this project's own: the networks tell none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..hardware.records import Image
from .published_crops import Splined, Turned, without_spikes
from .published_lattice import SquareLattice, square_lattice
from .published_squares import joined_regions
from .published_weights import HOLE_SCORER, HOLE_UNET, PublishedOptions, published_options
from .records import FoundHole, HoleDetections, HoleFinder, Lattice, LatticeKind, Site
from .regions import Mask, Points, Region
from .stages import stage
from .working_size import finite

if TYPE_CHECKING:
    from .published_networks import HoleScorer, HoleUNet

MOST_PX = 2048
_LEAST_PX = 64
_MARKED = 1e-4
_INSIDE_PX = 10.0
_BOX_MARGIN_PX = 10
_LEAST_ON_BLOBS = 0.35


@dataclass(frozen=True, slots=True)
class Blobs:
    """What the U-Net marks: the mask, and one centre (row, col) and area (px²) for each blob."""

    mask: Mask
    centres: Points
    areas: NDArray[np.float64]


class PtolemyUNet:
    """The finder; made by `ptolemy_unet`."""

    name = "ptolemy-unet"
    version = "1"

    def __init__(self, options: PublishedOptions, unet: "HoleUNet", scorer: "HoleScorer") -> None:
        self._options = options
        self._unet = unet
        self._scorer = scorer

    def find(self, image: Image) -> HoleDetections:
        """Answer every site of the lattice 10 px and more inside the image; never raises on a poor image."""
        pixels, bad = finite(image.pixels)
        if pixels.ndim != 2 or min(pixels.shape) < _LEAST_PX:
            return _none(image, f"the image is smaller than {_LEAST_PX} px, too small to hold a lattice of holes")
        if bad.mean() > 0.5:
            return _none(image, "more than half of the image holds no number")
        if pixels.std() == 0:
            return _none(image, "the image is of one value: no holes can be told from it")
        step = math.ceil(max(pixels.shape) / MOST_PX)
        if step > 1:
            size = pixels.shape[1] // step, pixels.shape[0] // step
            cut = pixels[: size[1] * step, : size[0] * step]
            pixels = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32)
        pixels = np.maximum(pixels, 0) if self._options.batch_statistics else without_spikes(pixels)
        with stage("U-Net") as say:
            blobs = hole_blobs(self._unet, pixels)
            say(f"{len(blobs.centres)} centres marked")
        with stage("lattice") as say:
            best = square_lattice(blobs.mask, blobs.centres) if len(blobs.centres) > 1 else None
            say("none" if best is None else f"square, pitch {best.pitch * step:.1f} px")
        if best is None:
            return _none(image, f"the network marks {len(blobs.centres)} hole centres; a lattice needs two apart")
        return self._answer(image, pixels, blobs, best, step)

    def _answer(
        self, image: Image, pixels: NDArray[np.float32], blobs: Blobs, best: SquareLattice, step: int
    ) -> HoleDetections:
        sites = best.sites(pixels.shape, -_INSIDE_PX)
        off = np.hypot(*(sites[:, None] - blobs.centres[None]).transpose(2, 0, 1))
        on_blob = off.min(axis=1) < 0.2 * best.pitch if len(sites) else np.zeros(0, np.bool_)
        sure = float(on_blob.mean()) if len(sites) else 0.0
        if sure < _LEAST_ON_BLOBS or on_blob.sum() < 2:
            return _none(image, "what the network marks lies on no square lattice")
        crops = _Crops(pixels, best)
        radius = crops.usual_radius(sites[on_blob])
        with stage("crops and scores") as say:
            cut = crops.as_published if self._options.batch_statistics else crops.straight
            scored = self._scores([cut(site) for site in sites])
            say(f"{len(sites)} sites, scores {min(scored):.2f} to {max(scored):.2f}")
        offset = (step - 1) / 2
        holes = []
        for index, (site, score) in enumerate(zip(sites, scored, strict=True)):
            if score < self._options.min_score:
                continue
            whole = bool((site >= radius - 0.5).all() and (site <= np.array(pixels.shape) - 0.5 - radius).all())
            row, col = site * step + offset
            features = {
                "off_blob": float(off[index].min() / best.pitch),
                "blob_area_px": float(blobs.areas[off[index].argmin()]) * step**2,
            }
            status = Site.HOLE if whole else Site.PARTIAL
            mean = _median_within(pixels, site, 0.5 * radius)
            holes.append(FoundHole(float(row), float(col), radius * step, score, status, mean, features))
        reason = "" if holes else f"all {len(sites)} sites score under {self._options.min_score:g}"
        return HoleDetections(tuple(holes), _lattice(best, sure, step), image.pixel_size_a, reason)

    def _scores(self, crops: list[NDArray[np.float32]]) -> list[float]:
        """Score standardised crops; the published way takes those of unequal shape one at a time."""
        from .published_networks import LEAST_HOLE_CROP_PX, scores

        ready = []
        for crop in crops:
            even = (crop - crop.mean()) / max(float(crop.std()), 1e-6)
            short = LEAST_HOLE_CROP_PX / min(even.shape)
            if short > 1:
                even = np.asarray(cv2.resize(even, None, fx=short * 1.02, fy=short * 1.02), np.float32)
            ready.append(even)
        if len({crop.shape for crop in ready}) == 1:
            return scores(self._scorer, ready, self._options.batch_statistics)
        return [scores(self._scorer, [crop], self._options.batch_statistics)[0] for crop in ready]


def ptolemy_unet(options: Mapping[str, Any]) -> HoleFinder:
    """Make the finder (plug-in factory).

    Raises
    ------
    BadInput
        An option is unknown, missing or out of range, torch is not installed, or the weights cannot be had.
    """
    checked = published_options(PtolemyUNet.name, options)
    from .published_networks import HoleScorer, HoleUNet, with_weights

    unet = with_weights(HoleUNet(), checked.weights / HOLE_UNET)
    return PtolemyUNet(checked, unet, with_weights(HoleScorer(), checked.weights / HOLE_SCORER))


def hole_blobs(unet: "HoleUNet", pixels: NDArray[np.float32]) -> Blobs:
    """Let the U-Net mark hole centres on an image of at most 2048 × 2048 px."""
    from .published_networks import logits

    rows, cols = pixels.shape
    image = np.zeros((_padded(rows, 1024), _padded(cols, 1440)), np.float32)
    image[:rows, :cols] = (pixels - pixels.mean(dtype=np.float64)) / pixels.std(dtype=np.float64)
    mask: Mask = logits(unet, image)[:rows, :cols] > math.log(_MARKED / (1 - _MARKED))
    regions = joined_regions(mask)
    centres = np.array([_centroid(region) for region in regions]).reshape(-1, 2)
    return Blobs(mask, centres, np.array([float(region.mask.sum()) for region in regions]))


def _padded(length: int, least: int) -> int:
    """Give the length the U-Net is run at; other lengths than these make it err."""
    return least if length < least else next(size for size in (1024, 1536, MOST_PX) if size >= length + (least > 1024))


def _centroid(region: Region) -> Points:
    """Area centroid of the hull."""
    moments = cv2.moments(np.asarray(region.hull, np.float32).reshape(-1, 1, 2))
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"]


class _Crops:
    """Boxes around the sites, straight along the lattice."""

    def __init__(self, pixels: NDArray[np.float32], lattice: SquareLattice) -> None:
        # Outside the image a crop is 0, as published, and never brighter than the darkest pixel.
        self._splined = Splined.of(pixels - min(0.0, float(pixels.min())))
        self._pixels = pixels
        self._turned: Turned | None = None
        self._half = max(2, int(lattice.pitch / 2) - _BOX_MARGIN_PX)
        self._axes = lattice.basis / lattice.pitch
        rows, cols = pixels.shape
        ends = np.array([[0, 0], [0, cols], [rows, 0], [rows, cols]]) - 0.5
        self._low, self._high = (ends @ self._axes.T).min(axis=0), (ends @ self._axes.T).max(axis=0)

    def straight(self, site: Points) -> NDArray[np.float32]:
        """Cut out the box around one site, as far as it lies in the least straight box around the whole image."""
        middle = self._axes @ site
        low = np.maximum(middle - self._half, self._low)
        high = np.minimum(middle + self._half, self._high)
        corners = np.array([[low[0], low[1]], [low[0], high[1]], [high[0], high[1]], [high[0], low[1]]])
        return self._splined.crop(corners @ self._axes)

    def as_published(self, site: Points) -> NDArray[np.float32]:
        """Cut the box around one site out of the whole image laid straight."""
        if self._turned is None:
            # Of the lattice's four directions the one that goes right and not down becomes a row of pixels.
            across = self._axes[0]
            while not (across[1] > 0 and across[0] <= 0):
                across = np.array([-across[1], across[0]])
            self._turned = Turned.of(self._pixels, -float(np.rad2deg(np.arctan2(-across[0], across[1]))))
        sides = self._half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        return self._turned.crop(site + sides @ self._turned.matrix.T)

    def usual_radius(self, sites: Points) -> float:
        """Measure where the mean hole ends: its steepest change of brightness with distance, in px."""
        crops = [self.straight(site) for site in sites]
        full = [crop for crop in crops if min(crop.shape) == 2 * self._half] or crops[:1]
        mean = np.mean(full, axis=0)
        middle = (np.array(mean.shape) - 1) / 2
        rows, cols = np.indices(mean.shape)
        ring = np.rint(np.hypot(rows - middle[0], cols - middle[1])).astype(np.intp)
        reach = min(self._half, int(ring.max()), *mean.shape)
        profile = (np.bincount(ring.ravel(), mean.ravel()) / np.maximum(np.bincount(ring.ravel()), 1))[:reach]
        first = max(1, reach // 4)
        if reach - first < 3:
            return float(max(1, reach // 2))
        return float(first + np.abs(np.gradient(profile))[first:-1].argmax())


def _median_within(pixels: NDArray[np.float32], site: Points, radius: float) -> float:
    reach = max(1, round(radius))
    row, col = (round(float(value)) for value in site)
    window = pixels[max(0, row - reach) : row + reach + 1, max(0, col - reach) : col + reach + 1]
    return float(np.median(window))


def _lattice(best: SquareLattice, sure: float, step: int) -> Lattice:
    pairs = [(float(row), float(col)) for row, col in (*best.basis * step, best.origin * step + (step - 1) / 2)]
    return Lattice(LatticeKind.SQUARE, pairs[0], pairs[1], pairs[2], sure)


def _none(image: Image, reason: str) -> HoleDetections:
    return HoleDetections((), None, image.pixel_size_a, reason)
