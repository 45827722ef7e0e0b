"""The camera counts electrons, and its own faults stay where they are from image to image."""

import numpy as np
import pytest

from epicycle.hardware.simulator.instrument.profile import Camera, load_profile
from epicycle.hardware.simulator.pictures.detector import Sensor, counted, dead_pixels, hot_pixels, poisson

SENSOR = Sensor(key=7, rows_px=256, cols_px=320, binning=2)


def camera(**changes: float) -> Camera:
    """A camera without any fault, but for those given."""
    clean = {
        "counts_per_electron": 1.0,
        "read_noise_counts": 0.0,
        "dark_e_per_px": 0.0,
        "spread_px": 0.0,
        "gain_error": 0.0,
        "gain_wide_error": 0.0,
        "hot_pixels": 0.0,
        "dead_pixels": 0.0,
        "xrays_per_s": 0.0,
    }
    return load_profile("demo-2k").camera.model_copy(update={**clean, **changes})


def taken(seed: int, mean: float, seconds: float = 1.0, sensor: Sensor = SENSOR, **changes: float) -> np.ndarray:
    electrons = np.full((sensor.rows_px, sensor.cols_px), mean, np.float32)
    return counted(electrons, seconds, camera(**changes), sensor, np.random.default_rng(seed)).astype(float)


@pytest.mark.parametrize("mean", [0.02, 0.3, 0.6, 1.0, 2.5, 8.0, 300.0])
def test_electrons_come_with_the_mean_and_variance_of_poisson(mean: float) -> None:
    drawn = poisson(np.full((800, 800), mean, np.float32), np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    assert drawn.var() == pytest.approx(mean, rel=0.06)
    assert drawn.min() >= 0
    assert (drawn == np.rint(drawn)).all()
    if mean < 3:
        assert (drawn == 0).mean() == pytest.approx(np.exp(-mean), rel=0.06)


def test_the_gain_pattern_is_the_same_in_two_images() -> None:
    first, second = (taken(seed, 20_000.0, gain_error=0.02, gain_wide_error=0.01) for seed in (1, 2))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.6
    even = [taken(seed, 20_000.0) for seed in (1, 2)]
    assert abs(np.corrcoef(even[0].ravel(), even[1].ravel())[0, 1]) < 0.02
    other = taken(3, 20_000.0, sensor=Sensor(8, 256, 320, 2), gain_error=0.02)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1, "another camera has another pattern"


def test_binning_averages_the_gain_error() -> None:
    spread = [taken(1, 25_000.0, sensor=Sensor(7, 256, 320, n), gain_error=0.05).std() for n in (1, 4)]
    noise = 25_000.0
    assert spread[0] ** 2 - noise == pytest.approx(16 * (spread[1] ** 2 - noise), rel=0.1)


def test_hot_and_dead_pixels_stay_where_they_are() -> None:
    faults = {"hot_pixels": 1e-4, "dead_pixels": 4e-4, "hot_counts_per_s": 3000.0}
    first, second = (taken(seed, 100.0, **faults) for seed in (1, 2))
    hot, dead = np.flatnonzero(first > 400), np.flatnonzero(first == 0)
    assert 10 < hot.size < 60
    assert 10 < dead.size < 60
    assert np.array_equal(hot, np.flatnonzero(second > 400))
    assert np.array_equal(dead, np.flatnonzero(second == 0))
    longer = taken(3, 100.0, seconds=3.0, **faults)
    assert (longer - 100).flat[hot].sum() == pytest.approx(3 * (first - 100).flat[hot].sum(), rel=0.05)


def test_one_faulty_pixel_is_faulty_in_every_way_of_reading_out() -> None:
    faulty = camera(hot_pixels=1e-4)
    whole, binned = Sensor(7, 512, 640, 1), Sensor(7, 256, 320, 2)
    at, strength = hot_pixels(faulty, whole)
    rows, cols = np.divmod(at, 640)
    found, likewise = hot_pixels(faulty, binned)
    assert np.array_equal((rows // 2) * 320 + cols // 2, found)
    assert np.array_equal(strength, likewise)
    part = Sensor(7, 256, 320, 1)
    inner = set(zip(*np.divmod(hot_pixels(faulty, part)[0], 320), strict=True))
    assert inner == {(r - 128, c - 160) for r, c in zip(rows, cols, strict=True) if 128 <= r < 384 and 160 <= c < 480}
    assert dead_pixels(camera(dead_pixels=1e-4), whole).size > 0


def test_x_rays_grow_with_the_time_and_never_strike_twice_alike() -> None:
    struck = {}
    for seconds in (1.0, 8.0):
        images = [taken(seed, 20.0, seconds, xrays_per_s=20.0, xray_counts=3000.0) for seed in range(6)]
        struck[seconds] = float(np.mean([(image - 20.0).sum() for image in images]))
        bright = [set(np.flatnonzero(image > 150).tolist()) for image in images[:2]]
        assert bright[0], "X-rays are bright"
        assert len(bright[0] & bright[1]) < 0.2 * len(bright[0])
        assert max((image > 150).mean() for image in images) < 0.05, "a few pixels each"
    assert struck[8.0] == pytest.approx(8 * struck[1.0], rel=0.4)


def test_spread_light_keeps_the_counts_and_colours_the_noise() -> None:
    sharp, spread = taken(1, 400.0), taken(1, 400.0, spread_px=0.8)
    assert spread.mean() == pytest.approx(sharp.mean(), rel=1e-3)
    assert spread.var() < 0.4 * sharp.var()
    neighbours = np.corrcoef(spread[:, :-1].ravel(), spread[:, 1:].ravel())[0, 1]
    assert neighbours > 0.3


def test_read_noise_is_there_without_a_beam() -> None:
    dark = taken(1, 0.0, read_noise_counts=3.0)
    assert dark.std() == pytest.approx(3.0, rel=0.05)
    assert abs(dark.mean()) < 0.1
