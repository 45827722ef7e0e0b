"""Two nights side by side: what each yielded, what the time went to, how each grid fared, what was set otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from statistics import median
from typing import Any

from ..db.connection import open_reader
from ..files.atomic import write_bytes
from . import plots, sentences
from .night import GridNight, WholeNight, whole_night
from .templating import environment

NONE = "–"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing of both nights; ``change`` is empty where a difference says nothing."""

    what: str
    first: str
    second: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class GridLine:
    """One slot in both nights; None where a night had no grid there."""

    slot: int
    name: str
    first: GridNight | None
    second: GridNight | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two nights side by side."""

    nights: tuple[WholeNight, WholeNight]
    yields: tuple[Line, ...]
    times: tuple[Line, ...]
    settings: tuple[Line, ...]
    grids: tuple[GridLine, ...]


def render_comparison(record: Path, other: Path, out: Path, *, zone: tzinfo | None = None) -> Path:
    """Write a page with two nights side by side.

    Parameters
    ----------
    record, other
        The databases.
    out
        The HTML file; replaced only when the new one is whole.
    zone
        Zone of the times shown; this machine's where none is given.

    Raises
    ------
    EpicycleError
        A record is missing, corrupt or newer, or holds no night.
    """
    first, second = _night(record), _night(other)
    page = environment(zone).get_template("comparison.html.j2")
    write_bytes(out, page.render(both=compare(first, second)).encode())
    return out


def compare(first: WholeNight, second: WholeNight) -> Comparison:
    """Put two nights side by side."""
    return Comparison(
        (first, second),
        tuple(_yields(first, second)),
        tuple(_times(first, second)),
        tuple(_settings(first, second)),
        tuple(_grids(first, second)),
    )


def _night(record: Path) -> WholeNight:
    reader = open_reader(record)
    try:
        return whole_night(reader)
    finally:
        reader.dispose()


def _yields(first: WholeNight, second: WholeNight) -> list[Line]:
    return [
        _line(what, numbers[0], numbers[1], form)
        for what, form, numbers in (
            (what, form, (_number(first, what), _number(second, what))) for what, form in _NUMBERS.items()
        )
    ]


_NUMBERS = {
    "length, h": "{:.2f}",
    "grids exposed": "{:.0f}",
    "exposures": "{:.0f}",
    "usable exposures": "{:.0f}",
    "exposures per hour": "{:.1f}",
    "usable per hour": "{:.1f}",
    "best fit, Å": "{:.1f}",
    "median fit, Å": "{:.1f}",
    "median ice, nm": "{:.0f}",
    "median motion, Å": "{:.0f}",
    "exposures lost": "{:.0f}",
    "faults": "{:.0f}",
    "times resumed": "{:.0f}",
}


def _number(night: WholeNight, what: str) -> float | None:
    hours = sentences.elapsed(night.status).total_seconds() / 3600
    shots = [shot for grid in night.grids for shot in grid.shots if shot.status == "done"]
    usable = sum(shot.usable is True for shot in shots)

    def measured(name: str, below: float = float("inf")) -> Sequence[float]:
        return [shot.measures[name] for shot in shots if shot.measures.get(name, below) < below]

    fits = measured("fit_resolution_a", plots.WORST_SHOWN_A)
    ice, motion = measured("ice_nm"), measured("motion_a")
    return {
        "length, h": hours,
        "grids exposed": float(sum(bool(grid.shots) for grid in night.grids)),
        "exposures": float(len(shots)),
        "usable exposures": float(usable),
        "exposures per hour": len(shots) / hours if hours else None,
        "usable per hour": usable / hours if hours else None,
        "best fit, Å": min(fits, default=None),
        "median fit, Å": median(fits) if fits else None,
        "median ice, nm": median(ice) if ice else None,
        "median motion, Å": median(motion) if motion else None,
        "exposures lost": float(night.status.counts.lost),
        "faults": float(night.status.counts.faults),
        "times resumed": float(night.status.resumes),
    }[what]


def _times(first: WholeNight, second: WholeNight) -> list[Line]:
    spent = []
    for night in (first, second):
        found = plots.timeline(night, None)
        spent.append({} if found is None else {share.label: share.seconds / 60 for share in found.shares})
    labels = [label for label in plots.KINDS.values() if any(label in one for one in spent)]
    return [_line(label, spent[0].get(label, 0.0), spent[1].get(label, 0.0), "{:.0f} min") for label in labels]


def _settings(first: WholeNight, second: WholeNight) -> list[Line]:
    """List what was set otherwise: protocol, microscope, plug-ins, seed."""
    both = [
        _flat(
            {
                "protocol": night.status.protocol,
                "microscope": night.status.microscope,
                "plug-ins": night.status.plugins,
                "seed": night.status.seed,
                "epicycle": night.status.code_version,
            }
        )
        for night in (first, second)
    ]
    names = sorted({*both[0], *both[1]})
    return [
        Line(name, both[0].get(name, NONE), both[1].get(name, NONE))
        for name in names
        if both[0].get(name) != both[1].get(name)
    ]


def _grids(first: WholeNight, second: WholeNight) -> list[GridLine]:
    by_slot = [{grid.summary.slot: grid for grid in night.grids} for night in (first, second)]
    found = []
    for slot in sorted({*by_slot[0], *by_slot[1]}):
        pair = by_slot[0].get(slot), by_slot[1].get(slot)
        names = dict.fromkeys(grid.summary.name for grid in pair if grid is not None)
        found.append(GridLine(slot, " / ".join(names), *pair))
    return found


def _line(what: str, first: float | None, second: float | None, form: str) -> Line:
    said = [NONE if value is None else form.format(value) for value in (first, second)]
    change = ""
    if first is not None and second is not None and said[0] != said[1]:
        change = (f"{100 * (second - first) / first:+.0f} %" if first else "").replace("-", "−")
    return Line(what, said[0], said[1], change)


def _flat(tree: Any, name: str = "") -> dict[str, str]:
    """Give every leaf of nested mappings and lists under its dotted name."""
    if isinstance(tree, Mapping):
        return {leaf: text for part, below in tree.items() for leaf, text in _flat(below, f"{name}.{part}").items()}
    if isinstance(tree, list | tuple) and any(isinstance(item, Mapping | list) for item in tree):
        return {leaf: text for n, below in enumerate(tree) for leaf, text in _flat(below, f"{name}.{n + 1}").items()}
    return {name.lstrip("."): ", ".join(map(str, tree)) if isinstance(tree, list | tuple) else str(tree)}
