"""Focus beside a group of holes, or take its height from those measured around it; and the defocus to set for a hole.

What is known of heights stands in the record, in the body of the events ``focused`` and ``focus_predicted``: at the
place ``at_um`` the defocus to set is the one wanted plus ``add_um``, elsewhere ``slopes`` per µm more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..hardware.errors import FocusFailed
from ..hardware.records import Focused, ImageShift, StagePosition
from ..targeting.focus_plan import Spot, focus_spots, known_height
from ..targeting.frames import apply
from ..targeting.height_plane import Plane, plane_near
from ..targeting.tilt import Tilt, up_the_beam_um
from . import remaining, shots
from .night import Night
from .shooting import frame_of, to_stage

NEAR_UM = 15.0
"""Holes farther from a group than any image shift reaches do not matter to where it is focused."""

UPSETS = ("resumed", "driver_restarted", "grid_loaded", "zero_loss_refined", "refilled")
"""Events after which the lens is not believed to be where the last focusing left it."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A group that was focused: the outcome, at which spot, and where the stage stood."""

    focused: Focused
    spot: Spot
    stage: StagePosition
    target_um: float


@dataclass(frozen=True, slots=True)
class Told:
    """A group whose height is known without focusing: what to add to the defocus wanted, and by how many heights."""

    at_um: tuple[float, float]
    add_um: float
    slopes: tuple[float, float]
    error_um: float
    heights: int


def focus_for_group(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, key: str) -> None:
    """Focus a group as the protocol asks: each, the first of a square, or where its height is not known."""
    if not _to_be_focused(night, square, group):
        return

    def intend(entry: Entry) -> dict[str, Any]:
        return {"seen_upto": night.journal.last_event(), "at": entry.at.isoformat()}

    def act(intent: Mapping[str, Any]) -> Measured | Told:
        told = _told(night, grid, square, group, intent) if night.plan.focus.every == "plane" else None
        return _focus(night, grid, square, group) if told is None else told

    def record(entry: Entry, outcome: Measured | Told) -> None:
        if isinstance(outcome, Told):
            _record_told(entry, grid, square, group, outcome)
        else:
            _record_focus(night, entry, grid, square, group, outcome)

    night.journal.step(f"{key} focus", "focus", act, record, intend=intend, grid_id=grid.id)


def defocus_to_set(
    night: Night,
    db: OrmSession,
    grid: models.Grid,
    group: models.BisGroup,
    place_um: tuple[float, float],
) -> float:
    """Give the defocus to set for a place (stage µm as it is now, re-centring left out) if the stage stood right there.

    What a tilted stage adds for a place beside its middle is `beside_um`, once the shift is known.
    """
    target_um = _target_um(night, group)
    said = db.scalars(
        select(models.Event.body)
        .where(models.Event.kind.in_(("focused", "focus_predicted")), models.Event.grid_id == grid.id)
        .order_by(models.Event.id.desc())
        .limit(1)
    ).first()
    if said is None or said.get("square_id") != group.square_id or said["load"] != grid.loads:
        return target_um
    x_um, y_um = said["at_um"]
    rise_x, rise_y = said["slopes"]
    return float(target_um + said["add_um"] + rise_x * (place_um[0] - x_um) + rise_y * (place_um[1] - y_um))


def beside_um(night: Night, shift: ImageShift) -> float:
    """Give how far up the beam a place lies that is reached by an image shift, for the tilt of the exposures."""
    return float(up_the_beam_um([(shift.x_um, shift.y_um)], Tilt(night.plan.exposure.tilt_deg))[0])


def _target_um(night: Night, group: models.BisGroup) -> float:
    return group.target_defocus_um if group.target_defocus_um is not None else night.plan.exposure.defocus_min_um


def _to_be_focused(night: Night, square: models.Square, group: models.BisGroup) -> bool:
    """Whether this group is to be focused, or its height told: always, or once on each square."""
    plan = night.plan.focus
    if not plan.on:
        return False
    if plan.every != "square" or group.focus_um is not None:
        return True
    with night.journal.read() as db:
        focused = db.scalar(
            select(func.count())
            .select_from(models.BisGroup)
            .where(models.BisGroup.square_id == square.id, models.BisGroup.focus_um.is_not(None))
        )
    return not focused


# heights that are known


def _told(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, intent: Mapping[str, Any]
) -> Told | None:
    """Tell the group's height from those measured on its square; None where it is to be focused."""
    plan = night.plan.focus
    with night.journal.read() as db:
        last, heights = _measured(db, grid, intent["seen_upto"])
        upset = last is not None and _upset_since(db, last.id, intent["seen_upto"])
    if last is None or upset or last.body.get("lens_um") is None:
        return None
    if datetime.fromisoformat(intent["at"]) - last.at >= timedelta(minutes=plan.again_after_min):
        return None
    here = heights.pop(square.id, [])
    planes = [plane for rows in heights.values() if (plane := _plane(rows)) is not None]
    centre = to_stage(grid, group.stage_x_um, group.stage_y_um)
    rows = np.array(here, dtype=np.float64).reshape(-1, 3)
    known = known_height(centre, rows[:, :2], rows[:, 2], planes)
    if known is None or known[1].error_um > plan.tolerance_um:
        return None
    height_um = known[1].height_um + (square.stage_z_um or 0.0)
    return Told(centre, height_um - last.body["lens_um"], known[0].slopes, known[1].error_um, known[0].used)


def _plane(rows: Sequence[tuple[float, float, float]]) -> Plane | None:
    """Give the plane in the middle of another square, as wide as the one that is asked."""
    values = np.array(rows, dtype=np.float64)
    return plane_near(values[:, :2].mean(axis=0), values[:, :2], values[:, 2])


def _measured(
    db: OrmSession, grid: models.Grid, upto: int
) -> tuple[models.Event | None, dict[int, list[tuple[float, float, float]]]]:
    """Give the last focusing of this grid, and all places and heights measured on it since it was loaded, by square."""
    events = db.scalars(
        select(models.Event)
        .where(models.Event.kind == "focused", models.Event.grid_id == grid.id, models.Event.id <= upto)
        .order_by(models.Event.id)
    ).all()
    heights: dict[int, list[tuple[float, float, float]]] = {}
    for event in events:
        body = event.body
        if body.get("height_um") is not None and body["load"] == grid.loads:
            heights.setdefault(body["square_id"], []).append((*body["at_um"], body["height_um"]))
    return (events[-1] if events else None), heights


def _upset_since(db: OrmSession, event_id: int, upto: int) -> bool:
    """Say whether anything has happened since to make the lens doubtful."""
    found = db.scalar(
        select(models.Event.id)
        .where(models.Event.kind.in_(UPSETS), models.Event.id > event_id, models.Event.id <= upto)
        .limit(1)
    )
    return found is not None


def _record_told(entry: Entry, grid: models.Grid, square: models.Square, group: models.BisGroup, told: Told) -> None:
    entry.say(
        "focus_predicted",
        f"group {group.number} is not focused: {told.heights} heights measured on its square tell its own to "
        f"{told.error_um:.2f} µm",
        group_id=group.id,
        square_id=square.id,
        load=grid.loads,
        at_um=list(told.at_um),
        add_um=told.add_um,
        slopes=list(told.slopes),
        error_um=told.error_um,
    )


# focusing


def _focus(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup) -> Measured:
    """Focus off target, beam clear of every hole to be exposed, as often as the protocol allows."""
    plan, target_um = night.plan.focus, _target_um(night, group)
    stage = night.column.position()
    spots = _spots(night, grid, square, group, stage)
    night.column.use(night.preset("focus"))
    said = ""
    for attempt in range(plan.attempts):
        # What one place does not show, another may: film beside an opening, thinner ice.
        spot = spots[attempt % len(spots)]
        night.column.shift_image(ImageShift(spot.x_um - stage.x_um, spot.y_um - stage.y_um))
        try:
            focused = night.column.autofocus(target_um)
        except FocusFailed as error:
            said = str(error)
            continue
        if focused.trusted and abs(focused.defocus_um - target_um) <= plan.tolerance_um:
            night.column.shift_image(ImageShift())
            return Measured(focused, spot, stage, target_um)
        how = "" if focused.trusted else ", untrusted"
        said = f"autofocus came to {focused.defocus_um:.2f} µm for {target_um:.2f} µm{how}"
    night.column.shift_image(ImageShift())
    raise FocusFailed(
        f"group {group.number} of square {square.number} is left after {plan.attempts} attempts at focusing; the last "
        f"one: {said}"
    )


def _spots(
    night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup, stage: StagePosition
) -> list[Spot]:
    """Give where to focus, the best place first, in the frame that re-centring found for this group."""
    with night.journal.read() as db:
        holes = remaining.whole_holes(db, square.id)
        wanted = remaining.targets(db, square.id)
    off = (group.correction_x_um, group.correction_y_um)
    group_x, group_y = to_stage(grid, group.stage_x_um, group.stage_y_um)
    centre = (group_x + off[0], group_y + off[1])

    def near(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        known = apply(frame_of(grid), rows[:, :2]) if len(rows) else rows[:, :2]
        return np.asarray(known[np.linalg.norm(known - [group_x, group_y], axis=1) < NEAR_UM] + off)

    middle = to_stage(grid, square.stage_x_um, square.stage_y_um)
    limit_um = night.column.capabilities().image_shift_limit_um
    lattice = square.lattice or {}
    basis = None if not lattice else (lattice["a_um"], lattice["b_um"])
    for distance_um in dict.fromkeys((night.plan.focus.off_target_um, None)):
        found = focus_spots(
            centre,
            near(wanted),
            near(holes),
            basis if distance_um is None else None,
            night.preset("focus").beam_diameter_um / 2,
            night.plan.focus.attempts,
            hole_radius_um=float(max(holes[:, 2].max(initial=0.0), wanted[:, 2].max(initial=0.0))),
            distance_um=distance_um,
            towards_um=(middle[0] + square.correction_x_um, middle[1] + square.correction_y_um),
        )
        reached = [s for s in found if math.hypot(s.x_um - stage.x_um, s.y_um - stage.y_um) <= limit_um]
        if reached:
            # Where targets must be spoiled, the same are spoiled again and again.
            return reached[:1] if reached[0].spoils else reached
    raise FocusFailed(
        f"group {group.number} of square {square.number}: no place to focus at lies within the image shift's limit of "
        f"{limit_um:g} µm; the group is left"
    )


def _record_focus(
    night: Night, entry: Entry, grid: models.Grid, square: models.Square, group: models.BisGroup, done: Measured
) -> None:
    focused, spot, stage = done.focused, done.spot, done.stage
    aside_um = beside_um(night, ImageShift(spot.x_um - stage.x_um, spot.y_um - stage.y_um))
    height_um = None
    if focused.lens_um is not None:
        # What the check after focusing has read off focus belongs to the specimen, not to the lens.
        height_um = focused.lens_um + done.target_um - focused.defocus_um - aside_um - (square.stage_z_um or 0.0)
    entry.row(models.BisGroup, group.id).focus_um = focused.defocus_um
    entry.say(
        "focused",
        f"group {group.number} focused to {focused.defocus_um:.2f} µm",
        group_id=group.id,
        square_id=square.id,
        load=grid.loads,
        at_um=[spot.x_um - group.correction_x_um, spot.y_um - group.correction_y_um],
        add_um=-aside_um,
        slopes=[0.0, 0.0],
        lens_um=focused.lens_um,
        height_um=height_um,
    )
    if spot.spoils:
        _give_up_lit(night, entry, grid, square, group, spot)


def _give_up_lit(
    night: Night, entry: Entry, grid: models.Grid, square: models.Square, group: models.BisGroup, spot: Spot
) -> None:
    """Take off the list what the beam has reached while focusing, where no place was clear of targets."""
    reach_um = night.preset("focus").beam_diameter_um / 2
    lost = []
    for hole in entry.db.scalars(
        select(models.Hole).where(models.Hole.square_id == square.id, models.Hole.status == "chosen")
    ):
        x_um, y_um = to_stage(grid, hole.stage_x_um, hole.stage_y_um)
        away_um = math.hypot(x_um + group.correction_x_um - spot.x_um, y_um + group.correction_y_um - spot.y_um)
        if away_um < reach_um + hole.radius_um:
            shots.close(entry, hole, "skipped", "spent on focusing: no place was clear of targets")
            lost.append(hole.id)
    entry.say("focused_on_targets", f"{len(lost)} holes spent on focusing, no place was clear of them", holes=lost)
