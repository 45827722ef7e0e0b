"""An exposure from the state of the instrument: its sum, or its frames."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ....protocols.preset import Preset
from ..grid.cells import key
from ..grid.openings import SquareKind
from ..instrument.instrument import Instrument
from . import render_exposure, render_survey
from .amorphous import spot_weights
from .beam_motion import induced_path_px
from .exposure_scene import Scene, Setting
from .half_plane import HalfPlane
from .illuminated import layers_seen, light_of, matter_of
from .lens import Aberrations, Coherence, focal_spread_a, phase_per_nm, wavelength_a
from .particles import particles_in
from .specimen import Layer, Layers, Stain, View

COARSE = 8
"""At exposure level ice and film are worked out on every so-many-th pixel."""

FRINGES_REACH = 48
"""Coarse pixels by which the film is mirrored beyond the picture, for the fringes at its edges."""

REACH_A = 66.0
"""So far the lens carries what particles outside send into the picture: λ Δf k at 1.5 µm, 6 Å and 200 kV."""

BEAM_EDGE = 25.0
"""Sharpness of the beam's edge: it fades over this part of its radius (as one over)."""


def exposure_sum(
    instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain], most: int
) -> NDArray[np.int16]:
    """Render the sum of an exposure's frames as it is read out unaligned: counts up to ``most``, (rows, cols)."""
    rng, scene, setting = _taken(instrument, preset, at, marks)
    path = path_px(instrument, preset, at, setting.pixel_size_a, rng)
    return render_exposure.render_sum(scene, setting, path, rng, most)


def movie(
    instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain], most: int
) -> Iterator[NDArray[np.uint8] | Layer]:
    """Render the frames one after the other: counts up to ``most``, each (rows, cols)."""
    rng, scene, setting = _taken(instrument, preset, at, marks)
    path = path_px(instrument, preset, at, setting.pixel_size_a, rng)
    return render_exposure.render_frames(scene, setting, path, rng, most)


def aberrations(instrument: Instrument, preset: Preset, at: datetime) -> Aberrations:
    """Give what the objective lens does to an image with this preset: what is set, and what image shift adds."""
    optics = instrument.profile.optics
    defocus = instrument.true_defocus_um(instrument.looked_at(at, preset), at)
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([instrument.seed, 5])))
    own = optics.astigmatism_a * rng.uniform(0.5, 1.5) * np.exp(2j * rng.uniform(0, math.pi))
    _, rotation = instrument.true_level(preset)
    shift = complex(*(instrument.shift_matrix @ [instrument.state.shift_x_um, instrument.state.shift_y_um]))
    # Beyond the axis astigmatism grows along one direction, and the beam is tilted along another.
    turns = rng.uniform(0, 2 * math.pi, 2)
    total = own + optics.shift_astigmatism_a_per_um * shift * np.exp(1j * turns[0])
    tilt = 1e-3 * optics.shift_tilt_mrad_per_um * shift * np.exp(1j * (turns[1] - math.radians(rotation)))
    return Aberrations(
        wavelength_a=wavelength_a(optics.voltage_kv),
        cs_a=optics.cs_mm * 1e7,
        amplitude_contrast=optics.amplitude_contrast,
        defocus_a=-defocus * 1e4,
        astigmatism_a=float(abs(total)),
        angle_rad=float(np.angle(total)) / 2 - math.radians(rotation),
        phase_shift_rad=math.radians(optics.phase_shift_deg),
        tilt_rad=(float(tilt.imag), float(tilt.real)),
    )


def path_px(
    instrument: Instrument, preset: Preset, at: datetime, pixel_a: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Follow the specimen over the frames' edges, in pixels: the beam's doing, the stage's drift, a fill's shaking."""
    path = induced_path_px(preset.frames, preset.dose_e_per_a2, pixel_a, rng)
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


def _taken(
    instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]
) -> tuple[np.random.Generator, Scene, Setting]:
    optics, world = instrument.profile.optics, instrument.world
    view = instrument.view(preset, at)
    setting = Setting(
        optics=aberrations(instrument, preset, at),
        coherence=Coherence(
            focal_spread_a(optics.voltage_kv, optics.cc_mm, optics.energy_spread_ev, optics.lens_instability_ppm),
            optics.convergence_mrad * 1e-3,
            optics.vibration_b_a2 + (world.spec.b_a2 if world else 0.0),
        ),
        camera=instrument.profile.camera,
        voltage_kv=optics.voltage_kv,
        pixel_size_a=view.pixel_um * 1e4,
        shape=(view.rows, view.cols),
        margin_px=math.ceil(REACH_A / (view.pixel_um * 1e4)),
    )
    layers = layers_seen(instrument, view.coarser(COARSE), marks)
    paths, gold = matter_of(instrument, preset)
    through = render_survey.transmitted(layers, paths, gold, 0.0, view.pixel_um, optics.voltage_kv)
    lit = through * _beam(instrument, preset, at, through.shape)
    if float(np.ptp(layers.film_nm)) > 1.0:
        lit *= 1 + _fringes(layers, setting, gold, paths.film_nm)
    scene = Scene(
        ice_nm=_plain(layers.ice_nm, setting.shape),
        film_nm=_plain(layers.film_nm, setting.shape),
        gold=gold,
        phase=None
        if world is None
        else particles_in(world, view, layers, COARSE, optics.voltage_kv, setting.padded, setting.margin_px),
        electrons=_plain(lit, setting.shape),
        thickness_nm=float((layers.ice_nm + layers.film_nm).mean()),
        dose_e_per_a2=preset.dose_e_per_a2 * instrument.beam(at),
        exposure_s=preset.exposure_s,
        coherent=_coherent(instrument, preset, layers, gold),
        spots=_crystals(instrument, view),
    )
    return instrument.rng("pixels"), scene, setting


def _coherent(instrument: Instrument, preset: Preset, layers: Layers, gold: bool) -> float:
    """Give the share of the electrons that have lost no energy; with the slit in no others come."""
    matter = instrument.profile.matter
    if preset.slit_ev is not None and instrument.profile.optics.energy_filter:
        return 1.0
    film_path = matter.gold_inelastic_path_nm if gold else matter.carbon_inelastic_path_nm
    lost = float(layers.ice_nm.mean()) / matter.ice_inelastic_path_nm + float(layers.film_nm.mean()) / film_path
    return math.exp(-lost)


def _beam(instrument: Instrument, preset: Preset, at: datetime, shape: tuple[int, ...]) -> Layer:
    """Give the electrons that fall on each coarse pixel's pixels: an even disc."""
    light = light_of(instrument, preset, at)
    rows = (np.arange(shape[0]) + 0.5)[:, None] * COARSE - light.centre_px[0]
    cols = (np.arange(shape[1]) + 0.5)[None, :] * COARSE - light.centre_px[1]
    out = (rows**2 + cols**2) / light.radius_px**2
    return np.asarray(light.electrons * np.clip((1 - out) * BEAM_EDGE, 0, 1), np.float32)


def _fringes(layers: Layers, setting: Setting, gold: bool, path_nm: float) -> Layer:
    """Give the contrast of the fringes at the film's edges, on coarse pixels."""
    film = layers.film_nm * np.float32(phase_per_nm(setting.voltage_kv, "gold" if gold else "carbon"))
    # Of the wave behind a heavy film little is coherent enough to interfere.
    film *= np.exp(layers.film_nm * np.float32(-1.5 / path_nm))
    edge = FRINGES_REACH
    film = np.pad(film, edge, mode="reflect")
    plane = HalfPlane(film.shape, setting.pixel_size_a * COARSE)
    wave = np.asarray(scipy.fft.rfft2(film, workers=1))
    wave *= -2 * np.sin(plane.phase(setting.optics, slice(0, film.shape[0])))
    wave[0, 0] = 0
    fringes = scipy.fft.irfft2(wave, s=film.shape, workers=1)[edge:-edge, edge:-edge]
    return np.asarray(np.clip(fringes, -0.6, 0.6), np.float32)


def _crystals(instrument: Instrument, view: View) -> NDArray[np.float64] | None:
    """Draw the spots of crystalline ice where a square is full of it: the same at the same place."""
    world = instrument.world
    if world is None:
        return None
    x, y = view.to_grid @ [(view.rows - 1) / 2, (view.cols - 1) / 2, 1.0]
    if int(world.squares_at(x[None], y[None]).kind[0]) != SquareKind.CRYSTALLINE:
        return None
    return spot_weights(np.random.default_rng(key("spots", world.seed, round(float(x)), round(float(y)))))


def _plain(layer: Layer, shape: tuple[int, int]) -> Layer | float:
    """Keep one number where a layer hardly varies, else enlarge it to the pixels of the exposure."""
    low, high = float(layer.min()), float(layer.max())
    if high - low <= 0.02 * abs(high):
        return float(layer.mean())
    fine = cv2.resize(layer, None, fx=COARSE, fy=COARSE, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[: shape[0], : shape[1]], np.float32)
