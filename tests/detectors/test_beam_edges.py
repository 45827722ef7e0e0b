"""A beam smaller than the camera: what it does not light is left out of account, what it lights is found."""

import numpy as np
import pytest

from epicycle.detectors.beam_edge import beyond_beam
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image


@pytest.fixture
def drawn(draw_holes):
    return draw_holes(np.random.default_rng(21), shape=(520, 700), radius=30.0, pitch=110.0, missing=0.0)


def lit(shape, middle, radius, edge):
    """Part of the beam that falls on each pixel, its edge that many px wide."""
    away = np.hypot(*(np.indices(shape) - np.array(middle)[:, None, None]))
    return away, 1 / (1 + np.exp((away - radius) / edge))


@pytest.mark.parametrize("edge", [3.0, 12.0])
@pytest.mark.parametrize(("middle", "radius"), [((260, 350), 300), ((260, 350), 250), ((180, 420), 330)])
def test_holes_that_the_beam_lights_are_found_and_no_others(drawn, middle, radius, edge):
    away, light = lit(drawn.pixels.shape, middle, radius, edge)
    pixels = np.random.default_rng(2).poisson(drawn.pixels * light + 0.3).astype(np.float32)
    unlit = beyond_beam(pixels)
    assert unlit is not None
    assert unlit[away > radius + 3 * edge].all()
    assert not unlit[away < radius - 5 * edge].any()
    found = lattice_holes({}).find(Image(pixels))
    told = np.array([(hole.row_px, hole.col_px) for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)])
    whole = drawn.whole[np.hypot(*(drawn.whole - middle).T) < radius - 30 - 5 * edge]
    assert len(whole) >= 4
    assert (np.hypot(*(whole[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1) < 5).all()
    assert (np.hypot(*(told - middle).T) < radius).all()


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, 45.0])
def test_bars_are_no_edge_of_the_beam(draw_mesh, angle_deg):
    rng = np.random.default_rng(6)
    assert beyond_beam(draw_mesh(rng, 330.0, 430.0, angle_deg, shape=(420, 420))) is None
    assert beyond_beam(draw_mesh(rng, 120.0, 160.0, angle_deg, shape=(420, 520))) is None


def test_a_view_lit_to_its_corners_has_none(drawn):
    assert beyond_beam(drawn.pixels) is None
    slope = np.linspace(1.0, 3.0, drawn.pixels.shape[1], dtype=np.float32)
    assert beyond_beam(drawn.pixels * slope) is None
    assert beyond_beam(np.random.default_rng(1).poisson(20, (300, 300)).astype(np.float32)) is None
    assert beyond_beam(np.zeros((100, 100), np.float32)) is None


def test_one_large_hole_and_a_rounded_corner_of_an_opening_are_no_beam():
    rng = np.random.default_rng(4)
    _, hole = lit((500, 500), (245, 260), 220, 4.0)
    assert beyond_beam(rng.poisson(8 + 42 * hole).astype(np.float32)) is None
    # A quarter of a circle, and the straight sides that it joins.
    rows, cols = np.indices((500, 500))
    away = np.hypot(np.maximum(rows - 180, 0), np.maximum(cols - 180, 0))
    corner = 1 / (1 + np.exp((away - 260) / 4.0))
    assert beyond_beam(rng.poisson(0.3 + 50 * corner).astype(np.float32)) is None


@pytest.mark.parametrize("part", [0.52, 0.56, 0.6])
def test_a_square_on_its_corner_is_no_beam(part):
    """Its four sides cut the corners of the picture: a circle lies near all of them."""
    rows, cols = np.indices((512, 512)) - 255.5
    away = (np.abs(rows) + np.abs(cols)) / np.sqrt(2) - part * 512
    counts = 0.3 + 50 / (1 + np.exp(away / 6.0))
    assert beyond_beam(np.random.default_rng(3).poisson(counts).astype(np.float32)) is None
