"""The one state of the instrument, and where it makes the camera look."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ....protocols.preset import Level, Preset
from ...clock import Clock
from ...records import Affine, Shot, Vacuum
from ..grid.cassette_world import GridSpec
from ..grid.cells import Floats, field, key, normal, uniform
from ..grid.world import GridWorld
from ..pictures import energy_filter
from ..pictures.distortion import Distortion
from ..pictures.specimen import Stain, View
from . import rhythms
from .memory import Dose, Memory
from .profile import Duration, Profile
from .state import State


@dataclass(frozen=True, slots=True)
class Seen:
    """What a camera without pixels hands over: the preset as read out, a thumbnail's counts, and the sightings."""

    preset: Preset
    pixels: NDArray[Any]
    sightings: Mapping[str, Any]


class Eye(Protocol):
    """Says what a picture would show, where none is rendered."""

    def take(self, instrument: "Instrument", shot: Shot, at: datetime, marks: Sequence[Stain]) -> Seen:
        """Look at what the camera would take now."""
        ...

    def focused(self, instrument: "Instrument", table: Literal["height", "autofocus"]) -> Floats | None:
        """Say how far off a measurement of height or focus here is; None where it finds nothing."""
        ...

    def presets(self, presets: Mapping[Level, Preset]) -> Mapping[Level, Preset]:
        """Give presets as this camera reads them out."""
        ...

    def whole(self, instrument: "Instrument", preset: Preset) -> Preset:
        """Give a preset as the camera counts, before its pixels are summed."""
        ...


SHOWS_E_PER_A2 = 20.0
"""A dose from which a mark is seen at low magnification; assumed."""


@dataclass(frozen=True, slots=True)
class Seating:
    """How a grid lies on the stage after one load: its centre in the stage's frame, its turn, its height."""

    x_um: float
    y_um: float
    turn_rad: float
    z_um: float


class Instrument:
    """State, numbers and world together; the acts of the other modules work on it."""

    def __init__(
        self,
        profile: Profile,
        grids: dict[int, GridSpec],
        seed: int,
        clock: Clock,
        memory: Memory,
        images: Path,
        state: State,
        doses: list[Dose],
    ) -> None:
        self.profile = profile
        self.grids = grids
        self.seed = seed
        self.clock = clock
        self.memory = memory
        self.images = images
        self.state = state
        self.doses = doses
        self.striking: frozenset[str] = frozenset()
        self.eye: Eye | None = None
        self._own = key("instrument", seed)
        self._worlds: dict[int, GridWorld] = {}

    def keep(self) -> None:
        """Write the state down; on return a killed process cannot lose it."""
        self.memory.write_state(self.state)

    def rng(self, name: str) -> np.random.Generator:
        """Give the present act's generator for one purpose."""
        stable = zlib.crc32(name.encode())
        return np.random.Generator(np.random.SFC64(np.random.SeedSequence([self.seed, self.state.acts, stable])))

    def spend(self, duration: Duration, name: str) -> float:
        """Let an act take its time; returns the seconds."""
        seconds = duration.draw(float(self.rng(name).standard_normal()))
        self.clock.sleep(seconds)
        return seconds

    def hours(self, at: datetime | None = None) -> float:
        """Give the hours since the start of the night."""
        return ((at or self.clock.now()) - self.state.started).total_seconds() / 3600

    @property
    def world(self) -> GridWorld | None:
        """The grid on the stage."""
        grid = self.grid_on_stage
        if grid is None:
            return None
        if grid not in self._worlds:
            self._worlds = {grid: GridWorld(self.seed, grid, self.grids[grid])}
        return self._worlds[grid]

    @property
    def grid_on_stage(self) -> int | None:
        """Which grid it really is, by the slot it began the night in."""
        state = self.state
        return None if state.on_stage is None else state.grid or state.on_stage

    def grid_in(self, slot: int) -> int | None:
        """Say which grid really belongs to a slot now; None for an empty one."""
        grid = self.state.in_slot.get(slot, slot)
        return grid if grid in self.grids else None

    @property
    def seating(self) -> Seating:
        """How the grid on the stage lies; a new load gives a new answer."""
        slot = self.state.on_stage or 0
        return seating_of(self.profile, self.seed, slot, self.state.loads.get(slot, 0))

    @cached_property
    def sensor_key(self) -> int:
        """Name of the camera's sensor, from which its faults follow."""
        return key("sensor", self.seed)

    def beam_offset(self, preset: Preset) -> Floats:
        """Give how far the beam's middle lies from the image's, (row, col), as a fraction of the beam's radius."""
        draws = normal(self._own, f"beam centre {preset.level}", np.arange(2))
        return self.profile.optics.beam_centre_error * draws

    @cached_property
    def shift_matrix(self) -> Floats:
        """What a commanded image shift really does at the start, (2, 2): the calibration is slightly wrong."""
        optics = self.profile.optics
        draws = normal(self._own, "image shift", np.arange(3))
        turn = math.radians(optics.image_shift_rotation_error_deg * draws[0])
        scale = np.diag(1 + optics.image_shift_scale_error * draws[1:])
        return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]) @ scale

    def shift_matrix_at(self, at: datetime) -> Floats:
        """Give what a commanded image shift really does, (2, 2): the calibration drifts over the hours."""
        optics, hours = self.profile.optics, np.array([[0.0], [self.hours(at)]])
        apart = 1e3 * optics.image_shift_wander_h * np.arange(4)[None, :]
        start, now = field(self._own, "image shift wanders", hours, apart, optics.image_shift_wander_h)
        wandered = np.eye(2) + optics.image_shift_wander * (now - start).reshape(2, 2)
        return np.asarray(self.shift_matrix @ wandered)

    def true_level(self, preset: Preset) -> tuple[float, float]:
        """Give the true pixel size in Å and rotation in degrees of a preset."""
        optics, level = self.profile.optics, self.profile.levels[preset.level]
        draws = normal(self._own, f"level {preset.level}", np.arange(2))
        scale = 1 + optics.scale_error * float(draws[0])
        return preset.pixel_size_a * scale, level.rotation_deg + optics.rotation_error_deg * float(draws[1])

    def drift_rate(self, at: datetime) -> float:
        """Give the drift in Å/s: what the last move left, all shaking, and a floor."""
        state = self.state
        left = 0.0
        if state.moved_at is not None:
            left = state.drift_a_per_s * math.exp(-(at - state.moved_at).total_seconds() / state.drift_tau_s)
        return left + self.shaking_a_per_s(at) + self.profile.stage.drift_floor_a_per_s

    def shaking_a_per_s(self, at: datetime) -> float:
        """Give how fast the specimen trembles, Å/s, without being carried anywhere."""
        return rhythms.shaking_a_per_s(self.state, self.profile, at)

    def drifted_um(self, at: datetime) -> Floats:
        """Give the drift since the end of the last move, (x, y); fills shake, they do not carry."""
        state = self.state
        if state.moved_at is None:
            return np.zeros(2)
        since = (at - state.moved_at).total_seconds()
        way = state.drift_a_per_s * state.drift_tau_s * (1 - math.exp(-since / state.drift_tau_s))
        return way * 1e-4 * np.array([math.cos(state.drift_turn_rad), math.sin(state.drift_turn_rad)])

    def looked_at(self, at: datetime, preset: Preset | None = None) -> Floats:
        """Give the point of the specimen in the middle of the camera, in the stage's frame, (x, y)."""
        state = self.state
        aim = np.array([state.x_um + state.error_x_um, state.y_um + state.error_y_um])
        if state.shift_x_um != 0.0 or state.shift_y_um != 0.0:
            aim += self.shift_matrix_at(at) @ [state.shift_x_um, state.shift_y_um]
        aim -= self.drifted_um(at)
        if preset is not None:
            aim += self.profile.levels[preset.level].offset_um
        if state.alpha_deg != 0.0:
            # A specimen above the axis runs sideways when tilted; its height there decides how far.
            height = self.height_um(aim) + self.profile.stage.tilt_axis_offset_um
            aim[1] += height * math.tan(math.radians(state.alpha_deg))
        return aim

    def height_um(self, stage_xy: Floats) -> float:
        """Give the height of the specimen at a place of the stage's frame over the eucentric plane."""
        state, world = self.state, self.world
        stage_z = state.z_um + state.error_z_um
        if world is None:
            return stage_z
        x, y = self.to_grid(stage_xy)
        return stage_z + self.seating.z_um + float(world.height_um(x, y))

    def true_defocus_um(self, stage_xy: Floats, at: datetime) -> float:
        """Give the defocus at a place, underfocus negative: as set, as high as it lies, and what image shift adds."""
        state = self.state
        beside = (stage_xy[1] - state.y_um) * math.sin(math.radians(state.alpha_deg))
        optics = self.profile.optics
        wander = optics.defocus_drift_um_per_h * self.hours(at)
        shifted = np.dot(optics.shift_defocus_um_per_um, [state.shift_x_um, state.shift_y_um])
        return state.defocus_um - (self.height_um(stage_xy) + float(beside) - state.focal_um) + wander + float(shifted)

    def to_grid(self, stage_xy: Floats) -> Floats:
        """Bring places (..., 2) from the stage's frame to the grid's."""
        seating = self.seating
        c, s = math.cos(seating.turn_rad), math.sin(seating.turn_rad)
        away = np.asarray(stage_xy) - [seating.x_um, seating.y_um]
        return np.stack([c * away[..., 0] + s * away[..., 1], -s * away[..., 0] + c * away[..., 1]], axis=-1)

    def view(self, preset: Preset, at: datetime) -> View:
        """Say where every pixel of an image taken now would lie on the grid."""
        pixel_a, rotation = self.true_level(preset)
        linear = _linear(pixel_a * 1e-4, rotation, self.state.alpha_deg)
        seating = self.seating
        c, s = math.cos(seating.turn_rad), math.sin(seating.turn_rad)
        turned = np.array([[c, s], [-s, c]]) @ linear
        middle = np.array([(preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2])
        start = self.to_grid(self.looked_at(at, preset)) - turned @ middle
        level = self.profile.levels[preset.level]
        bent = None
        if level.distortion_radial or level.distortion_spiral:
            bent = Distortion(level.distortion_radial, level.distortion_spiral, preset.rows_px, preset.cols_px)
        return View(np.column_stack([turned, start]), preset.rows_px, preset.cols_px, bent)

    def nominal(self, preset: Preset) -> Affine:
        """Give the affine from pixels to stage µm as the instrument believes it."""
        state = self.state
        linear = _linear(preset.pixel_size_a * 1e-4, self.profile.levels[preset.level].rotation_deg, state.alpha_deg)
        middle = np.array([(preset.rows_px - 1) / 2, (preset.cols_px - 1) / 2])
        start = np.array([state.x_um + state.shift_x_um, state.y_um + state.shift_y_um]) - linear @ middle
        (a, b), (c, d) = linear.tolist()
        return (a, b, float(start[0])), (c, d, float(start[1]))

    def stains(self) -> list[Stain]:
        """Give the marks of earlier exposures on the grid that is on the stage."""
        return [
            Stain(dose.x_um, dose.y_um, dose.radius_um)
            for dose in self.doses
            if dose.of_grid == self.grid_on_stage and dose.dose_e_per_a2 >= SHOWS_E_PER_A2
        ]

    def beam(self, at: datetime) -> float:
        """Give the beam that reaches the specimen, as a fraction of the nominal one."""
        state = self.state
        if not state.valve_open or not self.beam_on(at) or self.vacuum(at) is not Vacuum.GREEN:
            return 0.0
        if state.dark_until is not None and at < state.dark_until:
            return 0.0
        return rhythms.emission(state, self.profile, at)

    def beam_on(self, at: datetime) -> bool:
        """Whether the gun gives a beam."""
        off = self.state.beam_off_until
        return (off is None or at >= off) and not rhythms.flashing(self.state, at)

    def beam_moved(self, at: datetime) -> Floats:
        """Give how far the beam has gone astray, (row, col), as a fraction of its radius; zero when it is well."""
        until = self.state.beam_moved_until
        return np.array(self.state.beam_moved) if until is not None and at < until else np.zeros(2)

    def slit_passes(self, preset: Preset, at: datetime) -> float:
        """Give the fraction of the zero-loss peak that passes the slit; 1 where there is none."""
        return energy_filter.passes(self.state, self.profile, self._own, preset, at)

    def zero_loss_offset_ev(self, at: datetime) -> float:
        """Give how far the zero-loss peak stands from the slit's middle."""
        return energy_filter.offset_ev(self.state, self.profile, self._own, at)

    def vacuum(self, at: datetime) -> Vacuum:
        """Read the vacuum."""
        lost = self.state.vacuum_lost_until
        return Vacuum.GREEN if lost is None or at >= lost else Vacuum.RED

    def filling(self, at: datetime) -> bool:
        """Whether a dewar fill is under way."""
        return rhythms.filling(self.state, self.profile, at)

    def share_gone(self, at: datetime) -> bool:
        """Whether the images' folder cannot be written to."""
        gone = self.state.share_gone_until
        return gone is not None and at < gone

    def pumping(self, at: datetime) -> bool:
        """Whether the buffer's pump runs."""
        return rhythms.pumping(self.state, at)

    def let_time_pass(self) -> None:
        """Bring to the present what runs by itself: fills, pump cycles and flashes that have ended."""
        rhythms.pass_time(self.state, self.profile, self._own, self.clock.now())


def seating_of(profile: Profile, seed: int, slot: int, load: int) -> Seating:
    """Say how the grid of a slot lies after its n-th load."""
    own, loader = key("seating", seed, slot), profile.loader
    draws = normal(own, "shift", load, np.arange(3))
    turn = math.radians(loader.rotation_deg) * (2 * float(uniform(own, "turn", load)) - 1)
    return Seating(loader.shift_um * float(draws[0]), loader.shift_um * float(draws[1]), turn, 5.0 * float(draws[2]))


def _linear(pixel_um: float, rotation_deg: float, alpha_deg: float) -> NDArray[np.float64]:
    """Give the (2, 2) part of pixels to stage: columns run along the rotation, rows a quarter turn further on."""
    c, s = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    foreshortened = math.cos(math.radians(alpha_deg))
    return pixel_um * np.array([[-s, c], [c / foreshortened, s / foreshortened]])
