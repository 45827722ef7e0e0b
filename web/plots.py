"""The few charts of a report as geometry: resolution by square, ice against resolution, what the time went to.

Charts are drawn inline as SVG by the templates. A chart without points is None, and the page says so in words.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from ..db.views import ExposureView, StepView
from .night import GridNight, WholeNight
from .overlays import circles, crosses
from .sentences import duration

Point = tuple[float, float]
WORST_SHOWN_A = 30.0
"""Fits worse than this stand at the edge: beyond, nothing is left to tell apart."""
_RESOLUTION_TICKS_A = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 30)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis, at ``at`` in the chart's own pixels."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind as one path."""

    kind: str
    label: str
    path: str
    number: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Points in a frame; ``alt`` says in words what it shows."""

    width: int
    height: int
    left: int
    bottom: int
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class Bar:
    """All time of one kind of work on one row of the timeline, as one path in thousandths of the night."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Row:
    """One grid's row of the timeline; ``faults`` are in per cent of the width."""

    label: str
    bars: tuple[Bar, ...]
    faults: tuple[float, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class Share:
    """What one kind of work took."""

    kind: str
    label: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the time of the night went."""

    rows: tuple[Row, ...]
    hours: tuple[Tick, ...]
    shares: tuple[Share, ...]


KINDS = {
    "load": "loading",
    "atlas": "atlas",
    "square": "squares",
    "hole": "hole views",
    "focus": "focus",
    "settle": "settling",
    "expose": "exposing",
    "decide": "finding and choosing",
    "wait": "waiting",
    "other": "other work",
    "between": "between steps",
}
"""Kinds of work told apart in the timeline, in the order of the legend."""

_WORDS = {
    "wait": ("wait", "refill", "pause"),
    "decide": ("choose", "find"),
    "load": ("load", "inventory", "park"),
    "atlas": ("atlas", "register"),
    "expose": ("expose",),
    "settle": ("settle",),
    "focus": ("focus", "zero loss"),
    "hole": ("centre",),
    "square": ("square", "height"),
}


def kind_of(step: StepView) -> str:
    """Sort a step into one of the kinds of work by the words of its kind."""
    return work_of(step.kind)


def work_of(kind: str) -> str:
    """Sort a kind of step into one of the kinds of work."""
    kind = kind.lower()
    return next((name for name, words in _WORDS.items() if any(word in kind for word in words)), "other")


def resolution_by_square(grid: GridNight) -> Chart | None:
    """Plot every fitted exposure of a grid over the squares in the order of their visit."""
    points = [
        (column + 0.5 + _spread_out(place, len(one.shots)), shot)
        for column, one in enumerate(grid.visited)
        for place, shot in enumerate(one.shots)
        if "fit_resolution_a" in shot.measures
    ]
    if not points:
        return None
    labels = [(column + 0.5, str(one.square.number)) for column, one in enumerate(grid.visited)]
    return _scatter(
        [(x, _shown(shot), shot) for x, shot in points],
        x_range=(0, len(labels)),
        x_marks=labels[:: 1 + len(labels) // 14],
        x_label="square, in order of visit",
    )


def resolution_by_ice(grid: GridNight) -> Chart | None:
    """Plot fit resolution against ice thickness; None where fewer than three exposures have both."""
    points = [
        (shot.measures["ice_nm"], _shown(shot), shot)
        for shot in grid.shots
        if "ice_nm" in shot.measures and "fit_resolution_a" in shot.measures
    ]
    if len(points) < 3:
        return None
    low, high = _padded(min(p[0] for p in points), max(p[0] for p in points), at_least=20.0)
    low = max(low, 0.0) if min(p[0] for p in points) >= 0 else low
    marks = [(value, f"{value:g}") for value in nice_ticks(low, high, 5)]
    return _scatter(points, x_range=(low, high), x_marks=marks, x_label="ice, nm")


def resolution_by_grid(grids: Sequence[GridNight]) -> Chart | None:
    """Plot every fitted exposure of the night over its grid, in the order given; None for fewer than two grids."""
    seen = [grid for grid in grids if grid.summary.median_fit_a is not None]
    if len(seen) < 2:
        return None
    points = [
        (column + 0.5 + _spread_out(place, len(grid.shots)), _shown(shot), shot)
        for column, grid in enumerate(seen)
        for place, shot in enumerate(grid.shots)
        if "fit_resolution_a" in shot.measures
    ]
    labels = [(column + 0.5, f"{grid.summary.slot}") for column, grid in enumerate(seen)]
    return _scatter(
        points, x_range=(0, len(seen)), x_marks=labels, x_label="slot, best grid first", width=640, height=230
    )


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Choose round numbers between two ends."""
    raw = (high - low) / max(about, 1)
    if not raw > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def timeline(night: WholeNight, zone: tzinfo | None) -> Timeline | None:
    """Lay the steps of the night out by grid, and add up what each kind of work took; None without steps."""
    begin, end = night.status.started_at, night.status.finished_at or night.status.clock
    total = (end - begin).total_seconds()
    if not night.steps or total <= 0:
        return None

    def at(when: datetime) -> float:
        return min(max((when - begin).total_seconds() / total, 0.0), 1.0)

    pieces = _cover(night.steps, end)
    by_row: dict[int | None, dict[str, list[tuple[float, float]]]] = {}
    spent = dict.fromkeys(KINDS, 0.0)
    for step, start, stop in pieces:
        kind = kind_of(step)
        by_row.setdefault(step.grid_id, {}).setdefault(kind, []).append((at(start), at(stop)))
        spent[kind] += (stop - start).total_seconds()
    spent["between"] = max(total - sum(spent.values()), 0.0)
    grids = sorted((grid.summary for grid in night.grids), key=lambda grid: grid.slot)
    rows = [_row(f"slot {g.slot}", by_row[g.id], _faults(night, g.id, at), total) for g in grids if g.id in by_row]
    if None in by_row:
        rows.append(_row("all grids", by_row[None], _faults(night, None, at), total))
    shares = tuple(Share(k, KINDS[k], s, s / total) for k, s in spent.items() if s / total >= 0.0005)
    return Timeline(tuple(rows), _hours(begin, end, zone, at), shares)


def _cover(steps: Sequence[StepView], end: datetime) -> list[tuple[StepView, datetime, datetime]]:
    """Cut overlapping steps so that each moment belongs to one, the one begun last."""
    spans = [(step, step.started_at, step.ended_at or (end if step.status == "started" else None)) for step in steps]
    open_: list[tuple[StepView, datetime]] = []
    pieces: list[tuple[StepView, datetime, datetime]] = []

    def close(until: datetime, since: datetime) -> datetime:
        while open_ and since < until:
            step, stop = open_[-1]
            if stop > since:
                pieces.append((step, since, min(stop, until)))
                since = min(stop, until)
            if stop <= until:
                open_.pop()
        return until

    since = steps[0].started_at
    for step, start, stop in sorted(((s, a, b) for s, a, b in spans if b is not None and b > a), key=lambda x: x[1]):
        since = close(start, since)
        open_.append((step, stop))
    close(max((stop for _, stop in open_), default=since), since)
    return pieces


def _faults(night: WholeNight, grid_id: int | None, at: Callable[[datetime], float]) -> tuple[float, ...]:
    return tuple(round(100 * at(fault.at), 2) for fault in night.faults if fault.grid_id == grid_id)


def _row(label: str, kinds: Mapping[str, Sequence[Point]], faults: tuple[float, ...], total_s: float) -> Row:
    bars = tuple(Bar(kind, _blocks(kinds[kind])) for kind in KINDS if kind in kinds)
    took = sorted(((sum(b - a for a, b in spans), kind) for kind, spans in kinds.items()), reverse=True)
    words = ", ".join(f"{KINDS[kind]} {duration(share * total_s)}" for share, kind in took[:4])
    return Row(label, bars, faults, f"{label}: {words}")


def _blocks(spans: Sequence[tuple[float, float]]) -> str:
    """Draw spans of 0..1 as blocks in a frame of 1000 × 10; what lies closer than a hair is one block."""
    merged: list[list[float]] = []
    for start, stop in sorted(spans):
        if merged and start - merged[-1][1] < 2e-4:
            merged[-1][1] = max(stop, merged[-1][1])
        else:
            merged.append([start, stop])
    blocks = ((1000 * a, max(1000 * (b - a), 0.4)) for a, b in merged)
    return "".join(f"M{x:.1f} 0h{width:.1f}v10h{-width:.1f}z" for x, width in blocks)


def _hours(start: datetime, end: datetime, zone: tzinfo | None, at: Callable[[datetime], float]) -> tuple[Tick, ...]:
    steps = [timedelta(minutes=m) for m in (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)]
    step = next((s for s in steps if (end - start) / s <= 9), steps[-1])
    local = start.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight + step * math.ceil((local - midnight) / step)
    count = max(math.floor((end - first) / step) + 1, 0)
    return tuple(Tick(100 * at(first + step * n), f"{first + step * n:%H:%M}") for n in range(min(count, 40)))


def _scatter(
    points: Sequence[tuple[float, float, ExposureView]],
    *,
    x_range: Point,
    x_marks: Sequence[tuple[float, str]],
    x_label: str,
    width: int = 300,
    height: int = 190,
) -> Chart:
    """Plot resolutions on a logarithmic axis, better ones higher, usable exposures as dots and others as crosses."""
    left, bottom, top, right = 40, 42, 10, 10
    best, worst = min(p[1] for p in points), max(p[1] for p in points)
    low, high = _padded(math.log(best), math.log(worst), at_least=0.5)

    def x_at(value: float) -> float:
        return left + (value - x_range[0]) / (x_range[1] - x_range[0]) * (width - left - right)

    def y_at(value: float) -> float:
        return top + (math.log(value) - low) / (high - low) * (height - top - bottom)

    series = _series([(x_at(x), y_at(y), shot.usable) for x, y, shot in points])
    said = ", ".join(f"{one.number} {one.label}" for one in series)
    return Chart(
        width,
        height,
        left,
        bottom,
        tuple(Tick(x_at(value), label) for value, label in x_marks),
        tuple(Tick(y_at(value), f"{value:g}") for value in _apart(low, high, y_at)),
        x_label,
        "fit resolution, Å",
        series,
        f"Fit resolution of {len(points)} exposures against {x_label}: {best:.1f} to {worst:.1f} Å; {said}.",
    )


def _apart(low: float, high: float, y_at: Callable[[float], float]) -> list[float]:
    """Choose round resolutions, between the ends in log Å, whose labels do not touch."""
    ticks: list[float] = []
    for value in _RESOLUTION_TICKS_A:
        if low <= math.log(value) <= high and (not ticks or y_at(value) - y_at(ticks[-1]) >= 15):
            ticks.append(value)
    return ticks


def _series(points: Sequence[tuple[float, float, bool | None]]) -> tuple[Series, ...]:
    """Draw the exposures by their verdict: dots, rings and crosses."""
    kinds = (("poor", "not usable", False), ("open", "not judged", None), ("usable", "usable", True))
    found = []
    for kind, label, verdict in kinds:
        at = [(x, y) for x, y, usable in points if usable is verdict]
        if at:
            found.append(Series(kind, label, crosses(at, 3.2) if kind == "poor" else circles(at, 3.6), len(at)))
    return tuple(found)


def _shown(shot: ExposureView) -> float:
    return min(max(shot.measures["fit_resolution_a"], 0.5), WORST_SHOWN_A)


def _spread_out(place: int, number: int) -> float:
    """Set points of one column side by side, in the order taken."""
    return 0.0 if number < 2 else 0.64 * (place / (number - 1) - 0.5)


def _padded(low: float, high: float, *, at_least: float) -> Point:
    middle, span = (low + high) / 2, max(high - low, at_least) * 1.12
    return middle - span / 2, middle + span / 2
