"""Snapshots: consistent beside a writer, checked, named only when whole, the newest kept."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import backup, lease
from epicycle.db.backup import backups, snapshot
from epicycle.db.connection import open_reader, open_writer
from epicycle.db.errors import RecordCorrupt
from epicycle.db.models import Label, Note
from epicycle.files.atomic import NoRoom

AT = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)


def test_snapshots_taken_while_a_writer_writes_are_each_one_state(record, tmp_path):
    path, engine = record
    done = threading.Event()

    def write():
        number = 0
        while not done.is_set():
            with OrmSession(engine) as db:  # a pair in one transaction: no snapshot may hold half of it
                db.add(Note(of_kind="grid", of_id=number, text="x" * 2000, by="me", at=AT))
                db.add(Label(of_kind="grid", of_id=number, label="good", by="me", at=AT))
                db.commit()
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [snapshot(path, tmp_path / "copies") for _ in range(4)]
    finally:
        done.set()
        writer.join()
    counts = []
    for copy in copies:
        reader = open_reader(copy)
        with OrmSession(reader) as db:
            notes, labels = (db.scalar(select(func.count(table.id))) for table in (Note, Label))
            assert db.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        reader.dispose()
        assert notes == labels
        counts.append(notes)
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_only_the_newest_are_kept_and_other_files_stay(record, tmp_path):
    path, _ = record
    folder = tmp_path / "copies"
    folder.mkdir()
    (folder / "other-000001.backup.db").write_bytes(b"mine")
    names = [snapshot(path, folder, keep=2).name for _ in range(4)]
    assert names == [f"night-{number:06d}.backup.db" for number in (1, 2, 3, 4)]
    assert [copy.name for copy in backups(path, folder)] == names[-2:]
    assert sorted(entry.name for entry in folder.iterdir()) == [*names[-2:], "other-000001.backup.db"]


def test_copy_is_one_file_that_a_night_can_go_on_from(record, tmp_path, ticks):
    path, engine = record
    with lease.hold(engine, path, ticks):
        copy = snapshot(path, tmp_path / "copies")
    assert [entry.name for entry in copy.parent.iterdir()] == [copy.name]
    restored = open_writer(copy)
    assert lease.holder(restored) is None, "the copy is in nobody's hands"
    with lease.hold(restored, copy, ticks):
        pass
    restored.dispose()


def test_damaged_record_gives_no_copy(record, tmp_path):
    path, engine = record
    with OrmSession(engine) as db:
        db.add_all(Note(of_kind="grid", of_id=1, text="x" * 500, by="me", at=AT) for _ in range(300))
        db.commit()
    engine.dispose()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[-3 * 4096 : -4096] = bytes(range(256)) * 32
    path.write_bytes(data)
    with pytest.raises(RecordCorrupt, match="damaged"):
        snapshot(path, tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_full_disk_names_the_backup_folder_and_leaves_nothing(record, tmp_path, monkeypatch):
    path, _ = record
    real = sqlite3.connect

    def small(name, **options):
        raw = real(name, **options)
        if "copies" in str(name):
            raw.execute("PRAGMA max_page_count=5")
        return raw

    monkeypatch.setattr(backup.sqlite3, "connect", small)
    with pytest.raises(NoRoom, match="copies"):
        snapshot(path, tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []
