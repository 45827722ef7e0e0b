import numpy as np
import pytest

from epicycle.detectors.records import LatticeKind, SquareClass
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image

FINDER = mixture_squares({})


def test_pitch_and_bars_are_told(draw_mesh):
    found = FINDER.find(Image(draw_mesh(np.random.default_rng(31), opening=60, pitch=90)))
    assert found.mesh is not None
    assert found.mesh.kind is LatticeKind.SQUARE
    assert found.mesh.pitch_px == pytest.approx(90, rel=0.01)
    assert found.mesh.bar_px == pytest.approx(30, abs=3)
    assert found.mesh.confidence > 0.9
    whole = [square for square in found.squares if not square.partial]
    assert all(square.features["mesh_sites"] == 1 for square in whole)
    assert max(square.features["mesh_offset"] for square in whole) < 0.03


def test_a_large_atlas_has_its_mesh_in_its_own_pixels(draw_mesh):
    small = draw_mesh(np.random.default_rng(32), opening=40, pitch=60, shape=(500, 620)).astype(np.int16)
    found = FINDER.find(Image(np.repeat(np.repeat(small, 10, 0), 10, 1)))
    assert found.mesh.pitch_px == pytest.approx(600, rel=0.01)


def test_squares_between_which_the_whole_bar_is_gone_are_two(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(33), angle_deg=0, opening=60, pitch=90, shape=(560, 740))
    plain = FINDER.find(Image(pixels))
    pixels[252:308, 395:435] = 90.0
    found = FINDER.find(Image(pixels))
    assert len(found.squares) == len(plain.squares)
    for square in plain.squares:
        near = min(found.squares, key=lambda one: np.hypot(one.row_px - square.row_px, one.col_px - square.col_px))
        assert np.hypot(near.row_px - square.row_px, near.col_px - square.col_px) < 16


def test_a_torn_or_dark_opening_is_one_and_stands_off_its_site(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(34), angle_deg=0, opening=60, pitch=90, shape=(560, 740))
    pixels[250:282, 340:400] = 3.0
    found = FINDER.find(Image(pixels))
    dark = min(found.squares, key=lambda one: np.hypot(one.row_px - 296, one.col_px - 370))
    assert dark.category in (SquareClass.SMALL_OR_THICK, SquareClass.PARTIAL)
    assert dark.features["mesh_offset"] > 0.1


def test_a_few_openings_make_no_mesh(draw_mesh):
    found = FINDER.find(Image(draw_mesh(np.random.default_rng(35), opening=150, pitch=220, shape=(400, 420))))
    assert found.mesh is None


def test_film_far_dimmer_than_vacuum_is_found_beside_it(draw_mesh):
    special = dict.fromkeys(((0, 0), (1, 0), (0, 1), (-1, -1), (2, 1), (1, 2)), 2000.0)
    pixels = draw_mesh(np.random.default_rng(36), opening=60, pitch=90, bright=120.0, special=special)
    found, plain = (FINDER.find(Image(seen)) for seen in (pixels, np.minimum(pixels, 120)))
    whole, usual = (sum(not square.partial for square in one.squares) for one in (found, plain))
    assert whole >= usual - 1 > 20


def test_holes_of_film_are_no_squares(draw_mesh):
    holes = draw_mesh(np.random.default_rng(37), opening=30, pitch=60, bright=90.0, dark=40.0, shape=(700, 700))
    rows, cols = np.indices(holes.shape)
    bars = np.random.default_rng(38).poisson(3.0, holes.shape)
    found = FINDER.find(Image(np.where(np.minimum(rows % 500, cols % 500) < 60, bars, holes).astype(np.float32)))
    assert all(square.area_px > 50 * 50 for square in found.squares)
