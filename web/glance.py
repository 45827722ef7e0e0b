"""The night at a glance, kept up to date cheaply: what live view and status show.

The one line of where it is costs a few counts and is read whenever something happened; the cassette costs a pass over
squares and exposures and is read seldom enough to stay within its share of the processor.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from ..db import views
from ..db.views import EventView, NightStatus, RankedGrid
from .pulse import Pulse, take_pulse

REMEMBERED = 50
"""Faults and decisions kept for display."""
SHARE = 0.01
"""How much of one processor reading may take."""
LONGEST_S = 5.0
"""A cassette older than this is read again all the same; on a busy machine people look at it the more."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What is known now. Grids by slot; faults and decisions as the events that told of them, the latest last.

    ``pulse`` is as old as the cassette.
    """

    status: NightStatus
    cassette: tuple[RankedGrid, ...]
    faults: tuple[EventView, ...]
    decisions: tuple[EventView, ...]
    pulse: Pulse


@dataclass(slots=True)
class Watcher:
    """Reads the record of a night again and again."""

    reader: Engine
    timer: Callable[[], float] = time.perf_counter
    _seen: int = 0
    _last: Glance | None = None
    _cassette: tuple[RankedGrid, ...] = ()
    _pulse: Pulse | None = None
    _cassette_upto: int = -1
    _next_cassette: float = 0.0
    _faults: deque[EventView] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _decisions: deque[EventView] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def look(self) -> Glance:
        """Read what is new; answers the same glance again while nothing happens."""
        with views.connected(self.reader) as connection:
            news = views.events(connection, after=self._seen)
            if self._last is not None and not news and not self._stale:
                return self._last
            self._take(news)
            if self._stale:
                began = self.timer()
                self._cassette = tuple(sorted(views.rank(connection), key=lambda ranked: ranked.grid.slot))
                self._pulse = take_pulse(connection, self._folder, self._pulse)
                self._cassette_upto = self._seen
                self._next_cassette = began + min((self.timer() - began) / SHARE, LONGEST_S)
            status = views.night_status(connection)
        assert self._pulse is not None, "the first look is a stale one"
        self._last = Glance(status, self._cassette, tuple(self._faults), tuple(self._decisions), self._pulse)
        return self._last

    @property
    def _folder(self) -> Path | None:
        """The folder of a record that is a file; images and samples of health lie there."""
        name = self.reader.url.database if self.reader.dialect.name == "sqlite" else None
        return Path(name.removeprefix("file:").partition("?")[0]).parent if name else None

    @property
    def _stale(self) -> bool:
        """Whether the cassette may be read again and something happened since it was."""
        behind = self._last is None or self._cassette_upto < self._seen
        return behind and self.timer() >= self._next_cassette

    def _take(self, news: Iterable[EventView]) -> None:
        for event in news:
            self._seen = event.id
            if event.kind == "failed":
                self._faults.append(event)
            elif event.kind.endswith("_chosen"):
                self._decisions.append(event)
