"""The published pipelines give the published answers, and keep the rules of this project's finders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from epicycle.detectors import published_networks
from epicycle.detectors.contract import HoleFinderContract, SquareFinderContract, holes_picture
from epicycle.detectors.published_holes import ptolemy_unet
from epicycle.detectors.published_lattice import square_lattice
from epicycle.detectors.published_squares import ptolemy_squares
from epicycle.hardware.records import Image

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "weights"

pytestmark = [
    pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"no published weights at {WEIGHTS}"),
    pytest.mark.timeout(240),
]


def matched(reference, found):
    """Distance of every reference centre to the nearest found (x, y), and which that is."""
    wanted = np.array([item["center"] for item in reference])
    away = np.hypot(*(wanted[:, None] - np.array(found)[None]).transpose(2, 0, 1))
    return away.min(axis=1), away.argmin(axis=1)


@pytest.fixture
def marked_once(monkeypatch):
    """Let the U-Net mark each image once: its answer is a function of the image alone (tested with the networks)."""
    run = published_networks.logits

    def once(unet, image):
        key = image.tobytes()
        if key not in MARKED:
            MARKED[key] = run(unet, image)
        return MARKED[key]

    monkeypatch.setattr(published_networks, "logits", once)


MARKED: dict[bytes, np.ndarray] = {}


def test_squares_of_the_real_tile_as_published(real, truth):
    reference = truth("reference/lowmag_20may08a_published_cli.json")
    found = ptolemy_squares({"weights": WEIGHTS}).find(real("lowmag_20may08a"))
    off, which = matched(reference, [(square.col_px, square.row_px) for square in found.squares])
    assert len(found.squares) == len(reference) == 48
    assert len(set(which)) == 48
    assert off.max() < 2
    assert found.grid_angle_deg == pytest.approx(45, abs=0.1)


@pytest.mark.slow
def test_square_scores_of_the_real_tile_in_the_published_way(real, truth):
    reference = truth("reference/lowmag_20may08a_published_cli.json")
    found = ptolemy_squares({"weights": WEIGHTS, "batch_statistics": True}).find(real("lowmag_20may08a"))
    _, which = matched(reference, [(square.col_px, square.row_px) for square in found.squares])
    scores = np.array([found.squares[index].score for index in which])
    published = np.array([item["score"] for item in reference])
    assert np.abs(scores - published).max() < 1e-3
    assert np.corrcoef(scores, published)[0, 1] > 0.95


@pytest.mark.slow
def test_holes_of_the_real_view_as_published(real, truth, marked_once):
    image = real("medmag_21feb25a_1440x1023")
    reference = truth("reference/medmag_21feb25a_1440x1023_published_cli.json")["items"]
    found = ptolemy_unet({"weights": WEIGHTS}).find(image)
    off, which = matched(reference, [(hole.col_px, hole.row_px) for hole in found.holes])
    assert len(found.holes) == len(reference) == 17
    assert len(set(which)) == 17
    assert off.max() < 3
    assert found.lattice.confidence == 1
    assert found.holes[0].radius_px == pytest.approx(71, abs=4)
    as_published = ptolemy_unet({"weights": WEIGHTS, "batch_statistics": True}).find(image)
    scores = np.array([as_published.holes[index].score for index in which])
    published = np.array([item["score"] for item in reference])
    assert np.abs(scores - published).max() < 1e-3


def test_the_lattice_search_finds_a_turned_lattice_and_charges_no_site_at_another_edge():
    rng = np.random.default_rng(5)
    step = np.array([90.0, 40.0])
    basis = np.array([step, [-step[1], step[0]]])
    places = np.array([300.0, 250.0]) + np.stack(np.mgrid[-9:10, -9:10], -1).reshape(-1, 2) @ basis
    places = places[((places > 5) & (places < [595, 695])).all(axis=1)]
    kept = places[rng.random(len(places)) > 0.2] + rng.normal(0, 1.0, (1, 2))
    mask = np.zeros((600, 700), bool)
    for row, col in np.rint(kept).astype(int):
        mask[max(0, row - 8) : row + 9, max(0, col - 8) : col + 9] = True
    best = square_lattice(mask, kept)
    sites = best.sites(mask.shape, 0.0)
    off = np.hypot(*(kept[:, None] - sites[None]).transpose(2, 0, 1)).min(axis=1)
    assert best.pitch == pytest.approx(np.hypot(*step), rel=0.02)
    assert off.max() < 6
    turned = square_lattice(mask[::-1, ::-1], np.array(mask.shape) - 1 - kept)
    assert turned.cost == pytest.approx(best.cost, rel=0.02)


@pytest.mark.slow
def test_an_image_that_is_too_large_for_the_network_is_binned(draw_holes, marked_once):
    drawn = draw_holes(np.random.default_rng(8), shape=(400, 1025), radius=45.0, pitch=190.0, missing=0.0)
    large = np.repeat(np.repeat(drawn.pixels, 2, axis=0), 2, axis=1)
    finder = ptolemy_unet({"weights": WEIGHTS})
    plain, found = finder.find(Image(drawn.pixels)), finder.find(Image(large))
    assert len(found.holes) == len(plain.holes) >= len(drawn.whole)
    for one, other in zip(plain.holes, found.holes, strict=True):
        assert (other.row_px, other.col_px) == pytest.approx((2 * one.row_px + 0.5, 2 * one.col_px + 0.5), abs=0.01)
        assert other.radius_px == 2 * one.radius_px


class TestPtolemySquares(SquareFinderContract):
    def finder(self):
        return ptolemy_squares({"weights": WEIGHTS})


@pytest.mark.slow
@pytest.mark.usefixtures("marked_once")
class TestPtolemyUNet(HoleFinderContract):
    def finder(self):
        return ptolemy_unet({"weights": WEIGHTS})

    def picture(self):
        pixels = holes_picture(np.random.default_rng(8), radius=45.0, pitch=190.0, side=640)
        return replace(super().picture(), pixels=pixels)
