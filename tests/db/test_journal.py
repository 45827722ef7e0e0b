from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db.connection import create_record
from epicycle.db.folding import disagreements, fold
from epicycle.db.journal import LOST, Entry, Journal
from epicycle.db.models import Event, Grid, Measure, Session, Square, Step
from epicycle.protocols.errors import EpicycleError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Slipped(EpicycleError):
    may_have_run = False


class MayHaveRun(EpicycleError):
    may_have_run = True


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    engine = create_record(tmp_path / "night.db")
    journal = Journal(engine, 1, lambda: NOON)
    with journal.write() as entry:
        entry.db.add(
            Session(
                id=1,
                name="n",
                protocol={},
                cassette={},
                microscope={},
                plugins={},
                code_version="0",
                seed=1,
                phase="inventory",
                started_at=NOON,
            )
        )
        entry.db.flush()
        entry.db.add(Grid(session_id=1, slot=1, name="one"))
        entry.say("night_began", "began")
    yield journal
    engine.dispose()


def rename(entry: Entry, name: str) -> None:
    entry.db.scalars(select(Grid)).one().name = name
    entry.say("renamed", f"now {name}")


def test_a_step_done_is_not_done_again(journal: Journal) -> None:
    acts = []
    for _ in range(2):
        journal.step("one", "kind", lambda _: acts.append(1), lambda entry, _: rename(entry, "two"))
    assert len(acts) == 1
    assert journal.step_status("one") == "done"


def test_a_failed_act_is_tried_again_and_one_that_may_have_run_is_settled(journal: Journal) -> None:
    def fails(error: type[EpicycleError]):
        def act(_):
            raise error("no")

        return act

    with pytest.raises(Slipped):
        journal.step("a", "kind", fails(Slipped), lambda entry, _: rename(entry, "x"))
    assert journal.step_status("a") == "failed"
    journal.step("a", "kind", lambda _: None, lambda entry, _: rename(entry, "a"))
    assert journal.step_status("a") == "done"

    with pytest.raises(MayHaveRun):
        journal.step("b", "kind", fails(MayHaveRun), lambda entry, _: rename(entry, "x"), settle=lambda: LOST)
    assert journal.step_status("b") == "started"

    def never(_):
        raise AssertionError("sent again blindly")

    journal.step(
        "b",
        "kind",
        never,
        lambda entry, _: rename(entry, "x"),
        settle=lambda: LOST,
        write_off=lambda entry: rename(entry, "lost"),
    )
    assert journal.step_status("b") == "lost"
    with journal.read() as db:
        assert db.scalars(select(Grid.name)).one() == "lost"


def test_a_state_row_is_read_once_and_stands_as_it_was_written_last(journal: Journal) -> None:
    asked: list[str] = []

    @event.listens_for(journal._reader, "before_cursor_execute")
    def _(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "FROM grid" in statement:
            asked.append(statement)

    first = journal.row(Grid, 1)
    assert (first.name, len(asked)) == ("one", 1)
    with journal.write() as entry:
        rename(entry, "two")
    # Who was given the row before keeps what it was then.
    assert (first.name, journal.row(Grid, 1).name) == ("one", "two")
    journal.step("three", "kind", lambda _: None, lambda entry, _: rename(entry, "three"))
    assert journal.row(Grid, 1).name == "three"
    assert len(asked) == 1


def test_what_was_rolled_back_never_stands(journal: Journal) -> None:
    assert journal.row(Grid, 1).name == "one"

    def breaks(entry: Entry, _: object) -> None:
        rename(entry, "two")
        entry.db.flush()
        raise Slipped("no")

    with pytest.raises(Slipped):
        journal.step("two", "kind", lambda _: None, breaks)
    assert journal.row(Grid, 1).name == "one"
    assert journal.step_status("two") == "started"
    journal.step("two", "kind", lambda _: None, lambda entry, _: rename(entry, "two"))
    assert (journal.row(Grid, 1).name, journal.step_status("two")) == ("two", "done")


def test_a_row_to_be_changed_is_the_one_that_is_known(journal: Journal) -> None:
    asked: list[str] = []

    def listen(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM grid" in statement:
            asked.append(statement)

    before = journal.row(Grid, 1)
    event.listen(journal._engine, "before_cursor_execute", listen)
    with journal.write() as entry:
        row = entry.row(Grid, 1)
        assert entry.row(Grid, 1) is row
        row.name, row.used_s = "two", 1.5
        entry.say("renamed", "now two")
    assert asked == []
    assert (before.name, journal.row(Grid, 1).name, journal.row(Grid, 1).used_s) == ("one", "two", 1.5)
    with journal.read() as db:
        assert db.scalars(select(Grid.name)).one() == "two"
        assert disagreements(db) == []


def test_a_row_changed_by_a_question_is_known_as_it_was_left(journal: Journal) -> None:
    journal.row(Grid, 1)
    with journal.write() as entry:
        rename(entry, "two")
        assert entry.row(Grid, 1).name == "two"
        entry.row(Grid, 1).reason = "asked for twice"
    assert (journal.row(Grid, 1).name, journal.row(Grid, 1).reason) == ("two", "asked for twice")
    with journal.read() as db:
        assert disagreements(db) == []


def test_a_row_changed_in_vain_is_as_it_was(journal: Journal) -> None:
    assert journal.row(Grid, 1).name == "one"

    def breaks(entry: Entry, _: object) -> None:
        entry.row(Grid, 1).name = "two"
        entry.db.flush()
        raise Slipped("no")

    with pytest.raises(Slipped):
        journal.step("two", "kind", lambda _: None, breaks)
    assert journal.row(Grid, 1).name == "one"
    with journal.write() as entry:
        assert entry.row(Grid, 1).name == "one"


def test_rows_added_together_are_in_the_record_and_in_its_events(journal: Journal) -> None:
    place = {"stage_x_um": 1.0, "stage_y_um": np.float64(2.0), "corners_um": [], "area_um2": 1.0, "mean": 1.0}
    rows = [{**place, "grid_id": 1, "number": n, "score": 0.5, "category": "good"} for n in (3, 1, 2)]
    rows[0]["features"] = {"mean": 4.0}
    with journal.write() as entry:
        entry.add_many(Square, [{"features": {}, **row} for row in rows])
        entry.add_many(Square, [])
        entry.say("squares_found", "three")
    with journal.read() as db:
        squares = db.scalars(select(Square).order_by(Square.number)).all()
        assert [(square.number, square.status, square.features) for square in squares] == [
            (1, "found", {}),
            (2, "found", {}),
            (3, "found", {"mean": 4.0}),
        ]
        assert db.scalars(select(Square.number).where(Square.lattice.is_(None)).order_by(Square.number)).all() == [
            1,
            2,
            3,
        ]
        assert disagreements(db) == []
        assert set(fold(db)[("square", squares[0].id)]) == set(Square.__table__.columns.keys())
    assert journal.row(Square, squares[2].id).number == 3


def test_rows_added_together_are_state_too(journal: Journal) -> None:
    measure = {"of_kind": "exposure", "of_id": 1, "name": "ice", "value": 1.0, "version": "1", "at": NOON}
    with pytest.raises(AssertionError, match="without an event"), journal.write() as entry:
        entry.add_many(Measure, [measure], apart_by="name")
    with journal.write() as entry:
        entry.add_many(Measure, [measure, {**measure, "name": "fit"}], apart_by="name")
        entry.say("exposure_judged", "twice")
    with journal.read() as db:
        assert db.scalars(select(Measure.name).order_by(Measure.id)).all() == ["ice", "fit"]
        assert disagreements(db) == []


def test_steps_of_an_earlier_process_are_found(journal: Journal) -> None:
    journal.step("one", "kind", lambda _: None, lambda entry, _: rename(entry, "two"))
    later = Journal(journal._engine, 1, lambda: NOON)
    assert (later.step_status("one"), later.step_status("never")) == ("done", None)
    assert not later.step("one", "kind", lambda _: 1 / 0, lambda entry, _: rename(entry, "three"))


def test_the_intent_is_kept_and_given_again(journal: Journal) -> None:
    seen = []
    numbers = iter((7, 8))

    def act(intent):
        seen.append(intent["n"])
        if len(seen) == 1:
            raise MayHaveRun("crash")

    def go():
        journal.step("i", "kind", act, lambda entry, _: rename(entry, "i"), intend=lambda _: {"n": next(numbers)})

    with pytest.raises(MayHaveRun):
        go()
    go()
    assert seen == [7, 7]


def test_state_never_changes_without_a_word(journal: Journal) -> None:
    with pytest.raises(AssertionError, match="without an event"), journal.write() as entry:
        entry.db.scalars(select(Grid)).one().name = "silent"
    with journal.read() as db:
        assert db.scalars(select(Grid.name)).one() == "one"


def test_folded_events_are_the_rows_even_over_several_flushes(journal: Journal) -> None:
    with journal.write() as entry:
        grid = entry.db.scalars(select(Grid)).one()
        grid.status, grid.used_s = "loading", 1.5
        entry.db.flush()
        grid.status = "loaded"
        grid.first_loaded_at = NOON
        entry.db.add(Grid(session_id=1, slot=2, name="two"))
        entry.say("changed", "twice")
    with journal.read() as db:
        assert disagreements(db) == []
        last = db.scalars(select(Event).order_by(Event.id.desc())).first()
        assert last is not None
        assert {change["table"] for change in last.body["changes"]} == {"grid"}
        before = fold(db, upto=last.id - 1)
    assert before[("grid", 1)]["status"] == "waiting"


def test_events_of_the_first_schema_tell_what_the_upgrade_made_of_their_rows(journal: Journal) -> None:
    with journal.write() as entry:
        old = [{"table": "exposure", "id": 5, "set": {"hole_id": 7}}, {"table": "hole", "id": 7, "set": {"number": 1}}]
        entry.say("exposed", "before there were several shots", changes=old)
    with journal.read() as db:
        assert fold(db)[("exposure", 5)] == {"hole_id": 7, "shot": 0}
        assert fold(db)[("hole", 7)] == {"number": 1, "shots": None}


def test_a_difference_between_rows_and_events_is_found(journal: Journal) -> None:
    with OrmSession(journal._engine) as db, db.begin():
        db.scalars(select(Grid)).one().name = "behind the journal's back"
    with journal.read() as db:
        assert any("grid 1 name" in line for line in disagreements(db))


def test_a_crash_before_the_commit_leaves_the_intent_only(tmp_path: Path) -> None:
    engine = create_record(tmp_path / "night.db")
    trips = {"left": 99}

    class Power(BaseException):
        pass

    def point(name: str) -> None:
        if name == "before commit":
            trips["left"] -= 1
            if trips["left"] == 0:
                raise Power

    journal = Journal(engine, 1, lambda: NOON, point)
    with journal.write() as entry:
        entry.db.add(
            Session(
                id=1,
                name="n",
                protocol={},
                cassette={},
                microscope={},
                plugins={},
                code_version="0",
                seed=1,
                phase="inventory",
                started_at=NOON,
            )
        )
        entry.say("night_began", "began")
    trips["left"] = 2
    with pytest.raises(Power):
        journal.step("s", "kind", lambda _: 1, lambda entry, _: entry.say("did", "it") and None)
    with journal.read() as db:
        assert db.get_one(Step, "s").status == "started"
        assert not db.scalars(select(Event).where(Event.kind == "did")).all()
    engine.dispose()
