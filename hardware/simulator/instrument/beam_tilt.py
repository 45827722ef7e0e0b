"""Defocus measured as instruments do: pictures under tilted beams, displaced in proportion to the defocus.

Only the signal that all pictures share is displaced; each has shot noise of its own. So the measurement is as good as
what lies there to be seen: film carries it, empty holes and bars do not.
"""

import math
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ....protocols.preset import Preset
from ..grid.cells import key, normal
from ..pictures import render_survey
from ..pictures.amorphous import film_power, ice_power
from ..pictures.illuminated import layers_seen, light_of, matter_of
from ..pictures.lens import wavelength_a
from ..pictures.specimen import Layer, Layers
from .displacement import displacement
from .instrument import Instrument

SIDE_PX = 512
"""Side of the pictures: the camera binned, its middle."""

COARSE_NODES = 4
"""Ice and film are worked out on every so-many-th pixel."""

FINE_UM, WIDE_UM = 0.4096, 6.4
"""Side of the field of pictures at focus level, and of those at hole level."""

BETWEEN_S = 2.0
"""Time from one picture to the next; assumed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A defocus in µm, underfocus negative, and how far the correlation's peak stood out of its noise."""

    defocus_um: float
    clear: float


@dataclass(frozen=True, slots=True)
class Signal:
    """What all pictures of one place share: phase noise as waves, expected electrons per pixel without it, pixel in Å.

    ``lit`` is (rows, cols); ``waves`` its half-plane of frequencies.
    """

    waves: NDArray[np.complex64]
    lit: Layer
    pixel_a: float


def signal_at(instrument: Instrument, preset: Preset, dose_e_per_a2: float, field_um: float) -> Signal:
    """Look up what lies in the middle of the beam, for pictures of this field and dose each."""
    at = instrument.clock.now()
    pixel_a = field_um * 1e4 / SIDE_PX
    seen = preset.model_copy(
        update={
            "rows_px": SIDE_PX,
            "cols_px": SIDE_PX,
            "pixel_size_a": pixel_a,
            "dose_e_per_a2": dose_e_per_a2,
            "binning": 1,
        }
    )
    view = instrument.view(seen, at)
    layers = layers_seen(instrument, view.coarser(COARSE_NODES), ())
    paths, gold = matter_of(instrument, preset)
    voltage = instrument.profile.optics.voltage_kv
    through = render_survey.transmitted(layers, paths, gold, 0.0, view.pixel_um * COARSE_NODES, voltage)
    fine = cv2.resize(np.asarray(through, np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    lit = np.asarray(fine * np.float32(light_of(instrument, seen, at).electrons), np.float32)
    k = _frequency(pixel_a)
    power = float(layers.ice_nm.mean()) * ice_power(k, voltage) + float(layers.film_nm.mean()) * film_power(
        k, voltage, gold
    )
    rng = instrument.rng(f"signal {field_um}")
    white = scipy.fft.rfft2(rng.standard_normal((SIDE_PX, SIDE_PX), dtype=np.float32), workers=1)
    size = np.sqrt(power) / pixel_a * _coherent(instrument, preset, layers, gold)
    return Signal(np.asarray(white * size.astype(np.float32)), lit, pixel_a)


def _coherent(instrument: Instrument, preset: Preset, layers: Layers, gold: bool) -> float:
    """Give the share of the electrons that interfere: not those that have lost energy, unless a slit stops them."""
    matter, optics = instrument.profile.matter, instrument.profile.optics
    if preset.slit_ev is not None and optics.energy_filter:
        return 1.0
    film_path = matter.gold_inelastic_path_nm if gold else matter.carbon_inelastic_path_nm
    lost = float(layers.ice_nm.mean()) / matter.ice_inelastic_path_nm + float(layers.film_nm.mean()) / film_path
    return math.exp(-lost)


def measure(instrument: Instrument, signal: Signal, defocus_um: float, tilt_mrad: float, turn: int) -> Measured:
    """Measure a defocus that truly is ``defocus_um`` by three pictures: tilted one way, the other, and back.

    The ways there and back together cancel a steady drift. ``turn`` numbers the measurements of one act.
    """
    optics, now = instrument.profile.optics, instrument.clock.now()
    tilt = tilt_mrad * 1e-3
    true_tilt = tilt * (1 + tilt_error(instrument))
    shift_a = true_tilt * (defocus_um * 1e4 - optics.cs_mm * 1e7 * true_tilt**2)
    rng = instrument.rng(f"beam tilt {turn}")
    drift = _drift_a(instrument, now, rng)
    contrast = signal.waves * _transfer(instrument, signal.pixel_a, defocus_um)
    pictures = [
        _picture(signal, contrast, np.array([0.0, side * shift_a]) + drift[n], rng) for n, side in enumerate((1, -1, 1))
    ]
    noise = float(signal.lit.mean())
    there, back = displacement(pictures[0], pictures[1], noise), displacement(pictures[2], pictures[1], noise)
    moved_a = -(there.col + back.col) / 2 * signal.pixel_a
    aberration_um = optics.cs_mm * 1e3 * tilt**2
    return Measured(moved_a / (2 * tilt) * 1e-4 + aberration_um, min(there.clear, back.clear))


def tilt_error(instrument: Instrument) -> float:
    """Give by which fraction the beam tilts more than it is told."""
    return instrument.profile.focusing.beam_tilt_error * float(normal(key("beam tilt", instrument.seed), "scale", 0))


def scale_offset_um(instrument: Instrument, sought_um: float) -> float:
    """Give true defocus less sought where fine tilts measure the sought one: the same for all that one instrument does.

    It is what `measure` finds without noise, solved for the true defocus.
    """
    tilt, cs_um = instrument.profile.focusing.beam_tilts_mrad[1] * 1e-3, instrument.profile.optics.cs_mm * 1e3
    scale = 1 + tilt_error(instrument)
    return (sought_um - cs_um * tilt**2) / scale + cs_um * (tilt * scale) ** 2 - sought_um


def _picture(
    signal: Signal, contrast: NDArray[np.complex64], moved_a: NDArray[np.float64], rng: np.random.Generator
) -> Layer:
    """Expose once, the specimen's image moved by so many Å (row, col)."""
    row, col = moved_a / signal.pixel_a
    if max(abs(row), abs(col)) > SIDE_PX / 2:
        # All that was in view has left it.
        contrast, row, col = contrast[::-1], row % SIDE_PX, col % SIDE_PX
    ky, kx = np.fft.fftfreq(SIDE_PX)[:, None], np.fft.rfftfreq(SIDE_PX)[None, :]
    ramp = np.exp(-2j * math.pi * ky * row).astype(np.complex64) * np.exp(-2j * math.pi * kx * col).astype(np.complex64)
    image = scipy.fft.irfft2(contrast * ramp, s=(SIDE_PX, SIDE_PX), workers=1)
    image += np.float32(1)
    moves = np.array([[1, 0, col], [0, 1, row]], np.float64)
    image *= cv2.warpAffine(signal.lit, moves, signal.lit.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    image = np.maximum(image, 0)
    return np.asarray(image + np.sqrt(image) * rng.standard_normal(image.shape, dtype=np.float32), np.float32)


def _drift_a(instrument: Instrument, now: datetime, rng: np.random.Generator) -> NDArray[np.float64]:
    """Follow the specimen over the three pictures, Å (3, 2): what the stage carries it, and what shakes it."""
    state = instrument.state
    shaking = instrument.shaking_a_per_s(now)
    carried = max(instrument.drift_rate(now) - shaking, 0.0) * BETWEEN_S * np.arange(3)[:, None]
    along = np.array([math.sin(state.drift_turn_rad), math.cos(state.drift_turn_rad)])
    return np.asarray(carried * along + shaking * 0.5 * rng.standard_normal((3, 2)))


def _transfer(instrument: Instrument, pixel_a: float, defocus_um: float) -> NDArray[np.float32]:
    optics = instrument.profile.optics
    wave, k2 = wavelength_a(optics.voltage_kv), _frequency(pixel_a) ** 2
    underfocus_a = -defocus_um * 1e4
    chi = math.pi * wave * underfocus_a * k2 - 0.5 * math.pi * optics.cs_mm * 1e7 * wave**3 * k2**2
    # A beam that is not quite parallel washes out the fringes of large defoci.
    spread = (math.pi * optics.convergence_mrad * 1e-3 * underfocus_a) ** 2 * k2
    out = -2 * np.sin(chi + math.asin(optics.amplitude_contrast)) * np.exp(-spread)
    return np.asarray(out, np.float32)


def _frequency(pixel_a: float) -> NDArray[np.float64]:
    rows, cols = np.fft.fftfreq(SIDE_PX, pixel_a)[:, None], np.fft.rfftfreq(SIDE_PX, pixel_a)[None, :]
    return np.asarray(np.hypot(rows, cols))
