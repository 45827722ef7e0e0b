"""What the live view draws besides words: fits, time, what comes next, health, the picture of where we are."""

import io
import json
import sqlite3
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sqlalchemy import Engine

from epicycle.db.outlook import newest_view, queue, recent_fits, seconds_by_kind
from epicycle.web.glance import Watcher
from epicycle.web.pulse import BARS, Pulse, fit_line, health_line, take_pulse, time_line
from epicycle.web.terminal import Screen

Reads = Callable[[Path], Engine]
WELL = {
    "vacuum": "green", "valve_open": True, "beam_on": True, "loader_ok": True, "filling": False, "refill_due_s": 7800.0,
}  # fmt: skip


@pytest.fixture
def night(paint) -> Path:
    return paint({2: {"visited": 2}, 5: {"status": "waiting"}, 6: {"status": "waiting"}}, run_status="running")


def test_fits_are_those_of_the_last_exposures(night: Path, reader_of: Reads) -> None:
    found = recent_fits(reader_of(night), 5)
    with sqlite3.connect(night) as db:
        wanted = db.execute(
            "SELECT number, value, usable FROM exposure JOIN measure ON of_id = exposure.id AND of_kind = 'exposure'"
            " WHERE name = 'fit_resolution_a' ORDER BY number DESC LIMIT 5"
        ).fetchall()[::-1]
    assert [(fit.number, fit.resolution_a, fit.usable) for fit in found] == [(n, a, bool(u)) for n, a, u in wanted]


def test_the_queue_is_what_was_chosen_and_not_visited(night: Path, reader_of: Reads) -> None:
    with sqlite3.connect(night) as db:
        (grid,) = db.execute("SELECT id FROM grid WHERE slot = 2").fetchone()
        numbers = [
            row[0] for row in db.execute("SELECT number FROM square WHERE grid_id = ? AND status = 'found'", (grid,))
        ][:3]
        for order, number in enumerate(numbers[::-1]):
            db.execute(
                "UPDATE square SET status = 'chosen', visit_order = ? WHERE number = ? AND grid_id = ?",
                (order, number, grid),
            )
        db.execute("UPDATE session SET grid_id = ?", (grid,))
    ahead = queue(reader_of(night))
    assert ahead.squares == tuple(numbers[::-1])
    assert ahead.slots == (5, 6)
    assert ahead.groups == ()


def test_time_is_the_sum_of_the_steps(night: Path, reader_of: Reads) -> None:
    with sqlite3.connect(night) as db:
        (total,) = db.execute("SELECT sum(julianday(ended_at) - julianday(started_at)) * 86400 FROM step").fetchone()
    assert sum(seconds_by_kind(reader_of(night)).values()) == pytest.approx(total, rel=1e-4)
    line = time_line(take_pulse(reader_of(night), night.parent))
    assert line is not None
    shares = [int(word) for word in line.plain.replace(",", "").split() if word.isdecimal()]
    assert 97 <= sum(shares) <= 103


def test_bars_rise_with_better_fits(night: Path, reader_of: Reads) -> None:
    line = fit_line(take_pulse(reader_of(night), night.parent), 80)
    fits = recent_fits(reader_of(night), 60)
    assert line is not None
    heights = [BARS.index(letter) for letter in line.plain.split()[1]]
    best_first = np.argsort([fit.resolution_a for fit in fits])
    assert (np.diff(np.array(heights)[best_first]) <= 0).all()
    assert f"best {min(fit.resolution_a or 99 for fit in fits):.1f} Å" in line.plain


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "refill in 2 h 10 min"),
        ({"vacuum": "red"}, "! vacuum red"),
        ({"valve_open": False}, "! valve closed"),
        ({"beam_on": False}, "! no beam"),
        ({"loader_ok": False}, "! loader jammed"),
        ({"filling": True}, "dewars filling"),
    ],
)
def test_what_is_wrong_stands_out(night: Path, reader_of: Reads, changed: dict[str, object], says: str) -> None:
    samples = night.parent / "health.jsonl"
    samples.write_text(json.dumps({"free_disk_mb": 90_000, "microscope": {**WELL, **changed}}) + "\n" + '{"half')
    line = health_line(take_pulse(reader_of(night), night.parent))
    assert line is not None
    assert says in line.plain
    assert ("!" in line.plain) is says.startswith("!")
    assert "disk 88 GB free" in line.plain


def test_a_full_disk_stands_out_and_no_sample_is_no_line(night: Path, reader_of: Reads) -> None:
    (night.parent / "health.jsonl").write_text('{"free_disk_mb": 900}\n')
    line = health_line(take_pulse(reader_of(night), night.parent))
    assert line is not None
    assert "! disk 1 GB free" in line.plain
    (night.parent / "health.jsonl").write_text("nonsense\n")
    assert health_line(take_pulse(reader_of(night), night.parent)) is None


def test_the_picture_is_read_once_for_each_view(night: Path, reader_of: Reads) -> None:
    reader = reader_of(night)
    view = newest_view(reader)
    assert view is not None
    first = take_pulse(reader, night.parent)
    assert first.picture is not None
    assert first.picture_name == view.name
    (night.parent / view.path).unlink()
    again = take_pulse(reader, night.parent, first)
    assert again.picture is first.picture
    assert take_pulse(reader, night.parent).picture is None


@pytest.mark.parametrize(("size", "shown"), [((150, 40), True), ((80, 24), False)])
def test_the_picture_stands_where_there_is_room(
    night: Path, reader_of: Reads, size: tuple[int, int], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    glance = Watcher(reader_of(night)).look()
    drawn: list[Pulse] = []
    monkeypatch.setattr("epicycle.web.terminal.Blocks", lambda *_, **__: drawn.append(glance.pulse) or "")
    console = Console(width=size[0], height=size[1], file=io.StringIO())
    console.print(Screen(glance, UTC))
    assert bool(drawn) is shown
