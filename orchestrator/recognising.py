"""Which holes a hole-level image shows: told by its square's picture, by earlier groups, by the lattice.

A lattice looks the same a step further on, and a stage errs by as much as a short step: whoever counts holes by the
lattice alone may take one for its neighbour, and expose it again as itself later. So the view is first found in the
square's picture, where ice, dirt and the film's edges make each place its own; and where that and the groups seen
before contradict each other, nothing is said to be recognised.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import bindparam, select

from ..db import models
from ..hardware.records import Acquired
from ..imaging import across_levels
from ..targeting.frames import apply, compose, invert, shift
from ..targeting.recentre import StageErrors, correction, expected_offset
from . import remaining, worker
from .night import Night
from .shooting import frame_of, look_again, look_at
from .surveying import night_options

GLANCE_S = 0.3
"""How long a look at one hole-level image takes, on a virtual clock; about what one core takes."""

SURE_OF_PICTURE, LEAD = 0.6, 0.02
"""Correlation, and its lead over the next best place, from which a view found in its square's image is believed; seen
on simulated films with pitches of 1.6 to 4 µm, places mistaken by a step led by less than half of it."""

LIKE_THE_PICTURE = 0.4
"""Correlation that is enough for the place that was expected anyway."""

STRAY_UM, STRAY_AFTER_RELOAD_UM = 3.5, 8.0
"""How far off a view is looked for: what stages err by after long moves, and atlases of a reloaded grid besides."""

WITHOUT_LATTICE_UM = 2.0

HALF_STEP, AGREEING = 0.48, 0.25
"""Shares of the step of the lattice: farther off it is another hole; and how far holes may stand from where the picture
has them. Beyond that the square's lattice lies between its holes, as a finder puts it now and then."""

FEW = 3
"""Holes in view too few for their disagreement to say anything."""

Offset = tuple[float, float]

_LAST_ATLAS = (
    select(models.Atlas.image_id)
    .where(models.Atlas.grid_id == bindparam("grid_id"), models.Atlas.image_id.is_not(None))
    .order_by(models.Atlas.id.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Believed:
    """Where a group is expected, before it is seen.

    Attributes
    ----------
    off_um
        By how much it will seem off.
    groups
        How many groups of its square, seen since the grid was loaded, tell so.
    reloaded
        The square's picture was taken before the grid was loaded this time.
    """

    off_um: Offset
    groups: int
    reloaded: bool


@dataclass(frozen=True, slots=True)
class Recognised:
    """By how much a group stands beside where the record has it, µm; by how many holes, 0 if it cannot be told."""

    off_um: Offset
    matched: int


NOTHING = Recognised((0.0, 0.0), 0)


def believed(night: Night, grid: models.Grid, square: models.Square, group: models.BisGroup) -> Believed:
    """Say where a group is expected, from what its square has shown since the grid was loaded."""
    loaded = _last_atlas(night, grid)
    with night.journal.read() as db:
        before = db.scalars(
            select(models.BisGroup)
            .where(
                models.BisGroup.square_id == square.id,
                models.BisGroup.status.in_(("centred", "done")),
                models.BisGroup.image_id > loaded,
            )
            .order_by(models.BisGroup.visit_order)
        ).all()
    earlier = [((g.stage_x_um, g.stage_y_um), (g.correction_x_um, g.correction_y_um)) for g in before]
    place = expected_offset(earlier, (group.stage_x_um, group.stage_y_um), StageErrors())
    return Believed((place.x_um, place.y_um), len(before), imaged_before_reload(night, grid, square))


def imaged_before_reload(night: Night, grid: models.Grid, square: models.Square) -> bool:
    """Whether the square has a picture, and it was taken before the grid was loaded this time."""
    if square.image_id is None or square.image_id >= _last_atlas(night, grid):
        return False
    return look_again(night, square.image_id).path is not None


def recognised(
    night: Night, grid: models.Grid, square: models.Square, view: Acquired, expected: Believed
) -> Recognised:
    """Measure by how much what is in view stands beside where the record expects it; without pixels nothing is told."""
    if view.path is None:
        return NOTHING
    told = _in_square(night, grid, square, view, expected)
    if square.lattice is None:
        enough = _is_sure(told) if expected.reloaded else told is not None and told.confidence >= LIKE_THE_PICTURE
        return Recognised((told.x_um, told.y_um), 1) if told is not None and enough else NOTHING
    step_um = _step_um(square)
    return judged(
        told, expected, lambda near_um: _by_holes(night, grid, square, view, near_um, HALF_STEP * step_um), step_um
    )


def judged(
    told: across_levels.Offset | None,
    expected: Believed,
    by_holes: Callable[[Offset], Recognised | None],
    step_um: float,
) -> Recognised:
    """Weigh what the square's picture, earlier groups and the holes in view say of a view's offset.

    Parameters
    ----------
    told
        What the square's picture says; None if it says nothing.
    by_holes
        Matches the holes in view near an offset: None where too few could tell, no match where they contradict it.
    step_um
        Step of the lattice.

    Returns
    -------
    Recognised
        With no match where the witnesses contradict each other, and after a reload where neither the picture nor a
        group that it told of says which holes these are.
    """
    sure = (told.x_um, told.y_um) if told is not None and _is_sure(told) else None
    if sure is None and expected.reloaded and not expected.groups:
        return NOTHING
    near_um = expected.off_um if expected.groups or sure is None else sure
    found = by_holes(near_um)
    if found is None:
        alike = told is not None and told.confidence >= LIKE_THE_PICTURE
        found = Recognised((told.x_um, told.y_um), 1) if told is not None and alike else NOTHING
        return found if math.dist(found.off_um, near_um) <= HALF_STEP * step_um else NOTHING
    return found if sure is None or math.dist(found.off_um, sure) <= AGREEING * step_um else NOTHING


def _is_sure(told: across_levels.Offset | None) -> bool:
    return told is not None and told.confidence >= SURE_OF_PICTURE and told.lead >= LEAD


def _last_atlas(night: Night, grid: models.Grid) -> int:
    """Give the image of the grid's latest atlas: what was taken after it was taken in this load."""
    with night.journal.read() as db:
        return db.scalars(_LAST_ATLAS, {"grid_id": grid.id}).first() or 0


def _in_square(
    night: Night, grid: models.Grid, square: models.Square, view: Acquired, expected: Believed
) -> across_levels.Offset | None:
    """Find the view in the square's own image."""
    if square.image_id is None:
        return None
    there = look_again(night, square.image_id)
    if there.path is None or there.image_to_stage is None:
        return None
    limit_um = WITHOUT_LATTICE_UM if square.lattice is None else STRAY_UM
    if expected.reloaded:
        # The record keeps the frame from the first load to this one; from any other load to this one it does not.
        if not _at_first_load(night, grid, square.image_id):
            return None
        there = replace(there, image_to_stage=compose(frame_of(grid), there.image_to_stage))
        limit_um = max(limit_um, STRAY_AFTER_RELOAD_UM)
    return night.analyst.now(worker.find_in_square, there, look_at(view), limit_um, latency_s=GLANCE_S)


def _at_first_load(night: Night, grid: models.Grid, image_id: int) -> bool:
    with night.journal.read() as db:
        atlases = select(models.Atlas.image_id).where(
            models.Atlas.grid_id == grid.id, models.Atlas.image_id.is_not(None), models.Atlas.image_id < image_id
        )
        return len(db.scalars(atlases).all()) == 1


def _by_holes(
    night: Night, grid: models.Grid, square: models.Square, view: Acquired, near_um: Offset, limit_um: float
) -> Recognised | None:
    """Match the holes in view with the record's near where they are expected; None where too few could tell."""
    with night.journal.read() as db:
        known = remaining.whole_holes(db, square.id)[:, :2]
    choice = night.plan.holes.finder
    options = {**night_options(choice.use, grid), **choice.options()}
    found = night.analyst.now(worker.find_holes, choice.use, options, look_at(view), latency_s=GLANCE_S)
    seen = [(h.row_px, h.col_px) for h in found.holes if h.status.value == "hole"]
    preset = night.preset("hole")
    to_view = compose(invert(view.image_to_stage), compose(shift(*near_um), frame_of(grid)))
    expected = apply(to_view, known) if len(known) else known
    inside = expected[((expected >= 0) & (expected < [preset.rows_px, preset.cols_px])).all(axis=1)]
    if not seen or not len(inside):
        return None
    drow, dcol, matched = correction(inside, np.array(seen), limit_um / (view.pixel_size_a * 1e-4))
    if not matched:
        return None if min(len(seen), len(inside)) < FEW else NOTHING
    (a, b, _), (c, d, _) = view.image_to_stage
    return Recognised((near_um[0] + a * drow + b * dcol, near_um[1] + c * drow + d * dcol), matched)


def _step_um(square: models.Square) -> float:
    """Give the shorter side of the hole lattice's cell."""
    assert square.lattice is not None
    return min(math.hypot(*square.lattice["a_um"]), math.hypot(*square.lattice["b_um"]))
