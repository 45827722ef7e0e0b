import numpy as np
import pytest

from epicycle.detectors.centre import centre_of_opening
from epicycle.hardware.records import Image

PITCH, OPENING = 300.0, 210.0


def view(draw_mesh, seed, shift, angle_deg=12.0, shape=(280, 320)):
    """A view whose opening's middle lies `shift` px (row, col) off the view's own, and where that is."""
    rng = np.random.default_rng(seed)
    size = 900
    pixels = draw_mesh(rng, OPENING, PITCH, angle_deg, (size, size), bright=60, dark=2)
    for _ in range(60):
        row, col = rng.uniform(0, size, 2)
        rows, cols = np.indices(pixels.shape)
        pixels[np.hypot(rows - row, cols - col) < 7] *= 1.5
    low = np.array([size / 2, size / 2]) - shift - np.array(shape) / 2
    r, c = np.rint(low).astype(int)
    return np.ascontiguousarray(pixels[r : r + shape[0], c : c + shape[1]]), (size / 2 - r, size / 2 - c)


@pytest.mark.parametrize("angle_deg", [0, 12, 45, 80])
@pytest.mark.parametrize("shift", [(0, 0), (25, -30), (-18, 12)])
def test_whole_opening(draw_mesh, angle_deg, shift):
    pixels, (row, col) = view(draw_mesh, 31, np.array(shift), angle_deg, (340, 360))
    got_row, got_col, trust = centre_of_opening(Image(pixels))
    assert np.hypot(got_row - row, got_col - col) < 4
    assert trust > 0.8


@pytest.mark.parametrize("shift", [(75, 0), (-75, 5), (0, 95), (4, -95)])
def test_cut_on_one_side_the_other_direction_gives_the_width(draw_mesh, shift):
    pixels, (row, col) = view(draw_mesh, 32, np.array(shift), 3.0)
    got_row, got_col, trust = centre_of_opening(Image(pixels))
    assert np.hypot(got_row - row, got_col - col) < 12
    assert 0.4 < trust < 0.9


def test_the_opening_nearest_the_middle_is_taken(draw_mesh):
    pixels, (row, col) = view(draw_mesh, 33, np.array([60, -70]), 10.0, (700, 700))
    got_row, got_col, _ = centre_of_opening(Image(pixels))
    assert np.hypot(got_row - row, got_col - col) < 4


def test_real_square_and_cuts_of_it(real):
    pixels = real("square_leginon").pixels
    row, col, trust = centre_of_opening(Image(pixels))
    assert np.hypot(row - 482, col - 596) < 8
    assert trust > 0.8
    for cut in (np.s_[300:, :], np.s_[:, 300:], np.s_[:, :700]):
        part = np.ascontiguousarray(pixels[cut])
        at = np.array([s.start or 0 for s in cut])
        got = centre_of_opening(Image(part))
        assert np.hypot(got[0] + at[0] - row, got[1] + at[1] - col) < 15


@pytest.mark.parametrize("name", ["medmag_21feb25a_668x474", "holes_untilted"])
def test_a_view_without_bars_gives_no_sure_centre(real, name):
    got = centre_of_opening(real(name))
    assert got is None or got[2] < 0.4


@pytest.mark.parametrize("pixels", [np.zeros((200, 200)), np.ones((20, 20)), np.full((100, 100), np.nan)])
def test_nothing_to_see_gives_none(pixels):
    assert centre_of_opening(Image(pixels.astype(np.float32))) is None


def test_noise_gives_no_sure_centre():
    for seed in range(5):
        got = centre_of_opening(Image(np.random.default_rng(seed).normal(0, 1, (300, 300)).astype(np.float32)))
        assert got is None or got[2] < 0.5
