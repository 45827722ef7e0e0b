"""What a user gives the simulator: profiles, worlds, options; each mistake is one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.records import Shot
from epicycle.hardware.simulator import DEMO_CASSETTE, DEMO_OPTIONS
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.grid.cassette_world import KINDS, completed, load_world
from epicycle.hardware.simulator.instrument.profile import Duration, load_profile
from epicycle.protocols.errors import BadInput
from epicycle.protocols.grid_types import HOLE_TYPES, MESHES
from epicycle.protocols.reading import read_cassette

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profil": "demo-2k"}, "profil"),
        ({"profile": "no-such"}, "demo-2k"),
        ({"world": "no-such"}, "demo-world"),
        ({"world": {"grids": {"1": {"kind": "perfect"}}}}, "perfect"),
        ({"world": {"grids": {"1": {"ice_nm": -3}}}}, "ice_nm"),
        ({"world": {"grids": {"1": {"hole_type": "R0/0/0"}}}}, "R0/0/0"),
        ({"world": {"grids": {"1": {"mesh": "301"}}}}, "301"),
        ({"faults": [{"kind": "gremlins", "at": {"slot": 1}}]}, "kind"),
        ({"faults": [{"kind": "load-fails", "at": {}}]}, "one of call, slot, after_h, place and per_h"),
        ({"faults": [{"kind": "load-fails", "at": {"call": "load"}}]}, "go together"),
        ({"faults": [{"kind": "load-fails", "at": {"slot": 1, "after_h": 2}}]}, "one of"),
        ({"faults": "no-such-file.yaml"}, "no-such-file"),
        ({"faults_per_h": -1}, "faults_per_h"),
        ({"camera_scale": 0}, "camera_scale"),
        ({"fail_call": {"number": 0, "how": "raise"}}, "number"),
    ],
)
def test_a_bad_option_is_one_sentence(bench: Make, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as told:
        bench(**options).connect().load(1)
    assert "\n" not in str(told.value)


def test_a_profile_must_be_whole_and_say_its_sources(tmp_path: Path) -> None:
    shipped = (Path(str(DEMO_CASSETTE)).parents[1] / "profiles" / "demo-2k.yaml").read_text()
    for wrong, words in (
        (shipped.replace("stage_um_per_s: 100.0", "stage_um_per_s: -1.0"), "stage_um_per_s"),
        (shipped.replace("  camera: assumed\n", ""), "camera"),
        (shipped.replace("  error_um:", "  error_um: 0.3\n  eror_um:"), "eror_um"),
        (shipped.replace("name: demo-2k", "name: [demo"), "YAML"),
        ("- 1\n", "profile"),
    ):
        path = tmp_path / f"own-{words}.yaml"
        path.write_text(wrong)
        with pytest.raises(BadInput, match=words):
            load_profile(str(path))


@pytest.mark.parametrize("name", ["demo-2k", "screening-200kv", "collection-300kv", "aldolase-times"])
def test_shipped_profiles_are_whole(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert {level.preset.level for level in profile.levels.values()} == set(profile.levels)
    assert profile.source("stage.limit_um") != profile.source("stage.backlash_um") == "assumed"


def test_a_real_camera_ships() -> None:
    exposure = load_profile("screening-200kv").levels["exposure"].preset
    assert (exposure.rows_px, exposure.frames) == (4096, 40)


def test_durations_are_drawn_around_their_median() -> None:
    duration = Duration(median_s=10.0, q25_s=8.0, q75_s=12.5)
    drawn = np.array([duration.draw(x) for x in np.random.default_rng(0).standard_normal(4000)])
    assert np.percentile(drawn, [25, 50, 75]) == pytest.approx([8.0, 10.0, 12.5], rel=0.05)


@pytest.mark.parametrize("hole_type", list(HOLE_TYPES))
def test_every_film_known_can_be_imaged(bench: Make, hole_type: str) -> None:
    world = {"grids": {"1": {"kind": "good", "hole_type": hole_type, "mesh": "200"}}}
    night = bench(world=world, camera_scale=0.0625)
    microscope = night.connect()
    microscope.open_valve()
    microscope.load(1)
    for level, preset in microscope.presets().items():
        assert microscope.acquire(Shot(preset), level).mean_counts >= 0


@pytest.mark.parametrize("mesh", list(MESHES))
def test_every_mesh_known_has_open_squares_between_its_bars(bench: Make, behind: Make, mesh: str) -> None:
    microscope = bench(world={"grids": {"1": {"mesh": mesh}}}).connect()
    microscope.load(1)
    world = behind(microscope).world
    centres = np.array([world.centre_of(i, j) for i in range(-2, 3) for j in range(-2, 3)])
    edge = world.bar_distance_um(*centres.T, world.squares_at(*centres.T))
    assert (edge < -0.4 * world.bars.mesh.opening_um).all()
    x, y = np.random.default_rng(1).uniform(-500, 500, (2, 20000))
    free = (world.bars.distance_um(*(np.array([x, y]) - nearest(world, x, y)), 1.0) < 0).mean()
    opening, pitch = world.bars.mesh.opening_um, world.bars.mesh.pitch_um
    assert free == pytest.approx((opening / pitch) ** 2, rel=0.05)


def nearest(world: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    i, j = world.square_at(x, y)
    basis = world.bars.basis_um
    return np.array(world.offset_um)[:, None] + basis @ np.array([i, j])


def test_the_world_can_be_drawn_from_the_seed(bench: Make) -> None:
    kinds = set()
    for seed in range(12):
        night = bench(world=None, seed=seed, folder=str(seed))
        night.connect()
        kinds |= {world.spec.kind for world in truth.worlds(night.memory).values()}
    assert len(kinds) >= 4
    assert kinds <= set(KINDS)


def test_a_kind_gives_the_numbers_a_spec_leaves_open() -> None:
    world = load_world({"grids": {"3": {"kind": "broken", "ice_nm": 50}}})
    spec = completed(world.grids[3])
    assert (spec.ice_nm, spec.empty) == (50, KINDS["broken"]["empty"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demonstration_has_two_grids_better_than_the_rest(bench: Make, seed: int) -> None:
    cassette = read_cassette(DEMO_CASSETTE)
    night = bench(**DEMO_OPTIONS, seed=seed)
    night.slots = cassette
    microscope = night.connect()
    states = {slot.number: slot.state.value for slot in microscope.inventory()}
    assert [slot for slot, state in states.items() if state == "empty"] == [8, 12]
    ranked = truth.ranking(night.memory)
    assert {grid.slot for grid in ranked[:2]} == {2, 5}
    assert ranked[1].score > 1.3 * ranked[2].score
    assert {grid.kind for grid in ranked[-4:]} >= {"thick-ice", "broken"}
