"""Ice from transmission, and the level of the bare beam from a picture."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.imaging.ice import ice_nm, vacuum_level


def test_thickness_follows_the_logarithm_of_what_comes_through() -> None:
    assert ice_nm(100 * math.exp(-60 / 300), 100, 300) == pytest.approx(60)
    assert ice_nm(100, 100, 300) == 0
    assert ice_nm(103, 100, 300) == 0
    assert ice_nm(0, 100, 300) == math.inf
    assert ice_nm(-2, 100, 300) == math.inf


@pytest.mark.parametrize(
    ("counts", "vacuum", "path"), [(50, 0, 300), (50, -1, 300), (50, 100, 0), (math.nan, 100, 300)]
)
def test_impossible_references_are_refused(counts: float, vacuum: float, path: float) -> None:
    with pytest.raises(ValueError, match="ice cannot be computed"):
        ice_nm(counts, vacuum, path)


def film(rng: np.random.Generator, vacuum: float, open_share: float) -> NDArray[np.float32]:
    """Holes in dark film, full of ice but for a few empty ones."""
    rows, cols = np.mgrid[:600, :600]
    image = np.full((600, 600), 0.35 * vacuum)
    for row in range(50, 600, 100):
        for col in range(50, 600, 100):
            ice = 0.0 if rng.random() < open_share else 0.4 * rng.uniform(0.8, 1.2)
            image[np.hypot(rows - row, cols - col) < 30] = vacuum * math.exp(-ice)
    return rng.poisson(image).astype(np.float32)


@pytest.mark.parametrize("vacuum", [120.0, 900.0])
@pytest.mark.parametrize("open_share", [0.1, 0.4])
def test_empty_holes_give_the_bare_beam(vacuum: float, open_share: float) -> None:
    level = vacuum_level(film(np.random.default_rng(2), vacuum, open_share))
    assert level == pytest.approx(vacuum, rel=0.03)


def test_a_picture_without_an_opening_gives_none() -> None:
    rng = np.random.default_rng(3)
    assert vacuum_level(rng.poisson(80, (300, 300)).astype(np.float32)) is None
    assert vacuum_level(np.zeros((300, 300), np.float32)) is None
    assert vacuum_level(np.full((20, 20), np.nan, np.float32)) is None
