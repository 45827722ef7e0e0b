"""Virtual time: it moves only when somebody sleeps, and a call that outlasts its deadline hangs until abandoned."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from epicycle.hardware.clock import Abandoned, VirtualClock, WallClock

START = datetime(2026, 1, 5, 18, tzinfo=UTC)


def in_thread(act: Callable[[], object]) -> Callable[[], "Future[object]"]:
    seat = ThreadPoolExecutor(1)

    def start() -> "Future[object]":
        work = seat.submit(act)
        seat.shutdown(wait=False)
        return work

    return start


def test_a_night_passes_in_no_time() -> None:
    clock = VirtualClock(START)
    begun = time.monotonic()
    clock.sleep(12 * 3600)
    assert clock.now() == START + timedelta(hours=12)
    assert time.monotonic() - begun < 1.0


def test_time_never_runs_back() -> None:
    clock = VirtualClock(START)
    clock.sleep(-5)
    assert clock.now() == START


def test_a_call_within_its_deadline_answers() -> None:
    clock = VirtualClock(START)

    def act() -> int:
        clock.sleep(50)
        return 7

    assert clock.watch(in_thread(act), 60.0) == 7
    assert clock.now() == START + timedelta(seconds=50)


def test_a_call_that_fails_raises_its_own_error() -> None:
    clock = VirtualClock(START)

    def act() -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        clock.watch(in_thread(act), 60.0)


def test_a_hung_call_times_out_at_its_deadline_and_ends_when_abandoned() -> None:
    clock = VirtualClock(START)
    ended = threading.Event()
    went_on: list[str] = []

    def act() -> None:
        try:
            clock.sleep(10)
            clock.sleep(1e9)
            went_on.append("after the hang")
        except Abandoned:
            ended.set()
            raise

    with pytest.raises(TimeoutError):
        clock.watch(in_thread(act), 60.0)
    assert clock.now() == START + timedelta(seconds=60)
    assert not ended.is_set()
    clock.abandon()
    assert ended.wait(5.0)
    assert went_on == []


def test_the_clock_goes_on_after_a_hung_call() -> None:
    clock = VirtualClock(START)
    with pytest.raises(TimeoutError):
        clock.watch(in_thread(lambda: clock.sleep(1e9)), 30.0)
    clock.abandon()
    clock.sleep(40)
    assert clock.now() == START + timedelta(seconds=70)
    assert clock.watch(in_thread(lambda: clock.sleep(5)), 30.0) is None


def test_the_end_of_an_abandoned_call_does_not_wake_the_next() -> None:
    clock = VirtualClock(START)
    with pytest.raises(TimeoutError):
        clock.watch(in_thread(lambda: clock.sleep(1e9)), 30.0)

    def act() -> str:
        clock.abandon()
        time.sleep(0.1)
        return "own answer"

    assert clock.watch(in_thread(act), 30.0) == "own answer"


def test_a_sleep_that_ends_right_at_the_deadline_is_in_time() -> None:
    clock = VirtualClock(START)
    assert clock.watch(in_thread(lambda: clock.sleep(60)), 60.0) is None


def test_the_wall_clock_waits_and_gives_up() -> None:
    clock = WallClock()
    release = threading.Event()
    before = clock.now()
    clock.sleep(0.01)
    assert clock.now() > before
    with pytest.raises(TimeoutError):
        clock.watch(in_thread(lambda: release.wait(5)), 0.05)
    release.set()
    clock.abandon()
