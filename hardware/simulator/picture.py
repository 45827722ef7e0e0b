"""The picture the camera takes now: specimen, lens and camera put together from the state of the instrument."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...protocols.preset import Preset
from ..records import Shot
from . import render_exposure, render_survey
from .instrument import Instrument
from .lens import Aberrations, wavelength_a
from .particles import particles_in
from .render_survey import Light, Paths
from .specimen import Layer, Layers, Stain, View, lay_out

COARSE = 16
"""At exposure level ice and film are worked out on every so-many-th pixel."""

MOST_IN_A_BYTE = 127

MARK_REACH_UM = 5.0
"""The mark of an exposure reaches no further from its centre."""


def take(instrument: Instrument, shot: Shot, at: datetime, marks: Sequence[Stain]) -> NDArray[Any]:
    """Render what the camera reads out: (rows, cols), or (frames, rows, cols) where frames are saved; counts."""
    if shot.preset.level in ("atlas", "square", "hole"):
        return _survey(instrument, shot.preset, at, marks)
    frames = _movie(instrument, shot.preset, at, marks)
    if not shot.save_frames or shot.preset.frames == 1:
        return sum(frames, np.zeros((shot.preset.rows_px, shot.preset.cols_px), np.float32)).astype(np.int16)
    # One byte for each count where that is enough: a movie is most of what a night leaves on the disk.
    per_frame = shot.preset.dose_e_per_a2 * shot.preset.pixel_size_a**2 / shot.preset.frames
    kind = np.int8 if per_frame + 10 * math.sqrt(per_frame) + 10 <= MOST_IN_A_BYTE else np.int16
    movie = np.empty((shot.preset.frames, shot.preset.rows_px, shot.preset.cols_px), kind)
    for number, frame in enumerate(frames):
        movie[number] = np.minimum(frame, np.iinfo(kind).max)
    return movie


def _survey(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> NDArray[np.int16]:
    view, camera = instrument.view(preset, at), instrument.profile.camera
    layers = _layers(instrument, view, marks)
    defocus = instrument.true_defocus_um(instrument.looked_at(at, preset), at)
    through = render_survey.transmitted(
        layers, *_matter(instrument), defocus, view.pixel_um, instrument.profile.optics.voltage_kv
    )
    light = _light(instrument, preset, at)
    electrons = render_survey.lit(through, light, camera, render_survey.blur_px(camera, defocus, view.pixel_um))
    return render_survey.counted(electrons, camera, instrument.rng("pixels"))


def _movie(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> Iterator[Layer]:
    shape = (preset.rows_px, preset.cols_px)
    view, camera = instrument.view(preset, at), instrument.profile.camera
    coarse = view.coarser(COARSE)
    layers = _layers(instrument, coarse, marks)
    paths, gold = _matter(instrument)
    through = render_survey.transmitted(layers, paths, gold, 0.0, view.pixel_um, instrument.profile.optics.voltage_kv)
    rng, world = instrument.rng("pixels"), instrument.world
    power = layers.ice_nm * np.float32(render_exposure.ICE_POWER) + layers.film_nm * np.float32(
        render_exposure.FILM_POWER
    )
    expected = _light(instrument, preset, at).electrons * through
    scene = render_exposure.Scene(
        noise_power=_plain(power, shape),
        particles=None if world is None else particles_in(world, view, layers, COARSE),
        electrons=_plain(expected, shape),
        thickness_nm=float((layers.ice_nm + layers.film_nm).mean()),
    )
    optics = _aberrations(instrument, preset, at)
    envelope = instrument.profile.optics.source_b_a2 + (world.spec.b_a2 if world else 0.0)
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


def _layers(instrument: Instrument, view: View, marks: Sequence[Stain]) -> Layers:
    world = instrument.world
    if world is None:
        nothing = np.zeros((view.rows, view.cols), np.float32)
        return Layers(nothing, nothing.copy(), np.ones_like(nothing))
    corners = view.corners
    low, high = corners.min(axis=0) - MARK_REACH_UM, corners.max(axis=0) + MARK_REACH_UM
    seen = [mark for mark in marks if low[0] <= mark.x_um <= high[0] and low[1] <= mark.y_um <= high[1]]
    return lay_out(world, view, seen)


def _matter(instrument: Instrument) -> tuple[Paths, bool]:
    matter, world = instrument.profile.matter, instrument.world
    gold = world is not None and world.film.gold
    return Paths(matter.ice_path_nm, matter.gold_path_nm if gold else matter.carbon_path_nm), gold


def _light(instrument: Instrument, preset: Preset, at: datetime) -> Light:
    pixel_a, _ = instrument.true_level(preset)
    return Light(
        electrons=preset.dose_e_per_a2 * pixel_a**2 * instrument.beam(at),
        centre_px=((preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2),
        radius_px=preset.beam_diameter_um / 2 / (pixel_a * 1e-4),
        vignetting=instrument.profile.optics.vignetting,
    )


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
    state, dewars = instrument.state, instrument.profile.dewars
    times = np.linspace(0, preset.exposure_s, preset.frames + 1)
    since = 0.0 if state.moved_at is None else (at - state.moved_at).total_seconds()
    tau = state.drift_tau_s
    carried = state.drift_a_per_s * math.exp(-since / tau) * tau * (1 - np.exp(-times / tau))
    carried += instrument.profile.stage.drift_floor_a_per_s * times
    _, rotation = instrument.true_level(preset)
    turn = state.drift_turn_rad - math.radians(rotation)
    path += np.outer(carried / pixel_a, [math.sin(turn), math.cos(turn)])
    if instrument.filling(at):
        shaken = rng.standard_normal(path.shape) * dewars.drift_a_per_s * preset.exposure_s / preset.frames / pixel_a
        path += np.cumsum(shaken, axis=0)
    return path
