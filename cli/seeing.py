"""A simulated microscope whose truth is looked up beside every image, and what is noted of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..hardware.clock import VirtualClock
from ..hardware.protocols import Installation
from ..hardware.records import Acquired, Shot
from ..hardware.simulator import SimulatedMicroscope, connect
from ..hardware.simulator.grid.world import GridWorld
from ..hardware.simulator.instrument.instrument import Instrument
from ..hardware.simulator.pictures.illuminated import light_of
from ..hardware.simulator.pictures.view import View
from ..hardware.simulator.pixel_free import conditions, hole_sites
from ..orchestrator.worker import Look
from ..protocols.cassette import Cassette
from ..protocols.preset import Level

Floats = NDArray[np.float64]

START = datetime(2026, 1, 5, 18, tzinfo=UTC)

MEAN_FREE_PATH_NM = 1.0
"""Ice is asked for in units of the path, so that counts can be had back from it."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """Plug-ins that look at images: finders of squares and of holes."""

    squares: str
    holes: str


PICTURED, SIGHTED = Eyes("mixture-squares", "lattice-holes"), Eyes("sighted-squares", "sighted-holes")


@dataclass(frozen=True, slots=True)
class GridToSee:
    """One grid to be looked at: all that a night takes of it, or exposures alone."""

    seed: int
    kind: str
    hole_type: str
    mesh: str
    material: str
    part: Literal["whole", "exposures"] = "whole"

    @property
    def name(self) -> str:
        """Name of its file of observations."""
        film = f"{self.hole_type}-{self.mesh}".replace("/", "_").replace(" ", "_")
        return f"{self.seed}-{self.kind}-{film}"


@dataclass(slots=True)
class Observations:
    """What was seen: for each table, ``[picture, class, covariate, answer or None]``; and pictures by level."""

    rows: dict[str, list[tuple[str, str, float, list[float] | None]]] = field(default_factory=dict)
    pictures: dict[str, int] = field(default_factory=dict)
    false: dict[str, int] = field(default_factory=dict)

    def add(self, table: str, picture: str, of: str, covariate: float, answer: Sequence[float] | None) -> None:
        """Add one case."""
        kept = None if answer is None else [float(f"{value:.5g}") for value in answer]
        self.rows.setdefault(table, []).append((picture, of, float(f"{covariate:.5g}"), kept))

    def count(self, level: str) -> None:
        """Count a picture."""
        self.pictures[level] = self.pictures.get(level, 0) + 1


class Bench:
    """A simulated microscope with one grid, and the ways to look behind it."""

    def __init__(self, folder: Path, grid: GridToSee, profile: str, options: Mapping[str, Any]) -> None:
        film = {"hole_type": grid.hole_type, "mesh": grid.mesh, "material": grid.material}
        cassette = Cassette.model_validate({"slots": [{"slot": 1, "name": "fit", **film}]})
        world = {"grids": {"1": {"kind": grid.kind}}}
        self.clock = VirtualClock(START)
        self.scope: SimulatedMicroscope = connect(
            Installation(
                {"profile": profile, "world": world, **options},
                folder / "images",
                folder / "memory",
                self.clock,
                grid.seed,
                cassette,
            )
        )
        self.grid, self.folder = grid, folder
        self.eyes = SIGHTED if self.instrument.eye is not None else PICTURED
        self.rng = np.random.default_rng(grid.seed)
        self.presets = self.scope.presets()
        self.known: hole_sites.Known = {}
        self._names = 0
        self.ready()
        self.openings = conditions.openings_of(self.instrument, self.world)

    def ready(self) -> None:
        """Put the grid on the stage under an open valve."""
        self.scope.load(1)
        if not self.scope.status().valve_open:
            self.scope.open_valve()

    @property
    def instrument(self) -> Instrument:
        """The instrument behind the driver."""
        return self.scope.instrument

    @property
    def world(self) -> GridWorld:
        """The grid's truth."""
        world = self.instrument.world
        assert world is not None
        return world

    def take(self, level: Level, *, save_frames: bool = False) -> tuple[Acquired, View, float]:
        """Take an image; gives it with its true view and the counts per pixel with nothing in the beam."""
        preset = self.presets[level]
        self._names += 1
        got = self.scope.acquire(Shot(preset, save_frames), f"p{self._names:05}")
        view = self.instrument.view(preset, got.started_at)
        light = light_of(self.instrument, preset, got.started_at)
        return got, view, light.electrons * self.instrument.profile.camera.counts_per_electron

    def stage_of(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Say where a place of the grid lies on the stage now."""
        x, y = self.turned(np.array([x_um, y_um]))
        seating = self.instrument.seating
        return x + seating.x_um, y + seating.y_um

    def turned(self, off_um: Floats) -> tuple[float, float]:
        """Bring a difference in the grid's frame to the stage's."""
        turn = self.instrument.seating.turn_rad
        c, s = math.cos(turn), math.sin(turn)
        return float(c * off_um[0] - s * off_um[1]), float(s * off_um[0] + c * off_um[1])


def middle_of(view: View) -> Floats:
    """Give the middle of a view, (row, col)."""
    return np.array([(view.rows - 1) / 2, (view.cols - 1) / 2])


def on_stage(image: Look, place_px: Floats) -> Floats:
    """Say where a pixel lies on the stage as the instrument believes."""
    affine = np.array(image.image_to_stage, np.float64)
    return np.asarray(affine[:, :2] @ place_px + affine[:, 2])


def take_nearest(
    places: Sequence[tuple[float, float]], to: tuple[float, float], within: float, taken: set[int]
) -> int | None:
    """Take the nearest place not taken yet."""
    gaps = {n: math.dist(place, to) for n, place in enumerate(places) if n not in taken}
    best = min(gaps, key=gaps.__getitem__, default=None)
    if best is None or gaps[best] > within:
        return None
    taken.add(best)
    return best
