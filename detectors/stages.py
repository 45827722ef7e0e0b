"""What a finder did stage by stage, and how long each stage took, for whoever asks to have it explained.

A finder marks its stages with `stage` wherever it runs; nothing is kept unless a caller listens.

    with listening(time.process_time) as stages:
        finder.find(image)
    for one in stages:
        print(one.name, one.found, one.cpu_s)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Say = Callable[[str], None]
"""Takes what a stage found, in words."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage that is over: what it found in words, and its seconds by the listener's clock."""

    name: str
    found: str
    cpu_s: float


@dataclass(frozen=True, slots=True)
class _Listener:
    clock: Callable[[], float]
    stages: list[Stage]


_LISTENER: ContextVar[_Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(clock: Callable[[], float]) -> Iterator[list[Stage]]:
    """Keep the stages that run within; `clock` answers seconds, of the processor if the cost of stages is asked for."""
    stages: list[Stage] = []
    token = _LISTENER.set(_Listener(clock, stages))
    try:
        yield stages
    finally:
        _LISTENER.reset(token)


@contextmanager
def stage(name: str) -> Iterator[Say]:
    """Mark one stage of a finder; what is given says what was found. Stages may lie in stages: the inner end first."""
    listener = _LISTENER.get()
    said: list[str] = []
    begin = 0.0 if listener is None else listener.clock()
    try:
        yield said.append
    finally:
        if listener is not None:
            listener.stages.append(Stage(name, "; ".join(said), listener.clock() - begin))


def counted(words: Iterable[str]) -> str:
    """Count words for people: ``12 hole, 3 partial``; ``none`` where there are none."""
    return ", ".join(f"{often} {word}" for word, often in Counter(words).most_common()) or "none"
