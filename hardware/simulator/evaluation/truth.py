"""What the simulated world really holds: for evaluation and tests alone.

Nothing that decides or detects may import this; an import contract says so.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....protocols.cassette import Cassette
from ....protocols.errors import BadInput
from ..grid.cassette_world import grids_of, load_world
from ..grid.cells import Floats
from ..grid.film import RIM_UM
from ..grid.openings import Holes, SquareKind
from ..grid.tears import inside
from ..grid.world import GridWorld
from ..instrument.instrument import seating_of
from ..instrument.memory import Dose, Struck, read_doses, read_struck
from ..instrument.profile import load_profile
from ..pictures.lens import wavelength_a
from ..pictures.specimen import holes_in

USABLE_A = 5.0
"""A hole is usable when an exposure of it would reach this resolution."""

FULL_A, NOTHING_A = 3.0, 8.0
"""Resolutions at which a hole counts in full, and not at all, towards its grid's score; linear in between."""

DEPTH_LOSS, SIGNAL_PER_NM, STIRRED_NM, SOURCE_B_A2, EMPTY_NM = 1.05, 0.36, 12.0, 50.0, 6.0
"""See `resolution_a`; fitted to what `imaging.ctf` finds on simulated exposures at 40 e⁻/Å²."""


USUAL_KV, USUAL_DOSE = 200.0, 40.0
"""Voltage and dose (e⁻/Å²) where nobody says which."""

STAIN_A = 15.0
"""Grains of stain show nothing finer; the usual figure for uranyl salts."""

GRAIN_REACH_UM = 0.2
"""A grain spoils an exposure whose middle is so much further away than its edge; the beam is no wider."""


@dataclass(frozen=True, slots=True)
class TrueHole:
    """One hole: its lattice indices, place in the grid's frame, ice in its middle, and what an exposure would reach.

    ``resolution_a`` is infinite where there is nothing to see, and ``spoilt_by`` says why: "no film", "tear", "fold",
    "dirt", "crystals", "mark", "no ice"; it is empty where an exposure tells something.
    """

    a: int
    b: int
    x_um: float
    y_um: float
    radius_um: float
    ice_nm: float
    resolution_a: float
    spoilt_by: str = ""


@dataclass(frozen=True, slots=True)
class TrueSquare:
    """One mesh opening: its indices, centre in the grid's frame, what became of it, and its holes."""

    i: int
    j: int
    x_um: float
    y_um: float
    kind: str
    holes: tuple[TrueHole, ...]

    @property
    def usable(self) -> float:
        """Fraction of its holes that are usable."""
        return sum(hole.resolution_a <= USABLE_A for hole in self.holes) / len(self.holes) if self.holes else 0.0


@dataclass(frozen=True, slots=True)
class TrueGrid:
    """A summary of one grid over a sample of its squares; ``score`` is the mean worth of its holes, 0 to 1."""

    slot: int
    kind: str
    usable_squares: float
    usable_holes: float
    median_resolution_a: float
    score: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """One dose at exposure level and the hole it fell into; None where it fell beside all holes."""

    dose: Dose
    hole: tuple[int, int] | None


def worlds(memory_folder: Path) -> dict[int, GridWorld]:
    """Give the worlds of all occupied slots of the night whose memory this is."""
    path = Path(memory_folder) / "world.json"
    if not path.exists():
        raise BadInput(f"{memory_folder} is not the memory of a simulated microscope")
    kept = json.loads(path.read_bytes())
    slots = load_profile(kept["profile"]).loader.slots
    grids = grids_of(load_world(kept["world"]), Cassette.model_validate(kept["cassette"]), kept["seed"], slots)
    return {slot: GridWorld(kept["seed"], slot, spec) for slot, spec in grids.items()}


def exposures(memory_folder: Path) -> list[Exposure]:
    """Give every exposure of the night with the hole it hit, oldest first."""
    known = worlds(memory_folder)
    return [
        Exposure(dose, hole_at(known[dose.of_grid], dose.x_um, dose.y_um))
        for dose in read_doses(memory_folder)
        if dose.level == "exposure"
    ]


def times_exposed(memory_folder: Path) -> Counter[tuple[int, int, int]]:
    """Count the exposures of each hole, by (grid, a, b); a grid is named by the slot it began the night in."""
    return Counter((shot.dose.of_grid, *shot.hole) for shot in exposures(memory_folder) if shot.hole is not None)


def times_on_a_place(memory_folder: Path) -> list[int]:
    """Count for each exposure the ones, itself among them, whose middle lies in the disc it lit; oldest first.

    Two shots side by side in a hole are two places; one that was taken again, though the stage came back a little
    beside, is not.
    """
    given = [shot.dose for shot in exposures(memory_folder)]
    return [
        sum(
            one.of_grid == other.of_grid and math.hypot(one.x_um - other.x_um, one.y_um - other.y_um) < one.radius_um
            for other in given
        )
        for one in given
    ]


def faults(memory_folder: Path) -> list[Struck]:
    """Give every fault that struck during the night, oldest first."""
    return read_struck(memory_folder)


def hole_at(world: GridWorld, x_um: float, y_um: float) -> tuple[int, int] | None:
    """Give the lattice indices of the hole at a place of the grid's frame."""
    if world.film.hole_um == 0:
        return None
    index = np.linalg.inv(world.film.basis_um) @ (np.array([x_um, y_um]) - world.film.origin_um)
    a, b = np.mgrid[-1:2, -1:2] + np.rint(index).astype(int)[:, None, None]
    holes = world.holes(a, b)
    away = np.hypot(holes.x_um - x_um, holes.y_um - y_um)
    nearest = np.unravel_index(int(away.argmin()), away.shape)
    if away[nearest] > holes.radius_um[nearest]:
        return None
    return int(a[nearest]), int(b[nearest])


def square_of(
    world: GridWorld, i: int, j: int, voltage_kv: float = USUAL_KV, dose_e_per_a2: float = USUAL_DOSE
) -> TrueSquare:
    """Look up everything about one square."""
    square = world.square(i, j)
    centre = world.centre_of(i, j)
    found: tuple[TrueHole, ...] = ()
    if world.film.hole_um > 0:
        holes = holes_of(world, i, j)
        reached, why = exposed(world, (i, j), holes, voltage_kv, dose_e_per_a2)
        parts = (holes.a, holes.b, holes.x_um, holes.y_um, holes.radius_um, world.ice_in_hole(holes), reached)
        table = zip(*(part.tolist() for part in parts), why, strict=True)
        found = tuple(TrueHole(*row) for row in table)
    kind = SquareKind(int(square.kind[0])).name.lower()
    return TrueSquare(i, j, float(centre[0]), float(centre[1]), kind, found)


def holes_of(world: GridWorld, i: int, j: int) -> Holes:
    """Give the holes that lie whole in the opening of one square."""
    half = world.bars.mesh.opening_um * 0.75
    corners = world.centre_of(i, j) + half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    holes = holes_in(world, corners)
    own = world.squares_at(holes.x_um, holes.y_um)
    edge = world.bar_distance_um(holes.x_um, holes.y_um, own) + holes.radius_um
    in_ring = np.hypot(holes.x_um, holes.y_um) + holes.radius_um < RIM_UM
    return holes.where((own.i == i) & (own.j == j) & (edge < 0) & in_ring)


def grid_of(world: GridWorld, squares: int = 40, voltage_kv: float = USUAL_KV) -> TrueGrid:
    """Summarise a grid over its squares next to the centre."""
    reach = math.ceil(math.sqrt(squares)) + 1
    near = sorted(
        ((i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)),
        key=lambda index: math.hypot(*world.centre_of(*index)),
    )
    looked = [
        square_of(world, i, j, voltage_kv) for i, j in near[:squares] if math.hypot(*world.centre_of(i, j)) < RIM_UM
    ]
    reached = np.array([hole.resolution_a for square in looked for hole in square.holes])
    if reached.size == 0:
        return TrueGrid(world.slot, world.spec.kind, 0.0, 0.0, math.inf, 0.0)
    worth = np.clip((NOTHING_A - reached) / (NOTHING_A - FULL_A), 0.0, 1.0)
    good = float(np.mean([square.usable > 0.5 for square in looked]))
    usable = float(np.mean(reached <= USABLE_A))
    return TrueGrid(world.slot, world.spec.kind, good, usable, float(np.median(reached)), float(worth.mean()))


def ranking(memory_folder: Path) -> list[TrueGrid]:
    """Rank the grids of the night, best first."""
    voltage = voltage_of(memory_folder)
    known = worlds(memory_folder).values()
    return sorted((grid_of(world, voltage_kv=voltage) for world in known), key=lambda grid: -grid.score)


def voltage_of(memory_folder: Path) -> float:
    """Give the voltage of the instrument whose memory this is, kV."""
    kept = json.loads((Path(memory_folder) / "world.json").read_bytes())
    return load_profile(kept["profile"]).optics.voltage_kv


def grid_to_stage(memory_folder: Path, slot: int, load: int, x_um: float, y_um: float) -> tuple[float, float]:
    """Say where a place of a grid lay on the stage after the n-th load of its slot."""
    kept = json.loads((Path(memory_folder) / "world.json").read_bytes())
    seating = seating_of(load_profile(kept["profile"]), kept["seed"], slot, load)
    c, s = math.cos(seating.turn_rad), math.sin(seating.turn_rad)
    return c * x_um - s * y_um + seating.x_um, s * x_um + c * y_um + seating.y_um


def exposed(
    world: GridWorld,
    square: tuple[int, int],
    holes: Holes,
    voltage_kv: float = USUAL_KV,
    dose_e_per_a2: float = USUAL_DOSE,
) -> tuple[Floats, list[str]]:
    """Say what exposures of these holes of one square would reach, Å, and what spoils those that reach nothing."""
    ice = world.ice_in_hole(holes)
    places = np.stack([holes.x_um, holes.y_um], axis=-1)
    why = spoilt_by(world, square, places)
    why = [cause or ("no ice" if thick < EMPTY_NM else "") for cause, thick in zip(why, ice.tolist(), strict=True)]
    reached = resolution_a(ice, world.spec.b_a2, voltage_kv, dose_e_per_a2)
    if world.film.stain:
        reached = np.maximum(reached, STAIN_A)
    return np.where([bool(cause) for cause in why], math.inf, reached), why


def spoilt_by(world: GridWorld, square: tuple[int, int], places: Floats) -> list[str]:
    """Say what takes the middle of exposures at these places (n, 2) of one square; empty where nothing does."""
    kind = SquareKind(int(world.square(*square).kind[0]))
    everywhere = {SquareKind.EMPTY: "no film", SquareKind.CRYSTALLINE: "crystals"}.get(kind, "")
    found = np.full(len(places), everywhere, dtype="<U8")
    defects = world.defects(*square)
    dirt = defects.dirt
    for middle, radius in (
        (dirt.middle_um, dirt.radius_um),
        (defects.drops_um[:, :2], defects.drops_um[:, 2]),
        *((fern.middle_um, fern.radius_um) for fern in defects.ferns),
    ):
        away = np.linalg.norm(places[:, None] - middle, axis=-1)
        found[(away < radius + GRAIN_REACH_UM).any(axis=1)] = "dirt"
    marks = world.marks_near(*square)
    for number, place in enumerate(places if defects.tears or marks else ()):
        if any(tear.opens(*place) for tear in defects.tears):
            found[number] = "tear"
        elif any(tear.holds(*place) for tear in defects.tears):
            found[number] = "fold"
        elif any(inside(line, *place) for line in marks):
            found[number] = "mark"
    return [str(cause) for cause in found]


def resolution_a(
    ice_nm: Floats, b_a2: float, voltage_kv: float = USUAL_KV, dose_e_per_a2: float = USUAL_DOSE
) -> Floats:
    """Estimate to which resolution the rings of an exposure can be followed.

    They end where their power, ``c t exp(-B k²/2)``, sinks into the noise, or where the depth t has blurred them,
    ``k² ~ 1 / (λ t)``; whichever comes first. Of very thin ice less is seen than its share.
    """
    thick = np.maximum(ice_nm, 1e-3)
    signal = SIGNAL_PER_NM * dose_e_per_a2 / USUAL_DOSE * thick * thick / (thick + STIRRED_NM)
    faint = (SOURCE_B_A2 + b_a2) / (2 * np.log1p(signal))
    blurred = DEPTH_LOSS * wavelength_a(voltage_kv) * 10.0 * ice_nm
    return np.asarray(np.where(ice_nm < EMPTY_NM, math.inf, (faint**2 + blurred**2) ** 0.25))
