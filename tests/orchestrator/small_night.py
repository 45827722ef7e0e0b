"""A night small enough to be run hundreds of times: two grids, tiny camera, the real everything."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epicycle.db import models
from epicycle.orchestrator.opening import Settings, begin, take_up
from epicycle.orchestrator.screening import screen
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.screening import ScreeningProtocol

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
WORLD = {"grids": {"1": {"kind": "good", "ice_nm": 30}, "2": {"kind": "ordinary"}}}
FILM = {"hole_type": "R5/2", "mesh": "300", "material": "Carbon"}


def protocol(options: Mapping[str, Any] | None = None, **changes: Any) -> ScreeningProtocol:
    plan = {
        "name": "small-night",
        "microscope": {
            "use": "sim",
            "options": {"profile": "demo-2k", "world": WORLD, "camera_scale": 0.125, **(options or {})},
        },
        "atlas": {"tiles_x": 1, "tiles_y": 1},
        "squares": {"per_grid": 1, "policy": {"use": "first-come"}},
        "holes": {"per_square": 2, "policy": {"use": "first-come"}},
        "settle": {"drift_limit_a_per_s": 5.0},
        "zero_loss_interval_h": 4.0,
        "passes": [{"name": "triage"}],
    }
    return ScreeningProtocol.model_validate({**plan, **changes})


def cassette(slots: int = 2) -> Cassette:
    return Cassette.model_validate(
        {"name": "two", "slots": [{"slot": n, "name": f"grid-{n}", **FILM} for n in range(1, slots + 1)]}
    )


def settings(point: Callable[[str], None] = lambda _: None) -> Settings:
    return Settings(point=point, inline=True, start=START)


def run_new(
    folder: Path,
    plan: ScreeningProtocol | None = None,
    *,
    seed: int = 1,
    point: Callable[[str], None] = lambda _: None,
    grids: Cassette | None = None,
) -> models.Session:
    with begin(folder, plan or protocol(), grids or cassette(), seed=seed, settings=settings(point)) as (night, _):
        return screen(night)


def run_on(folder: Path, point: Callable[[str], None] = lambda _: None) -> models.Session:
    with take_up(folder / "night.db", Settings(point=point, inline=True)) as (night, _):
        return screen(night)
