"""Ice thickness from how much of the beam comes through: ``d = Λ ln(I0 / I)``.

Rice et al., J. Struct. Biol. 204, 2018, with an energy filter; Rheinberger et al., J. Struct. Biol. 213, 2021
(MeasureIce), by scattering outside the objective aperture. Λ belongs to one microscope, voltage, aperture or slit and
has to be calibrated there.
"""

import math

import numpy as np
from scipy import ndimage, signal

from ..hardware.records import Pixels
from .pixels import shrunk

OPEN_SHARE = 0.003
"""Smallest share of an image that must be open for a level of vacuum to be read from it."""

AVERAGED_PX = 200
"""Pixels are averaged down to about this many a side, so that their noise does not hide the peaks."""

BINS = 128
"""Bins of the histogram, over all but its outliers."""


def ice_nm(counts: float, vacuum_counts: float, mean_free_path_nm: float) -> float:
    """Thickness of ice in nm; 0 where more comes through than through vacuum, infinite where nothing does.

    Parameters
    ----------
    counts
        Mean counts behind the ice, dark level subtracted.
    vacuum_counts
        Mean counts of the same beam and exposure with nothing in it.
    mean_free_path_nm
        Λ.

    Raises
    ------
    ValueError
        ``vacuum_counts`` or ``mean_free_path_nm`` not positive, or ``counts`` no number.
    """
    if not (vacuum_counts > 0 and mean_free_path_nm > 0) or math.isnan(counts):
        raise ValueError(
            f"ice cannot be computed from counts {counts}, vacuum {vacuum_counts}, mean free path {mean_free_path_nm}"
        )
    if counts <= 0:
        return math.inf
    return max(0.0, mean_free_path_nm * math.log(vacuum_counts / counts))


def vacuum_level(pixels: Pixels) -> float | None:
    """Estimate the counts of the bare beam from a picture with empty holes or torn areas in it.

    Nothing is brighter than the bare beam, and only noise spreads it: the level is the brightest peak of the histogram
    that stands apart from darker ones. Right only where something open is in view: with every hole full it is the level
    of the thinnest ice, which no picture alone can tell from vacuum.

    Parameters
    ----------
    pixels
        Shape (rows, cols), counts.

    Returns
    -------
    float or None
        Counts per pixel; None when the histogram has one peak only.
    """
    values = shrunk(pixels, max(1, min(pixels.shape) // AVERAGED_PX)).ravel()
    values = values[np.isfinite(values)]
    if values.size < 256:
        return None
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.95]))
    if not high > low:
        return None
    # Whole counts averaged make steps; bins finer than these would show a comb.
    bins = max(4, min(BINS, len(np.unique(values)) // 4))
    count, edges = np.histogram(values, bins=bins, range=(low, high + 0.05 * (high - low)))
    share = ndimage.gaussian_filter1d(count / values.size, 1.5, mode="constant")
    peaks, found = signal.find_peaks(share, prominence=0)
    depth = found["prominences"]
    sure = (depth >= 0.3 * share[peaks]) & (depth * values.size >= 3 * np.sqrt(share[peaks] * values.size))
    above = np.cumsum(share[::-1])[::-1][np.maximum(peaks - 4, 0)]
    peaks = peaks[sure & (above >= OPEN_SHARE)]
    if len(peaks) < 2:
        return None
    return float(0.5 * (edges[peaks[-1]] + edges[peaks[-1] + 1]))
