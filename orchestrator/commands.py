"""What people may ask of a running night: rows heeded between steps, answered in the transaction of their effect."""

from collections.abc import Callable

from sqlalchemy import func, select

from ..db import models
from ..db.journal import Entry
from ..protocols.changing import changed
from ..protocols.errors import BadInput
from ..targeting.defocus import rolling_defocus
from . import judging, shots
from .flow import RunStatus
from .giving_up import end_grid, end_hole, end_square
from .grouping import group_to_join
from .halting import Halt
from .night import Night

LOOK_AGAIN_S = 0.5

_ASKED = select(models.Command).where(models.Command.status == "asked").order_by(models.Command.id)


class Refused(BadInput):
    """A command that cannot be obeyed now; the reason is its answer."""


def boundary(night: Night) -> None:
    """Between two steps: heed what people ask, write down what the analysis has found."""
    if night.stop_asked.is_set():
        raise Halt(RunStatus.STOPPED, "stopped from the keyboard")
    heed(night)
    judging.take_results(night)


def heed(night: Night) -> None:
    """Obey or refuse every command asked since the last time; stay here while paused.

    Raises
    ------
    Halt
        Somebody asked to stop.
    """
    while True:
        stopping = _heed_once(night)
        if stopping:
            raise Halt(RunStatus.STOPPED, stopping)
        if RunStatus(night.me.run_status) is not RunStatus.PAUSED:
            return
        if night.stop_asked.is_set():
            raise Halt(RunStatus.STOPPED, "stopped from the keyboard")
        night.clock.linger(LOOK_AGAIN_S)


def _heed_once(night: Night) -> str:
    """Go through the commands asked; answers who asked to stop, empty if nobody did."""
    with night.journal.read() as db:
        asked = db.scalars(_ASKED).all()
    stopping = ""
    for command in asked:
        with night.journal.write(grid_id=night.me.grid_id) as entry:
            row = entry.db.get_one(models.Command, command.id)
            row.answered_at = entry.at
            try:
                row.answer = _verb(row.verb)(night, entry, row)
                row.status = "obeyed"
            except BadInput as refusal:
                row.status, row.answer = "refused", str(refusal)
            entry.say(f"command_{row.status}", f"{row.asked_by}: {row.verb} → {row.answer}", command_id=row.id)
            if row.verb == "stop" and row.status == "obeyed":
                stopping = f"stopped by {row.asked_by}"
        night.refresh()
    return stopping


def _verb(name: str) -> Callable[[Night, Entry, models.Command], str]:
    if name not in VERBS:
        raise Refused(f"{name} is no command; there are: {', '.join(sorted(VERBS))}")
    return VERBS[name]


def _session(night: Night, entry: Entry) -> models.Session:
    return entry.row(models.Session, night.me.id)


def _pause(night: Night, entry: Entry, command: models.Command) -> str:
    _session(night, entry).run_status = RunStatus.PAUSED.value
    return "paused; resume goes on"


def _resume(night: Night, entry: Entry, command: models.Command) -> str:
    session = _session(night, entry)
    if session.run_status != RunStatus.PAUSED.value:
        raise Refused("the night is not paused")
    session.run_status = RunStatus.RUNNING.value
    return "going on"


def _stop(night: Night, entry: Entry, command: models.Command) -> str:
    _session(night, entry).run_status = RunStatus.STOPPING.value
    return "stopping: the microscope is parked, the night can be resumed"


def _skip_square(night: Night, entry: Entry, command: models.Command) -> str:
    if night.me.square_id is None:
        raise Refused("no square is being worked on")
    square = entry.row(models.Square, night.me.square_id)
    if square.status not in ("chosen", "surveyed"):
        raise Refused(f"square {square.number} is {square.status} already")
    end_square(entry, square, "skipped", f"skipped by {command.asked_by}")
    return f"square {square.number} skipped"


def _skip_grid(night: Night, entry: Entry, command: models.Command) -> str:
    """Skip a slot by its number, or the grid at hand."""
    slot = command.args.get("slot")
    query = select(models.Grid)
    query = (
        query.where(models.Grid.slot == slot) if slot is not None else query.where(models.Grid.id == night.me.grid_id)
    )
    grid = entry.db.scalars(query).first()
    if grid is None:
        raise Refused("no such grid" if slot is not None else "no grid is being worked on")
    if grid.status not in ("waiting", "loading", "loaded"):
        raise Refused(f"the grid in slot {grid.slot} is {grid.status} already")
    why = f"skipped by {command.asked_by}"
    end_grid(entry, grid, why)
    grid.reason = why
    if grid.status == "waiting":
        grid.status = "skipped"
    return f"the grid in slot {grid.slot} is skipped"


def _add_target(night: Night, entry: Entry, command: models.Command) -> str:
    """Add a hole to the square at hand, to a group in reach or its own: ``x_um``, ``y_um`` (stage), ``radius_um``."""
    square = _square_at_hand(night, entry)
    x_um, y_um = _number(command, "x_um"), _number(command, "y_um")
    radius_um = _number(command, "radius_um", 0.6)
    numbers = entry.db.scalars(select(models.Hole.number).where(models.Hole.square_id == square.id)).all()
    near = entry.db.scalars(select(models.Hole).where(models.Hole.square_id == square.id)).all()
    if any(
        (h.stage_x_um - x_um) ** 2 + (h.stage_y_um - y_um) ** 2 < max(h.radius_um, radius_um) ** 2
        for h in near
        if h.status != "found"
    ):
        raise Refused("a hole that is chosen or was exposed is there already")
    grid = entry.row(models.Grid, square.grid_id)
    places = shots.places_in(night, radius_um if "radius_um" in command.args else shots.radius_of(grid, radius_um))
    group = group_to_join(night, entry.db, grid, square, (x_um, y_um))
    members = 0 if group is None else sum(h.group_id == group.id for h in near)
    if group is None:
        group = _group_of_its_own(night, entry, square, (x_um, y_um))
    hole = models.Hole(
        square_id=square.id,
        group_id=group.id,
        number=max(numbers, default=0) + 1,
        stage_x_um=x_um,
        stage_y_um=y_um,
        radius_um=radius_um,
        score=1.0,
        site="hole",
        status="chosen",
        visit_order=members,
        added_by=command.asked_by,
        reason=f"taken: added by {command.asked_by}",
        shots=places,
    )
    entry.db.add(hole)
    return f"hole {hole.number} added to square {square.number}"


def _group_of_its_own(
    night: Night, entry: Entry, square: models.Square, place_um: tuple[float, float]
) -> models.BisGroup:
    exposure = night.plan.exposure
    numbers = entry.db.scalars(select(models.BisGroup.number).where(models.BisGroup.square_id == square.id)).all()
    count = entry.db.scalar(select(func.count()).select_from(models.BisGroup)) or 0
    group = models.BisGroup(
        square_id=square.id,
        number=max(numbers, default=0) + 1,
        stage_x_um=place_um[0],
        stage_y_um=place_um[1],
        visit_order=max(numbers, default=0) + 1,
        target_defocus_um=rolling_defocus(
            count, exposure.defocus_min_um, exposure.defocus_max_um, exposure.defocus_step_um
        ),
    )
    entry.db.add(group)
    entry.db.flush()
    return group


def _remove_target(night: Night, entry: Entry, command: models.Command) -> str:
    """Take a hole of the square at hand off the list: args ``hole`` (its number)."""
    square = _square_at_hand(night, entry)
    hole = entry.db.scalars(
        select(models.Hole).where(models.Hole.square_id == square.id, models.Hole.number == command.args.get("hole"))
    ).first()
    if hole is None:
        raise Refused(f"square {square.number} has no hole {command.args.get('hole')}")
    if hole.status != "chosen":
        raise Refused(f"hole {hole.number} is {hole.status}, there is nothing to take off")
    end_hole(entry, hole, "skipped", f"taken off by {command.asked_by}")
    return f"hole {hole.number} taken off"


def _square_at_hand(night: Night, entry: Entry) -> models.Square:
    if night.me.square_id is None:
        raise Refused("no square is being worked on")
    square = entry.row(models.Square, night.me.square_id)
    if square.status != "surveyed":
        raise Refused(f"square {square.number} is {square.status}; targets change only while it is being worked on")
    return square


def _change(night: Night, entry: Entry, command: models.Command) -> str:
    """Change one value of the protocol from here on: args ``path``, ``value``."""
    path = command.args.get("path")
    if not isinstance(path, str) or "value" not in command.args:
        raise Refused("say which value: path and value")
    before = night.protocol
    after = changed(before, path, command.args["value"])
    _session(night, entry).protocol = after.model_dump(mode="json")
    entry.say("protocol_changed", f"{path} is now {command.args['value']}, by {command.asked_by}", path=path)
    return f"{path} is now {command.args['value']}"


def _number(command: models.Command, name: str, otherwise: float | None = None) -> float:
    value = command.args.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused(f"{name} must be a number in µm")
    return float(value)


VERBS: dict[str, Callable[[Night, Entry, models.Command], str]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "skip-square": _skip_square,
    "skip-grid": _skip_grid,
    "add-target": _add_target,
    "remove-target": _remove_target,
    "change": _change,
}
"""Every command there is."""
