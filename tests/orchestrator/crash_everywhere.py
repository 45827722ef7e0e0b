"""Kill a small night at its trigger points, one after another, resume it, and look whether the record is sound.

Run as a program, since every night needs a process of its own to be killed: ``crash_everywhere.py FOLDER FIRST STEP
LAST`` prints one line of JSON per point. Children are forked from a warm parent: a point costs a night and no imports.
"""

import json
import os
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from small_night import protocol, run_new, run_on

from epicycle.db.connection import open_reader
from epicycle.db.folding import disagreements
from epicycle.hardware.simulator.evaluation import truth
from epicycle.orchestrator.opening import NightOver

KILLED = 77


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
        "loads": loads,
        "unrecorded_images": sorted(on_disk - recorded),
    }


def main() -> None:
    folder, first, step, last = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    for number in range(first, last + 1, step):
        night = folder / f"night-{number}"
        code = in_child(lambda night=night, number=number: run_new(night, protocol(), point=counting(number)))
        if code == 0:
            print(json.dumps({"point": number, "past_the_end": True}), flush=True)
            return
        again = 0 if code == KILLED else None
        if code == KILLED and (night / "night.db").exists():
            again = in_child(lambda night=night: resume_or_begin(night))
        print(json.dumps({"point": number, "killed": code, "resumed": again, **soundness(night)}), flush=True)
        shutil.rmtree(night)


def resume_or_begin(night: Path) -> None:
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
        run_new(night, protocol())


if __name__ == "__main__":
    main()
