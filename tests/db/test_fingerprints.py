"""The fingerprint: the same for the same story, wherever and by whatever version it was written; else another."""

import shutil

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import lease
from epicycle.db.connection import open_writer
from epicycle.db.fingerprint import LEFT_OUT_COLUMNS, LEFT_OUT_TABLES, fingerprint, fingerprints
from epicycle.db.models import Base, Event


def changed(path, *statements):
    engine = open_writer(path)
    with engine.begin() as db:
        for statement in statements:
            db.execute(text(statement))
    engine.dispose()
    return fingerprint(path)


def test_same_rows_same_number_and_reading_changes_nothing(miniature):
    path, _ = miniature
    assert fingerprint(path) == fingerprint(path)
    assert len(fingerprint(path)) == 64
    assert set(fingerprints(path)) == set(Base.metadata.tables) - LEFT_OUT_TABLES


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE session SET code_version = '9.9'",
        "UPDATE image SET path = '/data/somewhere/' || name",
        "UPDATE command SET asked_at = '2030-01-01 00:00:00.000000', asked_by = 'bob', idempotency_key = 'other'",
        "INSERT INTO lease VALUES (1, 4711, 'elsewhere', 'ann', '2030-01-01 00:00:00', '2030-01-01 00:00:00')",
        "INSERT INTO job VALUES ('backup', 1.5, x'00')",
    ],
)
def test_host_version_and_wall_clock_do_not_matter(miniature, statement):
    path, _ = miniature
    before = fingerprint(path)
    assert changed(path, statement) == before


def test_version_inside_an_event_does_not_matter_but_its_other_columns_do(miniature):
    path, engine = miniature
    with engine.begin() as db:
        db.execute(text("DROP TRIGGER event_keeps_its_rows"))
    found = []
    for version, doing in [("1", "a"), ("2", "a"), ("2", "b")]:
        with OrmSession(engine) as db:
            told = db.get_one(Event, 1)
            told.body = {"changes": [{"table": "session", "set": {"code_version": version, "doing": doing}}]}
            db.commit()
        found.append(fingerprint(path))
    assert found[0] == found[1] != found[2]


OTHER = {"DATETIME": "'2031-01-01 00:00:00.000000'", "JSON": "'[77]'", "BOOLEAN": "NOT coalesce({}, 0)"}
"""A value that differs from what is there, by the column's type."""


@pytest.mark.parametrize("table", sorted(set(Base.metadata.tables) - LEFT_OUT_TABLES - {"event", "label", "note"}))
def test_every_other_column_of_every_table_matters(miniature, table):
    """One row with one column changed, for each column; foreign keys and checks aside."""
    path, engine = miniature
    columns = [column for column in Base.metadata.tables[table].columns if not column.primary_key]
    before = fingerprint(path)
    for column in columns:
        if (table, column.name) in LEFT_OUT_COLUMNS:
            continue
        with engine.connect() as db:
            db.exec_driver_sql("ROLLBACK")
            db.exec_driver_sql("PRAGMA foreign_keys=OFF")
            db.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
            db.exec_driver_sql("BEGIN IMMEDIATE")
            other = OTHER.get(str(column.type), "77").format(column.name)
            row = f"(SELECT min(rowid) FROM {table})"
            old = db.exec_driver_sql(f"SELECT {column.name} FROM {table} WHERE rowid = {row}").scalar()
            db.exec_driver_sql(f"UPDATE {table} SET {column.name} = {other} WHERE rowid = {row}")
            db.commit()
            assert fingerprint(path) != before, column.name
            db.exec_driver_sql(f"UPDATE {table} SET {column.name} = ? WHERE rowid = {row}", (old,))
            db.commit()
    engine.dispose()
    assert fingerprint(path) == before


def test_missing_and_additional_rows_matter(miniature):
    path, _ = miniature
    first = fingerprint(path)
    second = changed(path, "INSERT INTO note VALUES (1, 'grid', 1, 'seen', 'me', '2025-01-01 00:00:00.000000')")
    third = changed(path, "DELETE FROM measure WHERE id = 1")
    assert len({first, second, third}) == 3


def test_same_night_in_another_folder(miniature, tmp_path, ticks):
    path, engine = miniature
    with OrmSession(engine) as db:
        db.execute(text("UPDATE session SET doing = :said"), {"said": f"writing {tmp_path}/images/a.mrc"})
        db.commit()
    here = fingerprint(path)
    engine.dispose()
    other = tmp_path / "other place"
    other.mkdir()
    shutil.copy(path, other / "night.db")
    moved = open_writer(other / "night.db")
    with OrmSession(moved) as db:
        db.execute(text("UPDATE session SET doing = :said"), {"said": f"writing {other}/images/a.mrc"})
        db.commit()
    with lease.hold(moved, other / "night.db", ticks):
        assert fingerprint(other / "night.db") == here
    moved.dispose()
