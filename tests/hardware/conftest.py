"""A simulated microscope in a folder of its own, and the ways to look behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epicycle.files.mrc import read_frames
from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import Acquired, StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope, connect
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.protocols.cassette import Cassette

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
CALM = {"grids": {"1": {"kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0, "contaminated": 0}}}


@dataclass
class Bench:
    """One folder, one night; `connect` again after a crash."""

    folder: Path
    options: dict[str, Any]
    seed: int = 1
    slots: Cassette | None = None

    def connect(self, at: datetime | None = None, **options: Any) -> SimulatedMicroscope:
        self.clock = VirtualClock(at or START)
        film = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
        slots = [{"slot": n, "name": f"g{n}", **film} for n in (1, 2)]
        return connect(
            Installation(
                options={**self.options, **options},
                images=self.folder / "images",
                memory=self.folder / "microscope",
                clock=self.clock,
                seed=self.seed,
                cassette=self.slots or Cassette.model_validate({"slots": slots}),
            )
        )

    @property
    def memory(self) -> Path:
        return self.folder / "microscope"

    def pixels(self, image: Acquired) -> np.ndarray:
        assert image.path is not None
        return read_frames(image.path)[0].astype(np.float64)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    def make(
        world: Mapping[str, Any] | str | None = CALM, seed: int = 1, folder: str = "night", **options: Any
    ) -> Bench:
        given = {"profile": "demo-2k", "world": world, "camera_scale": 0.125, **options}
        return Bench(tmp_path / folder, given, seed)

    return make


@pytest.fixture
def behind() -> Callable[[SimulatedMicroscope], Instrument]:
    """The instrument itself, for tests that must know the truth."""
    return lambda microscope: microscope._instrument


@pytest.fixture
def on_square() -> Callable[..., StagePosition]:
    """Load slot 1, open the valve, go to the middle of a square at eucentric height, errors off if asked."""

    def go(microscope: SimulatedMicroscope, square: tuple[int, int] = (0, 0), *, exact: bool = True) -> StagePosition:
        instrument = microscope._instrument
        microscope.open_valve()
        microscope.load(1)
        assert instrument.world is not None
        x, y = truth.grid_to_stage(
            instrument.memory.folder, 1, instrument.state.loads[1], *instrument.world.centre_of(*square)
        )
        microscope.go_to(StagePosition(x, y))
        height = instrument.height_um(np.array([x, y]))
        got = microscope.go_to(StagePosition(x, y, -height))
        if exact:
            state = instrument.state
            state.error_x_um = state.error_y_um = state.error_z_um = 0.0
            state.drift_a_per_s = 0.0
        return got

    return go
