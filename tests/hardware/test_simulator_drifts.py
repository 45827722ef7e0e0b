"""What drifts, shakes and runs by itself: play, calibrations, the zero-loss peak, emission, pump cycles; and limits."""

import math
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.errors import BeamLost
from epicycle.hardware.records import ImageShift, Shot, StagePosition
from epicycle.hardware.simulator import DEMO_CASSETTE
from epicycle.hardware.simulator.instrument.displacement import displacement
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.instrument.stage import travel_s
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]
PROFILES = Path(str(DEMO_CASSETTE)).parents[1] / "profiles"


def own_profile(folder: Path, name: str, **changes: str) -> str:
    text = (PROFILES / f"{name}.yaml").read_text()
    for key, value in changes.items():
        line = next(line for line in text.splitlines() if line.startswith(f"  {key}: "))
        text = text.replace(line, f"  {key}: {value}")
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


def test_a_stage_speeds_up_and_slows_down() -> None:
    assert travel_s(100.0, 100.0, 100.0) == pytest.approx(2.0)
    assert travel_s(1000.0, 100.0, 100.0) == pytest.approx(11.0)
    assert travel_s(1.0, 100.0, 100.0) == pytest.approx(0.2)


@pytest.mark.parametrize(("step", "lag"), [(5.0, 0.0), (0.0, 1.0)])
def test_play_shows_by_direction_unless_every_move_ends_upwards(
    bench: Make, behind: Make, tmp_path: Path, step: float, lag: float
) -> None:
    still = {"error_um": "0.0", "error_long_um": "0.0", "backlash_um": "0.0", "reading_noise_um": "0.0"}
    profile = own_profile(tmp_path, "demo-2k", play_um="1.0", backlash_step_um=str(step), **still)
    microscope = bench(profile=profile).connect()
    microscope.load(1)
    state, ends = behind(microscope).state, []
    for x in (-30.0, 0.0, 30.0, 0.0):
        microscope.go_to(StagePosition(x, 0.0))
        ends.append(state.error_x_um)
    assert ends[3] - ends[1] == pytest.approx(lag)


def test_the_image_shift_is_calibrated_at_the_start_and_drifts(bench: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    microscope.shift_image(ImageShift(6.0, 0.0))
    instrument = behind(microscope)
    start = instrument.state.started
    off = [
        np.linalg.norm(
            instrument.shift_matrix_at(start + timedelta(hours=h)) @ [6, 0] - instrument.shift_matrix @ [6, 0]
        )
        for h in (0, 6, 12)
    ]
    assert off[0] == 0.0
    assert 0.001 < max(off) < 0.3


def test_the_zero_loss_peak_drifts_out_of_a_narrow_slit_until_it_is_centred(bench: Make, behind: Make) -> None:
    night = bench(profile="collection-300kv", camera_scale=0.05, seed=3)
    microscope = night.connect()
    microscope.load(1)
    microscope.open_valve()
    instrument = behind(microscope)
    preset = microscope.presets()["hole"]
    moved = [instrument.zero_loss_offset_ev(instrument.state.started + timedelta(hours=h)) for h in (0, 10)]
    assert moved[0] == 0.0
    assert abs(moved[1]) > 0.2
    instrument.state.zero_loss_jump_ev = 30.0
    dark = microscope.acquire(Shot(preset), "dark").mean_counts
    microscope.refine_zero_loss()
    bright = microscope.acquire(Shot(preset), "bright").mean_counts
    assert dark < 0.05 * bright
    assert abs(instrument.zero_loss_offset_ev(night.clock.now())) < 1.5
    microscope.park()
    with pytest.raises(BeamLost, match="peak"):
        microscope.refine_zero_loss()


def test_the_emitter_fades_and_a_flash_brings_it_back(bench: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.load(1)
    microscope.open_valve()
    first = microscope.status().emission
    night.clock.sleep(7.5 * 3600)
    faded = microscope.status()
    assert faded.beam_on
    assert faded.emission < 0.9 * first
    night.clock.sleep((behind(microscope).state.flash_at - night.clock.now()).total_seconds() + 20)
    flashing = microscope.status()
    assert (flashing.beam_on, flashing.emission) == (False, 0.0)
    night.clock.sleep(120)
    assert microscope.status().emission > 0.99


def test_a_refill_flashes_an_emitter_that_is_half_due(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    night.clock.sleep(5 * 3600)
    before = microscope.status().emission
    microscope.refill()
    assert microscope.status().emission > before + 0.05


def test_pump_cycles_come_and_shake_pictures(bench: Make, behind: Make) -> None:
    night = bench(camera_scale=1.0)
    microscope = night.connect()
    microscope.load(1)
    microscope.open_valve()
    instrument, lengths = behind(microscope), []
    for _ in range(300):
        night.clock.sleep(60)
        lengths.append(microscope.status().pumping)
    starts = sum(now and not before for before, now in pairwise(lengths))
    assert 1 <= starts <= 3
    assert sum(lengths) <= 5 * starts
    now = night.clock.now()
    quiet = instrument.drift_rate(now)
    instrument.state.pump_at = now
    assert instrument.drift_rate(now) > quiet + 20.0


def test_the_same_seed_pumps_flashes_and_drifts_alike(bench: Make, behind: Make) -> None:
    seen = []
    for folder in ("a", "b"):
        night = bench(folder=folder)
        microscope = night.connect()
        night.clock.sleep(9 * 3600)
        for _ in range(3 if folder == "b" else 1):
            microscope.status()
        state = behind(microscope).state
        seen.append((state.pump_at, state.pumps, state.flashed_at, behind(microscope).zero_loss_offset_ev(state.now)))
    assert seen[0] == seen[1]


def test_a_displacement_is_found_and_noise_is_not_taken_for_one() -> None:
    rng = np.random.default_rng(0)
    picture = rng.standard_normal((2, 128, 128)).astype(np.float32)
    found = displacement(picture[0], np.roll(picture[0], (5, -9), (0, 1)) + picture[1])
    assert (found.row, found.col) == pytest.approx((5.0, -9.0), abs=0.1)
    assert found.clear > 15
    clear = [displacement(*rng.standard_normal((2, 128, 128)).astype(np.float32)).clear for _ in range(40)]
    assert max(clear) < 5.5
    assert displacement(np.zeros((64, 64), np.float32), np.zeros((64, 64), np.float32)).clear == 0.0


def test_tilting_finds_a_height_and_says_when_nothing_is_to_be_seen(bench: Make, on_square: Make, behind: Make) -> None:
    left = []
    for seed in range(4):
        microscope = bench(seed=seed, folder=str(seed)).connect()
        at = on_square(microscope)
        microscope.go_to(StagePosition(at.x_um, at.y_um, at.z_um + 40.0 * (-1) ** seed))
        microscope.eucentric_height("tilt")
        instrument = behind(microscope)
        left.append(instrument.height_um(instrument.looked_at(instrument.clock.now())))
    axis = instrument.profile.stage.tilt_axis_offset_um
    assert np.abs(np.array(left) + axis).max() < 2.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage_um_per_s": "-100.0"}, "stage_um_per_s"),
        ({"stage_um_per_s2": "0.0"}, "stage_um_per_s2"),
        ({"play_um": "-1.0"}, "play_um"),
        ({"rows_px": "1024"}, "the atlas preset asks for 1024 × 1024 pixels at binning 2; the camera has 1024 × 2048"),
        ({"beam_tilt_error": "much"}, "beam_tilt_error"),
    ],
)
def test_a_profile_with_a_number_that_cannot_be_is_one_sentence(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(BadInput, match=words) as told:
        load_profile(own_profile(tmp_path, "demo-2k", **changes))
    assert "\n" not in str(told.value)


def test_a_preset_beyond_the_camera_is_one_sentence(bench: Make) -> None:
    microscope = bench().connect()
    much = microscope.presets()["exposure"].model_copy(update={"rows_px": 4096, "cols_px": 4096})
    for act in (lambda: microscope.use(much), lambda: microscope.acquire(Shot(much), "much")):
        with pytest.raises(BadInput, match="the camera has 2048 × 2048"):
            act()
    assert math.isclose(microscope.capabilities().camera_rows_px, 2048)
