"""Leave a small night at its trigger points, one after another, resume it, and look whether the record is sound.

Run as a program, since nights that are killed need processes of their own: ``crash_everywhere.py FOLDER FIRST STEP
LAST`` prints one line of JSON per point, ``crash_everywhere.py FOLDER FIRST STEP exposing SHOTS`` one for each point
while holes are exposed with several shots each. Children are forked from a warm parent, without imports.

What a process leaves when it is killed at a point is what its folder holds there. So one night is run to its end, and
its folder is copied at each of the points; a copy costs what was left of the night. At some of the points, early and
late, a night is killed indeed, and must leave what the copy holds.
"""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from small_night import protocol, run_new, run_on

from epicycle.db.connection import open_reader
from epicycle.db.folding import disagreements
from epicycle.hardware.simulator.evaluation import truth
from epicycle.orchestrator.opening import NightOver
from epicycle.protocols.screening import ScreeningProtocol

KILLED = 77
KILLS = 4
"""At about so many of the points nights are killed indeed."""


def counting(limit: int) -> Callable[[str], None]:
    """Make a trigger that kills the process at the ``limit``-th point."""
    count = 0

    def point(_name: str) -> None:
        nonlocal count
        count += 1
        if count == limit:
            os._exit(KILLED)

    return point


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked process; answers its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def soundness(folder: Path) -> dict[str, Any]:
    """Say everything about a finished night that must hold, from the record and from the world's own ledger."""
    from sqlalchemy.orm import Session

    with sqlite3.connect(folder / "night.db") as db:
        phase, run_status = db.execute("select phase, run_status from session").fetchone()
        loads = dict(db.execute("select slot, loads from grid").fetchall())
        unfinished = db.execute("select count(*) from grid where status in ('waiting','loading','loaded')").fetchone()[
            0
        ]
        intended = db.execute("select count(*) from exposure where status = 'intended'").fetchone()[0]
        lost = db.execute("select count(*) from exposure where status = 'lost'").fetchone()[0]
        done = db.execute("select count(*) from exposure where status = 'done'").fetchone()[0]
        integrity = db.execute("pragma integrity_check").fetchone()[0]
        planned = db.execute("select id, shots from hole where status in ('exposed', 'lost')").fetchall()
        taken = dict(db.execute("select hole_id, count(*) from exposure group by hole_id").fetchall())
        cut_short = sum(len(json.loads(shots or "null") or [0]) != taken.get(hole, 0) for hole, shots in planned)
        recorded = {row[0] for row in db.execute("select path from image")}
    on_disk = {f"images/{path.name}" for path in (folder / "images").iterdir() if not path.name.startswith(".")}
    names = Counter(shot.dose.name for shot in truth.exposures(folder / "microscope"))
    holes = truth.times_exposed(folder / "microscope")
    reader = open_reader(folder / "night.db")
    with Session(reader) as orm:
        differences = disagreements(orm)
    reader.dispose()
    return {
        "finished": phase == "finished" and run_status == "finished",
        "unfinished_grids": unfinished,
        "intended": intended,
        "done": done,
        "lost": lost,
        "integrity": integrity,
        "differences": differences[:3],
        "most_exposures_of_a_name": max(names.values(), default=0),
        "most_exposures_of_a_hole": max(holes.values(), default=0),
        "most_exposures_of_a_place": max(truth.times_on_a_place(folder / "microscope"), default=0),
        "holes_cut_short": cut_short,
        "loads": loads,
        "unrecorded_images": sorted(on_disk - recorded),
    }


def with_shots(count: int, options: Mapping[str, Any] | None = None) -> ScreeningProtocol:
    """Give the small night with several shots in each of its holes."""
    holes = {"per_square": 2, "policy": {"use": "first-come"}, "offset_targeting": False}
    return protocol(options, holes=holes, exposure={"shots_per_hole": count})


def exposing_points(folder: Path, plan: ScreeningProtocol) -> list[int]:
    """Run a night to its end and give the numbers of the points passed while it exposed."""
    found: list[int] = []
    count = 0

    def point(_name: str) -> None:
        nonlocal count
        count += 1
        if (folder / "night.db").exists():
            with sqlite3.connect(folder / "night.db") as db:
                if (
                    db.execute("select 1 from sqlite_master where name = 'session'").fetchone()
                    and db.execute("select 1 from session where phase = 'expose'").fetchone()
                ):
                    found.append(count)

    run_new(folder, plan, point=point)
    return found


def copied_at(folder: Path, plan: ScreeningProtocol, wanted: Collection[int]) -> list[int]:
    """Run a night to its end, its folder copied to ``night-N`` at each wanted point N; answers those that it passed."""
    whole = folder / "night"

    def run() -> None:
        count = 0

        def point(_name: str) -> None:
            nonlocal count
            count += 1
            if count in wanted:
                whole.mkdir(exist_ok=True)
                shutil.copytree(whole, folder / f"night-{count}")

        run_new(whole, plan, point=point)

    assert in_child(run) == 0, "the night itself fails"
    shutil.rmtree(whole)
    return sorted(int(path.name.removeprefix("night-")) for path in folder.glob("night-*"))


def killed_at(folder: Path, plan: ScreeningProtocol, number: int) -> bool:
    """Kill a night at a point, and tell whether it leaves what the copy of that point holds."""
    killed = folder / "killed"
    code = in_child(lambda: run_new(killed, plan, point=counting(number)))
    same = code == KILLED and left_in(killed) == left_in(folder / f"night-{number}")
    shutil.rmtree(killed)
    return same


def left_in(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Give the bytes of a folder's files, those of the record apart, and the record's rows but for its lease."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    kept = {name: path.read_bytes() for name, path in files.items() if not path.name.startswith("night.db")}
    if "night.db" not in files:
        return kept, []
    with tempfile.TemporaryDirectory() as aside:
        for path in folder.glob("night.db*"):
            shutil.copy(path, aside)
        with sqlite3.connect(Path(aside) / "night.db") as db:
            rows = [line for line in db.iterdump() if line.startswith("INSERT INTO")]
            return kept, [line for line in rows if '"lease"' not in line]


def main() -> None:
    folder, first, step = Path(sys.argv[1]), *map(int, sys.argv[2:4])
    plan = protocol()
    if sys.argv[4] == "exposing":
        plan = with_shots(int(sys.argv[5]))
        wanted: Collection[int] = exposing_points(folder / "whole", plan)[first::step]
    else:
        wanted = range(first, int(sys.argv[4]) + 1, step)
    points = copied_at(folder, plan, wanted)
    killed = points[:: max(1, len(points) // KILLS)]
    print(json.dumps({"unlike_killed": [n for n in killed if not killed_at(folder, plan, n)]}), flush=True)
    for number in points:
        night = folder / f"night-{number}"
        again = in_child(lambda night=night: resume_or_begin(night, plan)) if (night / "night.db").exists() else 0
        print(json.dumps({"point": number, "resumed": again, **soundness(night)}), flush=True)
        shutil.rmtree(night)


def resume_or_begin(night: Path, plan: ScreeningProtocol) -> None:
    """Go on as a person would: resume, or begin again when the crash came before there was anything to resume.

    A night that was over when it was killed says so, and that is all there is to do.
    """
    with sqlite3.connect(night / "night.db") as db:
        tables = {row[0] for row in db.execute("select name from sqlite_master where type = 'table'")}
        sessions = db.execute("select count(*) from session").fetchone()[0] if "session" in tables else 0
    if sessions:
        with suppress(NightOver):
            run_on(night)
    else:
        run_new(night, plan)


if __name__ == "__main__":
    main()
