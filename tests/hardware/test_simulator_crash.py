"""A killed process loses nothing: the instrument goes on where it was, and every dose it gave is in the ledger."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from epicycle.hardware.records import ImageShift, Shot, StagePosition
from epicycle.hardware.simulator import calls_made, time_reached
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.instrument import camera
from epicycle.hardware.simulator.instrument.memory import read_doses
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it and tidy up."""


def test_a_new_connection_finds_the_instrument_as_it_was(bench: Make, on_square: Make) -> None:
    night = bench()
    microscope = night.connect()
    at = on_square(microscope, exact=False)
    preset = microscope.presets()["hole"]
    microscope.use(preset)
    microscope.shift_image(ImageShift(1.0, 2.0))
    first = microscope.acquire(Shot(preset), "hole-1")
    reached = night.clock.now()
    calls = calls_made(night.memory)
    again = night.connect()
    assert night.clock.now() == reached == time_reached(night.memory)
    assert again.loaded() == 1
    assert again.position() == at
    assert again.status().valve_open
    assert again.stored("hole-1") == first
    assert calls_made(night.memory) == calls + 4
    second = again.acquire(Shot(preset), "hole-2")
    assert second.image_shift == ImageShift(1.0, 2.0)
    assert second.started_at >= first.ended_at


def test_an_error_of_position_outlives_the_process(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    on_square(microscope, exact=False)
    before = behind(microscope).looked_at(night.clock.now())
    after = behind(night.connect()).looked_at(night.clock.now())
    assert after == pytest.approx(before, abs=1e-9)


def test_a_later_clock_is_believed(bench: Make) -> None:
    night = bench()
    night.connect()
    later = night.clock.now() + timedelta(hours=2)
    night.connect(at=later)
    assert night.clock.now() == later
    assert time_reached(night.memory) <= later


def test_dose_is_written_before_the_frame(bench: Make, on_square: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    night = bench()
    microscope = night.connect()
    on_square(microscope)
    preset = microscope.presets()["exposure"]

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(camera, "write_mrc", die)
        with pytest.raises(Killed):
            microscope.acquire(Shot(preset, save_frames=True), "shot-1")
    again = night.connect()
    assert again.stored("shot-1") is None
    assert [shot.dose.name for shot in truth.exposures(night.memory)] == ["shot-1"]
    again.acquire(Shot(preset, save_frames=True), "shot-2")
    counts = truth.times_exposed(night.memory)
    assert sum(counts.values()) in (0, 2), "both on one hole, or both on film"


def test_killed_by_the_system_in_the_middle_of_a_write(tmp_path: Path) -> None:
    script = tmp_path / "night.py"
    script.write_text(
        """
import os, sys
from datetime import datetime, UTC
from pathlib import Path
from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import Shot
from epicycle.hardware.simulator import connect
from epicycle.hardware.simulator.instrument import camera
from epicycle.protocols.cassette import Cassette
folder = Path(sys.argv[1])
scope = connect(Installation(options={"camera_scale": 0.0625}, images=folder / "images", memory=folder / "microscope",
    clock=VirtualClock(datetime(2026, 1, 5, 18, tzinfo=UTC)), seed=1,
    cassette=Cassette.model_validate({"slots": [{"slot": 1, "name": "g"}]})))
scope.open_valve(); scope.load(1)
camera.write_mrc = lambda *_, **__: os._exit(9)
scope.acquire(Shot(scope.presets()["exposure"]), "shot")
"""
    )
    done = subprocess.run([sys.executable, script, tmp_path / "night"], env=dict(os.environ), check=False)
    assert done.returncode == 9
    doses = read_doses(tmp_path / "night" / "microscope")
    assert [(dose.name, dose.slot, dose.level) for dose in doses] == [("shot", 1, "exposure")]
    assert list((tmp_path / "night" / "images").glob("*.mrc")) == []


def test_a_line_cut_short_is_dropped_and_mended(bench: Make, on_square: Make) -> None:
    night = bench()
    microscope = night.connect()
    on_square(microscope)
    preset = microscope.presets()["hole"]
    microscope.acquire(Shot(preset), "a")
    ledger = night.memory / "doses.jsonl"
    with ledger.open("ab") as file:
        file.write(b'{"name": "b", "slo')
    assert [dose.name for dose in read_doses(night.memory)] == ["a"]
    night.connect().acquire(Shot(preset), "c")
    assert [dose.name for dose in read_doses(night.memory)] == ["a", "c"]


def test_every_hole_hit_is_counted(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    on_square(microscope)
    square = truth.square_of(behind(microscope).world, 0, 0)
    holes = square.holes[:3]
    preset = microscope.presets()["exposure"]
    for number, hole in enumerate([*holes, holes[0]]):
        x, y = truth.grid_to_stage(night.memory, 1, 1, hole.x_um, hole.y_um)
        microscope.go_to(StagePosition(x, y, microscope.position().z_um))
        state = behind(microscope).state
        state.error_x_um = state.error_y_um = state.drift_a_per_s = 0.0
        microscope.acquire(Shot(preset), f"shot-{number}")
    counts = truth.times_exposed(night.memory)
    assert counts == {(1, hole.a, hole.b): 2 if hole is holes[0] else 1 for hole in holes}


def test_no_dose_reaches_the_specimen_behind_a_closed_valve(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    microscope.acquire(Shot(microscope.presets()["exposure"]), "dark")
    assert truth.exposures(night.memory) == []


def test_a_folder_of_another_night_is_refused(bench: Make) -> None:
    bench(seed=1).connect()
    with pytest.raises(BadInput, match="another seed"):
        bench(seed=2).connect()
    with pytest.raises(BadInput, match="another profile"):
        bench(profile="screening-200kv").connect()


def test_a_damaged_state_is_one_sentence(bench: Make) -> None:
    night = bench()
    night.connect()
    (night.memory / "state.json").write_text("{")
    with pytest.raises(BadInput, match=r"state\.json"):
        night.connect()
