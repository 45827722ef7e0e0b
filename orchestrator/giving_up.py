"""Give up a hole, a group, a square or a grid: rows say so and why, nothing of it is tried again."""

from sqlalchemy import select

from ..db import models
from ..db.journal import Entry
from ..hardware.errors import LoaderFault
from ..protocols.errors import EpicycleError
from . import remaining, shots
from .flow import Phase
from .night import Night


def give_up_target(night: Night, why: str) -> tuple[Phase, str]:
    """Give up the hole in work, or the whole group when it could not be centred."""
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        group = entry.row(models.BisGroup, night.me.group_id)
        if night.phase is Phase.EXPOSE and night.hole_in_work is not None:
            hole = entry.row(models.Hole, night.hole_in_work)
            end_hole(entry, hole, "failed", why)
            entry.say("hole_given_up", f"hole {hole.number} given up: {why}", hole_id=hole.id)
            after = Phase.EXPOSE
        else:
            end_group(entry, group, "failed", why)
            entry.say("group_given_up", f"group {group.number} given up: {why}", group_id=group.id)
            after = Phase.NEXT_GROUP
    night.hole_in_work = None
    return after, "the next target"


def give_up_square(night: Night, why: str, status: str = "failed") -> tuple[Phase, str]:
    """Give up what is left of the square at hand."""
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        square = entry.row(models.Square, night.me.square_id)
        end_square(entry, square, status, why)
        entry.say(f"square_{status}", f"square {square.number} left: {why}", square_id=square.id)
    night.hole_in_work = None
    return Phase.NEXT_SQUARE, "the next square"


def give_up_grid(night: Night, error: EpicycleError) -> tuple[Phase, str]:
    """Give up what is left of the grid at hand; a grid that could not be loaded has failed."""
    if night.me.grid_id is None:
        return Phase.PARK, str(error)
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        grid = entry.row(models.Grid, night.me.grid_id)
        grid.reason = str(error)
        if isinstance(error, LoaderFault) or grid.status == "loading":
            grid.status = "failed"
        entry.say("grid_given_up", f"grid in slot {grid.slot} left: {error}", slot=grid.slot)
    night.hole_in_work = None
    return Phase.LEAVE_GRID, str(error)


def end_grid(entry: Entry, grid: models.Grid, why: str) -> None:
    """Skip whatever of this grid was chosen and is not done."""
    for square in remaining.squares_of(entry.db, grid.id):
        if square.status in ("chosen", "surveyed"):
            end_square(entry, square, "skipped", why)


def end_square(entry: Entry, square: models.Square, status: str, why: str) -> None:
    """Close a square and whatever of it was chosen and is not done."""
    square.status, square.reason = status, why
    for group in entry.db.scalars(select(models.BisGroup).where(models.BisGroup.square_id == square.id)):
        if group.status in ("chosen", "centred"):
            end_group(entry, group, "skipped", why)


def end_group(entry: Entry, group: models.BisGroup, status: str, why: str) -> None:
    """Close a group and its holes that are not done."""
    group.status, group.reason = status, why
    for hole in entry.db.scalars(select(models.Hole).where(models.Hole.group_id == group.id)):
        if hole.status == "chosen":
            end_hole(entry, hole, status, why)


def expose_key(hole_id: int, shot: int) -> str:
    """Give the natural key of an exposure: its hole, and which of the hole's shots it is."""
    return f"hole {hole_id} shot {shot} expose" if shot else f"hole {hole_id} expose"


def end_hole(entry: Entry, hole: models.Hole, status: str, why: str) -> None:
    """Close a hole; one whose exposure was begun and never settled is lost, since its ice may be spent."""
    for shot in shots.of_hole(entry.db, hole):
        if shot.status == "intended":
            step = entry.db.get(models.Step, expose_key(hole.id, shot.shot))
            if step is not None and step.status == "started":
                step.status, status = "lost", "lost"
            shot.status, shot.reason = ("lost" if status == "lost" else "failed"), why
    shots.close(entry, hole, status, why)
