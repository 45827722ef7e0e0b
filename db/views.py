"""What the record says, for people: read-only queries that answer frozen records.

`epicycle status`, the live view and the pages use these and nothing else. Each takes an engine or, to see one state
over several of them, a connection; each is a few queries, however long the night was.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    SelectBase,
    Subquery,
    and_,
    cast,
    func,
    or_,
    select,
    true,
)

from .models import (
    Atlas,
    BisGroup,
    Command,
    Decision,
    Event,
    Exposure,
    Fault,
    Grid,
    Hole,
    ImageRow,
    Label,
    Measure,
    Note,
    Square,
    Step,
    Tile,
)
from .querying import Reader, connected, filled, rows
from .ranking import RankedGrid, Share, Verdict, rank
from .summary import USABLE_SHARE, Counts, GridSummary, NightStatus, grids, night_status
from .view_records import (
    AtlasView,
    CommandView,
    DecisionView,
    EventView,
    ExposureView,
    FaultView,
    GroupView,
    HoleView,
    ImageView,
    RemarkView,
    SquareView,
    StepView,
    TileView,
)

__all__ = [
    "AtlasView",
    "CommandView",
    "Counts",
    "DecisionView",
    "EventView",
    "ExposureView",
    "FaultView",
    "GridSummary",
    "GroupView",
    "HoleView",
    "ImageView",
    "NightStatus",
    "RankedGrid",
    "Reader",
    "RemarkView",
    "Share",
    "SquareView",
    "StepView",
    "TileView",
    "Verdict",
    "atlas_of",
    "commands",
    "connected",
    "decisions_of",
    "events",
    "exposures_of",
    "faults",
    "grids",
    "groups_of",
    "holes_of",
    "images",
    "night_status",
    "rank",
    "reloads_of",
    "remarks",
    "squares_of",
    "timeline",
]


def images(reader: Reader, of_kind: str | None = None, of_id: int | None = None) -> list[ImageView]:
    """List stored images in the order taken, all of them or those of one kind of row or of one row."""
    query = select(ImageRow.__table__).order_by(ImageRow.id)
    query = query if of_kind is None else query.where(ImageRow.of_kind == of_kind)
    query = query if of_id is None else query.where(ImageRow.of_id == of_id)
    with connected(reader) as connection:
        return rows(connection, ImageView, query)


def atlas_of(reader: Reader, grid_id: int) -> AtlasView | None:
    """Give the atlas that the grid's squares were found on: the first that was stitched, or else the latest begun."""
    query = select(Atlas.__table__).where(Atlas.grid_id == grid_id).order_by(Atlas.load_number, Atlas.id)
    with connected(reader) as connection:
        found = connection.execute(query).all()
        if not found:
            return None
        row = next((atlas for atlas in found if atlas.status == "done"), found[-1])
        tiles = rows(connection, TileView, select(Tile.__table__).where(Tile.atlas_id == row.id).order_by(Tile.number))
        image = _images_of(connection, Atlas, [row], "stitched").get(row.id)
        return AtlasView(
            row.id, row.grid_id, row.load_number, row.status, row.reason, row.vacuum_counts, image, tuple(tiles)
        )


def squares_of(reader: Reader, grid_id: int | None = None) -> list[SquareView]:
    """List the squares of a grid, or of all, by number."""
    where = true() if grid_id is None else Square.grid_id == grid_id
    counts = (
        select(
            Hole.square_id.label("owner"),
            func.count(Hole.id.distinct()).label("holes"),
            func.count(Exposure.hole_id.distinct()).filter(Exposure.status == "done").label("holes_exposed"),
            func.count(Exposure.id).filter(Exposure.status == "done").label("exposures"),
            func.count(Exposure.id).filter(Exposure.status == "done", Exposure.usable.is_(True)).label("usable"),
        )
        .outerjoin(Exposure, Exposure.hole_id == Hole.id)
        .group_by(Hole.square_id)
        .subquery()
    )
    query = _with_counts(Square, counts, "holes", "holes_exposed", "exposures", "usable")
    with connected(reader) as connection:
        found = connection.execute(query.where(where).order_by(Square.grid_id, Square.number)).all()
        pictures = _images_of(connection, Square, found, "survey")
        return [filled(SquareView, row, image=pictures.get(row.id)) for row in found]


def groups_of(reader: Reader, *, grid_id: int | None = None, square_id: int | None = None) -> list[GroupView]:
    """List the beam-image-shift groups of a square, a grid or all, in the order of the visit."""
    counts = select(Hole.group_id.label("owner"), func.count().label("holes")).group_by(Hole.group_id).subquery()
    query = _with_counts(BisGroup, counts, "holes").join(Square, Square.id == BisGroup.square_id)
    query = query.where(_within(grid_id, square_id))
    with connected(reader) as connection:
        found = connection.execute(query.order_by(Square.grid_id, BisGroup.visit_order, BisGroup.id)).all()
        pictures = _images_of(connection, BisGroup, found, "survey")
        return [filled(GroupView, row, image=pictures.get(row.id)) for row in found]


def holes_of(reader: Reader, *, grid_id: int | None = None, square_id: int | None = None) -> list[HoleView]:
    """List the holes of a square, a grid or all, by number."""
    shots = (
        select(
            Exposure.hole_id,
            func.min(Exposure.number).label("exposure_number"),
            (func.avg(cast(Exposure.usable, Integer)) >= USABLE_SHARE).label("usable"),
        )
        .group_by(Exposure.hole_id)
        .subquery()
    )
    query = (
        select(
            Hole.__table__,
            Square.number.label("square_number"),
            shots.c.exposure_number,
            shots.c.usable,
        )
        .join(Square, Square.id == Hole.square_id)
        .outerjoin(shots, shots.c.hole_id == Hole.id)
        .where(_within(grid_id, square_id))
        .order_by(Square.grid_id, Square.number, Hole.number)
    )
    with connected(reader) as connection:
        return rows(connection, HoleView, query)


def exposures_of(reader: Reader, *, grid_id: int | None = None, square_id: int | None = None) -> list[ExposureView]:
    """List the shots of a square, a grid or all, in the order taken, lost and failed ones included."""
    where = _within(grid_id, square_id)
    which = select(Exposure.id).select_from(Exposure).join(Hole, Hole.id == Exposure.hole_id)
    which = which.join(Square, Square.id == Hole.square_id).where(where)
    query = (
        select(
            Exposure.__table__,
            Hole.number.label("hole_number"),
            Hole.stage_x_um,
            Hole.stage_y_um,
            Hole.ice_nm.label("hole_ice_nm"),
            Hole.square_id,
            Square.number.label("square_number"),
            Square.grid_id,
            Grid.slot,
        )
        .join(Hole, Hole.id == Exposure.hole_id)
        .join(Square, Square.id == Hole.square_id)
        .join(Grid, Grid.id == Square.grid_id)
        .where(where)
        .order_by(Exposure.number)
    )
    with connected(reader) as connection:
        measures = _measures_of(connection, which)
        shown: dict[int, list[ImageView]] = defaultdict(list)
        taken = select(ImageRow.__table__).where(ImageRow.of_kind == "exposure", ImageRow.of_id.in_(which))
        for image in rows(connection, ImageView, taken.order_by(ImageRow.id)):
            shown[image.of_id].append(image)
        return [
            filled(ExposureView, row, measures=measures.get(row.id, {}), images=tuple(shown[row.id]))
            for row in connection.execute(query)
        ]


def decisions_of(reader: Reader, grid_id: int | None = None) -> list[DecisionView]:
    """List the decisions of the night in order, or those on one grid, its squares and their holes."""
    query = select(Decision.__table__).order_by(Decision.id)
    if grid_id is not None:
        squares = select(Square.id).where(Square.grid_id == grid_id)
        query = query.where(
            or_(
                and_(Decision.of_kind == "grid", Decision.of_id == grid_id),
                and_(Decision.of_kind == "square", Decision.of_id.in_(squares)),
            )
        )
    with connected(reader) as connection:
        return rows(connection, DecisionView, query)


def faults(reader: Reader, grid_id: int | None = None) -> list[FaultView]:
    """List what went wrong, in order, in the whole night or with one grid on the stage."""
    query = select(Fault.__table__).where(true() if grid_id is None else Fault.grid_id == grid_id)
    with connected(reader) as connection:
        return rows(connection, FaultView, query.order_by(Fault.id))


def events(reader: Reader, after: int = 0, limit: int | None = None) -> list[EventView]:
    """List what happened after an event, in order; with a limit the latest so many."""
    columns = (Event.id, Event.at, Event.kind, Event.step_key, Event.grid_id, Event.text)
    query = select(*columns).where(Event.id > after).order_by(Event.id.desc())
    with connected(reader) as connection:
        return rows(connection, EventView, query if limit is None else query.limit(limit))[::-1]


def commands(reader: Reader) -> list[CommandView]:
    """List what people asked, in order."""
    with connected(reader) as connection:
        return rows(connection, CommandView, select(Command.__table__).order_by(Command.id))


def remarks(reader: Reader) -> list[RemarkView]:
    """List what people wrote on rows, labels before notes."""
    columns = [
        (table.of_kind, table.of_id, words.label("text"), table.by, table.at)
        for table, words in ((Label, Label.label), (Note, Note.text))
    ]
    with connected(reader) as connection:
        return [one for each in columns for one in rows(connection, RemarkView, select(*each).order_by(each[-1]))]


def timeline(reader: Reader, grid_id: int | None = None) -> list[StepView]:
    """List the journalled work in the order begun, in the whole night or for one grid."""
    query = select(Step.__table__, Grid.slot).outerjoin(Grid, Grid.id == Step.grid_id)
    query = query.where(true() if grid_id is None else Step.grid_id == grid_id)
    with connected(reader) as connection:
        return rows(connection, StepView, query.order_by(Step.started_at, Step.key))


def reloads_of(reader: Reader, grid_id: int) -> tuple[datetime, ...]:
    """Give the times at which a grid was loaded again: images taken later show it lying otherwise."""
    query = select(Step.started_at).where(Step.kind == "load", Step.grid_id == grid_id).order_by(Step.started_at)
    with connected(reader) as connection:
        return tuple(connection.scalars(query))[1:]


def _within(grid_id: int | None, square_id: int | None) -> ColumnElement[bool]:
    return and_(
        true() if grid_id is None else Square.grid_id == grid_id,
        true() if square_id is None else Square.id == square_id,
    )


def _with_counts(table: type[Square | BisGroup], counts: Subquery, *names: str) -> Select[Any]:
    """Select a table's rows with counts made elsewhere by ``owner``; 0 where there are none."""
    columns = [func.coalesce(counts.c[name], 0).label(name) for name in names]
    return select(table.__table__, *columns).outerjoin(counts, counts.c.owner == table.id)


def _images_of(
    connection: Connection, table: type[Atlas | Square | BisGroup], found: Sequence[Row[Any]], kind: str
) -> dict[int, ImageView]:
    """Find the image each row points to, or else the newest of this kind that was made for it."""
    name = table.__tablename__
    query = select(ImageRow.__table__).where(or_(ImageRow.of_kind == name, ImageRow.id.in_(select(table.image_id))))
    by_id = {image.id: image for image in rows(connection, ImageView, query.order_by(ImageRow.id))}
    newest = {image.of_id: image for image in by_id.values() if image.of_kind == name and image.kind == kind}
    pictures = {row.id: by_id.get(row.image_id) or newest.get(row.id) for row in found}
    return {owner: image for owner, image in pictures.items() if image is not None}


def _measures_of(connection: Connection, which: SelectBase) -> dict[int, dict[str, float]]:
    """Read the newest value under each name, for these exposures."""
    query = select(Measure.of_id, Measure.name, Measure.value).where(
        Measure.of_kind == "exposure", Measure.of_id.in_(which)
    )
    measures: dict[int, dict[str, float]] = defaultdict(dict)
    for of_id, name, value in connection.execute(query.order_by(Measure.at, Measure.id)):
        measures[of_id][name] = value
    return measures
