"""The night at a glance: where it is, what is done, when it will end, and one line for each slot."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Row,
    String,
    and_,
    cast,
    func,
    not_,
    or_,
    select,
    true,
)

from .errors import RecordMissing
from .lease import Holder, holder
from .models import BisGroup, Command, Event, Exposure, Fault, Grid, Hole, ImageRow, Measure, Session, Square
from .querying import Reader, connected

NOT_THE_GRID = frozenset({"black", "during-refill"})
"""Flags of exposures that say something of the microscope and nothing of the grid."""

USABLE_SHARE = 0.5
"""A hole of several shots counts as usable where so many of its judged ones are: it is the hole that is judged by them,
and the best of them would promise what the others do not hold."""

OVER = frozenset({"stopped", "parked", "finished"})
"""Run statuses in which nothing moves."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much there is; ``judged`` exposures have a verdict, ``waiting`` ones will get one."""

    grids: int
    grids_done: int
    squares: int
    squares_visited: int
    holes: int
    exposures: int
    lost: int
    judged: int
    usable: int
    waiting: int
    faults: int
    commands_waiting: int


@dataclass(frozen=True, slots=True)
class NightStatus:
    """Where the night is.

    Attributes
    ----------
    clock
        Time of the last event: how far the record reaches.
    slot, grid_name, square_number, group_number
        What it is at; None between grids, squares, groups.
    last_dose_e_per_a2
        Dose of the last image that has one.
    last_event_id
        For a caller that asks only whether something is new.
    holder
        The process that writes, None when none does.
    estimated_end
        From the grids that had their turn in this pass and those still to come, not later than the deadline; None
        before the first turn has ended. The end itself when it is over.
    """

    name: str
    phase: str
    run_status: str
    doing: str
    outcome: str
    pass_number: int
    slot: int | None
    grid_name: str | None
    square_number: int | None
    group_number: int | None
    clock: datetime
    started_at: datetime
    deadline_at: datetime | None
    finished_at: datetime | None
    estimated_end: datetime | None
    resumes: int
    counts: Counts
    last_dose_e_per_a2: float | None
    last_event_id: int
    holder: Holder | None
    seed: int
    code_version: str
    protocol: Mapping[str, Any]
    cassette: Mapping[str, Any]
    microscope: Mapping[str, Any]
    plugins: Mapping[str, Any]

    @property
    def over(self) -> bool:
        """Whether nothing moves any more."""
        return self.run_status in OVER


@dataclass(frozen=True, slots=True)
class GridSummary:
    """One slot.

    Attributes
    ----------
    frame
        2×3 affine from stage µm at the first load to stage µm now; None is the identity.
    categories
        Squares found, by class.
    squares_visited, good_left
        Squares gone to; whole squares of the good class not gone to yet.
    exposures, lost, waiting
        Shots taken; shots that a crash may have taken and nothing shows; shots still to be judged.
    judged, usable
        Shots whose verdict says something of the grid, and how many of them are usable.
    by_square
        (judged, usable) holes of every square with judged shots, in the order of the squares' numbers; a hole of
        several shots is judged once, and usable by the share of them that are.
    flags
        How often each short word of blame was said of a judged shot.
    best_fit_a, median_fit_a, median_ice_nm
        Over the shots that have the measure.
    last_exposure, last_at
        Number and time of the last shot.
    """

    id: int
    slot: int
    name: str
    hole_type: str
    mesh: str
    material: str
    status: str
    reason: str
    loads: int
    load_attempts: int
    passes_done: int
    frame: Sequence[Sequence[float]] | None
    angle_deg: float | None
    used_s: float
    first_loaded_at: datetime | None
    finished_at: datetime | None
    squares: int
    categories: Mapping[str, int]
    squares_visited: int
    good_left: int
    holes: int
    exposures: int
    lost: int
    waiting: int
    judged: int
    usable: int
    by_square: Sequence[tuple[int, float]]
    flags: Mapping[str, int]
    best_fit_a: float | None
    median_fit_a: float | None
    median_ice_nm: float | None
    last_exposure: int | None
    last_at: datetime | None


def night_status(reader: Reader) -> NightStatus:
    """Say where the night is.

    Raises
    ------
    RecordMissing
        The record holds no night yet.
    """
    with connected(reader) as connection:
        night = connection.execute(select(Session.__table__).order_by(Session.id).limit(1)).one_or_none()
        if night is None:
            raise RecordMissing(f"{connection.engine.url.database} holds no night yet; start one with `epicycle run`.")
        last_event, last_at = connection.execute(select(func.max(Event.id), func.max(Event.at))).one()
        clock = max(filter(None, (night.started_at, last_at, night.finished_at)))
        slot, grid_name = _first(connection, Grid.id == night.grid_id, Grid.slot, Grid.name)
        (square,) = _first(connection, Square.id == night.square_id, Square.number)
        (group,) = _first(connection, BisGroup.id == night.group_id, BisGroup.number)
        dosed = select(ImageRow.dose_e_per_a2).where(ImageRow.dose_e_per_a2.is_not(None))
        return NightStatus(
            **{name: getattr(night, name) for name in _AS_STORED},
            slot=slot,
            grid_name=grid_name,
            square_number=square,
            group_number=group,
            clock=clock,
            estimated_end=_estimated_end(connection, night, clock),
            counts=_counts(connection),
            last_dose_e_per_a2=connection.scalar(dosed.order_by(ImageRow.id.desc()).limit(1)),
            last_event_id=last_event or 0,
            holder=holder(connection),
        )


def grids(reader: Reader) -> list[GridSummary]:
    """Give one line for each slot, by slot."""
    with connected(reader) as connection:
        squares = _by_grid(connection.execute(select(Square.__table__)))
        per_grid = select(Square.grid_id, func.count().label("holes")).join(Hole, Hole.square_id == Square.id)
        holes = {row.grid_id: row.holes for row in connection.execute(per_grid.group_by(Square.grid_id))}
        shots = _by_grid(connection.execute(_SHOTS))
        measures = _measures(connection)
        return [
            _summed(row, squares[row.id], holes.get(row.id, 0), shots[row.id], measures)
            for row in connection.execute(select(Grid.__table__).order_by(Grid.slot))
        ]


_AS_STORED = (
    *("name", "phase", "run_status", "doing", "outcome", "pass_number", "started_at", "deadline_at", "finished_at"),
    *("resumes", "seed", "code_version", "protocol", "cassette", "microscope", "plugins"),
)
_SHOTS = (
    select(Exposure.__table__, Hole.ice_nm, Hole.square_id, Square.grid_id, Square.number.label("square_number"))
    .join(Hole, Hole.id == Exposure.hole_id)
    .join(Square, Square.id == Hole.square_id)
    .order_by(Square.number, Exposure.number)
)


def _first(connection: Connection, where: ColumnElement[bool], *columns: Any) -> Sequence[Any]:
    found = connection.execute(select(*columns).where(where)).first()
    return [None] * len(columns) if found is None else list(found)


def _by_grid(found: CursorResult[Any]) -> dict[int, list[Row[Any]]]:
    sorted_out: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in found:
        sorted_out[row.grid_id].append(row)
    return sorted_out


def _measures(connection: Connection) -> dict[tuple[int, str], float]:
    """Read the newest value of what a slot's line shows, by exposure and name."""
    query = (
        select(Measure.of_id, Measure.name, Measure.value)
        .where(Measure.of_kind == "exposure", Measure.name.in_(("fit_resolution_a", "ice_nm")))
        .order_by(Measure.at, Measure.id)
    )
    return {(of_id, name): value for of_id, name, value in connection.execute(query)}


def is_visited(status: str, image_id: int | None) -> bool:
    """Whether the stage went to a square."""
    return image_id is not None or status in ("surveyed", "done")


def _summed(
    grid: Row[Any],
    squares: Sequence[Row[Any]],
    holes: int,
    shots: Sequence[Row[Any]],
    measures: Mapping[tuple[int, str], float],
) -> GridSummary:
    done = [shot for shot in shots if shot.status == "done"]
    judged = [shot for shot in done if shot.usable is not None and NOT_THE_GRID.isdisjoint(shot.flags)]
    tallies: dict[int, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for shot in judged:
        tallies[shot.square_id][shot.hole_id].append(shot.usable)
    fits = [fit for shot in done if (fit := measures.get((shot.id, "fit_resolution_a"))) is not None]
    ices = [ice for shot in done if (ice := measures.get((shot.id, "ice_nm"), shot.ice_nm)) is not None]
    last = max(done, key=lambda shot: shot.number, default=None)
    good = [square for square in squares if square.category == "good" and not square.partial]
    return GridSummary(
        **{name: getattr(grid, name) for name in _GRID_AS_STORED},
        squares=len(squares),
        categories=Counter(square.category for square in squares),
        squares_visited=sum(is_visited(square.status, square.image_id) for square in squares),
        good_left=sum(not is_visited(square.status, square.image_id) for square in good),
        holes=holes,
        exposures=len(done),
        lost=sum(shot.status == "lost" for shot in shots),
        waiting=sum(shot.analysis == "waiting" for shot in done),
        judged=len(judged),
        usable=sum(shot.usable for shot in judged),
        by_square=[(len(holes), sum(map(fmean, holes.values()))) for holes in tallies.values()],
        flags=Counter(flag for shot in judged for flag in shot.flags),
        best_fit_a=min(fits, default=None),
        median_fit_a=median(fits) if fits else None,
        median_ice_nm=median(ices) if ices else None,
        last_exposure=None if last is None else last.number,
        last_at=None if last is None else last.taken_at,
    )


_GRID_AS_STORED = (
    *("id", "slot", "name", "hole_type", "mesh", "material", "status", "reason", "loads", "load_attempts"),
    *("passes_done", "frame", "angle_deg", "used_s", "first_loaded_at", "finished_at"),
)


def _counts(connection: Connection) -> Counts:
    shot = Exposure.status == "done"
    not_the_grid = or_(*(cast(Exposure.flags, String).contains(f'"{flag}"') for flag in sorted(NOT_THE_GRID)))
    judged = and_(shot, Exposure.usable.is_not(None), not_(not_the_grid))
    visited = or_(Square.image_id.is_not(None), Square.status.in_(("surveyed", "done")))
    wanted = {
        "grids": (Grid, Grid.status != "empty"),
        "grids_done": (Grid, Grid.status.in_(("screened", "skipped", "failed"))),
        "squares": (Square, true()),
        "squares_visited": (Square, visited),
        "holes": (Hole, true()),
        "exposures": (Exposure, shot),
        "lost": (Exposure, Exposure.status == "lost"),
        "judged": (Exposure, judged),
        "usable": (Exposure, and_(judged, Exposure.usable.is_(True))),
        "waiting": (Exposure, and_(shot, Exposure.analysis == "waiting")),
        "faults": (Fault, true()),
        "commands_waiting": (Command, Command.status == "asked"),
    }
    each = [
        select(func.count()).select_from(table).where(where).scalar_subquery().label(name)
        for name, (table, where) in wanted.items()
    ]
    return Counts(**connection.execute(select(*each)).mappings().one())


def _estimated_end(connection: Connection, night: Row[Any], clock: datetime) -> datetime | None:
    """Carry the mean length of a turn of this pass on to the grids that still wait."""
    if night.run_status in OVER:
        return night.finished_at or clock
    found = connection.execute(select(Grid.status, Grid.passes_done, Grid.finished_at)).all()
    ended = [row.finished_at for row in found if row.finished_at is not None and row.passes_done > night.pass_number]
    to_come = sum(row.status in ("waiting", "loading", "loaded") for row in found)
    earlier = [row.finished_at for row in found if row.finished_at is not None and row.passes_done <= night.pass_number]
    begun = max(earlier, default=night.started_at) if night.pass_number else night.started_at
    if not to_come:
        end = clock
    elif not ended:
        return None
    else:
        turn = (max(ended) - begun) / len(ended)
        end = max(clock, max(ended) + to_come * turn)
    return end if night.deadline_at is None else min(end, max(night.deadline_at, clock))
