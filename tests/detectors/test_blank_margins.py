"""What surrounds a picture and shows nothing: zeros of a stitcher, corners left over by a rotation, no numbers."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.blank import blank_part
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.records import Site
from epicycle.hardware.records import Image

TOLD = (Site.HOLE, Site.PARTIAL)


def places_of(found):
    return np.array([(hole.row_px, hole.col_px) for hole in found.holes if hole.status in TOLD]).reshape(-1, 2)


def apart(first, second):
    return np.hypot(*(first[:, None] - second[None]).transpose(2, 0, 1)).min(axis=1)


@pytest.fixture
def drawn(draw_holes):
    """Few large holes: those lose most to what lies around them."""
    return draw_holes(np.random.default_rng(11), shape=(420, 460), radius=34.0, pitch=120.0, missing=0.0)


def turned(pixels, places, angle_deg, fill):
    """Turn a picture on a canvas that holds all of it."""
    rows, cols = pixels.shape
    turn = cv2.getRotationMatrix2D(((cols - 1) / 2, (rows - 1) / 2), angle_deg, 1.0)
    cos, sin = np.abs(turn[0, :2])
    size = int(rows * sin + cols * cos), int(rows * cos + cols * sin)
    turn[:, 2] += (np.array(size) - [cols, rows]) / 2
    canvas = cv2.warpAffine(pixels, turn, size, flags=cv2.INTER_LINEAR, borderValue=float(fill))
    return canvas, (places[:, ::-1] @ turn[:, :2].T + turn[:, 2])[:, ::-1]


@pytest.mark.parametrize("fill", [0.0, 40.0, 500.0, np.nan])
def test_holes_are_found_within_a_margin_of_any_value(drawn, fill):
    room = 130
    pixels = np.pad(drawn.pixels, room, constant_values=np.float32(fill))
    found = lattice_holes({}).find(Image(pixels))
    told = places_of(found)
    assert (apart(drawn.whole + room, told) < 5).all()
    assert (apart(told, drawn.centres + room) < 34).all()
    assert found.lattice is not None
    steps = (drawn.whole + room - found.lattice.origin_px) @ np.linalg.inv([found.lattice.a_px, found.lattice.b_px])
    assert np.abs(steps - np.rint(steps)).max() < 0.1


@pytest.mark.parametrize("fill", [0.0, 44.0])
@pytest.mark.parametrize("angle_deg", [12.0, 30.0, 45.0])
def test_holes_are_found_in_a_picture_that_was_turned(drawn, angle_deg, fill):
    pixels, whole = turned(drawn.pixels, drawn.whole, angle_deg, fill)
    _, centres = turned(drawn.pixels, drawn.centres, angle_deg, fill)
    found = lattice_holes({}).find(Image(pixels))
    told = places_of(found)
    assert (apart(whole, told) < 5).all()
    assert (apart(told, centres) < 34).all()
    called_whole = np.array([(hole.row_px, hole.col_px) for hole in found.holes if hole.status is Site.HOLE])
    inside = ((drawn.centres > 24) & (drawn.centres < np.array(drawn.pixels.shape) - 25)).all(axis=1)
    assert (apart(called_whole, turned(drawn.pixels, drawn.centres[inside], angle_deg, fill)[1]) < 5).all()


def test_no_number_along_one_side_takes_nothing_from_the_rest(drawn):
    pixels = drawn.pixels.copy()
    pixels[:90] = np.nan
    told = places_of(lattice_holes({}).find(Image(pixels)))
    assert (apart(drawn.whole[drawn.whole[:, 0] > 90 + 34], told) < 5).all()
    assert (told[:, 0] > 80).all()


def test_what_is_blank_is_told_to_the_pixel(drawn):
    pixels, _ = turned(drawn.pixels, drawn.whole, 30.0, 0.0)
    shown, _ = turned(np.ones_like(drawn.pixels), drawn.whole, 30.0, 0.0)
    blank = blank_part(pixels)
    assert blank[shown == 0].mean() > 0.99
    assert blank[shown == 1].mean() < 0.03


@pytest.mark.parametrize("angle_deg", [0.0, 25.0])
def test_bars_that_a_camera_clips_to_black_are_no_margin(draw_mesh, angle_deg):
    """They fade into film; where they did not, nothing could tell them apart."""
    opening = draw_mesh(np.random.default_rng(5), 330.0, 430.0, angle_deg, shape=(420, 420))
    pixels = np.maximum(cv2.GaussianBlur(opening, (0, 0), 4.0) - 20, 0)
    assert (pixels == 0).mean() > 0.1
    assert not blank_part(pixels).any()


def test_a_picture_of_few_grey_levels_is_all_picture(drawn):
    assert not blank_part(np.floor(drawn.pixels / 12)).any()
    assert not blank_part((drawn.pixels > 60).astype(np.float32)).any()
    assert not blank_part(np.zeros((200, 200), np.float32)).any()


@pytest.mark.parametrize(("fill", "ink"), [(0.0, 90.0), (90.0, 0.0)])
def test_a_band_with_writing_below_the_picture_is_no_part_of_it(drawn, fill, ink):
    band = np.full((60, drawn.pixels.shape[1]), fill, np.float32)
    band[15:20, 20:120] = ink
    written = np.zeros(band.shape, np.uint8)
    cv2.putText(written, "2250x 200kV 2 um", (140, 45), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
    band[written > 100] = ink
    pixels = np.vstack([drawn.pixels, band])
    blank = blank_part(pixels)
    assert blank[-60:].all()
    assert blank[:-60].mean() < 0.02
    found = lattice_holes({}).find(Image(pixels))
    told = places_of(found)
    assert (apart(drawn.whole, told) < 5).all()
    assert (told[:, 0] < len(drawn.pixels)).all()
