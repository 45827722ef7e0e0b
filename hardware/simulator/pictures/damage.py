"""What the beam does to the specimen while it is looked at: signal lost with dose, water stirred.

Grant & Grigorieff, eLife 4, 2015: at 300 kV the signal at frequency k has fallen to ``exp(-N / 2 Nc)`` after N e⁻/Å²,
``Nc = 0.245 k^-1.665 + 2.81``; at 200 kV Nc is 0.8 of that. McMullan, Vinothkumar & Henderson, Ultramicroscopy 158,
2015: vitreous ice is a fluid in the beam, its molecules displaced by 1.1 Å² (mean square) for each e⁻/Å² at 300 kV.
Both are scaled with 1/kV.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STIRRED_A2 = 1.1
"""Mean square displacement of water molecules for each e⁻/Å² at 300 kV."""


def critical_dose(frequency: Floats, voltage_kv: float) -> Floats:
    """Give the dose in e⁻/Å² that leaves 1/e of the signal's power at these spatial frequencies in Å⁻¹."""
    with np.errstate(divide="ignore"):
        at_300 = 0.245 * frequency**-1.665 + 2.81
    return np.asarray(at_300 / _harm(voltage_kv))


def signal_left(frequency: Floats, begin: float, end: float, voltage_kv: float) -> Floats:
    """Give the particles' amplitude, mean over the dose from ``begin`` to ``end`` in e⁻/Å², as a fraction."""
    rate = 1 / (2 * critical_dose(frequency, voltage_kv))
    width = end - begin
    if width <= 0:
        return np.asarray(np.exp(-rate * begin))
    return np.asarray(np.exp(-rate * begin) * _mean_decay(rate * width))


def ice_power_left(frequency: Floats, dose: float, voltage_kv: float) -> Floats:
    """Give the power of ice in the mean over a dose, as a fraction of a snapshot's: stirred water averages out."""
    rate = 2 * math.pi**2 * frequency**2 * STIRRED_A2 / 3 * _harm(voltage_kv)
    x = np.maximum(rate * dose, 1e-9)
    # Mean over all pairs of moments of exp(-|difference|); a series where the closed form cancels.
    return np.asarray(np.where(x < 1e-3, 1 - x / 3, 2 * (x - 1 + np.exp(-x)) / x**2))


def _mean_decay(x: Floats) -> Floats:
    x = np.maximum(x, 1e-12)
    return np.asarray(-np.expm1(-x) / x)


def _harm(voltage_kv: float) -> float:
    """Say how much more harm an electron does than one of 300 kV: 1.25 times at 200 kV."""
    return 1 + 0.25 * (300.0 / voltage_kv - 1) / 0.5
