"""Where the film is in a view: everything but grid bars, at a size the finder can work at.

Bars and film differ as much as film and holes may, so brightness alone does not tell them apart. Two things do: a bar
passes few electrons and is therefore quiet, and the bright side of it is one large area rather than many holes.
Openings beside each other may differ much in ice: each is brought to its own level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from .mixture import two_levels
from .regions import Mask, smoothed
from .torn_film import bare, cracks, is_flat, tears
from .working_size import binned, enlarged

_LARGEST_SIDE = 1536
_LOOK_PX = 512
_QUIET = 0.6
_LARGE_PART = 0.08
_OPAQUE = 0.55
_DIM_PART, _DIM_SURE, _DIM_STEP, _DIM_NOISE = 0.02, 8.0, 0.04, 1.15
_OWN_PART = 0.01
_SAME_LEVEL, _SAME_SPREAD = 0.5, 1.5
_SOFT = 0.015
_EVEN_BLUR, _RIM_PX = 1.5, 17
_CLIP = 8.0
_MOST_GONE = 0.5
_SHOWN = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """An image brought to working size.

    Attributes
    ----------
    pixels
        Intensities with the film's median at 0 and its spread at 1, shape (rows, cols).
    film
        Where film, holes included, is seen, not bars.
    step
        Pixels of the image per pixel of `pixels`, along rows and columns alike.
    levels, spreads
        (n,) medians and robust standard deviations of film in the image's unit, for each opening that has its own.
    has_bars
        True when grid bars were seen.
    own
        Index of the opening whose level and spread each pixel has, shape (rows, cols); None where all have the first.
    shade
        Level and contrast near each place that were taken from `pixels`, shape (rows, cols, 2); None where none were.
    """

    pixels: NDArray[np.float32]
    film: Mask
    step: float
    levels: NDArray[np.float64]
    spreads: NDArray[np.float64]
    has_bars: bool
    own: NDArray[np.uint8] | None = None
    shade: NDArray[np.float32] | None = None

    def inverse(self) -> "View":
        """Give the view with what is dark bright; its counts stay those of the image."""
        shade = None if self.shade is None else self.shade * np.array([-1, 1], np.float32)
        return replace(self, pixels=-self.pixels, spreads=-self.spreads, shade=shade)

    def counts(self, row: float, col: float, value: float) -> float:
        """Bring a value of `pixels` seen at a place to the image's unit."""
        down, right = np.clip(np.rint([row, col]).astype(int), 0, np.array(self.pixels.shape) - 1)
        index = 0 if self.own is None else int(self.own[down, right])
        if self.shade is not None:
            level, contrast = self.shade[down, right]
            value = level + contrast * value
        return float(self.levels[index] + self.spreads[index] * value)


def view_of(pixels: NDArray[np.float32], without_tears: bool = False, blank: Mask | None = None) -> View | None:
    """Bring an image to working size and find its film; None when the film is all of one value or there is none.

    Parameters
    ----------
    pixels
        The image, finite.
    without_tears
        Leave large torn areas out of the film. Open meshes of lacey film look just so, and are wanted.
    blank
        Where the image shows nothing, shape (rows, cols).
    """
    step = max(1, int(np.ceil(max(pixels.shape) / _LARGEST_SIDE)))
    small = binned(pixels, step)
    film = _film(small)
    has_bars = not bool(film.all())
    film &= _shown(blank, step, film)
    if has_bars and without_tears:
        film &= ~tears(small, film)
    return _scaled(small, film, step, has_bars)


def _shown(blank: Mask | None, step: int, film: Mask) -> Mask:
    if blank is None:
        return np.ones_like(film)
    return np.asarray(binned(blank.astype(np.float32), step) < _SHOWN)


def view_beside_even_openings(pixels: NDArray[np.float32], blank: Mask | None = None) -> View | None:
    """Bring an image to working size and take for film only what is not of one level, as bare openings and tears are.

    What is without film is the brightest and may be the largest: holes beside it are nothing against it. Where no
    opening has film, what was held for bars is taken for it; where no bars are seen, what a tear that takes most of the
    view has left. None where nothing is of one level. Film with few holes is as even: look at the whole view first.
    """
    step = max(1, int(np.ceil(max(pixels.shape) / _LARGEST_SIDE)))
    small = binned(pixels, step)
    film = _film(small)
    if film.all():
        return _view_of_shreds(small, blank, step)
    film &= _shown(blank, step, film)
    soft, bars = smoothed(small, _EVEN_BLUR), float(np.median(small[~film]))
    count, found, stats, _ = cv2.connectedComponentsWithStats(film.astype(np.uint8), connectivity=4)
    labels, kept = np.asarray(found), film.copy()
    for i in range(1, count):
        if stats[i, cv2.CC_STAT_AREA] > _OWN_PART * film.size:
            own = soft[cv2.erode((labels == i).astype(np.uint8), np.ones((_RIM_PX, _RIM_PX), np.uint8)) > 0]
            if own.size and is_flat(own, float(np.median(own)) - bars):
                kept &= labels != i
    if kept.any():
        kept &= ~bare(small, kept)
    if not kept.any():
        # Beside much vacuum thick film is as dark and quiet as bars.
        size = 2 * _RIM_PX + 1
        kept = (cv2.dilate(film.astype(np.uint8), np.ones((size, size), np.uint8)) == 0) & _shown(blank, step, film)
    if not kept.any() or kept.sum() == film.sum():
        return None
    return _scaled(small, kept, step, has_bars=True)


def _view_of_shreds(small: NDArray[np.float32], blank: Mask | None, step: int) -> View | None:
    """Take for film what a tear that takes most of the view has left of it."""
    film = _shown(blank, step, np.ones(small.shape, np.bool_))
    kept = film & ~bare(small, film)
    return _scaled(small, kept, step, has_bars=True) if kept.mean() < _MOST_GONE else None


def view_of_cut_openings(pixels: NDArray[np.float32], blank: Mask | None = None) -> View | None:
    """Bring an image to working size and take for film what is bright at its border, and openings darker than that.

    None of them need be large; holes that the border cuts look so too: look at the whole view first. None where nothing
    is bright at the border, or what is dark is no quieter.
    """
    step = max(1, int(np.ceil(max(pixels.shape) / _LARGEST_SIDE)))
    small = binned(pixels, step)
    look = _look_at(small)
    if look is None or not (cut := _cut_openings(look)) or look.noise[0] > _OPAQUE * look.noise[1]:
        return None
    film = look.seen([*cut, *_whole_openings(look)], small.shape)
    return _scaled(small, film & _shown(blank, step, film), step, has_bars=True)


def _scaled(small: NDArray[np.float32], film: Mask, step: int, has_bars: bool) -> View | None:
    """Give film the median 0 and the spread 1; None where it is all of one value."""
    inside = small[film]
    if inside.size < 256:
        return None
    level, spread = _scale(inside)
    if not spread > 1e-9 * abs(level):
        return None
    own = _openings(small, film, level, spread) if has_bars else None
    if own is None:
        levels, spreads = np.array([level]), np.array([spread])
        scaled = (small - level) / spread
    else:
        both = np.array([_scale(small[film & (own == index)]) for index in range(int(own.max()) + 1)])
        levels, spreads = both[:, 0], np.maximum(both[:, 1], 1e-9 * np.abs(level))
        scaled = (small - levels[own]) / spreads[own]
    return View(np.clip(scaled, -_CLIP, _CLIP).astype(np.float32), film, float(step), levels, spreads, has_bars, own)


def _scale(inside: NDArray[np.float32]) -> tuple[float, float]:
    """Median and robust standard deviation."""
    level = float(np.median(inside))
    spread = float(np.percentile(np.abs(inside - level), 68.3))
    return level, spread if spread > 0 else float(inside.std())


def _openings(small: NDArray[np.float32], film: Mask, level: float, spread: float) -> NDArray[np.uint8] | None:
    """Tell which opening each pixel is nearest to; None where all are of much the same level and spread."""
    # Connected as for the distance transform below, to which openings that touch by a corner are one.
    count, found, stats, _ = cv2.connectedComponentsWithStats(film.astype(np.uint8), connectivity=8)
    kept = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] > _OWN_PART * film.size][:255]
    if len(kept) < 2:
        return None
    labels = np.asarray(found)
    scales = np.array([_scale(small[labels == i]) for i in kept])
    alike = (np.abs(scales[:, 0] - level) < _SAME_LEVEL * spread) & (
        np.abs(np.log(np.maximum(scales[:, 1], 1e-9 * spread) / spread)) < np.log(_SAME_SPREAD)
    )
    if alike.all():
        return None
    number = np.zeros(count, np.uint8)
    number[kept] = np.arange(len(kept))
    away = np.asarray(~np.isin(labels, kept), np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_CCOMP)
    # The transform numbers the openings anew; one pixel of each tells which is which.
    renumbered = np.zeros(int(nearest.max()) + 1, np.uint8)
    renumbered[nearest[away == 0]] = number[labels[away == 0]]
    return np.asarray(renumbered[nearest], np.uint8)


@dataclass(frozen=True, slots=True)
class _Look:
    """A view as its film is told from bars: shrunk, smoothed, its noise, and its connected bright areas.

    ``areas`` are parts of the view, the first of what is not bright; ``border`` numbers the bright areas that the
    border cuts.
    """

    soft: NDArray[np.float32]
    loud: NDArray[np.float32]
    bright: Mask
    labels: NDArray[np.int32]
    areas: NDArray[np.float64]
    border: list[int]

    @property
    def noise(self) -> tuple[float, float]:
        """Noise of what is dark and of what is bright."""
        return float(np.median(self.loud[~self.bright])), float(np.median(self.loud[self.bright]))

    def seen(self, chosen: Sequence[int], shape: tuple[int, ...]) -> Mask:
        """Give the places of bright areas, and of openings darker than they."""
        return enlarged(np.isin(self.labels, chosen) | _dim(self.soft, self.loud, self.bright), shape)


def _look_at(small: NDArray[np.float32]) -> _Look | None:
    """Tell what is bright in a view; None where all is of one level."""
    step = max(1, min(small.shape) // _LOOK_PX)
    look = binned(small, step)
    soft = smoothed(look, _SOFT * min(look.shape))
    levels = two_levels(soft)
    if levels is None:
        return None
    bright = soft > levels.threshold
    _, found, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=4)
    labels = np.asarray(found, np.int32)
    border = np.unique(np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    loud = np.abs(look - smoothed(look, 1.0))
    areas = stats[:, cv2.CC_STAT_AREA] / bright.size
    return _Look(soft, loud, bright, labels, areas, [int(i) for i in border if i])


def _film(small: NDArray[np.float32]) -> Mask:
    """Answer where film is; everywhere when no bars are seen."""
    everywhere = np.ones(small.shape, np.bool_)
    look = _look_at(small)
    if look is None:
        return everywhere
    areas = look.areas
    large = [i for i in range(1, len(areas)) if areas[i] > _LARGE_PART]
    if not large:
        return everywhere
    noise_dark, noise_bright = look.noise
    if noise_dark > _QUIET * noise_bright:
        return everywhere
    if sum(areas[i] for i in large) < 0.6 * areas[1:].sum():
        # Openings that the picture's border cuts count as well, where what is between them passes next to nothing.
        counted = {*large, *_cut_openings(look)}
        if noise_dark > _OPAQUE * noise_bright or sum(areas[i] for i in counted) < 0.6 * areas[1:].sum():
            return everywhere
    return look.seen([i for i in range(1, len(areas)) if areas[i] > 0.1 * _LARGE_PART], small.shape)


def _cut_openings(look: _Look) -> list[int]:
    return [i for i in look.border if look.areas[i] > 0.1 * _LARGE_PART]


def _whole_openings(look: _Look) -> list[int]:
    """Give the bright areas that lie whole in view and are larger than holes where there are many."""
    return [i for i in range(1, len(look.areas)) if i not in look.border and look.areas[i] > _DIM_PART]


def _dim(soft: NDArray[np.float32], loud: NDArray[np.float32], bright: Mask) -> Mask:
    """Answer where openings are that much ice makes darker than the others, yet not as dark and quiet as bars."""
    none = np.zeros(bright.shape, np.bool_)
    reach = 2 * round(2.5 * _SOFT * min(bright.shape)) + 1
    rest = cv2.dilate(bright.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) == 0
    levels = two_levels(soft[rest]) if rest.sum() > _DIM_PART * rest.size else None
    if levels is None:
        return none
    count, found, stats, _ = cv2.connectedComponentsWithStats(
        (rest & (soft > levels.threshold)).astype(np.uint8), connectivity=4
    )
    labels, bars = np.asarray(found), rest & (soft <= levels.threshold)
    if not bars.any():
        return none
    level, noise = float(np.median(soft[bars])), float(np.median(loud[bars]))
    # Light scattered around bright openings is a far smaller part of theirs than film lets through.
    least = max(
        _DIM_SURE * 1.48 * float(np.median(np.abs(soft[bars] - level))),
        _DIM_STEP * (float(np.median(soft[bright])) - level),
    )
    kept = none
    for i in range(1, count):
        own = labels == i
        if stats[i, cv2.CC_STAT_AREA] > _DIM_PART * own.size and (
            float(np.median(soft[own])) - level > least and float(np.median(loud[own])) > _DIM_NOISE * noise
        ):
            kept = kept | own
    if not kept.any():
        return none
    # What lies between the dim and the bright part of one opening belongs to it.
    _, found = cv2.connectedComponents((soft > levels.threshold).astype(np.uint8), connectivity=4)
    return np.asarray(np.isin(found, np.unique(np.asarray(found)[kept])), np.bool_)


def cracks_in(pixels: NDArray[np.float32], blank: Mask | None = None) -> Mask | None:
    """Find cracks and tears in an image, of which there may be but one beside few holes; None where there is none.

    Parameters
    ----------
    pixels
        The image, finite, shape (rows, cols).
    blank
        Where the image shows nothing, shape (rows, cols).
    """
    step = max(1, int(np.ceil(max(pixels.shape) / _LARGEST_SIDE)))
    small = binned(pixels, step)
    film = _film(small)
    film &= _shown(blank, step, film)
    gone = cracks(small, film)
    return enlarged(gone, pixels.shape) if gone.any() else None
