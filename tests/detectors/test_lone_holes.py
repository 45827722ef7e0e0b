"""Holes that stand alone or too far apart for a lattice: told by their own edges, and nothing else is."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image

FINDER = lattice_holes({})
SHAPE = (600, 640)


def clouded(rng: np.random.Generator, depth: float = 0.15) -> np.ndarray:
    soft = cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), 60.0)
    return 40.0 * np.exp(depth * soft / soft.std())


def with_holes(rng: np.random.Generator, holes: list[tuple[float, float, float]], gain: float = 1.5) -> Image:
    """Draw discs (row, col, radius) on film of uneven ice."""
    rows, cols = np.indices(SHAPE, np.float64)
    counts = clouded(rng)
    for row, col, radius in holes:
        counts *= 1 + (gain - 1) * np.clip(radius + 0.5 - np.hypot(rows - row, cols - col), 0, 1)
    return Image(rng.poisson(cv2.GaussianBlur(counts, (0, 0), 1.0)).astype(np.float32))


@pytest.mark.parametrize("radius", [12.0, 25.0, 60.0, 100.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_one_hole_is_found_where_it_is(radius: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    row, col = rng.uniform(150, 450, 2)
    found = FINDER.find(with_holes(rng, [(row, col, radius)]))
    assert found.lattice is None
    assert len(found.holes) == 1
    hole = found.holes[0]
    assert np.hypot(hole.row_px - row, hole.col_px - col) < 0.1 * radius
    assert hole.radius_px == pytest.approx(radius, rel=0.08)
    assert hole.status is Site.HOLE
    assert hole.score > 0.8
    assert hole.mean == pytest.approx(60.0, rel=0.35)


def test_holes_far_apart_are_all_found_and_a_cut_one_is_said_to_be_cut() -> None:
    places = [(100.0, 120.0, 14.0), (110.0, 520.0, 14.0), (500.0, 330.0, 14.0), (300.0, 636.0, 14.0)]
    found = FINDER.find(with_holes(np.random.default_rng(3), places))
    told = {(round(hole.row_px / 10), round(hole.col_px / 10)): hole.status for hole in found.holes}
    assert set(told) >= {(10, 12), (11, 52), (50, 33)}
    assert all(status is Site.HOLE for (_, col), status in told.items() if col < 60)
    assert all(status is Site.PARTIAL for (_, col), status in told.items() if col >= 60)


def test_turned_down_it_is_not_looked_for() -> None:
    image = with_holes(np.random.default_rng(1), [(300.0, 300.0, 40.0)])
    assert not lattice_holes({"second_look": False}).find(image).holes


@pytest.mark.parametrize("seed", range(3))
def test_what_is_no_hole_is_not_called_one(seed: int) -> None:
    """Clouds, a soft bright blot, openings of many sizes and shapes, a bright square."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(SHAPE, np.float64)
    soft = clouded(rng, 0.5)
    blot = clouded(rng) * (1 + np.exp(-((rows - 300) ** 2 + (cols - 300) ** 2) / (2 * 40.0**2)))
    noise = cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), 14.0)
    lace = clouded(rng) * np.where(noise > np.quantile(noise, 0.7), 1.6, 1.0)
    box = clouded(rng) * np.where((abs(rows - 280) < 50) & (abs(cols - 330) < 50), 1.5, 1.0)
    for counts in (soft, blot, lace, box):
        found = FINDER.find(Image(rng.poisson(counts).astype(np.float32)))
        assert not [hole for hole in found.holes if hole.score > 0.5]
