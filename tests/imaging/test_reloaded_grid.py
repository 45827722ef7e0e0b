"""A grid loaded again lies elsewhere and turned; its squares tell where, or it is said that they do not."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.hardware.records import Image
from epicycle.imaging.records import Reregistration
from epicycle.imaging.registration import reregister
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]
PIXEL_UM, SIDE = 0.9, 1000


@pytest.fixture
def atlas_of(affine: Make, seen: Make, as_image: Make) -> Callable[..., Image]:
    def make(
        world: NDArray[np.float32],
        turn_deg: float,
        shift_um: tuple[float, float],
        rng: np.random.Generator,
        *,
        dose: float = 20.0,
        camera_deg: float = 35.0,
    ) -> Image:
        place = affine(PIXEL_UM, camera_deg, np.zeros(2), (SIDE, SIDE))
        turn = math.radians(turn_deg)
        return as_image(seen(world, PIXEL_UM, place, turn, np.array(shift_um), (SIDE, SIDE), dose, rng), place)

    return make


def worst_um(
    found: Reregistration, first: tuple[float, tuple[float, float]], now: tuple[float, tuple[float, float]]
) -> float:
    """Largest error over the middle of the atlas, from (turn in degrees, shift in µm) of both loads."""
    assert found.frame is not None, found.reason
    turns = [
        np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        for a in (math.radians(first[0]), math.radians(now[0]))
    ]
    places = np.random.default_rng(0).uniform(-300, 300, (60, 2))
    truth = (places - first[1]) @ turns[0] @ turns[1].T + now[1]
    frame = np.asarray(found.frame)
    return float(np.linalg.norm(places @ frame[:, :2].T + frame[:, 2] - truth, axis=1).max())


@pytest.mark.parametrize(
    ("pitch_um", "first", "now"),
    [
        (84.0, (20.0, (30.0, -50.0)), (33.0, (-60.0, 40.0))),
        (62.0, (-75.0, (0.0, 0.0)), (-92.0, (90.0, 110.0))),
        (125.0, (5.0, (-80.0, 20.0)), (171.0, (40.0, -60.0))),
        (84.0, (44.0, (0.0, 0.0)), (44.0, (150.0, -120.0))),
    ],
)
def test_the_grid_is_found_wherever_it_lies(
    mesh: Make, atlas_of: Make, pitch_um: float, first: tuple[float, Any], now: tuple[float, Any]
) -> None:
    rng = np.random.default_rng(int(pitch_um) + abs(int(now[0])))
    world = mesh(rng, 1700, PIXEL_UM, pitch_um, 0.25, 0.05)
    found = reregister(atlas_of(world, *first, rng), atlas_of(world, *now, rng))
    assert worst_um(found, first, now) < 2.0
    turned = now[0] - first[0]
    assert (found.rotation_deg - turned + 180) % 360 - 180 == pytest.approx(0, abs=0.2)
    assert found.confidence > 0.5


def test_few_electrons_and_new_dirt_are_borne(mesh: Make, atlas_of: Make) -> None:
    rng = np.random.default_rng(31)
    world = mesh(rng, 1700, PIXEL_UM, 84.0, 0.25, 0.0)
    first, now = (10.0, (20.0, 0.0)), (22.0, (-70.0, 60.0))
    before = atlas_of(world, *first, rng, dose=2.0)
    dirty = world.copy()
    for row, col in rng.integers(200, 1500, (60, 2)):
        dirty[row : row + 40, col : col + 40] *= 0.3
    assert worst_um(reregister(before, atlas_of(dirty, *now, rng, dose=2.0)), first, now) < 3.0


def test_unlike_scales_and_camera_turns_are_borne(mesh: Make, atlas_of: Make) -> None:
    rng = np.random.default_rng(32)
    world = mesh(rng, 1700, PIXEL_UM, 84.0, 0.25, 0.05)
    first, now = (0.0, (0.0, 0.0)), (-9.0, (55.0, 35.0))
    found = reregister(atlas_of(world, *first, rng), atlas_of(world, *now, rng, camera_deg=-50.0))
    assert worst_um(found, first, now) < 2.0


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_another_grid_is_not_taken_for_this_one(mesh: Make, atlas_of: Make, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (mesh(rng, 1700, PIXEL_UM, 84.0, 0.25, 0.05 * (seed % 2)) for _ in range(2))
    found = reregister(atlas_of(one, 10.0, (0.0, 0.0), rng), atlas_of(other, 20.0, (40.0, 0.0), rng))
    assert found.frame is None
    assert found.confidence < 0.3
    assert "more than one place" in found.reason


def test_squares_all_alike_are_not_told_apart(mesh: Make, atlas_of: Make) -> None:
    rng = np.random.default_rng(5)
    world = mesh(rng, 1700, PIXEL_UM, 84.0, 0.0, 0.0)
    found = reregister(atlas_of(world, 10.0, (0.0, 0.0), rng), atlas_of(world, 20.0, (40.0, 0.0), rng))
    assert found.frame is None
    assert found.reason


def test_blank_atlases_give_a_reason_and_unplaced_ones_an_error(mesh: Make, atlas_of: Make) -> None:
    rng = np.random.default_rng(6)
    atlas = atlas_of(mesh(rng, 1700, PIXEL_UM, 84.0, 0.25, 0.0), 0.0, (0.0, 0.0), rng)
    blank = replace(atlas, pixels=np.zeros_like(atlas.pixels))
    assert reregister(atlas, blank).frame is None
    assert "blank" in reregister(atlas, blank).reason
    with pytest.raises(BadInput, match="no image_to_stage"):
        reregister(atlas, replace(atlas, image_to_stage=None))
