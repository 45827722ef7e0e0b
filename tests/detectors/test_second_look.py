"""Holes that hardly show: under the thick ice of a film's rim, and where film lies unevenly."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from epicycle.detectors.film import view_of
from epicycle.detectors.hole_check import Expected
from epicycle.detectors.hole_search import either
from epicycle.detectors.holes import lattice_holes, settled
from epicycle.detectors.records import Site
from epicycle.detectors.second_look import Step, _among_chance, looked_again
from epicycle.hardware.records import Image

ONCE, TWICE = lattice_holes({"second_look": False}), lattice_holes({})


def told(found):
    kept = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    return np.array([(hole.row_px, hole.col_px) for hole in kept]).reshape(-1, 2)


def nearest(these, those):
    return np.hypot(*(these[:, None] - those[None]).transpose(2, 0, 1)).min(axis=1)


@pytest.fixture(scope="module")
def rimmed():
    """Film in an opening of a mesh, ice ever thicker from the middle outwards; holes as far as film goes."""
    rng, side, pitch, radius = np.random.default_rng(4), 640, 34.0, 9.0
    rows, cols = np.indices((side, side), np.float64)
    away = np.hypot(rows - 320, cols - 320)
    # Four free paths of ice at the rim, as in menisci of squares with little blotted off.
    film = 160.0 * np.exp(-4.0 * np.clip((away - 140) / 140, 0, 1) ** 2)
    grid = np.stack(np.meshgrid(np.arange(-9, 10), np.arange(-9, 10), indexing="ij"), -1).reshape(-1, 2) * pitch
    places = grid @ np.array([[0.94, 0.342], [-0.342, 0.94]]) + 320.0
    places = places[np.hypot(*(places - 320).T) < 280 - radius]
    inside = np.min([np.hypot(rows - row, cols - col) for row, col in places], axis=0)
    light = film * (1 + 0.7 * np.clip(radius + 0.5 - inside, 0, 1)) * (away < 280)
    return Image(rng.poisson(light + 0.5).astype(np.float32)), places


def test_holes_under_thick_ice_are_found_on_a_second_look(rimmed):
    image, places = rimmed
    once, twice = told(ONCE.find(image)), told(TWICE.find(image))
    assert (nearest(places, once) < 4.5).mean() < 0.9
    assert (nearest(places, twice) < 4.5).mean() > 0.98
    assert (nearest(twice, places) < 9.0).mean() > 0.98


def test_a_second_look_adds_and_changes_nothing_else(rimmed):
    image, _ = rimmed
    before = [hole for hole in ONCE.find(image).holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    after = TWICE.find(image).holes
    assert [hole for hole in after if hole in before] == before
    # A hole stands at one place once, and what was called empty there is not told besides.
    places = np.array([(hole.row_px, hole.col_px) for hole in after])
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 100.0 * np.eye(len(places))
    assert apart.min() > 15.0
    assert all(0 <= hole.score <= 1 and np.isfinite(hole.mean) for hole in after)


def test_sites_without_a_hole_stay_empty(draw_holes):
    drawn = draw_holes(np.random.default_rng(31), missing=0.3)
    image = Image(drawn.pixels)
    assert (nearest(told(TWICE.find(image)), drawn.centres) < 8.0).all()


def test_film_that_is_stretched_far_from_the_middle(draw_holes):
    drawn = draw_holes(np.random.default_rng(32), shape=(900, 900), radius=8.0, pitch=27.0, missing=0.0)
    # A lens distorts more than any straight lattice follows.
    rows, cols = np.indices((900, 900), np.float32) - 450
    bent = 1 + 0.01 * (rows**2 + cols**2) / 450**2
    pixels = cv2.remap(drawn.pixels, (cols * bent + 450).astype(np.float32), (rows * bent + 450).astype(np.float32), 1)
    places = told(TWICE.find(Image(pixels)))
    off = places - 450
    there = off * (1 + 0.01 * (off**2).sum(1, keepdims=True) / 450**2) + 450
    seen = drawn.whole[(np.abs(drawn.whole - 450) < 430).all(1)]
    assert (nearest(seen, there) < 4.0).mean() > 0.97
    assert (nearest(there, drawn.centres) < 6.0).mean() > 0.97


def test_dark_holes_keep_their_counts(rimmed):
    image, _ = rimmed
    dark = replace(image, pixels=400.0 - image.pixels)
    found = TWICE.find(dark)
    assert all(-100 < hole.mean < 401 for hole in found.holes)


def test_an_opening_without_film_holds_no_holes(rimmed):
    rng, (image, places) = np.random.default_rng(5), rimmed
    side = image.pixels.shape[0]
    empty = rng.poisson(300.0, (side, 300)).astype(np.float32)
    bar = rng.poisson(0.5, (side, 60)).astype(np.float32)
    both = Image(np.concatenate((image.pixels, bar, empty, bar), axis=1))
    found = TWICE.find(both)
    assert (told(ONCE.find(both))[:, 1] > side + 60).any()
    assert (told(found)[:, 1] < side).all()
    assert (nearest(places, told(found)) < 4.5).mean() > 0.95


@pytest.fixture(scope="module")
def two_fields():
    """Holes left and right on one lattice, four steps of plain film between: view, lattice, what is told."""
    rng, pitch = np.random.default_rng(9), 36.0
    rows, cols = np.indices((500, 800), np.float64)
    counts = np.full(rows.shape, 60.0)
    for row in np.arange(30.0, 480.0, pitch):
        for col in np.arange(30.0, 780.0, pitch):
            if not 300 < col < 480:
                counts *= 1 + 0.5 * np.clip(10.5 - np.hypot(rows - row, cols - col), 0, 1)
    view, best = either(view_of(rng.poisson(counts).astype(np.float32)), Expected(None, None))
    return view, best, settled(view, best)[0]


def test_holes_in_an_opening_passed_over_are_found(two_fields):
    view, best, holes = two_fields
    left = [hole for hole in holes if hole.col_px < 310 and hole.status is Site.HOLE]
    masked = replace(view, film=view.film & (np.indices(view.film.shape)[1] < 390))
    added = [hole for hole in looked_again(masked, best, left) if hole.col_px > 400]
    true = [hole for hole in holes if hole.col_px > 470 and hole.status is Site.HOLE]
    assert len(true) > 50
    assert len(added) >= 0.98 * len(true)
    assert min(hole.col_px for hole in added) > 460, "none on film without holes"


def test_sites_among_such_as_chance_makes_are_known_as_such():
    """Sure holes left, noise right: a site there that seems to hold something is doubted, and left out far off."""
    places = np.stack(np.meshgrid(np.arange(10.0), np.arange(12.0), indexing="ij"), -1).reshape(-1, 2) * 30
    right = places[:, 1] > 165
    seeming = right & (np.arange(len(places)) % 5 == 0)
    sureness = np.where(right, np.where(seeming, 4.0, 1.0), 20.0)
    support = np.where(right, np.where(seeming, 0.8, 0.3), 1.0)
    ones = np.ones(len(places))
    chance, lonely = _among_chance(Step(ones, sureness, support, ones, ones), places, 30.0)
    assert not chance[~right].any()
    assert chance[places[:, 1] > 225].all()
    assert lonely[places[:, 1] > 225].all()
    assert not lonely[places[:, 1] < 195].any(), "beside sure holes a site without one is told as missing"


def test_a_hole_in_a_corner_of_the_view_is_partial_not_missing(draw_holes):
    """A quarter of it is seen, too little for a second judgement: the first one stays."""
    drawn = draw_holes(np.random.default_rng(3), "square", (640, 640), radius=24.0, pitch=80.0, missing=0.0)
    first = drawn.whole[np.argmin(np.hypot(*(drawn.whole - 100).T))]
    row, col = (first - 5).astype(int)
    found = TWICE.find(Image(np.ascontiguousarray(drawn.pixels[row:, col:])))
    corner = min(found.holes, key=lambda hole: hole.row_px + hole.col_px)
    assert (corner.row_px, corner.col_px) == pytest.approx((first - (row, col)), abs=3.0)
    assert corner.status is Site.PARTIAL
    assert corner.score > 0.5
