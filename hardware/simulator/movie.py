"""The frames of an exposure, from the state of the instrument."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ...protocols.preset import Preset
from . import render_exposure, render_survey
from .illuminated import layers_seen, light_of, matter_of
from .instrument import Instrument
from .lens import Aberrations, wavelength_a
from .particles import particles_in
from .specimen import Layer, Stain

COARSE = 16
"""At exposure level ice and film are worked out on every so-many-th pixel."""


def movie(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> Iterator[Layer]:
    """Render the frames one after the other, counts, each (rows, cols)."""
    shape = (preset.rows_px, preset.cols_px)
    view, camera = instrument.view(preset, at), instrument.profile.camera
    coarse = view.coarser(COARSE)
    layers = layers_seen(instrument, coarse, marks)
    paths, gold = matter_of(instrument)
    through = render_survey.transmitted(layers, paths, gold, 0.0, view.pixel_um, instrument.profile.optics.voltage_kv)
    rng, world = instrument.rng("pixels"), instrument.world
    power = layers.ice_nm * np.float32(render_exposure.ICE_POWER) + layers.film_nm * np.float32(
        render_exposure.FILM_POWER
    )
    expected = light_of(instrument, preset, at).electrons * through
    scene = render_exposure.Scene(
        noise_power=_plain(power, shape),
        particles=None if world is None else particles_in(world, view, layers, COARSE),
        electrons=_plain(expected, shape),
        thickness_nm=float((layers.ice_nm + layers.film_nm).mean()),
    )
    optics = _aberrations(instrument, preset, at)
    envelope = instrument.profile.optics.vibration_b_a2 + (world.spec.b_a2 if world else 0.0)
    pixel_a = view.pixel_um * 1e4
    spectrum = render_exposure.exit_spectrum(scene, optics, envelope, shape, pixel_a, rng)
    path = path_px(instrument, preset, at, pixel_a, rng)
    return render_exposure.frames_of(spectrum, scene, path, shape, camera.dark_e_per_px, rng)


def _plain(layer: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32] | float:
    """Keep one number where a layer hardly varies."""
    low, high = float(layer.min()), float(layer.max())
    if high - low <= 0.02 * abs(high):
        return float(layer.mean())
    return render_exposure.enlarged(layer, shape)


def _aberrations(instrument: Instrument, preset: Preset, at: datetime) -> Aberrations:
    optics = instrument.profile.optics
    defocus = instrument.true_defocus_um(instrument.looked_at(at, preset), at)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([instrument.seed, 5])))
    size = optics.astigmatism_a * rng.uniform(0.5, 1.5)
    _, rotation = instrument.true_level(preset)
    return Aberrations(
        wavelength_a=wavelength_a(optics.voltage_kv),
        cs_a=optics.cs_mm * 1e7,
        amplitude_contrast=optics.amplitude_contrast,
        defocus_a=-defocus * 1e4,
        astigmatism_a=float(size),
        angle_rad=float(rng.uniform(0, math.pi)) - math.radians(rotation),
    )


def path_px(
    instrument: Instrument, preset: Preset, at: datetime, pixel_a: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Follow the specimen over the frames' edges, in pixels: the beam's doing, the stage's drift, a fill's shaking."""
    path = render_exposure.induced_path_px(preset.frames, preset.dose_e_per_a2, pixel_a, rng)
    state = instrument.state
    times = np.linspace(0, preset.exposure_s, preset.frames + 1)
    since = 0.0 if state.moved_at is None else (at - state.moved_at).total_seconds()
    tau = state.drift_tau_s
    carried = state.drift_a_per_s * math.exp(-since / tau) * tau * (1 - np.exp(-times / tau))
    carried += instrument.profile.stage.drift_floor_a_per_s * times
    _, rotation = instrument.true_level(preset)
    turn = state.drift_turn_rad - math.radians(rotation)
    path += np.outer(carried / pixel_a, [math.sin(turn), math.cos(turn)])
    shaking = instrument.shaking_a_per_s(at)
    if shaking > 0.0:
        shaken = rng.standard_normal(path.shape) * shaking * preset.exposure_s / preset.frames / pixel_a
        path += np.cumsum(shaken, axis=0)
    return path
