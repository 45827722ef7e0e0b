"""Where one picture lies on another: normalised correlation over the true overlap at every lag, read as evidence.

Both pictures are band-passed, so that illumination and pixel noise count for little. The score of a lag is the
correlation coefficient over exactly the pixels that overlap there; its weight is the number of *independent* samples
in the overlap, which Bartlett's formula gives from the two autocorrelations (M. S. Bartlett, J. R. Stat. Soc. B 8, 27,
1946). A mesh or a lattice of holes correlates at many lags and the larger overlap would win there by its size alone:
so peaks are ranked by the score itself (Fisher's z), as if all had the expected overlap, less what chance adds to a
small overlap. The confidence of the best peak is its probability against every other peak and against chance.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..hardware.records import Pixels

Floats = NDArray[np.float64]

CHANCE = 1000.0
"""How many times likelier than a match at any one independent lag we hold it, before looking, that nothing matches."""

CHANCE_SIGMA = 4.0
"""How many deviations the highest of many chance correlations reaches."""

CLIP_SIGMA = 4.0
"""Band-passed values beyond this many deviations are clipped: one hot pixel or ice crystal shall not decide alone."""


SPREAD_FLOOR = 0.01
"""Lags this much less likely than the peak no longer belong to its spread."""


@dataclass(frozen=True, slots=True)
class Lag:
    """The best lag found.

    Attributes
    ----------
    row_px, col_px
        Shift that brings ``moving`` onto ``fixed``, sub-pixel.
    score
        Correlation coefficient over the overlap, -1..1.
    confidence
        Posterior probability of this peak, 0..1.
    information
        Symmetric 2×2 in px⁻²: inverse covariance of the lag (small along an edge that runs straight through).
    evidence, rival
        Log-evidence of this peak and of the best other one, to be compared between searches over the same pictures.
    """

    row_px: float
    col_px: float
    score: float
    confidence: float
    information: Floats
    evidence: float = 0.0
    rival: float = 0.0


NOWHERE = Lag(0.0, 0.0, 0.0, 0.0, np.zeros((2, 2)))
"""The answer where there is nothing to compare."""


def band_pass(pixels: Pixels, fine_px: float, coarse_px: float, mask: Pixels | None = None) -> Pixels:
    """Keep detail between two Gaussian widths, clipped at `CLIP_SIGMA` and zero where ``mask`` is zero.

    Parameters
    ----------
    pixels
        Shape (rows, cols).
    fine_px, coarse_px
        Standard deviations of the Gaussians whose difference is the pass band.
    mask
        Weights 0..1 of the pixels that hold data; None means all of them.
    """
    centre = float(np.median(pixels[::3, ::3]))
    image = np.asarray(pixels, np.float32) - np.float32(centre)
    if mask is None:
        passed = blur(image, fine_px) - blur(image, coarse_px)
    else:
        weighted = image * mask
        passed = blur(weighted, fine_px) / np.maximum(blur(mask, fine_px), 1e-3)
        passed -= blur(weighted, coarse_px) / np.maximum(blur(mask, coarse_px), 1e-3)
        passed *= mask
    limit = CLIP_SIGMA * float(np.std(passed))
    return np.clip(passed, -limit, limit, out=passed)


def blur(image: Pixels, sigma_px: float) -> Pixels:
    """Gaussian blur, borders mirrored; nothing for widths under 0.1 px."""
    if sigma_px < 0.1:
        return image.copy()
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101), np.float32)


def find_lag(
    fixed: Pixels,
    moving: Pixels,
    *,
    expected: tuple[float, float] = (0.0, 0.0),
    reach: tuple[float, float],
    least_overlap: float,
    prior_px: float | None = None,
    masks: tuple[Pixels, Pixels] | None = None,
    between_pixels: bool = False,
) -> Lag:
    """Find the lag at which band-passed ``moving`` fits band-passed ``fixed``.

    Parameters
    ----------
    fixed, moving
        Band-passed pictures (zero mean), shapes may differ.
    expected
        Lag (row, col) in px in the middle of the search.
    reach
        How far from it to look, (rows, cols) px.
    least_overlap
        Pixels that must overlap for a lag to count.
    prior_px
        Standard deviation of the lag about ``expected``, when known beforehand.
    masks
        Weights of the two pictures where not all of their pixels hold data.
    between_pixels
        Whether lags are judged by the height of their peak between the pixels: pictures that agree nearly everywhere
        do so much better there than half a pixel beside it that otherwise another lag may win.

    Returns
    -------
    Lag
        `NOWHERE` when a picture is constant or no lag overlaps enough.
    """
    found = _correlate(fixed, moving, masks)
    near = None if found is None else _near(found, expected, reach)
    if near is None:
        return NOWHERE
    on_pixels, samples, lags = near
    score = _lifted(on_pixels) if between_pixels else on_pixels
    rows, cols = lags[0] - expected[0], lags[1] - expected[1]
    allowed = samples.pixels >= least_overlap
    if not allowed.any():
        return NOWHERE
    middle = float(samples.pixels[int(np.argmin(np.abs(rows))), int(np.argmin(np.abs(cols)))])
    likelihood = np.where(allowed, _likelihood(score, samples, max(middle, least_overlap)), np.float32(-np.inf))
    rank = likelihood
    if prior_px is not None:
        rank = likelihood - ((rows**2)[:, None] + (cols**2)[None, :]).astype(np.float32) / np.float32(2 * prior_px**2)
    peak = tuple(int(i) for i in np.unravel_index(int(np.argmax(rank)), rank.shape))
    if score[peak] <= 0:
        return NOWHERE
    confidence, rival = _confidence(rank, float(score[peak]), (peak[0], peak[1]), samples, int(allowed.sum()))
    offset, covariance = _refined(on_pixels, likelihood, (peak[0], peak[1]), samples)
    return Lag(
        float(lags[0][peak[0]] + offset[0]),
        float(lags[1][peak[1]] + offset[1]),
        float(score[peak]),
        confidence,
        np.asarray(np.linalg.inv(covariance), np.float64),
        float(rank[peak]),
        rival,
    )


def _near(found: "_Found", expected: tuple[float, float], reach: tuple[float, float]) -> "_Found | None":
    """Cut the maps to the lags in reach; None when there are none."""
    score, samples, lags = found
    near = [
        np.flatnonzero(np.abs(along - middle) <= limit)
        for along, middle, limit in zip(lags, expected, reach, strict=True)
    ]
    if not all(len(along) for along in near):
        return None
    rows, cols = (slice(int(along[0]), int(along[-1]) + 1) for along in near)
    return score[rows, cols], replace(samples, pixels=samples.pixels[rows, cols]), (lags[0][rows], lags[1][cols])


@dataclass(frozen=True, slots=True)
class _Samples:
    """Overlap in px per lag; px per independent sample, by about the autocorrelation's main peak and by all of it.

    ``half_width_px`` is the half width at half height of that main peak.
    """

    pixels: Pixels
    per_local: float
    per_independent: float
    half_width_px: int


_Found = tuple[Pixels, _Samples, tuple[NDArray[np.int64], NDArray[np.int64]]]
"""Maps of the score and of its samples, with the lags along both axes."""


def _correlate(fixed: Pixels, moving: Pixels, masks: tuple[Pixels, Pixels] | None) -> _Found | None:
    """Correlation coefficient over the overlap for every lag, as maps with rising lags; None for a blank picture."""
    (fr, fc), (mr, mc) = fixed.shape, moving.shape
    size = (fft.next_fast_len(fr + mr - 1, real=True), fft.next_fast_len(fc + mc - 1, real=True))
    lags = (np.arange(1 - mr, fr), np.arange(1 - mc, fc))
    f_energy, m_energy = float(np.vdot(fixed, fixed)), float(np.vdot(moving, moving))
    if not (f_energy > 0 and m_energy > 0):
        return None
    f_wave, m_wave = fft.rfft2(fixed, size), fft.rfft2(moving, size)
    product = _unwrap(fft.irfft2(f_wave * np.conj(m_wave), size), moving.shape, fixed.shape)
    if masks is None:
        overlap, f_part, m_part = _rectangle_sums(fixed, moving)
    else:
        overlap, f_part, m_part = _mask_sums(fixed, moving, masks, size)
    floor = np.float32(1e-4 * np.sqrt(f_energy * m_energy / (float(fixed.size) * moving.size)))
    score = product / np.maximum(np.sqrt(np.maximum(f_part, 0) * np.maximum(m_part, 0)), floor * np.maximum(overlap, 1))
    np.clip(score, -0.999, 0.999, out=score)
    samples = _Samples(overlap, *_independence(f_wave, m_wave, size))
    return score.astype(np.float32), samples, lags


def _unwrap(circular: Pixels, before: tuple[int, ...], after: tuple[int, ...]) -> Pixels:
    """Order a circular correlation by rising lag, from 1 - before to after - 1 on both axes."""
    rolled = np.roll(circular, (before[0] - 1, before[1] - 1), (0, 1))
    return rolled[: before[0] + after[0] - 1, : before[1] + after[1] - 1]


def _rectangle_sums(fixed: Pixels, moving: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """Overlap area and the energies of both pictures within it, for every lag, from summed-area tables."""
    spans = [_spans(f, m) for f, m in zip(fixed.shape, moving.shape, strict=True)]
    overlap = np.outer(spans[0][0][1] - spans[0][0][0], spans[1][0][1] - spans[1][0][0]).astype(np.float32)
    energies = []
    for which, picture in enumerate((fixed, moving)):
        table = cv2.integral(picture * picture, sdepth=cv2.CV_64F)
        (r0, r1), (c0, c1) = spans[0][which], spans[1][which]
        by_rows = table[r1] - table[r0]
        energies.append((by_rows[:, c1] - by_rows[:, c0]).astype(np.float32))
    return overlap, energies[0], energies[1]


def _spans(fixed: int, moving: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """First and end index of the overlap along one axis for every lag, in ``fixed`` and in ``moving``."""
    lag = np.arange(1 - moving, fixed)
    first, end = np.maximum(lag, 0), np.minimum(lag + moving, fixed)
    return (first, end), (first - lag, end - lag)


def _mask_sums(
    fixed: Pixels, moving: Pixels, masks: tuple[Pixels, Pixels], size: tuple[int, int]
) -> tuple[Pixels, Pixels, Pixels]:
    """Give the same as `_rectangle_sums` for pictures with holes in their coverage."""
    f_mask, m_mask = fft.rfft2(masks[0], size), np.conj(fft.rfft2(masks[1], size))
    f_square, m_square = fft.rfft2(fixed * fixed, size), np.conj(fft.rfft2(moving * moving, size))
    overlap, f_part, m_part = (
        _unwrap(fft.irfft2(wave, size), moving.shape, fixed.shape)
        for wave in (f_mask * m_mask, f_square * m_mask, f_mask * m_square)
    )
    return overlap, f_part, m_part


def _independence(
    f_wave: NDArray[np.complex64], m_wave: NDArray[np.complex64], size: tuple[int, int]
) -> tuple[float, float, int]:
    """Pixels per independent sample (see `_Samples`): the product of both autocorrelations, summed over lags."""
    autos = [fft.irfft2(wave.real**2 + wave.imag**2, size) for wave in (f_wave, m_wave)]
    width = max(_half_width(auto) for auto in autos)
    product = (autos[0] / autos[0][0, 0]) * (autos[1] / autos[1][0, 0])
    near = product[np.ix_(*(np.arange(-2 * width, 2 * width + 1) % length for length in size))]
    everywhere = max(1.0, float(product.sum(dtype=np.float64)))
    return min(everywhere, 2 * max(1.0, float(near.sum()))), everywhere, width


def _half_width(auto: Pixels) -> int:
    """Radius in px at which an autocorrelation first falls under one half, the wider of the two axes, at least 2."""
    lines = (auto[: auto.shape[0] // 2, 0], auto[0, : auto.shape[1] // 2])
    return max(2, *(int(np.argmax(line < 0.5 * line[0])) for line in lines))


def _lifted(score: Pixels) -> Pixels:
    """Give every peak the height of the parabolas through its neighbours along both axes."""
    peaks, lift = np.ones(score.shape, bool), np.zeros_like(score)
    for axis in (0, 1):
        before, after = np.roll(score, 1, axis), np.roll(score, -1, axis)
        bend, slope = 2 * score - before - after, (after - before) / 2
        peaks &= (score >= before) & (score >= after) & (bend > 0)
        lift += slope**2 / (2 * np.maximum(bend, np.float32(1e-6)))
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        peaks[edge] = False  # their neighbours are those of the other side
    return np.asarray(np.clip(np.where(peaks, score + lift, score), -0.999, 0.999), np.float32)


def _likelihood(score: Pixels, samples: _Samples, expected_overlap: float) -> Pixels:
    """Log-evidence of every lag as if it had the expected overlap; negative correlations are none."""
    z = np.arctanh(np.maximum(score, 0))
    chance = 1 / np.sqrt(np.maximum(samples.pixels, 1)) - 1 / np.sqrt(expected_overlap)
    z -= np.float32(CHANCE_SIGMA * np.sqrt(samples.per_local)) * chance
    return np.asarray(0.5 * expected_overlap / samples.per_independent * np.maximum(z, 0) ** 2, np.float32)


def _confidence(
    rank: Pixels, rho: float, peak: tuple[int, int], samples: _Samples, searched: int
) -> tuple[float, float]:
    """Probability of the best peak against every other peak and against chance; and the best other peak's rank."""
    guard = 2 * samples.half_width_px
    others = rank.copy()
    others[tuple(slice(max(0, at - guard), at + guard + 1) for at in peak)] = -np.inf
    independent = float(samples.pixels[peak]) / samples.per_local
    evidence = -0.5 * max(0.0, independent - 3) * float(np.log1p(-rho * rho))
    by_chance = CHANCE * max(1.0, searched / samples.per_local) * np.exp(-min(evidence, 700.0))
    rival = float(others.max())
    return float(1 / (1 + np.exp(min(rival - float(rank[peak]), 0.0)) + by_chance)), max(rival, 0.0)


def _refined(score: Pixels, likelihood: Pixels, peak: tuple[int, int], samples: _Samples) -> tuple[Floats, Floats]:
    """Sub-pixel offset from a peak and the covariance of the lag.

    The covariance adds what the curvature at the peak says to the spread of all lags that fit nearly as well: that
    spread is long where an edge runs straight through the overlap and lets the pictures slide along it.
    """
    offset, curvature = _paraboloid(score, *peak)
    rho = float(score[peak])
    local = np.linalg.inv(float(samples.pixels[peak]) / samples.per_local * rho / (1 - rho * rho) * curvature)
    weight = np.exp(np.minimum(likelihood - likelihood[peak], 0), dtype=np.float64)
    regions, _ = ndimage.label(weight > SPREAD_FLOOR)
    weight[regions != regions[peak]] = 0
    rows, cols = np.arange(score.shape[0]) - peak[0], np.arange(score.shape[1]) - peak[1]
    by_row, by_col = weight.sum(axis=1), weight.sum(axis=0)
    mixed = float(rows @ weight @ cols)
    spread = np.array([[float(rows**2 @ by_row), mixed], [mixed, float(cols**2 @ by_col)]]) / by_row.sum()
    return offset, local + spread


def _paraboloid(score: Pixels, row: int, col: int) -> tuple[Floats, Floats]:
    """Vertex (row and col offset within ±1) and curvature (positive) of the 3×3 neighbourhood of a peak."""
    if not (0 < row < score.shape[0] - 1 and 0 < col < score.shape[1] - 1):
        return np.zeros(2), np.eye(2) * 1e-3
    z = score[row - 1 : row + 2, col - 1 : col + 2].astype(np.float64)
    rr = float(z[2].sum() - 2 * z[1].sum() + z[0].sum()) / 3
    cc = float(z[:, 2].sum() - 2 * z[:, 1].sum() + z[:, 0].sum()) / 3
    rc = float(z[2, 2] - z[2, 0] - z[0, 2] + z[0, 0]) / 4
    slope = np.array([z[2].sum() - z[0].sum(), z[:, 2].sum() - z[:, 0].sum()]) / 6
    values, axes = np.linalg.eigh(-np.array([[rr, rc], [rc, cc]]))
    values = np.maximum(values, 1e-6)
    offset = np.clip(axes @ ((axes.T @ slope) / values), -1, 1)
    return offset, axes @ np.diag(values) @ axes.T
