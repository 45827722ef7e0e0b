from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from epicycle.detectors.contract import holes_picture, mesh_picture
from epicycle.detectors.drawing import HOLE_STYLE, SQUARE_STYLE, contrasted, draw_holes, draw_squares
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import FIT, HoleDetections, Site, SquareClass, SquareDetections
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image


def colours(path):
    with Picture.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return pixels[np.ptp(pixels, axis=2) > 40]


def test_every_class_and_status_has_its_own_look():
    assert set(SQUARE_STYLE) == set(SquareClass)
    assert set(HOLE_STYLE) == set(Site)
    for style in (SQUARE_STYLE, HOLE_STYLE):
        assert len({colour for colour, _, _ in style.values()}) == len(style)
        assert len({(colour, line) for colour, line, _ in style.values()}) == len(style)


def test_outlines_are_drawn_in_colour(tmp_path):
    image = Image(mesh_picture(np.random.default_rng(1)), 900.0)
    draw_squares(image, mixture_squares({}).find(image), tmp_path / "squares.png")
    assert len(colours(tmp_path / "squares.png")) > 500


def test_holes_and_lattice_are_drawn_in_colour(tmp_path):
    image = Image(holes_picture(np.random.default_rng(2)))
    draw_holes(image, lattice_holes({}).find(image), tmp_path / "holes.png")
    assert len(colours(tmp_path / "holes.png")) > 500


def test_chances_of_being_fit_are_drawn_in_place_of_scores_and_said_to_be(tmp_path):
    image = Image(holes_picture(np.random.default_rng(2)))
    plain = lattice_holes({}).find(image)
    told = replace(plain, holes=tuple(replace(hole, features={FIT: 0.25}) for hole in plain.holes))
    # With scores that are the chances only the legend differs, and what was drawn says so there.
    same = replace(plain, holes=tuple(replace(hole, score=0.25) for hole in plain.holes))
    pictures = []
    for found, name in ((told, "told.png"), (same, "same.png")):
        draw_holes(image, found, tmp_path / name)
        with Picture.open(tmp_path / name) as picture:
            pictures.append(np.asarray(picture.convert("L")).astype(int))
    rows, cols = np.nonzero(pictures[0] != pictures[1])
    assert len(rows) > 100
    assert rows.max() < pictures[0].shape[0] / 4
    assert cols.min() > pictures[0].shape[1] / 2


def test_the_same_picture_is_the_same_file(tmp_path):
    image = Image(mesh_picture(np.random.default_rng(3)))
    found = mixture_squares({}).find(image)
    for name in ("one.png", "two.png"):
        draw_squares(image, found, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize("shape", [(40, 900), (900, 40), (33, 33)])
def test_nothing_found_is_a_picture_with_a_reason(tmp_path, shape):
    blank = Image(np.zeros(shape, np.float32))
    draw_squares(blank, SquareDetections((), 0.0, None, "nothing there"), tmp_path / "squares.png")
    draw_holes(blank, HoleDetections((), None, 500.0, "nothing there"), tmp_path / "holes.png")
    with Picture.open(tmp_path / "holes.png") as picture:
        assert picture.size[0] >= 400


def test_contrast_ignores_hot_pixels_and_missing_numbers():
    pixels = np.random.default_rng(4).normal(100, 10, (200, 200)).astype(np.float32)
    pixels[3, 3], pixels[5, 5] = 1e9, np.nan
    shown = contrasted(pixels)
    assert np.isfinite(shown).all()
    assert 0.4 < np.median(shown) < 0.6
    assert shown.std() > 0.1
