"""Taking an image: the dose is given and written down first, then the picture is rendered and written."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files.mrc import is_whole, read_metadata, write_mrc
from ...protocols.errors import BadInput
from ...protocols.preset import Preset
from ..errors import CameraTimeout, DiskFull, TargetFault
from ..records import Acquired, ImageShift, Shot, StagePosition
from . import render_exposure, render_survey, stage
from .cells import uniform
from .instrument import Instrument
from .lens import Aberrations, wavelength_a
from .memory import Dose
from .render_survey import Light, Paths
from .specimen import Layers, Stain, View, lay_out
from .world import GridWorld

COARSE = 16
"""At exposure level ice and film are worked out on every so-many-th pixel."""

PARTICLE_CELL_UM = 0.05

MARK_REACH_UM = 5.0
"""The mark of an exposure reaches no further from its centre."""


def acquire(instrument: Instrument, shot: Shot, name: str) -> Acquired:
    """Expose and write.

    Raises
    ------
    TargetFault
        An exposure of this name is on disk; the ice has been spent on it already.
    CameraTimeout, DiskFull
        As a fault asks.
    """
    path = _path(instrument, name)
    preset = shot.preset
    if preset.level == "exposure" and path.exists():
        raise TargetFault(f"{name} is an exposure that is on disk already; it is never taken over, give another name")
    if "disk-full" in instrument.striking:
        raise DiskFull(f"{name}: the images' disk is full; make room on it")
    if instrument.state.preset != preset:
        instrument.state.preset = preset
        instrument.spend(instrument.profile.times.preset, "preset")
    begun = instrument.clock.now()
    marks = instrument.stains()
    dose = give_dose(instrument, preset, name, preset.dose_e_per_a2)
    pixels = _render(instrument, shot, begun, marks)
    instrument.clock.sleep(preset.exposure_s)
    instrument.spend(instrument.profile.times.acquire[preset.level], "acquire")
    if "camera-timeout" in instrument.striking:
        raise CameraTimeout(f"{name}: the camera gave no image in time; the specimen may have been exposed")
    answer = _answer(instrument, shot, name, path, pixels, begun, dose)
    write_mrc(path, pixels, preset.pixel_size_a, metadata=_as_metadata(answer))
    return answer


def stored(instrument: Instrument, name: str) -> Acquired | None:
    """Read back what is on disk under a name."""
    path = _path(instrument, name)
    if not is_whole(path):
        return None
    return _from_metadata(path, read_metadata(path))


def give_dose(instrument: Instrument, preset: Preset, name: str, dose: float) -> float:
    """Write the dose into the ledger and let the specimen have it; returns what reached the specimen."""
    state, now = instrument.state, instrument.clock.now()
    slot = state.on_stage
    given = dose * instrument.beam(now)
    if slot is None or given == 0.0:
        return given
    x, y = instrument.to_grid(instrument.looked_at(now, preset))
    entry = Dose(
        name, slot, state.loads[slot], preset.level, float(x), float(y), preset.beam_diameter_um / 2, given, now
    )
    instrument.memory.write_dose(entry)
    instrument.doses.append(entry)
    return given


def _render(instrument: Instrument, shot: Shot, at: datetime, marks: Sequence[Stain]) -> NDArray[Any]:
    if shot.preset.level in ("atlas", "square", "hole"):
        return _survey(instrument, shot.preset, at, marks)
    frames = _movie(instrument, shot.preset, at, marks)
    if shot.save_frames and len(frames) > 1:
        return frames.astype(np.int8) if frames.max() <= 127 else frames
    return np.asarray(frames.sum(axis=0, dtype=np.int16) if len(frames) > 1 else frames[0])


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


def _movie(instrument: Instrument, preset: Preset, at: datetime, marks: Sequence[Stain]) -> NDArray[np.int16]:
    shape = (preset.rows_px, preset.cols_px)
    view, camera = instrument.view(preset, at), instrument.profile.camera
    coarse = View(view.to_grid * [COARSE, COARSE, 1.0], -(-shape[0] // COARSE), -(-shape[1] // COARSE))
    coarse.to_grid[:, 2] += view.to_grid[:, :2].sum(axis=1) * (COARSE - 1) / 2
    layers = _layers(instrument, coarse, marks)
    paths, gold = _matter(instrument)
    through = render_survey.transmitted(layers, paths, gold, 0.0, view.pixel_um, instrument.profile.optics.voltage_kv)
    rng = instrument.rng("pixels")
    power = layers.ice_nm * np.float32(render_exposure.ICE_POWER) + layers.film_nm * np.float32(
        render_exposure.FILM_POWER
    )
    expected = _light(instrument, preset, at).electrons * through
    scene = render_exposure.Scene(
        noise_power=_plain(power, shape),
        particles=_particles(instrument, preset, view, layers),
        electrons=_plain(expected, shape),
        thickness_nm=float((layers.ice_nm + layers.film_nm).mean()),
    )
    optics = _aberrations(instrument, preset, at)
    world = instrument.world
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


def _particles(instrument: Instrument, preset: Preset, view: View, layers: Layers) -> NDArray[np.float32] | None:
    world = instrument.world
    if world is None or world.spec.particles_per_um2 <= 0:
        return None
    spots = _particle_spots(world, view)
    at = view.pixels_of(spots)
    row, col = np.clip((at / COARSE).astype(int), 0, [n - 1 for n in layers.ice_nm.shape]).T
    ice = layers.ice_nm[row, col]
    size_nm = world.spec.particle_a / 10
    # Thin ice squeezes particles out; film and bars hide them.
    wet = (
        np.clip((ice - 0.6 * size_nm) / (0.6 * size_nm), 0, 1)
        * (layers.film_nm[row, col] < 3.0)
        * layers.free[row, col]
    )
    kept = wet > uniform(world.seed, "squeezed", np.arange(len(spots)))
    if not kept.any():
        return None
    views = render_exposure.particle_views(world.spec.particle_a, view.pixel_um * 1e4, world.seed & 0xFFFFFFFF)
    which = np.nonzero(kept)[0]
    return render_exposure.place_particles((preset.rows_px, preset.cols_px), at[kept], views, which)


def _particle_spots(world: GridWorld, view: View) -> NDArray[np.float64]:
    """Give the places of all particles there could be in this view, (n, 2), grid's frame."""
    corners = view.corners / PARTICLE_CELL_UM
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    mean = world.spec.particles_per_um2 * PARTICLE_CELL_UM**2
    most = max(math.ceil(mean * 3), 3)
    i, j, n = (part.ravel() for part in np.mgrid[low[0] : high[0], low[1] : high[1], 0:most])
    there = uniform(world.seed, "particle", i * 64 + n, j) < mean / most
    i, j, n = i[there], j[there], n[there]
    x = i + uniform(world.seed, "particle x", i * 64 + n, j)
    y = j + uniform(world.seed, "particle y", i * 64 + n, j)
    return np.asarray(np.stack([x, y], axis=1) * PARTICLE_CELL_UM)


def _answer(
    instrument: Instrument, shot: Shot, name: str, path: Path, pixels: NDArray[Any], begun: datetime, given: float
) -> Acquired:
    preset, state = shot.preset, instrument.state
    frames = len(pixels) if pixels.ndim == 3 else 1
    return Acquired(
        name=name,
        path=path,
        preset=preset.level,
        pixel_size_a=preset.pixel_size_a,
        image_to_stage=instrument.nominal(preset),
        stage=stage.position(instrument),
        image_shift=ImageShift(state.shift_x_um, state.shift_y_um),
        defocus_um=state.defocus_um,
        dose_e_per_a2=preset.dose_e_per_a2,
        frames=frames,
        mean_counts=float(pixels.sum(dtype=np.int64)) / pixels[0].size if frames > 1 else float(pixels.mean()),
        started_at=begun,
        ended_at=instrument.clock.now(),
        details={"magnification": preset.magnification, "slot": state.on_stage},
    )


def _as_metadata(answer: Acquired) -> dict[str, Any]:
    plain = asdict(replace(answer, path=None))
    return {**plain, "started_at": answer.started_at.isoformat(), "ended_at": answer.ended_at.isoformat()}


def _from_metadata(path: Path, kept: Mapping[str, Any]) -> Acquired | None:
    try:
        (a, b, c), (d, e, f) = kept["image_to_stage"]
        return Acquired(
            **{
                **kept,
                "path": path,
                "image_to_stage": ((a, b, c), (d, e, f)),
                "stage": StagePosition(**kept["stage"]),
                "image_shift": ImageShift(**kept["image_shift"]),
                "started_at": datetime.fromisoformat(kept["started_at"]),
                "ended_at": datetime.fromisoformat(kept["ended_at"]),
            }
        )
    except (KeyError, TypeError, ValueError):
        return None


def _path(instrument: Instrument, name: str) -> Path:
    if not re.fullmatch(r"[\w.+=@-]{1,200}", name):
        raise BadInput(f"{name!r} cannot be an image's name; use letters, digits and . _ + - only")
    return instrument.images / f"{name}.mrc"
