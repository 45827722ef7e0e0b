"""Survey pictures are the same bytes for the same seed and state, in any process and with any number of threads."""

import os
import subprocess
import sys

import pytest

PICTURE = """
import hashlib, sys
import cv2
from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.grid.cassette_world import GridSpec
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.specimen import Stain

cv2.setNumThreads(int(sys.argv[1]))
for level in ("atlas", "square", "hole"):
    profile = load_profile("demo-2k")
    own = profile.levels[level]
    preset = own.preset.model_copy(update={"rows_px": 300, "cols_px": 410})
    levels = {**profile.levels, level: own.model_copy(update={"preset": preset})}
    profile = profile.model_copy(update={"levels": levels})
    instrument = studio.stand_up(profile, GridSpec(kind="ordinary"), 11)
    square = studio.square_like(studio.world_of(instrument), "intact")
    studio.aim(instrument, preset, (square.x_um, square.y_um), tilt_deg=12.0)
    instrument.state.moved_at = studio.BEGINNING
    instrument.state.drift_a_per_s = 900.0
    mark = Stain(square.x_um, square.y_um, 0.5)
    print(hashlib.sha256(studio.photograph(instrument, preset, marks=[mark]).tobytes()).hexdigest())
"""


def hashes(threads: int) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", PICTURE, str(threads)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_another_process_with_other_threads_takes_the_same_pictures() -> None:
    first = hashes(1)
    assert len(set(first)) == 3, "three levels, three pictures"
    assert hashes(4) == first
