"""Defocus and astigmatism of a micrograph from the rings of its power spectrum. Underfocus is **positive** here.

The spectrum is averaged into sectors and rings and divided by a smooth background. For any defocus and astigmatism
the rest is a linear model, ``background + envelope · CTF²``, with the background in splines and the envelope in a few
falling Gaussians that may not be negative; so its best coefficients follow directly (variable projection, Golub &
Pereyra 1973) and only three numbers are searched: mean defocus and the two components of astigmatism. The search runs
over a grid of defocus and strength of astigmatism on the rotational average, where astigmatism only damps the rings
(a Bessel function), then over angles, then by simplex in two dimensions.

The fit resolution is where the profile, averaged along the fitted ellipses, stops following the model (after Rohou &
Grigorieff, J. Struct. Biol. 192, 2015).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, ndimage, optimize, special

from ..hardware.records import Pixels
from ..protocols.errors import BadInput
from .lens import Lens, defocus_along
from .records import CtfFit
from .spectrum import PolarSpectrum, Spectrum, polar, spectrum_of

Floats = NDArray[np.float64]

COARSEST_A = 30.0
"""Lower end of the band that is fitted: below it particles, carbon and gradients rule the spectrum."""

ENVELOPE_A = (2.0, 4.0, 7.0, 12.0)
"""Resolutions at which the Gaussians of the envelope have fallen to 1/e."""

BACKGROUND_KNOTS, DOUBTING_KNOTS = 6, 9
"""Intervals of the background's cubic spline for the fit, too few to follow any rings; and for the confidence, enough
to follow the knee where the power of particles sinks into noise, which might be taken for a ring."""

ASTIGMATISM_GRID_A = (0.0, 500.0, 1000.0, 2000.0, 4000.0)
"""Strengths ``u - v`` tried on the rotational average."""

CANDIDATES = 3
"""Best defoci of the grid that are refined in two dimensions."""

FOLLOWS = 0.5
"""Running correlation of profile and model above which the fit is said to follow the rings."""

LEAST_PERIOD = 2.5
"""Rings closer than this many steps of the spectrum cannot be told apart."""

CHANCE_ODDS = 90.0
"""Explained over unexplained variance times the rings, at which a fit counts as half believed: noise reaches 60."""

PLAUSIBLE_ASTIGMATISM_A = 1000.0
"""Standard deviation of ``u - v`` before looking: where the rings do not tell, astigmatism is small."""

SPIKE, SPIKE_FROM_A = 0.8, 6.0
"""Log of power over background, at resolutions finer than this, from which a ring is ice crystals and no CTF."""

NOTHING = 0.1
"""Below this confidence no fit resolution is given."""


def fit_ctf(
    micrograph: Pixels,
    pixel_size_a: float,
    voltage_kv: float,
    cs_mm: float,
    amplitude_contrast: float,
    defocus_range_um: tuple[float, float] = (0.3, 6.0),
) -> CtfFit:
    """Fit defocus and astigmatism to a micrograph.

    Parameters
    ----------
    micrograph
        Summed picture, shape (rows, cols), sides of at least 64 px.
    pixel_size_a
        Å per pixel.
    voltage_kv, cs_mm, amplitude_contrast
        Of the microscope.
    defocus_range_um
        Least and greatest mean defocus searched, underfocus positive.

    Returns
    -------
    CtfFit
        Always finite. Confidence under about 0.3 means that nothing was found: the numbers then mean nothing, and below
        0.1 the fit resolution is the coarse end of the band.

    Raises
    ------
    BadInput
        A picture too small, a pixel size or a range that cannot be.
    """
    low, high = defocus_range_um
    if not 0 < low < high:
        raise BadInput(f"A defocus range of {low} to {high} µm cannot be; give two positive numbers, the least first.")
    lens = Lens(voltage_kv, cs_mm, amplitude_contrast)
    return fit_spectrum(spectrum_of(micrograph, pixel_size_a), lens, defocus_range_um)


def fit_spectrum(spectrum: Spectrum, lens: Lens, defocus_range_um: tuple[float, float] = (0.3, 6.0)) -> CtfFit:
    """Fit defocus and astigmatism to a power spectrum; see `fit_ctf`."""
    averaged = polar(spectrum)
    band, doubting = (_band(averaged, intervals) for intervals in (BACKGROUND_KNOTS, DOUBTING_KNOTS))
    if band is None or doubting is None:
        return CtfFit(defocus_range_um[0], 0.0, 0.0, COARSEST_A, 0.0)
    fitter = _Fitter(band, lens)
    starts = fitter.search(defocus_range_um[0] * 1e4, defocus_range_um[1] * 1e4)
    best = max((fitter.refine(start) for start in starts), key=lambda found: found[1])[0]
    confidence = _confidence(_Fitter(doubting, lens).profile(best))
    return fitter.report(best, confidence)


@dataclass(frozen=True, slots=True)
class _Band:
    """The fitted band: relative power over the smooth background, weights, and the axes.

    ``relative`` and ``count`` have shape (sectors, rings); ``basis`` holds the background's splines, (rings, terms).
    """

    relative: NDArray[np.float32]
    count: NDArray[np.float32]
    angle_rad: NDArray[np.float32]
    frequency: Floats
    basis: Floats
    step: float


def _band(spectrum: PolarSpectrum, intervals: int) -> _Band | None:
    """Cut the band out and divide by its smooth background; None when the spectrum is empty or too coarse."""
    rings = np.arange(len(spectrum.frequency))
    inside = (spectrum.frequency >= 1 / COARSEST_A) & (rings >= 3) & (rings < len(rings) - 1)
    count = spectrum.count[:, inside]
    power = spectrum.power[:, inside]
    total = count.sum(axis=0)
    radial = (power * count).sum(axis=0, dtype=np.float64) / np.maximum(total, 1)
    if inside.sum() < 16 or not (radial > 0).all() or not np.isfinite(radial).all():
        return None
    frequency = spectrum.frequency[inside].astype(np.float64)
    basis = _splines(frequency, intervals)
    smooth, spiked = _smooth(basis, np.log(radial), np.sqrt(total.astype(np.float64)), frequency >= 1 / SPIKE_FROM_A)
    count = np.where(spiked, 0, count).astype(np.float32)
    relative = np.where(count > 0, power / smooth - 1, 0).astype(np.float32)
    return _Band(relative, count, spectrum.angle_rad, frequency, basis, spectrum.step)


def _splines(x: Floats, intervals: int) -> Floats:
    """Cubic B-splines over ``x``, closer where it is low and spectra are steep; shape (len(x), intervals + 3)."""
    ends = np.linspace(math.sqrt(x[0]), math.sqrt(x[-1]), intervals + 1) ** 2
    ends[0], ends[-1] = x[0], x[-1]
    knots = np.concatenate([[ends[0]] * 3, ends, [ends[-1]] * 3])
    return np.asarray(interpolate.BSpline.design_matrix(x, knots, 3).toarray(), np.float64)


def _smooth(
    basis: Floats, logs: Floats, weight: Floats, spikes_possible: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Smooth background of a radial spectrum, and the rings that stand out of it by more than a CTF can make.

    Crystalline ice puts peaks at 3.9, 3.67 and 3.44 Å that would bend the background and be taken for rings.
    """
    share = np.ones(len(logs))
    fitted = logs
    for _ in range(10):
        fitted = _weighted_fit(basis, logs, weight * share)
        share = np.where(spikes_possible, 1 / (1 + (np.maximum(logs - fitted, 0) / SPIKE) ** 4), 1.0)
    rest = logs - fitted
    spread = 1.4826 * float(np.median(np.abs(rest[share > 0.5])))
    spiked = ndimage.binary_dilation((rest > max(0.5 * SPIKE, 5 * spread)) & spikes_possible, iterations=2)
    return np.exp(fitted), spiked


def _weighted_fit(basis: Floats, values: Floats, weight: Floats) -> Floats:
    """Least-squares fit of ``values`` by ``basis``, evaluated."""
    root = np.sqrt(weight)
    coefficients, *_ = np.linalg.lstsq(basis * root[:, None], values * root, rcond=None)
    return np.asarray(basis @ coefficients)


@dataclass(frozen=True, slots=True)
class _Linear:
    """The best linear coefficients for one defocus: envelope amplitudes and what they explain of the data."""

    amplitudes: Floats
    explained: float


class _Fitter:
    """Holds what stays the same while defocus and astigmatism are searched."""

    def __init__(self, band: _Band, lens: Lens) -> None:
        self.band, self.lens = band, lens
        self.k2 = (band.frequency**2).astype(np.float32)
        self.envelope = np.exp(-((band.frequency[None, :] * np.array(ENVELOPE_A)[:, None]) ** 2))
        self.total = band.count.sum(axis=0).astype(np.float64)
        root = np.sqrt(np.maximum(self.total, 1e-9))
        orthonormal, _ = np.linalg.qr(band.basis * root[:, None])
        self.background = orthonormal
        self.root = root
        radial = (band.relative * band.count).sum(axis=0) / np.maximum(self.total, 1)
        self.flat = radial - (orthonormal @ (orthonormal.T @ (radial * root))) / np.maximum(root, 1e-9)
        self.weighted = (band.relative * band.count).astype(np.float32)
        self.noise = float(np.vdot(self.weighted, band.relative)) / max(1, int((band.count > 0).sum()))

    def search(self, low_a: float, high_a: float) -> list[tuple[float, float]]:
        """Best (defocus, astigmatism strength) of the grid on the rotational average, in Å, best first."""
        step = min(0.25 * math.pi / (self.lens.per_defocus * float(self.k2[-1])), (high_a - low_a) / 8)
        defoci = np.arange(low_a, high_a + step, step)
        scores = np.array([self._grid_scores(defoci, strength) for strength in ASTIGMATISM_GRID_A])
        best = scores.max(axis=0)
        found: list[tuple[float, float]] = []
        for index in np.argsort(-best):
            if all(abs(defoci[index] - other) > 4 * step for other, _ in found):
                found.append((float(defoci[index]), ASTIGMATISM_GRID_A[int(scores[:, index].argmax())]))
            if len(found) == CANDIDATES:
                break
        return found

    def _grid_scores(self, defoci: Floats, strength_a: float) -> Floats:
        """Say what every defocus explains of the rotational average when astigmatism damps the rings."""
        phase = self.lens.phase(self.k2[None, :], defoci[:, None].astype(np.float32))
        damping = special.j0(self.lens.per_defocus * strength_a * self.k2)
        squared = 0.5 - 0.5 * np.cos(2 * phase) * damping
        columns = squared[:, None, :] * self.envelope[None] * self.root
        columns -= (columns @ self.background) @ self.background.T
        gram = np.einsum("dir,djr->dij", columns, columns)
        pull = columns @ (self.flat * self.root)
        return np.array([_non_negative(g, p).explained for g, p in zip(gram, pull, strict=True)])

    def linear(self, mean_a: float, cosine_a: float, sine_a: float) -> _Linear:
        """Best coefficients for one astigmatic defocus, from the two-dimensional data."""
        squared = self._squared(mean_a, cosine_a, sine_a)
        counted = squared * self.band.count
        first = counted.sum(axis=0, dtype=np.float64)
        second = np.einsum("sr,sr->r", counted, squared, dtype=np.float64)
        third = np.einsum("sr,sr->r", self.weighted, squared, dtype=np.float64)
        columns = self.envelope * (first / self.root)
        shadow = columns @ self.background
        gram = (self.envelope * second) @ self.envelope.T - shadow @ shadow.T
        on_background = self.background.T @ (self.weighted.sum(axis=0) / self.root)
        pull = self.envelope @ third - shadow @ on_background
        return _non_negative(gram, pull)

    def _squared(self, mean_a: float, cosine_a: float, sine_a: float) -> NDArray[np.float32]:
        defocus = defocus_along(self.band.angle_rad, mean_a, cosine_a, sine_a)
        return np.asarray(np.sin(self.lens.phase(self.k2[None, :], defocus[:, None])) ** 2, np.float32)

    def _merit(self, at: Floats) -> float:
        """Say what a fit explains, in units of the noise, less what its astigmatism costs."""
        strength = 4 * (at[1] ** 2 + at[2] ** 2) / PLAUSIBLE_ASTIGMATISM_A**2
        return self.linear(*at).explained / max(self.noise, 1e-12) - float(strength)

    def refine(self, start: tuple[float, float]) -> tuple[Floats, float]:
        """From a defocus and a strength of astigmatism to the best of all three numbers, and what they explain."""
        mean, strength = start
        halves = [strength / 2] if strength else [75.0, 200.0]
        angles = np.arange(8) * np.pi / 8
        trials = [np.array([mean, 0.0, 0.0])]
        trials += [np.array([mean, h * np.cos(2 * a), h * np.sin(2 * a)]) for h in halves for a in angles]
        begin = max(trials, key=self._merit)
        spread = np.array([[0, 0, 0], [60, 0, 0], [0, 60, 0], [0, 0, 60]], np.float64)
        options: dict[str, Any] = {"initial_simplex": begin + spread, "xatol": 1.0, "fatol": 1e-3, "maxfev": 240}
        result = optimize.minimize(lambda at: -self._merit(at), begin, method="Nelder-Mead", options=options)  # type: ignore[call-overload]
        return np.asarray(result.x, np.float64), -float(result.fun)

    def report(self, best: Floats, confidence: float) -> CtfFit:
        """Say the fit in the record's words, with how far it follows the rings; few rings lessen the confidence."""
        mean, cosine, sine = (float(v) for v in best)
        resolution = self._fit_resolution(self.profile(best), mean)
        rings = self._rings_to(resolution, mean)
        confidence *= min(1.0, max(0.0, (rings - 1.0) / 1.5))
        return CtfFit(
            defocus_um=mean * 1e-4,
            astigmatism_a=2 * math.hypot(cosine, sine),
            angle_deg=math.degrees(0.5 * math.atan2(sine, cosine)),
            fit_resolution_a=resolution if confidence >= NOTHING else COARSEST_A,
            confidence=confidence,
        )

    def profile(self, best: Floats) -> "_Profile":
        """Average the data along the fitted ellipses and set the model beside it, background taken off both."""
        mean_a, cosine_a, sine_a = (float(v) for v in best)
        defocus = defocus_along(self.band.angle_rad, mean_a, cosine_a, sine_a)[:, None]
        k2 = _equal_phase(self.lens, self.k2[None, :].astype(np.float64), defocus.astype(np.float64), mean_a)
        at = np.sqrt(k2) / self.band.step - self.band.frequency[0] / self.band.step
        rings = len(self.total)
        inside = (at >= 0) & (at <= rings - 1) & np.isfinite(at)
        low = np.where(inside, np.floor(np.where(inside, at, 0)), 0).astype(np.int64)
        share = np.where(inside, at - low, 0)
        count, total = np.zeros((2, rings + 1))
        for index, part in ((low, 1 - share), (low + 1, share)):
            weight = np.where(inside, part * self.band.count, 0)
            count += np.bincount(index.ravel(), weight.ravel(), rings + 1)
            total += np.bincount(index.ravel(), (weight * self.band.relative).ravel(), rings + 1)
        count, data = count[:rings], total[:rings] / np.maximum(count[:rings], 1e-9)
        root = np.sqrt(count)
        orthonormal, _ = np.linalg.qr(self.band.basis * root[:, None])
        squared = np.sin(self.lens.phase(self.k2, mean_a).astype(np.float64)) ** 2
        columns = np.vstack([data, squared * self.envelope]) * root
        columns -= (columns @ orthonormal) @ orthonormal.T
        model = _non_negative(columns[1:] @ columns[1:].T, columns[1:] @ columns[0]).amplitudes @ columns[1:]
        return _Profile(columns[0], model, squared, root)

    def _rings_to(self, resolution_a: float, mean_a: float) -> float:
        """How many rings lie between the coarse end of the band and a resolution: one hump may be anything."""
        ends = np.array([self.band.frequency[0] ** 2, 1 / resolution_a**2], np.float32)
        phase = self.lens.phase(ends, mean_a)
        return abs(float(phase[1] - phase[0])) / math.pi

    def _fit_resolution(self, profile: "_Profile", mean_a: float) -> float:
        """Where the running correlation of data and CTF² falls below `FOLLOWS` and stays there, in Å."""
        frequency = self.band.frequency
        phase_step = np.abs(np.gradient(self.lens.phase(self.k2, mean_a).astype(np.float64)))
        period = np.pi / np.maximum(phase_step, 1e-3)
        half = np.clip(np.round(period), 6, len(frequency) // 4).astype(int)
        local = _running_correlation(profile.data / np.maximum(profile.root, 1e-9), profile.squared, half)
        good = (local >= FOLLOWS) & (period >= LEAST_PERIOD)
        if not good.any():
            return COARSEST_A
        last = first = int(np.argmax(good))
        for ring in range(first, len(good)):
            if good[ring]:
                last = ring
            elif ring - last > half[ring]:
                break
        return float(1 / frequency[last])


@dataclass(frozen=True, slots=True)
class _Profile:
    """Data and fitted model along the mean ellipse, background taken off, each times ``root`` = √pixels."""

    data: Floats
    model: Floats
    squared: Floats
    root: Floats


def _equal_phase(lens: Lens, k2: Floats, defocus_a: Floats, mean_a: float) -> Floats:
    """Squared frequency at which the mean defocus has the phase that ``defocus_a`` has at ``k2``; NaN where none."""
    phase = lens.per_defocus * defocus_a * k2 - lens.spherical * k2 * k2
    lead = lens.per_defocus * mean_a
    if lens.spherical < 1e-12:
        return np.asarray(phase / lead)
    inside = lead * lead - 4 * lens.spherical * phase
    rising = lens.per_defocus * defocus_a - 2 * lens.spherical * k2 > 0
    valid = (inside >= 0) & rising & (phase >= 0)
    return np.asarray(np.where(valid, (lead - np.sqrt(np.where(valid, inside, 0))) / (2 * lens.spherical), np.nan))


def _running_correlation(data: Floats, model: Floats, half: NDArray[np.int64]) -> Floats:
    """Correlation coefficient of two profiles in windows of ± ``half`` about every point."""
    sums = np.concatenate(
        [np.zeros((5, 1)), np.cumsum([data, model, data * data, model * model, data * model], axis=1)], axis=1
    )
    at = np.arange(len(data))
    first, end = np.maximum(at - half, 0), np.minimum(at + half + 1, len(data))
    n = end - first
    d, m, dd, mm, dm = (sums[:, end] - sums[:, first]) / n
    return np.asarray((dm - d * m) / np.sqrt(np.maximum((dd - d * d) * (mm - m * m), 1e-30)))


def _confidence(profile: _Profile) -> float:
    """Correlation of profile and model, times the probability that chance does not reach it."""
    data, model = profile.data, profile.model
    energy = float(data @ data) * float(model @ model)
    if energy <= 0:
        return 0.0
    correlation = float(data @ model) / math.sqrt(energy)
    odds = len(data) * correlation**2 / max(1 - correlation**2, 1e-6) - CHANCE_ODDS
    return float(max(0.0, correlation) / (1 + math.exp(min(-odds / 8, 700.0))))


def _non_negative(gram: Floats, pull: Floats) -> _Linear:
    """Solve the small normal equations with no amplitude below zero."""
    scale = 1 / np.sqrt(np.maximum(np.diag(gram), 1e-12))
    matrix = gram * np.outer(scale, scale) + 1e-6 * np.eye(len(scale))
    lower = np.linalg.cholesky(matrix)
    target = np.linalg.solve(lower, pull * scale)
    amplitudes, rest = optimize.nnls(lower.T, target)
    return _Linear(amplitudes * scale, float(target @ target - rest * rest))
