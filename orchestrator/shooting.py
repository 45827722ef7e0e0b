"""Take one image and enter it in the record: where to stand, which optics, which row."""

from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..hardware.records import Acquired, Affine, Shot, StagePosition
from ..protocols.preset import Level
from ..targeting.frames import carry, identity, invert
from .night import Night
from .worker import Look, Mosaic

UNIT_UM: Affine = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""Frame of a finder that answers in µm because there are no pixels."""


def frame_of(grid: models.Grid) -> Affine:
    """Give the affine from stage µm at the first load to stage µm now."""
    if grid.frame is None:
        return identity()
    (a, b, c), (d, e, f) = grid.frame
    return ((a, b, c), (d, e, f))


def to_stage(grid: models.Grid, x_um: float, y_um: float) -> tuple[float, float]:
    """Bring a recorded position to where it is on the stage now."""
    return carry(frame_of(grid), x_um, y_um)


def turned(grid: models.Grid, dx_um: float, dy_um: float) -> tuple[float, float]:
    """Bring a distance in the record's frame to what it is on the stage as the grid lies now."""
    (a, b, _), (c, d, _) = frame_of(grid)
    return a * dx_um + b * dy_um, c * dx_um + d * dy_um


def turned_back(grid: models.Grid, dx_um: float, dy_um: float) -> tuple[float, float]:
    """Bring a distance on the stage as the grid lies now into the record's frame."""
    (a, b, _), (c, d, _) = invert(frame_of(grid))
    return a * dx_um + b * dy_um, c * dx_um + d * dy_um


def last_stand(db: OrmSession, grid: models.Grid) -> tuple[float, float]:
    """Give where the stage stood at the end of this grid's last atlas, in the record's frame; (0, 0) if none tells.

    It is asked of the record and not of the stage, so that it is the same after a crash.
    """
    atlas = db.scalars(
        select(models.Atlas.image_id).where(models.Atlas.grid_id == grid.id).order_by(models.Atlas.id.desc()).limit(1)
    ).first()
    scope = db.scalars(
        select(models.ImageRow.scope)
        .where(models.ImageRow.id <= (atlas or 0), models.ImageRow.kind == "survey")
        .order_by(models.ImageRow.id.desc())
        .limit(1)
    ).first()
    if scope is None:
        return (0.0, 0.0)
    return carry(invert(frame_of(grid)), *scope["stage_um"][:2])


def survey(night: Night, level: Level, name: str, target: StagePosition) -> Acquired:
    """Go somewhere and take a low-dose image."""
    night.column.use(night.preset(level))
    night.column.go_to(target)
    return night.column.acquire(Shot(night.preset(level)), name)


def keep(night: Night, entry: Entry, acquired: Acquired, of_kind: str, of_id: int, kind: str = "survey") -> int | None:
    """Enter an acquired image in the record; None for a replay's image without pixels."""
    if acquired.path is None:
        return None
    stage, shift = acquired.stage, acquired.image_shift
    row = night.images.add_file(
        entry.db,
        session_id=night.me.id,
        of_kind=of_kind,
        of_id=of_id,
        kind=kind,
        name=acquired.name,
        path=acquired.path,
        pixel_size_a=acquired.pixel_size_a,
        image_to_stage=acquired.image_to_stage,
        preset=acquired.preset,
        dose_e_per_a2=acquired.dose_e_per_a2,
        mean_counts=acquired.mean_counts,
        scope={
            "stage_um": [stage.x_um, stage.y_um, stage.z_um],
            "alpha_deg": stage.alpha_deg,
            "image_shift_um": [shift.x_um, shift.y_um],
            "defocus_um": acquired.defocus_um,
            **acquired.details,
        },
        taken_at=acquired.started_at,
    )
    entry.db.flush()
    return row.id


def keep_mosaic(night: Night, entry: Entry, mosaic: Mosaic, of_kind: str, of_id: int, name: str) -> int:
    """Enter a mosaic that a worker has written in the record."""
    row = night.images.add_file(
        entry.db,
        session_id=night.me.id,
        of_kind=of_kind,
        of_id=of_id,
        kind="stitched",
        name=name,
        path=mosaic.path,
        pixel_size_a=mosaic.pixel_size_a,
        image_to_stage=mosaic.image_to_stage,
        preset=of_kind,
        scope={"residual_px": mosaic.residual_px, "overlaps_used": mosaic.overlaps_used},
        taken_at=entry.at,
    )
    entry.db.flush()
    return row.id


def adopt_strays(night: Night) -> None:
    """Enter images that are on disk and in no row: taken in a step that failed or was cut off, and not again."""
    with night.journal.read() as db:
        known = set(db.scalars(select(models.ImageRow.name)))
    names = sorted(path.stem for path in night.images.images.glob("*.mrc") if path.stem not in known)
    strays = [stray for name in names if (stray := night.column.stored(name)) is not None]
    if not strays:
        return
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        for stray in strays:
            keep(night, entry, stray, "session", night.me.id, "stray")
        entry.say("strays_adopted", f"{len(strays)} images of steps that were given up", names=[s.name for s in strays])


def look_at(acquired: Acquired) -> Look:
    """Give an acquired image to a worker."""
    return Look(acquired.path, acquired.pixel_size_a, acquired.image_to_stage, acquired.name)


def look_again(night: Night, image_id: int) -> Look:
    """Give a recorded image to a worker."""
    with night.journal.read() as db:
        row = db.get_one(models.ImageRow, image_id)
    affine: Affine | None = None
    if row.image_to_stage is not None:
        (a, b, c), (d, e, f) = row.image_to_stage
        affine = ((a, b, c), (d, e, f))
    return Look(night.images.path_of(row), row.pixel_size_a, affine, row.name)
