"""The three choices of a night: squares of a grid, holes of a square, grids for the next pass."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..policies.records import Choice, Offer
from ..protocols.screening import ScreeningProtocol
from ..targeting.defocus import rolling_defocus
from ..targeting.groups import group_holes
from ..targeting.records import Group
from ..targeting.routes import shortest_route
from . import judging, remaining
from .deciding import decide
from .flow import Phase
from .night import Night

Move = tuple[Phase, str]


# squares


def choose_squares(night: Night) -> Move:
    """Choose which squares of this grid to visit in this pass, and in which order."""
    grid, plan = night.grid(), night.plan
    with night.journal.read() as db:
        squares = [s for s in remaining.squares_of(db, grid.id) if s.status == "found"]
    barred = {s.id: why for s in squares if (why := _square_barred(s, plan))}
    offers = [_square_offer(s) for s in squares if s.id not in barred]
    by_id = {s.id: s for s in squares}

    def record(entry: Entry, choice: Choice) -> None:
        chosen = [by_id[n] for n in choice.chosen]
        planned = all("order" in s.features for s in chosen)
        order = (
            range(len(chosen))
            if planned
            else shortest_route([(s.stage_x_um, s.stage_y_um) for s in chosen], (0.0, 0.0))
        )
        for visit, index in enumerate(order):
            row = entry.db.get_one(models.Square, chosen[index].id)
            row.status, row.visit_order, row.pass_number = "chosen", visit, night.me.pass_number
            row.reason = choice.reasons.get(row.id, "")

    decide(
        night,
        "squares",
        of_kind="grid",
        of_id=grid.id,
        label=f"slot {grid.slot}",
        choice=plan.squares.policy,
        offers=offers,
        barred=barred,
        want=plan.squares.per_grid,
        record=record,
    )
    return Phase.NEXT_SQUARE, f"the squares chosen on slot {grid.slot}"


def _square_offer(square: models.Square) -> Offer:
    features = {"area_um2": square.area_um2, "mean": square.mean, **square.features}
    return Offer(
        square.id, square.number, square.stage_x_um, square.stage_y_um, square.score, square.category, features
    )


def _square_barred(square: models.Square, plan: ScreeningProtocol) -> str:
    """Say why the protocol itself rules a square out; empty when it does not."""
    wanted = plan.squares
    if wanted.area_min_um2 is not None and square.area_um2 < wanted.area_min_um2:
        return f"left: {square.area_um2:.0f} µm² is below the smallest area asked for, {wanted.area_min_um2:.0f}"
    if wanted.area_max_um2 is not None and square.area_um2 > wanted.area_max_um2:
        return f"left: {square.area_um2:.0f} µm² is above the largest area asked for, {wanted.area_max_um2:.0f}"
    if square.score < wanted.minimum_score:
        return f"left: score {square.score:.2f} is below the lowest asked for, {wanted.minimum_score:.2f}"
    return ""


# holes


def choose_holes(night: Night) -> Move:
    """Group the holes that can be exposed, choose among the groups, and number the visits."""
    grid, square, plan = night.grid(), night.square(), night.plan
    if square.status != "surveyed":
        return Phase.NEXT_SQUARE, "the next square"
    with night.journal.read() as db:
        holes = list(remaining.holes_of(db, square.id, "found"))
    barred = {h.id: why for h in holes if (why := _hole_barred(h, plan))}
    open_holes = [h for h in holes if h.id not in barred]
    groups, ungrouped = _groups(open_holes, plan)
    barred |= {h.id: f"left: no group of {plan.holes.minimum_bis_group} or more holes reaches it" for h in ungrouped}
    offers = [_group_offer(square, group, open_holes) for group in groups]
    by_centre = {offer.id: group for offer, group in zip(offers, groups, strict=True)}

    def record(entry: Entry, choice: Choice) -> None:
        _record_groups(night, entry, square, [by_centre[n] for n in choice.chosen], open_holes, choice)

    decide(
        night,
        "holes",
        of_kind="square",
        of_id=square.id,
        label=f"square {square.number}",
        choice=plan.holes.policy,
        offers=offers,
        barred=barred,
        want=plan.holes.per_square,
        record=record,
    )
    return Phase.NEXT_GROUP, f"square {square.number} of slot {grid.slot}"


def _hole_barred(hole: models.Hole, plan: ScreeningProtocol) -> str:
    if hole.site != "hole":
        return f"left: the site is {hole.site}"
    if hole.score < plan.holes.threshold:
        return f"left: score {hole.score:.2f} is below the threshold, {plan.holes.threshold:.2f}"
    return ""


def _groups(holes: Sequence[models.Hole], plan: ScreeningProtocol) -> tuple[list[Group], list[models.Hole]]:
    """Group by beam-image shift; a finder that knows its groups (a recorded session) is taken at its word."""
    if holes and all("group" in h.features for h in holes):
        return _given_groups(holes), []
    if not holes:
        return [], []
    places = np.array([(h.stage_x_um, h.stage_y_um) for h in holes])
    found = group_holes(places, radius_um=plan.holes.bis_radius_um, minimum_size=plan.holes.minimum_bis_group)
    return list(found.groups), [holes[n] for n in found.left_out]


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


def _group_offer(square: models.Square, group: Group, holes: Sequence[models.Hole]) -> Offer:
    """Offer a group under the id of the hole nearest to its centre, with its members' mean features."""
    members = [holes[n] for n in group.members]
    centre = min(members, key=lambda h: (math.hypot(h.stage_x_um - group.x_um, h.stage_y_um - group.y_um), h.number))
    middle_x, middle_y = square.stage_x_um + square.correction_x_um, square.stage_y_um + square.correction_y_um
    features = {
        "mean": float(np.mean([h.features.get("mean", 0.0) for h in members])),
        "radius_um": float(np.mean([h.radius_um for h in members])),
        "distance_um": math.hypot(group.x_um - middle_x, group.y_um - middle_y),
        "size": float(len(members)),
    }
    ices = [h.ice_nm for h in members if h.ice_nm is not None]
    if ices:
        features["ice_nm"] = float(np.mean(ices))
    if "order" in centre.features:
        features["order"] = float(min(h.features["order"] for h in members))
    score = float(np.mean([h.score for h in members]))
    return Offer(centre.id, centre.number, group.x_um, group.y_um, score, centre.site, features)


def _record_groups(
    night: Night,
    entry: Entry,
    square: models.Square,
    groups: Sequence[Group],
    holes: Sequence[models.Hole],
    choice: Choice,
) -> None:
    exposure = night.plan.exposure
    count = entry.db.scalar(select(func.count()).select_from(models.BisGroup)) or 0
    recorded = bool(holes) and all("group" in h.features for h in holes)
    start = (square.stage_x_um, square.stage_y_um)
    order = range(len(groups)) if recorded else shortest_route([(g.x_um, g.y_um) for g in groups], start)
    for visit, index in enumerate(order):
        group = groups[index]
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
            hole = entry.db.get_one(models.Hole, holes[member].id)
            hole.group_id, hole.visit_order, hole.status = row.id, place, "chosen"
            hole.reason = choice.reasons.get(hole.id, "taken: in reach of a hole that was taken")


# grids


def choose_grids(night: Night) -> Move:
    """Start the next pass with the grids that earned it, or end the night."""
    number = night.me.pass_number + 1
    if number >= len(night.protocol.passes):
        return Phase.PARK, "every pass is done"
    judging.drain(night)
    plan, here = night.protocol.passes[number], night.column.loaded()
    with night.journal.read() as db:
        grids = db.scalars(select(models.Grid).where(models.Grid.status == "screened").order_by(models.Grid.slot)).all()
        offers = [offer for grid in grids if (offer := _grid_offer(db, grid))]
    barred = {
        offer.id: f"left: {offer.features['usable']:.0f} usable exposures, {plan.minimum_usable} are asked for"
        for offer in offers
        if offer.features["usable"] < plan.minimum_usable
    }
    offered = sorted((o for o in offers if o.id not in barred), key=lambda o: (-o.score, o.number))

    def record(entry: Entry, choice: Choice) -> None:
        for place, grid_id in enumerate(_stage_first(here, entry.db, choice.chosen)):
            grid = entry.db.get_one(models.Grid, grid_id)
            grid.status, grid.visit_order = "waiting", place
        row = entry.db.get_one(models.Session, night.me.id)
        row.pass_number = number
        row.grid_id = row.square_id = row.group_id = None

    decide(
        night,
        "grids",
        of_kind="session",
        of_id=night.me.id,
        label=f"pass {plan.name}",
        choice=plan.policy,
        offers=offered,
        barred=barred,
        want=plan.grids or 0,
        record=record,
    )
    night.refresh()
    return Phase.NEXT_GRID, f"pass {plan.name}"


def _stage_first(here: int | None, db: OrmSession, chosen: Sequence[int]) -> list[int]:
    """Put the grid that is on the stage first: it costs no exchange."""
    return sorted(chosen, key=lambda n: db.get_one(models.Grid, n).slot != here)


def _grid_offer(db: OrmSession, grid: models.Grid) -> Offer | None:
    """Offer a grid by what its exposures have shown; the score is the expected share of usable ones."""
    shots = db.execute(
        select(models.Exposure.id, models.Exposure.usable)
        .join(models.Hole, models.Exposure.hole_id == models.Hole.id)
        .join(models.Square, models.Hole.square_id == models.Square.id)
        .where(models.Square.grid_id == grid.id, models.Exposure.usable.is_not(None))
    ).all()
    fits = db.scalars(
        select(models.Measure.value).where(
            models.Measure.of_kind == "exposure",
            models.Measure.name == "fit_resolution_a",
            models.Measure.of_id.in_([shot_id for shot_id, _ in shots]),
        )
    ).all()
    usable, analysed = sum(bool(good) for _, good in shots), len(shots)
    features: Mapping[str, float] = {
        "usable": float(usable),
        "analysed": float(analysed),
        **({"median_fit_a": float(np.median(fits))} if fits else {}),
    }
    return Offer(grid.id, grid.slot, 0.0, 0.0, (usable + 0.5) / (analysed + 1.0), "grid", features)
