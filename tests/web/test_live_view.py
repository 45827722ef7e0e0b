import io
import threading
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from sqlalchemy import Engine
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models as m
from epicycle.db.connection import RecordMissing, create_record, open_writer
from epicycle.orchestrator.flow import Phase
from epicycle.web.glance import Watcher
from epicycle.web.live import final_ranking, follow, status_text
from epicycle.web.terminal import STAGES, Screen

ESCAPES = "\x1b[2J\x1b]0;owned\x07 \u202egnp.exe\nnext"
SLOTS: dict[int, dict[str, Any]] = {
    1: {"name": "good", "usable": 0.95, "visited": 2},
    2: {"name": "n" * 300, "usable": 0.05, "flags": ("thick",), "visited": 2},
    3: {"name": ESCAPES, "status": "failed", "reason": "did not arrive"},
    4: {"name": "", "status": "empty"},
    **{slot: {"name": f"grid {slot}", "status": "waiting"} for slot in range(5, 13)},
}
FAULTS = [(3, "LoadFailed", f"The grid did not arrive {ESCAPES} {'long ' * 40}", "leave-grid")] * 4


def drawn(thing: Any, width: int, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(thing)
    return capture.get().rstrip("\n").split("\n")


@pytest.fixture(scope="module")
def going(paint: Callable[..., Path]) -> Path:
    return paint(SLOTS, run_status="running", faults=FAULTS, name=f"night {ESCAPES}")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 20), (132, 40), (220, 60), (40, 12)])
def test_screen_fits_any_size(going: Path, reader_of: Callable[[Path], Engine], width: int, height: int) -> None:
    lines = drawn(Screen(Watcher(reader_of(going)).look(), UTC), width, height)
    assert len(lines) < height
    assert all(cell_len(line) <= width for line in lines)
    assert not any(letter in line for line in lines for letter in "\x1b\x07\u202e\r")


def test_screen_at_80_by_24_says_where_it_is_and_why(going: Path, reader_of: Callable[[Path], Engine]) -> None:
    lines = drawn(Screen(Watcher(reader_of(going)).look(), UTC), 80, 24)
    said = "\n".join(lines)
    assert "running" in lines[0]
    assert "UTC" in lines[0]
    assert "[expose]" in said
    assert "exposing hole 12 of square 4" in said
    for word in ("● collect", "✕ remake", "! failed", "empty", "· waiting", "faults", "LoadFailed", "decisions"):
        assert word in said, word
    slots = [line[:2].strip() for line in lines] + [line[40:43].strip() for line in lines]
    assert {str(slot) for slot in range(1, 13)} <= set(slots)
    assert "exposures 16" in said
    assert "last dose" in said


def test_every_phase_has_its_place_on_the_path() -> None:
    placed = [phase for phases in STAGES.values() for phase in phases]
    assert sorted(placed) == sorted(Phase)


def test_status_is_drawn_once_at_any_length(going: Path, reader_of: Callable[[Path], Engine], tmp_path: Path) -> None:
    said = "\n".join(drawn(status_text(reader_of(going), UTC), 100, 5))
    assert "running" in said
    assert said.count("LoadFailed") == 4
    create_record(tmp_path / "night.db").dispose()
    with pytest.raises(RecordMissing):
        status_text(reader_of(tmp_path / "night.db"))


@pytest.mark.parametrize("width", [80, 140])
def test_ranking_table_is_one_line_per_grid(going: Path, reader_of: Callable[[Path], Engine], width: int) -> None:
    lines = drawn(final_ranking(reader_of(going)), width)
    assert all(cell_len(line) <= width for line in lines)
    assert "empty slots: 4" in lines[-1]
    rows = [line.split() for line in lines]
    assert next(row for row in rows if row[:2] == ["1", "1"])[2:5] == ["good", "●", "collect"]
    assert next(row for row in rows if row[:2] == ["2", "2"])[3:5] == ["✕", "remake"]
    if width == 80:
        assert len(lines) == 1 + 11 + 1
    else:
        assert any("too thick" in line for line in lines)


def test_lines_tell_what_is_worth_a_line(going: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=60)
    with follow(going, console, zone=UTC):
        pass
    lines = file.getvalue().splitlines()
    judged = [line for line in lines if "exposure 1: " in line]
    assert len(judged) == 1
    assert judged[0].split("  ")[1].strip() == "slot 1"
    assert not any("expose: hole" in line for line in lines)
    assert sum("LoadFailed" in line for line in lines) == 4
    assert all(line[2] == ":" and "\x1b" not in line for line in lines)


def test_view_follows_a_night_that_goes_on(paint: Callable[..., Path]) -> None:
    database = paint({1: {"visited": 1, "shots": 2}}, run_status="running")
    file = io.StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True, color_system=None)
    with follow(database, console, zone=UTC):
        _wait_for(lambda: "exposing hole 12" in file.getvalue())
        engine = open_writer(database)
        with OrmSession(engine) as db:
            night = db.get_one(m.Session, 1)
            night.doing = "waiting for the dewars"
            db.add(m.Event(session_id=1, at=night.started_at, kind="moved_on", text="refill"))
            db.commit()
        engine.dispose()
        _wait_for(lambda: "waiting for the dewars" in file.getvalue())
    assert not any(thread.name == "live view" for thread in threading.enumerate())


def test_view_waits_for_a_record_that_is_not_there_yet(tmp_path: Path) -> None:
    with follow(tmp_path / "night.db", Console(file=io.StringIO())):
        time.sleep(0.05)


def test_quiet_night_costs_no_second_reading(going: Path, reader_of: Callable[[Path], Engine]) -> None:
    watcher = Watcher(reader_of(going))
    assert watcher.look() is watcher.look()


def _wait_for(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not seen():
        assert time.monotonic() < deadline, "the view never showed it"
        time.sleep(0.05)
