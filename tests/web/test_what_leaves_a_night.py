"""Exports are read back by packages of the field; labels and notes find the row a person means."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile
from jsonschema import Draft202012Validator
from pycocotools.coco import COCO
from sqlalchemy import Engine
from sqlalchemy.orm import Session as OrmSession

from epicycle.cli import leaving
from epicycle.db import models as m
from epicycle.db.connection import open_writer
from epicycle.db.export.coco import write_coco
from epicycle.db.export.rows import TABLES
from epicycle.db.export.screening import screening_schema, write_screening_record
from epicycle.db.export.star import ALIKE_UM, optics_groups, write_star
from epicycle.db.export.tables import columns_page, write_csv, write_parquet
from epicycle.db.remarking import label, note
from epicycle.files.mrc import read_image
from epicycle.protocols.errors import BadInput

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
NOW = datetime(2026, 1, 6, 8, tzinfo=UTC)

Reads = Callable[[Path], Engine]


@pytest.fixture(scope="module")
def night(paint) -> Path:
    """Two grids; the shots of the first have movies, at two beam shifts far from each other."""
    path = paint({1: {}, 4: {"name": 'a "b", <c>', "usable": 0.4}})
    with sqlite3.connect(path) as db:
        shots = [row[0] for row in db.execute("SELECT id FROM exposure ORDER BY number")]
        for place, shot in enumerate(shots):
            db.execute(
                "UPDATE exposure SET shift_x_um = ? WHERE id = ?", (3.0 * (place % 2) + 0.01 * place % 0.1, shot)
            )
            db.execute(
                "INSERT INTO image (session_id, of_kind, of_id, kind, name, path, sha256, size_bytes, rows_px, cols_px,"
                " frames, pixel_size_a, preset, scope, taken_at)"
                " VALUES (1, 'exposure', ?, 'movie', ?, ?, '', 1, 64, 64, 8, 1.1, 'exposure', '{}', '2026-01-05')",
                (shot, f"movie {shot}", f"images/movie {shot}.mrc"),
            )
    return path


def test_csv_holds_every_row_and_every_column_is_explained(night: Path, reader_of: Reads, tmp_path: Path) -> None:
    write_csv(reader_of(night), tmp_path)
    columns = pd.read_csv(tmp_path / "columns.csv")
    with sqlite3.connect(night) as db:
        for table in ("squares", "holes", "exposures", "measures"):
            read = pd.read_csv(tmp_path / f"{table}.csv")
            (count,) = db.execute(f"SELECT count(*) FROM {table[:-1]}").fetchone()
            assert len(read) == count > 0
            explained = columns[columns.table == table].set_index("column").meaning
            assert list(read.columns) == list(explained.index)
            assert explained.notna().all()
        fits = pd.read_csv(tmp_path / "exposures.csv").set_index("exposure_id").fit_resolution_a
        for shot, value in db.execute("SELECT of_id, value FROM measure WHERE name = 'fit_resolution_a'"):
            assert fits[shot] == pytest.approx(value)
    assert pd.read_csv(tmp_path / "grids.csv").name.tolist() == ["grid", 'a "b", <c>']


def test_parquet_is_the_same_with_types(night: Path, reader_of: Reads, tmp_path: Path) -> None:
    write_csv(reader_of(night), tmp_path)
    write_parquet(reader_of(night), tmp_path)
    for name in TABLES:
        plain, typed = pd.read_csv(tmp_path / f"{name}.csv"), pd.read_parquet(tmp_path / f"{name}.parquet")
        assert list(plain.columns) == list(typed.columns)
        assert len(plain) == len(typed)
    shots = pd.read_parquet(tmp_path / "exposures.parquet")
    assert str(shots.taken_at.dtype).endswith("UTC]")
    assert shots.usable.dropna().map(type).eq(bool).all()


def test_relion_gets_one_optics_group_for_each_shift(night: Path, reader_of: Reads, tmp_path: Path) -> None:
    (path,) = write_star(reader_of(night), tmp_path)
    assert path.name == "movies.star"
    read = starfile.read(path, always_dict=True)
    assert set(read) == {"optics", "movies"}
    assert len(read["optics"]) == 2
    assert read["optics"].rlnVoltage.tolist() == [200.0, 200.0]
    assert read["optics"].rlnMicrographOriginalPixelSize.tolist() == [1.1, 1.1]
    assert read["movies"].rlnOpticsGroup.tolist()[:4] == [1, 2, 1, 2]
    assert read["movies"].rlnMicrographMovieName[0].startswith("images/movie ")


def test_shifts_of_one_optics_group_lie_together() -> None:
    rng = np.random.default_rng(3)
    shifts = np.concatenate([rng.normal(middle, 0.05, (20, 2)) for middle in ((0, 0), (2.5, 0), (0, 2.5))])
    groups = np.array(optics_groups(shifts, [1.0] * 60))
    assert groups.max() == 3
    for group in (1, 2, 3):
        assert np.ptp(shifts[groups == group], axis=0).max() <= ALIKE_UM
    assert optics_groups(np.zeros((2, 2)), [1.0, 2.0]) == [1, 2]
    assert optics_groups(np.zeros((1, 2)), [1.0]) == [1]
    assert optics_groups(np.zeros((0, 2)), []) == []


def test_the_screening_record_keeps_to_its_published_schema(night: Path, reader_of: Reads, tmp_path: Path) -> None:
    (path,) = write_screening_record(reader_of(night), tmp_path)
    published = json.loads((REFERENCE / "screening.schema.json").read_text())
    assert published == screening_schema()
    document = json.loads(path.read_text())
    Draft202012Validator(published).validate(document)
    assert len(document["exposures"]) == 24
    assert {decision["reason"] for decision in document["decisions"]} >= {"highest score of its size group"}


def test_the_page_of_columns_is_up_to_date() -> None:
    assert (REFERENCE / "export.md").read_text(encoding="utf-8") == columns_page()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_coco_boxes_lie_on_the_things_and_labels_rule(night: Path, reader_of: Reads, tmp_path: Path) -> None:
    with OrmSession(reader_of(night)) as db:
        square = db.query(m.Square).filter(m.Square.image_id.isnot(None)).first()
        assert square is not None
        named, image_id = ["grid", "1", "square", str(square.number)], square.image_id
    label(night, named, "contaminated", by="ada", at=NOW)
    label(night, named, "cracked", by="ada", at=NOW)
    (path,) = write_coco(reader_of(night), tmp_path)
    coco = COCO(str(path))
    (image,) = coco.loadImgs([image_id])
    assert image["level"] == "square"
    assert coco.loadImgs([image["parent_image_id"]])[0]["level"] == "atlas"
    pixels, _ = read_image(night.parent / image["file_name"])
    on = np.zeros(pixels.shape, bool)
    for mark in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
        on |= coco.annToMask(mark).astype(bool)
    assert pixels[on].mean() > pixels[~on].mean() + 0.25
    labelled = [mark for mark in coco.loadAnns(coco.getAnnIds()) if mark["labelled"]]
    assert [coco.loadCats([mark["category_id"]])[0]["name"] for mark in labelled] == ["square/cracked"]


def test_the_command_takes_what_a_hole_is_worth_and_no_other_word(night: Path, reader_of: Reads) -> None:
    with OrmSession(reader_of(night)) as db:
        hole = db.query(m.Hole).first()
        assert hole is not None
        square = db.get_one(m.Square, hole.square_id)
        slot = db.get_one(m.Grid, square.grid_id).slot
        named = ["grid", str(slot), "square", str(square.number), "hole", str(hole.number)]
    leaving.label(night, [*named, "spoilt"])
    with OrmSession(reader_of(night)) as db:
        assert [row.label for row in db.query(m.Label) if (row.of_kind, row.of_id) == ("hole", hole.id)] == ["spoilt"]
    with pytest.raises(BadInput, match=r"nice is no label of a hole; there are: hole, .*good, bad, empty, spoilt"):
        leaving.label(night, [*named, "nice"])


def test_a_reloaded_grid_keeps_its_boxes_on_the_things(paint, reader_of: Reads, tmp_path: Path) -> None:
    night = paint({2: {}})
    engine = open_writer(night)
    with OrmSession(engine) as db, db.begin():
        grid = db.query(m.Grid).one()
        # As if every image of squares had been taken after a second load that seated the grid 30 µm further on.
        grid.frame = [[1.0, 0.0, 30.0], [0.0, 1.0, -12.0]]
        db.add(
            m.Step(key="again", session_id=1, kind="load", grid_id=grid.id, status="done", attempts=1,
                   started_at=grid.first_loaded_at + (NOW - NOW), ended_at=grid.first_loaded_at)
        )  # fmt: skip
        for image in db.query(m.ImageRow).filter(m.ImageRow.of_kind == "square"):
            (a, b, x), (c, d, y) = image.image_to_stage
            image.image_to_stage = [[a, b, x + 30.0], [c, d, y - 12.0]]
    engine.dispose()
    (path,) = write_coco(reader_of(night), tmp_path)
    coco = COCO(str(path))
    for image in (image for image in coco.dataset["images"] if image["level"] == "square"):
        boxes = np.array([mark["bbox"] for mark in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))])
        assert (boxes[:, :2] > 0).all()
        assert (boxes[:, 0] + boxes[:, 2] < image["width"]).all()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ([], "names no row"),
        (["square"], "names no row"),
        (["square", "x"], "names no row"),
        (["lamella", "3"], "names no row"),
        (["square", "3"], "2 grids have square 3; name the grid too"),
        (["grid", "9"], "the record has no grid 9"),
        (["hole", "3"], "named together with its square"),
    ],
)
def test_a_place_that_is_no_row_is_refused(night: Path, place: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        note(night, place, "something", by="ada", at=NOW)


def test_notes_land_on_the_row_that_was_named(night: Path) -> None:
    assert note(night, ["grid", "4"], " blotted twice ", by="ada", at=NOW) == ("grid", 2)
    assert note(night, ["exposure", "3"], "odd", by="ada", at=NOW)[0] == "exposure"
    with sqlite3.connect(night) as db:
        square, hole = db.execute(
            "SELECT square.number, hole.id FROM hole JOIN square ON square.id = square_id"
            " WHERE square.grid_id = 2 AND hole.number = 5"
        ).fetchone()
        assert note(night, f"grid 4 square {square} hole 5".split(), "here", by="ada", at=NOW) == ("hole", hole)
        assert db.execute("SELECT text, by FROM note ORDER BY id LIMIT 1").fetchone() == ("blotted twice", "ada")
    for nothing in ("", "   ", "x" * 2001):
        with pytest.raises(BadInput):
            note(night, ["grid", "4"], nothing, by="ada", at=NOW)
