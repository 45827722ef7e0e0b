"""What people ask of a running night, asked through the record as the command line does."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from small_night import cassette, protocol, run_new, run_on, settings
from sqlalchemy import select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db.asking import ask
from epicycle.db.connection import open_reader
from epicycle.db.folding import disagreements
from epicycle.db.models import BisGroup, Command, Exposure, Grid, Hole, Session, Square
from epicycle.orchestrator.opening import NightOver, begin, take_up
from epicycle.orchestrator.screening import screen

Ask = Callable[[Path], object]


def asking(folder: Path, at: str, number: int, *commands: tuple[str, dict[str, Any]]) -> Callable[[str], None]:
    """Make a trigger that asks these when the night comes to a point for the n-th time."""
    seen = 0

    def point(name: str) -> None:
        nonlocal seen
        seen += name == at
        if name == at and seen == number:
            for verb, args in commands:
                tell(folder, verb, args)

    return point


def tell(folder: Path, verb: str, args: dict[str, Any] | None = None, key: str | None = None) -> int:
    now = datetime.now(UTC)
    return ask(
        folder / "night.db",
        verb,
        args or {},
        asked_by="ada",
        asked_at=now,
        idempotency_key=key or f"{verb} {now.timestamp()}",
    )


def rows(folder: Path, table: type, *where: Any) -> list[Any]:
    reader = open_reader(folder / "night.db")
    try:
        with OrmSession(reader, expire_on_commit=False) as db:
            assert disagreements(db) == []
            return list(db.scalars(select(table).where(*where)))
    finally:
        reader.dispose()


def test_stop_parks_at_the_boundary_and_the_night_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    session = run_new(folder, point=asking(folder, "after acquire", 3, ("stop", {})))
    assert session.run_status == "stopped"
    assert "ada" in session.outcome
    assert run_on(folder).run_status == "finished"
    assert all(grid.loads == 1 for grid in rows(folder, Grid))
    with pytest.raises(NightOver), take_up(folder / "night.db", settings()):
        pass


def test_pause_waits_and_resume_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    timer = Timer(2.0, lambda: tell(folder, "resume"))

    def point(name: str) -> None:
        ask_pause(name)
        if name == "after acquire" and not timer.is_alive() and timer.ident is None:
            timer.start()

    ask_pause = asking(folder, "after acquire", 2, ("pause", {}))
    assert run_new(folder, point=point).run_status == "finished"
    assert [(c.verb, c.status) for c in rows(folder, Command)] == [("pause", "obeyed"), ("resume", "obeyed")]


def test_a_command_asked_twice_under_one_key_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "n"

    def point(name: str) -> None:
        if name == "after load":
            tell(folder, "resume", key="same")

    run_new(folder, point=point)
    (command,) = rows(folder, Command)
    assert command.status == "refused"
    assert "not paused" in command.answer


def test_skip_square_and_skip_grid(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    run_new(folder, point=asking(folder, "after autofocus", 1, ("skip-square", {}), ("skip-grid", {"slot": 2})))
    (square,) = rows(folder, Square, Square.status == "skipped")
    assert square.reason == "skipped by ada"
    assert [grid.status for grid in rows(folder, Grid)] == ["screened", "skipped"]
    assert not rows(folder, Exposure, Exposure.status == "intended")
    assert all(group.status != "chosen" for group in rows(folder, BisGroup))


def test_targets_are_added_and_taken_off(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    plan = protocol(holes={"per_square": 2, "policy": {"use": "first-come"}, "threshold": 0.3}, focus={"on": False})

    def point(name: str) -> None:
        if name != "after settle" or asked:
            return
        asked.append(1)
        chosen = rows(folder, Hole, Hole.status == "chosen")
        square_id = chosen[0].square_id
        free = rows(folder, Hole, Hole.status == "found", Hole.square_id == square_id, Hole.site == "hole")[-1]
        tell(folder, "remove-target", {"hole": chosen[-1].number})
        tell(folder, "add-target", {"x_um": free.stage_x_um, "y_um": free.stage_y_um, "radius_um": 2.5})
        tell(folder, "add-target", {"x_um": chosen[0].stage_x_um, "y_um": chosen[0].stage_y_um})

    asked: list[int] = []
    run_new(folder, plan, point=point, grids=cassette(1))
    assert [c.status for c in rows(folder, Command)] == ["obeyed", "obeyed", "refused"]
    (added,) = rows(folder, Hole, Hole.added_by == "ada")
    assert added.status in ("exposed", "failed")
    assert [hole.reason for hole in rows(folder, Hole, Hole.status == "skipped")] == ["taken off by ada"]


def test_a_protocol_value_changes_from_here_on_and_nonsense_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "n"
    commands = (
        ("change", {"path": "holes.per_square", "value": 1}),
        ("change", {"path": "holes.per_sqare", "value": 1}),
        ("change", {"path": "microscope.use", "value": "replay"}),
        ("dance", {}),
    )
    run_new(folder, point=asking(folder, "after load", 1, *commands))
    answered = rows(folder, Command)
    assert [c.status for c in answered] == ["obeyed", "refused", "refused", "refused"]
    assert "per_square" in answered[1].answer
    assert "skip-grid" in answered[3].answer
    (session,) = rows(folder, Session)
    assert session.protocol["holes"]["per_square"] == 1
    done = rows(folder, Square, Square.status == "done")
    chosen = [len(rows(folder, BisGroup, BisGroup.square_id == square.id)) for square in done]
    assert chosen
    assert max(chosen) == 1


def test_stop_from_the_keyboard(tmp_path: Path) -> None:
    how = settings()
    with begin(tmp_path / "n", protocol(), cassette(), seed=1, settings=how) as (night, _):
        how.stop_asked.set()
        session = screen(night)
    assert session.run_status == "stopped"
    assert "keyboard" in session.outcome
