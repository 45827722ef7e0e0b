"""The truth of one grid as two tables, squares and holes, for evaluation alone.

Nothing that decides or detects may import this; an import contract says so.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from ..grid.cells import Floats
from ..grid.film import RIM_UM
from ..grid.openings import SquareKind
from ..grid.tears import inside
from ..grid.world import GridWorld
from .truth import USABLE_A, USUAL_DOSE, USUAL_KV, exposed, holes_of, resolution_a, voltage_of, worlds

WHOLE = 0.85
"""An opening is partial when less of it lies free of the ring, the marks and its neighbours' metal."""

GONE = 0.35
"""A torn square is broken when more of its film than this is gone."""

TOO_THICK_NM = 140.0
"""A square is thick when the ice in its middle is thicker; nothing finer than 5 Å comes through at 200 kV."""

THIN_NM = 6.0
"""A square is dry when the ice on it is thinner."""

SAMPLES = 21
"""So many places along each side of an opening are looked at."""


class Grade(StrEnum):
    """What an operator would call a square."""

    GOOD = "good"
    THICK = "thick"
    SMALL = "small"
    CONTAMINATED = "contaminated"
    CRYSTALLINE = "crystalline"
    CRACKED = "cracked"
    PARTIAL = "partial"
    BROKEN = "broken"
    DRY = "dry"


@dataclass(frozen=True, slots=True)
class SquareRow:
    """One opening of a grid.

    Attributes
    ----------
    slot, i, j
        Its grid's slot and its indices.
    x_um, y_um
        Its centre in the grid's frame.
    grade
        What an operator would call it.
    kind
        What the world drew it as, a name of `SquareKind` in small letters.
    ice_nm
        Ice on the film in its middle half, median.
    open_share
        Share of the opening that neither the ring nor a mark covers.
    film_share
        Share of what is open that still has film.
    holes
        Whole holes in it.
    usable
        Fraction of its holes that would reach 5 Å; of its film, where that has no holes.
    """

    slot: int
    i: int
    j: int
    x_um: float
    y_um: float
    grade: Grade
    kind: str
    ice_nm: float
    open_share: float
    film_share: float
    holes: int
    usable: float


@dataclass(frozen=True, slots=True)
class HoleRow:
    """One hole at one dose: place in the grid's frame, ice in its middle, what an exposure would reach, what spoils it.

    ``resolution_a`` is infinite where there is nothing to see; ``spoilt_by`` then says why.
    """

    slot: int
    i: int
    j: int
    a: int
    b: int
    x_um: float
    y_um: float
    radius_um: float
    ice_nm: float
    dose_e_per_a2: float
    resolution_a: float
    spoilt_by: str


def square_rows(
    world: GridWorld, voltage_kv: float = USUAL_KV, dose_e_per_a2: float = USUAL_DOSE
) -> Iterator[SquareRow]:
    """Give every opening of a grid that the ring leaves at least some of."""
    table = world.squares
    near = np.hypot(table.x_um, table.y_um) < RIM_UM + world.bars.mesh.opening_um
    for i, j in zip(table.i[near].tolist(), table.j[near].tolist(), strict=True):
        row = square_row(world, i, j, voltage_kv, dose_e_per_a2)
        if row.open_share > 0:
            yield row


def square_row(
    world: GridWorld, i: int, j: int, voltage_kv: float = USUAL_KV, dose_e_per_a2: float = USUAL_DOSE
) -> SquareRow:
    """Look at one opening."""
    square = world.square(i, j)
    kind = SquareKind(int(square.kind[0]))
    places, open_share = _open_places(world, i, j)
    tears = world.defects(i, j).tears
    gone = [any(tear.opens(*place) for tear in tears) for place in places]
    film = 0.0 if kind is SquareKind.EMPTY else 1.0 - float(np.mean(gone)) if gone else 1.0
    ice = world.ice_nm(*places.T) if len(places) else np.zeros(1)
    middle = np.linalg.norm(places - world.centre_of(i, j), axis=1) < world.bars.mesh.opening_um / 4
    typical = float(np.median(ice[middle] if middle.any() else ice))
    count, usable = _usable(world, i, j, places, ice, voltage_kv, dose_e_per_a2)
    grade = _grade(kind, open_share, film, 0.0 if kind is SquareKind.EMPTY else typical)
    x, y = world.centre_of(i, j).tolist()
    return SquareRow(world.slot, i, j, x, y, grade, kind.name.lower(), typical, open_share, film, count, usable)


def hole_rows(
    world: GridWorld, i: int, j: int, voltage_kv: float = USUAL_KV, doses_e_per_a2: Sequence[float] = (USUAL_DOSE,)
) -> list[HoleRow]:
    """Give every whole hole of one opening, at each dose."""
    if world.film.hole_um == 0:
        return []
    holes = holes_of(world, i, j)
    ice = world.ice_in_hole(holes)
    columns = [part.tolist() for part in (holes.a, holes.b, holes.x_um, holes.y_um, holes.radius_um, ice)]
    rows: list[HoleRow] = []
    for dose in doses_e_per_a2:
        reached, why = exposed(world, (i, j), holes, voltage_kv, dose)
        lines = zip(*columns, reached.tolist(), why, strict=True)
        rows += [HoleRow(world.slot, i, j, a, b, x, y, r, t, dose, q, w) for a, b, x, y, r, t, q, w in lines]
    return rows


def tables_of(
    memory_folder: Path, doses_e_per_a2: Sequence[float] = (USUAL_DOSE,)
) -> tuple[list[SquareRow], list[HoleRow]]:
    """Give both tables of all grids of the night whose memory this is, at its instrument's voltage."""
    voltage = voltage_of(memory_folder)
    squares: list[SquareRow] = []
    holes: list[HoleRow] = []
    for world in worlds(memory_folder).values():
        for row in square_rows(world, voltage, doses_e_per_a2[0]):
            squares.append(row)
            holes += hole_rows(world, row.i, row.j, voltage, doses_e_per_a2)
    return squares, holes


def as_csv(rows: Iterable[SquareRow | HoleRow]) -> str:
    """Write rows of one table as CSV with a header; no rows are no text."""
    text = io.StringIO()
    writer: Any = None
    for row in rows:
        names = [part.name for part in fields(row)]
        if writer is None:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(names)
        writer.writerow([_plain(getattr(row, name)) for name in names])
    return text.getvalue()


def _plain(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) and not value.is_integer() else value


def _grade(kind: SquareKind, open_share: float, film_share: float, ice_nm: float) -> Grade:
    if kind is SquareKind.EMPTY or film_share < 1 - GONE:
        return Grade.BROKEN
    if open_share < WHOLE:
        return Grade.PARTIAL
    own = {
        SquareKind.SMALL: Grade.SMALL,
        SquareKind.CRYSTALLINE: Grade.CRYSTALLINE,
        SquareKind.DRY: Grade.DRY,
        SquareKind.CRACKED: Grade.CRACKED,
        SquareKind.TORN: Grade.CRACKED,
        SquareKind.CONTAMINATED: Grade.CONTAMINATED,
    }.get(kind)
    if ice_nm < THIN_NM:
        return Grade.DRY
    if kind is SquareKind.THICK or (ice_nm > TOO_THICK_NM and own is None):
        return Grade.THICK
    return own or Grade.GOOD


def _usable(
    world: GridWorld, i: int, j: int, places: Floats, ice: Floats, voltage_kv: float, dose: float
) -> tuple[int, float]:
    if world.film.hole_um > 0:
        holes = holes_of(world, i, j)
        reached, _ = exposed(world, (i, j), holes, voltage_kv, dose)
        return reached.size, float(np.mean(reached <= USABLE_A)) if reached.size else 0.0
    # Without holes there is film everywhere; it blurs as ice of its thickness does.
    return 0, float(np.mean(resolution_a(ice, world.spec.b_a2, voltage_kv, dose) <= USABLE_A)) if len(places) else 0.0


def _open_places(world: GridWorld, i: int, j: int) -> tuple[Floats, float]:
    """Give places of an opening that nothing covers, (n, 2), and which share of all they are."""
    half = world.bars.mesh.opening_um * 0.62
    side = np.linspace(-half, half, SAMPLES)
    centre = world.centre_of(i, j)
    all_ = centre + np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    x, y = all_.T
    own = world.squares_at(x, y)
    within = (world.bar_distance_um(x, y, own) < 0) & (own.i == i) & (own.j == j)
    places = all_[within]
    marks = world.marks_near(i, j)
    free = np.hypot(*places.T) < RIM_UM
    if marks:
        free &= ~np.array([any(inside(line, *place) for line in marks) for place in places], bool)
    return places[free], float(free.mean()) if len(places) else 0.0
