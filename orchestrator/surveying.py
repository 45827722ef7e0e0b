"""One square at low dose: height, image, re-centring, holes. All done again after a crash."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import select

from ..db import models
from ..db.journal import Entry
from ..detectors.records import FoundHole, HoleDetections, Lattice
from ..hardware.errors import FocusFailed
from ..hardware.records import Acquired, StagePosition
from ..imaging.ice import ice_nm
from ..protocols.grid_types import HOLE_TYPES
from ..targeting.frames import carry, compose, invert
from . import guarding, remaining, worker
from .flow import Phase
from .night import Night
from .shooting import UNIT_UM, frame_of, keep, keep_mosaic, look_again, look_at, survey, to_stage

Move = tuple[Phase, str]
RECENTRE_WITHIN = 0.08
"""A square whose middle is off by more than this share of the view is gone to again."""
RECENTRES = 2
TILE_STEP = 0.85
"""Distance of a square's tiles, as a share of the view; the rest is for the stage's error and the stitching."""

GLANCE_S = 0.1
"""How long finding the middle of a square takes, on a virtual clock; about what one core takes."""

_LATTICE_FINDERS = ("lattice-holes", "network-holes")
"""Built-in finders that are helped by what the cassette says of the film."""


def survey_square(night: Night) -> Move:
    """Go to the square, bring it to height, image it, and go again if it is not in the middle."""
    grid, square = night.grid(), night.square()
    if square.status not in ("chosen", "surveyed"):
        return Phase.NEXT_SQUARE, "the next square"
    guarding.check(night)
    key = f"grid {grid.slot} square {square.number}"
    if night.journal.step_status(f"{key} height") != "done":
        guarding.keep_up(night)
    night.journal.step(
        f"{key} height",
        "height",
        lambda _: _height(night, grid, square),
        lambda entry, height_um: _record_height(entry, square, height_um),
        grid_id=grid.id,
    )
    square = night.square()
    night.journal.step(
        f"{key} image",
        "square",
        lambda _: _image_square(night, grid, square),
        lambda entry, views: _record_views(night, entry, grid, square, views),
        grid_id=grid.id,
    )
    return Phase.FIND_HOLES, f"square {square.number}"


def _record_height(entry: Entry, square: models.Square, height_um: float) -> None:
    entry.row(models.Square, square.id).stage_z_um = height_um
    entry.say("height_found", f"square {square.number} stands at z = {height_um:.1f} µm", square_id=square.id)


def _height(night: Night, grid: models.Grid, square: models.Square) -> float:
    """Find the eucentric height; an answer too far from the last one is asked for again, then refused."""
    plan = night.plan.height
    x_um, y_um = to_stage(grid, square.stage_x_um, square.stage_y_um)
    before_um = _last_height(night, grid)
    night.column.use(night.preset("square"))
    night.column.go_to(StagePosition(x_um, y_um, before_um))
    for _ in range(plan.attempts):
        height_um = night.column.eucentric_height(plan.method)
        if abs(height_um - before_um) <= plan.max_change_um:
            return height_um
        night.column.go_to(StagePosition(x_um, y_um, before_um))
    raise FocusFailed(
        f"square {square.number}: the height came out {height_um - before_um:+.0f} µm from the last one, "
        f"{plan.attempts} times; the square is left"
    )


def _last_height(night: Night, grid: models.Grid) -> float:
    """Give the height of the last square of this grid, or where the atlas was taken."""
    with night.journal.read() as db:
        heights = remaining.heights_of(db, grid.id)
    return float(np.median(heights)) if heights else night.plan.atlas.starting_height_um


@dataclass(frozen=True, slots=True)
class SquareViews:
    """Images of one square, the last one centred; and how far the square was from where the atlas put it."""

    views: tuple[Acquired, ...]
    tiles: tuple[Acquired, ...]
    correction_um: tuple[float, float]
    sure: float


def _image_square(night: Night, grid: models.Grid, square: models.Square) -> SquareViews:
    x_um, y_um = to_stage(grid, square.stage_x_um, square.stage_y_um)
    z_um = square.stage_z_um or 0.0
    name = f"g{grid.slot:02}-s{square.number:03}"
    views: list[Acquired] = []
    off_x = off_y = sure = 0.0
    for attempt in range(RECENTRES + 1):
        view = survey(night, "square", f"{name}-v{attempt}", StagePosition(x_um + off_x, y_um + off_y, z_um))
        views.append(view)
        middle = night.analyst.now(worker.find_opening, look_at(view), latency_s=GLANCE_S) if view.path else None
        if middle is None:
            break
        sure = middle[2]
        seen_x, seen_y = carry(view.image_to_stage, middle[0], middle[1])
        step_x, step_y = seen_x - view.stage.x_um, seen_y - view.stage.y_um
        preset = night.preset("square")
        view_um = min(preset.rows_px, preset.cols_px) * preset.pixel_size_a * 1e-4
        if math.hypot(step_x, step_y) < RECENTRE_WITHIN * view_um or sure < 0.3 or attempt == RECENTRES:
            break
        off_x, off_y = off_x + step_x, off_y + step_y
    tiles = _square_tiles(night, name, StagePosition(x_um + off_x, y_um + off_y, z_um), views[-1])
    return SquareViews(tuple(views), tiles, (off_x, off_y), sure)


def _square_tiles(night: Night, name: str, middle: StagePosition, view: Acquired) -> tuple[Acquired, ...]:
    """Take the tiles of a square that one view does not hold, side by side as the camera sees; none for one view."""
    plan, preset = night.plan.squares, night.preset("square")
    if plan.tiles_x * plan.tiles_y == 1:
        return ()
    (a, b, _), (c, d, _) = view.image_to_stage
    tiles = []
    for row in range(plan.tiles_y):
        for col in range(plan.tiles_x):
            down = (row - (plan.tiles_y - 1) / 2) * TILE_STEP * preset.rows_px
            right = (col - (plan.tiles_x - 1) / 2) * TILE_STEP * preset.cols_px
            x_um, y_um = middle.x_um + a * down + b * right, middle.y_um + c * down + d * right
            tiles.append(survey(night, "square", f"{name}-t{row}{col}", StagePosition(x_um, y_um, middle.z_um)))
    return tuple(tiles)


def _record_views(night: Night, entry: Entry, grid: models.Grid, square: models.Square, seen: SquareViews) -> None:
    row = entry.row(models.Square, square.id)
    ids = [keep(night, entry, view, "square", square.id) for view in (*seen.views, *seen.tiles)]
    row.image_id = ids[len(seen.views) - 1]
    row.correction_x_um, row.correction_y_um = seen.correction_um
    row.status = "surveyed"
    distance_um = math.hypot(*seen.correction_um)
    text = f"square {square.number} imaged; it stood {distance_um:.1f} µm from where the atlas put it"
    entry.say("square_imaged", text, square_id=square.id, images=ids, tiles=ids[len(seen.views) :])


def find_holes(night: Night) -> Move:
    """Find the holes on the square's image."""
    grid, square = night.grid(), night.square()
    if square.status != "surveyed":
        return Phase.NEXT_SQUARE, "the next square"
    choice, latency_s = night.plan.holes.finder, night.plan.analysis.find_holes_s
    name = f"g{grid.slot:02}-s{square.number:03}"
    look = worker.Look(None, None, None, name) if square.image_id is None else _square_look(night, grid, square)
    look = replace(look, nominal_counts=_vacuum_counts(night))

    def act(_: Mapping[str, Any]) -> HoleDetections:
        options = {**night_options(choice.use, grid), **choice.options()}
        return night.analyst.now(worker.find_holes, choice.use, options, look, latency_s=latency_s)

    def record(entry: Entry, found: HoleDetections) -> None:
        row = entry.row(models.Square, square.id)
        _record_holes(night, entry, grid, row, found, look)

    night.journal.step(
        f"grid {grid.slot} square {square.number} find holes", "find holes", act, record, grid_id=grid.id
    )
    if night.square().status != "surveyed":
        return Phase.NEXT_SQUARE, "no holes on this square"
    return Phase.CHOOSE_HOLES, f"square {square.number}"


def _square_look(night: Night, grid: models.Grid, square: models.Square) -> worker.Look:
    """Give the square's image, joined from its tiles where it has several."""
    with night.journal.read() as db:
        body = db.scalar(
            select(models.Event.body)
            .where(
                models.Event.kind == "square_imaged",
                models.Event.step_key == f"grid {grid.slot} square {square.number} image",
            )
            .order_by(models.Event.id.desc())
            .limit(1)
        )
    tiles = [] if body is None else [look_again(night, n) for n in body["tiles"] if n is not None]
    if not tiles or square.image_id is None:
        return look_again(night, square.image_id or 0)
    return _joined_square(night, grid, square, tiles)


def _joined_square(night: Night, grid: models.Grid, square: models.Square, tiles: Sequence[worker.Look]) -> worker.Look:
    name = f"g{grid.slot:02}-s{square.number:03}-joined"
    out = night.folder / "images" / f"{name}.mrc"

    def record(entry: Entry, mosaic: worker.Mosaic) -> None:
        image_id = keep_mosaic(night, entry, mosaic, "square", square.id, name)
        entry.row(models.Square, square.id).image_id = image_id
        entry.say("square_joined", f"square {square.number} joined from {len(tiles)} tiles", square_id=square.id)

    night.journal.step(
        f"grid {grid.slot} square {square.number} stitch",
        "find holes",
        lambda _: night.analyst.now(worker.stitch_tiles, tiles, out, latency_s=night.plan.analysis.find_holes_s / 2),
        record,
        grid_id=grid.id,
    )
    return look_again(night, night.square().image_id or 0)


def _record_holes(
    night: Night, entry: Entry, grid: models.Grid, row: models.Square, found: HoleDetections, look: worker.Look
) -> None:
    if not found.holes:
        row.status, row.reason = "done", f"no holes found: {found.reason or 'the finder gave no reason'}"
        entry.say("no_holes_found", f"square {row.number}: {row.reason}", square_id=row.id)
        return
    row.vacuum_counts = _vacuum_counts(night)
    row.lattice = None if found.lattice is None else _lattice_um(found.lattice, look)
    to_record = compose(invert(frame_of(grid)), look.image_to_stage or UNIT_UM)
    entry.add_many(
        models.Hole,
        [
            _hole_row(night, row, number, hole, look, carry(to_record, hole.row_px, hole.col_px))
            for number, hole in enumerate(found.holes, start=1)
        ],
    )
    text = f"{len(found.holes)} holes on square {row.number}" + (f" ({found.note})" if found.note else "")
    entry.say("holes_found", text, square_id=row.id, count=len(found.holes), note=found.note)


def _vacuum_counts(night: Night) -> float:
    """Give the counts per pixel that the square preset's dose makes with nothing in the beam."""
    preset = night.preset("square")
    return preset.dose_e_per_a2 * preset.pixel_size_a**2


def _lattice_um(lattice: Lattice, look: worker.Look) -> dict[str, Any]:
    """Give the lattice's basis in the stage's frame."""
    (a, b, _), (c, d, _) = look.image_to_stage or UNIT_UM
    linear = np.array([[a, b], [c, d]])
    a_um, b_um = linear @ np.asarray(lattice.a_px), linear @ np.asarray(lattice.b_px)
    return {
        "kind": lattice.kind.value,
        "a_um": [float(v) for v in a_um],
        "b_um": [float(v) for v in b_um],
        "origin_px": list(lattice.origin_px),
        "confidence": lattice.confidence,
    }


def _hole_row(
    night: Night,
    square: models.Square,
    number: int,
    hole: FoundHole,
    look: worker.Look,
    place_um: tuple[float, float],
) -> dict[str, Any]:
    um_per_px = 1.0 if look.pixel_size_a is None else look.pixel_size_a * 1e-4
    ice: float | None = None
    if hole.mean > 0 and square.vacuum_counts and look.path is not None:
        ice = ice_nm(hole.mean, square.vacuum_counts, night.plan.analysis.mean_free_path_nm)
    return {
        "square_id": square.id,
        "number": number,
        "stage_x_um": place_um[0],
        "stage_y_um": place_um[1],
        "radius_um": hole.radius_px * um_per_px,
        "score": hole.score,
        "site": hole.status.value,
        "features": {"mean": float(hole.mean), **{name: float(value) for name, value in hole.features.items()}},
        "ice_nm": ice,
    }


def night_options(finder: str, grid: models.Grid) -> dict[str, Any]:
    """Give built-in finders what the cassette says of the film, hole diameter and pitch; `lattice-holes` looks once.

    What a second look adds lies under ice too thick to be exposed or beside the square aimed at; and holes without a
    lattice can be neither numbered nor grouped.
    """
    if finder not in _LATTICE_FINDERS:
        return {}
    options: dict[str, Any] = {"second_look": False} if finder == "lattice-holes" else {}
    film = HOLE_TYPES.get(grid.hole_type)
    if film is None or not film.hole_um or not film.pitch_um:
        return options
    return {**options, "hole_diameter_um": film.hole_um, "hole_pitch_um": film.pitch_um}
