"""The shots of a hole: where they go, which is next, what the world may not be lit by twice, when the hole is done.

Places are kept in the record's frame, stage µm at the grid's first load, so that shots of different loads can be held
against each other. Where the shots of a hole go is fixed when the hole is chosen and stands in `Hole.shots`.
"""

import math
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..protocols.errors import BadInput
from ..protocols.grid_types import HOLE_TYPES
from ..targeting.dose import shots_in_hole
from ..targeting.wishes import Beam
from .night import Night

Place = tuple[float, float]

TAKEN = ("done", "lost", "failed")
"""Statuses of an exposure that is settled; none of them is taken again."""

MAY_HAVE_LIT = ("intended", "done", "lost")
"""Statuses of an exposure whose place may have had its dose; one that failed is known not to have been taken."""

TOUCHING = 1 - 1e-6
"""Discs that touch do not overlap; this is for the rounding of places."""


def are_placed(night: Night) -> bool:
    """Whether the protocol says where in a hole its shots go, so that there is more to it than one in the middle."""
    plan = night.plan.exposure
    return plan.shots_per_hole > 1 or plan.shot_offsets_um is not None


def lit_radius_um(night: Night) -> float:
    """Give the radius of what an exposure lights of the specimen: on a tilted one, of the circle about the ellipse."""
    beam_um = night.preset("exposure").beam_diameter_um / 2
    return beam_um / math.cos(math.radians(night.plan.exposure.tilt_deg))


def radius_of(grid: models.Grid, found_um: float) -> float:
    """Give the radius of a hole: as its film is made, or as it was found where the film is not known."""
    film = HOLE_TYPES.get(grid.hole_type)
    return found_um if film is None or film.hole_um is None else film.hole_um / 2


def places_in(night: Night, radius_um: float) -> list[list[float]] | None:
    """Give where the shots of a hole go, µm from its middle in the record's frame; None for one that is not placed.

    Raises
    ------
    BadInput
        They have no room in it.
    """
    if not are_placed(night):
        return None
    plan = night.plan.exposure
    beam = Beam(lit_radius_um(night), radius_um)
    return [[float(x), float(y)] for x, y in shots_in_hole(plan.shots_per_hole, beam, plan.shot_offsets_um)]


def number_of(hole: models.Hole) -> int:
    """Give how many shots a hole is to have."""
    return 1 if hole.shots is None else len(hole.shots)


def of_hole(db: OrmSession, hole: models.Hole) -> Sequence[models.Exposure]:
    """Give the exposures of a hole by the number of their shot."""
    return db.scalars(
        select(models.Exposure).where(models.Exposure.hole_id == hole.id).order_by(models.Exposure.shot)
    ).all()


def next_of(db: OrmSession, hole: models.Hole) -> int | None:
    """Give the first shot of a hole that is not settled; None when all are."""
    if hole.shots is None:
        return 0
    settled = {row.shot for row in of_hole(db, hole) if row.status in TAKEN}
    return next((shot for shot in range(number_of(hole)) if shot not in settled), None)


def close(entry: Entry, hole: models.Hole, status: str, why: str) -> None:
    """Take a hole off the list: exposed if any shot of it was, lost if one may have been."""
    if hole.shots is not None:
        statuses = {row.status for row in of_hole(entry.db, hole)}
        status = "exposed" if "done" in statuses else "lost" if "lost" in statuses else status
    hole.status, hole.reason = status, why


def settle(entry: Entry, hole: models.Hole, last: models.Exposure) -> None:
    """Close a hole if this was its last shot."""
    if hole.shots is not None and hole.status == "chosen" and next_of(entry.db, hole) is not None:
        return
    rows = [last] if hole.shots is None else of_hole(entry.db, hole)
    if any(row.status == "done" for row in rows):
        hole.status = "exposed"
    else:
        close(entry, hole, last.status, last.reason)


def drop_if_lit(night: Night, grid: models.Grid, hole: models.Hole, shot: int) -> bool:
    """Drop a shot from the plan of its hole if its disc would fall on one that was lit; answers whether it did.

    A shot that was begun is beyond this question: what became of it is settled by its own step.
    """
    if hole.shots is None:
        return False
    with night.journal.read() as db:
        if any(row.shot == shot for row in of_hole(db, hole)):
            return False
        before = _lit_before(db, night, grid, hole, shot)
    if before is None:
        return False
    with night.journal.write(grid_id=grid.id) as entry:
        row = entry.row(models.Hole, hole.id)
        # Later shots move up: none of them has been begun.
        row.shots = [place for number, place in enumerate(hole.shots) if number != shot]
        entry.say(
            "shot_dropped",
            f"hole {hole.number}: a shot at {hole.shots[shot][0]:.2f}, {hole.shots[shot][1]:.2f} µm from its middle is "
            f"not taken, it would light again what exposure {before.number} has lit",
            hole_id=hole.id,
            exposure_id=before.id,
            offset_um=hole.shots[shot],
        )
        if next_of(entry.db, row) is None:
            rows = of_hole(entry.db, row)
            if rows:
                settle(entry, row, rows[-1])
            else:
                row.status, row.reason = "skipped", "every place for a shot in it was lit already"
    return True


def _lit_before(
    db: OrmSession, night: Night, grid: models.Grid, hole: models.Hole, shot: int
) -> models.Exposure | None:
    """Give an exposure of this grid on whose lit disc that of this shot would fall; None where the place is fresh."""
    assert hole.shots is not None
    x_um, y_um = hole.stage_x_um + hole.shots[shot][0], hole.stage_y_um + hole.shots[shot][1]
    apart_um = 2 * lit_radius_um(night) * TOUCHING
    lit_x = models.Hole.stage_x_um + models.Exposure.offset_x_um
    lit_y = models.Hole.stage_y_um + models.Exposure.offset_y_um
    near = db.execute(
        select(models.Exposure, lit_x, lit_y)
        .join(models.Hole, models.Exposure.hole_id == models.Hole.id)
        .join(models.Square, models.Hole.square_id == models.Square.id)
        .where(
            models.Square.grid_id == grid.id,
            models.Exposure.status.in_(MAY_HAVE_LIT),
            lit_x.between(x_um - apart_um, x_um + apart_um),
            lit_y.between(y_um - apart_um, y_um + apart_um),
        )
        .order_by(models.Exposure.number)
    ).all()
    return next((row for row, x, y in near if math.hypot(x - x_um, y - y_um) < apart_um), None)


def demand_room(night: Night) -> None:
    """Refuse a protocol whose shots have no room in the holes of a film of this cassette.

    Raises
    ------
    BadInput
        Says how many shots, of which beam, in which film; or that a recorded session knows no several shots.
    """
    protocol = night.protocol
    for number, plan in enumerate(protocol.passes):
        exposure = protocol.in_pass(number).exposure
        if exposure.shots_per_hole == 1 and exposure.shot_offsets_um is None:
            continue
        if protocol.microscope.use == "replay":
            raise BadInput(
                "a recorded session has each hole's exposures where they were taken, none can be placed anew; set "
                "exposure.shots_per_hole to 1 and drop shot_offsets_um"
            )
        tilt = math.cos(math.radians(exposure.tilt_deg))
        lit_um = night.preset("exposure").beam_diameter_um / 2 / tilt
        for film in sorted({slot.hole_type for slot in night.cassette.slots} & set(HOLE_TYPES)):
            hole_um = HOLE_TYPES[film].hole_um
            if hole_um is None:
                continue
            try:
                shots_in_hole(exposure.shots_per_hole, Beam(lit_um, hole_um / 2), exposure.shot_offsets_um)
            except BadInput as error:
                raise BadInput(f"{film}, pass {plan.name}: {error} (exposure.shots_per_hole)") from None
