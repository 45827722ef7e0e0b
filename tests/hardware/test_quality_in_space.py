"""Good exposures of a simulated grid hang together in space as those of the recorded session do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.simulator.evaluation.spatial import (
    Exposures,
    Structure,
    exposed_likewise,
    lattice_of,
    mean_structure,
    read_session,
    structure_of,
)
from epicycle.hardware.simulator.grid.cassette_world import GridSpec, completed
from epicycle.hardware.simulator.grid.world import GridWorld
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.protocols.errors import BadInput

HOLES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "aldolase" / "holes.csv"
BAR = 0.05


@pytest.fixture(scope="module")
def session() -> Exposures:
    if not HOLES.exists():
        pytest.skip("the recorded session is not beside this checkout")
    return read_session(HOLES)


def simulated(session: Exposures, grids: int, **changes: Any) -> Structure:
    spec = completed(GridSpec(kind="aldolase", hole_type="R1.2/1.3", mesh="300", material="Carbon", **changes))
    lattice, voltage = lattice_of(session), load_profile("aldolase-times").optics.voltage_kv
    worlds = [GridWorld(seed, 1, spec) for seed in range(2000, 2000 + grids)]
    return mean_structure([structure_of(exposed_likewise(world, session, lattice, voltage)) for world in worlds])


def flat(one: Structure) -> np.ndarray:
    return np.array([one.good, *one.correlation, one.patch, one.square, one.tile])


def test_the_recorded_session_is_measured_as_published(session: Exposures) -> None:
    found = structure_of(session)
    assert found.correlation == pytest.approx([0.53, 0.44, 0.38, 0.34, 0.28, 0.24, 0.19], abs=0.006)
    assert found.good == pytest.approx(0.378, abs=0.002)


def test_a_simulated_grid_is_as_the_recorded_one(session: Exposures) -> None:
    assert np.abs(flat(simulated(session, 40)) - flat(structure_of(session))).max() < BAR


@pytest.mark.parametrize(
    "changes", [{"ice_spread": 0.0}, {"ice_spread_inside": 0.05}, {"ice_spread_holes": 0.0, "lens_spread": 0.0}]
)
def test_each_level_of_the_ice_is_needed(session: Exposures, changes: dict[str, float]) -> None:
    assert np.abs(flat(simulated(session, 6, **changes)) - flat(structure_of(session))).max() > BAR


def test_the_measure_knows_a_field_when_it_sees_one() -> None:
    rng = np.random.default_rng(3)
    squares = np.repeat(np.arange(30), 80)
    at = rng.uniform(-25, 25, (len(squares), 2))
    alone = Exposures(at, at * 0, squares, squares, squares, rng.random(len(squares)) < 0.4)
    assert np.abs(structure_of(alone).correlation).max() < 0.05
    level = rng.random(30)[squares] < 0.4
    whole = structure_of(Exposures(at, at * 0, squares, squares, squares, level))
    assert whole.correlation == pytest.approx([1.0] * 7, abs=0.05)
    assert whole.square == pytest.approx(1.0)
    with pytest.raises(BadInput, match="alike"):
        structure_of(Exposures(at, at * 0, squares, squares, squares, np.ones(len(squares), bool)))
