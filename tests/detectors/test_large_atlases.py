import time
import tracemalloc

import numpy as np
import pytest

from epicycle.detectors.squares import mixture_squares
from epicycle.detectors.working_size import working_image
from epicycle.hardware.records import Image

FINDER = mixture_squares({})
SCALE = 10


@pytest.fixture
def atlas(draw_mesh):
    """A mesh as seen, and the same with each pixel SCALE times as wide and high, as stored by a camera."""
    small = draw_mesh(np.random.default_rng(21), opening=40, pitch=60, shape=(500, 620), special={(0, 0): 200.0})
    return small, np.repeat(np.repeat(small.astype(np.int16), SCALE, 0), SCALE, 1)


def test_a_large_atlas_gives_the_same_squares_in_its_own_pixels(atlas):
    small, large = atlas
    start = time.process_time()
    found = FINDER.find(Image(large, 500.0))
    assert time.process_time() - start < 4.0
    plain = FINDER.find(Image(small, 500.0 * SCALE))
    assert len(found.squares) == len(plain.squares) > 60
    for square in plain.squares:
        row, col = ((place + 0.5) * SCALE - 0.5 for place in (square.row_px, square.col_px))
        twin = min(found.squares, key=lambda one: np.hypot(one.row_px - row, one.col_px - col))
        assert np.hypot(twin.row_px - row, twin.col_px - col) < SCALE
        assert twin.category is square.category
        assert twin.area_px == pytest.approx(square.area_px * SCALE**2, rel=0.1)
        assert twin.features["area_um2"] == pytest.approx(square.features["area_um2"], rel=0.1)


def test_memory_is_that_of_the_binned_image(atlas):
    _, large = atlas
    binned = 4 * large.size / 2**2
    tracemalloc.start()
    FINDER.find(Image(large))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * binned


def test_binning_passes_over_what_is_no_number():
    pixels = np.arange(36, dtype=np.float32).reshape(6, 6)
    pixels[0, 0] = pixels[2:4, 2:4] = np.nan
    working = working_image(pixels, 2)
    assert working.pixels[0, 0] == pytest.approx((1 + 6 + 7) / 3)
    assert working.bad[1, 1]
    assert working.bad.sum() == 1
    assert np.isfinite(working.pixels).all()
    assert working.here(np.array([[0.0, 1.0]])).tolist() == [[0.5, 2.5]]
