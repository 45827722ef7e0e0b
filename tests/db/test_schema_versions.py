"""The schema: made by migration alone, the same as the models, append-only where it says so, at home in PostgreSQL."""

import io
import shutil
import sqlite3
import tomllib
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, delete, inspect, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import schema
from epicycle.db.connection import create_record
from epicycle.db.models import Base, Event, Exposure, Session

AT = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def test_migrated_schema_is_that_of_the_models(record):
    _, engine = record
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_are_those_of_the_models_too(record):
    """Alembic does not compare them."""
    _, engine = record
    look = inspect(engine)
    for table in Base.metadata.tables.values():
        wanted = {
            (str(check.name), str(check.sqltext))
            for check in table.constraints
            if isinstance(check, CheckConstraint) and check.name
        }
        found = {(check["name"], check["sqltext"]) for check in look.get_check_constraints(table.name)}
        assert found == {(f"ck_{table.name}_{name.removeprefix(f'ck_{table.name}_')}", rule) for name, rule in wanted}


def test_unknown_status_is_refused(record):
    _, engine = record
    with OrmSession(engine) as db:
        db.add(night(run_status="dancing"))
        with pytest.raises(IntegrityError, match="run_status_known"):
            db.commit()


def test_one_shot_of_a_hole_is_taken_down_once_and_never_again(miniature):
    _, engine = miniature
    with OrmSession(engine) as db:
        db.add(Exposure(hole_id=1, number=901, shot=1))
        db.commit()
        db.add(Exposure(hole_id=1, number=902, shot=1))
        with pytest.raises(IntegrityError, match=r"exposure\.hole_id, exposure\.shot"):
            db.commit()


def night(**columns):
    fixed = {"name": "n", "protocol": {}, "cassette": {}, "microscope": {}, "plugins": {}, "code_version": "0"}
    return Session(**fixed, seed=2**40, phase="park", started_at=AT, **columns)


@pytest.fixture
def told(record):
    """A record with two events."""
    _, engine = record
    with OrmSession(engine) as db:
        db.add(night())
        db.flush()
        db.add_all(Event(session_id=1, at=AT, kind=kind) for kind in ("began", "ended"))
        db.commit()
    return engine


@pytest.mark.parametrize(
    "statement",
    [
        update(Event).values(kind="never happened"),
        update(Event).where(Event.id == 2).values(at=AT),
        delete(Event),
        delete(Event).where(Event.id == 1),
        text(
            "INSERT OR REPLACE INTO event SELECT id, session_id, at, 'other', version, NULL, NULL, '', body FROM event"
        ),
    ],
)
def test_events_are_never_changed_deleted_or_replaced(told, statement):
    with OrmSession(told) as db:
        with pytest.raises(IntegrityError, match="events are never"):
            db.execute(statement)
        db.rollback()
        assert [event.kind for event in db.query(Event).order_by(Event.id)] == ["began", "ended"]


def test_event_numbers_are_never_used_twice(told):
    with OrmSession(told) as db:
        db.add(Event(session_id=1, at=AT, kind="taken back"))
        db.flush()
        db.rollback()
        db.add(Event(session_id=1, at=AT, kind="third"))
        db.commit()
        assert [event.id for event in db.query(Event).order_by(Event.id)] == [1, 2, 3]


def test_versions_known_without_alembic_are_those_alembic_knows():
    config = Config()
    config.set_main_option("script_location", str(schema.FOLDER))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == schema.head()
    assert {script.revision for script in scripts.walk_revisions()} == set(schema.known())


def test_migrations_run_from_wherever_the_package_is_installed(tmp_path, monkeypatch):
    moved = tmp_path / "site 100% packages" / "migrations"
    shutil.copytree(schema.FOLDER, moved, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "FOLDER", moved)
    create_record(tmp_path / "night.db").dispose()


def test_everything_migrations_need_is_in_the_wheel():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    migrations = schema.FOLDER.resolve()
    for folder in (migrations, migrations / "versions"):
        package = ".".join(["epicycle", *folder.relative_to(ROOT).parts])
        assert package in declared["packages"]
        patterns = declared["package-data"].get(package, [])
        for path in folder.iterdir():
            assert path.is_dir() or path.suffix == ".py" or any(path.match(pattern) for pattern in patterns), path


def test_postgresql_can_have_the_schema_and_its_triggers():
    """Written out as SQL: no server is needed to see that every statement has a form there, in an order that works."""
    config = Config()
    config.set_main_option("script_location", str(schema.FOLDER))
    config.attributes["dialect"] = "postgresql"
    written = io.StringIO()
    config.output_buffer = written
    with redirect_stdout(io.StringIO()):
        command.upgrade(config, "head", sql=True)
    sql = written.getvalue()
    for table in Base.metadata.tables:
        assert f"CREATE TABLE {table} " in sql
    assert "BEFORE UPDATE OR DELETE ON event" in sql
    assert "BEFORE TRUNCATE ON event" in sql
    assert "RAISE(ABORT" not in sql
    made: set[str] = set()
    for statement in sql.split(";"):
        referred = {part.split("(")[0].strip() for part in statement.split("REFERENCES ")[1:]}
        name = statement.split("CREATE TABLE ")[1].split(" ")[0] if "CREATE TABLE " in statement else ""
        assert referred <= made | {name}, statement
        made.add(name)


def test_failed_migration_leaves_nothing_behind(tmp_path, monkeypatch):
    def broken(connection):
        connection.exec_driver_sql("CREATE TABLE half (id)")
        raise RuntimeError("power cut")

    monkeypatch.setattr(schema, "upgrade", broken)
    with pytest.raises(RuntimeError, match="power cut"):
        create_record(tmp_path / "night.db")
    with closing(sqlite3.connect(tmp_path / "night.db")) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
