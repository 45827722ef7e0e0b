"""Bring a group of holes to the axis and let it come to rest; `focusing` focuses it."""

import math
from dataclasses import dataclass

from sqlalchemy import func, select

from ..db import models
from ..db.journal import Entry
from ..hardware.errors import DriftTooHigh, TargetFault
from ..hardware.records import Acquired, Drift, StagePosition
from . import focusing, guarding, recognising, remaining
from .flow import Phase
from .night import Night
from .shooting import keep, survey, to_stage

Move = tuple[Phase, str]
MOVE_AGAIN_UM = 1.0
"""A group that is off by more is gone to again; less is taken up by image shift."""


@dataclass(frozen=True, slots=True)
class Centred:
    """A group in view: its images, and where it stands beside where it was expected."""

    views: tuple[Acquired, ...]
    correction_um: tuple[float, float]
    matched: int


def centre_group(night: Night) -> Move:
    """Bring the group to the axis, focus beside it, let it come to rest."""
    grid, square, group = night.grid(), night.square(), night.group()
    if group.status not in ("chosen", "centred"):
        return Phase.NEXT_GROUP, "the next group"
    guarding.check(night)
    guarding.refine_zero_loss(night, before_long_move=False)
    key = f"grid {grid.slot} square {square.number} group {group.number}"
    night.journal.step(
        f"{key} centre",
        "centre",
        lambda _: _centre(night, grid, square, group),
        lambda entry, centred: _record_centred(night, entry, group, centred),
        grid_id=grid.id,
    )
    stand_at_group(night, grid, square)
    group = night.group()
    _demand_seen(night, grid, square, group)
    focusing.focus_for_group(night, grid, square, group, key)
    if night.plan.settle.drift_limit_a_per_s > 0:
        night.journal.step(
            f"{key} settle",
            "settle",
            lambda _: _settle(night),
            lambda entry, drift: _record_drift(entry, group, drift),
            grid_id=grid.id,
        )
    return Phase.EXPOSE, f"group {group.number} of square {square.number}, slot {grid.slot}"


def place_of(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup) -> StagePosition:
    """Give where the stage goes for a group, its re-centring included."""
    x_um, y_um = to_stage(grid, group.stage_x_um, group.stage_y_um)
    return StagePosition(
        x_um + group.correction_x_um,
        y_um + group.correction_y_um,
        square.stage_z_um or 0.0,
        night.plan.exposure.tilt_deg,
    )


def _centre(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup) -> Centred:
    """Take a hole-level image, compare the holes in it with the record's, go again if far off.

    It is looked for where the square's earlier groups let it be expected.
    """
    name = f"g{grid.slot:02}-s{square.number:03}-b{group.number:03}"
    place = place_of(night, grid, square, group)
    believed = recognising.believed(night, grid, square, group)
    views = [survey(night, "hole", f"{name}-v0", _beside(place, believed.off_um))]
    seen = recognising.recognised(night, grid, square, views[-1], believed)
    if seen.matched and math.dist(seen.off_um, believed.off_um) > MOVE_AGAIN_UM:
        views.append(survey(night, "hole", f"{name}-v1", _beside(place, seen.off_um)))
        seen = recognising.recognised(night, grid, square, views[-1], believed)
    return Centred(tuple(views), seen.off_um, seen.matched)


def _beside(place: StagePosition, off_um: tuple[float, float]) -> StagePosition:
    return StagePosition(place.x_um + off_um[0], place.y_um + off_um[1], place.z_um, place.alpha_deg)


def _demand_seen(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup) -> None:
    """Refuse to expose by dead reckoning: the stage's own error is as large as a hole."""
    if group.image_id is None:
        return
    if square.lattice is None and not recognising.imaged_before_reload(night, grid, square):
        return
    with night.journal.read() as db:
        said = db.scalars(
            select(models.Event.body)
            .where(models.Event.kind == "group_centred", models.Event.grid_id == grid.id)
            .order_by(models.Event.id.desc())
        )
        matched = next((body["matched"] for body in said if body["group_id"] == group.id), 0)
    if matched == 0:
        raise TargetFault(
            f"group {group.number} of square {square.number}: which holes its hole-level image shows cannot be told; "
            "nothing is exposed blindly, the group is left"
        )


def _record_centred(night: Night, entry: Entry, group: models.BisGroup, centred: Centred) -> None:
    row = entry.row(models.BisGroup, group.id)
    ids = [keep(night, entry, view, "bis_group", group.id) for view in centred.views]
    row.image_id = ids[-1]
    row.correction_x_um, row.correction_y_um = centred.correction_um
    row.status = "centred"
    off_um = math.hypot(*centred.correction_um)
    how = f"{centred.matched} holes" if centred.matched > 1 else "the picture" if centred.matched else "nothing seen"
    text = f"group {row.number} centred, off by {off_um:.2f} µm by {how}"
    entry.say("group_centred", text, group_id=row.id, images=ids, matched=centred.matched)


def _settle(night: Night) -> Drift:
    plan = night.plan.settle
    drift = night.column.settle(plan.drift_limit_a_per_s, plan.timeout_s)
    if not drift.settled:
        raise DriftTooHigh(
            f"still {drift.rate_a_per_s:.1f} Å/s after {drift.waited_s:.0f} s, the limit is "
            f"{plan.drift_limit_a_per_s:g}; the group is left"
        )
    return drift


def _record_drift(entry: Entry, group: models.BisGroup, drift: Drift) -> None:
    entry.row(models.BisGroup, group.id).drift_a_per_s = drift.rate_a_per_s
    entry.say("settled", f"drift {drift.rate_a_per_s:.2f} Å/s after {drift.waited_s:.0f} s", group_id=group.id)


def stand_at_group(night: Night, grid: models.Grid, square: models.Square) -> None:
    """Make sure that the stage still stands where the group was centred; a restart may find it elsewhere.

    A stage that was moved away comes back with an error of its own, so the group is centred anew: its holes are known,
    only the offset is measured again.
    """
    group = night.group()
    if group.status != "centred":
        return
    with night.journal.read() as db:
        image = None if group.image_id is None else db.get_one(models.ImageRow, group.image_id)
        holes_left = remaining.next_hole(db, group.id)
    if holes_left is None:
        return
    there = place_of(night, grid, square, group)
    x_um, y_um = (there.x_um, there.y_um) if image is None else image.scope["stage_um"][:2]
    stage = night.column.position()
    if math.hypot(stage.x_um - x_um, stage.y_um - y_um) < 0.5:
        return
    with night.journal.read() as db:
        again = db.scalar(
            select(func.count())
            .select_from(models.Step)
            .where(models.Step.key.like(f"group {group.id} centre again %"))
        )
    night.journal.step(
        f"group {group.id} centre again {(again or 0) + 1}",
        "centre",
        lambda _: _centre_again(night, grid, square, group, (again or 0) + 1),
        lambda entry, centred: _record_centred(night, entry, group, centred),
        grid_id=grid.id,
    )
    _demand_seen(night, grid, square, night.group())


def _centre_again(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, number: int
) -> Centred:
    name = f"g{grid.slot:02}-s{square.number:03}-b{group.number:03}-again{number}"
    view = survey(night, "hole", name, place_of(night, grid, square, group))
    seen = recognising.recognised(night, grid, square, view, recognising.believed(night, grid, square, group))
    return Centred((view,), seen.off_um, seen.matched)
