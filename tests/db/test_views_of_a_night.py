"""Views: each number counted a second time in plain SQL, few queries however long the night."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from sqlalchemy import event, text

from epicycle.db import lease, views
from epicycle.db.connection import RecordMissing, open_reader

START = datetime(2025, 3, 1, 18, 0, tzinfo=UTC)


@pytest.fixture
def reader(miniature):
    engine = open_reader(miniature[0])
    yield engine
    engine.dispose()


@pytest.fixture
def sql(miniature):
    """Ask the file by another way."""
    with closing(sqlite3.connect(f"file:{miniature[0]}?mode=ro", uri=True)) as raw:

        def ask(question, *args):
            return raw.execute(question, args).fetchall()

        yield ask


def number(sql, question, *args):
    return sql(question, *args)[0][0]


def test_status_says_where_the_night_is(reader, sql):
    status = views.night_status(reader)
    assert (status.name, status.phase, status.run_status, status.slot) == ("miniature", "expose", "running", 6)
    assert (status.grid_name, status.square_number, status.group_number) == ("at work", 1, None)
    assert status.doing == "exposing hole 2 of square 1"
    assert status.clock == START + timedelta(minutes=170)
    assert status.last_event_id == number(sql, "SELECT max(id) FROM event")
    assert status.last_dose_e_per_a2 == 40.0
    assert status.holder is None
    assert not status.over


def test_status_counts_as_plain_sql_does(reader, sql):
    counts = views.night_status(reader).counts
    done = "FROM exposure WHERE status = 'done'"
    assert counts == views.Counts(
        grids=6,
        grids_done=4,
        squares=number(sql, "SELECT count(*) FROM square"),
        squares_visited=number(sql, "SELECT count(*) FROM square WHERE status = 'done'"),
        holes=number(sql, "SELECT count(*) FROM hole"),
        exposures=number(sql, f"SELECT count(*) {done}"),
        lost=7,
        judged=number(sql, f"SELECT count(*) {done} AND usable IS NOT NULL"),
        usable=number(sql, f"SELECT sum(usable) {done}"),
        waiting=1,
        faults=1,
        commands_waiting=1,
    )


def test_estimated_end_carries_the_mean_turn_on(reader, miniature):
    """Three of the turns ended, the last at 150 min, one without a time: two are to come, 50 min each."""
    assert views.night_status(reader).estimated_end == START + timedelta(minutes=250)
    _, engine = miniature
    with engine.begin() as db:
        db.execute(text("UPDATE session SET deadline_at = '2025-03-01 21:00:00.000000'"))
    assert views.night_status(reader).estimated_end == START + timedelta(hours=3)
    with engine.begin() as db:
        db.execute(text("UPDATE grid SET finished_at = NULL"))
    assert views.night_status(reader).estimated_end is None
    with engine.begin() as db:
        db.execute(text("UPDATE session SET run_status = 'stopped'"))
    status = views.night_status(reader)
    assert status.over
    assert status.estimated_end == status.clock


def test_status_shows_who_writes(miniature, reader, ticks):
    path, engine = miniature
    with lease.hold(engine, path, ticks):
        assert views.night_status(reader).holder.alive is True


def test_status_of_a_record_without_a_night(record):
    path, _ = record
    reader = open_reader(path)
    with pytest.raises(RecordMissing, match="no night yet"):
        views.night_status(reader)
    assert views.grids(reader) == []
    assert views.rank(reader) == []
    reader.dispose()


IN_GRID = "FROM exposure e JOIN hole h ON h.id = e.hole_id JOIN square s ON s.id = h.square_id WHERE s.grid_id = ?"
NEWEST = "SELECT value FROM measure m WHERE of_kind = 'exposure' AND of_id = e.id AND name = ? ORDER BY at DESC LIMIT 1"


def test_each_slot_as_plain_sql_sees_it(reader, sql):
    slots = views.grids(reader)
    assert [grid.slot for grid in slots] == [1, 2, 3, 4, 5, 6, 7]
    for grid in slots:
        assert grid.squares == number(sql, "SELECT count(*) FROM square WHERE grid_id = ?", grid.id)
        assert grid.holes == number(
            sql, "SELECT count(*) FROM hole WHERE square_id IN (SELECT id FROM square WHERE grid_id = ?)", grid.id
        )
        assert grid.exposures == number(sql, f"SELECT count(*) {IN_GRID} AND e.status = 'done'", grid.id)
        assert grid.lost == number(sql, f"SELECT count(*) {IN_GRID} AND e.status = 'lost'", grid.id)
        assert grid.usable == number(sql, f"SELECT count(*) {IN_GRID} AND e.usable = 1", grid.id)
        assert grid.judged == number(sql, f"SELECT count(*) {IN_GRID} AND e.usable IS NOT NULL", grid.id)
        fits = [fit for (fit,) in sql(f"SELECT ({NEWEST}) {IN_GRID}", "fit_resolution_a", grid.id) if fit is not None]
        assert grid.best_fit_a == (min(fits) if fits else None)
        assert grid.median_fit_a == (median(fits) if fits else None)
        assert sum(judged for judged, _ in grid.by_square) == grid.judged
        assert sum(usable for _, usable in grid.by_square) == grid.usable


def test_first_slot_in_detail(reader):
    good = views.grids(reader)[0]
    assert (good.squares, good.squares_visited, good.good_left) == (5, 3, 1)
    assert good.categories == {"good": 4, "cracked": 1}
    assert good.by_square == [(5, 4), (5, 5), (5, 5)]
    assert good.median_ice_nm == 30.0
    thick = views.grids(reader)[1]
    assert thick.flags == {"no-fit": 9, "thick": 9}
    assert thick.median_fit_a is None
    assert thick.last_at == START + timedelta(minutes=10 + thick.last_exposure)


def test_several_shots_of_a_hole_are_one_hole_and_several_exposures(miniature, reader):
    """One more shot, not usable, on the first hole of the first square: half of the two are."""
    _, engine = miniature
    before, hole = views.grids(reader)[0], views.holes_of(reader, square_id=1)[0]
    assert hole.usable is True
    again = (
        "INSERT INTO exposure (hole_id, number, shot, status, reason, shift_x_um, shift_y_um, offset_x_um, "
        "offset_y_um, target_defocus_um, analysis, flags, usable) "
        "VALUES (:hole, 900, :shot, 'done', '', 0, 0, 0.3, 0, -1.5, 'done', '[]', :usable)"
    )
    with engine.begin() as db:
        db.execute(text(again), {"hole": hole.id, "shot": 1, "usable": False})
    after = views.grids(reader)[0]
    assert (after.holes, after.exposures, after.judged) == (before.holes, before.exposures + 1, before.judged + 1)
    assert after.by_square == [(5, before.by_square[0][1] - 0.5), *before.by_square[1:]]
    square = views.squares_of(reader, after.id)[0]
    assert (square.holes, square.holes_exposed, square.exposures) == (6, 5, 6)
    holes = views.holes_of(reader, square_id=1)
    assert len(holes) == 6
    assert (holes[0].exposure_number, holes[0].usable) == (hole.exposure_number, True), "half of its shots are usable"
    with engine.begin() as db:
        db.execute(text(again), {"hole": hole.id, "shot": 2, "usable": False})
    assert views.holes_of(reader, square_id=1)[0].usable is False
    assert [shot.shot for shot in views.exposures_of(reader, square_id=1) if shot.hole_id == hole.id] == [0, 1, 2]


def test_shots_that_blame_the_microscope_do_not_count_against_the_grid(miniature, reader):
    _, engine = miniature
    with engine.begin() as db:
        db.execute(text("UPDATE exposure SET flags = '[\"black\"]', usable = 0 WHERE id <= 5 AND status = 'done'"))
    good = views.grids(reader)[0]
    assert (good.judged, good.usable) == (10, 10)
    assert views.night_status(reader).counts.judged == 20
    assert views.night_status(reader).counts.usable == 11


def test_rows_of_a_grid(reader, sql):
    good = views.grids(reader)[0]
    squares = views.squares_of(reader, good.id)
    assert [square.number for square in squares] == [1, 2, 3, 4, 5]
    assert [(square.holes, square.exposures, square.usable) for square in squares] == [
        (6, 5, 4),
        (6, 5, 5),
        (6, 5, 5),
        (0, 0, 0),
        (0, 0, 0),
    ]
    assert squares[0].image.name == "g1-s1-v1", "the newest survey image"
    assert squares[3].image is None
    assert len(views.squares_of(reader)) == number(sql, "SELECT count(*) FROM square")
    holes = views.holes_of(reader, square_id=squares[1].id)
    assert [hole.number for hole in holes] == [1, 2, 3, 4, 5, 6]
    assert [hole.usable for hole in holes] == [True] * 5 + [None]
    assert len(views.holes_of(reader, grid_id=good.id)) == good.holes
    groups = views.groups_of(reader, grid_id=good.id)
    assert [(group.square_id, group.holes) for group in groups] == list(
        zip([square.id for square in squares], [5, 5, 5, 0, 0], strict=True)
    )
    assert len(views.groups_of(reader, square_id=squares[0].id)) == 1


def test_shots_with_measures_and_images(reader, sql):
    shots = views.exposures_of(reader)
    assert [shot.number for shot in shots] == [one for (one,) in sql("SELECT number FROM exposure ORDER BY number")]
    first = shots[0]
    assert (first.slot, first.square_number, first.hole_number) == (1, 1, 1)
    assert first.measures == {"ice_nm": 30.0, "fit_resolution_a": pytest.approx(3.7)}, "the newest of two versions"
    assert [image.kind for image in first.images] == ["micrograph", "picture"]
    one = views.exposures_of(reader, square_id=first.square_id)
    assert {shot.square_id for shot in one} == {first.square_id}
    assert one[0] == first
    by_grid = views.exposures_of(reader, grid_id=first.grid_id)
    assert [shot for shot in shots if shot.slot == 1] == by_grid
    assert [shot.status for shot in one] == ["done"] * 5 + ["lost"]


def test_atlas_is_the_one_that_was_stitched(reader, miniature):
    _, engine = miniature
    with engine.begin() as db:
        db.execute(text("INSERT INTO atlas VALUES (90, 1, 0, 'failed', NULL, NULL, 'no beam')"))
    atlas = views.atlas_of(reader, 1)
    assert (atlas.load_number, atlas.status, atlas.image.name) == (1, "done", "g1-atlas")
    assert [tile.number for tile in atlas.tiles] == [1, 2]
    assert views.atlas_of(reader, 3) is None


def test_words_of_the_night(reader):
    assert [one.kind for one in views.events(reader)] == ["night_began", "grid_left", "hole_exposed"]
    assert [one.kind for one in views.events(reader, after=1)] == ["grid_left", "hole_exposed"]
    assert [one.kind for one in views.events(reader, limit=1)] == ["hole_exposed"]
    assert [one.of_kind for one in views.decisions_of(reader)] == ["session", "grid", "square"]
    assert [one.of_kind for one in views.decisions_of(reader, grid_id=1)] == ["grid"]
    assert [one.of_kind for one in views.decisions_of(reader, grid_id=6)] == ["square"]
    assert views.decisions_of(reader)[0].reasons == {"1": "small", "2": "large"}
    assert [one.kind for one in views.faults(reader)] == ["LoadFailed"]
    assert views.faults(reader, grid_id=2) == []
    assert [one.verb for one in views.commands(reader)] == ["pause"]
    assert [(one.slot, one.seconds) for one in views.timeline(reader)] == [(1, 60.0), (6, 60.0)]
    assert [one.slot for one in views.timeline(reader, grid_id=6)] == [6]
    assert {one.of_kind for one in views.images(reader, "atlas")} == {"atlas"}
    assert len(views.images(reader, "exposure", 1)) == 2


def test_several_views_on_one_connection_see_one_state(miniature, reader):
    _, engine = miniature
    with reader.connect() as connection:
        before = views.night_status(connection)
        with engine.begin() as db:
            db.execute(text("UPDATE hole SET status = 'skipped'"))
            db.execute(text("DELETE FROM fault"))
        assert len(views.faults(connection)) == before.counts.faults == 1
    assert views.faults(reader) == []


@pytest.mark.parametrize(
    ("view", "most"),
    [
        (views.night_status, 10),
        (views.grids, 5),
        (views.rank, 5),
        (views.squares_of, 2),
        (views.groups_of, 2),
        (views.holes_of, 1),
        (views.exposures_of, 3),
        (views.timeline, 1),
    ],
)
def test_number_of_queries_does_not_grow_with_the_night(reader, view, most):
    asked = []
    event.listen(reader, "before_cursor_execute", lambda *call: asked.append(call[2]))
    view(reader)
    assert len([one for one in asked if one.startswith("SELECT")]) <= most
