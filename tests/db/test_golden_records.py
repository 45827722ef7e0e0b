"""Records of every schema version ever released open, are brought up to date, and tell the same story.

The dumps in ``golden/`` were written when their schema was the newest; they are never written again.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from epicycle.db import schema, views
from epicycle.db.connection import open_reader, open_writer
from epicycle.db.models import Base

GOLDEN = Path(__file__).parent / "golden"


def test_there_is_one_of_each_version():
    assert sorted(path.stem.removeprefix("schema_") for path in GOLDEN.glob("*.sql")) == sorted(schema.known())


@pytest.fixture(params=schema.known())
def old(request, tmp_path):
    """A night as that version left it, and then brought up to date by opening it."""
    path = tmp_path / "night.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript((GOLDEN / f"schema_{request.param}.sql").read_text())
    open_writer(path).dispose()
    return path


def test_old_record_gets_the_present_schema(old):
    engine = open_writer(old)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True, "compare_type": True})
        assert context.get_current_revision() == schema.head()
        assert compare_metadata(context, Base.metadata) == []
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall() == []
        triggers = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").scalar()
        assert triggers == 3
    engine.dispose()


def test_old_record_tells_the_same_story(old):
    reader = open_reader(old)
    status = views.night_status(reader)
    assert (status.name, status.counts.exposures, status.counts.usable) == ("miniature", 26, 15)
    assert [(one.grid.slot, one.verdict.value) for one in views.rank(reader)][:4] == [
        (1, "collect"),
        (6, "collect with care"),
        (2, "remake"),
        (5, "remake"),
    ]
    assert views.exposures_of(reader)[0].measures["ice_nm"] == 30.0
    assert {shot.shot for shot in views.exposures_of(reader)} == {0}
    assert all(hole.shots is None for hole in views.holes_of(reader))
    assert [event.kind for event in views.events(reader)] == ["night_began", "grid_left", "hole_exposed"]
    reader.dispose()
