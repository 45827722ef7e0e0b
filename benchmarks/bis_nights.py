"""Demonstration nights with and without beam-image shift: stage moves, exposures per hour, defocus, from the record.

Cassette, world and mishaps are those of the demonstration; each grid is collected from for the same time, every hole
that qualifies. ``python benchmarks/bis_nights.py [--radii 0 6] [--seeds 1 2] [--slots 1 4 6] [--minutes 30]
[--focus group plane] [--fidelity pixel-free] [--squares 2] [--out FILE.json]``
"""

import argparse
import contextlib
import io
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session as OrmSession

from epicycle.db import models
from epicycle.db.connection import open_reader
from epicycle.hardware.simulator import DEMO_CASSETTE, DEMO_OPTIONS
from epicycle.orchestrator.opening import Settings, begin
from epicycle.orchestrator.screening import screen
from epicycle.protocols.pixel_free import without_pixels
from epicycle.protocols.reading import read_cassette, read_protocol
from epicycle.protocols.screening import ScreeningProtocol

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
SAME_PLACE_UM = 0.05


@dataclass(frozen=True, slots=True)
class Night:
    """One night, or the mean of several with ``seed`` None.

    ``stage_moves`` counts images taken elsewhere than the one before, on grids; ``hours`` runs from the first square of
    each grid until it is left, summed; ``defocus_off_um`` is the median distance of measured from wanted defocus.
    """

    radius_um: float
    focus: str
    seed: int | None
    hours: float
    night_hours: float
    groups: float
    exposures: float
    usable: float
    stage_moves: float
    focused: float
    predicted: float
    exposures_per_hour: float
    moves_per_exposure: float
    defocus_off_um: float
    cpu_s: float


def main() -> None:
    """Run the nights, print the table, write JSON."""
    asked = _arguments()
    nights = []
    for radius_um, focus in itertools.product(asked.radii, asked.focus):
        own = [_night(radius_um, focus, seed, asked) for seed in asked.seeds]
        nights += [*own, *([_mean(own)] if len(own) > 1 else [])]
        _print(nights[-len(own) - (len(own) > 1) :], header=len(nights) <= len(own) + 1)
    if asked.out is not None:
        asked.out.write_text(json.dumps([asdict(night) for night in nights], indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radii", type=float, nargs="+", default=[0.0, 6.0])
    parser.add_argument("--focus", nargs="+", default=["group"], choices=["group", "plane", "square"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 6])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--squares", type=int, default=2)
    parser.add_argument("--fidelity", choices=["pixels", "pixel-free"], default="pixel-free")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _protocol(radius_um: float, focus: str, asked: argparse.Namespace) -> ScreeningProtocol:
    plan: dict[str, Any] = read_protocol("screening-fast").model_dump(mode="json")
    plan["microscope"] = {"use": "sim", "options": dict(DEMO_OPTIONS)}
    plan["analysis"]["mean_free_path_nm"] = 235.0
    plan["squares"]["per_grid"] = asked.squares
    plan["holes"] |= {"per_square": 0, "offset_targeting": False, "bis_radius_um": radius_um, "minimum_bis_group": 1}
    plan["passes"] = [{"name": "collect"}]
    plan["time"] = {"per_grid_min": asked.minutes}
    plan["focus"]["every"] = focus
    # Every hole of a square is wanted, so more of them may fail before the square is given up.
    plan["recovery"]["target_failures_per_square"] = 50
    made = ScreeningProtocol.model_validate(plan)
    return made if asked.fidelity == "pixels" else without_pixels(made)


def _night(radius_um: float, focus: str, seed: int, asked: argparse.Namespace) -> Night:
    cassette = read_cassette(DEMO_CASSETTE)
    cassette = cassette.model_copy(update={"slots": tuple(s for s in cassette.slots if s.slot in asked.slots)})
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        settings = Settings(inline=True, start=START)
        plan = _protocol(radius_um, focus, asked)
        with begin(Path(folder), plan, cassette, seed=seed, settings=settings) as (night, _):
            screen(night)
        return _read(Path(folder) / "night.db", radius_um, focus, seed, time.process_time() - began)


def _read(record: Path, radius_um: float, focus: str, seed: int, cpu_s: float) -> Night:
    reader = open_reader(record)
    try:
        with OrmSession(reader) as db:
            session = db.scalars(select(models.Session)).one()
            shots = db.scalars(select(models.Exposure).where(models.Exposure.status == "done")).all()
            hours, moves = _collecting_hours(db), _stage_moves(db)
            kinds = dict(db.execute(select(models.Event.kind, func.count()).group_by(models.Event.kind)).all())
            wanted = {shot.id: shot.target_defocus_um for shot in shots}
            off = [
                abs(m.value - wanted[m.of_id])
                for m in db.scalars(select(models.Measure).where(models.Measure.name == "defocus_um"))
                if m.of_kind == "exposure" and m.of_id in wanted
            ]
            night_hours = ((session.finished_at or session.started_at) - session.started_at).total_seconds() / 3600
    finally:
        reader.dispose()
    return Night(
        radius_um=radius_um,
        focus=focus,
        seed=seed,
        hours=hours,
        night_hours=night_hours,
        groups=kinds.get("group_done", 0),
        exposures=len(shots),
        usable=sum(shot.usable is True for shot in shots),
        stage_moves=moves,
        focused=kinds.get("focused", 0),
        predicted=kinds.get("focus_predicted", 0),
        exposures_per_hour=len(shots) / hours if hours else 0.0,
        moves_per_exposure=moves / len(shots) if shots else math.nan,
        defocus_off_um=median(off) if off else math.nan,
        cpu_s=cpu_s,
    )


def _collecting_hours(db: OrmSession) -> float:
    """Sum, over grids, the time from going to the first square until the grid was left."""
    said = db.execute(
        select(models.Event.kind, models.Event.grid_id, models.Event.at)
        .where(models.Event.kind.in_(("square_began", "grid_left")))
        .order_by(models.Event.id)
    ).all()
    began: dict[int, datetime] = {}
    total_s = 0.0
    for kind, grid, at in said:
        if kind == "square_began":
            began.setdefault(grid, at)
        elif grid in began:
            total_s += (at - began.pop(grid)).total_seconds()
    return total_s / 3600


def _stage_moves(db: OrmSession) -> int:
    """Count images of squares and below that were taken elsewhere than the one before."""
    places = [
        scope["stage_um"][:2]
        for (scope,) in db.execute(
            select(models.ImageRow.scope)
            .where(
                models.ImageRow.of_kind.in_(("square", "bis_group", "exposure")),
                models.ImageRow.kind.not_in(("stitched", "picture")),
            )
            .order_by(models.ImageRow.taken_at)
        )
    ]
    return sum(math.dist(one, two) > SAME_PLACE_UM for one, two in itertools.pairwise(places))


def _mean(nights: Sequence[Night]) -> Night:
    values = {
        name: mean(getattr(night, name) for night in nights)
        for name in Night.__slots__
        if name not in ("radius_um", "focus", "seed")
    }
    return Night(radius_um=nights[0].radius_um, focus=nights[0].focus, seed=None, **values)


def _print(nights: Sequence[Night], *, header: bool) -> None:
    columns = {
        "radius": "radius_um",
        "seed": "seed",
        "focus": "focus",
        "hours": "hours",
        "groups": "groups",
        "shots": "exposures",
        "usable": "usable",
        "moves": "stage_moves",
        "focused": "focused",
        "told": "predicted",
        "shots/h": "exposures_per_hour",
        "moves/shot": "moves_per_exposure",
        "off µm": "defocus_off_um",
        "CPU s": "cpu_s",
    }
    if header:
        print("".join(f"{title:>11}" for title in columns))
    for night in nights:
        print("".join(f"{_shown(getattr(night, name)):>11}" for name in columns.values()), flush=True)


def _shown(value: float | str | None) -> str:
    if value is None:
        return "mean"
    return value if isinstance(value, str) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
