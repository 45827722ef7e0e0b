"""Openings of unlike ice in one view, and holes darker than their film: found where they are, with their own counts."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.film import _openings, view_of
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image

SHAPE, OPENING, PITCH = (640, 640), 210, 270
RADIUS, STEP = 8.0, 27.0


def scene(rng, levels):
    """Draw five openings, the middle one whole, with one lattice over all; answer pixels, centres, their film."""
    rows, cols = np.indices(SHAPE)
    film = np.full(SHAPE, 2.0)
    for (i, j), level in levels.items():
        own = np.maximum(np.abs(rows - 320 - i * PITCH), np.abs(cols - 320 - j * PITCH)) < OPENING / 2
        film[own] = level
    at = np.arange(14.0, 640, STEP)
    centres = np.stack(np.meshgrid(at, at + 3, indexing="ij"), -1).reshape(-1, 2)
    whole = cv2.erode((film > 2).astype(np.uint8), np.ones((25, 25), np.uint8))
    centres = centres[np.array([whole[int(r), min(int(c), 639)] > 0 for r, c in centres])]
    counts = film.copy()
    for row, col in centres:
        counts[np.hypot(rows - row, cols - col) < RADIUS] *= 1.6
    counts = cv2.GaussianBlur(counts, (0, 0), 1.0)
    return rng.poisson(counts).astype(np.float32), centres, film[tuple(centres.astype(int).T)]


LEVELS = {(0, 0): 40.0, (-1, 0): 150.0, (1, 0): 60.0, (0, -1): 20.0, (0, 1): 90.0}


@pytest.mark.parametrize("gain", [1.0, 37.0])
def test_each_opening_is_seen_at_its_own_level(gain):
    pixels, centres, film = scene(np.random.default_rng(4), LEVELS)
    found = lattice_holes({}).find(Image(pixels * np.float32(gain)))
    told = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    places = np.array([(hole.row_px, hole.col_px) for hole in told])
    away = np.hypot(*(centres[:, None] - places[None]).transpose(2, 0, 1))
    for level in LEVELS.values():
        assert (away[film == level].min(axis=1) < 2.0).mean() >= 0.95, level
    assert (away.min(axis=0) < 0.5 * RADIUS).mean() >= 0.98
    means = np.array([told[n].mean for n in away.argmin(axis=1)]) / gain
    assert np.median(np.abs(means / (1.6 * film) - 1)) < 0.1


def test_bars_are_no_film_and_one_opening_keeps_one_level():
    pixels, _, _ = scene(np.random.default_rng(5), LEVELS)
    view = view_of(pixels)
    assert view.film[320, 320]
    assert view.film[600, 320]
    assert not view.film[185, 185]
    assert len(view.levels) == 5
    alone = view_of(scene(np.random.default_rng(6), {(0, 0): 40.0})[0])
    assert alone.has_bars
    assert alone.own is None


@pytest.mark.parametrize("cell", ["square", "hexagonal", "rectangular"])
def test_holes_darker_than_their_film_are_no_half_step_off(draw_holes, cell):
    drawn = draw_holes(np.random.default_rng(9), cell=cell, radius=18.0, pitch=54.0, film=70.0, hole=45.0, missing=0.0)
    found = lattice_holes({}).find(Image(drawn.pixels))
    told = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    places = np.array([(hole.row_px, hole.col_px) for hole in told])
    away = np.hypot(*(drawn.whole[:, None] - places[None]).transpose(2, 0, 1))
    assert (away.min(axis=1) < 3.0).mean() >= 0.97
    assert np.median([hole.mean for hole in told]) == pytest.approx(45, rel=0.12)


def test_openings_that_touch_by_a_corner_are_seen_at_one_level():
    """Each pixel of film has the number of an opening, and each number has film: its level is known."""
    film = np.zeros((300, 300), np.bool_)
    film[20:120, 20:120] = film[120:220, 120:220] = film[230:290, 20:100] = True
    pixels = np.where(film, 40.0, 2.0).astype(np.float32)
    pixels[120:220, 120:220], pixels[230:290, 20:100] = 90.0, 150.0
    pixels = np.random.default_rng(1).poisson(pixels).astype(np.float32)
    own = _openings(pixels, film, 90.0, 10.0)
    assert own is not None
    assert set(np.unique(own[film])) == {0, 1}
    assert np.unique(own[230:290, 20:100]).size == 1


def test_openings_of_which_the_border_leaves_corners_are_openings(draw_holes):
    """Their middle one is hidden by ice: no opening is large, and most of the view is dark."""
    drawn = draw_holes(np.random.default_rng(3), shape=(800, 800), radius=7.0, pitch=30.0, film=60.0, hole=85.0)
    rows, cols = np.indices((800, 800))
    corners = np.minimum(rows + cols, (799 - rows) + (799 - cols)) < 240
    pixels = np.where(corners, drawn.pixels, np.random.default_rng(4).poisson(2.0, (800, 800))).astype(np.float32)
    found = lattice_holes({}).find(Image(pixels))
    told = np.array([(hole.row_px, hole.col_px) for hole in found.holes if hole.status is Site.HOLE]).reshape(-1, 2)
    place = drawn.whole
    seen = place[np.minimum(place.sum(axis=1), 1598 - place.sum(axis=1)) < 210]
    assert len(seen) > 30
    assert len(told) > 0
    assert (np.hypot(*(seen[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1) < 4).mean() > 0.95
    assert (np.minimum(told.sum(axis=1), 1598 - told.sum(axis=1)) < 250).all()
