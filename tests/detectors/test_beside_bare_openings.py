"""An opening without film is the brightest of a view and often the largest; holes beside it are found all the same."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.film import view_of, view_of_cut_openings
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image


def beside_bare(seed: int) -> tuple[Image, np.ndarray]:
    """Draw a bare opening in the middle, and film with holes in what is seen of those left and right of it."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((700, 900), np.float64)
    counts = np.full(rows.shape, 3.0)
    counts[150:550, 250:650] = 240.0
    sides = (rows > 130) & (rows < 570) & ((cols < 170) | (cols > 740))
    counts[sides] = 90.0
    radius, pitch = 9.0, 30.0
    centres = [(150.0 + pitch * i, col) for i in range(14) for col in (25, 55, 85, 115, 145, 775, 805, 835, 865)]
    for row, col in centres:
        counts *= 1 + 0.5 * np.clip(radius + 0.5 - np.hypot(rows - row, cols - col), 0, 1)
    return Image(rng.poisson(cv2.GaussianBlur(counts, (0, 0), 0.8)).astype(np.float32)), np.array(centres)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_holes_beside_a_bare_opening_are_found_and_none_in_it(seed: int) -> None:
    image, centres = beside_bare(seed)
    found = lattice_holes({}).find(image)
    told = np.array([(h.row_px, h.col_px) for h in found.holes if h.status in (Site.HOLE, Site.PARTIAL)])
    apart = np.hypot(*(centres[:, None] - told[None]).transpose(2, 0, 1))
    assert (apart.min(axis=1) < 3.0).mean() > 0.97
    assert (apart.min(axis=0) < 3.0).mean() > 0.97
    middle = [h for h in found.holes if 200 < h.row_px < 500 and 300 < h.col_px < 600]
    assert not [h for h in middle if h.status is Site.HOLE]


@pytest.mark.parametrize("seed", [1, 2])
def test_holes_on_what_is_left_around_a_great_tear_are_found(seed: int) -> None:
    """Film and holes around a hole torn into it that takes most of the opening."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((700, 700), np.float64)
    film = 90.0 * np.exp(0.08 * cv2.GaussianBlur(rng.standard_normal(rows.shape), (0, 0), 50.0) * 80)
    centres = np.array([(20.0 + 33.0 * i, 20.0 + 33.0 * j) for i in range(21) for j in range(21)])
    counts = film
    for row, col in centres:
        counts = counts * (1 + 0.4 * np.clip(11.5 - np.hypot(rows - row, cols - col), 0, 1))
    ragged = 250 + 30 * np.sin(5 * np.arctan2(rows - 350, cols - 350))
    torn = np.hypot(rows - 350, cols - 350) < ragged
    counts = np.where(torn, 240.0, counts)
    counts[:, 630:] = counts[:70] = 3.0
    found = lattice_holes({}).find(Image(rng.poisson(counts).astype(np.float32)))
    left = [place for place in centres if np.hypot(*(place - 350)) > 300 and place[0] > 85 and place[1] < 615]
    told = np.array([(h.row_px, h.col_px) for h in found.holes if h.status in (Site.HOLE, Site.PARTIAL)])
    assert (np.hypot(*(np.array(left)[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1) < 4.0).mean() > 0.95
    inside = [h for h in found.holes if np.hypot(h.row_px - 350, h.col_px - 350) < 200 and h.status is Site.HOLE]
    assert len(inside) <= 2


def test_an_opening_of_thick_ice_between_bare_ones_that_the_border_cuts_is_film_too() -> None:
    """It is far darker than they, far brighter than bars, and smaller than the least that tells a view with bars."""
    rng = np.random.default_rng(1)
    rows, cols = np.indices((800, 800), np.float64)
    away = np.hypot(rows - 400, cols - 400)
    counts = 20.0 * np.exp(-0.5 * (away / 120) ** 4) * (away < 120)
    counts[300:500, :40] = counts[300:500, 760:] = counts[:40, 300:500] = counts[760:, 300:500] = 90.0
    pixels = rng.poisson(cv2.GaussianBlur(counts, (0, 0), 0.8) * 4) / 4 + rng.normal(0.6, 0.1, counts.shape)
    view = view_of_cut_openings(pixels.astype(np.float32))
    assert view is not None
    assert view.film[away < 100].mean() > 0.95
    assert view.film[(away > 150) & (counts == 0)].mean() < 0.1


def test_openings_that_lie_on_the_meshs_lattice_are_not_taken_for_holes() -> None:
    """Four bare ones at the border and a thick one in the middle, in which the holes are."""
    rng = np.random.default_rng(1)
    rows, cols = np.indices((800, 800), np.float64)
    away = np.hypot(rows - 400, cols - 400)
    film = 12.0 * np.exp(-2.0 * (away / 190) ** 4)
    numbers = np.stack(np.meshgrid(np.arange(-5, 6), np.arange(-5, 6), indexing="ij"), -1).reshape(-1, 2) * 27.0
    centres = 400 + numbers @ np.array([[0.9, 0.436], [-0.436, 0.9]])
    centres = centres[np.hypot(*(centres - 400).T) < 150]
    for row, col in centres:
        film *= 1 + 0.8 * np.clip(8.5 - np.hypot(rows - row, cols - col), 0, 1)
    counts = np.where(away < 230, film, 0.0)
    counts[200:600, :60] = counts[200:600, 760:] = counts[:60, 200:600] = counts[760:, 200:600] = 90.0
    pixels = rng.poisson(cv2.GaussianBlur(counts, (0, 0), 0.8) * 4) / 4 + rng.normal(0.6, 0.4, counts.shape)
    found = lattice_holes({}).find(Image(pixels.astype(np.float32)))
    told = np.array([(h.row_px, h.col_px) for h in found.holes if h.status in (Site.HOLE, Site.PARTIAL)])
    told = told.reshape(-1, 2)
    assert len(told) > 0
    assert (np.hypot(*(centres[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1) < 4.0).mean() > 0.95


def test_holes_on_a_shred_are_found_where_a_tear_takes_nearly_all_of_the_view() -> None:
    """No bar is seen, and film and holes are both little against the tear."""
    rng = np.random.default_rng(2)
    rows, cols = np.indices((800, 800), np.float64)
    numbers = np.stack(np.meshgrid(np.arange(-30, 31), np.arange(-30, 31), indexing="ij"), -1).reshape(-1, 2) * 42.0
    centres = 400 + numbers @ np.array([[0.62, 0.785], [-0.785, 0.62]])
    centres = centres[((centres > -12) & (centres < 812)).all(axis=1)]
    film = np.full(rows.shape, 60.0)
    for row, col in centres:
        film *= 1 + 0.9 * np.clip(10.5 - np.hypot(rows - row, cols - col), 0, 1)
    edge = 690 + 25 * np.sin(rows / 70)
    pixels = rng.poisson(cv2.GaussianBlur(np.where(cols > edge, film, 155.0), (0, 0), 0.8)).astype(np.float32)
    found = lattice_holes({}).find(Image(pixels))
    told = np.array([(h.row_px, h.col_px) for h in found.holes if h.status in (Site.HOLE, Site.PARTIAL)])
    seen = centres[(centres[:, 1] > 735) & (centres.min(axis=1) > 12) & (centres.max(axis=1) < 788)]
    assert (np.hypot(*(seen[:, None] - told.reshape(-1, 2)[None]).transpose(2, 0, 1)).min(axis=1) < 4).mean() > 0.95
    assert (told[:, 1] > 670).all()


def test_a_view_of_bare_openings_alone_holds_nothing() -> None:
    rng = np.random.default_rng(5)
    counts = np.full((600, 800), 3.0)
    counts[100:500, 60:360] = counts[100:500, 440:740] = 240.0
    found = lattice_holes({}).find(Image(rng.poisson(counts).astype(np.float32)))
    assert not [hole for hole in found.holes if hole.score > 0.5]
    assert found.holes or "score" not in found.reason


def test_thin_film_nearly_as_bright_as_its_holes_is_not_held_for_torn():
    """What is even, large and nearly as bright as the holes is a tear, or the film itself."""
    rng = np.random.default_rng(1)
    rows, cols = np.indices((700, 700)).astype(float)
    level = 340 * (1 + 0.02 * (rows + cols - 700) / 700)
    numbers = np.stack(np.meshgrid(np.arange(-4, 9), np.arange(-4, 9), indexing="ij"), -1).reshape(-1, 2)
    centres = np.array([60, 70]) + numbers @ np.array([[185, 30], [-30, 185]])
    for row, col in centres:
        away = np.hypot(rows - row, cols - col)
        level = np.where(away < 46, level * 380 / 340, np.where(away < 51, level * 0.85, level))
    bar = 1 / (1 + np.exp((600 - cols - 0.2 * rows) / 1.5))
    pixels = rng.poisson(cv2.GaussianBlur(level, (0, 0), 1.0) * (1 - bar) + 8 * bar).astype(np.float32)
    torn, whole = view_of(pixels, without_tears=True), view_of(pixels)
    assert torn is not None
    assert whole is not None
    assert torn.film.sum() < 0.5 * whole.film.sum()
    found = [
        hole for hole in lattice_holes({"second_look": False}).find(Image(pixels)).holes if hole.status is Site.HOLE
    ]
    told = np.array([(hole.row_px, hole.col_px) for hole in found])
    seen = ((centres > 50) & (centres < 650)).all(axis=1) & (centres[:, 1] + 0.2 * centres[:, 0] < 540)
    assert seen.sum() >= 5
    assert (np.hypot(*(centres[seen][:, None] - told[None]).transpose(2, 0, 1)).min(axis=1) < 5).all()


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_dark_film_beside_much_vacuum_is_no_bar(draw_holes, share):
    drawn = draw_holes(np.random.default_rng(8), "hexagonal", (640, 640), radius=10.0, pitch=38.0, film=30.0, hole=52.0)
    rows, cols = np.indices(drawn.pixels.shape)
    edge = share * 640 + 30 * np.sin(rows / 60)
    vacuum = np.random.default_rng(9).poisson(800, drawn.pixels.shape)
    found = lattice_holes({}).find(Image(np.where(cols > edge, vacuum, drawn.pixels).astype(np.float32)))
    told = np.array([(hole.row_px, hole.col_px) for hole in found.holes if hole.status is Site.HOLE]).reshape(-1, 2)
    seen = drawn.whole[drawn.whole[:, 1] < share * 640 - 60]
    assert len(told) > 0
    assert (np.hypot(*(seen[:, None] - told[None]).transpose(2, 0, 1)).min(axis=1) < 5).mean() > 0.95
    assert (told[:, 1] < share * 640 + 30).all()
