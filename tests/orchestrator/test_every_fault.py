"""A short night with each kind of fault ends well: no hole twice, no image off the record, and the truth knows it."""

import sqlite3
from pathlib import Path
from typing import Any, get_args

import pytest
from crash_everywhere import soundness
from small_night import protocol, run_new

from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.instrument.fault_kinds import Kind

FILTERED = {"profile": "collection-300kv", "camera_scale": 0.05}
"""A microscope with a slit to lose the peak in, its camera small."""

SCRIPTS: dict[str, dict[str, Any]] = {
    "load-fails": {"at": {"slot": 1}},
    "loader-jam": {"at": {"call": "load", "number": 2}},
    "grid-swapped": {"at": {"after_h": 0.1}, "slots": [1, 2]},
    "wrong-slot-reading": {"at": {"call": "loaded", "number": 3}},
    "fill-during-shot": {"at": {"call": "acquire", "number": 4}},
    "pump-cycle": {"at": {"slot": 1}, "lasts_h": 0.05},
    "vibration": {"at": {"slot": 1}, "lasts_h": 0.3},
    "drift-high": {"at": {"slot": 1}},
    "valve-closes": {"at": {"call": "acquire", "number": 3}, "lasts_h": 0.2},
    "vacuum-lost": {"at": {"call": "acquire", "number": 3}, "lasts_h": 0.2},
    "beam-off": {"at": {"call": "acquire", "number": 5}, "lasts_h": 0.2},
    "beam-moved": {"at": {"call": "acquire", "number": 4}, "lasts_h": 0.2},
    "flash-needed": {"at": {"slot": 1}, "lasts_h": 0.3},
    "zero-loss-lost": {"at": {"call": "autofocus", "number": 1}},
    "dark-images": {"at": {"call": "settle", "number": 1}, "lasts_h": 0.1},
    "camera-timeout": {"at": {"call": "acquire", "number": 5}},
    "camera-hang": {"at": {"call": "acquire", "number": 5}},
    "disk-full": {"at": {"call": "acquire", "number": 3}},
    "share-gone": {"at": {"call": "acquire", "number": 3}, "lasts_h": 0.3},
    "connection-lost": {"at": {"call": "acquire", "number": 5}, "how": "after"},
    "call-hangs": {"at": {"call": "go_to", "number": 4}, "how": "after"},
    "message-box": {"at": {"call": "go_to", "number": 4}, "lasts_h": 0.6},
    "driver-restart": {"at": {"call": "acquire", "number": 5}},
    "garbage": {"at": {"call": "acquire", "number": 5}},
    "focus-fails": {"at": {"call": "autofocus", "number": 1}},
    "stage-stuck": {"at": {"call": "go_to", "number": 4}},
    "stage-overshoot": {"at": {"call": "go_to", "number": 4}},
}


def test_every_kind_has_its_night() -> None:
    assert set(SCRIPTS) == set(get_args(Kind))


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_night_with_this_fault_ends_well(tmp_path: Path, kind: str) -> None:
    options = {**(FILTERED if kind == "zero-loss-lost" else {}), "faults": [{"kind": kind, **SCRIPTS[kind]}]}
    session = run_new(tmp_path, protocol(options))
    found = soundness(tmp_path)
    assert session.run_status == "finished", session.outcome
    assert found["most_exposures_of_a_name"] <= 1
    assert found["most_exposures_of_a_hole"] <= 1
    assert not found["unrecorded_images"]
    assert not found["differences"]
    assert found["integrity"] == "ok"
    assert (found["unfinished_grids"], found["intended"]) == (0, 0)
    struck = truth.faults(tmp_path / "microscope")
    assert [one.kind for one in struck] == [kind]
    with sqlite3.connect(tmp_path / "night.db") as db:
        began = db.execute("select min(at) from event").fetchone()[0]
    assert str(struck[0].at.replace(tzinfo=None)) >= began
