"""Where ice thickens to one side, film darkens and holes with it: all are found at their places, not every second."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.evened import evened_view
from epicycle.detectors.film import view_of
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image

SIDE, PITCH, RADIUS = 700, 160.0, 38.0


def fading(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a view that fades to one side, its holes in ice of their own; counts and centres of those wholly in view."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((SIDE, SIDE), np.float64)
    turn = rng.uniform(0, np.pi / 2)
    step = PITCH * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    grid = np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7), indexing="ij"), -1).reshape(-1, 2)
    centres = rng.uniform(300, 400, 2) + grid @ step
    centres = centres[((centres > -60) & (centres < SIDE + 60)).all(1)]
    towards = rng.uniform(0, 2 * np.pi)
    along = ((rows - SIDE / 2) * np.sin(towards) + (cols - SIDE / 2) * np.cos(towards)) / (SIDE / 2)
    passed = np.exp(-np.clip(along + 0.2, 0, None) * rng.uniform(1.5, 3))
    for (row, col), gain in zip(centres, np.exp(rng.uniform(0.2, 1.3, len(centres))), strict=True):
        passed *= 1 + (gain - 1) * np.clip(RADIUS + 0.5 - np.hypot(rows - row, cols - col), 0, 1)
    pixels = rng.poisson(cv2.GaussianBlur(30 * passed + 1, (0, 0), 1.2)).astype(np.float32)
    return pixels, centres[((centres > 40) & (centres < SIDE - 41)).all(1)]


@pytest.mark.parametrize("seed", [6, 8, 9, 11, 17, 39, 58])
def test_all_holes_of_a_view_that_fades_are_found_at_their_places(seed: int) -> None:
    pixels, centres = fading(seed)
    found = lattice_holes({}).find(Image(pixels))
    told = np.array(
        [(one.row_px, one.col_px) for one in found.holes if one.status in (Site.HOLE, Site.PARTIAL)]
    ).reshape(-1, 2)
    away = np.hypot(*(centres[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1)
    assert (away < 8.0).sum() >= len(centres) - 1
    assert np.median(away) < 3.0


def test_the_counts_of_an_evened_view_are_those_of_the_image() -> None:
    pixels, _ = fading(3)
    view = view_of(pixels)
    assert view is not None
    even = evened_view(view, 50.0)
    for shown in (even, even.inverse()):
        for row, col in ((100, 600), (350, 350), (555, 44)):
            value = float(shown.pixels[row, col])
            if abs(value) < 4.9 and abs(float(view.pixels[row, col])) < 7.9:
                assert shown.counts(row, col, value) == pytest.approx(float(pixels[row, col]), abs=0.05)


def rimmed(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw an opening whose rim is thick, with a few faint holes; counts and centres of those wholly within the rim."""
    rng, pitch, radius = np.random.default_rng(seed), 95.0, 24.0
    rows, cols = np.indices((SIDE, SIDE), np.float64) - SIDE / 2
    turn = rng.uniform(0, np.pi / 2)
    out = np.maximum(abs(rows * np.sin(turn) + cols * np.cos(turn)), abs(cols * np.sin(turn) - rows * np.cos(turn)))
    passed = np.where(out < 255, np.exp(-2.5 * np.clip((out - 185) / 70, 0, 1)), 0.01)
    step = pitch * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    grid = np.stack(np.meshgrid(np.arange(-4, 5), np.arange(-4, 5), indexing="ij"), -1).reshape(-1, 2)
    centres = rng.uniform(-45, 45, 2) + grid @ step
    for row, col in centres:
        passed *= 1 + 0.13 * np.clip(radius + 0.5 - np.hypot(rows - row, cols - col), 0, 1)
    pixels = rng.poisson(cv2.GaussianBlur(150 * passed + 1, (0, 0), 1.2)).astype(np.float32)
    y, x = centres.T
    away = np.maximum(abs(y * np.sin(turn) + x * np.cos(turn)), abs(x * np.sin(turn) - y * np.cos(turn)))
    return pixels, centres[away + radius < 185] + SIDE / 2


@pytest.mark.parametrize("seed", [1, 3, 4, 5])
def test_faint_holes_within_a_thick_rim_are_found(seed: int) -> None:
    pixels, centres = rimmed(seed)
    found = lattice_holes({}).find(Image(pixels))
    told = np.array([(one.row_px, one.col_px) for one in found.holes]).reshape(-1, 2)
    assert len(told)
    assert np.hypot(*(centres[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1).max() < 8.0
