"""Squares whose noise is as strong as their film: found, and judged by their film; noise alone holds none."""

from dataclasses import replace

import numpy as np
import pytest

from epicycle.detectors.records import SquareClass
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image

FINDER = mixture_squares({})
EMPTY, THICK = (0, 0), (1, 0)


def whole(found):
    return [square for square in found.squares if not square.partial]


def near(found, place):
    return min(found.squares, key=lambda square: np.hypot(square.row_px - place[0], square.col_px - place[1]))


@pytest.mark.parametrize("noise", [25.0, 45.0, 70.0])
def test_noise_hides_no_square(draw_mesh, noise):
    rng = np.random.default_rng(5)
    special = {EMPTY: 220.0, THICK: 40.0}
    clean = draw_mesh(rng, opening=84, pitch=120, shape=(760, 900), special=special)
    expected = FINDER.find(Image(clean))
    found = FINDER.find(Image(clean + rng.normal(0, noise, clean.shape).astype(np.float32)))
    places = [near(found, (square.row_px, square.col_px)) for square in whole(expected)]
    off = [
        np.hypot(one.row_px - square.row_px, one.col_px - square.col_px)
        for one, square in zip(places, whole(expected), strict=True)
    ]
    assert len(whole(expected)) > 25
    assert np.mean(np.array(off) < 3.0) >= 0.96
    assert len(whole(found)) <= len(whole(expected))
    same = [one.category is square.category for one, square in zip(places, whole(expected), strict=True)]
    assert np.mean(same) >= 0.9
    assert near(found, np.array(clean.shape) / 2).category is SquareClass.BROKEN_OR_DRY


@pytest.mark.parametrize("seed", range(3))
def test_film_is_not_called_dirty_for_its_noise(draw_mesh, seed):
    """Openings can be told from bars here as the image is, not their film from dirt."""
    rng = np.random.default_rng(seed)
    clean = draw_mesh(rng, opening=84, pitch=120, shape=(760, 900))
    found = whole(FINDER.find(Image(clean + rng.normal(0, 55.0, clean.shape).astype(np.float32))))
    assert len(found) == len(whole(FINDER.find(Image(clean)))) > 25
    assert np.mean([square.category is SquareClass.GOOD for square in found]) >= 0.9


def test_squares_of_one_electron_a_pixel_are_found(draw_mesh):
    rng = np.random.default_rng(6)
    clean = draw_mesh(rng, opening=84, pitch=120, shape=(760, 900))
    expected = whole(FINDER.find(Image(clean)))
    found = FINDER.find(Image(draw_mesh(rng, 84, 120, shape=(760, 900), bright=1.2, dark=0.1)))
    assert len(whole(found)) == len(expected)
    assert all(square.category is SquareClass.GOOD for square in whole(found))


def test_the_real_tile_under_strong_noise(real):
    image = real("lowmag_20may08a")
    height = np.quantile(image.pixels, 0.8) - np.quantile(image.pixels, 0.05)
    noise = 0.8 * height * np.random.default_rng(0).standard_normal(image.pixels.shape)
    expected = whole(FINDER.find(image))
    found = FINDER.find(replace(image, pixels=(image.pixels + noise).astype(np.float32)))
    off = [
        min(np.hypot(one.row_px - square.row_px, one.col_px - square.col_px) for one in found.squares)
        for square in expected
    ]
    assert np.mean(np.array(off) < 8.0) >= 0.95
    assert found.grid_angle_deg == pytest.approx(45, abs=1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["gauss", "poisson", "gradient", "bar"])
def test_noise_alone_is_noise_at_any_size(kind, seed):
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((1000, 900))
    across = np.cos(seed) * (rows - 500) + np.sin(seed) * (cols - 450)
    pixels = {
        "gauss": lambda: rng.normal(0, 1, rows.shape),
        "poisson": lambda: rng.poisson(1.0, rows.shape),
        "gradient": lambda: across / 400 + rng.normal(0, 1, rows.shape),
        "bar": lambda: (np.abs(across) > 60) + rng.normal(0, 1, rows.shape),
    }[kind]()
    found = FINDER.find(Image(np.asarray(pixels, np.float32)))
    assert not found.squares
    assert len(found.reason.split()) > 3
