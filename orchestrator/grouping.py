"""Chosen holes into groups that one stage position reaches, by everything the protocol wishes of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..hardware.records import Capabilities
from ..policies.records import Choice
from ..protocols.errors import BadInput
from ..protocols.screening import HolePlan
from ..targeting.defocus import rolling_defocus
from ..targeting.focus_plan import spread_first
from ..targeting.frames import invert
from ..targeting.plans import Plan, plan_groups
from ..targeting.records import Group
from ..targeting.regroup import regroup
from ..targeting.routes import shortest_route
from ..targeting.tilt import Tilt
from ..targeting.travel import TravelTimes
from ..targeting.wishes import Beam, Coma, TimeCosts, Wishes, pattern_named
from . import shots
from .night import Night
from .shooting import frame_of

FEWEST_TIMES = 8
"""So many gaps between exposures must be on record before they tell what a shot or a group costs."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """Groups of the holes of a square, members by their place among the holes; and why others are in none.

    ``shots`` are where the shots of each hole go, None for one that is not placed.
    """

    groups: Sequence[Group]
    left_out: dict[int, str]
    shots: Sequence[list[list[float]] | None] = ()
    plan: Plan | None = None
    wishes: Wishes | None = None


def knows_groups(holes: Sequence[models.Hole]) -> bool:
    """Whether the finder knows which holes belong together (a recorded session); it is taken at its word."""
    return bool(holes) and all("group" in h.features for h in holes)


def grouped(
    night: Night, db: OrmSession, grid: models.Grid, square: models.Square, holes: Sequence[models.Hole], choice: Choice
) -> Grouped:
    """Group chosen holes as the protocol wishes; the same record gives the same groups."""
    if not holes:
        return Grouped((), {})
    if knows_groups(holes):
        return Grouped(_given_groups(holes), {})
    aims, no_room = _aims(night, grid, holes)
    if len(no_room) == len(holes):
        return Grouped((), no_room)
    wishes = wishes_of(night, db, grid, square, holes)
    values = None
    if wishes.least_coverage < 1:
        values = np.clip([choice.scores.get(hole.id, 0.0) for hole in holes], 0.0, 1.0)
    if no_room:
        values = np.ones(len(holes)) if values is None else values
        values[list(no_room)] = 0.0
    places = np.array([(h.stage_x_um, h.stage_y_um) for h in holes])
    plan = plan_groups(places, wishes, values=values)
    return Grouped(plan.groups, {**plan.left_out, **no_room}, aims, plan, wishes)


def _aims(
    night: Night, grid: models.Grid, holes: Sequence[models.Hole]
) -> tuple[list[list[list[float]] | None], dict[int, str]]:
    """Give where the shots of each hole go, and by place among the holes why some have no room for them."""
    aims: list[list[list[float]] | None] = []
    no_room: dict[int, str] = {}
    for place, hole in enumerate(holes):
        try:
            aims.append(shots.places_in(night, shots.radius_of(grid, hole.radius_um)))
        except BadInput as refusal:
            aims.append(None)
            no_room[place] = str(refusal)
    return aims, no_room


def wishes_of(
    night: Night, db: OrmSession, grid: models.Grid, square: models.Square, holes: Sequence[models.Hole]
) -> Wishes:
    """Give what the protocol and the microscope say of groups on this square."""
    # As it was recorded: nothing may wait for the microscope inside a transaction.
    wanted, can = night.plan.holes, Capabilities(**night.me.microscope["capabilities"])
    tilt_deg = night.plan.exposure.tilt_deg
    coma, aside_um = _coma(wanted, can), _aside_um(night, grid, holes)
    # The shift is made in the plane of the specimen, where a tilted one stretches what is seen across the beam.
    limit_um = can.image_shift_limit_um * float(np.cos(np.deg2rad(tilt_deg)))
    if coma is not None and aside_um:
        limit_um = min(limit_um, coma.radius_um())
    reach_um = min(wanted.bis_radius_um, max(limit_um - aside_um, 0.0))
    basis = _basis(grid, square)
    plan = night.plan.exposure
    return Wishes(
        radius_um=reach_um,
        minimum_size=wanted.minimum_bis_group,
        objective="score" if wanted.bis_objective == "score" else "rate",
        weight=wanted.bis_group_weight,
        least_coverage=1.0 if wanted.bis_objective == "all" else wanted.bis_least_coverage,
        centre="hole" if basis is None and wanted.bis_centre == "lattice" else wanted.bis_centre,
        pattern=None if basis is None else pattern_named(wanted.bis_pattern),
        basis_um=basis,
        tilt=Tilt(tilt_deg),
        defocus_spread_um=wanted.bis_defocus_spread_um,
        coma=coma,
        beam=_beam(night, grid, holes),
        shots=plan.shots_per_hole,
        offsets_um=plan.shot_offsets_um,
        costs=_costs(db) if wanted.bis_objective == "rate" else TimeCosts(),
    )


def record_groups(
    night: Night,
    entry: Entry,
    square: models.Square,
    found: Grouped,
    taken: Sequence[int],
    holes: Sequence[models.Hole],
    choice: Choice,
) -> None:
    """Enter the groups that are visited, in the order of visits, each with its holes in theirs."""
    exposure = night.plan.exposure
    count = entry.db.scalar(select(func.count()).select_from(models.BisGroup)) or 0
    groups = [found.groups[n] for n in taken]
    start = (square.stage_x_um + square.correction_x_um, square.stage_y_um + square.correction_y_um)
    given = knows_groups(holes)
    order = range(len(groups)) if given else _visits(night, [(g.x_um, g.y_um) for g in groups], start)
    for visit, index in enumerate(order):
        group = groups[index] if given else _in_order(groups[index], holes)
        defocus_um = rolling_defocus(
            count + visit, exposure.defocus_min_um, exposure.defocus_max_um, exposure.defocus_step_um
        )
        row = models.BisGroup(
            square_id=square.id,
            number=visit + 1,
            stage_x_um=group.x_um,
            stage_y_um=group.y_um,
            visit_order=visit,
            target_defocus_um=defocus_um,
        )
        entry.db.add(row)
        entry.db.flush()
        for place, member in enumerate(group.members):
            hole = entry.row(models.Hole, holes[member].id)
            hole.group_id, hole.visit_order, hole.status = row.id, place, "chosen"
            hole.reason = choice.reasons.get(hole.id, "taken: in reach of a hole that was taken")
            if found.shots and found.shots[member] is not None:
                hole.shots = found.shots[member]
    if found.plan is not None and found.wishes is not None:
        _say_plan(entry, square, found.plan, found.wishes, len(groups))


def _visits(night: Night, places: Sequence[tuple[float, float]], start: tuple[float, float]) -> tuple[int, ...]:
    """Order the groups of a square; where heights shall tell of each other, those that tell most come first."""
    first = spread_first(places) if night.plan.focus.on and night.plan.focus.every == "plane" else ()
    if not first:
        return quick_route(places, start)
    early = [first[n] for n in quick_route([places[n] for n in first], start)]
    rest = [n for n in range(len(places)) if n not in first]
    return (*early, *(rest[n] for n in quick_route([places[n] for n in rest], places[early[-1]])))


def quick_route(places: Sequence[tuple[float, float]], start: tuple[float, float]) -> tuple[int, ...]:
    """Order squares or groups so that the stage is quickly through them, from where it stands."""
    return shortest_route(places, start, travel=TravelTimes())


def group_to_join(
    night: Night, db: OrmSession, grid: models.Grid, square: models.Square, place_um: tuple[float, float]
) -> models.BisGroup | None:
    """Give the group that a hole added at a place (record's frame) can join; None where it is one of its own.

    Groups that were begun stay as they are.
    """
    waiting = db.scalars(
        select(models.BisGroup)
        .where(models.BisGroup.square_id == square.id, models.BisGroup.status == "chosen")
        .order_by(models.BisGroup.number)
    ).all()
    holes = db.scalars(
        select(models.Hole)
        .where(models.Hole.group_id.in_([group.id for group in waiting]), models.Hole.status == "chosen")
        .order_by(models.Hole.number)
    ).all()
    if not holes or night.plan.holes.bis_radius_um == 0:
        return None
    places = np.array([*((h.stage_x_um, h.stage_y_um) for h in holes), place_um])
    if np.linalg.norm(places[:-1] - places[-1], axis=1).min() == 0:
        return None
    earlier = [
        Group(row.stage_x_um, row.stage_y_um, tuple(n for n, hole in enumerate(holes) if hole.group_id == row.id))
        for row in waiting
    ]
    wishes = replace(wishes_of(night, db, grid, square, holes), minimum_size=1, least_coverage=1.0)
    again = regroup(places, wishes, [group for group in earlier if group.members])
    joined = next((set(group.members) for group in again.groups if len(holes) in group.members), set())
    return next((row for row, group in zip(waiting, earlier, strict=True) if joined & set(group.members)), None)


def carried_out(choice: Choice, groups: Sequence[Sequence[int]], left_out: dict[int, str]) -> Choice:
    """Say what became of a choice of holes once groups were made; ``left_out`` says by id why some are in none."""
    taken = tuple(n for group in groups for n in group)
    left = dict.fromkeys(set(choice.chosen) - set(taken), "left: enough groups were taken before its own")
    left |= {n: f"left: {why}" for n, why in left_out.items() if n in left}
    summary = choice.summary if not left else f"{len(groups)} groups with {len(taken)} holes; {choice.summary}"
    return replace(choice, chosen=taken, reasons={**choice.reasons, **left}, summary=summary)


def _say_plan(entry: Entry, square: models.Square, plan: Plan, wishes: Wishes, taken: int) -> None:
    entry.say(
        "groups_planned",
        f"square {square.number}: {taken} of {len(plan.groups)} groups are visited; at least {plan.lower_bound} are "
        f"needed for these {100 * plan.coverage:.0f} % of the holes",
        square_id=square.id,
        groups=len(plan.groups),
        coverage=plan.coverage,
        lower_bound=plan.lower_bound,
        exact=plan.exact,
        good_per_hour=plan.good_per_hour,
        radius_um=wishes.radius_um,
        costs_s=[wishes.costs.group_s, wishes.costs.shot_s, wishes.costs.arrival_s],
    )


def _in_order(group: Group, holes: Sequence[models.Hole]) -> Group:
    """Put the members of a group in an order that makes the way of the image shift short, from the middle on."""
    places = np.array([(holes[n].stage_x_um, holes[n].stage_y_um) for n in group.members])
    way = shortest_route(places, (group.x_um, group.y_um))
    return replace(group, members=tuple(group.members[n] for n in way))


def _given_groups(holes: Sequence[models.Hole]) -> list[Group]:
    members: dict[float, list[int]] = {}
    for index, hole in enumerate(holes):
        members.setdefault(hole.features["group"], []).append(index)
    groups = []
    for _, indices in sorted(members.items()):
        ordered = tuple(sorted(indices, key=lambda n: holes[n].features.get("order", n)))
        places = np.array([(holes[n].stage_x_um, holes[n].stage_y_um) for n in ordered])
        groups.append(Group(float(places[:, 0].mean()), float(places[:, 1].mean()), ordered))
    return groups


def _basis(grid: models.Grid, square: models.Square) -> list[list[float]] | None:
    """Give the lattice's steps in the record's frame; None for films without one."""
    if square.lattice is None:
        return None
    (a, b, _), (c, d, _) = invert(frame_of(grid))
    back = np.array([[a, b], [c, d]])
    steps = np.array([square.lattice["a_um"], square.lattice["b_um"]]) @ back.T
    return [[float(v) for v in step] for step in steps]


def _beam(night: Night, grid: models.Grid, holes: Sequence[models.Hole]) -> Beam | None:
    """Give the exposures' beam and the holes it must keep away from; None where that is not asked for."""
    found_um = float(np.median([hole.radius_um for hole in holes]))
    if shots.are_placed(night):
        return Beam(shots.lit_radius_um(night), shots.radius_of(grid, found_um))
    beam_um = night.preset("exposure").beam_diameter_um / 2
    if not night.plan.holes.spare_neighbours or beam_um <= 0 or found_um <= 0:
        return None
    return Beam(beam_um, found_um)


def _aside_um(night: Night, grid: models.Grid, holes: Sequence[models.Hole]) -> float:
    """Give how far from the middle of its hole the farthest shot goes: so much less of the shift is left for holes."""
    aims, _ = _aims(night, grid, holes)
    return max((math.hypot(x, y) for places in aims for x, y in places or ()), default=0.0)


def _coma(wanted: HolePlan, can: Capabilities) -> Coma | None:
    if wanted.bis_tilt_mrad_per_um == 0 or can.cs_mm <= 0:
        return None
    return Coma(can.voltage_kv, can.cs_mm, wanted.bis_tilt_mrad_per_um, wanted.bis_coma_to_a)


def _costs(db: OrmSession) -> TimeCosts:
    """Give what a shot and a group cost by the exposures on record; the usual figures while there are few."""
    usual = TimeCosts()
    taken = db.execute(
        select(models.Exposure.group_id, models.Hole.square_id, models.Exposure.taken_at)
        .join(models.Hole, models.Exposure.hole_id == models.Hole.id)
        .where(models.Exposure.taken_at.is_not(None))
        .order_by(models.Exposure.number)
    ).all()
    within: list[float] = []
    between: list[float] = []
    for (group, square, at), (next_group, next_square, then) in pairwise(taken):
        if square == next_square and at is not None and then is not None:
            (within if group == next_group else between).append((then - at).total_seconds())
    if min(len(within), len(between)) < FEWEST_TIMES:
        return usual
    shot_s = median(within)
    return TimeCosts(max(median(between) - shot_s, 0.0), shot_s, usual.arrival_s)
