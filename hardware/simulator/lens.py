"""Electron optics: wavelength, phase shift of matter, aberrations."""

import math
from dataclasses import dataclass

INNER_POTENTIAL_V = {"ice": 3.5, "carbon": 9.0, "gold": 25.0}
"""Mean inner potentials; textbook values, rounded."""


def wavelength_a(voltage_kv: float) -> float:
    """Give the electron wavelength in Å."""
    volts = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volts + 0.97845e-6 * volts**2)


def phase_per_nm(voltage_kv: float, material: str) -> float:
    """Give the phase shift in radians by one nm of ``ice``, ``carbon`` or ``gold``."""
    volts = voltage_kv * 1e3
    rest = 510_998.95
    interaction = 2 * math.pi / (wavelength_a(voltage_kv) * volts) * (rest + volts) / (2 * rest + volts)
    return interaction * 10.0 * INNER_POTENTIAL_V[material]


@dataclass(frozen=True, slots=True)
class Aberrations:
    """What the lens does to the exit wave. Defoci in Å, underfocus **positive**, as CTF code has it.

    ``χ = π λ Δf k² - (π/2) Cs λ³ k⁴`` with ``Δf`` the defocus along the direction of k; ``defocus_a`` is the mean over
    directions, ``astigmatism_a`` the difference of greatest and least, ``angle_rad`` the direction of the greatest,
    from the column axis towards the row axis.
    """

    wavelength_a: float
    cs_a: float
    amplitude_contrast: float
    defocus_a: float
    astigmatism_a: float = 0.0
    angle_rad: float = 0.0
