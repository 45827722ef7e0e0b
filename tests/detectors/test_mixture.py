import numpy as np
import pytest

from epicycle.detectors.mixture import two_levels


def counts(rng, dark=12.0, bright=160.0, share=0.3, size=200_000):
    return np.where(rng.random(size) < share, rng.poisson(bright, size), rng.poisson(dark, size)).astype(np.float32)


def test_levels_and_share_are_recovered():
    levels = two_levels(counts(np.random.default_rng(1)))
    assert levels.dark == pytest.approx(12, abs=1)
    assert levels.bright == pytest.approx(160, abs=1)
    assert levels.share == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (2, 1000), (1 / 243, 0), (1, -54), (1e-6, 5e-6), (200, 1000)])
def test_gain_and_offset_of_the_file_do_not_matter(gain, offset):
    values = counts(np.random.default_rng(2))
    plain, stored = two_levels(values), two_levels((values * gain + offset).astype(np.float32))
    assert (stored.threshold - offset) / gain == pytest.approx(plain.threshold, rel=0.02)
    assert stored.share == pytest.approx(plain.share, abs=1e-3)


@pytest.mark.parametrize("values", [np.zeros(5000), np.full(5000, 7.5), np.arange(8)])
def test_one_level_is_no_two(values):
    assert two_levels(values.astype(np.float32)) is None


def test_a_hot_pixel_does_not_set_the_scale():
    values = counts(np.random.default_rng(3))
    plain = two_levels(values)
    values[17] = 1e7
    assert two_levels(values).threshold == pytest.approx(plain.threshold, rel=0.05)


def test_many_pixels_are_thinned_to_the_same_answer():
    values = counts(np.random.default_rng(4), size=400_000)
    assert two_levels(values, most=50_000).threshold == pytest.approx(two_levels(values).threshold, rel=0.02)
