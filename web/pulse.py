"""How a running night feels: the last fits, what the time goes to, what comes next, health, and what is seen now."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from ..db.outlook import Fit, Queue, newest_view, queue, recent_fits, seconds_by_kind
from ..db.querying import Reader
from ..files.mrc import read_image
from ..protocols.errors import EpicycleError
from . import plots
from .pictures import shrink, stretch
from .sentences import duration

FITS = 60
BARS = "▁▂▃▄▅▆▇█"
BEST_A, WORST_A = 2.5, 12.0
"""Ends of the chart of fits; what lies beyond stands at its edge."""
PICTURE_PX = 96
LAST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the live view shows besides the words.

    Attributes
    ----------
    fits
        The last judged exposures, the latest last.
    spent
        Seconds by kind of work, as the report tells them apart.
    ahead
        What comes next.
    health
        The last sample of the host's and the microscope's health; empty where there is none.
    picture, picture_name
        Small grey pixels of the newest survey image; None where there is none.
    """

    fits: tuple[Fit, ...]
    spent: Mapping[str, float]
    ahead: Queue
    health: Mapping[str, Any]
    picture: NDArray[np.uint8] | None
    picture_name: str


def take_pulse(reader: Reader, folder: Path | None, before: Pulse | None = None) -> Pulse:
    """Read everything once; the picture only when it is another than ``before``."""
    spent: dict[str, float] = {}
    for kind, seconds in seconds_by_kind(reader).items():
        name = plots.work_of(kind)
        spent[name] = spent.get(name, 0.0) + seconds
    image = newest_view(reader)
    picture, name = None if before is None else before.picture, "" if before is None else before.picture_name
    if image is not None and folder is not None and image.name != name:
        picture, name = _small(folder / image.path), image.name
    health = {} if folder is None else _last_sample(folder / "health.jsonl")
    return Pulse(tuple(recent_fits(reader, FITS)), spent, queue(reader), health, picture, name)


def fit_line(pulse: Pulse, width: int) -> Text | None:
    """Draw the last fits as bars, higher is better, unusable ones dim; None before the first."""
    if not pulse.fits:
        return None
    shown = pulse.fits[-max(width - 34, 8) :]
    line = Text("fits ", style="dim", no_wrap=True, overflow="ellipsis")
    for fit in shown:
        line.append(_bar(fit.resolution_a), style="green" if fit.usable else "red dim")
    found = [
        fit.resolution_a for fit in shown if fit.resolution_a is not None and fit.resolution_a < plots.WORST_SHOWN_A
    ]
    if found:
        line.append(f" last {found[-1]:.1f} Å, best {min(found):.1f} Å")
    return line


def time_line(pulse: Pulse) -> Text | None:
    """Say what the time went to, the most first."""
    total = sum(pulse.spent.values())
    if total <= 0:
        return None
    order = sorted(pulse.spent.items(), key=lambda one: -one[1])
    said = ", ".join(f"{plots.KINDS[kind]} {100 * seconds / total:.0f} %" for kind, seconds in order if seconds > 0)
    return Text(f"time {said}", style="dim", no_wrap=True, overflow="ellipsis")


def ahead_line(pulse: Pulse) -> Text | None:
    """Say what comes next."""
    ahead = pulse.ahead
    parts = [
        f"{name} {_some(numbers)}"
        for name, numbers in (("groups", ahead.groups), ("squares", ahead.squares), ("slots", ahead.slots))
        if numbers
    ]
    return Text(f"next {'; '.join(parts)}", no_wrap=True, overflow="ellipsis") if parts else None


def health_line(pulse: Pulse) -> Text | None:
    """Say how microscope and host are; what is wrong stands out."""
    health = pulse.health
    if not health:
        return None
    said: list[tuple[str, bool]] = []
    scope = health.get("microscope")
    if scope:
        said.append((f"vacuum {scope['vacuum']}", scope["vacuum"] == "green"))
        said.append(("valve open" if scope["valve_open"] else "valve closed", bool(scope["valve_open"])))
        said.append(("beam on" if scope["beam_on"] else "no beam", bool(scope["beam_on"])))
        said.append(("loader well" if scope["loader_ok"] else "loader jammed", bool(scope["loader_ok"])))
        if scope["filling"]:
            said.append(("dewars filling", True))
        elif scope["refill_due_s"] is not None:
            said.append((f"refill in {duration(scope['refill_due_s'])}", scope["refill_due_s"] > 0))
    free_mb = health.get("free_disk_mb")
    if free_mb is not None:
        said.append((f"disk {free_mb / 1024:.0f} GB free", free_mb > 5 * 1024))
    line = Text("health ", style="dim", no_wrap=True, overflow="ellipsis")
    for place, (words, well) in enumerate(said):
        line.append(", " if place else "").append(words if well else f"! {words}", style="none" if well else "bold red")
    return line


def _bar(resolution_a: float | None) -> str:
    if resolution_a is None:
        return "·"
    share = (np.log(WORST_A) - np.log(max(resolution_a, 1e-3))) / (np.log(WORST_A) - np.log(BEST_A))
    return BARS[int(np.clip(share * len(BARS), 0, len(BARS) - 1))]


def _some(numbers: Sequence[int], most: int = 6) -> str:
    shown = ", ".join(str(number) for number in numbers[:most])
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def _small(path: Path) -> NDArray[np.uint8] | None:
    try:
        return stretch(shrink(read_image(path)[0], PICTURE_PX))
    except (EpicycleError, OSError):
        return None


def _last_sample(path: Path) -> Mapping[str, Any]:
    """Read the last whole line of the file of samples."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - LAST_BYTES, 0))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return {}
    whole = [line for line in lines if line.endswith(b"\n")]
    try:
        found = json.loads(whole[-1]) if whole else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
