"""Plain words for a night: how it went, why a grid stands where it does, what to do next.

Every sentence is made from numbers of the record; a cause is named only where it was measured.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from ..db.ranking import BLAME, COLLECT_ABOVE
from ..db.views import FaultView, GridSummary, NightStatus, RankedGrid, SquareView, Verdict

CATEGORIES = {
    "good": "good",
    "small_or_thick": "small or thick",
    "contaminated": "contaminated",
    "cracked": "cracked",
    "partial": "partial",
    "broken_or_dry": "broken or dry",
}
"""The six classes of squares, in words."""

SYMBOLS = {Verdict.COLLECT: "●", Verdict.CARE: "◐", Verdict.UNSURE: "◌", Verdict.REMAKE: "✕", Verdict.NO_DATA: "○"}
"""The second cue of a verdict, beside its colour."""

RECOVERIES = {
    "park": "microscope parked",
    "pause": "night paused",
    "stop-loader": "no more grids exchanged",
    "leave-on-stage": "left on the stage",
    "leave-grid": "grid left",
    "skip-square": "square skipped",
    "skip-target": "target skipped",
    "go-on": "went on without it",
    "retry": "tried again",
}
"""What was done about a fault, in words, the gravest first."""

_CLASS_CURES = {
    "small_or_thick": "ice too thick over the grid: blot longer, or dilute",
    "contaminated": "look at transfer and storage",
    "cracked": "handle more gently, or take a sturdier film",
    "broken_or_dry": "blot shorter, or take another batch of grids",
}
_FLAG_CURES = {
    "thick": "blot longer, or dilute",
    "dry": "blot shorter, or raise the humidity",
    "crystalline": "freeze faster, and check the transfer",
    "moved": "check how the grid sits in its clip; the film may be loose or charging",
    "astigmatic": "that is the microscope, not the grid: align it and screen again",
    "off-focus": "that is the microscope, not the grid: screen again",
}

SURE, LIKELY = 0.9, 2 / 3
"""A verdict as probable as the first is called almost sure; a grid is not given up on less than the second."""


# numbers in words


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


def one_line(text: str) -> str:
    """Put a text on one line, without the stop at its end."""
    return " ".join(text.split()).rstrip(".")


def reason(text: str) -> str:
    """Give a policy's reason without the word that says again whether it was taken."""
    return one_line(text.removeprefix("taken: ").removeprefix("left: "))


def kind_of_reason(text: str) -> str:
    """Give a reason without its numbers, so that alike ones can be counted together."""
    return re.sub(r"\s*\([^()]*\)", "", text)


# the night


def elapsed(status: NightStatus) -> timedelta:
    """Give the time from the start of the night to its end, or to how far the record reaches."""
    return (status.finished_at or status.clock) - status.started_at


def headline(status: NightStatus, ranking: Sequence[RankedGrid]) -> str:
    """Say in one sentence how the night went or goes."""
    seen = [ranked for ranked in ranking if ranked.grid.status != "empty"]
    if not seen:
        return "No grid was in the cassette: there is nothing to report."
    of = f"of {count(len(seen), 'grid')}"
    far = "" if status.over else " so far"
    if not any(ranked.grid.exposures for ranked in seen):
        surveyed = sum(1 for ranked in seen if ranked.grid.squares)
        return f"No exposure was taken{far}; {surveyed} {of} surveyed."
    worthy = [ranked for ranked in seen if ranked.verdict is Verdict.COLLECT]
    good = len(worthy)
    care = sum(1 for ranked in seen if ranked.verdict is Verdict.CARE)
    if not good and not care:
        return f"No grid is worth collecting{far}."
    if not good:
        return f"{care} {of} can be collected with care{far}; none without."
    sure = sum(1 for ranked in worthy if ranked.share is not None and ranked.share.probability >= SURE)
    how = "" if sure == good else f" ({sure or 'none'} of them almost surely)"
    said = f"{good} {of} {'looks' if good == 1 else 'look'} worth collecting{far}{how}"
    return f"{said}, {care} more with care." if care else f"{said}."


def tally(status: NightStatus, ranking: Sequence[RankedGrid]) -> str:
    """Count what was done: grids, exposures, time."""
    took = duration(elapsed(status).total_seconds())
    shots = sum(ranked.grid.exposures for ranked in ranking)
    if not shots:
        return f"{took} from start to end." if status.over else f"{took} since the start."
    exposed = sum(1 for ranked in ranking if ranked.grid.exposures)
    usable = sum(ranked.grid.usable for ranked in ranking)
    return f"{count(exposed, 'grid')} exposed, {count(shots, 'exposure')}, {usable:,} usable, in {took}."


def state(status: NightStatus) -> tuple[str, str]:
    """Give a word for how the night stands, and a kind for its colour: good, care, bad or busy."""
    match status.run_status:
        case "parked":
            return "parked early", "bad"
        case "stopped":
            return "stopped early", "care"
        case "finished":
            return "finished", "good"
        case "pausing" | "paused":
            return "paused", "busy"
    return "in progress", "busy"


def good_grids(ranking: Sequence[RankedGrid]) -> list[RankedGrid]:
    """Pick the grids worth collecting, with care or without, best first."""
    return [ranked for ranked in ranking if ranked.verdict in (Verdict.COLLECT, Verdict.CARE)]


def what_next(
    status: NightStatus, ranking: Sequence[RankedGrid], squares: Mapping[int, Sequence[SquareView]]
) -> list[tuple[str, str]]:
    """Say what the reader should do now, most useful first: each as what, and the details.

    ``squares`` holds the squares by the id of their grid.
    """
    if not status.over:
        return [("Nothing: the night goes on.", f"Now: {one_line(status.doing)}." if status.doing else "")]
    said = [(title(one.grid), next_step(one, squares[one.grid.id])) for one in good_grids(ranking)[:3]]

    def slots(found: Iterable[RankedGrid]) -> str:
        numbers = sorted(one.grid.slot for one in found)
        return f"slot{'s' if len(numbers) > 1 else ''} {listed(map(str, numbers))}" if numbers else ""

    bad = [one for one in ranking if one.verdict is Verdict.REMAKE]
    unsure = [one for one in ranking if one.verdict is Verdict.UNSURE]
    nothing = [one for one in ranking if one.verdict is Verdict.NO_DATA]
    blank = slots(one for one in nothing if one.grid.status == "screened" and not one.grid.squares)
    unseen = ("waiting", "skipped", "loaded", "loading")
    for numbers, what, how in (
        (slots(one for one in bad if not is_open(one)), "Make again {}", "(causes below)."),
        (
            slots(one for one in bad if is_open(one)),
            "Expose more on {}",
            "before giving up: too few exposures to tell.",
        ),
        (slots(one for one in unsure if is_open(one)), "Expose more on {}:", "too little was seen to tell."),
        (
            slots(one for one in unsure if not is_open(one)),
            "Look at {} by eye:",
            "too little seen, no good square left.",
        ),
        (blank, "Look at the atlas of {}:", "no square was found there."),
        (slots(one for one in nothing if one.grid.status == "failed"), "Look at {} by hand", "before loading again."),
        (slots(one for one in nothing if one.grid.status in unseen), "Screen {} another night.", ""),
    ):
        if numbers:
            said.append((what.format(numbers), how))
    return said or [("Nothing to do:", "no grid gave data.")]


def fault_lines(faults: Sequence[FaultView], grids: Iterable[GridSummary]) -> list[tuple[datetime, str, str]]:
    """Give each fault as time, what happened and what was done; repeats of one at one step are one line."""
    slots = {grid.id: grid.slot for grid in grids}
    latest: dict[object, tuple[FaultView, int]] = {}
    for fault in faults:
        key = (fault.step_key or fault.id, fault.kind)
        latest[key] = (fault, latest[key][1] + 1 if key in latest else 1)
    lines = []
    for fault, times in sorted(latest.values(), key=lambda pair: (pair[0].at, pair[0].id)):
        said = one_line(fault.message)
        where = f"slot {slots[fault.grid_id]}: " if fault.grid_id in slots else ""
        where = "" if said.startswith(where) else where
        done = RECOVERIES.get(fault.recovery, fault.recovery.replace("-", " "))
        done += f" after {times} attempts" if times > 1 else ""
        lines.append((fault.at, f"{where}{said}", done))
    return lines


def fault_digest(faults: Sequence[FaultView], grids: Iterable[GridSummary]) -> list[tuple[str, str]]:
    """Gather alike faults, the gravest first: what happened and where, and what was done."""
    slots = {grid.id: grid.slot for grid in grids}
    grave = [*RECOVERIES]
    alike: dict[tuple[str, str], list[FaultView]] = {}
    for fault in faults:
        alike.setdefault((fault.kind, re.sub(r"\d+", "#", fault.message)), []).append(fault)

    def weight(one: FaultView) -> int:
        return grave.index(one.recovery) if one.recovery in grave else len(grave)

    lines = []
    for same in sorted(alike.values(), key=lambda same: (min(map(weight, same)), -len(same), same[0].at)):
        worst, where = min(same, key=weight), sorted({slots[f.grid_id] for f in same if f.grid_id in slots})
        said = re.sub(r"^[^:]*\d[^:]*: ", "", one_line(worst.message))
        place = f"slot{'s' if len(where) > 1 else ''} {listed(map(str, where))}: " if where else ""
        done = RECOVERIES.get(worst.recovery, worst.recovery.replace("-", " "))
        lines.append((f"{place}{said}", done if len(same) == 1 else f"{len(same)} times, at worst {done}"))
    return lines


def went_wrong(faults: Sequence[tuple[datetime, str, str]], grids: Iterable[GridSummary]) -> str:
    """Say in one sentence what went wrong."""
    lost = sorted(grid.slot for grid in grids if grid.status == "failed")
    if not faults and not lost:
        return "Nothing: no fault was recorded."
    cost = f"slot{'s' if len(lost) > 1 else ''} {listed(map(str, lost))} lost" if lost else "no grid lost to them"
    return f"{count(len(faults), 'fault')}; {cost}."


# one grid


def title(grid: GridSummary) -> str:
    """Name a grid for people, slot first."""
    return f"slot {grid.slot} · {grid.name}" if grid.name else f"slot {grid.slot}"


def why(ranked: RankedGrid, faults: Sequence[FaultView] = ()) -> str:
    """Say why a grid stands where it does, beyond its three numbers; its own faults explain missing exposures."""
    grid = ranked.grid
    if ranked.share is None:
        said = "; ".join(_sentence(reason) for reason in ranked.reasons) + "." + _look(grid)
        return f"{said} {_mostly(faults)}." if faults and grid.loads else said
    sound = sum(1 for judged, usable in grid.by_square if 2 * usable >= judged)
    said = f"Mostly usable in {sound} of {count(len(grid.by_square), 'square')} tried"
    if blamed := blame(grid):
        said += f"; wrong with the rest: {blamed}"
    if grid.waiting:
        said += f"; {count(grid.waiting, 'exposure')} still to be analysed"
    if (unjudged := grid.exposures - grid.judged - grid.waiting) > 0:
        said += f"; {count(unjudged, 'exposure')} black or not analysed"
    return f"{said}.{_look(grid)}" + (f" Left early: {one_line(grid.reason)}." if grid.reason else "")


def _mostly(faults: Sequence[FaultView]) -> str:
    """Count faults and quote the last of the commonest kind."""
    kind = Counter(fault.kind for fault in faults).most_common(1)[0][0]
    quoted = [one_line(fault.message) for fault in faults if fault.kind == kind][-1]
    return f"{count(len(faults), 'fault')}{', the commonest' if len(faults) > 1 else ''}: {quoted}"


def blame(grid: GridSummary) -> str:
    """Count what was wrong with exposures that are not usable: ``ice too thick (4), off focus (1)``."""
    worst = Counter(grid.flags).most_common(3)
    return ", ".join(f"{BLAME.get(flag, flag.replace('-', ' '))} ({times})" for flag, times in worst)


def _look(grid: GridSummary) -> str:
    if not grid.squares:
        return ""
    return f" {grid.categories.get('good', 0)} of {count(grid.squares, 'square')} look good on the atlas."


def next_step(ranked: RankedGrid, squares: Sequence[SquareView]) -> str:
    """Say what to do with a grid, from what was measured on it."""
    grid = ranked.grid
    first = best_squares(squares)
    like = f"squares like {listed(str(square.number) for square in first)}"
    if is_open(ranked):
        before = "collecting" if ranked.verdict is Verdict.CARE else "giving it up"
        tell = f"{count(grid.judged, 'exposure')} cannot tell yet"
        return f"Expose more before {before}: {tell}, {count(grid.good_left, 'good square')} left{_try(first)}."
    match ranked.verdict:
        case Verdict.COLLECT:
            left = f"Collect: {count(grid.good_left, 'good square')} not yet visited"
            return f"{left}; {like} first." if first else f"{left}."
        case Verdict.CARE:
            choose = f"in {like} only" if first else "in the best squares only"
            expected = percent(None if ranked.share is None else ranked.share.mean)
            return f"Collect {choose}; expect {expected} of exposures usable."
        case Verdict.UNSURE:
            return f"Look at it by eye: {count(grid.judged, 'exposure')} cannot tell, and no good square is left."
        case Verdict.REMAKE:
            return f"Make it again: {remedy(ranked)}."
    match grid.status:
        case "failed":
            return "Look at the grid and its clip by hand before loading it again."
        case "screened" if grid.squares and not grid.squares_visited:
            return f"Expose it another night: {count(grid.good_left, 'good square')} to go to."
        case "screened" if not grid.squares:
            return "Look at its atlas: nothing on it was taken for a square."
        case "screened" | "skipped":
            return "Screen it another night."
    return ""


def is_open(ranked: RankedGrid) -> bool:
    """Whether more exposures are needed to tell, and there is a place for them."""
    share = ranked.share
    if share is None or ranked.grid.good_left == 0:
        return False
    if ranked.verdict is Verdict.REMAKE:
        return share.probability < LIKELY
    if ranked.verdict is Verdict.UNSURE:
        return True
    return ranked.verdict is Verdict.CARE and share.mean >= COLLECT_ABOVE


def remedy(ranked: RankedGrid) -> str:
    """Name the measured cause of a bad grid and what answers it; says so when none was measured."""
    grid = ranked.grid
    unusable = grid.judged - grid.usable
    for flag, times in Counter(grid.flags).most_common():
        if flag in _FLAG_CURES and 2 * times > unusable:
            ice = f", median ice {grid.median_ice_nm:.0f} nm" if flag == "thick" and grid.median_ice_nm else ""
            return f"{BLAME.get(flag, flag)} in {times} of {unusable}{ice} – {_FLAG_CURES[flag]}"
    whole = {name: number for name, number in grid.categories.items() if name in CATEGORIES and name != "partial"}
    worst = max(whole, key=lambda name: whole[name], default="good")
    if worst in _CLASS_CURES and 2 * whole[worst] > sum(whole.values()):
        return f"{whole[worst]} of {count(sum(whole.values()), 'square')} {CATEGORIES[worst]} – {_CLASS_CURES[worst]}"
    if blamed := blame(grid):
        return f"no single cause was measured; the exposures say {blamed}"
    return "no single cause was measured; look at the atlas first"


def best_squares(squares: Sequence[SquareView]) -> list[SquareView]:
    """Pick up to three squares with the most usable exposures for what was shot there, at least half."""
    sound = [square for square in squares if square.exposures and 2 * square.usable >= square.exposures]
    return sorted(sound, key=lambda square: (-square.usable / square.exposures, square.number))[:3]


def _try(first: Sequence[SquareView]) -> str:
    return f", best so far {listed(str(square.number) for square in first)}" if first else ""


def _sentence(text: str) -> str:
    return f"{one_line(text)[:1].upper()}{one_line(text)[1:]}"
