"""Films whose holes have many sizes: each hole is told with its own size, on the lattice they stand on."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.film import view_of
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.many_sizes import many_sizes
from epicycle.hardware.records import Image

SHAPE = (820, 860)
PITCH = 130.0


def film(seed: int, sizes: tuple[float, ...], off_px: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw discs of these radii on a turned lattice; answers counts and (row, col, radius) of those wholly in view."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0, np.pi / 2)
    step = PITCH * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    grid = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10), indexing="ij"), -1).reshape(-1, 2)
    places = rng.uniform(350, 480, 2) + grid @ step + rng.uniform(-off_px, off_px, (len(grid), 2))
    radii = rng.choice(sizes, len(places))
    soft = cv2.GaussianBlur(rng.standard_normal(SHAPE), (0, 0), 60.0)
    counts = 40.0 * np.exp(0.1 * soft / soft.std())
    rows, cols = np.indices(SHAPE, np.float64)
    near = ((places > -40) & (places < np.array(SHAPE) + 40)).all(1)
    for (row, col), radius in zip(places[near], radii[near], strict=True):
        counts *= 1 + 0.5 * np.clip(radius + 0.5 - np.hypot(rows - row, cols - col), 0, 1)
    inside = (places > radii[:, None]) & (places < np.array(SHAPE) - 1 - radii[:, None])
    pixels = rng.poisson(cv2.GaussianBlur(counts, (0, 0), 1.0)).astype(np.float32)
    return pixels, np.c_[places, radii][inside.all(1)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_hole_is_told_with_its_own_size(seed: int) -> None:
    pixels, truth = film(seed, (7.0, 12.0, 20.0, 33.0))
    found = lattice_holes({}).find(Image(pixels))
    told = np.array([(hole.row_px, hole.col_px, hole.radius_px) for hole in found.holes])
    away = np.hypot(*(truth[:, None, :2] - told[None, :, :2]).transpose(2, 0, 1))
    near = told[away.argmin(axis=1)]
    right = (away.min(axis=1) < 3.0) & (np.abs(near[:, 2] / truth[:, 2] - 1) < 0.12)
    assert right.mean() >= 0.95
    beside = np.hypot(*(told[:, None, :2] - truth[None, :, :2]).transpose(2, 0, 1)).min(axis=1)
    border = (told[:, :2] < 40) | (told[:, :2] > np.array(SHAPE) - 40)
    assert (beside[~border.any(1)] < 3.0).all()
    assert found.lattice is not None
    assert np.hypot(*found.lattice.a_px) == pytest.approx(PITCH, rel=0.01)
    numbers = np.array([(hole.features["i"], hole.features["j"]) for hole in found.holes])
    sites = found.lattice.origin_px + numbers @ np.array([found.lattice.a_px, found.lattice.b_px])
    assert np.hypot(*(sites - told[:, :2]).T).max() < 0.1 * PITCH


def test_the_numbers_of_a_lattice_are_not_lost_where_all_have_one_size() -> None:
    pixels, _ = film(4, (18.0,))
    view = view_of(pixels)
    assert view is not None
    assert many_sizes(view) is None
    assert all("i" in hole.features for hole in lattice_holes({}).find(Image(pixels)).holes)


def test_discs_on_no_lattice_are_none() -> None:
    pixels, _ = film(5, (7.0, 12.0, 20.0, 33.0), off_px=0.4 * PITCH)
    view = view_of(pixels)
    assert view is not None
    assert many_sizes(view) is None
