import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models as m
from epicycle.db.connection import open_writer
from epicycle.files.mrc import write_mrc
from epicycle.web import pictures
from epicycle.web.night import GridNight, whole_night
from epicycle.web.overlays import Mark, Projection, atlas_overlay, group_overlay, square_overlay, uncrowded
from epicycle.web.pictures import Picture, picture_of, sides_for


def pixels_of(picture: Picture) -> NDArray[Any]:
    raw = base64.b64decode(picture.uri.partition(",")[2])
    found = cv2.imdecode(np.frombuffer(raw, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    assert found is not None
    return found


def inside(shape: tuple[int, ...], points: str) -> NDArray[Any]:
    corners = np.array([[float(v) for v in pair.split(",")] for pair in points.split()])
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(corners - 0.5).astype(np.int32)], 1)
    return mask.astype(bool)


@contextmanager
def _changing(database: Path) -> Iterator[OrmSession]:
    engine = open_writer(database)
    with OrmSession(engine) as db:
        yield db
        db.commit()
    engine.dispose()


@pytest.fixture
def night(paint: Callable[..., Path]) -> Path:
    return paint(
        {1: {"visited": 2, "classes": ("good",)}}, sides={"atlas": 500, "square": 300, "hole": 160, "shot": 48}
    )


@pytest.fixture
def grid_of(reader_of: Callable[[Path], Engine]) -> Callable[[Path], GridNight]:
    return lambda path: whole_night(reader_of(path)).grids[0]


@pytest.mark.parametrize("side", [500, 333, 200])
def test_outlines_lie_on_the_bright_squares(night: Path, grid_of: Callable[[Path], GridNight], side: int) -> None:
    grid = grid_of(night)
    assert grid.atlas is not None
    assert grid.atlas.image is not None
    picture = picture_of(night.parent / grid.atlas.image.path, side)
    shown = pixels_of(picture)
    overlay = atlas_overlay(grid, grid.atlas, picture)
    every = np.zeros(shown.shape, bool)
    for outline in overlay.outlines:
        mask = inside(shown.shape, outline.points)
        assert shown[mask].mean() > 150
        every |= mask
    assert shown[~cv2.dilate(every.astype(np.uint8), np.ones((5, 5))).astype(bool)].mean() < 60
    assert sorted(outline.visit for outline in overlay.outlines if outline.visit) == ["1", "2"]


def test_rings_lie_on_the_bright_holes(night: Path, grid_of: Callable[[Path], GridNight]) -> None:
    grid = grid_of(night)
    one = grid.visited[0]
    assert one.square.image is not None
    picture = picture_of(night.parent / one.square.image.path, 300)
    shown = pixels_of(picture).astype(float)
    overlay = square_overlay(grid, one, picture)
    ringed = [tuple(map(float, at)) for r in overlay.rings for at in re.findall(r"M([\d.]+) ([\d.]+)a([\d.]+)", r.path)]
    assert len(ringed) == len(one.holes)
    here = [shown[round(y - 0.5), round(x + r - 0.5)] for x, y, r in ringed]
    beside = [shown[round(y - 0.5 + 12), round(x + r - 0.5 + 12)] for x, y, r in ringed]
    assert np.mean(here) > np.mean(beside) + 60
    assert sorted(int(mark.label or 0) for mark in overlay.marks)[-1] <= len(one.shots)
    assert len(overlay.marks) == len(one.shots)


def test_scale_bar_is_as_long_as_it_says(night: Path, grid_of: Callable[[Path], GridNight]) -> None:
    grid = grid_of(night)
    assert grid.atlas is not None
    assert grid.atlas.image is not None
    picture = picture_of(night.parent / grid.atlas.image.path, 250)
    bar = atlas_overlay(grid, grid.atlas, picture).bar
    assert bar is not None
    um = float(bar.label.removesuffix(" µm"))
    stored_um_per_px = (grid.atlas.image.pixel_size_a or 0) * 1e-4
    assert bar.width == pytest.approx(um / stored_um_per_px * picture.scale)
    assert 0.05 * picture.width < bar.width < 0.3 * picture.width


def test_reloaded_grid_is_drawn_through_its_frame(night: Path, grid_of: Callable[[Path], GridNight]) -> None:
    turned = [[0.0, -1.0, 30.0], [1.0, 0.0, -12.0]]
    with _changing(night) as db:
        group = db.get_one(m.BisGroup, 1)
        image = db.get_one(m.ImageRow, group.image_id)
        db.get_one(m.Grid, 1).frame = turned
        step = db.get_one(m.Step, "grid 1 load")
        db.add(
            m.Step(
                key="grid 1 load 2",
                session_id=1,
                kind="load",
                grid_id=1,
                status="done",
                attempts=1,
                started_at=step.ended_at,
                ended_at=image.taken_at,
            )
        )
        image.taken_at = step.ended_at
        group.correction_x_um = 0.7
        old = db.get_one(m.Atlas, 1)
        db.get_one(m.ImageRow, old.image_id).taken_at = step.started_at
    grid = grid_of(night)
    one = next(one for one in grid.squares if one.groups and one.groups[0].id == 1)
    group = one.groups[0]
    assert group.image is not None
    picture = Picture("data:", group.image.cols_px, group.image.rows_px)
    assert Projection(group.image, picture, grid.frame_of(group.image)).xy([[0.0, 0.0]]) == pytest.approx(
        Projection(group.image, picture, None).xy([[30.0, -12.0]])
    )
    assert grid.atlas is not None
    assert grid.atlas.image is not None
    assert grid.frame_of(grid.atlas.image) is None
    hole = next(hole for hole in one.holes if hole.group_id == 1)
    x, y = hole.stage_x_um, hole.stage_y_um
    there = Projection(group.image, picture, None).xy([[-y + 30.0 + 0.7, x - 12.0]])[0]
    near = Projection(group.image, picture, grid.frame_of(group.image)).xy([[x, y]], (0.7, 0.0))[0]
    assert near == pytest.approx(there)


def test_image_that_knows_no_place_is_shown_bare(night: Path, grid_of: Callable[[Path], GridNight]) -> None:
    with _changing(night) as db:
        for image in db.query(m.ImageRow):
            image.image_to_stage = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]] if image.of_kind == "square" else None
    grid = grid_of(night)
    assert grid.atlas is not None
    picture = Picture("data:", 100, 100)
    assert atlas_overlay(grid, grid.atlas, picture).outlines == ()
    one = grid.visited[0]
    assert square_overlay(grid, one, picture).rings == ()
    assert group_overlay(grid, one, one.groups[0], picture).marks == ()


def test_labels_do_not_cover_each_other() -> None:
    marks = [Mark(10.0 + 3 * n, 20.0, str(n), "usable", "") for n in range(1, 12)]
    kept = uncrowded(marks, 1.0)
    assert len(kept) == 11
    labelled = [mark for mark in kept if mark.label]
    assert 1 < len(labelled) < 6
    gaps = np.diff(sorted(mark.x for mark in labelled))
    assert gaps.min() > 8


def test_contrast_is_robust_and_size_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(100, 5, (400, 600)).astype(np.float32)
    image[5:8, 5:8] = 1e6
    write_mrc(tmp_path / "a.mrc", image, 1.0)
    picture = picture_of(tmp_path / "a.mrc", 300)
    shown = pixels_of(picture)
    assert (picture.width, picture.height, picture.scale) == (300, 200, 0.5)
    assert shown.std() > 30
    assert picture_of(tmp_path / "a.mrc", 5000).width == 600


@pytest.mark.parametrize(("shots", "limit_mb"), [(0, 15), (200, 15), (3000, 60)])
def test_page_keeps_its_budget_of_bytes(shots: int, limit_mb: float) -> None:
    squares, groups = shots // 5 + 36, shots // 2
    sides = sides_for(12, squares, groups, shots)
    rng = np.random.default_rng(1)
    noise = np.clip(cv2.GaussianBlur(rng.normal(128, 60, (600, 600)), (0, 0), 0.6), 0, 255).astype(np.uint8)
    per_px = len(cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, pictures.JPEG_QUALITY])[1]) / noise.size
    counts = {sides.atlas: 12, sides.square: squares, sides.hole: groups, sides.shot: 2 * shots}
    pixels = 12 * sides.atlas**2 + squares * sides.square**2 + groups * sides.hole**2 + 2 * shots * sides.shot**2
    assert pixels * per_px * 4 / 3 < limit_mb * 1e6, counts
    assert sides.shot >= 100
