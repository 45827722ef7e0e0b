"""Time: the wall's, and a virtual one in which a night takes minutes.

All waiting of engine and drivers goes through a `Clock`, so that the same seed gives the same record whatever the load
of the host.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

T = TypeVar("T")


class Abandoned(BaseException):
    """Raised inside a call whose caller gave up on it; ends the thread of a killed driver, nothing else."""


class Clock(Protocol):
    """What time it is, and how to let it pass."""

    virtual: bool

    def now(self) -> datetime:
        """Give the present time, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        ...

    def linger(self, seconds: float) -> None:
        """Wait for a person: real time, at most so long."""
        ...

    def watch(self, start: Callable[[], "Future[T]"], deadline_s: float) -> T:
        """Start a call in another thread and wait for it; raises TimeoutError when it outlasts its deadline."""
        ...

    def abandon(self) -> None:
        """End a call that outlasted its deadline, where it can be ended."""
        ...


class WallClock:
    """The time on the wall."""

    virtual = False

    def now(self) -> datetime:
        """Give the present time, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(max(seconds, 0.0))

    def linger(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def watch(self, start: Callable[[], "Future[T]"], deadline_s: float) -> T:
        """Wait for the call, at most so long."""
        return start().result(deadline_s)

    def abandon(self) -> None:
        """Do nothing: a thread that hangs in a vendor's call cannot be ended from here."""


class VirtualClock:
    """A clock that stands still until somebody sleeps.

    Only one party sleeps at a time: the engine, or the microscope's thread while the engine waits for it in `watch`. A
    call that would sleep past its deadline stops the clock there and stays blocked, as a hung instrument does, until it
    is abandoned.
    """

    virtual = True
    WALL_LIMIT_S = 300.0

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._limit: datetime | None = None
        self._hung = threading.Event()
        self._abandoned = threading.Event()

    def now(self) -> datetime:
        """Give the present virtual time, UTC."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Advance the clock; blocks for good if that passes the deadline of the running call."""
        until = self._now + timedelta(seconds=min(max(seconds, 0.0), 1e9))
        limit = self._limit
        if limit is not None and until > limit:
            self._now = limit
            abandoned = self._abandoned
            self._hung.set()
            abandoned.wait()
            raise Abandoned
        self._now = until

    def linger(self, seconds: float) -> None:
        """Wait in real time: a person has no virtual clock."""
        time.sleep(min(seconds, 0.1))

    def watch(self, start: Callable[[], "Future[T]"], deadline_s: float) -> T:
        """Wait for the call; TimeoutError when virtual time reaches its deadline."""
        # An event of its own for each call: the end of an abandoned one must not wake the wait for the next.
        answered_or_hung = self._hung = threading.Event()
        self._limit = self._now + timedelta(seconds=deadline_s)
        work = start()
        work.add_done_callback(lambda _: answered_or_hung.set())
        try:
            in_time = answered_or_hung.wait(self.WALL_LIMIT_S)
            if work.done():
                return work.result()
            if not in_time:
                self._now = self._limit
            raise TimeoutError
        finally:
            self._limit = None

    def abandon(self) -> None:
        """End the blocked call with `Abandoned`."""
        self._abandoned.set()
        self._abandoned = threading.Event()
