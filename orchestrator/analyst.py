"""Analysis beside the night: a pool of processes whose results are taken in shot order, when they are due.

On a virtual clock every analysis has a modelled latency, so that what a decision has seen does not depend on how fast
this machine is; on the wall's clock a result is due when it is there. A crash of a worker, an exception or a time-out
costs a second try alone, then the result, never the night.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from ..hardware.clock import Clock
from .recovery import AnalysisFailed

T = TypeVar("T")


@dataclass(slots=True)
class Pending:
    """One analysis under way."""

    number: int
    due_at: datetime
    call: Callable[..., Any]
    args: tuple[Any, ...]
    future: "Future[Any]"


@dataclass(frozen=True, slots=True)
class Judged:
    """One analysis ended: its answer, or why there is none."""

    number: int
    answer: Any
    failure: str = ""


class Analyst:
    """Runs functions in worker processes; ``workers`` 0 runs them here and now."""

    def __init__(self, clock: Clock, *, workers: int, timeout_s: float, crashes: frozenset[int] = frozenset()) -> None:
        self._clock = clock
        self._workers = workers
        self._timeout_s = timeout_s
        self._crashes = crashes
        self._pool: Executor = self._new_pool(max(workers, 1))
        self._pending: dict[int, Pending] = {}

    def close(self) -> None:
        """Let the workers go; what is under way is dropped and begun again at the next start."""
        self._pending.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """Number of analyses under way."""
        return len(self._pending)

    def now(self, call: Callable[..., T], *args: Any, latency_s: float) -> T:
        """Run an analysis that the next step cannot do without, and wait for it.

        Raises
        ------
        AnalysisFailed
            It crashed, raised or timed out, and did so again when run alone.
        """
        future = self._submit(call, args)
        if self._clock.virtual:
            self._clock.sleep(latency_s)
        return self._answer(call, args, future)  # type: ignore[no-any-return]

    def begin(self, number: int, call: Callable[..., Any], *args: Any, latency_s: float, since: datetime) -> None:
        """Start an analysis beside the night; ``number`` is its place in shot order."""
        work = _crash if number in self._crashes else call
        due_at = since + timedelta(seconds=latency_s)
        self._pending[number] = Pending(number, due_at, work, args, self._submit(work, args))

    def collect(self) -> Iterator[Judged]:
        """Give the analyses that are due, in shot order; stops at the first that is not."""
        for number in sorted(self._pending):
            pending = self._pending[number]
            if not self._due(pending):
                return
            yield self._judged(pending)

    def drain(self) -> Iterator[Judged]:
        """Wait for every analysis under way and give it, in shot order."""
        for number in sorted(self._pending):
            pending = self._pending[number]
            wait_s = (pending.due_at - self._clock.now()).total_seconds()
            if self._clock.virtual and wait_s > 0:
                self._clock.sleep(wait_s)
            yield self._judged(pending)

    def _submit(self, call: Callable[..., T], args: tuple[Any, ...]) -> "Future[T]":
        """Hand work to the pool; one that an earlier analysis has broken is replaced first."""
        try:
            return self._pool.submit(call, *args)
        except BrokenProcessPool:
            self._restart_pool()
            return self._pool.submit(call, *args)

    def _due(self, pending: Pending) -> bool:
        return self._clock.now() >= pending.due_at if self._clock.virtual else pending.future.done()

    def _judged(self, pending: Pending) -> Judged:
        try:
            answer = self._answer(pending.call, pending.args, pending.future)
        except AnalysisFailed as error:
            answer, failure = None, str(error)
        else:
            failure = ""
        del self._pending[pending.number]
        return Judged(pending.number, answer, failure)

    def _answer(self, call: Callable[..., Any], args: tuple[Any, ...], future: "Future[Any]") -> Any:
        try:
            return future.result(self._timeout_s)
        except Exception as first:
            return self._once_more(call, args, first)

    def _once_more(self, call: Callable[..., Any], args: tuple[Any, ...], first: Exception) -> Any:
        """Try again alone in a fresh process; whatever else was under way starts again in a fresh pool."""
        if self._workers and isinstance(first, (BrokenProcessPool, TimeoutError)):
            self._restart_pool()
        alone = self._new_pool(1)
        try:
            return alone.submit(call, *args).result(self._timeout_s)
        except Exception as second:
            raise AnalysisFailed(
                f"the analysis failed twice ({_said(second)}); the image is kept, its numbers are missing"
            ) from first
        finally:
            _end(alone)

    def _restart_pool(self) -> None:
        _end(self._pool)
        self._pool = self._new_pool(max(self._workers, 1))
        for pending in self._pending.values():
            if not (pending.future.done() and pending.future.exception() is None):
                pending.future = self._pool.submit(pending.call, *pending.args)

    def _new_pool(self, workers: int) -> Executor:
        if self._workers == 0:
            return Here()
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
        return ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_settle_in, initargs=(os.getpid(),)
        )


class Here(Executor):
    """An executor that runs the call where it stands: for drills and small nights."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Run now; the future is done when this returns."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _said(error: Exception) -> str:
    """Tell a failure in words."""
    if isinstance(error, BrokenProcessPool):
        return "its process ended without a word"
    if isinstance(error, TimeoutError):
        return "it did not end in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _end(pool: Executor) -> None:
    if isinstance(pool, ProcessPoolExecutor):
        for process in list((pool._processes or {}).values()):  # noqa: SLF001  a hung worker does not heed shutdown
            process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _settle_in(parent: int) -> None:
    """Prepare a worker: one thread, deaf to Ctrl-C, gone when its parent is."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _crash(*_: Any) -> None:
    """End the worker without a word, as a fault in native code does; used by rehearsals only."""
    if multiprocessing.parent_process() is None:
        raise RuntimeError("rehearsed crash of an analysis")
    os._exit(13)
