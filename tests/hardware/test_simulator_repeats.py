"""Equal seed and state give equal bytes, in any process and with any number of threads; each load seats a grid anew."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.records import Shot, StagePosition
from epicycle.hardware.simulator.evaluation import truth
from epicycle.hardware.simulator.instrument.instrument import seating_of
from epicycle.hardware.simulator.instrument.profile import load_profile

Make = Callable[..., Any]

SCRIPT = """
import sys, json, hashlib
from datetime import datetime, UTC
from pathlib import Path
import cv2
cv2.setNumThreads(int(sys.argv[2]))
from epicycle.hardware.clock import VirtualClock
from epicycle.hardware.protocols import Installation
from epicycle.hardware.records import Shot, StagePosition
from epicycle.hardware.simulator import connect
from epicycle.protocols.cassette import Cassette
from epicycle.files.mrc import read_frames
folder, seed = Path(sys.argv[1]), int(sys.argv[3])
film = {"hole_type": "R1.2/1.3", "mesh": "300", "material": "Carbon"}
scope = connect(Installation(options={"camera_scale": 0.25}, images=folder / "images", memory=folder / "microscope",
    clock=VirtualClock(datetime(2026, 1, 5, 18, tzinfo=UTC)), seed=seed,
    cassette=Cassette.model_validate({"slots": [{"slot": 1, "name": "g", **film}]})))
scope.open_valve(); scope.load(1); scope.go_to(StagePosition(40.0, 30.0, 3.0))
found = {}
for level, preset in scope.presets().items():
    scope.use(preset)
    image = scope.acquire(Shot(preset, save_frames=True), level)
    found[level] = hashlib.sha256(read_frames(image.path).tobytes()).hexdigest()
found["answer"] = [str(image.stage), image.ended_at.isoformat()]
print(json.dumps(found))
"""


def night_elsewhere(folder: Path, threads: int, seed: int) -> dict[str, Any]:
    script = folder.with_suffix(".py")
    script.write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)}
    done = subprocess.run(
        [sys.executable, script, folder, str(threads), str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


def test_bytes_are_equal_in_another_process_with_other_threads(tmp_path: Path) -> None:
    first = night_elsewhere(tmp_path / "a", 1, seed=4)
    assert night_elsewhere(tmp_path / "b", 4, seed=4) == first
    other = night_elsewhere(tmp_path / "c", 1, seed=5)
    assert all(other[level] != first[level] for level in ("atlas", "square", "hole", "exposure"))


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def test_asking_in_between_changes_no_picture(bench: Make, on_square: Make) -> None:
    """A health sample taken at an odd moment must not make another night of it."""
    seen = []
    for name, questions in (("quiet", 0), ("asked", 5)):
        night = bench(folder=name)
        microscope = night.connect()
        on_square(microscope)
        for _ in range(questions):
            microscope.status(), microscope.position(), microscope.loaded(), microscope.stored("nothing")
        preset = microscope.presets()["square"]
        seen.append(digest(night.pixels(microscope.acquire(Shot(preset), "a"))))
    assert seen[0] == seen[1]


def test_two_pictures_of_one_place_differ_in_noise_alone(bench: Make, on_square: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    on_square(microscope)
    preset = microscope.presets()["square"]
    microscope.use(preset)
    first, second = (night.pixels(microscope.acquire(Shot(preset), name)) for name in "ab")
    assert not np.array_equal(first, second)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.95


def test_each_load_seats_the_grid_anew_and_shows_it(bench: Make, behind: Make) -> None:
    night = bench(camera_scale=0.25)
    microscope = night.connect()
    microscope.open_valve()
    preset = microscope.presets()["atlas"]
    seatings, pictures = [], []
    for turn in range(2):
        microscope.load(1)
        microscope.go_to(StagePosition(0.0, 0.0, 1.0))
        seatings.append(behind(microscope).seating)
        pictures.append(night.pixels(microscope.acquire(Shot(preset), f"load-{turn}")))
        microscope.unload()
    assert abs(seatings[0].x_um - seatings[1].x_um) > 0.5
    assert seatings[0].turn_rad != seatings[1].turn_rad
    assert np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1] < 0.9


def test_one_place_of_a_grid_looks_alike_after_a_reload(bench: Make, behind: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    microscope.open_valve()
    preset = microscope.presets()["square"]
    bright = []
    for turn in range(2):
        microscope.load(1)
        instrument = behind(microscope)
        centre = instrument.world.centre_of(0, 0)
        x, y = truth.grid_to_stage(night.memory, 1, turn + 1, *centre)
        microscope.go_to(StagePosition(x, y))
        pixels = night.pixels(microscope.acquire(Shot(preset), f"load-{turn}"))
        side = pixels.shape[0]
        bright.append(pixels[side // 3 : -side // 3, side // 3 : -side // 3].mean())
        microscope.unload()
    assert bright[1] == pytest.approx(bright[0], rel=0.05)


def test_seatings_spread_as_the_profile_says() -> None:
    profile = load_profile("screening-200kv")
    seats = [seating_of(profile, 3, slot, load) for slot in range(1, 13) for load in range(1, 40)]
    assert np.std([seat.x_um for seat in seats]) == pytest.approx(50.0, rel=0.1)
    turns = np.degrees([seat.turn_rad for seat in seats])
    assert np.abs(turns).max() <= 10.0
    assert np.std(turns) == pytest.approx(10 / np.sqrt(3), rel=0.1)
