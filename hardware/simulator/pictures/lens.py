"""Electron optics: wavelength, phase shift of matter, aberrations, coherence."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INNER_POTENTIAL_V = {"ice": 3.5, "carbon": 9.0, "gold": 25.0}
"""Mean inner potentials; textbook values, rounded."""

REST_V = 510_998.95
FWHM_IN_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


def wavelength_a(voltage_kv: float) -> float:
    """Give the electron wavelength in Å."""
    volts = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volts + 0.97845e-6 * volts**2)


def phase_per_nm(voltage_kv: float, material: str) -> float:
    """Give the phase shift in radians by one nm of ``ice``, ``carbon`` or ``gold``."""
    return phase_per_volt_a(voltage_kv) * 10.0 * INNER_POTENTIAL_V[material]


def phase_per_volt_a(voltage_kv: float) -> float:
    """Give the interaction constant: radians for each volt of potential and Å of way through it."""
    volts = voltage_kv * 1e3
    return 2 * math.pi / (wavelength_a(voltage_kv) * volts) * (REST_V + volts) / (2 * REST_V + volts)


@dataclass(frozen=True, slots=True)
class Aberrations:
    """What the lens does to the exit wave. Defoci in Å, underfocus **positive**, as CTF code has it.

    ``χ = π λ Δf k² - (π/2) Cs λ³ k⁴ + phase shift`` with ``Δf`` the defocus along the direction of k; ``defocus_a`` is
    the mean over directions, ``astigmatism_a`` the difference of greatest and least, ``angle_rad`` the direction of
    the greatest, from the column axis towards the row axis.

    A beam tilted by ``tilt_rad`` (along rows, along columns) adds coma: the image's transform is multiplied by
    ``exp(i φ)``, ``φ = 2π Cs λ² k² (k · tilt)``; its shift and astigmatism count as corrected.
    """

    wavelength_a: float
    cs_a: float
    amplitude_contrast: float
    defocus_a: float
    astigmatism_a: float = 0.0
    angle_rad: float = 0.0
    phase_shift_rad: float = 0.0
    tilt_rad: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Coherence:
    """What blurs the rings whatever the specimen: standard deviation of the focus, half angle of the beam, the rest."""

    focal_spread_a: float = 0.0
    convergence_rad: float = 0.0
    b_a2: float = 0.0


def focal_spread_a(voltage_kv: float, cc_mm: float, energy_spread_ev: float, instability_ppm: float) -> float:
    """Give the standard deviation of the focus in Å that energy spread and unstable lenses make.

    Parameters
    ----------
    energy_spread_ev
        Full width at half maximum of the source's energies.
    instability_ppm
        Standard deviation of the relative focal length, high tension and lens current together.
    """
    volts = voltage_kv * 1e3
    relativistic = (1 + volts / REST_V) / (1 + volts / (2 * REST_V))
    energy = energy_spread_ev / FWHM_IN_SIGMA / volts * relativistic
    return cc_mm * 1e7 * math.hypot(energy, instability_ppm * 1e-6)


def coherence_envelope(
    frequency: NDArray[np.float64], optics: Aberrations, coherence: Coherence
) -> NDArray[np.float64]:
    """Give the factor of the contrast at spatial frequencies in Å⁻¹: partial coherence in time and in space, and B.

    Frank, Optik 38, 1973; Wade & Frank, Optik 49, 1977: ``exp(-(π λ δ k²)² / 2)`` for a focal spread δ and
    ``exp(-(π α / λ)² (Cs λ³ k³ - Δf λ k)²)`` for a source seen under the half angle α.
    """
    wave, k = optics.wavelength_a, frequency
    temporal = (math.pi * wave * coherence.focal_spread_a * k**2) ** 2 / 2
    slope = optics.cs_a * wave**3 * k**3 - optics.defocus_a * wave * k
    spatial = (math.pi * coherence.convergence_rad / wave * slope) ** 2
    return np.asarray(np.exp(-temporal - spatial - coherence.b_a2 / 4 * k**2))
