"""The pictures follow the instrument: stage, shift, tilt, beam and ice show in them as they would."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from epicycle.hardware.records import ImageShift, Shot, StagePosition
from epicycle.hardware.simulator.evaluation import truth

Make = Callable[..., Any]


def moved_um(first: np.ndarray, second: np.ndarray, pixel_a: float) -> np.ndarray:
    """How far what is seen has moved from the first picture to the second, (rows, cols) µm."""
    shift, _, _ = phase_cross_correlation(first, second, upsample_factor=20, normalization=None)
    return -np.asarray(shift) * pixel_a * 1e-4


def whole(bench: Any, microscope: Any, level: str, name: str, **changes: Any) -> tuple[np.ndarray, Any]:
    preset = microscope.presets()[level].model_copy(update=changes)
    microscope.use(preset)
    image = microscope.acquire(Shot(preset), name)
    return bench.pixels(image), image


def test_a_stage_error_shows_as_a_shift(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    on_square(microscope)
    first, image = whole(night, microscope, "square", "a")
    state = behind(microscope).state
    state.error_x_um, state.error_y_um = 1.2, -0.7
    second, again = whole(night, microscope, "square", "b")
    assert again.image_to_stage == image.image_to_stage, "the instrument knows nothing of its error"
    seen = moved_um(first, second, behind(microscope).true_level(microscope.presets()["square"])[0])
    linear = np.array(image.image_to_stage)[:, :2] / (image.pixel_size_a * 1e-4)
    # What the camera looks at moves by the error, so the picture moves the other way.
    assert linear @ seen == pytest.approx([-1.2, 0.7], abs=0.05)


def test_image_shift_moves_the_view_by_its_true_matrix(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    on_square(microscope)
    preset = microscope.presets()["hole"]
    microscope.use(preset)
    first = microscope.acquire(Shot(preset), "a")
    microscope.shift_image(ImageShift(1.0, -0.4))
    second = microscope.acquire(Shot(preset), "b")
    seen = moved_um(night.pixels(first), night.pixels(second), behind(microscope).true_level(preset)[0])
    linear = np.array(first.image_to_stage)[:, :2] / (first.pixel_size_a * 1e-4)
    matrix = behind(microscope).shift_matrix
    assert linear @ seen == pytest.approx(-(matrix @ [1.0, -0.4]), abs=0.03)
    assert not np.allclose(matrix, np.eye(2), atol=1e-4)


def test_off_height_a_tilt_carries_the_picture_away(bench: Make, on_square: Make, behind: Make) -> None:
    instrument_off = {}
    for height in (0.0, 20.0):
        night = bench(folder=f"at {height}")
        microscope = night.connect()
        at = on_square(microscope)
        instrument = behind(microscope)
        looked = []
        for alpha in (0.0, 10.0):
            microscope.go_to(StagePosition(at.x_um, at.y_um, at.z_um + height, alpha))
            instrument.state.error_x_um = instrument.state.error_y_um = 0.0
            looked.append(instrument.looked_at(night.clock.now()))
        instrument_off[height] = float(looked[1][1] - looked[0][1])
    assert abs(instrument_off[0.0]) < 0.3
    assert instrument_off[20.0] == pytest.approx(20.0 * math.tan(math.radians(10)), abs=0.3)


def test_one_hole_lies_at_one_place_at_every_level(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(camera_scale=1.0)
    microscope = night.connect()
    on_square(microscope)
    instrument = behind(microscope)
    world = instrument.world
    square = truth.square_of(world, 0, 0)
    hole = min(square.holes, key=lambda h: math.hypot(h.x_um - square.x_um, h.y_um - square.y_um))
    for level in ("square", "hole"):
        preset = microscope.presets()[level]
        pixels, image = whole(night, microscope, level, level)
        view = instrument.view(preset, image.started_at)
        row, col = view.pixels_of(np.array([hole.x_um, hole.y_um]))
        size = int(0.8 * world.film.pitch_um / view.pixel_um / 2)
        near = pixels[int(row) - size : int(row) + size + 1, int(col) - size : int(col) + size + 1]
        bright = near > (np.percentile(near, 5) + np.percentile(near, 95)) / 2
        found = np.argwhere(bright).mean(axis=0) + np.array([int(row) - size, int(col) - size])
        assert math.dist(found, (row, col)) * view.pixel_um < 0.1, level


def test_an_exposed_hole_shows_it(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    on_square(microscope)
    before, _ = whole(night, microscope, "hole", "before")
    exposure = microscope.presets()["exposure"]
    microscope.use(exposure)
    microscope.acquire(Shot(exposure), "shot")
    after, _ = whole(night, microscope, "hole", "after")
    again, _ = whole(night, microscope, "hole", "again")
    rows, cols = np.indices(before.shape) - (before.shape[0] - 1) / 2
    spot = np.hypot(rows, cols) * 2e-2 < 0.35
    assert (after - before)[spot].mean() > 4.0
    assert abs((again - after)[spot].mean()) < 3.0
    assert abs((after - before)[:60, :60].mean()) < 3.0


def test_bars_are_dark_and_open_squares_are_bright(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    on_square(microscope)
    pixels, image = whole(night, microscope, "atlas", "tile")
    instrument = behind(microscope)
    view = instrument.view(microscope.presets()["atlas"], image.started_at)
    rows, cols = view.pixels_of(np.array([instrument.world.centre_of(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])).T
    open_ = np.median(pixels[rows.astype(int), cols.astype(int)])
    half = instrument.world.bars.mesh.pitch_um / 2
    crossing = view.pixels_of(instrument.world.centre_of(0, 0) + half).astype(int)
    bar = pixels[crossing[0] - 2 : crossing[0] + 3, crossing[1] - 2 : crossing[1] + 3].mean()
    assert bar < 0.12 * open_


@pytest.mark.parametrize(("kind", "brighter"), [("thick-ice", False), ("dry", True)])
def test_thick_ice_is_dark_and_no_ice_is_bright(bench: Make, on_square: Make, kind: str, brighter: bool) -> None:
    counts = {}
    for name in ("good", kind):
        night = bench(world={"grids": {"1": {"kind": name, "torn": 0, "empty": 0, "cracked": 0}}}, folder=name)
        microscope = night.connect()
        on_square(microscope)
        pixels, _ = whole(night, microscope, "atlas", "tile")
        counts[name] = float(np.percentile(pixels, 75))
    assert (counts[kind] > counts["good"]) is brighter


def test_counts_are_electrons_with_their_noise(bench: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.open_valve()
    for dose in (0.01, 0.04):
        lit = {"dose_e_per_a2": dose, "beam_diameter_um": 5000}
        pixels, _ = whole(night, microscope, "hole", f"dose-{dose}", **lit)
        again, _ = whole(night, microscope, "hole", f"again-{dose}", **lit)
        electrons = dose * behind(microscope).true_level(microscope.presets()["hole"])[0] ** 2
        assert pixels.mean() == pytest.approx(electrons, rel=0.02)
        # The sensor's own pattern is in both; its light is shared between neighbours, so whole blocks are compared.
        blocks = (pixels - again).reshape(16, 8, 16, 8).sum(axis=(1, 3))
        assert blocks.var() / 2 / 64 == pytest.approx(electrons + 2.0**2, rel=0.25)


def test_no_beam_is_black(bench: Make, on_square: Make) -> None:
    night = bench(faults=[{"kind": "beam-off", "at": {"call": "acquire", "number": 2}}])
    microscope = night.connect()
    on_square(microscope)
    bright, _ = whole(night, microscope, "atlas", "bright")
    black, _ = whole(night, microscope, "atlas", "black")
    assert not microscope.status().beam_on
    assert microscope.status().valve_open
    assert black.mean() < 0.02 * bright.mean()
    assert black.std() > 0, "a camera reads noise in the dark"


def test_the_beam_falls_with_the_hours(bench: Make) -> None:
    night = bench()
    microscope = night.connect()
    microscope.open_valve()
    early, _ = whole(night, microscope, "atlas", "early")
    night.clock.sleep(3 * 3600)
    late, _ = whole(night, microscope, "atlas", "late")
    assert late.mean() / early.mean() == pytest.approx(1 - 3 * 0.02, abs=0.005)
