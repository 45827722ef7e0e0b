"""Opening a record: pragmas in force, one writer at a time, readers in nobody's way, one sentence for each bad file."""

import os
import re
import shutil
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import connection, schema
from epicycle.db.columns import as_json
from epicycle.db.connection import (
    RecordCorrupt,
    RecordExists,
    RecordInUse,
    RecordMissing,
    RecordNewer,
    RecordNotReadable,
    RecordNotWritable,
    RecordOlder,
    create_record,
    open_reader,
    open_writer,
    reading,
)
from epicycle.db.models import Label, Note
from epicycle.files.atomic import NoRoom

AT = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)


def note(text="seen"):
    return Note(of_kind="grid", of_id=1, text=text, by="me", at=AT)


def said(raised, *words):
    text = str(raised.value)
    assert "\n" not in text
    for word in words:
        assert re.search(word, text), text


def test_pragmas_of_the_writer(record):
    _, engine = record
    with engine.connect() as db:
        values = {
            name: db.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_foreign_keys_are_enforced(record):
    _, engine = record
    with engine.connect() as db, pytest.raises(IntegrityError):
        db.exec_driver_sql("INSERT INTO tile VALUES (1, 77, 1, 0, 0, 0, 0, 'planned', NULL, NULL, NULL)")


def test_every_transaction_of_a_writer_locks_before_it_reads(record):
    path, engine = record
    with engine.connect() as db:
        db.exec_driver_sql("SELECT count(*) FROM note")
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        with closing(other), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    with reading(engine).connect() as db:
        db.exec_driver_sql("SELECT count(*) FROM note")
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")


def test_reader_neither_waits_for_a_writer_nor_holds_one_up(record):
    path, engine = record
    reader = open_reader(path)
    with OrmSession(engine) as writer, OrmSession(reader) as looker:
        writer.add(note("first"))
        writer.flush()
        assert looker.scalars(select(Note)).all() == []
        writer.commit()
        assert looker.scalars(select(Note)).all() == [], "one transaction sees one state"
        writer.add(note("second"))
        writer.commit()
        looker.rollback()
        assert [found.text for found in looker.scalars(select(Note))] == ["first", "second"]
    reader.dispose()


def test_reader_cannot_write(record):
    path, _ = record
    reader = open_reader(path)
    with OrmSession(reader) as db:
        db.add(note())
        with pytest.raises(RecordNotWritable):
            db.commit()
    reader.dispose()


def test_two_threads_of_one_writer_take_turns(record):
    _, engine = record

    def write(which):
        for number in range(20):
            with OrmSession(engine) as db:
                count = len(db.scalars(select(Note)).all())
                db.add(note(f"{which} {number} {count}"))
                db.commit()

    threads = [threading.Thread(target=write, args=(which,)) for which in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with OrmSession(engine) as db:
        counts = [int(found.text.split()[2]) for found in db.scalars(select(Note).order_by(Note.id))]
    assert counts == list(range(40)), "each saw all that was written before it"


def test_times_come_back_in_utc_and_local_ones_are_refused(record):
    _, engine = record
    with OrmSession(engine) as db:
        db.add(note())
        db.commit()
        assert db.scalars(select(Note)).one().at == AT
        db.add(Note(of_kind="grid", of_id=1, text="", by="", at=datetime(2025, 1, 1)))
        with pytest.raises(Exception, match="carry their zone"):
            db.commit()


def test_json_columns_take_numpy_and_nan():
    text = as_json({"a": np.float32(0.5), "b": [float("nan"), np.array([1, 2])], "c": "µm"})
    assert text == '{"a": 0.5, "b": [null, [1, 2]], "c": "µm"}'
    with pytest.raises(TypeError, match="Path"):
        as_json({"a": Path()})


def test_missing(tmp_path):
    for opened in (open_reader, open_writer):
        with pytest.raises(RecordMissing) as raised:
            opened(tmp_path / "none.db")
        said(raised, "none.db", "no such database")
        with pytest.raises(RecordMissing) as raised:
            opened(tmp_path)
        said(raised, "folder")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("opened", [open_reader, open_writer])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b"hello, this is a text\n" * 100, "not a database"),
        (b"SQLite format 3\0" + b"x" * 5000, "."),
    ],
)
def test_files_that_are_no_database(tmp_path, opened, content, word):
    path = tmp_path / "night.db"
    path.write_bytes(content)
    with pytest.raises(RecordCorrupt) as raised:
        opened(path)
    said(raised, "night.db", word)
    assert path.read_bytes() == content


@pytest.mark.parametrize("opened", [open_reader, open_writer])
def test_database_of_another_program(tmp_path, opened):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE session (id)")
    with pytest.raises(RecordCorrupt) as raised:
        opened(path)
    said(raised, "another program")


@pytest.fixture
def filled(record, tmp_path):
    """A closed record of some pages."""
    path, engine = record
    with OrmSession(engine) as db:
        db.add_all(note("x" * 500) for _ in range(300))
        db.commit()
    engine.dispose()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.mark.parametrize("opened", [open_reader, open_writer])
@pytest.mark.parametrize("kept", [50, 100, 3000, 4096, 20_000, -1])
def test_truncated(filled, opened, kept):
    data = filled.read_bytes()
    filled.write_bytes(data[:kept])
    with pytest.raises(RecordCorrupt) as raised:
        opened(filled)
    said(raised, "night.db", "backup")


def test_writer_finds_damage_in_the_middle_and_a_query_says_it_plainly(filled):
    data = bytearray(filled.read_bytes())
    data[-3 * 4096 : -4096] = os.urandom(2 * 4096)
    filled.write_bytes(data)
    with pytest.raises(RecordCorrupt) as raised:
        open_writer(filled)
    said(raised, "damaged", "backup")
    reader = open_reader(filled)
    with OrmSession(reader) as db, pytest.raises(RecordCorrupt):
        db.scalars(select(Note)).all()
    reader.dispose()


@pytest.mark.parametrize("opened", [open_reader, open_writer])
def test_newer_record_names_the_versions(filled, opened):
    with closing(sqlite3.connect(filled)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9001'")
        raw.commit()
    with pytest.raises(RecordNewer) as raised:
        opened(filled)
    said(raised, "9001", schema.head(), "update")


def test_older_record_is_upgraded_by_a_writer_and_refused_by_a_reader(filled, monkeypatch):
    asked = []
    now = schema.head()
    monkeypatch.setattr(schema, "known", lambda: ("0001", now, "9999"))
    monkeypatch.setattr(schema, "upgrade", lambda connection: asked.append(connection))
    with pytest.raises(RecordOlder) as raised:
        open_reader(filled)
    said(raised, now, "9999")
    with connection.locked(filled), pytest.raises(RecordInUse):
        open_writer(filled)
    assert asked == []
    open_writer(filled).dispose()
    assert len(asked) == 1


def test_creating_twice_or_over_another_file(record, tmp_path):
    path, _ = record
    with pytest.raises(RecordExists) as raised:
        create_record(path)
    said(raised, "night.db")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RecordExists):
        create_record(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(RecordNotWritable) as raised:
        create_record(tmp_path / "none" / "night.db")
    said(raised, "does not exist")


def test_making_cut_short_can_be_begun_again(tmp_path):
    path = tmp_path / "night.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
    with pytest.raises(RecordCorrupt, match="cut short"):
        open_writer(path)
    create_record(path).dispose()
    open_writer(path).dispose()


def test_full_disk_is_said_and_nothing_is_lost(record):
    path, engine = record
    with engine.connect() as db:
        pages = db.exec_driver_sql("PRAGMA page_count").scalar()
    with OrmSession(engine) as db:
        db.add(note("kept"))
        db.commit()
        db.connection().exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        db.add(note("x" * 100_000))
        with pytest.raises(NoRoom) as raised:
            db.commit()
        said(raised, "night.db", "free some space")
    reader = open_reader(path)
    with OrmSession(reader) as db:
        assert [found.text for found in db.scalars(select(Note))] == ["kept"]
    reader.dispose()


@pytest.fixture
def not_root():
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root may write everywhere")


def test_read_only_folder(filled, not_root):
    folder = filled.parent
    folder.chmod(0o555)
    try:
        with pytest.raises(RecordNotWritable):
            open_writer(filled)
        reader = open_reader(filled)
        with OrmSession(reader) as db:
            assert len(db.scalars(select(Note)).all()) == 300
        reader.dispose()
    finally:
        folder.chmod(0o755)


def test_unreadable_file(filled, not_root):
    filled.chmod(0)
    try:
        for opened in (open_reader, open_writer):
            with pytest.raises(RecordNotReadable):
                opened(filled)
    finally:
        filled.chmod(0o644)


def test_record_on_a_read_only_disk_is_read_as_unchanging(filled, monkeypatch):
    """What SQLite answers there, said by the one call that opens files: this machine's tests may run as root."""
    real = connection._open_sqlite

    def refusing(path, mode, **options):
        if mode == "ro":
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return real(path, mode, **options)

    monkeypatch.setattr(connection, "_open_sqlite", refusing)
    reader = open_reader(filled)
    with OrmSession(reader) as db:
        assert len(db.scalars(select(Note)).all()) == 300
    reader.dispose()
    filled.with_name("night.db-wal").write_bytes(b"waiting")
    with pytest.raises(RecordNotReadable, match="waiting"):
        open_reader(filled)


def test_path_with_odd_characters(tmp_path):
    folder = tmp_path / "a night? 100% #1 µ"
    folder.mkdir()
    path = folder / "night & day.db"
    engine = create_record(path)
    with OrmSession(engine) as db:
        db.add(Label(of_kind="grid", of_id=1, label="good", by="me", at=AT))
        db.commit()
    engine.dispose()
    reader = open_reader(path)
    with OrmSession(reader) as db:
        assert db.scalars(select(Label)).one().label == "good"
    reader.dispose()
    shutil.rmtree(folder)
