"""The exposures: which square and group are next, and each shot of each hole once. No place is ever exposed twice."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import LOST, Entry, Lost
from ..hardware.errors import BeamLost, TargetFault
from ..hardware.records import Acquired, ImageShift, Shot
from ..targeting.offset import offset_um
from . import commands, focusing, guarding, judging, remaining, shots
from .centring import stand_at_group
from .flow import Phase
from .giving_up import expose_key
from .night import Night
from .shooting import keep, to_stage, turned, turned_back

Move = tuple[Phase, str]

_SHOT = select(models.Exposure).where(
    models.Exposure.hole_id == bindparam("hole_id"), models.Exposure.shot == bindparam("shot")
)


def next_square(night: Night) -> Move:
    """Go to the next square that was chosen, unless the grid's or the night's time is up."""
    grid = night.grid()
    with night.journal.read() as db:
        square = remaining.next_square(db, grid.id)
    if square is None:
        return Phase.LEAVE_GRID, "every chosen square is done"
    if late := _late(night):
        return _leave_early(night, late)
    with night.journal.write(grid_id=grid.id) as entry:
        row = entry.row(models.Session, night.me.id)
        row.square_id, row.group_id = square.id, None
        entry.say("square_began", f"going to square {square.number} of slot {grid.slot}", square_id=square.id)
    night.refresh()
    return Phase.SURVEY_SQUARE, f"square {square.number} of slot {grid.slot}: {square.reason}"


def _late(night: Night) -> str:
    if guarding.past_deadline(night):
        return "the night's time is up"
    if guarding.grid_time_is_up(night):
        return f"the grid has had its {night.protocol.time.per_grid_min:.0f} min"
    return ""


def _leave_early(night: Night, why: str) -> Move:
    with night.journal.write(grid_id=night.me.grid_id) as entry:
        entry.row(models.Grid, night.me.grid_id).reason = why
        entry.say("grid_cut_short", why)
    return Phase.LEAVE_GRID, why


def next_group(night: Night) -> Move:
    """Go to the next group of this square; when there is none, the square is done."""
    grid, square = night.grid(), night.square()
    with night.journal.read() as db:
        group = remaining.next_group(db, square.id)
    if group is None:
        if square.status in ("chosen", "surveyed"):
            with night.journal.write(grid_id=grid.id) as entry:
                entry.row(models.Square, square.id).status = "done"
                entry.say("square_done", f"square {square.number} of slot {grid.slot} is done", square_id=square.id)
        return Phase.NEXT_SQUARE, "the next square"
    if late := _late(night):
        return _leave_early(night, late)
    if night.me.group_id != group.id:
        night.set(f"group {group.number} of square {square.number}", "group_began", group_id=group.id)
    return Phase.CENTRE_GROUP, f"group {group.number} of square {square.number}, slot {grid.slot}"


def expose(night: Night) -> Move:
    """Expose what is left of the group, hole by hole and shot by shot; the stage stays where it is."""
    grid, square = night.grid(), night.square()
    stand_at_group(night, grid, square)
    while True:
        group = night.group()
        with night.journal.read() as db:
            hole = remaining.next_hole(db, group.id)
            shot = None if hole is None else shots.next_of(db, hole)
        if hole is None or shot is None or group.status not in ("chosen", "centred"):
            break
        if shots.drop_if_lit(night, grid, hole, shot):
            continue
        night.hole_in_work, night.shot_in_work = hole.id, shot
        guarding.check(night)
        _expose_hole(night, grid, square, group, hole, shot)
        night.hole_in_work, night.shot_in_work = None, 0
        commands.boundary(night)
    if group.status == "centred":
        with night.journal.write(grid_id=grid.id) as entry:
            entry.row(models.BisGroup, group.id).status = "done"
            entry.say("group_done", f"group {group.number} of square {square.number} is done", group_id=group.id)
    return Phase.NEXT_GROUP, f"the next group of square {square.number}"


def _expose_hole(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, hole: models.Hole, shot: int
) -> None:
    name = f"g{grid.slot:02}-s{square.number:03}-h{hole.number:04}" + (f"-shot{shot}" if shot else "")
    night.journal.step(
        expose_key(hole.id, shot),
        "expose",
        lambda intent: _shoot(night, name, intent),
        lambda entry, taken: _record_exposure(night, entry, hole, shot, taken),
        intend=lambda entry: _intend(night, entry, grid, group, hole, shot),
        settle=lambda: _settled(night, name),
        write_off=lambda entry: _write_off(entry, hole, shot),
        grid_id=grid.id,
    )
    with night.journal.read() as db:
        exposure = _row(db, hole, shot)
    if "black" in exposure.flags:
        raise BeamLost(
            f"the exposure of {_called(hole, shot)} came out black; it is not data, and the beam is looked at"
        )
    judging.begin(night, exposure)


def _row(db: OrmSession, hole: models.Hole, shot: int) -> models.Exposure:
    return db.scalars(_SHOT, {"hole_id": hole.id, "shot": shot}).one()


def _called(hole: models.Hole, shot: int) -> str:
    return f"hole {hole.number}" if hole.shots is None else f"hole {hole.number} shot {shot}"


def _intend(
    night: Night, entry: Entry, grid: models.Grid, group: models.BisGroup, hole: models.Hole, shot: int
) -> dict[str, Any]:
    """Lock the shot's place against a second exposure, and fix aim and defocus."""
    plan = night.plan
    number = (entry.db.scalar(select(func.max(models.Exposure.number))) or 0) + 1
    dx, dy = _aside(night, grid, hole, shot)
    hole_x, hole_y = to_stage(grid, hole.stage_x_um, hole.stage_y_um)
    x_um, y_um = hole_x + group.correction_x_um + dx, hole_y + group.correction_y_um + dy
    target_um = group.target_defocus_um if group.target_defocus_um is not None else plan.exposure.defocus_min_um
    offset_x, offset_y = turned_back(grid, dx, dy) if hole.shots is None else hole.shots[shot]
    entry.db.add(
        models.Exposure(
            hole_id=hole.id,
            group_id=group.id,
            number=number,
            shot=shot,
            offset_x_um=offset_x,
            offset_y_um=offset_y,
            target_defocus_um=target_um,
            flags=[],
        )
    )
    entry.say("exposure_intended", f"exposure {number}: {_called(hole, shot)}", hole_id=hole.id)
    set_um = focusing.defocus_to_set(night, entry.db, grid, group, (hole_x + dx, hole_y + dy))
    return {"x_um": x_um, "y_um": y_um, "target_defocus_um": target_um, "set_defocus_um": set_um}


def _aside(night: Night, grid: models.Grid, hole: models.Hole, shot: int) -> tuple[float, float]:
    """Give how far from the hole's middle a shot goes, stage µm as the grid lies now."""
    plan = night.plan
    if hole.shots is not None:
        return turned(grid, *hole.shots[shot])
    if plan.holes.offset_targeting:
        rng = np.random.default_rng(np.random.SeedSequence((night.me.seed, 7, hole.id)))
        beam_um = night.preset("exposure").beam_diameter_um / 2
        return offset_um(
            plan.holes.offset_distance_um,
            hole.radius_um,
            grid.material,
            rng,
            beam_radius_um=min(beam_um, hole.radius_um / 2),
        )
    return 0.0, 0.0


@dataclass(frozen=True, slots=True)
class Exposed:
    """One exposure and the shift it was taken with."""

    acquired: Acquired
    shift: ImageShift


def _shoot(night: Night, name: str, intent: Mapping[str, Any]) -> Exposed:
    preset = night.preset("exposure")
    stage = night.column.position()
    shift = ImageShift(intent["x_um"] - stage.x_um, intent["y_um"] - stage.y_um)
    limit_um = night.column.capabilities().image_shift_limit_um
    if math.hypot(shift.x_um, shift.y_um) > limit_um:
        raise TargetFault(
            f"{name} would need an image shift of {math.hypot(shift.x_um, shift.y_um):.1f} µm, "
            f"the limit is {limit_um:g}; the hole is left"
        )
    night.column.use(preset)
    night.column.shift_image(shift)
    set_um = intent.get("set_defocus_um", intent["target_defocus_um"])
    night.column.set_defocus(set_um + focusing.beside_um(night, shift))
    return Exposed(night.column.acquire(Shot(preset, night.plan.exposure.save_frames), name), shift)


def _settled(night: Night, name: str) -> Exposed | Lost:
    """Adopt the frame if it is on disk and whole; the ice is spent otherwise."""
    stored = night.column.stored(name)
    return LOST if stored is None else Exposed(stored, stored.image_shift)


def _record_exposure(night: Night, entry: Entry, hole: models.Hole, shot: int, taken: Exposed) -> None:
    acquired = taken.acquired
    row = _row(entry.db, hole, shot)
    row.image_id = keep(night, entry, acquired, "exposure", row.id, "movie")
    row.status, row.taken_at = "done", acquired.started_at
    row.shift_x_um, row.shift_y_um = taken.shift.x_um, taken.shift.y_um
    row.dose_e_per_a2 = acquired.dose_e_per_a2
    shots.settle(entry, entry.row(models.Hole, hole.id), row)
    expected = judging.expected_counts(acquired)
    black = expected is not None and acquired.mean_counts < night.protocol.thresholds.minimum_counts_fraction * expected
    if black:
        row.flags, row.usable, row.analysis = ["black"], False, "none"
        entry.say("exposure_black", f"exposure {row.number}: no beam reached the camera", exposure_id=row.id)
    else:
        row.analysis = "waiting"
        details = dict(acquired.details) if acquired.path is None else {}
        text = f"exposure {row.number}: {_called(hole, shot)}"
        entry.say("exposed", text, exposure_id=row.id, hole_id=hole.id, details=details)


def _write_off(entry: Entry, hole: models.Hole, shot: int) -> None:
    row = _row(entry.db, hole, shot)
    row.status, row.reason = "lost", "begun, and no whole image of it is on disk"
    shots.settle(entry, entry.row(models.Hole, hole.id), row)
    text = f"exposure {row.number} of {_called(hole, shot)} is lost; it is not tried again"
    entry.say("exposure_lost", text, hole_id=hole.id)
