"""Pixels and no pixels: one world, seen by detectors and drawn from error models fitted to them; do they agree?

    python benchmarks/two_fidelities.py [--grids N] [--nights N] [--slots N] [--draws N] [--speed N] [--seed N]
        [--out FILE.json]
    python benchmarks/two_fidelities.py --seen FOLDER --folds 5

Three parts. (1) The same grids are looked at both ways by the routine that the fit uses, on worlds that the fit has not
seen: recall, distribution of the leading number of each answer (Kolmogorov-Smirnov distance, and the one that two such
samples from one distribution exceed once in twenty times; answers of one picture go together, so that more is chance
where an answer has many of a picture), errors of place, of defocus and of height. With --seen, the grids are those that
`epicycle simulate fit` looked at and kept in this folder: they are dealt into folds, and each fold is looked at without
pixels by models fitted to the others. (2) Whole nights with the same seeds both ways, through the real orchestrator
into the real record: totals, and hours by step. Without pixels each night is run with several draws of the same error
models, and their mean is compared. The interval is that in which the difference lies at 95 % when grids are drawn anew
from those that were (a paired bootstrap: a grid is the same world both ways). (3) Pixel-free twelve-grid
nights, one after the other in one process, in a folder that lives in memory: CPU seconds a night, and nights an hour on
two cores.

A night with pixels takes minutes. Observations and nights that were made are kept in --work and not made again.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session as OrmSession

from epicycle.cli.fitting import FILMS, WITHOUT_LATTICE, fitted, grids_to_see
from epicycle.cli.observing import observe
from epicycle.cli.seeing import GridToSee
from epicycle.db.connection import open_reader
from epicycle.db.models import BisGroup, Exposure, Fault, Grid, Hole, ImageRow, Measure, Session, Square, Step
from epicycle.hardware.simulator.grid.cassette_world import KINDS
from epicycle.hardware.simulator.pixel_free.error_models import TABLES
from epicycle.orchestrator.opening import Settings, begin
from epicycle.orchestrator.screening import screen
from epicycle.protocols.cassette import Cassette
from epicycle.protocols.pixel_free import FILM_PICTURE_PX, without_pixels
from epicycle.protocols.reading import read_protocol
from epicycle.protocols.screening import ScreeningProtocol

PROFILE = "demo-2k"
START = datetime(2026, 1, 5, 18, tzinfo=UTC)
CORES = 2
FIDELITIES = ("pixels", "pixel-free")
ERRORS: Mapping[str, str] = {
    "opening": "off_x_um",
    "centre": "off_x_um",
    "square site": "off_x_um",
    "hole site": "off_x_um",
    "picture offset": "off_x_um",
    "height": "error_um",
    "autofocus": "error_um",
    "verdict": "defocus_error_um",
}
"""Columns whose spread is an error."""

RESAMPLES = 4000

TOTALS = ("images", "exposures", "usable", "squares found", "squares visited", "holes found", "faults", "hours")

Row = tuple[str, str, float, "list[float] | None"]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=6, help="grids looked at both ways")
    parser.add_argument("--nights", type=int, default=2, help="nights run both ways")
    parser.add_argument("--slots", type=int, default=12, help="grids of each night run both ways")
    parser.add_argument("--draws", type=int, default=4, help="pixel-free nights to one with pixels, which are averaged")
    parser.add_argument("--speed", type=int, default=3, help="pixel-free nights that are timed")
    parser.add_argument("--seed", type=int, default=500_000, help="of the first grid and the first night")
    parser.add_argument("--seen", type=Path, help="folder of observations that a fit has kept")
    parser.add_argument("--folds", type=int, default=5, help="parts into which they are dealt")
    parser.add_argument("--work", type=Path, default=Path("two-fidelities-work"), help="what was made so far")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.seen:
        answers = compare_folds(options.seen, options.folds)
    else:
        answers = compare_answers(options.grids, options.seed, options.work)
    result = {
        "answers": answers,
        "nights": compare_nights(options.nights, options.seed, options.work, options.slots, options.draws),
        "speed": time_nights(options.speed, options.seed + 1000),
    }
    print(tables(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1))
    return 0


# (1) answers


def compare_answers(count: int, seed: int, work: Path) -> dict[str, dict[str, Any]]:
    """Look at grids both ways and compare, table by table."""
    return _tables_compared({fidelity: _seen(count, seed, fidelity, work) for fidelity in FIDELITIES})


def options_for(fidelity: str, grid: GridToSee) -> dict[str, Any]:
    """Give the microscope's options: on a film without a lattice, pictures that show where film is."""
    without = grid.hole_type in [film[0] for film in WITHOUT_LATTICE]
    return {"fidelity": fidelity, **({"film_picture_px": FILM_PICTURE_PX} if without else {})}


def compare_folds(folder: Path, folds: int) -> dict[str, dict[str, Any]]:
    """Compare what a fit has seen with what models fitted to the other folds draw on the same worlds."""
    parts = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    first, kinds = min(part["seed"] for part in parts), tuple(KINDS)
    # Some of the grids are besides those that the fit was asked for.
    wanted = next(
        grids for count in range(len(parts), 0, -1) if len(grids := grids_to_see(first, count, kinds)) == len(parts)
    )
    grids = {grid.seed: grid for grid in wanted}
    seen: dict[str, dict[str, list[Row]]] = {fidelity: {} for fidelity in FIDELITIES}
    # Kinds come in turn: dealt one by one, a fold would hold all grids of its kinds, and the others none to learn from.
    dealt = [number // len(kinds) % folds for number in range(len(parts))]
    if len(set(dealt)) < 2:
        raise SystemExit(f"{len(parts)} grids in {folder} do not fill two folds with one of each of {len(kinds)} kinds")
    for fold in sorted(set(dealt)):
        mine = [part for part, own in zip(parts, dealt, strict=True) if own == fold]
        others = [part for part, own in zip(parts, dealt, strict=True) if own != fold]
        with tempfile.TemporaryDirectory() as kept:
            models = Path(kept) / "models.json"
            models.write_text(fitted(others, "epicycle simulate fit", PROFILE).model_dump_json())
            for part in mine:
                options = {"error_models": str(models), **options_for("pixel-free", grids[part["seed"]])}
                *_, last = observe(grids[part["seed"]], PROFILE, options)
                for fidelity, rows in zip(FIDELITIES, (part["rows"], last.rows), strict=True):
                    for name, some in rows.items():
                        seen[fidelity].setdefault(name, []).extend(some)
    return _tables_compared(seen)


def _tables_compared(seen: Mapping[str, Mapping[str, list[Row]]]) -> dict[str, dict[str, Any]]:
    return {
        name: _compared(name, *(seen[fidelity].get(name, []) for fidelity in FIDELITIES))
        for name in TABLES
        if all(seen[fidelity].get(name) for fidelity in FIDELITIES)
    }


def _seen(count: int, seed: int, fidelity: str, work: Path) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for grid in grids_to_see(seed, count, tuple(KINDS)):
        path = work / f"{grid.name}-{fidelity}.json"
        if not path.exists() or fidelity == "pixel-free":
            *_, last = observe(grid, PROFILE, options_for(fidelity, grid))
            path.write_text(json.dumps(last.rows))
            print(f"looked at {grid.name}, {fidelity}", file=sys.stderr)
        for name, part in json.loads(path.read_text()).items():
            rows.setdefault(name, []).extend(part)
    return rows


def _compared(name: str, pixels: Sequence[Row], free: Sequence[Row]) -> dict[str, Any]:
    found = {}
    for fidelity, rows in zip(FIDELITIES, (pixels, free), strict=True):
        answers = np.array([row[3] for row in rows if row[3] is not None], np.float64)
        one: dict[str, Any] = {"cases": len(rows), "answered": len(answers) / len(rows), "leading": answers[:, 0]}
        if name in ERRORS:
            column = answers[:, TABLES[name].index(ERRORS[name])]
            one["error"] = _spread(column)
        found[fidelity] = one
    first, second = (found[fidelity].pop("leading") for fidelity in FIDELITIES)
    chance = 1.36 * np.sqrt((len(first) + len(second)) / (len(first) * len(second)))
    return {**found, "distance": _distance(first, second), "by chance": float(chance)}


def _spread(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Half the range of the middle 68 %: a standard deviation that outliers do not move."""
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2


def _distance(first: Any, second: Any) -> float:
    """Largest difference of two cumulative distributions."""
    at = np.concatenate([first, second])
    steps = [np.searchsorted(np.sort(part), at, side="right") / len(part) for part in (first, second)]
    return float(np.abs(steps[0] - steps[1]).max())


# (2) nights


def plan_for(fidelity: str, draw: int = 0) -> ScreeningProtocol:
    """Give the protocol of the demonstration for a fidelity."""
    plan = read_protocol("screening-fast").model_dump(mode="json")
    plan["microscope"] = {"use": "sim", "options": {"profile": PROFILE, "draw": draw}}
    plan["analysis"]["mean_free_path_nm"] = 235.0
    made = ScreeningProtocol.model_validate(plan)
    return made if fidelity == "pixels" else without_pixels(made)


def cassette_of(slots: int) -> Cassette:
    """Fill a cassette with all films in turn."""
    names = ("slot", "name", "hole_type", "mesh", "material")
    grids = [dict(zip(names, (n, f"grid-{n}", *FILMS[n % len(FILMS)]), strict=True)) for n in range(1, slots + 1)]
    return Cassette.model_validate({"slots": grids})


def run_night(folder: Path, fidelity: str, seed: int, slots: int, draw: int = 0) -> dict[str, Any]:
    """Run one night; gives its totals and the CPU seconds it took."""
    began = time.process_time()
    settings = Settings(inline=True, start=START)
    with begin(folder, plan_for(fidelity, draw), cassette_of(slots), seed=seed, settings=settings) as (night, _):
        screen(night)
    return {"cpu_s": time.process_time() - began, **totals_of(folder)}


def totals_of(folder: Path) -> dict[str, Any]:
    """Count what a night's record holds."""
    reader = open_reader(folder / "night.db")
    try:
        with OrmSession(reader) as db:
            session = db.scalars(select(Session)).one()
            steps: dict[str, float] = {}
            for step in db.scalars(select(Step)):
                if step.started_at is not None and step.ended_at is not None:
                    hours = (step.ended_at - step.started_at).total_seconds() / 3600
                    steps[step.kind] = steps.get(step.kind, 0.0) + hours
            fits = db.scalars(select(Measure.value).where(Measure.name == "fit_resolution_a")).all()
            assert session.finished_at is not None
            return {
                # Pictures for people are made of pixels alone.
                "images": db.scalar(select(func.count()).select_from(ImageRow).where(ImageRow.kind != "picture")),
                "exposures": db.scalar(select(func.count()).select_from(Exposure).where(Exposure.status == "done")),
                "usable": db.scalar(select(func.count()).select_from(Exposure).where(Exposure.usable)),
                "squares found": db.scalar(select(func.count()).select_from(Square)),
                "squares visited": db.scalar(select(func.count(func.distinct(BisGroup.square_id)))),
                "holes found": db.scalar(select(func.count()).select_from(Hole).where(Hole.site == "hole")),
                "faults": db.scalar(select(func.count()).select_from(Fault)),
                "hours": (session.finished_at - session.started_at).total_seconds() / 3600,
                "median fit": float(np.median(fits)) if fits else None,
                "steps": steps,
                "grids": _by_grid(db),
            }
    finally:
        reader.dispose()


def _by_grid(db: OrmSession) -> list[dict[str, float]]:
    """Count what the record holds of each grid."""
    found = []
    for grid in db.scalars(select(Grid).order_by(Grid.slot)):
        squares = select(Square.id).where(Square.grid_id == grid.id)
        holes = select(Hole.id).where(Hole.square_id.in_(squares))
        shots = select(func.count()).select_from(Exposure).where(Exposure.hole_id.in_(holes))
        steps = db.scalars(select(Step).where(Step.grid_id == grid.id, Step.ended_at.is_not(None)))
        found.append(
            {
                "exposures": db.scalar(shots.where(Exposure.status == "done")) or 0,
                "usable": db.scalar(shots.where(Exposure.usable)) or 0,
                "squares found": db.scalar(select(func.count()).select_from(Square).where(Square.grid_id == grid.id))
                or 0,
                "holes found": db.scalar(
                    select(func.count()).select_from(Hole).where(Hole.square_id.in_(squares), Hole.site == "hole")
                )
                or 0,
                "faults": db.scalar(select(func.count()).select_from(Fault).where(Fault.grid_id == grid.id)) or 0,
                "hours of steps": sum((step.ended_at - step.started_at).total_seconds() for step in steps) / 3600,
            }
        )
    return found


def intervals(nights: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[float]]:
    """Give the middle 95 % of the differences, as shares, when grids are drawn anew from those of all nights."""
    grids = {
        fidelity: [grid for night in nights[fidelity] for grid in night.get("grids", [])] for fidelity in FIDELITIES
    }
    there, here = (grids[fidelity] for fidelity in FIDELITIES)
    if not there or len(there) != len(here):
        return {}
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(there), size=(RESAMPLES, len(there)))
    found = {}
    for name in there[0]:
        first, second = (np.array([grid[name] for grid in part], np.float64) for part in (there, here))
        sums = first[drawn].sum(axis=1), second[drawn].sum(axis=1)
        kept = sums[0] > 0
        if kept.any():
            found[name] = [float(v) for v in np.quantile(sums[1][kept] / sums[0][kept] - 1, [0.025, 0.975])]
    return found


def compare_nights(count: int, seed: int, work: Path, slots: int, draws: int) -> dict[str, Any]:
    """Run nights with the same seeds both ways."""
    nights: dict[str, list[dict[str, Any]]] = {fidelity: [] for fidelity in FIDELITIES}
    for n in range(count):
        path = work / f"night-{seed + n}-{slots}-pixels.json"
        if not path.exists():
            path.write_text(json.dumps(_night_in_passing("pixels", seed + n, slots)))
        nights["pixels"].append(json.loads(path.read_text()))
        drawn = [_night_in_passing("pixel-free", seed + n, slots, draw) for draw in range(draws)]
        nights["pixel-free"].append(_mean_night(drawn))
    sums = {fidelity: _summed(nights[fidelity]) for fidelity in FIDELITIES}
    return {"draws": draws, "each": nights, "sums": sums, "intervals": intervals(nights)}


def _night_in_passing(fidelity: str, seed: int, slots: int, draw: int = 0) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        night = run_night(Path(folder) / "night", fidelity, seed, slots, draw)
    print(f"night {seed}, {fidelity}, draw {draw}: {night['exposures']} exposures", file=sys.stderr)
    return night


def _mean_night(nights: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average nights of one world."""
    kinds = sorted({kind for night in nights for kind in night["steps"]})
    return {
        **{name: float(np.mean([night[name] for night in nights])) for name in TOTALS},
        "steps": {kind: float(np.mean([night["steps"].get(kind, 0.0) for night in nights])) for kind in kinds},
        "grids": [
            {name: float(np.mean([grid[name] for grid in grids])) for name in grids[0]}
            for grids in zip(*(night["grids"] for night in nights), strict=True)
        ],
    }


def _summed(nights: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    sums = {name: float(sum(night[name] for night in nights)) for name in TOTALS}
    if all("grids" in night for night in nights):
        sums["hours of steps"] = sum(grid["hours of steps"] for night in nights for grid in night["grids"])
    for kind in sorted({kind for night in nights for kind in night["steps"]}):
        sums[f"h {kind}"] = sum(night["steps"].get(kind, 0.0) for night in nights)
    return sums


# (3) speed


def time_nights(count: int, seed: int, slots: int = 12) -> dict[str, float]:
    """Run pixel-free nights one after the other, each in a folder of its own that lives in memory."""
    memory = Path("/dev/shm")
    cpu, exposures = [], []
    wall = time.perf_counter()
    for n in range(count):
        folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        try:
            night = run_night(folder / "night", "pixel-free", seed + n, slots)
        finally:
            shutil.rmtree(folder)
        cpu.append(night["cpu_s"])
        exposures.append(night["exposures"])
    if not cpu:
        return {}
    mean = float(np.mean(cpu))
    return {
        "nights": float(count),
        "cpu_s_a_night": mean,
        "nights_an_hour_on_two_cores": CORES * 3600 / mean,
        "exposures_a_night": float(np.mean(exposures)),
        "wall_s_a_night": (time.perf_counter() - wall) / count,
    }


# the tables


def tables(result: Mapping[str, Any]) -> str:
    """Lay the results out in Markdown."""
    lines = ["| answer | cases | answered | pixel-free | KS distance | by chance | error | pixel-free |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, one in result["answers"].items():
        pixels, free = (one[fidelity] for fidelity in FIDELITIES)
        errors = [f"{part['error']:.3f}" if "error" in part else "" for part in (pixels, free)]
        lines.append(
            f"| {name} | {pixels['cases']} | {pixels['answered']:.3f} | {free['answered']:.3f} | {one['distance']:.3f} "
            f"| {one['by chance']:.3f} | {errors[0]} | {errors[1]} |"
        )
    lines += ["", "| of all nights | pixels | pixel-free | difference | 95 % |", "| --- | --- | --- | --- | --- |"]
    sums, ranges = result["nights"]["sums"], result["nights"].get("intervals", {})
    for name, there in sums["pixels"].items():
        here = sums["pixel-free"].get(name, 0.0)
        apart = f"{100 * (here / there - 1):+.1f} %" if there else ""
        low, high = ranges.get(name, (None, None))
        chance = "" if low is None else f"{100 * low:+.0f} to {100 * high:+.0f} %"
        lines.append(f"| {name} | {there:.2f} | {here:.2f} | {apart} | {chance} |")
    lines += ["", *(f"{name}: {value:.2f}" for name, value in result["speed"].items())]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
