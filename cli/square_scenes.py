"""Simulated atlas pictures for training and judging square scores: wide ranges of pixel size, mesh and damage.

Half of the scenes are grids as they are usual; in the others every kind of damage is about as frequent as the others,
so that rare ones are learnt too. Openings that metal covers in part are rare and stand in known places, therefore some
pictures are taken there. Where an opening takes many pixels, pictures are large and stand on one, or few would show a
whole one. Pictures are those of seeds: the same seed gives the same one.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..detectors.training.labelled import SquareMark
from ..hardware.simulator.evaluation.labels import SquareLabel, squares_seen
from ..hardware.simulator.evaluation.studio import BEGINNING, aim, photograph, stand_up, world_of
from ..hardware.simulator.evaluation.variety import Choices, Scene, drawn_scene
from ..hardware.simulator.grid.film import RIM_UM
from ..hardware.simulator.grid.world import GridWorld
from ..hardware.simulator.instrument.instrument import Instrument
from ..protocols.errors import BadInput
from ..protocols.preset import Preset

PIXEL_A = (300.0, 1000.0, 5000.0)
"""Pixel sizes are drawn evenly in their logarithm, half of them between the first two, half between the last two."""

FIELD = (3.5, 9.0)
"""Width of a picture in steps of the mesh."""

SIDE_PX = (400, 1536)
FINE_SIDE_PX = 3072
"""Greatest side of a picture whose pixels are of the finer half."""

BESIDE = 0.2
"""How far from the middle of such a picture an opening's middle lies at most, as a share of the mesh's pitch."""

DAMAGE = ("empty", "torn", "cracked", "dry", "thick", "small", "crystalline", "contaminated")
DAMAGE_SHARE = (0.02, 0.15)
AT_RIM = 0.25
"""Share of the pictures that are taken where the grid ends."""

AT_MARK = 0.2
"""Share of the pictures that are taken where the metal of a mark covers openings in part."""

_FARTHEST_UM = 900.0


@dataclass(frozen=True, slots=True)
class SquareScene:
    """A picture with its truth.

    Attributes
    ----------
    seed
        What it was drawn from.
    pixels
        Counts, (rows, cols).
    pixel_size_a
        Å.
    marks
        Its openings; the class is the simulator's grade.
    ordinary
        False where damage was made more frequent than it is.
    gold
        Whether the film is gold.
    """

    seed: int
    pixels: NDArray[np.float32]
    pixel_size_a: float
    marks: tuple[SquareMark, ...]
    ordinary: bool
    gold: bool


@dataclass(frozen=True, slots=True)
class SetScene:
    """A scene before its picture is taken: all that is drawn of it, and what the picture will show."""

    seed: int
    instrument: Instrument
    preset: Preset
    labels: tuple[SquareLabel, ...]
    ordinary: bool

    @property
    def shows_whole(self) -> bool:
        """Whether an opening lies within the picture whole."""
        return any(not label.cut for label in self.labels)

    def taken(self) -> SquareScene:
        """Take the picture."""
        pixels = np.asarray(photograph(self.instrument, self.preset), np.float32)
        marks, gold = tuple(_mark(label) for label in self.labels), bool(world_of(self.instrument).film.gold)
        return SquareScene(self.seed, pixels, self.preset.pixel_size_a, marks, self.ordinary, gold)


def square_scene(seed: int) -> SquareScene:
    """Draw one grid before one instrument and take a picture of a part of it."""
    return set_scene(seed).taken()


def set_scene(seed: int) -> SetScene:
    """Draw one grid before one instrument and bring a part of it into view."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 4])))
    scene = drawn_scene(Choices(), rng)
    ordinary = bool(rng.random() < 0.5)
    if not ordinary:
        shares = {name: float(rng.uniform(*DAMAGE_SHARE)) for name in DAMAGE}
        scene = dataclasses.replace(scene, spec=scene.spec.model_copy(update=shares))
    instrument = stand_up(scene.profile, scene.spec, scene.seed)
    world = world_of(instrument)
    preset = _preset(scene, world.bars.mesh.pitch_um, rng)
    place = _place(scene, world, rng)
    if preset.pixel_size_a < PIXEL_A[1]:
        place = _on_an_opening(world, place, rng)
    try:
        aim(instrument, preset, place, tilt_deg=scene.tilt_deg)
    except BadInput:  # the grid lies so that the stage cannot reach that far
        aim(instrument, preset, (0.5 * place[0], 0.5 * place[1]), tilt_deg=scene.tilt_deg)
    return SetScene(seed, instrument, preset, tuple(squares_seen(instrument, preset, BEGINNING)), ordinary)


def _preset(scene: Scene, pitch_um: float, rng: np.random.Generator) -> Preset:
    """Vary pixel size and field; each pixel keeps its number of electrons."""
    preset = scene.profile.levels["atlas"].preset
    fine = rng.random() < 0.5
    low, high = PIXEL_A[:2] if fine else PIXEL_A[1:]
    pixel_a = math.exp(float(rng.uniform(math.log(low), math.log(high))))
    field_um = pitch_um * float(rng.uniform(*FIELD))
    least, most = SIDE_PX[0], FINE_SIDE_PX if fine else SIDE_PX[1]
    rows, cols = (int(np.clip(field_um * share * 1e4 / pixel_a, least, most)) for share in rng.uniform(0.75, 1.25, 2))
    dose = preset.dose_e_per_a2 * (preset.pixel_size_a / pixel_a) ** 2
    return preset.model_copy(update={"pixel_size_a": pixel_a, "rows_px": rows, "cols_px": cols, "dose_e_per_a2": dose})


def _place(scene: Scene, world: GridWorld, rng: np.random.Generator) -> tuple[float, float]:
    x, y = scene.centre_um
    away = math.hypot(x, y)
    at = rng.random()
    if at < AT_RIM:
        wanted = RIM_UM * float(rng.uniform(0.9, 1.0))
        x, y, away = x * wanted / away, y * wanted / away, wanted
    elif at < AT_RIM + AT_MARK and world.marks:
        mark = world.marks[int(rng.integers(len(world.marks)))].mean(axis=0)
        x, y = (mark + world.bars.mesh.pitch_um * rng.uniform(-1, 1, 2)).tolist()
        away = math.hypot(x, y)
    shrunk = min(1.0, _FARTHEST_UM / away)
    return x * shrunk, y * shrunk


def _on_an_opening(world: GridWorld, place: tuple[float, float], rng: np.random.Generator) -> tuple[float, float]:
    """Move a place to the opening next to it, though not quite to its middle."""
    i, j = world.square_at(*(np.array(value) for value in place))
    off_um = world.bars.mesh.pitch_um * rng.uniform(-BESIDE, BESIDE, 2)
    x, y = (world.centre_of(int(i), int(j)) + off_um).tolist()
    return x, y


def _mark(label: SquareLabel) -> SquareMark:
    corners = tuple((float(row), float(col)) for row, col in label.corners_px)
    return SquareMark(corners, label.grade.value)
