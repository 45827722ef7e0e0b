"""How well height and focus come out when they are measured on rendered pictures: bias, spread, failures, cost.

The error model of the pixel-free fidelity (`hardware.simulator.pixel_free.focus_errors`) is fitted to the same.

``python benchmarks/focus_on_pictures.py [--profile demo-2k] [--count 40]``
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.errors import FocusFailed
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import StagePosition
from epicycle.hardware.simulator import SimulatedMicroscope, connect
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.protocols.cassette import Cassette

HEIGHT_UM, FOCUS_UM = 30.0, 3.0
"""The specimen stands off by up to so much before the height is measured, and before focusing."""

FILM = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}


@dataclass(frozen=True, slots=True)
class Spread:
    """Errors of one procedure in µm: median, standard deviation by the median deviation, largest; and failures."""

    procedure: str
    tried: int
    failed: int
    bias_um: float
    sd_um: float
    largest_um: float
    cpu_s: float


def measure(profile: str, count: int, seed: int = 0) -> list[Spread]:
    """Try each procedure on so many grids, in the middle of a good square."""
    left: dict[str, list[float]] = {"height by tilt": [], "height by focus": [], "autofocus": []}
    spent: dict[str, list[float]] = {name: [] for name in left}
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            _one(Path(folder), profile, seed + number, left, spent)
    return [_spread(name, left[name], spent[name]) for name in left]


def _one(folder: Path, profile: str, seed: int, left: dict[str, list[float]], spent: dict[str, list[float]]) -> None:
    scope = _on_grid(folder, profile, seed)
    instrument, rng = scope._instrument, np.random.default_rng(seed)  # noqa: SLF001
    world = instrument.world
    assert world is not None
    x, y = truth.grid_to_stage(folder / "microscope", 1, 1, *world.centre_of(0, 0))

    def stand(off_um: float) -> None:
        z_um = instrument.state.z_um - instrument.height_um(np.array([x, y])) + off_um
        scope.go_to(StagePosition(x, y, z_um))

    def height_left() -> float:
        return instrument.height_um(instrument.looked_at(instrument.clock.now()))

    stand(float(rng.uniform(-HEIGHT_UM, HEIGHT_UM)))
    _try("height by tilt", lambda: scope.eucentric_height("tilt"), height_left, left, spent)
    stand(float(rng.uniform(-HEIGHT_UM, HEIGHT_UM)))
    _try("height by focus", lambda: scope.eucentric_height("focus"), height_left, left, spent)
    stand(float(rng.uniform(-FOCUS_UM, FOCUS_UM)))
    scope.use(scope.presets()["focus"])
    _try("autofocus", lambda: scope.autofocus(-1.5), lambda: _defocus(instrument) + 1.5, left, spent)


def _try(
    name: str,
    act: Callable[[], object],
    error: Callable[[], float],
    left: dict[str, list[float]],
    spent: dict[str, list[float]],
) -> None:
    began = time.process_time()
    try:
        act()
        left[name].append(error())
    except FocusFailed:
        pass
    spent[name].append(time.process_time() - began)


def _defocus(instrument: Instrument) -> float:
    now = instrument.clock.now()
    return instrument.true_defocus_um(instrument.looked_at(now), now)


def _spread(name: str, left: Sequence[float], spent: Sequence[float]) -> Spread:
    found = np.array(left) if left else np.array([np.nan])
    bias = float(np.median(found))
    sd = 1.4826 * float(np.median(np.abs(found - bias)))
    return Spread(name, len(spent), len(spent) - len(left), bias, sd, float(np.abs(found).max()), float(np.mean(spent)))


def _on_grid(folder: Path, profile: str, seed: int) -> SimulatedMicroscope:
    calm = {"kind": "good", "torn": 0, "cracked": 0, "empty": 0, "thick": 0, "dry": 0, "contaminated": 0}
    scope = connect(
        Installation(
            options={"profile": profile, "world": {"grids": {"1": calm}}, "camera_scale": 0.25},
            images=folder / "images",
            memory=folder / "microscope",
            clock=VirtualClock(datetime(2026, 1, 5, 18, tzinfo=UTC)),
            seed=seed,
            cassette=Cassette.model_validate({"slots": [{"slot": 1, "name": "a", **FILM}]}),
        )
    )
    scope.open_valve()
    scope.load(1)
    return scope


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--profile", default="demo-2k")
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args(arguments)
    print("| procedure | tried | failed | bias, µm | sd, µm | largest, µm | CPU s |\n|---|---|---|---|---|---|---|")
    for row in measure(given.profile, given.count):
        print(
            f"| {row.procedure} | {row.tried} | {row.failed} | {row.bias_um:+.3f} | {row.sd_um:.3f} | "
            f"{row.largest_um:.2f} | {row.cpu_s:.3f} |"
        )


if __name__ == "__main__":
    main()
