"""From a chosen group to exposures: centre, focus, settle, expose; nothing is ever exposed twice."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import func, select

from ..db import models
from ..db.journal import LOST, Entry, Lost
from ..hardware.errors import BeamLost, DriftTooHigh, FocusFailed, TargetFault
from ..hardware.records import Acquired, Drift, Focused, ImageShift, Shot, StagePosition
from ..targeting.defocus import focus_point
from ..targeting.frames import apply, invert
from ..targeting.offset import offset_um
from ..targeting.recentre import correction
from . import commands, guarding, judging, remaining, worker
from .flow import Phase
from .giving_up import expose_key
from .night import Night
from .shooting import keep, look_at, survey, to_stage
from .surveying import hole_sizes

Move = tuple[Phase, str]
MOVE_AGAIN_UM = 1.0
"""A group that is off by more is gone to again; less is taken up by image shift."""


# where next


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
        row = entry.db.get_one(models.Session, night.me.id)
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
        entry.db.get_one(models.Grid, night.me.grid_id).reason = why
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
                entry.db.get_one(models.Square, square.id).status = "done"
                entry.say("square_done", f"square {square.number} of slot {grid.slot} is done", square_id=square.id)
        return Phase.NEXT_SQUARE, "the next square"
    if late := _late(night):
        return _leave_early(night, late)
    if night.me.group_id != group.id:
        night.set(f"group {group.number} of square {square.number}", "group_began", group_id=group.id)
    return Phase.CENTRE_GROUP, f"group {group.number} of square {square.number}, slot {grid.slot}"


# centre, focus, settle


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
    guarding.refine_zero_loss(night)
    key = f"grid {grid.slot} square {square.number} group {group.number}"
    night.journal.step(
        f"{key} centre",
        "centre",
        lambda _: _centre(night, grid, square, group),
        lambda entry, centred: _record_centred(night, entry, group, centred),
        grid_id=grid.id,
    )
    _stand_at_group(night, grid, square)
    group = night.group()
    if _to_be_focused(night, square, group):
        night.journal.step(
            f"{key} focus",
            "focus",
            lambda _: _focus(night, grid, square, group),
            lambda entry, focused: _record_focus(entry, group, focused),
            grid_id=grid.id,
        )
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
    """Take a hole-level image, compare the holes in it with the record's, go again if far off."""
    name = f"g{grid.slot:02}-s{square.number:03}-b{group.number:03}"
    place = place_of(night, grid, square, group)
    views = [survey(night, "hole", f"{name}-v0", place)]
    off, matched = _measured_offset(night, grid, square, views[-1])
    if math.hypot(*off) > MOVE_AGAIN_UM:
        nearer = StagePosition(place.x_um + off[0], place.y_um + off[1], place.z_um, place.alpha_deg)
        views.append(survey(night, "hole", f"{name}-v1", nearer))
        off, matched = _measured_offset(night, grid, square, views[-1])
    return Centred(tuple(views), off, matched)


def _measured_offset(
    night: Night, grid: models.Grid, square: models.Square, view: Acquired
) -> tuple[tuple[float, float], int]:
    """Measure by how much the holes in view stand beside where the record expects them, in µm."""
    if view.path is None:
        return (0.0, 0.0), 0
    with night.journal.read() as db:
        known = [h for h in remaining.holes_of(db, square.id) if h.site == "hole"]
    choice = night.plan.holes.finder
    options = {**hole_sizes(night, choice.use, grid), **choice.options()}
    found = night.analyst.now(worker.find_holes, choice.use, options, look_at(view), latency_s=0.5)
    seen = [(h.row_px, h.col_px) for h in found.holes if h.status.value == "hole"]
    preset = night.preset("hole")
    places = [to_stage(grid, h.stage_x_um, h.stage_y_um) for h in known]
    expected = apply(invert(view.image_to_stage), np.array(places)) if places else np.empty((0, 2))
    inside = [(row, col) for row, col in expected if 0 <= row < preset.rows_px and 0 <= col < preset.cols_px]
    if not seen or not inside:
        return (0.0, 0.0), 0
    limit_px = _reach_um(square) / (view.pixel_size_a * 1e-4)
    drow, dcol, matched = correction(np.array(inside), np.array(seen), limit_px)
    (a, b, _), (c, d, _) = view.image_to_stage
    return (a * drow + b * dcol, c * drow + d * dcol), matched


def _reach_um(square: models.Square) -> float:
    """Give how far off a group is believed to be: below half the shorter side of the hole lattice's cell."""
    if square.lattice is None:
        return 1.0
    shorter = min(math.hypot(*square.lattice["a_um"]), math.hypot(*square.lattice["b_um"]))
    return 0.48 * shorter


def _record_centred(night: Night, entry: Entry, group: models.BisGroup, centred: Centred) -> None:
    row = entry.db.get_one(models.BisGroup, group.id)
    ids = [keep(night, entry, view, "bis_group", group.id) for view in centred.views]
    row.image_id = ids[-1]
    row.correction_x_um, row.correction_y_um = centred.correction_um
    row.status = "centred"
    off_um = math.hypot(*centred.correction_um)
    text = f"group {row.number} centred, off by {off_um:.2f} µm by {centred.matched} holes"
    entry.say("group_centred", text, group_id=row.id, images=ids, matched=centred.matched)


def _to_be_focused(night: Night, square: models.Square, group: models.BisGroup) -> bool:
    """Whether to focus here: always, or once on each square, as the protocol says."""
    plan = night.plan.focus
    if not plan.on:
        return False
    if plan.every == "group" or group.focus_um is not None:
        return True
    with night.journal.read() as db:
        focused = db.scalar(
            select(func.count())
            .select_from(models.BisGroup)
            .where(models.BisGroup.square_id == square.id, models.BisGroup.focus_um.is_not(None))
        )
    return not focused


def _focus(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup) -> Focused:
    """Focus off target, beam clear of every hole to be exposed, as often as the protocol allows."""
    plan = night.plan.focus
    target_um = group.target_defocus_um if group.target_defocus_um is not None else night.plan.exposure.defocus_min_um
    stage = night.column.position()
    x_um, y_um = _focus_place(night, grid, square, group, stage)
    night.column.use(night.preset("focus"))
    night.column.shift_image(ImageShift(x_um - stage.x_um, y_um - stage.y_um))
    focused = Focused(0.0, False)
    for _ in range(plan.attempts):
        focused = night.column.autofocus(target_um)
        if focused.trusted and abs(focused.defocus_um - target_um) <= plan.tolerance_um:
            night.column.shift_image(ImageShift())
            return focused
    night.column.shift_image(ImageShift())
    raise FocusFailed(
        f"group {group.number} of square {square.number}: autofocus came to {focused.defocus_um:.2f} µm for "
        f"{target_um:.2f} µm, {plan.attempts} times; the group is left"
    )


def _focus_place(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, stage: StagePosition
) -> tuple[float, float]:
    with night.journal.read() as db:
        holes = [h for h in remaining.holes_of(db, square.id) if h.site == "hole"]
    near = [to_stage(grid, h.stage_x_um, h.stage_y_um) for h in holes]
    near = [(x, y) for x, y in near if math.hypot(x - stage.x_um, y - stage.y_um) < 15.0]
    lattice = square.lattice or {}
    limit = night.column.capabilities().image_shift_limit_um
    off_target = night.plan.focus.off_target_um
    place = focus_point(
        (stage.x_um, stage.y_um),
        np.array(near) if near else np.empty((0, 2)),
        None if off_target is not None else lattice.get("a_um"),
        None if off_target is not None else lattice.get("b_um"),
        night.preset("focus").beam_diameter_um / 2,
        hole_radius_um=max((h.radius_um for h in holes), default=0.0),
        distance_um=off_target,
    )
    if math.hypot(place[0] - stage.x_um, place[1] - stage.y_um) > limit:
        return stage.x_um, stage.y_um
    return place


def _record_focus(entry: Entry, group: models.BisGroup, focused: Focused) -> None:
    entry.db.get_one(models.BisGroup, group.id).focus_um = focused.defocus_um
    entry.say("focused", f"group {group.number} focused to {focused.defocus_um:.2f} µm", group_id=group.id)


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
    entry.db.get_one(models.BisGroup, group.id).drift_a_per_s = drift.rate_a_per_s
    entry.say("settled", f"drift {drift.rate_a_per_s:.2f} Å/s after {drift.waited_s:.0f} s", group_id=group.id)


# expose


def expose(night: Night) -> Move:
    """Expose what is left of the group, hole by hole."""
    grid, square = night.grid(), night.square()
    _stand_at_group(night, grid, square)
    while True:
        group = night.group()
        with night.journal.read() as db:
            hole = remaining.next_hole(db, group.id)
        if hole is None or group.status not in ("chosen", "centred"):
            break
        night.hole_in_work = hole.id
        guarding.check(night)
        _expose_hole(night, grid, square, group, hole)
        night.hole_in_work = None
        commands.boundary(night)
    if group.status == "centred":
        with night.journal.write(grid_id=grid.id) as entry:
            entry.db.get_one(models.BisGroup, group.id).status = "done"
            entry.say("group_done", f"group {group.number} of square {square.number} is done", group_id=group.id)
    return Phase.NEXT_GROUP, f"the next group of square {square.number}"


def _stand_at_group(night: Night, grid: models.Grid, square: models.Square) -> None:
    """Make sure that the stage still stands where the group was centred; a restart may find it elsewhere.

    A stage that was moved away comes back with an error of its own, so the group is centred anew: its holes are known,
    only the offset is measured again.
    """
    group = night.group()
    if group.image_id is None or group.status != "centred":
        return
    with night.journal.read() as db:
        image = db.get_one(models.ImageRow, group.image_id)
        holes_left = remaining.next_hole(db, group.id)
    if holes_left is None:
        return
    x_um, y_um, _ = image.scope["stage_um"]
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


def _centre_again(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, number: int
) -> Centred:
    name = f"g{grid.slot:02}-s{square.number:03}-b{group.number:03}-again{number}"
    view = survey(night, "hole", name, place_of(night, grid, square, group))
    off, matched = _measured_offset(night, grid, square, view)
    return Centred((view,), off, matched)


def _expose_hole(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, hole: models.Hole
) -> None:
    name = f"g{grid.slot:02}-s{square.number:03}-h{hole.number:04}"
    night.journal.step(
        expose_key(hole),
        "expose",
        lambda intent: _shoot(night, name, intent),
        lambda entry, shot: _record_exposure(night, entry, hole, shot),
        intend=lambda entry: _intend(night, entry, grid, group, hole),
        settle=lambda: _settled(night, name),
        write_off=lambda entry: _write_off(entry, hole),
        grid_id=grid.id,
    )
    with night.journal.read() as db:
        exposure = db.scalars(select(models.Exposure).where(models.Exposure.hole_id == hole.id)).one()
    if "black" in exposure.flags:
        raise BeamLost(f"the exposure of hole {hole.number} came out black; it is not data, and the beam is looked at")
    judging.begin(night, exposure)


def _intend(night: Night, entry: Entry, grid: models.Grid, group: models.BisGroup, hole: models.Hole) -> dict[str, Any]:
    """Lock the hole against a second exposure, and fix aim and defocus."""
    plan = night.plan
    number = (entry.db.scalar(select(func.max(models.Exposure.number))) or 0) + 1
    dx = dy = 0.0
    if plan.holes.offset_targeting:
        rng = np.random.default_rng(np.random.SeedSequence((night.me.seed, 7, hole.id)))
        beam_um = night.preset("exposure").beam_diameter_um / 2
        dx, dy = offset_um(
            plan.holes.offset_distance_um,
            hole.radius_um,
            grid.material,
            rng,
            beam_radius_um=min(beam_um, hole.radius_um / 2),
        )
    hole_x, hole_y = to_stage(grid, hole.stage_x_um, hole.stage_y_um)
    x_um, y_um = hole_x + group.correction_x_um + dx, hole_y + group.correction_y_um + dy
    target_um = group.target_defocus_um if group.target_defocus_um is not None else plan.exposure.defocus_min_um
    entry.db.add(
        models.Exposure(
            hole_id=hole.id,
            group_id=group.id,
            number=number,
            offset_x_um=dx,
            offset_y_um=dy,
            target_defocus_um=target_um,
            flags=[],
        )
    )
    entry.say("exposure_intended", f"exposure {number}: hole {hole.number}", hole_id=hole.id)
    return {"x_um": x_um, "y_um": y_um, "target_defocus_um": target_um}


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
    tilt_um = shift.y_um * math.tan(math.radians(night.plan.exposure.tilt_deg))
    night.column.set_defocus(intent["target_defocus_um"] - tilt_um)
    return Exposed(night.column.acquire(Shot(preset, night.plan.exposure.save_frames), name), shift)


def _settled(night: Night, name: str) -> Exposed | Lost:
    """Adopt the frame if it is on disk and whole; the ice is spent otherwise."""
    stored = night.column.stored(name)
    return LOST if stored is None else Exposed(stored, stored.image_shift)


def _record_exposure(night: Night, entry: Entry, hole: models.Hole, shot: Exposed) -> None:
    acquired = shot.acquired
    row = entry.db.scalars(select(models.Exposure).where(models.Exposure.hole_id == hole.id)).one()
    row.image_id = keep(night, entry, acquired, "exposure", row.id, "movie")
    row.status, row.taken_at = "done", acquired.started_at
    row.shift_x_um, row.shift_y_um = shot.shift.x_um, shot.shift.y_um
    row.dose_e_per_a2 = acquired.dose_e_per_a2
    kept = entry.db.get_one(models.Hole, hole.id)
    kept.status = "exposed"
    expected = judging.expected_counts(acquired)
    black = expected is not None and acquired.mean_counts < night.protocol.thresholds.minimum_counts_fraction * expected
    if black:
        row.flags, row.usable, row.analysis = ["black"], False, "none"
        entry.say("exposure_black", f"exposure {row.number}: no beam reached the camera", exposure_id=row.id)
    else:
        row.analysis = "waiting"
        details = dict(acquired.details) if acquired.path is None else {}
        text = f"exposure {row.number}: hole {hole.number}"
        entry.say("exposed", text, exposure_id=row.id, hole_id=hole.id, details=details)


def _write_off(entry: Entry, hole: models.Hole) -> None:
    row = entry.db.scalars(select(models.Exposure).where(models.Exposure.hole_id == hole.id)).one()
    row.status, row.reason = "lost", "begun, and no whole image of it is on disk"
    entry.db.get_one(models.Hole, hole.id).status = "lost"
    entry.db.get_one(models.Hole, hole.id).reason = row.reason
    entry.say(
        "exposure_lost", f"exposure {row.number} of hole {hole.number} is lost; it is not tried again", hole_id=hole.id
    )
