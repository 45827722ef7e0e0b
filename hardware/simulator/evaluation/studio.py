"""A studio: one grid set before one instrument, at a place and a level that are asked for, without a night around it.

Everything is as at the first minute of a night: dewars full, gun fresh, stage at rest and where it was sent. It knows
the truth (which square is torn, where a hole is), so nothing that decides or detects may import this.
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....protocols.cassette import Cassette
from ....protocols.errors import BadInput
from ....protocols.preset import Preset
from ...clock import VirtualClock
from ...records import Shot
from ..grid.cassette_world import CassetteWorld, GridSpec, grids_of
from ..grid.film import RIM_UM
from ..grid.openings import SquareKind
from ..grid.world import GridWorld
from ..instrument.instrument import Instrument
from ..instrument.memory import Dose, Memory
from ..instrument.profile import Profile
from ..instrument.state import State
from ..pictures import picture
from ..pictures.view import Stain
from .truth import TrueHole, TrueSquare, square_of

BEGINNING = datetime(2026, 1, 5, 18, 0, tzinfo=UTC)
"""The moment of every picture, so that equal seeds give equal pictures on any day."""

SLOT = 1
"""The slot the one grid is said to come from."""


class _Forgetful(Memory):
    """A memory that keeps nothing: a picture leaves no state behind."""

    def __init__(self) -> None:
        self.folder = Path()

    def write_state(self, state: State) -> None:
        """Keep nothing."""

    def write_dose(self, dose: Dose) -> None:
        """Keep nothing."""


def stand_up(profile: Profile, spec: GridSpec, seed: int) -> Instrument:
    """Give an instrument with this grid on its stage and the valve open.

    Parameters
    ----------
    spec
        The grid; what it leaves unsaid is as its kind has it.
    seed
        Of the world and of everything the instrument draws.

    Raises
    ------
    BadInput
        A kind, hole type, mesh or material that nobody knows.
    """
    cassette = Cassette.model_validate({"slots": [{"slot": SLOT, "name": "studio"}]})
    grids = grids_of(CassetteWorld(grids={SLOT: spec}), cassette, seed, profile.loader.slots)
    state = State(
        started=BEGINNING,
        now=BEGINNING,
        fill_at=BEGINNING + timedelta(hours=profile.dewars.first_fill_h),
        fill_s=profile.dewars.fill.median_s,
        on_stage=SLOT,
        loads={SLOT: 1},
        attempts={SLOT: 1},
        valve_open=True,
    )
    return Instrument(profile, grids, seed, VirtualClock(BEGINNING), _Forgetful(), Path(), state, [])


def world_of(instrument: Instrument) -> GridWorld:
    """Give the world of the grid on the stage."""
    world = instrument.world
    assert world is not None, "stand_up puts a grid on the stage"
    return world


def aim(
    instrument: Instrument,
    preset: Preset,
    place_um: tuple[float, float],
    *,
    defocus_um: float | None = None,
    tilt_deg: float = 0.0,
    act: int = 1,
) -> None:
    """Bring a place of the grid to the middle of the camera, at eucentric height, at this defocus and tilt.

    Parameters
    ----------
    place_um
        In the grid's own frame.
    defocus_um
        Underfocus negative; None takes the preset's.
    act
        Number of the act the next picture belongs to; two pictures of one place differ in their noise by it.

    Raises
    ------
    BadInput
        The place or the tilt is out of reach.
    """
    limits, state = instrument.profile.stage, instrument.state
    if not abs(tilt_deg) <= limits.tilt_limit_deg:
        raise BadInput(f"the stage cannot tilt to {tilt_deg:g}°; its limit is ±{limits.tilt_limit_deg:g}°")
    if not math.hypot(*place_um) <= 2 * limits.limit_um:
        raise _out_of_reach(place_um, limits.limit_um)
    state.preset, state.acts = preset, act
    state.alpha_deg = tilt_deg
    state.defocus_um = preset.defocus_um if defocus_um is None else defocus_um
    wanted = np.array(place_um)
    for _ in range(4):  # Where a tilted stage looks depends on the height there, which depends on where it looks.
        seen = instrument.looked_at(BEGINNING, preset)
        state.z_um -= instrument.height_um(seen)
        missed = _to_stage(instrument, wanted) - instrument.looked_at(BEGINNING, preset)
        state.x_um, state.y_um = state.x_um + float(missed[0]), state.y_um + float(missed[1])
    if max(abs(state.x_um), abs(state.y_um)) > limits.limit_um:
        raise _out_of_reach(place_um, limits.limit_um)
    state.focal_um = 0.0
    looked = instrument.looked_at(BEGINNING, preset)
    state.focal_um = state.defocus_um - instrument.true_defocus_um(looked, BEGINNING)


def beyond_um(instrument: Instrument, places_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how far places (..., 2) of the grid lie beyond the limits of the stage it lies on; negative inside."""
    seating = instrument.seating
    c, s = math.cos(seating.turn_rad), math.sin(seating.turn_rad)
    there = places_um @ np.array([[c, -s], [s, c]]).T + [seating.x_um, seating.y_um]
    return np.asarray(np.abs(there).max(axis=-1) - instrument.profile.stage.limit_um)


def photograph(
    instrument: Instrument, preset: Preset, *, save_frames: bool = False, marks: Iterable[Stain] = ()
) -> NDArray[Any]:
    """Take a picture from where the instrument stands: counts, (rows, cols), or (frames, rows, cols)."""
    return picture.take(instrument, Shot(preset, save_frames=save_frames), BEGINNING, list(marks))


def square_like(world: GridWorld, kind: str, *, skip: int = 0, whole: bool = True) -> TrueSquare:
    """Find a square of this kind, near the grid's centre first, those last on which a mark of the mesh lies.

    Parameters
    ----------
    kind
        A name of `SquareKind`, in small letters.
    skip
        How many nearer ones to pass over; past the last it begins again.
    whole
        Whether the grid's rim must leave all of it.

    Raises
    ------
    BadInput
        There is no such kind, or no such square on this grid.
    """
    names = [member.name.lower() for member in SquareKind]
    if kind not in names:
        raise BadInput(f"there is no class of squares called {kind}; known are {', '.join(names)}")
    table = world.squares
    away = np.hypot(table.x_um, table.y_um)
    reach = RIM_UM - (world.bars.mesh.opening_um * 0.75 if whole else 0.0)
    found = np.flatnonzero((table.kind == SquareKind[kind.upper()]).ravel() & (away < reach).ravel())
    if found.size == 0:
        raise BadInput(f"this grid has no {kind} square; give another seed or another kind of grid")
    i, j = table.i.ravel()[found], table.j.ravel()[found]
    marked = np.array([bool(world.marks_near(*index)) for index in zip(i.tolist(), j.tolist(), strict=True)])
    chosen = np.lexsort((away.ravel()[found], marked))[skip % found.size]
    return square_of(world, int(i[chosen]), int(j[chosen]))


def hole_of(square: TrueSquare) -> TrueHole | None:
    """Give the hole next to a square's middle, one with ice to see where there is any; None where no holes are."""
    sound = [hole for hole in square.holes if math.isfinite(hole.resolution_a)]
    return min(
        sound or square.holes,
        key=lambda hole: math.hypot(hole.x_um - square.x_um, hole.y_um - square.y_um),
        default=None,
    )


def _to_stage(instrument: Instrument, place: NDArray[np.float64]) -> NDArray[np.float64]:
    seating = instrument.seating
    c, s = math.cos(seating.turn_rad), math.sin(seating.turn_rad)
    return np.array([[c, -s], [s, c]]) @ place + [seating.x_um, seating.y_um]


def _out_of_reach(place_um: tuple[float, float], limit_um: float) -> BadInput:
    x, y = place_um
    return BadInput(
        f"({x:g}, {y:g}) µm from the grid's centre is beyond the reach of the stage, ±{limit_um:g} µm in x and y with "
        "the grid as it lies; choose a nearer place"
    )
