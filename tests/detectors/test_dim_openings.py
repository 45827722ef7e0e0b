"""Squares under thick ice: hardly brighter than the bars, each as dark as it likes, some seen in their middle alone."""

import tracemalloc

import numpy as np
import pytest

from epicycle.detectors.dim_openings import dim_openings
from epicycle.detectors.mixture import Levels
from epicycle.detectors.opening_search import search
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image

THICK = {(0, 0): 8.0, (1, 0): 11.0, (-1, 1): 18.0, (0, 2): 9.0}


def sites(pitch, angle_deg, shape):
    turn = np.deg2rad(angle_deg)
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return {site: np.array(site) * pitch @ back + np.array(shape) / 2 for site in THICK}


@pytest.mark.parametrize("angle_deg", [0.0, 20.0])
def test_every_thick_square_is_found_beside_bright_ones(draw_mesh, angle_deg):
    pixels = draw_mesh(np.random.default_rng(2), angle_deg=angle_deg, special=THICK)
    found = mixture_squares({}).find(Image(pixels))
    for place in sites(90.0, angle_deg, pixels.shape).values():
        own = [s for s in found.squares if np.hypot(s.row_px - place[0], s.col_px - place[1]) < 6]
        assert len(own) == 1
        assert own[0].area_px == pytest.approx(60**2, rel=0.25)
    plain = mixture_squares({}).find(Image(draw_mesh(np.random.default_rng(2), angle_deg=angle_deg)))
    assert len(found.squares) == len(plain.squares)


def test_a_square_seen_in_its_middle_alone_is_found_where_the_mesh_is_known(draw_mesh):
    rng = np.random.default_rng(3)
    pixels = draw_mesh(rng, angle_deg=0.0, special={(0, 0): 3.0})
    rows, cols = np.indices(pixels.shape)
    middle = np.array(pixels.shape) / 2
    away = np.hypot(rows - middle[0], cols - middle[1])
    pixels += rng.poisson(12 * np.exp(-0.5 * (away / 9) ** 2))
    found = search(pixels)
    assert not isinstance(found, str)
    near = [r for r in found.regions if np.hypot(*(r.hull.mean(axis=0) - middle)) < 6]
    assert len(near) == 1
    assert near[0].hull_area < 0.4 * 60**2


def test_dark_places_without_ice_stay_empty(draw_mesh):
    gone = dict.fromkeys(THICK, 3.0)
    pixels = draw_mesh(np.random.default_rng(4), special=gone)
    found = search(pixels)
    assert not isinstance(found, str)
    for place in sites(90.0, 20.0, pixels.shape).values():
        assert all(np.hypot(*(region.hull.mean(axis=0) - place)) > 30 for region in found.regions)


def test_memory_is_bounded_where_very_many_small_openings_are_dim():
    rng = np.random.default_rng(8)
    rows, cols = np.indices((400, 400))
    level = rng.uniform(12, 60, (25, 25))[rows // 16, cols // 16]
    pixels = rng.poisson(np.where((rows % 16 < 10) & (cols % 16 < 10), level, 8.0)).astype(np.float32)
    nothing = np.zeros(pixels.shape, np.bool_)
    tracemalloc.start()
    try:
        found = dim_openings(pixels, [], Levels(8.0, 200.0, 60.0, 0.1), nothing, 10.0, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found) > 300
    assert peak < 20 * pixels.nbytes
