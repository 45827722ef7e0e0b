"""What the objective lens does to the phase of a scattered wave. Defocus in Å, underfocus **positive**.

``χ(k) = π λ Δf k² - (π/2) Cs λ³ k⁴`` and ``CTF = -sin(χ + asin A)``, as in Rohou & Grigorieff, J. Struct. Biol. 192,
2015. Astigmatism is ``u - v``: ``Δf(θ) = mean + (u - v)/2 · cos 2(θ - angle)``, angles from the column axis towards the
row axis.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def wavelength_a(voltage_kv: float) -> float:
    """Electron wavelength in Å, relativistic."""
    volts = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volts + 0.97845e-6 * volts * volts)


@dataclass(frozen=True, slots=True)
class Lens:
    """The constants of one microscope that a CTF needs."""

    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float

    @property
    def per_defocus(self) -> float:
        """Phase per Å of defocus and Å⁻² of squared frequency."""
        return math.pi * wavelength_a(self.voltage_kv)

    @property
    def spherical(self) -> float:
        """Phase taken back per Å⁻⁴."""
        return 0.5 * math.pi * self.cs_mm * 1e7 * wavelength_a(self.voltage_kv) ** 3

    @property
    def amplitude_phase(self) -> float:
        """Phase that stands for the amplitude contrast."""
        return math.asin(self.amplitude_contrast)

    def phase(self, k2: NDArray[np.float32], defocus_a: NDArray[np.float32] | float) -> NDArray[np.float32]:
        """``χ + asin A`` at squared frequencies ``k2`` in Å⁻²; shapes broadcast."""
        at = np.float32(self.per_defocus) * np.asarray(defocus_a, np.float32) * k2
        return np.asarray(at - np.float32(self.spherical) * k2 * k2 + np.float32(self.amplitude_phase), np.float32)


def defocus_along(angle_rad: NDArray[np.float32], mean_a: float, cosine_a: float, sine_a: float) -> NDArray[np.float32]:
    """Defocus in Å along directions, astigmatism as ``(u - v)/2`` times cosine and sine of twice its angle."""
    return np.asarray(mean_a + cosine_a * np.cos(2 * angle_rad) + sine_a * np.sin(2 * angle_rad), np.float32)
