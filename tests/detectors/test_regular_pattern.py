import numpy as np
import pytest

from epicycle.detectors.regular_pattern import regular_pattern
from epicycle.hardware.records import Image
from epicycle.protocols.errors import BadInput


def lacey_square(rng: np.random.Generator, dirt: tuple[int, int]) -> Image:
    """Draw a mesh opening of 60 µm with film of webs and openings, bars around, and one dark lump."""
    pixels = np.full((800, 900), 4.0)
    web = rng.normal(size=(600, 600))
    frequency = np.hypot(np.fft.fftfreq(600)[:, None], np.fft.fftfreq(600))
    smooth = np.abs(np.fft.ifft2(np.fft.fft2(web) * np.exp(-4e3 * frequency**2)))
    pixels[100:700, 150:750] = 90 + 20 * (smooth > np.median(smooth))
    rows, cols = np.ogrid[:800, :900]
    pixels[(rows - dirt[0]) ** 2 + (cols - dirt[1]) ** 2 < 30**2] = 8.0
    return Image(rng.poisson(pixels).astype(np.float32), pixel_size_a=1000.0)


def test_targets_are_even_inside_the_opening_and_off_the_dirt():
    image = lacey_square(np.random.default_rng(5), dirt=(400, 450))
    found = regular_pattern({"pitch_um": 4.0}).find(image)
    places = np.array([(h.row_px, h.col_px) for h in found.holes])
    assert 150 <= len(places) <= 240
    assert places[:, 0].min() > 100
    assert places[:, 0].max() < 700
    assert places[:, 1].min() > 150
    assert places[:, 1].max() < 750
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    assert np.allclose(gaps.min(axis=1), 40.0, atol=0.01)
    on_dirt = [h for h in found.holes if np.hypot(h.row_px - 400, h.col_px - 450) < 25]
    assert all(h.status == "covered" and h.score == 0 for h in on_dirt)
    assert sum(h.status == "hole" for h in found.holes) > 0.9 * len(places)
    assert found.lattice is None


def test_without_a_pixel_size_or_film_it_says_why():
    blank = np.zeros((100, 100), np.float32)
    assert "pixel size" in regular_pattern({}).find(Image(blank)).reason
    assert "one value" in regular_pattern({}).find(Image(blank, 500.0)).reason


def test_an_unknown_option_names_the_known_ones():
    with pytest.raises(BadInput, match="pitch_um, radius_um"):
        regular_pattern({"pitch": 3})
