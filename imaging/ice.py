"""Ice thickness from how much of the beam comes through: ``d = Λ ln(I0 / I)``.

Rice et al., J. Struct. Biol. 204, 2018, with an energy filter; Rheinberger et al., J. Struct. Biol. 213, 2021
(MeasureIce), by scattering outside the objective aperture. Λ belongs to one microscope, voltage, aperture or slit and
has to be calibrated there.
"""

import math

import numpy as np

from ..hardware.records import Pixels

OPEN_SHARE = 0.003
"""Smallest share of an image that must be open for a level of vacuum to be read from it."""


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
    """Estimate the counts of the bare beam from a picture with empty holes or torn areas.

    Open areas are the brightest plateau of a picture, narrow because nothing but noise spreads it: the level is the
    mode of the pixels above the brightest well-populated gap of a smoothed histogram.

    Returns
    -------
    float or None
        Counts per pixel; None when the picture's brightest part is no plateau apart from the rest (no opening in view).
    """
    values = np.asarray(pixels, np.float32)[::2, ::2].ravel()
    values = values[np.isfinite(values)]
    if values.size < 256:
        return None
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.95]))
    if not high > low:
        return None
    count, edges = np.histogram(values, bins=128, range=(low, high + (high - low) * 0.05))
    smooth = np.convolve(count, np.hanning(9) / np.hanning(9).sum(), mode="same") / values.size
    return _brightest_plateau(smooth, 0.5 * (edges[1:] + edges[:-1]))


def _brightest_plateau(share: np.ndarray[tuple[int], np.dtype[np.float64]], level: Pixels) -> float | None:
    """Level of the brightest peak of a histogram that a valley separates from a darker one."""
    from_top = np.cumsum(share[::-1])[::-1]
    peaks = [
        i
        for i in range(1, len(share) - 1)
        if share[i] >= share[i - 1] and share[i] > share[i + 1] and from_top[max(0, i - 6)] >= OPEN_SHARE
    ]
    if not peaks:
        return None
    top = peaks[-1]
    darker = [i for i in peaks if share[top : top + 1].size and share[i : top + 1].min() < 0.7 * share[top] and i < top]
    return float(level[top]) if darker else None
