"""Phase noise of what has no order: vitreous ice, carbon, gold grains; and the rings of ice that has crystallised.

Powers are in rad² Å² for each nm of the material. Their height follows from counting: molecules of water, each
0.083 rad Å² of phase at 200 kV, 0.31 on an Å² of 1 nm, would make 2.1e-3 were they thrown at random; what lies close
packed makes far less at low frequencies, and most of it at the distance of neighbours, 3.7 Å.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .lens import phase_per_nm

Floats = NDArray[np.float64]

ICE_FLAT, ICE_PEAK, ICE_PEAK_AT, ICE_PEAK_WIDTH = 2.5e-4, 9.0e-4, 1 / 3.7, 0.045
"""Power of ice at 200 kV where it is flat, what the broad maximum adds, and where that lies in Å⁻¹."""

CARBON_FLAT, CARBON_FALL = 2.6e-3, 0.2
"""Power of carbon at low frequencies at 200 kV and the frequency in Å⁻¹ over which it falls by e."""

GOLD_GRAIN_A = 60.0
"""Size of the crystallites of a gold film; assumed."""

GOLD_FLAT = 0.9
"""Power of gold at low frequencies at 200 kV; assumed, most of the phase of such grains is lost to scattering."""

CRYSTAL_A = (3.90, 3.67, 3.44)
"""Spacings of hexagonal ice: 100, 002 and 101."""

CRYSTAL_WIDTH, CRYSTAL_SPOTS, CRYSTAL_RISE = 1 / 500, 48, 6.0
"""Width of its rings in Å⁻¹ for crystallites of some tens of nm, how many directions stand out, and how far."""


def ice_power(frequency: Floats, voltage_kv: float) -> Floats:
    """Give the power of vitreous ice at spatial frequencies in Å⁻¹."""
    off = (frequency - ICE_PEAK_AT) / ICE_PEAK_WIDTH
    return np.asarray((ICE_FLAT + ICE_PEAK * np.exp(-(off**2) / 2)) * _stronger(voltage_kv))


def film_power(frequency: Floats, voltage_kv: float, gold: bool) -> Floats:
    """Give the power of a carbon or gold film."""
    if gold:
        return np.asarray(GOLD_FLAT / (1 + (GOLD_GRAIN_A * frequency) ** 2) ** 1.5 * _stronger(voltage_kv))
    return np.asarray(CARBON_FLAT * np.exp(-frequency / CARBON_FALL) * _stronger(voltage_kv))


def crystal_rings(ky: NDArray[np.float32], kx: NDArray[np.float32], weights: Floats) -> NDArray[np.float32]:
    """Give the factor by which crystalline ice raises the amplitude of ice at frequencies (ky, kx) in Å⁻¹.

    ``weights`` says how bright each direction is, one row for each ring: crystallites are few, so rings are spots.
    """
    k = np.sqrt(ky * ky + kx * kx)
    rise = np.zeros(k.shape, np.float32)
    near = np.abs(k - np.float32(1 / CRYSTAL_A[1])) < 0.03
    turn = np.arctan2(*np.broadcast_arrays(ky, kx))[near] / math.pi * weights.shape[1]
    direction = np.floor(turn).astype(np.int64) % weights.shape[1]
    for spacing, weight in zip(CRYSTAL_A, weights, strict=True):
        off = (k[near] - np.float32(1 / spacing)) * np.float32(1 / CRYSTAL_WIDTH)
        rise[near] += np.exp(-off * off) * weight[direction].astype(np.float32)
    return np.asarray(1 + np.float32(CRYSTAL_RISE) * rise)


def spot_weights(rng: np.random.Generator) -> Floats:
    """Draw how bright the directions of the three rings are, shape (3, directions), mean about 1."""
    return np.asarray(rng.gamma(0.15, 1 / 0.15, (len(CRYSTAL_A), CRYSTAL_SPOTS)))


def _stronger(voltage_kv: float) -> float:
    return (phase_per_nm(voltage_kv, "ice") / phase_per_nm(200.0, "ice")) ** 2
