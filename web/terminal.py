"""The live view's screen: cassette, where the night is, what it does and why, faults, decisions. Fits 80 × 24.

Every line is cut to the width and the number of lines to the height; names are shown without control characters, so
that nothing in a record can steer the terminal. Colour is never the only cue.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from ..db.views import EventView, NightStatus, RankedGrid, Verdict
from ..orchestrator.flow import Phase
from .blocks import Blocks
from .glance import Glance
from .plots import WORST_SHOWN_A
from .pulse import Pulse, ahead_line, fit_line, health_line, time_line
from .sentences import SYMBOLS, count, duration, elapsed, one_line, state

STAGES = {
    "load": (Phase.INVENTORY, Phase.NEXT_GRID, Phase.LOAD_GRID),
    "atlas": (Phase.TAKE_ATLAS, Phase.REGISTER, Phase.FIND_SQUARES),
    "squares": (Phase.CHOOSE_SQUARES, Phase.NEXT_SQUARE),
    "image": (Phase.SURVEY_SQUARE,),
    "holes": (Phase.FIND_HOLES, Phase.CHOOSE_HOLES, Phase.NEXT_GROUP),
    "centre": (Phase.CENTRE_GROUP,),
    "expose": (Phase.EXPOSE,),
    "leave": (Phase.LEAVE_GRID, Phase.CHOOSE_GRIDS),
    "park": (Phase.PARK, Phase.FINISHED),
}
"""The path of a night as people see it, and the phases that belong to each stage."""

_STATES = {
    "waiting": ("·", "waiting", "dim"),
    "loading": ("↑", "loading", "cyan"),
    "loaded": ("▶", "on stage", "bold cyan"),
    "screened": ("✓", "screened", "none"),
    "empty": (" ", "empty", "dim"),
    "skipped": ("–", "skipped", "dim"),
    "failed": ("!", "failed", "bold red"),
}
VERDICTS = {
    Verdict.COLLECT: ("collect", "green"),
    Verdict.CARE: ("care", "yellow"),
    Verdict.UNSURE: ("more?", "cyan"),
    Verdict.REMAKE: ("remake", "red"),
    Verdict.NO_DATA: ("no data", "dim"),
}
"""Short words for the verdicts."""
TONES = {"good": "green", "care": "yellow", "bad": "red", "busy": "cyan"}
TWO_COLUMNS = 120
"""Width from which faults and decisions stand beside each other."""
LEAST_PICTURE, MOST_PICTURE = 8, 16
"""Lines a picture needs to show anything, and lines it gets at most."""
CELL, SHORT_CELL = 38, 13
"""Columns one slot needs, with its name and without."""


class Screen:
    """Draws one glance at whatever size the console has; ``tall`` ignores its height (for paper and pipes).

    ``foot`` is a last line of its own, for keys.
    """

    def __init__(self, glance: Glance, zone: tzinfo | None = None, *, tall: bool = False, foot: str = "") -> None:
        self._glance = glance
        self._zone = zone
        self._tall = tall
        self._foot = foot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out for the width and height at hand."""
        height = 60 if self._tall else max(options.height or console.height, 8) - 1
        foot = [_line(self._foot, "dim")] if self._foot else []
        yield Group(*self._lines(options.max_width, height - len(foot)), *foot)

    def _lines(self, width: int, height: int) -> Iterator[Text | Table]:
        glance, status = self._glance, self._glance.status
        head = [_title(status, width, self._zone), _times(status, self._zone), path(status), *_doing(status, width)]
        head.append(_counts(status))
        columns = max(1, min(4, width // CELL))
        if len(head) + 1 - (-len(glance.cassette) // columns) > height:
            columns = max(1, width // SHORT_CELL)
        rows = -(-len(glance.cassette) // columns)
        left = height - len(head) - rows - 2
        more = [line for line in _pulse_lines(glance.pulse, width) if line is not None][: max(left - 4, 0)]
        left -= len(more)
        yield from head[:4]
        yield Text()
        if rows:
            yield cassette(glance.cassette, columns, width)
        yield from [*head[4:], *more]
        if left < 2:
            return
        slots = {one.grid.id: one.grid.slot for one in glance.cassette}
        if width >= TWO_COLUMNS:
            told = _told("faults", glance.faults, left - 1, slots, self._zone, "red")
            decided = _told("decisions", glance.decisions, left - 1, slots, self._zone, "cyan")
            yield _beside(told, decided, None if self._tall else glance.pulse.picture, left)
            return
        faults = min(len(glance.faults), max(left // 2 - 1, 1))
        yield from _told("faults", glance.faults, faults, slots, self._zone, "red")
        yield from _told("decisions", glance.decisions, max(left - faults - 2, 0), slots, self._zone, "cyan")


def path(status: NightStatus) -> Text:
    """Draw the way of a grid through the night, and where on it we are."""
    line = Text(no_wrap=True, overflow="ellipsis")
    for stage, phases in STAGES.items():
        here = status.phase in phases
        line.append(" › " if line else "", style="dim")
        line.append(f"[{stage}]" if here else stage, style="bold reverse" if here and not status.over else "dim")
    return line


def cassette(slots: Sequence[RankedGrid], columns: int, width: int) -> Table:
    """Lay out the slots in columns, each with a symbol and a word."""
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in range(columns):
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    rows = -(-len(slots) // columns)
    cell = (width - columns) // columns
    for row in range(rows):
        table.add_row(*(slot_line(one, cell) for one in slots[row::rows]))
    return table


def slot_line(ranked: RankedGrid, width: int) -> Text:
    """Say of one slot: number, symbol and word, name, usable of exposures."""
    grid = ranked.grid
    symbol, word, style = _STATES.get(grid.status, ("?", grid.status, "none"))
    if grid.status == "screened" and ranked.share is not None:
        symbol, (word, style) = SYMBOLS[ranked.verdict], VERDICTS[ranked.verdict]
    numbers = f"{grid.usable}/{grid.exposures}" if grid.exposures else ""
    if grid.median_fit_a is not None and grid.median_fit_a < WORST_SHOWN_A and width >= 46:
        numbers += f" {grid.median_fit_a:4.1f} Å"
    if width < CELL - 4:
        return Text(f"{grid.slot:>2} {symbol} {numbers}", style=style, no_wrap=True, overflow="ellipsis")
    name = plain(grid.name)
    room = max(width - 16 - len(numbers), 4)
    name = name if len(name) <= room else f"{name[: room - 1]}…"
    line = Text(f"{grid.slot:>2} ", no_wrap=True, overflow="ellipsis")
    line.append(f"{symbol} {word:<9}", style=style)
    return line.append(f"{name:<{room}} ").append(numbers, style="bold" if numbers else "none")


def plain(text: str) -> str:
    """Take out whatever a terminal would obey rather than show."""
    return "".join(letter if letter.isprintable() else " " for letter in one_line(text))


def at(when: datetime, zone: tzinfo | None) -> str:
    """Give a time of day."""
    return f"{when.astimezone(zone):%H:%M}"


def _line(text: str, style: str = "none") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _title(status: NightStatus, width: int, zone: tzinfo | None) -> Text:
    word, tone = state(status)
    word = status.run_status if tone == "busy" else word
    clock = f"{status.clock.astimezone(zone):%H:%M:%S %Z}"
    room = width - len(word) - len(clock) - 6
    name = plain(status.name)
    line = _line(name if len(name) <= room else f"{name[: max(room - 1, 1)]}…", "bold")
    line.append("  ").append(f" {word} ", style=f"reverse {TONES[tone]}")
    return line.append(" " * max(width - len(line) - len(clock), 1)).append(clock, style="bold")


def _times(status: NightStatus, zone: tzinfo | None) -> Text:
    said = [f"began {at(status.started_at, zone)}", f"{duration(elapsed(status).total_seconds())} in"]
    if status.finished_at is not None:
        said = [f"from {at(status.started_at, zone)} to {at(status.finished_at, zone)}"]
    elif status.estimated_end is not None:
        said.append(f"ends about {at(status.estimated_end, zone)}")
    if status.deadline_at is not None and not status.over:
        said.append(f"deadline {at(status.deadline_at, zone)}")
    if status.resumes:
        said.append(f"resumed {count(status.resumes, 'time')}")
    if status.holder is None and not status.over:
        said.append("no process is running it: epicycle resume")
    return _line(", ".join(said), "dim")


def _doing(status: NightStatus, width: int) -> list[Text]:
    """Say where it is, what it does and why, on two lines at most."""
    where = [f"slot {status.slot} {plain(status.grid_name or '')}".strip()] if status.slot is not None else []
    where += [f"square {status.square_number}"] if status.square_number is not None else []
    where += [f"group {status.group_number}"] if status.group_number is not None else []
    doing = plain(status.outcome if status.over and status.outcome else status.doing)
    said = ", ".join(where)
    if set(re.findall(r"\w+", doing)) <= {*re.findall(r"\w+", said), "of"}:
        doing = status.phase.replace("_", " ")
    if len(said) + len(doing) + 2 <= width:
        return [_line(f"{said}: {doing}" if said and doing else said or doing or "no word yet")]
    return [_line(said), _line(f"  {doing}")] if said else [_line(doing)]


def _counts(status: NightStatus) -> Text:
    counts = status.counts
    more = [f"{counts.usable} usable"] if counts.judged else []
    more += [f"{counts.waiting} waiting"] if counts.waiting else []
    more += [f"{counts.lost} lost"] if counts.lost else []
    said = [
        f"squares {counts.squares_visited}/{counts.squares}",
        f"holes {counts.holes:,}",
        f"exposures {counts.exposures}" + (f" ({', '.join(more)})" if more else ""),
    ]
    if status.last_dose_e_per_a2 is not None:
        said.append(f"last dose {_dose(status.last_dose_e_per_a2)} e⁻/Å²")
    return _line(", ".join(said))


def _dose(dose_e_per_a2: float) -> str:
    """Give a dose to two digits, never as a power of ten."""
    digits = 0 if dose_e_per_a2 <= 0 else max(1 - math.floor(math.log10(dose_e_per_a2)), 0)
    return f"{dose_e_per_a2:.{min(digits, 6)}f}"


def _told(
    what: str,
    events: Sequence[EventView],
    most: int,
    slots: Mapping[int, int],
    zone: tzinfo | None,
    style: str,
) -> list[Text]:
    """List the last events of a kind under their name, the latest last."""
    shown = events[-most:] if most > 0 else ()
    if not shown:
        return [_line(f"{what}: {'none' if not events else len(events)}", "dim")]
    lines = [_line(what if len(shown) == len(events) else f"{what}, the last {len(shown)}", f"bold {style}")]
    for event in shown:
        text, number = plain(event.text), slots.get(event.grid_id or 0)
        where = "" if number is None or f"slot {number}" in text else f"slot {number}: "
        lines.append(_line(f"{at(event.at, zone)} {where}{text}"))
    return lines


def _beside(left: Sequence[Text], right: Sequence[Text], picture: NDArray[np.uint8] | None, height: int) -> Table:
    """Set two lists side by side, and the picture of where we are beside them where there is room for it."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(2):
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    if picture is None or height < LEAST_PICTURE:
        for pair in zip_longest(left, right, fillvalue=Text()):
            table.add_row(*pair)
        return table
    lines = min(height, MOST_PICTURE)
    table.add_column(width=2 * lines)
    table.add_row(Group(*left), Group(*right), Blocks(picture, width=2 * lines, height=lines))
    return table


def _pulse_lines(pulse: Pulse, width: int) -> list[Text | None]:
    return [fit_line(pulse, width), ahead_line(pulse), health_line(pulse), time_line(pulse)]
