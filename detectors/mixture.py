"""Two Poisson levels in one histogram: what is dark mesh and what is bright opening.

The mixture of Kim et al. (2023, section 2.2) is fitted per pixel; every pixel of one value has the same
responsibility, so the histogram gives the same answer in milliseconds. Poisson likelihoods need a zero and a unit.
A file may store counts, normalised floats or bytes, so the zero and the unit are taken from the image itself: the
answer does not change under any positive gain or any offset.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 256
"""Levels the intensities are brought to; about what an 8-bit camera gives."""

_ROUNDS = 200
_TAILS = (0.0005, 0.9995)


@dataclass(frozen=True, slots=True)
class Levels:
    """The two levels of an image, in its own intensity unit.

    Attributes
    ----------
    dark, bright
        Means of the two components.
    threshold
        Intensity at which both are equally likely.
    share
        Part of the pixels that belong to the bright component, 0..1.
    """

    dark: float
    bright: float
    threshold: float
    share: float


def scaling(values: NDArray[np.float32]) -> tuple[float, float]:
    """Answer (zero, unit) that bring the bulk of `values` to 0..`BINS`; unit is 0 for a blank image."""
    ends = [int(tail * (values.size - 1)) for tail in _TAILS]
    low, high = np.partition(values, ends, axis=None)[ends].tolist()
    if not high > low:
        low, high = float(values.min()), float(values.max())
    return low, (high - low) / (BINS - 1)


def histogram(values: NDArray[np.float32], zero: float, unit: float) -> NDArray[np.float64]:
    """Count `values` in `BINS` levels of size `unit` above `zero`; what lies outside goes to the end bins."""
    levels = np.clip(np.rint((values - zero) / unit), 0, BINS - 1).astype(np.intp)
    return np.bincount(levels.ravel(), minlength=BINS).astype(np.float64)


def two_levels(values: NDArray[np.float32], most: int = 1_000_000) -> Levels | None:
    """Fit the mixture to the histogram of `values`; None when there is only one level.

    Parameters
    ----------
    values
        Finite intensities, any shape.
    most
        More values than this are thinned evenly: the histogram's shape does not change.
    """
    thinned = values.ravel()
    thinned = thinned[:: max(1, thinned.size // most)]
    if thinned.size < 16:
        return None
    zero, unit = scaling(thinned)
    if unit <= 0:
        return None
    counts = histogram(thinned, zero, unit)
    found = two_levels_of(np.arange(counts.size, dtype=np.float64), counts)
    if found is None:
        return None
    return Levels(
        zero + unit * found.dark, zero + unit * found.bright, float(zero + unit * found.threshold), found.share
    )


def two_levels_of(levels: NDArray[np.float64], counts: NDArray[np.float64]) -> Levels | None:
    """Fit the mixture to numbers of electrons (or what stands for them) and how often each occurs; None as above."""
    dark, bright, share = _fit(levels, counts)
    if not (share > 0 and bright > dark + 1):
        return None
    crossing = (bright - dark + np.log((1 - share) / share)) / np.log(bright / dark)
    return Levels(dark, bright, float(crossing), share) if dark < crossing < bright else None


def _fit(levels: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float, float]:
    """Maximise the likelihood from the split at the mean; answer (dark, bright, share of the bright)."""
    total = counts.sum()
    bright_part = (levels > (counts * levels).sum() / total).astype(np.float64)
    dark = bright = share = 0.0
    for _ in range(_ROUNDS):
        weight = counts * bright_part
        share_now = weight.sum() / total
        if not 0 < share_now < 1:
            return dark, bright, 0.0
        bright_now = max((weight * levels).sum() / weight.sum(), 1e-3)
        dark_now = max(((counts - weight) * levels).sum() / (total - weight.sum()), 0.5)
        done = abs(bright_now - bright) + abs(dark_now - dark) < 1e-3
        dark, bright, share = float(dark_now), float(bright_now), float(share_now)
        if done or bright <= dark:
            break
        odds = np.log(share / (1 - share)) + levels * np.log(bright / dark) - (bright - dark)
        bright_part = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return dark, bright, share
