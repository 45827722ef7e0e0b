"""The numbers a square's score is made of: its shape and levels among its neighbours, and what its crop shows.

All of them are the same for a crop that is turned by quarters or mirrored, and for an image under any gain and offset.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from .square_class import Population
from .square_crops import CROP_PX, REACH

Floats = NDArray[np.float64]

BASE = (
    "relative_area", "relative_brightness", "solidity", "box_fill", "elongation", "emptiness", "bright_fraction",
    "dark_fraction", "black_fraction", "edge", "texture",
)  # fmt: skip
"""Of what `square_class.measure` answers, the numbers that are used."""

STATISTICS = ("mean", "standard deviation", "least", "greatest", "skewness", "kurtosis", "area")
"""Seven statistics of one opening, in the manner of Kim et al. (2023), appendix C; levels and area are relative."""

_CONTEXT = (
    "side_px", "openings", "vacuum", "unevenness", "brightness_spread", "brightness_rank", "under_brightest",
    "over_darkest", "over_neighbours", "area_rank",
)  # fmt: skip
_RINGS = (0.0, 0.1, 0.2, 0.3, 0.38, 0.44, 0.5, 0.56, 0.65)
_QUANTILES = (0.005, 0.02, 0.1, 0.25, 0.75, 0.9, 0.98, 0.995)
_FINE_BANDS, _COARSE_BANDS = (0.7, 1.4, 2.8), (1.4, 2.8, 5.6, 11.2)
_DARK, _BRIGHT = (0.9, 0.75, 0.5), (1.1, 1.25, 1.5)
_RIDGES = (1.0, 2.0)
_UNDER_FILM, _TO_VACUUM = (0.85, 0.65, 0.45), (0.5, 0.8, 0.95)
_FILM_SHARE = 0.15
_BLOB = ("count", "area", "largest", "longest")
_INSIDE, _CORNER = 0.42, (0.33, 0.45)
_FILM = 0.15
_NEIGHBOURS = 5
_HALF_PX = CROP_PX // 2


def _names() -> tuple[str, ...]:
    crop = [f"ring_{i}" for i in range(len(_RINGS) - 1)] + [f"ring_noise_{i}" for i in range(len(_RINGS) - 1)]
    crop += ["corners", "noise", "plane", "quarters"]
    crop += [f"quantile_{value:g}" for value in _QUANTILES]
    for bands, what in ((_FINE_BANDS, "fine"), (_COARSE_BANDS, "coarse")):
        for band in range(len(bands) - 1):
            crop += [f"{what}_{band}_{of}" for of in ("std", "low", "high", "skew", "kurtosis")]
    for size in ("fine", "coarse"):
        for cut in (*_DARK, *_BRIGHT):
            crop += [f"{size}_blobs_{cut:g}_{of}" for of in _BLOB]
        for sigma in _RIDGES:
            crop += [f"{size}_ridge_{sigma:g}_{of}" for of in ("bright", "bright_top", "dark", "dark_top", "length")]
    crop += ["film", "vacuum_over_own"]
    crop += [f"under_film_{share:g}_{of}" for share in _UNDER_FILM for of in _BLOB]
    crop += [f"to_vacuum_{share:g}_{of}" for share in _TO_VACUUM for of in (*_BLOB, "outgrown")]
    return (*BASE, *_CONTEXT, *crop)


NAMES = _names()
"""What stands in the columns of `feature_table`."""


def base_table(measured: Sequence[Mapping[str, float]]) -> Floats:
    """Pick what is used of `square_class.measure`, (n, len(BASE))."""
    return np.array([[one[name] for name in BASE] for one in measured]).reshape(-1, len(BASE))


def feature_table(
    crops: NDArray[np.floating], base: Floats, centres: Floats, usual: Population, whole: NDArray[np.bool_]
) -> Floats:
    """Give one row of numbers for each whole opening of one image, (m, len(NAMES)).

    Parameters
    ----------
    crops
        Of the whole openings, see `square_crops.crops_of`, (m, `CROP_PX`, `CROP_PX`).
    base, centres
        Of all openings, (n, len(BASE)) and (n, 2) (row, col).
    usual
        What is usual in this image.
    whole
        Which openings are whole, (n,), m of them.
    """
    if not whole.any():
        return np.empty((0, len(NAMES)))
    vacuum = (usual.vacuum - usual.dark) / max(usual.film - usual.dark, 1e-12)
    shown = np.array([_of_crop(np.asarray(crop, np.float32), vacuum) for crop in crops])
    return np.concatenate((base[whole], _context(base, centres, usual)[whole], shown), axis=1)


def statistics(crops: NDArray[np.floating], base: Floats) -> Floats:
    """Give the seven statistics of each whole opening, (m, 7); `base` holds their rows alone."""
    found = np.empty((len(crops), len(STATISTICS)))
    for row, crop, area in zip(found, crops, base[:, BASE.index("relative_area")], strict=True):
        half = _halved(np.asarray(crop, np.float32))
        values = half[_inside(half)].astype(np.float64)
        spread = max(float(values.std()), 1e-6)
        scaled = (values - values.mean()) / spread
        row[:] = values.mean(), spread, values.min(), values.max(), (scaled**3).mean(), (scaled**4).mean() - 3, area
    return found


def _grid(size: int) -> tuple[Floats, Floats, Floats]:
    """Give places along one axis, Chebyshev distances and corner places of a crop of this size, in usual sides."""
    places = (np.arange(size) - 0.5 * (size - 1)) * REACH / size
    along, across = np.abs(places)[:, None], np.abs(places)[None]
    away = np.maximum(along, across)
    corners = (np.minimum(along, across) > _CORNER[0]) & (away < _CORNER[1])
    return places, away, np.asarray(corners, np.float64)


_RIM = np.ones((5, 5), np.uint8)
_PLACES, _HALF_AWAY, _HALF_CORNERS = _grid(_HALF_PX)
_RING_OF = np.digitize(_HALF_AWAY, _RINGS)
_RING_AT = [np.flatnonzero(number == _RING_OF) for number in range(1, len(_RINGS))]
_CORNERS_AT = np.flatnonzero(_HALF_CORNERS > 0)
_NEAR = np.flatnonzero(np.abs(_PLACES) < _INSIDE)
_HALF_BOX = (slice(_NEAR[0], _NEAR[-1] + 1),) * 2
_BOX = (slice(2 * _NEAR[0], 2 * (_NEAR[-1] + 1)),) * 2


class _Inside:
    """What lies well inside an opening: a mask of the box of the crop in which it can lie, and its pixels there."""

    def __init__(self, mask: NDArray[np.bool_], side: int) -> None:
        self.mask = mask
        self.side = side
        self._at = np.flatnonzero(mask)

    def of(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the values inside out of those of the box."""
        return np.asarray(box.ravel()[self._at])


def _inside(half: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell, at half the crop's size, what lies well inside the opening, black dirt too; never nothing."""
    seen = ((half > _FILM) & (_HALF_AWAY < 0.55)).astype(np.uint8)
    points = cv2.findNonZero(seen)
    inside = np.zeros(half.shape, np.uint8)
    if points is not None:
        inside = np.asarray(cv2.fillConvexPoly(inside, cv2.convexHull(points), 1), np.uint8)
        inside = np.asarray(cv2.erode(inside, _RIM, borderValue=0), np.uint8)
    found = (inside > 0) & (_HALF_AWAY < _INSIDE)
    return found if found.sum() > 0.01 * found.size else _HALF_AWAY < 0.5 * _INSIDE


def _halved(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(crop, (_HALF_PX, _HALF_PX), interpolation=cv2.INTER_AREA), np.float32)


def _doubled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1))


def _context(base: Floats, centres: Floats, usual: Population) -> Floats:
    """Say how an opening stands among the others of its image."""
    count = len(base)
    bright, areas = base[:, BASE.index("relative_brightness")], base[:, BASE.index("relative_area")]
    height = max(usual.film - usual.dark, 1e-12)
    normal = (areas > 0.5) & (areas < 1.8)
    level = bright[normal] if normal.any() else bright
    low, high = np.quantile(level, [0.16, 0.84])
    rank = np.searchsorted(np.sort(level), bright) / level.size
    away = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    near = np.argsort(away, axis=1, kind="stable")[:, 1 : 1 + _NEIGHBOURS]
    beside = np.median(bright[near], axis=1) if count > 1 else bright
    same = np.ones(count)
    return np.stack([
        np.log(usual.side) * same, np.log(count) * same, (usual.vacuum - usual.dark) / height * same,
        usual.unevenness / height * same, (high - low) * same, rank, bright - level.max(), bright - level.min(),
        bright - beside, np.searchsorted(np.sort(areas), areas) / count,
    ], axis=1)  # fmt: skip


def _of_crop(crop: NDArray[np.float32], vacuum: float) -> list[float]:
    """Give the numbers of one crop; what is fine is looked at as it is, the rest at half the size."""
    half = _halved(crop)
    well = _inside(half)[_HALF_BOX]
    inside_half, inside = _Inside(well, _HALF_PX), _Inside(_doubled(well), CROP_PX)
    level = np.float32(max(_median(inside_half.of(half[_HALF_BOX])), 0.05))
    fine, coarse = np.clip(crop / level, -1, 6), np.clip(half / level, -1, 6)
    loud = np.abs(fine - cv2.blur(fine, (3, 3)))[_BOX]
    rings = [coarse.ravel()[at] for at in _RING_AT]
    found = [float(ring.mean()) for ring in rings] + [float(ring.std()) for ring in rings]
    found += [float(coarse.ravel()[_CORNERS_AT].mean()), _median(inside.of(loud))]
    found += _unevenness(coarse, inside_half)
    calm = {CROP_PX: _calm(fine, 1.0), _HALF_PX: _calm(coarse, 1.0)}
    found += _quantiles(inside_half.of(calm[_HALF_PX][_HALF_BOX]), _QUANTILES)
    found += _bands(fine, _FINE_BANDS, inside, _BOX) + _bands(coarse, _COARSE_BANDS, inside_half, _HALF_BOX)
    ground = _ground(calm[_HALF_PX])
    wide = np.asarray(cv2.resize(ground, (CROP_PX, CROP_PX), interpolation=cv2.INTER_LINEAR), np.float32)
    for image, below, where, box in ((fine, wide, inside, _BOX), (coarse, ground, inside_half, _HALF_BOX)):
        ratio = calm[where.side][box] / below[box]
        for cut in _DARK:
            found += _blobs((ratio < cut) & where.mask, where.side)
        for cut in _BRIGHT:
            found += _blobs((ratio > cut) & where.mask, where.side)
        for sigma in _RIDGES:
            found += _ridges(calm[where.side] if sigma == 1.0 else _calm(image, sigma), where, box)
    return found + _levels(_calm(fine, 0.8)[_BOX], inside, vacuum / float(level))


def _calm(own: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(own, (0, 0), sigma), np.float32)


def _median(values: NDArray[np.float32]) -> float:
    """Give the median of finite values, without the checks that cost more than it."""
    middle = values.size // 2
    if values.size % 2:
        return float(np.partition(values, middle)[middle])
    low, high = np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1]
    return float((low + high) / np.float32(2))


def _quantiles(values: NDArray[np.float32], shares: Sequence[float]) -> list[float]:
    """Give quantiles of finite values, between neighbours linearly, without the checks that cost more than they do."""
    at = np.array(shares) * (values.size - 1)
    below = at.astype(np.intp)
    above = np.minimum(below + 1, values.size - 1)
    ordered = np.partition(values, sorted({*below.tolist(), *above.tolist()}))
    low, high = ordered[below].astype(np.float64), ordered[above].astype(np.float64)
    return [float(value) for value in low + (high - low) * (at - below)]


def _levels(own: NDArray[np.float32], inside: _Inside, vacuum: float) -> list[float]:
    """Tell what is darker than the film and what is as bright as vacuum, and whether one part outgrows its likes."""
    film = float(np.float32(_quantiles(inside.of(own), (_FILM_SHARE,))[0]))
    height = max(vacuum - film, 0.05)
    found = [film, vacuum]
    for share in _UNDER_FILM:
        found += _blobs((own < share * film) & inside.mask, inside.side)
    for share in _TO_VACUUM:
        areas, lengths = _parts((own > film + share * height) & inside.mask)
        outgrown = float(np.log(areas.max() / np.median(areas))) if areas.size else 0.0
        found += [*_summed(areas, lengths, inside.side), outgrown]
    return found


def _ground(calm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the level around each place, whatever small things lie on it."""
    levels = np.clip(calm * 60, 0, 255).astype(np.uint8)
    return np.asarray(np.maximum(cv2.medianBlur(levels, 21).astype(np.float32) / 60, 0.1))


def _unevenness(own: NDArray[np.float32], inside: _Inside) -> list[float]:
    """Slope of the plane through the opening, and how far its quarters differ."""
    places, box = _PLACES[_HALF_BOX[0]], own[_HALF_BOX]
    rows, cols = np.nonzero(inside.mask)
    design = np.c_[places[rows], places[cols], np.ones(rows.size)]
    slope = np.linalg.lstsq(design, box[rows, cols], rcond=None)[0][:2]
    half = len(places) // 2
    parts = [(slice(a, a + half), slice(b, b + half)) for a in (0, half) for b in (0, half)]
    levels = [_median(box[part][inside.mask[part]]) if inside.mask[part].any() else 0.0 for part in parts]
    return [float(np.hypot(*slope)), max(levels) - min(levels)]


def _bands(own: NDArray[np.float32], sigmas: Sequence[float], inside: _Inside, box: tuple[slice, ...]) -> list[float]:
    """How strong structure of each size is, and which way it leans."""
    blurred = [_calm(own, sigma)[box] for sigma in sigmas]
    found: list[float] = []
    for finer, coarser in pairwise(blurred):
        values = inside.of(finer - coarser)
        spread = max(float(values.std()), 1e-6)
        scaled = (values - values.mean()) / spread
        cube = scaled * scaled * scaled
        low, high = _quantiles(values, (0.003, 0.997))
        found += [spread, low, high, float(cube.mean()), float((cube * scaled).mean())]
    return found


def _blobs(mask: NDArray[np.bool_], side: int) -> list[float]:
    """Give number, summed and largest share of the crop, and length of connected areas of more than three px."""
    return _summed(*_parts(mask), side)


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], Floats]:
    """Give areas (px) and lengths (px) of connected areas of more than three px."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    stats = stats[1:count]
    stats = stats[stats[:, cv2.CC_STAT_AREA] > 3]
    lengths = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    return np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32), np.asarray(lengths, np.float64)


def _summed(areas: NDArray[np.int32], lengths: Floats, side: int) -> list[float]:
    if areas.size == 0:
        return [0.0, 0.0, 0.0, 0.0]
    shares = areas / side**2
    return [float(areas.size), float(shares.sum()), float(shares.max()), float(lengths.max() / side)]


def _ridges(soft: NDArray[np.float32], inside: _Inside, box: tuple[slice, ...]) -> list[float]:
    """How strong narrow bright and dark lines are, and how long the longest bright one is."""
    rr, cc = (cv2.Sobel(soft, cv2.CV_32F, *order, ksize=3)[box] / 4 for order in ((0, 2), (2, 0)))
    rc = cv2.Sobel(soft, cv2.CV_32F, 1, 1, ksize=3)[box] / 4
    mean, half = (rr + cc) / 2, np.sqrt(((rr - cc) / 2) ** 2 + rc * rc)
    bright, dark = np.asarray(half - mean, np.float32), np.asarray(half + mean, np.float32)
    seen_bright, seen_dark = inside.of(bright), inside.of(dark)
    strong = (bright > 4 * _median(np.abs(seen_bright)) + 0.02) & inside.mask
    top = _quantiles(seen_bright, (0.95, 0.995)) + _quantiles(seen_dark, (0.95, 0.995))
    return [*top, _blobs(strong, inside.side)[3]]
