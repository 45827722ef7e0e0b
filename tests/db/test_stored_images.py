"""The image store: rows that tell the truth about files, entered once, safe against being cut short."""

import io
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image as Picture
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db.image_store import ImageStore
from epicycle.db.models import ImageRow, Session
from epicycle.files import mrc
from epicycle.files.atomic import NotWritable
from epicycle.files.mrc import BadImage

AT = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)


@pytest.fixture
def store(record):
    path, engine = record
    with OrmSession(engine) as db:
        fixed = {"name": "n", "protocol": {}, "cassette": {}, "microscope": {}, "plugins": {}, "code_version": "0"}
        db.add(Session(**fixed, seed=1, phase="expose", started_at=AT))
        db.commit()
        yield ImageStore(path.parent), db


def pixels(seed=1, shape=(32, 48)):
    return np.random.default_rng(seed).normal(100, 9, shape).astype(np.float32)


def entered(store, db, name, path, **known):
    return store.add_file(
        db, session_id=1, of_kind="grid", of_id=1, kind="survey", name=name, path=path, taken_at=AT, **known
    )


def test_row_says_what_the_file_holds(store):
    images, db = store
    path = images.write_array("g01-t1", pixels(), 550.0, {"stage": [1, 2]})
    row = entered(images, db, "g01-t1", path, image_to_stage=((0.0, 0.055, 1), (0.055, 0, 2)), scope={"x": 1})
    db.commit()
    db.expire_all()
    assert (row.rows_px, row.cols_px, row.frames, row.pixel_size_a) == (32, 48, 1, 550.0)
    assert row.path == "images/g01-t1.mrc"
    assert row.image_to_stage == [[0.0, 0.055, 1.0], [0.055, 0.0, 2.0]]
    assert (row.sha256, row.size_bytes) == (mrc.sha256(path), path.stat().st_size)
    assert images.path_of(row) == path
    assert images.is_intact(row)
    assert mrc.read_metadata(path) == {"stage": [1, 2]}


def test_entering_again_is_one_row_and_a_repeat_brings_it_up_to_date(store):
    images, db = store
    path = images.write_array("g01-t1", pixels(), 550.0)
    first = entered(images, db, "g01-t1", path)
    before = first.sha256
    assert entered(images, db, "g01-t1", path) is first
    db.commit()
    images.write_array("g01-t1", pixels(seed=2, shape=(64, 64)), 550.0)
    assert not images.is_intact(first)
    again = entered(images, db, "g01-t1", path, pixel_size_a=500.0)
    db.commit()
    assert again.id == first.id
    assert again.sha256 != before
    assert (again.rows_px, again.pixel_size_a) == (64, 500.0)
    assert images.is_intact(again)
    assert len(db.scalars(select(ImageRow)).all()) == 1


def test_movie_and_picture(store):
    images, db = store
    movie = images.write_array("e1", pixels(shape=(4, 32, 48)).astype(np.uint16), 1.1)
    assert entered(images, db, "e1", movie).frames == 4
    drawn = io.BytesIO()
    Picture.new("L", (30, 20)).save(drawn, "PNG")
    row = entered(images, db, "e1-spectrum", images.write_bytes("e1-spectrum.png", drawn.getvalue()))
    assert (row.rows_px, row.cols_px, row.pixel_size_a) == (20, 30, None)
    for kept in (0, 10, 40, 60, -13):
        images.write_bytes("half.png", drawn.getvalue()[:kept])
        with pytest.raises(BadImage, match=r"half\.png"):
            entered(images, db, "half", images.images / "half.png")


def test_file_that_is_missing_or_cut_is_never_entered(store):
    images, db = store
    with pytest.raises(BadImage, match="no such file"):
        entered(images, db, "none", images.images / "none.mrc")
    path = images.write_array("cut", pixels(), 2.0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadImage, match="truncated"):
        entered(images, db, "cut", path)
    assert db.scalars(select(ImageRow)).all() == []


def test_record_and_images_can_be_moved_together(store, tmp_path):
    images, db = store
    row = entered(images, db, "a", images.write_array("a", pixels(), 2.0))
    moved = shutil.copytree(images.folder, tmp_path / "elsewhere")
    assert ImageStore(moved).path_of(row) == moved / "images" / "a.mrc"
    assert ImageStore(moved).is_intact(row)


def test_file_outside_the_folder_is_found_again(store, tmp_path_factory):
    images, db = store
    outside = tmp_path_factory.mktemp("camera") / "frame.mrc"
    mrc.write_mrc(outside, pixels(), 2.0)
    row = entered(images, db, "frame", outside)
    assert images.path_of(row).resolve() == outside.resolve()
    outside.unlink()
    assert not images.is_intact(row)


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from epicycle.db.image_store import ImageStore
from epicycle.files import atomic

real, calls = os.fsync, [0]
def dying(handle):
    calls[0] += 1
    if calls[0] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = dying
ImageStore(Path(sys.argv[1])).write_array("frame", np.arange(1024.0).reshape(32, 32), 1.0)
"""


@pytest.mark.parametrize(("sync", "there"), [(1, False), (2, True)])
def test_killed_while_writing_the_frame_is_whole_or_absent(store, sync, there):
    images, db = store
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(images.folder), str(sync)], check=False)
    assert done.returncode == -signal.SIGKILL
    path = images.images / "frame.mrc"
    assert path.exists() is there
    assert mrc.is_whole(path) is there
    assert images.sweep() == (0 if there else 1)
    if there:
        assert entered(images, db, "frame", path).rows_px == 32
    assert [one.name for one in images.images.iterdir()] == (["frame.mrc"] if there else [])


def test_folder_that_is_not_there(tmp_path):
    with pytest.raises(NotWritable):
        ImageStore(tmp_path / "none")
