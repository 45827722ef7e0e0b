"""Plain words for a night: how it went, why a grid stands where it does, what to do next.

Every sentence is made from numbers of the record; a cause is named only where it was measured.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from .night import FaultView, GridView, NightView, SquareView
from .ranking import Standing, Verdict

THICK_ICE_NM = 100.0
"""Ice above this is rejected by facilities; for single particles they aim for 20 to 60 nm."""

CATEGORIES = {
    "good": "good",
    "small_or_thick": "small or thick",
    "contaminated": "contaminated",
    "cracked": "cracked",
    "partial": "partial",
    "broken_or_dry": "broken or dry",
}
"""The six classes of squares, in words."""

RECOVERIES = {
    "retry": "tried again",
    "skip-target": "target skipped",
    "skip-square": "square skipped",
    "leave-grid": "grid left",
    "stop-loader": "no more grids exchanged",
    "pause": "night paused",
    "park": "microscope parked",
}

_CURES = {
    "small_or_thick": "ice too thick over the grid: blot longer, or dilute",
    "contaminated": "contaminated: look at transfer and storage",
    "cracked": "film cracked: handle more gently, or take a sturdier film",
    "broken_or_dry": "film broken or dry: blot shorter, or take another batch of grids",
}


def count(number: int, noun: str, nouns: str = "") -> str:
    """Say a number with its noun: ``1 grid``, ``3 grids``."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def duration(seconds: float) -> str:
    """Say a length of time as people do: ``40 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float | None) -> str:
    """Say a probability; never a certainty that a sample cannot give."""
    if share is None:
        return "–"
    return "> 99 %" if share > 0.99 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Join words as a sentence does: ``a, b and c``."""
    *head, tail = [*words] or [""]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def elapsed(night: NightView) -> timedelta:
    """Give the time from the start of the night to its end, or to how far the record reaches."""
    return (night.finished_at or night.last_at) - night.started_at


def title(grid: GridView) -> str:
    """Name a grid for people, slot first."""
    return f"slot {grid.slot} · {grid.name}" if grid.name else f"slot {grid.slot}"


def headline(night: NightView, standings: Sequence[Standing]) -> str:
    """Say in one sentence how the night went or goes."""
    seen = [s for s in standings if s.grid.status != "empty"]
    if not seen:
        return "No grid was in the cassette: there is nothing to report."
    of = f"of {count(len(seen), 'grid')}"
    far = "" if night.over else " so far"
    if not any(s.shots for s in standings):
        surveyed = sum(1 for s in seen if any(atlas.image for atlas in s.grid.atlases))
        return f"No exposure was taken{far}; {surveyed} {of} surveyed."
    good = [s for s in seen if s.verdict is Verdict.COLLECT]
    care = [s for s in seen if s.verdict is Verdict.CARE]
    if not good and not care:
        return f"No grid is worth collecting{far}."
    if not good:
        return f"{len(care)} {of} can be collected with care{far}; none without."
    return f"{len(good)} {of} {'is' if len(good) == 1 else 'are'} worth collecting{far}" + (
        f", {len(care)} more with care." if care else "."
    )


def tally(night: NightView, standings: Sequence[Standing]) -> str:
    """Count what was done: grids, exposures, time."""
    exposed, shots = sum(1 for s in standings if s.shots), sum(s.shots for s in standings)
    took = duration(elapsed(night).total_seconds())
    if not shots:
        return f"{took[:1].upper()}{took[1:]} of microscope time."
    usable = sum(s.usable for s in standings)
    return f"{count(exposed, 'grid')} exposed, {count(shots, 'exposure')}, {usable:,} usable, in {took}."


def state(night: NightView) -> tuple[str, str]:
    """Give a word for how the night stands, and a kind for its colour: good, care, bad or busy."""
    if not night.over:
        return ("paused" if night.run_status in ("pausing", "paused") else "in progress"), "busy"
    if night.run_status == "parked":
        return "parked early", "bad"
    if night.run_status == "stopped":
        return "stopped early", "care"
    return "finished", "good"


def good_grids(standings: Sequence[Standing]) -> list[Standing]:
    """Pick the grids worth collecting, with care or without, best first."""
    return [s for s in standings if s.verdict in (Verdict.COLLECT, Verdict.CARE)]


def causes(standing: Standing) -> str:
    """Count what was wrong with the exposures that are not usable: ``4 thick, 1 no fit``."""
    flags = Counter(
        str(flag).replace("-", " ") for shot in standing.grid.exposures if shot.usable is False for flag in shot.flags
    )
    return ", ".join(f"{number} {flag}" for flag, number in flags.most_common(3))


def why(standing: Standing) -> str:
    """Say why a grid stands where it does."""
    grid = standing.grid
    if standing.verdict is Verdict.NO_DATA or not standing.judged:
        return _why_not(standing)
    squares = _exposed(grid)
    sound = sum(1 for square in squares if 2 * _usable(square) >= len(square.exposures))
    said = f"Mostly usable in {sound} of {count(len(squares), 'square')} tried"
    if bad := causes(standing):
        said += f"; wrong with the rest: {bad}"
    said += f". {standing.good_squares} of {count(len(grid.squares), 'square')} look good on the atlas."
    return said + (f" Left early: {_plain(grid.reason)}." if grid.reason else "")


def _why_not(standing: Standing) -> str:
    grid = standing.grid
    if grid.status == "empty":
        return "The slot is empty."
    if standing.shots:
        return f"{count(standing.shots, 'exposure')} taken, none judged yet."
    if grid.reason:
        return f"{_plain(grid.reason)[:1].upper()}{_plain(grid.reason)[1:]}."
    if grid.squares:
        look = f"{standing.good_squares} of {count(len(grid.squares), 'square')} look good on the atlas"
        return f"{look}; nothing exposed{'' if grid.status == 'screened' else ' yet'}."
    waiting = {"waiting": "Not loaded yet.", "loading": "Being loaded.", "loaded": "On the stage; nothing found yet."}
    return waiting.get(grid.status, "Nothing was found on it.")


def next_step(standing: Standing) -> str:
    """Say what to do with a grid, from what was measured on it."""
    grid = standing.grid
    first = _best_squares(grid)
    like = f"squares like {listed(str(square.number) for square in first)}"
    match standing.verdict:
        case Verdict.COLLECT:
            return f"Collect: {count(standing.left, 'good square')} not yet visited; {like} first."
        case Verdict.CARE:
            choose = f"in {like} only" if first else "in the best squares only"
            return f"Collect {choose}; expect {percent(standing.share)} of exposures usable."
        case Verdict.REMAKE:
            return f"Make it again: {remedy(standing)}."
    if grid.status == "failed":
        return "Look at the grid and its clip by hand before loading it again."
    return "Screen it another night." if grid.status in ("skipped", "screened") else ""


def remedy(standing: Standing) -> str:
    """Name the measured cause of a bad grid and what answers it; says so when none was measured."""
    ice = standing.ice_nm
    if ice is not None and ice.median > THICK_ICE_NM:
        return f"ice too thick (median {ice.median:.0f} nm): blot longer, or dilute"
    squares = [square for square in standing.grid.squares if not square.partial]
    kinds = Counter(square.category for square in squares if square.category in _CURES)
    if kinds:
        kind, number = kinds.most_common(1)[0]
        if number > len(squares) / 2:
            return f"{number} of {count(len(squares), 'square')} {CATEGORIES[kind]} – {_CURES[kind]}"
    if bad := causes(standing):
        return f"no single cause on the atlas; the exposures say {bad}"
    return "no cause measured; look at the pictures first" if standing.grid.squares else "no usable square found on it"


def what_next(night: NightView, standings: Sequence[Standing]) -> list[tuple[str, str]]:
    """Say what the reader should do now, most useful first: each as what, and the details."""
    if not night.over:
        return [("Nothing: the night goes on.", f"Now: {_plain(night.doing)}." if night.doing else "")]
    said = [(title(s.grid), next_step(s)) for s in good_grids(standings)[:3]]

    def slots(*, statuses: Sequence[str] = (), verdict: Verdict = Verdict.NO_DATA) -> str:
        found = [s for s in standings if s.verdict is verdict and (not statuses or s.grid.status in statuses)]
        return listed(f"slot {s.grid.slot}" for s in sorted(found, key=lambda s: s.grid.slot))

    if remake := slots(verdict=Verdict.REMAKE):
        said.append((f"Make again {remake}", "(causes below)."))
    if failed := slots(statuses=("failed",)):
        said.append((f"Look at {failed} by hand", "before loading again."))
    if unseen := slots(statuses=("waiting", "skipped", "loaded", "loading")):
        said.append((f"Screen {unseen} another night.", ""))
    return said or [("Nothing to do:", "no grid gave data.")]


def fault_lines(night: NightView) -> list[tuple[datetime, str, str]]:
    """Give each fault as time, what happened and what was done; repeats of one at one step are one line."""
    slots = {grid.id: grid.slot for grid in night.grids}
    latest: dict[object, tuple[FaultView, int]] = {}
    for fault in night.faults:
        key = (fault.step_key or fault.id, fault.kind)
        latest[key] = (fault, latest[key][1] + 1 if key in latest else 1)
    lines = []
    for fault, times in sorted(latest.values(), key=lambda pair: (pair[0].at, pair[0].id)):
        where = f"slot {slots[fault.grid_id]}: " if fault.grid_id in slots else ""
        done = RECOVERIES.get(fault.recovery, fault.recovery)
        lines.append((fault.at, f"{where}{_plain(fault.message)}", f"{done}{f', {times} times' if times > 1 else ''}"))
    return lines


def went_wrong(night: NightView) -> str:
    """Say in one sentence what went wrong."""
    if not night.faults:
        return "Nothing: no fault was recorded."
    lines = fault_lines(night)
    lost = [grid for grid in night.grids if grid.status == "failed"]
    cost = f"; {listed(f'slot {grid.slot}' for grid in lost)} lost" if lost else "; no grid lost to them"
    return f"{count(len(lines), 'fault')}{cost}."


def _exposed(grid: GridView) -> list[SquareView]:
    return [square for square in grid.squares if square.exposures]


def _usable(square: SquareView) -> int:
    return sum(1 for shot in square.exposures if shot.usable)


def _best_squares(grid: GridView) -> list[SquareView]:
    """Pick up to three squares with the most usable exposures for what was shot there, at least half."""
    squares = [square for square in _exposed(grid) if 2 * _usable(square) >= len(square.exposures)]
    return sorted(squares, key=lambda square: (-_usable(square) / len(square.exposures), square.number))[:3]


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
