"""The three choices of a night: squares of a grid, holes of a square, grids for the next pass."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from ..db import models
from ..db.journal import Entry
from ..policies.records import Choice, Limits, Offer
from ..policies.sampling import groups_in_order
from . import judging, remaining
from .deciding import Asked, decide
from .flow import Phase
from .grouping import carried_out, grouped, knows_groups, quick_route, record_groups
from .night import Night
from .shooting import last_stand

Move = tuple[Phase, str]


# squares


def choose_squares(night: Night) -> Move:
    """Choose which squares of this grid to visit in this pass, and in which order."""
    grid, wanted = night.grid(), night.plan.squares
    with night.journal.read() as db:
        squares = [s for s in remaining.squares_of(db, grid.id) if s.status == "found"]
    by_id = {s.id: s for s in squares}

    def record(entry: Entry, choice: Choice) -> Choice:
        chosen = [by_id[n] for n in choice.chosen]
        places = [(s.stage_x_um, s.stage_y_um) for s in chosen]
        planned = all("order" in s.features for s in chosen)
        start = last_stand(entry.db, grid)
        for visit, index in enumerate(range(len(chosen)) if planned else quick_route(places, start)):
            row = entry.row(models.Square, chosen[index].id)
            row.status, row.visit_order, row.pass_number = "chosen", visit, night.me.pass_number
            row.reason = choice.reasons.get(row.id, "")
        return choice

    asked = Asked(
        question="squares",
        of_kind="grid",
        of_id=grid.id,
        label=f"slot {grid.slot}",
        choice=wanted.policy,
        offers=[_square_offer(s) for s in squares],
        want=wanted.per_grid,
        limits=Limits(wanted.minimum_score, wanted.area_min_um2, wanted.area_max_um2, wanted.groups, wanted.per_group),
    )
    decide(night, asked, record)
    return Phase.NEXT_SQUARE, f"the squares chosen on slot {grid.slot}"


def _square_offer(square: models.Square) -> Offer:
    features = {"area_um2": square.area_um2, "mean": square.mean, **square.features}
    return Offer(
        square.id, square.number, square.stage_x_um, square.stage_y_um, square.score, square.category, features
    )


# holes


def choose_holes(night: Night) -> Move:
    """Choose holes, group the chosen ones, take as many groups as the protocol asks for, in the policy's order."""
    grid, square, wanted = night.grid(), night.square(), night.plan.holes
    if square.status != "surveyed":
        return Phase.NEXT_SQUARE, "the next square"
    with night.journal.read() as db:
        holes = {h.id: h for h in remaining.holes_of(db, square.id, "found")}
    night.preset("exposure")  # asked for here, since nothing may wait for the microscope inside a transaction
    in_groups = wanted.bis_radius_um > 0 or knows_groups(list(holes.values()))

    def record(entry: Entry, choice: Choice) -> Choice:
        chosen = [holes[n] for n in choice.chosen]
        found = grouped(night, entry.db, grid, square, chosen, choice)
        ids = [[chosen[n].id for n in group.members] for group in found.groups]
        taken = groups_in_order(choice.chosen, ids, wanted.per_square)
        made = carried_out(choice, [ids[n] for n in taken], {chosen[n].id: why for n, why in found.left_out.items()})
        record_groups(night, entry, square, found, taken, chosen, made)
        return made

    asked = Asked(
        question="holes",
        of_kind="square",
        of_id=square.id,
        label=f"square {square.number}",
        choice=wanted.policy,
        offers=[_hole_offer(square, hole) for hole in holes.values()],
        want=0 if in_groups else wanted.per_square,
        limits=Limits(minimum_score=wanted.threshold),
    )
    decide(night, asked, record)
    return Phase.NEXT_GROUP, f"square {square.number} of slot {grid.slot}"


def _hole_offer(square: models.Square, hole: models.Hole) -> Offer:
    middle_x, middle_y = square.stage_x_um + square.correction_x_um, square.stage_y_um + square.correction_y_um
    distance_um = math.hypot(hole.stage_x_um - middle_x, hole.stage_y_um - middle_y)
    features = {**hole.features, "radius_um": hole.radius_um, "distance_um": distance_um}
    if hole.ice_nm is not None:
        features["ice_nm"] = hole.ice_nm
    return Offer(hole.id, hole.number, hole.stage_x_um, hole.stage_y_um, hole.score, hole.site, features)


# grids


def choose_grids(night: Night) -> Move:
    """Start the next pass with the grids that earned it, or end the night."""
    with night.journal.read() as db:
        if remaining.next_grid(db, night.me.id) is not None:
            return Phase.NEXT_GRID, "the grids of this pass, chosen before a crash"
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

    def record(entry: Entry, choice: Choice) -> Choice:
        for place, grid_id in enumerate(_stage_first(here, entry.db, choice.chosen)):
            grid = entry.row(models.Grid, grid_id)
            grid.status, grid.visit_order = "waiting", place
        row = entry.row(models.Session, night.me.id)
        row.pass_number = number
        row.grid_id = row.square_id = row.group_id = None
        return choice

    asked = Asked(
        question="grids",
        of_kind="session",
        of_id=night.me.id,
        label=f"pass {plan.name}",
        choice=plan.policy,
        offers=offered,
        barred=barred,
        want=plan.grids or 0,
    )
    decide(night, asked, record)
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
