"""What the record says is left to do: the questions that the phases ask."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, bindparam, func, or_, select
from sqlalchemy.orm import Session as OrmSession

from ..db import models

# Asked so often that building them again each time would take as long as answering.

_NEXT_HOLE = (
    select(models.Hole)
    .where(models.Hole.group_id == bindparam("group_id"), models.Hole.status == "chosen")
    .order_by(models.Hole.visit_order, models.Hole.number)
    .limit(1)
)
_HOLE = models.Base.metadata.tables[models.Hole.__tablename__].c
_WHOLE_HOLES = (
    select(_HOLE.stage_x_um, _HOLE.stage_y_um, _HOLE.radius_um)
    .where(_HOLE.square_id == bindparam("square_id"), _HOLE.site == "hole")
    .order_by(_HOLE.number)
)


def next_grid(db: OrmSession, session_id: int) -> models.Grid | None:
    """Give the next grid of this pass: in the order chosen, else by slot; first one whose loading was cut off."""
    return db.scalars(
        select(models.Grid)
        .where(models.Grid.session_id == session_id, models.Grid.status.in_(("waiting", "loading")))
        .order_by(models.Grid.status, models.Grid.visit_order.is_(None), models.Grid.visit_order, models.Grid.slot)
        .limit(1)
    ).first()


def next_square(db: OrmSession, grid_id: int) -> models.Square | None:
    """Give the next square of this grid that was chosen and is not done."""
    return db.scalars(
        select(models.Square)
        .where(models.Square.grid_id == grid_id, models.Square.status.in_(("chosen", "surveyed")))
        .order_by(models.Square.visit_order, models.Square.number)
        .limit(1)
    ).first()


def next_group(db: OrmSession, square_id: int) -> models.BisGroup | None:
    """Give the next group of this square that is not done."""
    return db.scalars(
        select(models.BisGroup)
        .where(models.BisGroup.square_id == square_id, models.BisGroup.status.in_(("chosen", "centred")))
        .order_by(models.BisGroup.visit_order, models.BisGroup.number)
        .limit(1)
    ).first()


def next_hole(db: OrmSession, group_id: int) -> models.Hole | None:
    """Give the next hole of this group that was chosen and has a shot to come."""
    return db.scalars(_NEXT_HOLE, {"group_id": group_id}).first()


def holes_of(db: OrmSession, square_id: int, *statuses: str) -> Sequence[models.Hole]:
    """Give the holes of a square, of these statuses if any are named."""
    query = select(models.Hole).where(models.Hole.square_id == square_id).order_by(models.Hole.number)
    return db.scalars(query.where(models.Hole.status.in_(statuses)) if statuses else query).all()


def whole_holes(db: OrmSession, square_id: int) -> NDArray[np.float64]:
    """Give (x, y, radius) in µm of the whole holes of a square, (n, 3), in order; their rows would take much longer."""
    rows = db.connection().execute(_WHOLE_HOLES, {"square_id": square_id}).all()
    return np.array([tuple(row) for row in rows], np.float64).reshape(-1, 3)


def targets(db: OrmSession, square_id: int) -> NDArray[np.float64]:
    """Give (x, y, radius) in µm of the holes of a square that are still to be exposed, (n, 3), in order."""
    rows = db.execute(
        select(models.Hole.stage_x_um, models.Hole.stage_y_um, models.Hole.radius_um)
        .where(models.Hole.square_id == square_id, models.Hole.status == "chosen")
        .order_by(models.Hole.number)
    ).all()
    return np.array([tuple(row) for row in rows], np.float64).reshape(-1, 3)


def heights_of(db: OrmSession, grid_id: int) -> Sequence[float]:
    """Give the heights in µm that were found on the squares of a grid."""
    return [
        height
        for height in db.scalars(
            select(models.Square.stage_z_um).where(
                models.Square.grid_id == grid_id, models.Square.stage_z_um.is_not(None)
            )
        )
        if height is not None
    ]


def squares_of(db: OrmSession, grid_id: int) -> Sequence[models.Square]:
    """Give the squares of a grid."""
    return db.scalars(
        select(models.Square).where(models.Square.grid_id == grid_id).order_by(models.Square.number)
    ).all()


def any_square(db: OrmSession, grid_id: int) -> bool:
    """Say whether a square was found on a grid."""
    return db.scalar(select(models.Square.id).where(models.Square.grid_id == grid_id).limit(1)) is not None


def present_atlas(db: OrmSession, grid: models.Grid) -> models.Atlas | None:
    """Give the atlas taken since this grid was last loaded."""
    return db.scalars(
        select(models.Atlas).where(models.Atlas.grid_id == grid.id, models.Atlas.load_number == grid.loads).limit(1)
    ).first()


def failures(db: OrmSession, work: str, kind: str) -> int:
    """Count how often this piece of work has failed in this way."""
    return (
        db.scalar(
            select(func.count())
            .select_from(models.Fault)
            .where(models.Fault.step_key == work, models.Fault.kind == kind)
        )
        or 0
    )


def failed_targets(db: OrmSession, square_id: int | None) -> int:
    """Count the groups and holes of a square that were given up, holes after some of their shots among them."""
    if square_id is None:
        return 0
    groups = db.scalar(
        select(func.count())
        .select_from(models.BisGroup)
        .where(models.BisGroup.square_id == square_id, models.BisGroup.status == "failed")
    )
    cut_short = select(models.Exposure.hole_id).where(models.Exposure.status == "failed")
    holes = db.scalar(
        select(func.count())
        .select_from(models.Hole)
        .join(models.BisGroup, models.Hole.group_id == models.BisGroup.id)
        .where(
            models.Hole.square_id == square_id,
            or_(models.Hole.status == "failed", and_(models.Hole.status == "exposed", models.Hole.id.in_(cut_short))),
            models.BisGroup.status != "failed",
        )
    )
    return (groups or 0) + (holes or 0)


def failed_squares(db: OrmSession, grid_id: int | None) -> int:
    """Count the squares of a grid that were given up."""
    if grid_id is None:
        return 0
    return (
        db.scalar(
            select(func.count())
            .select_from(models.Square)
            .where(models.Square.grid_id == grid_id, models.Square.status == "failed")
        )
        or 0
    )
