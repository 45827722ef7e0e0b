"""A hole's ice, a crack, a contamination lie at one place and show with one sign in atlas, square and hole view.

The same view is rendered with and without the thing, up to the camera's counting; the centroid of the difference is
brought back to the grid through the true view, whatever the stage's error.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.records import StagePosition
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.grid.defects import Defects
from epicycle.hardware.simulator.grid.dirt import Dirt, fern_of
from epicycle.hardware.simulator.grid.openings import Holes
from epicycle.hardware.simulator.grid.tears import Tear, crack_of, ragged
from epicycle.hardware.simulator.grid.world import GridWorld
from epicycle.hardware.simulator.pictures import detector, survey

Make = Callable[..., Any]
BAR_UM = 0.1
PIXELS = {"atlas": 256, "square": 512, "hole": 1024}
CALM = {
    "kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0, "contaminated": 0, "small": 0,
    "crystalline": 0, "crystals": 0, "ethane": 0, "dendrites": 0, "wrinkled": 0, "empty_holes": 0, "thick_centres": 0,
}  # fmt: skip


@dataclass
class Thing:
    """Something that can be there or not: where it is, whether it brightens, and how to put it there."""

    at_um: np.ndarray
    brightens: bool
    put: Callable[[GridWorld], None]


def centroid_of(outline: np.ndarray) -> np.ndarray:
    x, y = outline.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    return np.array([((v + np.roll(v, -1)) * cross).sum() for v in (x, y)]) / (3 * cross.sum())


def with_defects(**parts: Any) -> Callable[[GridWorld], None]:
    def put(world: GridWorld) -> None:
        world._defects[(0, 0)] = replace(world.defects(0, 0), **parts)

    return put


def bare(world: GridWorld) -> None:
    nothing = Dirt(np.zeros((0, 2)), np.zeros(0), np.zeros((0, 24, 2)), np.zeros(0))
    world._defects[(0, 0)] = Defects((), (), nothing, (), np.zeros((0, 4)))


def contamination(world: GridWorld, rng: np.random.Generator) -> Thing:
    middle = world.centre_of(0, 0) + rng.uniform(-12, 12, 2)
    outline = ragged(rng, middle, 0.6, 0.15, 6, 24)
    dirt = Dirt(middle[None], np.array([0.6]), outline[None], np.array([500.0]))
    return Thing(centroid_of(outline), False, with_defects(dirt=dirt))


def crystal_smaller_than_a_pixel(world: GridWorld, rng: np.random.Generator) -> Thing:
    middle = world.centre_of(0, 0) + rng.uniform(-12, 12, 2)
    outline = ragged(rng, middle, 0.2, 0.05, 6, 24)
    dirt = Dirt(middle[None], np.array([0.2]), outline[None], np.array([800.0]))
    return Thing(middle, False, with_defects(dirt=dirt))


def ethane(world: GridWorld, rng: np.random.Generator) -> Thing:
    middle = world.centre_of(0, 0) + rng.uniform(-12, 12, 2)
    return Thing(middle, False, with_defects(drops_um=np.array([[*middle, 1.5, 600.0]])))


def crack(world: GridWorld, rng: np.random.Generator) -> Thing:
    tear = crack_of(rng, world.centre_of(0, 0) + rng.uniform(-8, 8, 2), 9.0)[0]
    return Thing(centroid_of(tear.outline_um), True, with_defects(tears=(tear,)))


def tear(world: GridWorld, rng: np.random.Generator) -> Thing:
    outline = ragged(rng, world.centre_of(0, 0) + rng.uniform(-10, 10, 2), 1.8, 0.1, 8)
    return Thing(centroid_of(outline), True, with_defects(tears=(Tear(outline, 0.05),)))


def fern(world: GridWorld, rng: np.random.Generator) -> Thing:
    grown = fern_of(rng, world.centre_of(0, 0) + rng.uniform(-12, 12, 2), 1.0)
    return Thing(grown.middle_um.mean(axis=0), False, with_defects(ferns=(grown,)))


THINGS = (contamination, crystal_smaller_than_a_pixel, ethane, crack, tear, fern)


@pytest.fixture
def stand(bench: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A microscope whose camera gives expected electrons; the stage goes where it is sent, but for an error."""
    monkeypatch.setattr(detector, "counted", lambda electrons, *_: electrons)

    def make(material: str = "Carbon") -> Any:
        microscope = bench(world={"grids": {"1": {**CALM, "material": material}}}, camera_scale=1.0).connect()
        microscope.open_valve()
        microscope.load(1)
        return microscope

    return make


def aim(microscope: Any, place: np.ndarray, error_um: tuple[float, float]) -> None:
    instrument = microscope._instrument
    memory, loads = instrument.memory.folder, instrument.state.loads[1]
    microscope.go_to(StagePosition(*truth.grid_to_stage(memory, 1, loads, *place)))
    height = instrument.height_um(instrument.looked_at(instrument.clock.now()))
    got = microscope.position()
    microscope.go_to(StagePosition(got.x_um, got.y_um, got.z_um - height))
    instrument.state.error_x_um += error_um[0]
    instrument.state.error_y_um += error_um[1]


def seen(microscope: Any, level: str, put: Callable[[GridWorld], None], take: Callable[[GridWorld], None]) -> Any:
    """Centroid in the grid's frame of what putting the thing there changes, and the sum of the change."""
    instrument = microscope._instrument
    side = PIXELS[level]
    preset = microscope.presets()[level].model_copy(update={"rows_px": side, "cols_px": side})
    # Where the beam decays or the stage drifts, both pictures are of the same moment.
    at = instrument.clock.now()
    pictures = []
    for change in (take, put):
        change(instrument.world)
        pictures.append(survey.survey(instrument, preset, at, []).astype(np.float64))
    change = pictures[1] - pictures[0]
    # The camera's glow spreads a little of it everywhere.
    change -= np.median(change)
    change[np.abs(change) < 0.02 * np.abs(change).max()] = 0
    rows, cols = np.indices(change.shape)
    pixel = np.array([(rows * change).sum(), (cols * change).sum()]) / change.sum()
    return instrument.view(preset, at).places_of(pixel), float(change.sum())


@pytest.mark.parametrize("make", THINGS)
@pytest.mark.parametrize("error_um", [(0.0, 0.0), (1.3, -0.9)])
def test_a_defect_lies_at_one_place_with_one_sign(
    stand: Make, make: Callable[[GridWorld, np.random.Generator], Thing], error_um: tuple[float, float]
) -> None:
    microscope = stand()
    thing = make(microscope._instrument.world, np.random.default_rng(11))
    aim(microscope, thing.at_um, error_um)
    for level in PIXELS:
        place, change = seen(microscope, level, thing.put, bare)
        assert np.linalg.norm(place - thing.at_um) < BAR_UM, level
        assert (change > 0) is thing.brightens, level


@pytest.mark.parametrize("material", ["Carbon", "Gold"])
@pytest.mark.parametrize("error_um", [(0.0, 0.0), (-1.1, 1.4)])
def test_the_ice_of_a_hole_lies_at_one_place_with_one_sign(
    stand: Make, monkeypatch: pytest.MonkeyPatch, material: str, error_um: tuple[float, float]
) -> None:
    microscope = stand(material)
    world = microscope._instrument.world
    hole = truth.square_of(world, 0, 0).holes[150]
    drawn = GridWorld.holes

    def dried(self: GridWorld, a: np.ndarray, b: np.ndarray) -> Holes:
        holes = drawn(self, a, b)
        own = (np.asarray(a) == hole.a) & (np.asarray(b) == hole.b)
        return replace(holes, lens=replace(holes.lens, factor=np.where(own, 0.0, holes.lens.factor)))

    aim(microscope, np.array([hole.x_um, hole.y_um]), error_um)
    for level in PIXELS:
        place, change = seen(
            microscope,
            level,
            lambda _: monkeypatch.setattr(GridWorld, "holes", dried),
            lambda _: monkeypatch.setattr(GridWorld, "holes", drawn),
        )
        assert np.linalg.norm(place - [hole.x_um, hole.y_um]) < BAR_UM, level
        assert change > 0, f"a hole run dry is brighter at {level} level"
