"""Following a night from a terminal, reading its record and nothing else.

On a terminal the screen is redrawn at most twice a second, and only when something happened; in a pipe each
noteworthy event is a line. A view that fails never harms the night: it says so once in the log and goes on trying.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import tzinfo
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ..db import views
from ..db.connection import open_reader
from ..db.views import RankedGrid
from ..protocols.errors import EpicycleError
from .glance import Glance, Watcher
from .keys import Keyboard, legend, letters
from .sentences import SYMBOLS, percent, why
from .terminal import VERDICTS, Screen, at, plain

REDRAW_S = 0.5
"""Least time between two redraws."""
SHARE, LONGEST_S = 0.012, 6.0
"""How much of one processor a view on a terminal may take, and the longest it stays as it is for that."""
ROUTINE = frozenset(
    {
        *("moved_on", "atlas_planned", "tile_taken", "atlas_joined", "grid_began", "exchange_began", "height_found"),
        *("square_imaged", "square_joined", "square_done", "holes_found", "group_began", "group_centred", "group_done"),
        *("focused", "settled", "exposure_intended", "exposed", "grid_unloaded"),
    }
)
"""Kinds of events that happen all the time; every other one is worth a line."""

log = logging.getLogger("epicycle.live")


@contextmanager
def follow(
    record: Path, console: Console, *, zone: tzinfo | None = None, ask: Callable[[str], object] | None = None
) -> Iterator[threading.Event]:
    """Show a night while the body runs: redrawn on a terminal, line by line anywhere else.

    Yields an event that is set when the person leaves the view; whoever runs the night goes on without it.

    Parameters
    ----------
    record
        The database; it may not hold a night yet.
    console
        Where to show it.
    zone
        Zone of the times shown; this machine's where none is given.
    ask
        Puts a command into the record; without it the view has no keys.
    """
    done, left = threading.Event(), threading.Event()
    keyboard = None if ask is None else Keyboard(ask)

    def work(reader: Engine) -> None:
        if console.is_terminal:
            redraw(reader, console, done, zone, keyboard)
            if not done.is_set():
                left.set()
                done.wait()
        else:
            print_lines(reader, console, done, zone)

    thread = threading.Thread(target=_safely, args=(work, record, done), name="live view", daemon=True)
    thread.start()
    try:
        yield left
    finally:
        done.set()
        thread.join(timeout=10)


def redraw(
    reader: Engine,
    console: Console,
    done: threading.Event,
    zone: tzinfo | None = None,
    keyboard: Keyboard | None = None,
) -> None:
    """Keep the screen up to date until ``done`` is set or the person leaves; the screen is wiped at the end."""
    watcher = Watcher(reader)
    shown: tuple[Glance, str] | None = None
    pause_s = REDRAW_S
    with (
        letters() if keyboard else nullcontext(done.wait) as pressed,
        Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live,
    ):
        while not done.is_set():
            letter = pressed(pause_s)
            began_s = time.thread_time()
            if keyboard is not None and isinstance(letter, str) and letter and keyboard.press(letter):
                return
            now = watcher.look(), "" if keyboard is None else keyboard.said or legend()
            if now != shown:
                live.update(Screen(now[0], zone, foot=now[1]), refresh=True)
                shown = now
            pause_s = min(max(REDRAW_S, (time.thread_time() - began_s) / SHARE), LONGEST_S)


def print_lines(reader: Engine, console: Console, done: threading.Event, zone: tzinfo | None = None) -> None:
    """Print a line for every noteworthy event until ``done`` is set, those of the last moment included."""
    slots: Mapping[int, int] = {}
    seen, over = 0, False
    while not over:
        over = done.wait(REDRAW_S)
        for event in views.events(reader, after=seen):
            seen = event.id
            if event.kind in ROUTINE:
                continue
            if event.grid_id is not None and event.grid_id not in slots:
                slots = {grid.id: grid.slot for grid in views.grids(reader)}
            slot = slots.get(event.grid_id or 0)
            where = "night" if slot is None else f"slot {slot}"
            line = f"{at(event.at, zone)}  {where:<7}  {plain(event.text)}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)


def status_text(reader: Engine, zone: tzinfo | None = None) -> RenderableType:
    """Say what is going on, once.

    Raises
    ------
    RecordMissing
        The record holds no night yet.
    """
    return Screen(Watcher(reader).look(), zone, tall=True)


def final_ranking(reader: Engine) -> RenderableType:
    """Rank the grids in a table, best first, with the reasons where the width allows; empty slots in one line."""
    ranking = views.rank(reader)
    seen = [ranked for ranked in ranking if ranked.grid.status != "empty"]
    empty = [str(ranked.grid.slot) for ranked in ranking if ranked.grid.status == "empty"]
    line = (
        Text(f"empty slots: {', '.join(empty)}", style="dim") if empty else Text("every slot had a grid", style="dim")
    )
    return Group(Ranking(seen), line) if seen else Text("No grid was in the cassette.")


class Ranking:
    """The table of grids, best first."""

    def __init__(self, ranking: Sequence[RankedGrid]) -> None:
        self._ranking = ranking

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Leave the reasons out where there is no room for them."""
        wide = options.max_width >= 110
        named = 24 if wide else max(options.max_width - 64, 6)
        table = Table(box=None, padding=(0, 1), header_style="bold dim", pad_edge=False)
        for name in ("", "slot", "grid", "verdict", "sure", "usable", "best", "median", "ice"):
            right = name in ("slot", "sure", "usable", "best", "median", "ice")
            widest = named if name == "grid" else None
            table.add_column(
                name, justify="right" if right else "left", no_wrap=True, overflow="ellipsis", max_width=widest
            )
        if wide:
            table.add_column("why", ratio=1, overflow="fold")
        for ranked in self._ranking:
            reasons = [Text(plain(why(ranked)), style="dim")] if wide else []
            table.add_row(*_ranked_row(ranked, short=not wide), *reasons)
        yield table


def _ranked_row(ranked: RankedGrid, *, short: bool) -> list[Text]:
    grid, share = ranked.grid, ranked.share
    word, style = VERDICTS[ranked.verdict]
    verdict = Text(f"{SYMBOLS[ranked.verdict]} {word if short else ranked.verdict}", style=style)
    place = Text("–" if ranked.verdict is views.Verdict.NO_DATA else str(ranked.place))
    numbers = [
        percent(share.probability) if share else "",
        f"{grid.usable}/{grid.exposures}" if grid.exposures else "",
        *(f"{a:.1f} Å" if a is not None else "" for a in (grid.best_fit_a, grid.median_fit_a)),
        f"{grid.median_ice_nm:.0f} nm" if grid.median_ice_nm is not None else "",
    ]
    return [place, Text(str(grid.slot)), Text(plain(grid.name)), verdict, *map(Text, numbers)]


def _safely(work: Callable[[Engine], None], record: Path, done: threading.Event) -> None:
    """Do the work with a reader of its own, again and again if it fails."""
    while not done.is_set():
        try:
            reader = open_reader(record)
        except EpicycleError as error:
            log.warning("the live view waits for the record: %s", error)
            done.wait(1.0)
            continue
        try:
            work(reader)
        except (EpicycleError, SQLAlchemyError) as error:
            log.warning("the live view starts again: %s", error)
            done.wait(1.0)
        finally:
            reader.dispose()
