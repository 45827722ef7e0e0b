"""What lies ahead of a running night and how it has gone of late: small queries for those who watch it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from .models import BisGroup, Exposure, Grid, ImageRow, Measure, Session, Square, Step
from .querying import Reader, connected, rows
from .view_records import ImageView

VIEWS = ("atlas", "square", "bis_group")
"""Tables whose images show where the night is."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What comes next: squares of the grid at hand, groups of the square at hand, slots; each in its order."""

    groups: tuple[int, ...]
    squares: tuple[int, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """One judged exposure; ``resolution_a`` is None where nothing was fitted."""

    number: int
    resolution_a: float | None
    usable: bool | None


def queue(reader: Reader) -> Queue:
    """Say what is still to be visited."""
    with connected(reader) as connection:
        night = connection.execute(select(Session.grid_id, Session.square_id, Session.group_id).limit(1)).one_or_none()
        if night is None:
            return Queue((), (), ())
        groups = select(BisGroup.number).where(
            BisGroup.square_id == night.square_id, BisGroup.status == "chosen", BisGroup.id != (night.group_id or 0)
        )
        squares = select(Square.number).where(
            Square.grid_id == night.grid_id, Square.status == "chosen", Square.id != (night.square_id or 0)
        )
        slots = select(Grid.slot).where(Grid.status == "waiting")
        return Queue(
            tuple(connection.scalars(groups.order_by(BisGroup.visit_order, BisGroup.id))),
            tuple(connection.scalars(squares.order_by(Square.visit_order, Square.id))),
            tuple(connection.scalars(slots.order_by(Grid.visit_order, Grid.slot))),
        )


def recent_fits(reader: Reader, most: int) -> list[Fit]:
    """List the last judged exposures, the latest last."""
    fit = select(Measure.of_id, Measure.value).where(Measure.of_kind == "exposure", Measure.name == "fit_resolution_a")
    found = select(Exposure.id, Exposure.number, Exposure.usable).where(Exposure.analysis == "done")
    with connected(reader) as connection:
        shots = connection.execute(found.order_by(Exposure.number.desc()).limit(most)).all()[::-1]
        measured = connection.execute(fit.where(Measure.of_id.in_([shot.id for shot in shots])))
        values = {row.of_id: row.value for row in measured}
    return [Fit(shot.number, values.get(shot.id), shot.usable) for shot in shots]


def seconds_by_kind(reader: Reader) -> dict[str, float]:
    """Add up how long the ended steps of each kind took, on the night's clock."""
    query = select(Step.kind, Step.started_at, Step.ended_at).where(Step.ended_at.is_not(None))
    spent: dict[str, float] = {}
    with connected(reader) as connection:
        for kind, began, ended in connection.execute(query):
            if ended is not None:
                spent[kind] = spent.get(kind, 0.0) + (ended - began).total_seconds()
    return spent


def newest_view(reader: Reader) -> ImageView | None:
    """Give the last image that shows where the night is; None before the first."""
    query = select(ImageRow.__table__).where(ImageRow.of_kind.in_(VIEWS), ImageRow.kind != "picture")
    with connected(reader) as connection:
        found: Sequence[ImageView] = rows(connection, ImageView, query.order_by(ImageRow.id.desc()).limit(1))
    return found[0] if found else None
