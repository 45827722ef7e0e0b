"""A small night killed at its trigger points and resumed: every fifth, or all with EPICYCLE_EVERY_POINT=1."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STEP = 1 if os.environ.get("EPICYCLE_EVERY_POINT") else 5
SHARES = 6
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_night_killed_anywhere_is_resumed_and_sound(tmp_path: Path, share: int) -> None:
    program = [sys.executable, str(HERE / "crash_everywhere.py"), str(tmp_path)]
    first, step = 1 + share * STEP, SHARES * STEP
    ended = subprocess.run(
        [*program, str(first), str(step), "100000"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    copied, *points = [json.loads(line) for line in ended.stdout.splitlines()]
    assert copied == {"unlike_killed": []}
    assert len(points) > 5
    unsound = [line for line in points if not _sound(line)]
    assert not unsound, unsound[:3]
    assert all(line["done"] + line["lost"] > 0 for line in points), "a night without exposures proves nothing"


@pytest.mark.timeout(3000)
def test_a_night_killed_between_the_shots_of_a_hole_loses_and_repeats_none(tmp_path: Path) -> None:
    """Each hole has two shots; killed at every twelfth point while exposing, or at every one of them."""
    step = 1 if os.environ.get("EPICYCLE_EVERY_POINT") else 12
    ended = subprocess.run(
        [sys.executable, str(HERE / "crash_everywhere.py"), str(tmp_path), "3", str(step), "exposing", "2"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    copied, *points = [json.loads(line) for line in ended.stdout.splitlines()]
    assert copied == {"unlike_killed": []}
    assert len(points) > 5
    unsound = [line for line in points if not _sound(line, shots=2)]
    assert not unsound, unsound[:3]
    assert {line["most_exposures_of_a_hole"] for line in points} == {2}


def _sound(line: dict, shots: int = 1) -> bool:
    return (
        line["resumed"] == 0
        and line["finished"]
        and line["unfinished_grids"] == 0
        and line["intended"] == 0
        and line["lost"] <= 1
        and line["integrity"] == "ok"
        and not line["differences"]
        and line["most_exposures_of_a_name"] <= 1
        and line["most_exposures_of_a_hole"] <= shots
        and line["most_exposures_of_a_place"] <= 1
        and line["holes_cut_short"] == 0
        and all(loads == 1 for loads in line["loads"].values())
        and not line["unrecorded_images"]
    )
