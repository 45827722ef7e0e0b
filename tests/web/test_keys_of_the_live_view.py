"""Letters in the live view become commands; heavy ones only when pressed twice; leaving the view leaves the night."""

import os
import pty
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from epicycle.orchestrator.commands import VERBS
from epicycle.web.keys import KEYS, TWICE_S, Keyboard, legend


class Hand:
    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.keyboard = Keyboard(self.asked.append, timer=lambda: self.now)


def test_every_key_asks_something_the_night_understands() -> None:
    assert {key.verb for key in KEYS.values()} <= set(VERBS)
    assert all(f"{letter} {key.words}" in legend() for letter, key in KEYS.items())
    assert len(legend()) <= 80


def test_a_light_key_counts_at_once() -> None:
    hand = Hand()
    assert not hand.keyboard.press("p")
    assert hand.asked == ["pause"]
    assert "pause" in hand.keyboard.said


def test_a_heavy_key_counts_when_pressed_twice_soon() -> None:
    hand = Hand()
    hand.keyboard.press("x")
    assert hand.asked == []
    assert "again" in hand.keyboard.said
    hand.keyboard.press("x")
    assert hand.asked == ["stop"]


def test_a_heavy_key_pressed_again_late_or_after_another_does_not_count() -> None:
    hand = Hand()
    hand.keyboard.press("g")
    hand.now = TWICE_S + 0.1
    hand.keyboard.press("g")
    hand.keyboard.press("?")
    hand.keyboard.press("g")
    assert hand.asked == []


def test_q_leaves_and_asks_nothing() -> None:
    hand = Hand()
    assert hand.keyboard.press("q")
    assert hand.asked == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_on_a_terminal_the_night_is_followed_and_steered(paint: Callable[..., Path]) -> None:
    night = paint({1: {}}, run_status="running")
    ours, theirs = pty.openpty()
    size = {**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm"}
    view = subprocess.Popen(
        [sys.executable, "-m", "epicycle.cli", "status", str(night), "--follow"],
        stdin=theirs, stdout=theirs, stderr=theirs, env=size, start_new_session=True,
    )  # fmt: skip
    try:
        assert "quit view" in until(ours, "quit view")
        os.write(ours, b"p")
        until(ours, "asked: pause")
        os.write(ours, b"q")
        until(ours, "", end=view)
        assert view.wait(timeout=20) == 0
    finally:
        view.kill()
        view.wait()
        os.close(ours)
        os.close(theirs)
    with sqlite3.connect(night) as db:
        assert db.execute("SELECT verb, status FROM command").fetchall() == [("pause", "asked")]


def until(terminal: int, wanted: str, end: "subprocess.Popen[bytes] | None" = None) -> str:
    """Read what the terminal shows until a text is there, or the program has ended."""
    os.set_blocking(terminal, False)
    shown, deadline = "", time.monotonic() + 40
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.05)
        if end is None and wanted in shown:
            return shown
        if end is not None and end.poll() is not None:
            return shown
    raise AssertionError(f"{wanted!r} never came; the terminal showed {shown[-2000:]!r}")
