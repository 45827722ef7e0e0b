"""A crack lets all electrons through: a few large holes are little against it, and are found all the same."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.film import cracks_in
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image

HOLE = 58.0


def cracked(picture, seed, level, noise):
    """Break a jagged piece out of the film; answers the picture, and how far from the piece each place is."""
    rng = np.random.default_rng(seed)
    shape = np.array(picture.shape)
    middle = rng.uniform(0.2, 0.8, 2) * shape
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    away = rng.uniform(0.08, 0.2, 12) * shape[0]
    corners = np.stack([middle[1] + away * np.cos(angles), middle[0] + away * np.sin(angles)], 1)
    piece = np.zeros(picture.shape, np.uint8)
    cv2.fillPoly(piece, [corners.astype(np.int32)], 1)
    bright = level + rng.normal(0, noise, picture.shape)
    near = cv2.distanceTransform(1 - piece, cv2.DIST_L2, 5)
    return np.where(piece > 0, bright, picture).astype(np.float32), near


def beside(places, near, reach):
    return np.array([place for place in places if near[int(place[0]), int(place[1])] > reach]).reshape(-1, 2)


def holes_told(pixels):
    answer = lattice_holes({}).find(Image(pixels))
    return np.array([(h.row_px, h.col_px) for h in answer.holes if h.status is Site.HOLE]).reshape(-1, 2)


def apart(first, second):
    return np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1)).min(axis=1)


@pytest.mark.parametrize(("seed", "radius", "pitch"), [(4, 80.0, 330.0), (5, 60.0, 200.0), (1, 60.0, 200.0)])
def test_large_holes_beside_a_crack_are_found(draw_holes, seed, radius, pitch):
    rng = np.random.default_rng(seed)
    drawn = draw_holes(rng, shape=(512, 540), radius=radius, pitch=pitch, missing=0.0, hole=HOLE)
    pixels, near = cracked(drawn.pixels, seed + 20, 3 * HOLE, 13.0)
    whole = beside(drawn.whole, near, radius + 10)
    assert len(whole) > 0
    assert (apart(whole, holes_told(pixels)) < 8).all()


def test_holes_beside_a_crack_are_found_on_a_real_view(real):
    pixels = np.asarray(real("holes_untilted").pixels, np.float32)
    dark, bright = np.quantile(pixels, [0.01, 0.99])
    noise = 1.5 * float(np.median(np.abs(pixels - cv2.blur(pixels, (3, 3)))))
    there = holes_told(pixels)
    found, left = 0, 0
    for seed in range(5):
        picture, near = cracked(pixels, seed, dark + 1.5 * (bright - dark), noise)
        whole, told = beside(there, near, 80), holes_told(picture)
        left += len(whole)
        found += int((apart(whole, told) < 20).sum()) if len(told) else 0
    assert left >= 5
    assert found >= 0.8 * left


def test_what_a_crack_has_swallowed_is_no_hole(draw_holes):
    drawn = draw_holes(np.random.default_rng(5), shape=(640, 680), radius=75.0, pitch=300.0, missing=0.0, hole=HOLE)
    for seed in range(4):
        pixels, near = cracked(drawn.pixels, seed, 1.5 * HOLE, 9.0)
        told = holes_told(pixels)
        assert len(told) > 1
        assert len(beside(told, near, 0)) == len(told)


def test_a_crack_is_told_from_holes_and_film(draw_holes):
    drawn = draw_holes(np.random.default_rng(5), shape=(640, 680), radius=75.0, pitch=300.0, missing=0.0, hole=HOLE)
    pixels, near = cracked(drawn.pixels, 1, 1.5 * HOLE, 9.0)
    found = cracks_in(pixels)
    assert found is not None
    assert found[near == 0].all()
    assert found[near > 0].mean() < 0.1
    assert not any(found[int(row), int(col)] for row, col in beside(drawn.whole, near, 85))
    assert cracks_in(drawn.pixels) is None
