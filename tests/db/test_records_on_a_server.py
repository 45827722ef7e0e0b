"""Records named by a URL. No server is at hand: what surrounds it is tried on SQLite behind the same door."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import make_url, select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import connection, lease, schema
from epicycle.db.connection import create_record, open_reader, open_writer
from epicycle.db.errors import (
    RecordCorrupt,
    RecordExists,
    RecordInUse,
    RecordMissing,
    RecordNewer,
    RecordNotReadable,
    RecordOlder,
)
from epicycle.db.models import Note

AT = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)


@pytest.fixture
def url(tmp_path, monkeypatch):
    """A URL that is taken for a server's."""
    monkeypatch.setattr(connection, "_place", lambda path: make_url(path))
    return f"sqlite:///{tmp_path / 'served.db'}"


def change(url, statement):
    with closing(sqlite3.connect(make_url(url).database)) as raw:
        raw.execute(statement)
        raw.commit()


def test_made_written_and_read(url, ticks):
    engine = create_record(url)
    with lease.hold(engine, None, ticks) as held, OrmSession(engine) as db:
        held.beat()
        db.add(Note(of_kind="grid", of_id=1, text="seen", by="me", at=AT))
        db.commit()
    engine.dispose()
    with pytest.raises(RecordExists, match="served"):
        create_record(url)
    open_writer(url).dispose()
    reader = open_reader(url)
    with OrmSession(reader) as db:
        assert db.scalars(select(Note.text)).all() == ["seen"]
    reader.dispose()


def test_holder_elsewhere_keeps_us_out(url, ticks):
    engine = create_record(url)
    change(url, "INSERT INTO lease VALUES (1, 1, 'elsewhere', 'ann', '2025-03-01 18:00:00', '2025-03-01 18:00:00')")
    with pytest.raises(RecordInUse, match="ann@elsewhere"), lease.hold(engine, None, ticks):
        pass
    engine.dispose()


@pytest.mark.parametrize("opened", [open_reader, open_writer])
def test_what_is_no_record(url, opened):
    with pytest.raises(RecordMissing, match="holds no record"):
        opened(url)
    change(url, "CREATE TABLE alembic_version (version_num)")
    with pytest.raises(RecordCorrupt, match="another program"):
        opened(url)


@pytest.mark.parametrize("opened", [open_reader, open_writer])
def test_newer(url, opened):
    create_record(url).dispose()
    change(url, "UPDATE alembic_version SET version_num = '9001'")
    with pytest.raises(RecordNewer, match="9001"):
        opened(url)


def test_older(url, monkeypatch):
    create_record(url).dispose()
    upgraded = []
    now = schema.head()
    monkeypatch.setattr(schema, "known", lambda: ("0001", now, "9999"))
    monkeypatch.setattr(schema, "upgrade", upgraded.append)
    with pytest.raises(RecordOlder, match=now):
        open_reader(url)
    assert upgraded == []
    open_writer(url).dispose()
    assert len(upgraded) == 1


def test_server_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "_place", lambda path: make_url(path))
    with pytest.raises(RecordNotReadable, match="does not answer"):
        open_reader(f"sqlite:///{tmp_path}/none/served.db")


def test_driver_that_is_not_installed_and_no_password_shown():
    for opened in (create_record, open_reader, open_writer):
        with pytest.raises(RecordNotReadable, match="not installed") as raised:
            opened("nosuchdatabase://ann:secret@host/nights")
        assert "secret" not in str(raised.value)


def test_sqlite_url_names_a_file(tmp_path):
    path = tmp_path / "night.db"
    engine = create_record(f"sqlite:///{path}")
    with engine.connect() as db:
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()
    open_reader(path).dispose()
