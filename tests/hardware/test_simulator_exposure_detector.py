"""What the camera makes of electrons at exposure level: counts, noise, modulation transfer, coincidence."""

import numpy as np
import pytest

from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.counting import counted_share, counts, modulation

COUNTING = load_profile("screening-200kv").camera
INTEGRATING = COUNTING.model_copy(update={"counting": False})


@pytest.mark.parametrize("mean", [0.3, 1.4, 14.0, 60.0, 400.0])
def test_counts_are_poisson(mean: float) -> None:
    drawn = np.asarray(counts(np.full((600, 600), mean, np.float32), COUNTING, np.random.default_rng(1), 30000), float)
    assert drawn.mean() == pytest.approx(mean, rel=0.01)
    assert drawn.var() == pytest.approx(mean, rel=0.02)
    assert (drawn == np.rint(drawn)).all()
    if mean < 2:
        assert (drawn == 0).mean() == pytest.approx(np.exp(-mean), rel=0.02)


def test_counts_follow_the_picture_pixel_by_pixel() -> None:
    expected = np.tile(np.linspace(0.2, 3.0, 512, dtype=np.float32), (2048, 1))
    drawn = counts(expected, COUNTING, np.random.default_rng(2), 127)
    assert np.asarray(drawn, float).mean(axis=0) == pytest.approx(expected[0], abs=0.16)
    blocks = np.asarray(drawn, float).mean(axis=0).reshape(32, 16).mean(axis=1)
    assert blocks == pytest.approx(expected[0].reshape(32, 16).mean(axis=1), rel=0.03, abs=0.01)


def test_counts_stop_at_the_most_that_is_kept() -> None:
    drawn = counts(np.full((64, 64), 140.0, np.float32), COUNTING, np.random.default_rng(1), 127)
    assert drawn.max() == 127


def test_a_counting_camera_has_white_noise_and_an_integrating_one_has_not() -> None:
    flat = np.full((512, 512), 40.0, np.float32)
    shares = {}
    for name, camera in (("counting", COUNTING), ("integrating", INTEGRATING)):
        drawn = np.asarray(counts(flat, camera, np.random.default_rng(1), 30000), float)
        wave = np.abs(np.fft.fft2(drawn - drawn.mean())) ** 2 / drawn.size / 40.0
        at = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(512)], indexing="ij"))
        shares[name] = [wave[(at > low) & (at < low + 0.05)].mean() for low in (0.02, 0.225, 0.45)]
        assert drawn.mean() == pytest.approx(40.0, rel=0.01)
    assert shares["counting"] == pytest.approx([1.0, 1.0, 1.0], abs=0.03)
    wanted = modulation(np.array([0.09, 0.5, 0.95]), INTEGRATING) ** 2
    assert shares["integrating"] == pytest.approx(wanted, abs=0.08)


def test_modulation_goes_through_the_points_of_the_profile_and_on_falling() -> None:
    at = np.array([0.0, *(f for f, _ in COUNTING.mtf), 1.4])
    found = modulation(at, COUNTING)
    assert found[0] == 1.0
    assert found[1:-1] == pytest.approx([m for _, m in COUNTING.mtf])
    assert (np.diff(found) < 0).all()


def test_fast_electrons_coincide() -> None:
    camera = COUNTING.model_copy(update={"coincidence_s": 0.01})
    assert counted_share(10.0, camera) == pytest.approx(1 / 1.1)
    assert counted_share(0.0, camera) == 1.0
    assert counted_share(10.0, camera.model_copy(update={"counting": False})) == 1.0
