"""The whole grid at low dose: tiles, mosaic, where a reloaded grid lies, squares. All done again after a crash."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import select

from ..db import models
from ..db.journal import Entry
from ..detectors.records import FoundSquare, SquareDetections
from ..hardware.errors import GridFault, TargetFault
from ..hardware.records import Acquired, StagePosition
from ..imaging.records import Reregistration
from ..targeting.frames import apply, carry
from . import guarding, remaining, worker
from .flow import Phase
from .night import Night
from .shooting import UNIT_UM, keep, keep_mosaic, look_again, survey

Move = tuple[Phase, str]


def take_atlas(night: Night) -> Move:
    """Take the tiles that are missing, join them."""
    grid = night.grid()
    guarding.check(night)
    atlas = _atlas_row(night, grid)
    for tile in _tiles(night, atlas):
        _take_tile(night, grid, tile)
    if atlas.status != "done":
        _join(night, grid, atlas)
    after = Phase.REGISTER if grid.loads > 1 else Phase.FIND_SQUARES
    return after, f"slot {grid.slot} ({grid.name})"


def _atlas_row(night: Night, grid: models.Grid) -> models.Atlas:
    with night.journal.read() as db:
        atlas = remaining.present_atlas(db, grid)
    if atlas is not None:
        return atlas
    with night.journal.write(grid_id=grid.id) as entry:
        atlas = models.Atlas(grid_id=grid.id, load_number=grid.loads)
        entry.db.add(atlas)
        entry.db.flush()
        for number, (row, col, x_um, y_um) in enumerate(_tile_places(night), start=1):
            entry.db.add(
                models.Tile(atlas_id=atlas.id, number=number, row=row, col=col, stage_x_um=x_um, stage_y_um=y_um)
            )
        entry.say("atlas_planned", f"atlas of slot {grid.slot} planned", atlas_id=atlas.id)
    return atlas


def _tile_places(night: Night) -> list[tuple[int, int, float, float]]:
    """Plan the tiles, centred on the stage's origin, to and fro so that no move is long.

    The camera may stand at a right angle to the stage, so the shorter side of its image sets the distance both ways.
    """
    plan, preset = night.plan.atlas, night.preset("atlas")
    step_um = (1 - plan.overlap_fraction) * preset.pixel_size_a * 1e-4 * min(preset.rows_px, preset.cols_px)
    places = []
    for row in range(plan.tiles_y):
        cols = range(plan.tiles_x) if row % 2 == 0 else range(plan.tiles_x - 1, -1, -1)
        for col in cols:
            x_um = (col - (plan.tiles_x - 1) / 2) * step_um
            y_um = (row - (plan.tiles_y - 1) / 2) * step_um
            places.append((row, col, x_um, y_um))
    return places


def _tiles(night: Night, atlas: models.Atlas) -> Sequence[models.Tile]:
    with night.journal.read() as db:
        return db.scalars(
            select(models.Tile)
            .where(models.Tile.atlas_id == atlas.id, models.Tile.status == "planned")
            .order_by(models.Tile.number)
        ).all()


def _take_tile(night: Night, grid: models.Grid, tile: models.Tile) -> None:
    """Take one tile; one that the stage cannot reach is left out."""
    name = f"g{grid.slot:02}-atlas{grid.loads}-t{tile.number:02}"
    place = StagePosition(tile.stage_x_um, tile.stage_y_um, night.plan.atlas.starting_height_um)

    def act(_: Mapping[str, Any]) -> Acquired | None:
        try:
            return survey(night, "atlas", name, place)
        except TargetFault as error:
            guarding.note_fault(night, error, "leave-tile-out", name)
            return None

    def record(entry: Entry, acquired: Acquired | None) -> None:
        row = entry.row(models.Tile, tile.id)
        row.status = "failed" if acquired is None else "done"
        if acquired is not None:
            row.image_id = keep(night, entry, acquired, "tile", tile.id)
        entry.say("tile_taken", f"tile {tile.number} of slot {grid.slot}", tile_id=tile.id)

    night.journal.step(f"grid {grid.slot} load {grid.loads} tile {tile.number}", "atlas", act, record, grid_id=grid.id)


def _join(night: Night, grid: models.Grid, atlas: models.Atlas) -> None:
    """Stitch the tiles by what their overlaps show, the stage as prior."""
    name = f"g{grid.slot:02}-atlas{grid.loads}"
    with night.journal.read() as db:
        tiles = db.scalars(
            select(models.Tile)
            .where(models.Tile.atlas_id == atlas.id, models.Tile.status == "done")
            .order_by(models.Tile.number)
        ).all()
    if not tiles:
        raise GridFault(f"no tile of the atlas of slot {grid.slot} could be taken; the grid is left")
    looks = [look_again(night, tile.image_id) for tile in tiles if tile.image_id is not None]

    def act(_: Mapping[str, Any]) -> worker.Mosaic | None:
        if not looks:
            return None
        out = night.folder / "images" / f"{name}.mrc"
        return night.analyst.now(worker.stitch_tiles, looks, out, latency_s=night.plan.analysis.find_squares_s / 2)

    def record(entry: Entry, mosaic: worker.Mosaic | None) -> None:
        row = entry.row(models.Atlas, atlas.id)
        row.status = "done"
        if mosaic is not None:
            _record_mosaic(night, entry, row, tiles, mosaic, name)
        entry.say("atlas_joined", f"atlas of slot {grid.slot} joined from {len(tiles)} tiles", atlas_id=atlas.id)

    night.journal.step(f"grid {grid.slot} load {grid.loads} stitch", "find squares", act, record, grid_id=grid.id)


def _record_mosaic(
    night: Night, entry: Entry, row: models.Atlas, tiles: Sequence[models.Tile], mosaic: worker.Mosaic, name: str
) -> None:
    for tile, (offset_row, offset_col) in zip(tiles, mosaic.offsets_px, strict=True):
        kept = entry.row(models.Tile, tile.id)
        kept.offset_row_px, kept.offset_col_px = float(offset_row), float(offset_col)
    row.image_id = keep_mosaic(night, entry, mosaic, "atlas", row.id, name)


def register(night: Night) -> Move:
    """Find where a grid lies that was loaded again, by its two atlases."""
    grid = night.grid()
    with night.journal.read() as db:
        atlases = db.scalars(
            select(models.Atlas).where(models.Atlas.grid_id == grid.id).order_by(models.Atlas.id)
        ).all()
    first, now = atlases[0].image_id, atlases[-1].image_id
    if first is None or now is None:
        return Phase.CHOOSE_SQUARES, f"slot {grid.slot} ({grid.name})"
    looks = look_again(night, first), look_again(night, now)

    def act(_: Mapping[str, Any]) -> Reregistration:
        return night.analyst.now(worker.find_frame, *looks, latency_s=night.plan.analysis.find_squares_s)

    def record(entry: Entry, found: Reregistration) -> None:
        row = entry.row(models.Grid, grid.id)
        if found.frame is None:
            entry.say("not_registered", f"slot {grid.slot} could not be found again: {found.reason}")
            return
        row.frame = [list(line) for line in found.frame]
        text = f"slot {grid.slot} lies {found.rotation_deg:+.1f}° from before, sure to {found.confidence:.0%}"
        entry.say("registered", text, rotation_deg=found.rotation_deg, confidence=found.confidence)

    night.journal.step(f"grid {grid.slot} load {grid.loads} register", "find squares", act, record, grid_id=grid.id)
    with night.journal.read() as db:
        text = db.scalar(
            select(models.Event.text)
            .where(
                models.Event.kind == "not_registered",
                models.Event.step_key == f"grid {grid.slot} load {grid.loads} register",
            )
            .limit(1)
        )
    if text is not None:
        raise GridFault(text)
    return Phase.CHOOSE_SQUARES, f"slot {grid.slot} ({grid.name})"


def find_squares(night: Night) -> Move:
    """Find and classify the squares on the atlas."""
    grid = night.grid()
    with night.journal.read() as db:
        atlas = remaining.present_atlas(db, grid)
    image_id = None if atlas is None else atlas.image_id
    look = (
        worker.Look(None, None, None, f"g{grid.slot:02}-atlas{grid.loads}")
        if image_id is None
        else look_again(night, image_id)
    )
    choice, latency_s = night.plan.squares.finder, night.plan.analysis.find_squares_s

    def act(_: Mapping[str, Any]) -> SquareDetections:
        return night.analyst.now(worker.find_squares, choice.use, choice.options(), look, latency_s=latency_s)

    def record(entry: Entry, found: SquareDetections) -> None:
        row = entry.row(models.Grid, grid.id)
        row.angle_deg = found.grid_angle_deg
        row.reason = "" if found.squares else f"no square found: {found.reason or 'the finder gave no reason'}"
        entry.add_many(
            models.Square,
            [_square_row(grid, number, square, look) for number, square in enumerate(found.squares, start=1)],
        )
        entry.say("squares_found", f"{len(found.squares)} squares on slot {grid.slot}", count=len(found.squares))

    night.journal.step(f"grid {grid.slot} find squares", "find squares", act, record, grid_id=grid.id)
    with night.journal.read() as db:
        any_found = remaining.any_square(db, grid.id)
    if night.plan.depth == "atlas" or not any_found:
        return Phase.LEAVE_GRID, "atlas done" if any_found else "no square found"
    return Phase.CHOOSE_SQUARES, f"slot {grid.slot} ({grid.name})"


def _square_row(grid: models.Grid, number: int, square: FoundSquare, look: worker.Look) -> dict[str, Any]:
    affine = look.image_to_stage or UNIT_UM
    x_um, y_um = carry(affine, square.row_px, square.col_px)
    um_per_px = 1.0 if look.pixel_size_a is None else look.pixel_size_a * 1e-4
    corners = apply(affine, np.asarray(square.corners_px, dtype=float))
    return {
        "grid_id": grid.id,
        "number": number,
        "stage_x_um": x_um,
        "stage_y_um": y_um,
        "corners_um": [[float(x), float(y)] for x, y in corners],
        "area_um2": square.area_px * um_per_px**2,
        "mean": square.mean,
        "score": square.score,
        "category": square.category.value,
        "partial": square.partial,
        "features": {name: float(value) for name, value in square.features.items()},
    }
