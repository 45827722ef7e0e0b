import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from epicycle.detectors import hole_check
from epicycle.detectors.film import view_of
from epicycle.detectors.hole_search import proposed
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import LatticeKind, Site
from epicycle.hardware.records import Image

FINDER = lattice_holes({})


def places(found, *statuses):
    return np.array([(h.row_px, h.col_px) for h in found.holes if h.status in statuses]).reshape(-1, 2)


def distances(from_these, to_those):
    if len(to_those) == 0:
        return np.full(len(from_these), np.inf)
    return np.hypot(*(from_these[:, None] - to_those[None]).transpose(2, 0, 1)).min(axis=1)


def recall_and_precision(found, drawn, radius):
    recall = (distances(drawn.whole, places(found, Site.HOLE, Site.PARTIAL)) < 0.4 * radius).mean()
    precision = (distances(places(found, Site.HOLE), drawn.centres) < 0.4 * radius).mean()
    return recall, precision


@pytest.mark.parametrize(
    ("name", "scale", "limit_px"),
    [("medmag_21feb25a_668x474", 1.0, 4 * 668 / 1440), ("medmag_21feb25a_1440x1023", 1440 / 668, 4.0)],
)
def test_holes_of_a_real_view_at_two_scales(real, truth, name, scale, limit_px):
    image = real(name)
    start = time.process_time()
    found = FINDER.find(image)
    spent = time.process_time() - start
    # The larger file holds the same view, enlarged about its corner.
    xy = (np.array(truth("gt/medmag_21feb25a_668x474.json")["centers_xy"]) + 0.5) * scale - 0.5
    centres = xy[:, ::-1]
    inside = ((centres > 4 * scale) & (centres < np.array(image.pixels.shape) - 1 - 4 * scale)).all(axis=1)
    off = distances(centres[inside], places(found, Site.HOLE, Site.PARTIAL))
    assert inside.sum() >= 17
    assert (off < 30 * scale).sum() >= 17
    assert np.median(off) <= limit_px
    assert len(found.holes) <= 19
    assert found.lattice.kind is LatticeKind.SQUARE
    assert np.hypot(*found.lattice.a_px) == pytest.approx(135 * scale, rel=0.02)
    assert found.holes[0].radius_px == pytest.approx(33 * scale, rel=0.05)
    assert spent < 1.5


def test_a_whole_real_square(real, truth):
    found = FINDER.find(real("square_leginon"))
    centres = np.array(truth("gt/square_leginon.json")["centers_xy"])[:, ::-1]
    off = distances(centres, places(found, Site.HOLE, Site.PARTIAL))
    assert (off < 8.5).sum() >= 58
    assert np.median(off) < 2.5
    assert len(places(found, Site.HOLE)) <= 72
    inside = places(found, *Site)
    assert (distances(inside, centres) < 110).all()


def test_few_large_holes_one_beside_a_bar(real, truth):
    found = FINDER.find(real("holes_leginon"))
    centres = np.array(truth("gt/holes_leginon.json")["centers_xy"])[:, ::-1]
    off = distances(centres, places(found, Site.HOLE, Site.PARTIAL))
    assert (off < 12).all()
    assert len(places(found, Site.HOLE, Site.PARTIAL)) <= 6
    assert len(places(found, Site.HOLE)) == 3


def test_few_large_holes_among_gold_dendrites(real):
    found = FINDER.find(real("holes_untilted"))
    by_eye = np.array([(118, 126), (376, 226), (20, 387), (278, 485)])
    assert (distances(by_eye, places(found, Site.HOLE, Site.PARTIAL)) < 14).all()
    assert len(found.holes) <= 5


@pytest.mark.parametrize("cell", ["square", "rectangular", "hexagonal"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lattices_of_every_shape(draw_holes, cell, seed):
    drawn = draw_holes(np.random.default_rng(seed), cell)
    found = FINDER.find(Image(drawn.pixels))
    recall, precision = recall_and_precision(found, drawn, 16)
    assert recall >= 0.95
    assert precision >= 0.97
    assert found.lattice.kind is LatticeKind(cell)
    assert found.holes[0].radius_px == pytest.approx(16, rel=0.06)


@pytest.mark.parametrize("tilt", [30, 45, 60])
@pytest.mark.parametrize("cell", ["square", "hexagonal"])
def test_tilt_is_a_lattice_like_any_other(draw_holes, cell, tilt):
    drawn = draw_holes(np.random.default_rng(tilt), cell, tilt=tilt, pitch=72)
    found = FINDER.find(Image(drawn.pixels))
    recall, precision = recall_and_precision(found, drawn, 16)
    assert recall >= 0.94
    assert precision >= 0.97


@pytest.mark.parametrize(
    ("radius", "pitch", "shape"),
    [(5, 18, (500, 500)), (7, 30, (700, 600)), (30, 90, (600, 800)), (60, 230, (800, 1000)), (14, 140, (900, 900))],
)
def test_holes_small_large_close_and_far_apart(draw_holes, radius, pitch, shape):
    drawn = draw_holes(np.random.default_rng(radius), shape=shape, radius=radius, pitch=pitch)
    found = FINDER.find(Image(drawn.pixels))
    recall, precision = recall_and_precision(found, drawn, radius)
    assert recall >= 0.93
    assert precision >= 0.97


def test_few_electrons_are_enough(draw_holes):
    drawn = draw_holes(np.random.default_rng(21), film=3, hole=5)
    recall, precision = recall_and_precision(FINDER.find(Image(drawn.pixels)), drawn, 16)
    assert recall >= 0.95
    assert precision >= 0.95


def test_a_view_of_a_tightly_seen_dozen_with_every_outer_hole_cut(draw_holes):
    drawn = draw_holes(np.random.default_rng(22), shape=(512, 512), radius=55, pitch=160, missing=0)
    found = FINDER.find(Image(drawn.pixels))
    cut = drawn.centres[distances(drawn.centres, drawn.whole) > 1]
    assert len(cut) >= 4
    deep = cut[((cut > 12) & (cut < 499)).all(axis=1)]
    assert (distances(deep, places(found, Site.HOLE, Site.PARTIAL)) < 9).mean() >= 0.8
    assert all(h.status is not Site.HOLE for h in found.holes if min(h.row_px, h.col_px) < 40)


def test_holes_are_looked_for_on_film_alone(draw_holes):
    rng = np.random.default_rng(23)
    drawn = draw_holes(rng, shape=(700, 760), radius=10, pitch=42)
    rows, cols = np.indices(drawn.pixels.shape)
    inside = (np.abs(rows - 340) < 230) & (np.abs(cols - 390) < 240)
    pixels = np.where(inside, drawn.pixels, rng.poisson(1.0, inside.shape)).astype(np.float32)
    found = FINDER.find(Image(pixels))
    true = drawn.whole[(np.abs(drawn.whole - (340, 390)) < (215, 225)).all(axis=1)]
    assert (distances(true, places(found, Site.HOLE, Site.PARTIAL)) < 4).mean() >= 0.95
    sites = places(found, *Site)
    assert (np.abs(sites - (340, 390)) < (245, 255)).all()


def test_missing_and_covered_sites_are_told(draw_holes):
    rng = np.random.default_rng(24)
    drawn = draw_holes(rng, missing=0.0)
    target = drawn.whole[np.argmin(np.hypot(*(drawn.whole - (300, 320)).T))]
    pixels = drawn.pixels.copy()
    cv2.circle(pixels, (round(target[1]), round(target[0])), 22, 6.0, -1)
    found = FINDER.find(Image(pixels))
    site = min(found.holes, key=lambda hole: np.hypot(hole.row_px - target[0], hole.col_px - target[1]))
    assert site.status is Site.COVERED
    assert site.score < 0.2
    pixels = drawn.pixels.copy()
    rows, cols = np.indices(pixels.shape)
    filled = np.hypot(rows - target[0], cols - target[1]) < 20
    pixels[filled] = rng.poisson(40.0, filled.sum())
    found = FINDER.find(Image(pixels))
    site = min(found.holes, key=lambda hole: np.hypot(hole.row_px - target[0], hole.col_px - target[1]))
    assert site.status is Site.MISSING
    assert site.score < 0.3


def test_a_few_empty_holes_do_not_outshine_the_rest(draw_holes):
    rng = np.random.default_rng(25)
    drawn = draw_holes(rng, missing=0.0, film=15, hole=20)
    pixels = drawn.pixels.copy()
    for row, col in drawn.whole[:: max(1, len(drawn.whole) // 5)]:
        cv2.circle(pixels, (round(col), round(row)), 16, 150.0, -1)
    recall, precision = recall_and_precision(FINDER.find(Image(pixels)), drawn, 16)
    assert recall >= 0.95
    assert precision >= 0.95


@pytest.mark.parametrize("change", ["half gain", "double gain", "zero mean", "0..1", "transposed", "turned"])
def test_storage_and_turns_do_not_matter_to_holes(real, change):
    image = real("medmag_21feb25a_668x474")
    pixels = image.pixels
    same = {
        "half gain": 0.5 * pixels,
        "double gain": 2 * pixels + 500,
        "zero mean": pixels - pixels.mean(),
        "0..1": pixels / 255,
        "transposed": pixels.T,
        "turned": np.rot90(pixels),
    }[change]
    plain, other = FINDER.find(image), FINDER.find(Image(np.ascontiguousarray(same, np.float32)))
    expected = places(plain, Site.HOLE)
    if change == "transposed":
        expected = expected[:, ::-1]
    if change == "turned":
        expected = np.stack([pixels.shape[1] - 1 - expected[:, 1], expected[:, 0]], axis=1)
    assert len(places(other, Site.HOLE)) == len(expected)
    assert distances(expected, places(other, Site.HOLE)).max() < 2.5
    assert np.median(distances(expected, places(other, Site.HOLE))) < 0.8


def test_known_sizes_lead_to_the_lattice(draw_holes):
    drawn = draw_holes(np.random.default_rng(26), radius=12, pitch=50)
    image = Image(drawn.pixels, pixel_size_a=500.0)
    told = lattice_holes({"hole_diameter_um": 1.2, "hole_pitch_um": 2.5}).find(image)
    recall, precision = recall_and_precision(told, drawn, 12)
    assert recall >= 0.95
    assert precision >= 0.97


def test_wrong_sizes_do_not_hide_the_lattice(draw_holes):
    drawn = draw_holes(np.random.default_rng(27), radius=12, pitch=50)
    image = Image(drawn.pixels, pixel_size_a=500.0)
    told = lattice_holes({"hole_diameter_um": 5.0, "hole_pitch_um": 10.0}).find(image)
    assert recall_and_precision(told, drawn, 12)[0] >= 0.95


def test_the_level_of_a_hole_is_in_the_images_own_unit(draw_holes):
    drawn = draw_holes(np.random.default_rng(28), film=400, hole=600)
    found = FINDER.find(Image(drawn.pixels))
    means = [hole.mean for hole in found.holes if hole.status is Site.HOLE]
    assert np.median(means) == pytest.approx(600, rel=0.06)


def test_holes_of_a_2k_view_take_about_a_second(draw_holes):
    drawn = draw_holes(np.random.default_rng(29), shape=(1100, 1100), radius=10, pitch=44)
    pixels = np.ascontiguousarray(np.kron(drawn.pixels, np.ones((2, 2), np.float32))[:2048, :2048])
    start = time.process_time()
    found = FINDER.find(Image(pixels))
    assert time.process_time() - start < 2.0
    assert len(found.holes) > 400
    assert found.holes[0].radius_px == pytest.approx(20, rel=0.06)


@pytest.mark.parametrize("faint", ["every second hole", "every second row"])
def test_holes_that_are_fainter_in_turn_are_not_left_out(faint):
    """The brighter half forms a lattice of its own, and a surer one."""
    rng = np.random.default_rng(1)
    pixels, holes = np.full((420, 420), 100, np.float32), 0
    for i in range(-1, 16):
        for j in range(-1, 16):
            row, col = 20 + 28 * i + 3 * j, 25 + 28 * j - 3 * i
            weak = (i + j) % 2 if faint == "every second hole" else i % 2
            cv2.circle(pixels, (col * 16, row * 16), 9 * 16, 114.0 if weak else 130.0, -1, cv2.LINE_AA, 4)
            holes += min(row, col) >= 9 and max(row, col) < 411
    pixels = cv2.GaussianBlur(pixels, (0, 0), 1) + rng.normal(0, 6, pixels.shape).astype(np.float32)
    found = lattice_holes({}).find(Image(pixels)).holes
    whole = [hole for hole in found if hole.status is Site.HOLE]
    assert len(whole) > 0.95 * holes


def test_a_lattice_that_ends_beside_the_film_is_none(draw_holes, monkeypatch):
    """Sites moved to what is bright may draw the lattice off the little film there is, in the last round too."""
    view = view_of(draw_holes(np.random.default_rng(3)).pixels)
    found = proposed(view, hole_check.Expected(None, None))[0]
    assert hole_check.checked(view, found, hole_check.Expected(None, None)) is not None
    refined, rounds = hole_check._at_discs, []

    def drawn_off(*given):
        rounds.append(refined(*given))
        better, shape = rounds[-1]
        if len(rounds) == 1:
            return better, shape
        return replace(better, origin=np.array([-3000.0, -3000.0]), basis=7000.0 * np.eye(2)), shape

    monkeypatch.setattr(hole_check, "_at_discs", drawn_off)
    assert hole_check.checked(view, found, hole_check.Expected(None, None)) is None
    assert len(rounds) == 2
