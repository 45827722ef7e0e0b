import time

import cv2
import numpy as np
import pytest

from epicycle.detectors.records import SquareClass
from epicycle.detectors.regions import smoothed
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image

FINDER = mixture_squares({})


def box(corners_row_col):
    return np.array(corners_row_col, np.float32)[:, ::-1].copy()


def overlap(one, other):
    common, _ = cv2.intersectConvexConvex(one, other)
    return common / (cv2.contourArea(one) + cv2.contourArea(other) - common)


def at(found, row, col):
    return min(found.squares, key=lambda square: np.hypot(square.row_px - row, square.col_px - col))


def test_all_regions_of_a_real_atlas_tile_as_published(real, truth):
    image = real("lowmag_20may08a")
    start = time.process_time()
    found = FINDER.find(image)
    assert time.process_time() - start < 1.0
    boxes = [box(square.corners_px) for square in found.squares]
    reference = truth("reference/lowmag_20may08a_published_cli.json")
    best = [max(overlap(np.array(other["vertices"], np.float32), own) for own in boxes) for other in reference]
    assert len(boxes) == 48
    assert sum(value >= 0.9 for value in best) >= 46
    assert found.grid_angle_deg == pytest.approx(45, abs=1)


def test_torn_empty_and_cut_squares_of_the_real_tile_rank_low(real):
    found = FINDER.find(real("lowmag_20may08a"))
    median = np.median([square.score for square in found.squares])
    for row, col in ((369, 326), (690, 216), (802, 540), (584, 324)):
        square = at(found, row, col)
        assert square.score < median
        assert square.category in (SquareClass.CRACKED, SquareClass.BROKEN_OR_DRY)
    assert all(square.score < median for square in found.squares if square.partial)
    assert at(found, 156, 546).category is SquareClass.SMALL_OR_THICK
    assert at(found, 259, 218).category is SquareClass.GOOD


@pytest.mark.parametrize("change", ["half gain", "double gain", "0..1", "zero mean", "16 bit", "transposed", "turned"])
def test_storage_and_turns_do_not_matter(real, change):
    image = real("lowmag_20may08a")
    pixels = image.pixels
    size = pixels.shape[0]
    same = {
        "half gain": 0.5 * pixels,
        "double gain": 2 * pixels + 300,
        "0..1": pixels / 243,
        "zero mean": pixels - pixels.mean(),
        "16 bit": np.rint(200 * pixels + 1000),
        "transposed": pixels.T,
        "turned": np.rot90(pixels),
    }[change]
    plain = FINDER.find(image)
    other = FINDER.find(Image(np.ascontiguousarray(same, np.float32)))
    assert len(other.squares) == len(plain.squares)
    for square in plain.squares:
        row, col = square.row_px, square.col_px
        if change == "transposed":
            row, col = col, row
        if change == "turned":
            row, col = size - 1 - col, row
        twin = at(other, row, col)
        assert np.hypot(twin.row_px - row, twin.col_px - col) < 3
        assert twin.category is square.category
        assert twin.score == pytest.approx(square.score, abs=0.02)


@pytest.mark.parametrize("opening", [15, 40, 120, 300])
def test_size_is_the_images_own(draw_mesh, opening):
    shape = (int(5.2 * opening), int(7.1 * opening))
    pixels = draw_mesh(np.random.default_rng(opening), opening, 1.5 * opening, 30, shape)
    found = FINDER.find(Image(pixels))
    whole = [square for square in found.squares if not square.partial]
    assert len(whole) >= 8
    assert found.grid_angle_deg == pytest.approx(30, abs=2.0)
    good = sum(square.category is SquareClass.GOOD for square in whole)
    assert good >= (0.8 if opening < 20 else 1.0) * len(whole)
    sides = np.sqrt([square.area_px for square in whole])
    assert np.median(sides) == pytest.approx(opening, rel=0.12)


def test_empty_thick_and_small_are_told(draw_mesh):
    special = {(0, 0): 200.0, (0, 1): 35.0}
    pixels = draw_mesh(np.random.default_rng(9), opening=60, special=special)
    found = FINDER.find(Image(pixels, pixel_size_a=10_000))
    middle = np.array(pixels.shape) / 2
    turn = np.deg2rad(20)
    thick = middle + 90 * np.array([np.sin(turn), np.cos(turn)])
    assert at(found, *middle).category is SquareClass.BROKEN_OR_DRY
    assert at(found, *thick).category is SquareClass.SMALL_OR_THICK
    assert at(found, *middle).score < 0.25
    assert at(found, *middle).features["area_um2"] == pytest.approx(3600, rel=0.15)


def test_a_square_that_is_nearly_as_dark_as_the_bars_is_found(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(10), bright=200.0, special={(0, 0): 20.0})
    found = FINDER.find(Image(pixels))
    centre = at(found, *(np.array(pixels.shape) / 2))
    assert np.hypot(centre.row_px - pixels.shape[0] / 2, centre.col_px - pixels.shape[1] / 2) < 10
    assert centre.category is SquareClass.SMALL_OR_THICK


def test_dirt_and_cracks_are_told(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(12), opening=100, pitch=140, angle_deg=0, shape=(560, 700))
    dirty, cracked = (280, 350), (280, 490)
    for row, col in ((270, 340), (300, 365), (265, 375)):
        cv2.circle(pixels, (col, row), 11, 8.0, -1)
    cv2.line(pixels, (455, 250), (525, 310), 250.0, 5)
    found = FINDER.find(Image(pixels))
    assert at(found, *dirty).category is SquareClass.CONTAMINATED
    assert at(found, *cracked).category is SquareClass.CRACKED


def test_margins_of_a_stitched_atlas_cut_squares_but_make_none(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(13), shape=(500, 620))
    inner = FINDER.find(Image(pixels))
    for fill in (0.0, 40.0, 500.0):
        canvas = np.full((700, 900), fill, np.float32)
        canvas[120:620, 90:710] = pixels
        found = FINDER.find(Image(canvas))
        assert len(found.squares) == len(inner.squares)
        assert sum(s.partial for s in found.squares) == pytest.approx(sum(s.partial for s in inner.squares), abs=1)


@pytest.mark.parametrize(("fill", "ink"), [(0.0, 255.0), (255.0, 0.0)])
def test_writing_in_a_band_below_the_picture_makes_no_squares(real, fill, ink):
    pixels = np.asarray(real("lowmag_20may08a").pixels, np.float32)
    band = np.zeros((80, pixels.shape[1]), np.uint8)
    cv2.putText(band, "Mag 155x  200 kV  100 um", (300, 55), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 255, 3)
    band[25:35, 40:240] = 255
    found = FINDER.find(Image(np.vstack([pixels, np.where(band > 100, ink, fill).astype(np.float32)])))
    assert len(found.squares) == 48
    assert all(square.row_px < len(pixels) for square in found.squares)


def test_pixels_without_number_are_passed_over(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(14))
    plain = len(FINDER.find(Image(pixels)).squares)
    pixels[:4, 40:60] = np.nan
    assert len(FINDER.find(Image(pixels)).squares) == plain


def test_two_squares_leaking_into_each_other_are_two(draw_mesh):
    pixels = draw_mesh(np.random.default_rng(15), angle_deg=0, opening=60, pitch=90, shape=(500, 620))
    plain = len(FINDER.find(Image(pixels)).squares)
    pixels[240:260, 340:370] = 90.0
    assert len(FINDER.find(Image(pixels)).squares) == plain


def test_low_scores_are_left_out_on_demand(real):
    found = mixture_squares({"min_score": 0.5}).find(real("lowmag_20may08a"))
    assert 10 < len(found.squares) < 48
    assert min(square.score for square in found.squares) >= 0.5


def test_a_wide_blur_is_drawn_on_the_binned_image_and_is_the_same():
    """An opening of 1,700 px wants blurs of 85 px, which cost seconds where they are drawn pixel by pixel."""
    pixels = np.random.default_rng(5).normal(size=(700, 901)).astype(np.float32)
    pixels[200:500, 150:520] += 5
    for sigma in (8.0, 21.0, 60.0):
        exact = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        assert np.abs(smoothed(pixels, sigma) - exact).max() < 0.05
