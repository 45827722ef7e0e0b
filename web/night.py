"""A whole night read at once and put in order: each grid with its squares, each square with holes, groups and shots.

Everything comes from `db.views`, on one connection: one state of the record, a few queries, whatever the night's size.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Engine

from ..db import views
from ..db.views import (
    AtlasView,
    CommandView,
    DecisionView,
    ExposureView,
    FaultView,
    GridSummary,
    GroupView,
    HoleView,
    ImageView,
    NightStatus,
    RankedGrid,
    RemarkView,
    SquareView,
    StepView,
)

Rows = Sequence[Sequence[float]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SquareNight:
    """One square, with everything in it in the order of the visit."""

    square: SquareView
    holes: tuple[HoleView, ...]
    groups: tuple[GroupView, ...]
    shots: tuple[ExposureView, ...]

    @property
    def visited(self) -> bool:
        """Whether the stage went there."""
        return self.square.image is not None or self.square.status in ("surveyed", "done")


@dataclass(frozen=True, slots=True)
class GridNight:
    """One grid in its place; ``reloaded_at`` are the times of its loads after the first."""

    ranked: RankedGrid
    atlas: AtlasView | None
    reloaded_at: tuple[datetime, ...]
    squares: tuple[SquareNight, ...]
    decisions: tuple[DecisionView, ...]
    faults: tuple[FaultView, ...]

    @property
    def summary(self) -> GridSummary:
        """The grid's line."""
        return self.ranked.grid

    @property
    def visited(self) -> tuple[SquareNight, ...]:
        """The squares gone to, in the order of the visit."""
        gone = [one for one in self.squares if one.visited]
        return tuple(sorted(gone, key=lambda one: (one.square.visit_order or 0, one.square.number)))

    @property
    def shots(self) -> tuple[ExposureView, ...]:
        """Every shot on the grid, in the order taken."""
        return tuple(sorted((shot for one in self.squares for shot in one.shots), key=lambda shot: shot.number))

    def frame_of(self, image: ImageView) -> Rows | None:
        """Give the way from stage µm at the first load to stage µm when an image was taken; None where they agree."""
        return self.summary.frame if any(at <= image.taken_at for at in self.reloaded_at) else None


@dataclass(frozen=True, slots=True)
class WholeNight:
    """Everything of one night, grids best first."""

    status: NightStatus
    grids: tuple[GridNight, ...]
    steps: tuple[StepView, ...]
    faults: tuple[FaultView, ...]
    decisions: tuple[DecisionView, ...]
    commands: tuple[CommandView, ...]
    remarks: tuple[RemarkView, ...]


def whole_night(reader: Engine) -> WholeNight:
    """Read the night of a record.

    Raises
    ------
    RecordMissing
        The record holds no night yet.
    """
    with views.connected(reader) as connection:
        status = views.night_status(connection)
        squares = _squares(connection)
        steps = views.timeline(connection)
        decisions = views.decisions_of(connection)
        faults = views.faults(connection)
        grids = tuple(
            GridNight(
                ranked,
                views.atlas_of(connection, ranked.grid.id),
                views.reloads_of(connection, ranked.grid.id),
                tuple(squares[ranked.grid.id]),
                tuple(d for d in decisions if _about(d, ranked.grid.id, squares)),
                tuple(fault for fault in faults if fault.grid_id == ranked.grid.id),
            )
            for ranked in views.rank(connection)
        )
        return WholeNight(
            status,
            grids,
            tuple(steps),
            tuple(faults),
            tuple(decisions),
            tuple(views.commands(connection)),
            tuple(views.remarks(connection)),
        )


def _squares(connection: views.Reader) -> Mapping[int, list[SquareNight]]:
    holes = _by(views.holes_of(connection), "square_id")
    groups = _by(views.groups_of(connection), "square_id")
    shots = _by(views.exposures_of(connection), "square_id")
    found: dict[int, list[SquareNight]] = defaultdict(list)
    for square in views.squares_of(connection):
        inside = (tuple(holes[square.id]), tuple(groups[square.id]), tuple(shots[square.id]))
        found[square.grid_id].append(SquareNight(square, *inside))
    return found


def _by(rows: Iterable[T], name: str) -> Mapping[int, list[T]]:
    shelves: dict[int, list[T]] = defaultdict(list)
    for row in rows:
        shelves[getattr(row, name)].append(row)
    return shelves


def _about(decision: DecisionView, grid_id: int, squares: Mapping[int, Sequence[SquareNight]]) -> bool:
    """Whether a decision was made on this grid: on its squares, or on the holes of one of them."""
    if decision.of_kind == "grid":
        return decision.of_id == grid_id
    return decision.of_kind == "square" and any(one.square.id == decision.of_id for one in squares[grid_id])
