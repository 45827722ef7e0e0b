"""The finder with a network: held to the contract, on real and drawn pictures, and honest where it has no network."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are an optional extra")
pytest.importorskip("safetensors", reason="networks are an optional extra")

from epicycle.detectors import network_weights
from epicycle.detectors.contract import HoleFinderContract, holes_picture
from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.network_holes import network_holes
from epicycle.detectors.records import Site
from epicycle.detectors.score_networks import OwnScorer
from epicycle.hardware.records import Image
from epicycle.protocols.errors import BadInput


@pytest.fixture(scope="module")
def finder():
    return network_holes({})


class TestNetworkHoles(HoleFinderContract):
    def finder(self):
        return network_holes({})


def told(found):
    kept = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    return np.array([(hole.row_px, hole.col_px) for hole in kept]).reshape(-1, 2)


def nearest(these, those):
    return np.hypot(*(these[:, None] - those[None]).transpose(2, 0, 1)).min(axis=1)


@pytest.mark.parametrize(("cell", "tilt"), [("hexagonal", 0), ("rectangular", 0), ("square", 40)])
def test_lattices_of_any_basis(finder, draw_holes, cell, tilt):
    drawn = draw_holes(np.random.default_rng(21), cell=cell, tilt=tilt, radius=14.0, pitch=52.0, missing=0.0)
    places = told(finder.find(Image(drawn.pixels)))
    assert (nearest(drawn.whole, places) < 4.0).mean() >= 0.95
    assert (nearest(places, drawn.centres) < 10.0).mean() >= 0.85


def test_holes_darker_than_their_film(finder, draw_holes):
    drawn = draw_holes(np.random.default_rng(9), radius=18.0, pitch=54.0, film=70.0, hole=45.0, missing=0.0)
    found = finder.find(Image(drawn.pixels))
    assert (nearest(drawn.whole, told(found)) < 4.0).mean() >= 0.95
    means = [hole.mean for hole in found.holes if hole.status is Site.HOLE]
    assert np.median(means) == pytest.approx(45, rel=0.12)


def test_vacuum_has_no_sites(finder, draw_holes):
    drawn = draw_holes(np.random.default_rng(12), radius=12.0, pitch=44.0, missing=0.0)
    pixels = drawn.pixels.copy()
    rows, cols = np.indices(pixels.shape)
    torn = np.hypot(rows - 200, cols - 150) < 110
    pixels[torn] = np.random.default_rng(1).poisson(90, torn.sum())
    found = finder.find(Image(pixels))
    places = np.array([(hole.row_px, hole.col_px) for hole in found.holes])
    assert (np.hypot(*(places - (200, 150)).T) > 80).all()
    beside = drawn.whole[np.hypot(*(drawn.whole - (200, 150)).T) > 140]
    assert (nearest(beside, told(found)) < 4.0).mean() >= 0.95


def test_real_holes(finder, real, truth):
    image = real("medmag_21feb25a_668x474")
    found = finder.find(image)
    centres = np.array(truth("gt/medmag_21feb25a_668x474.json")["centers_xy"])[:, ::-1]
    inside = ((centres > 5) & (centres < np.array(image.pixels.shape) - 6)).all(axis=1)
    off = nearest(centres[inside], told(found))
    assert (off < 33.0).all()
    assert np.median(off) < 2.0
    assert all(0 <= hole.features["fit"] <= 1 for hole in found.holes if hole.status is Site.HOLE)
    assert found.note == ""


@pytest.mark.parametrize("kind", ["gauss", "clouds", "gradient"])
def test_nothing_is_sure_in_noise(finder, kind):
    rng = np.random.default_rng(6)
    field = rng.normal(0, 1, (300, 320))
    if kind == "clouds":
        import cv2

        field = cv2.GaussianBlur(field, (0, 0), 6)
    if kind == "gradient":
        field = rng.poisson(60 + 0.2 * np.arange(320), (300, 320))
    found = finder.find(Image(field.astype(np.float32)))
    assert max((hole.score for hole in found.holes), default=0.0) <= 0.5


def test_particles_are_no_holes(finder, real):
    found = finder.find(real("micrograph_07jan05b_binned"))
    assert max((hole.score for hole in found.holes), default=0.0) <= 0.5


def test_without_weights_the_finder_without_answers_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(network_weights, "SHIPPED", tmp_path)
    image = Image(holes_picture(np.random.default_rng(8)), 500.0)
    found = network_holes({}).find(image)
    assert "without a network" in found.note
    assert replace(found, note="") == lattice_holes({}).find(image)


def test_without_torch_too(monkeypatch):
    monkeypatch.setattr(network_weights, "missing_libraries", lambda: "torch")
    found = network_holes({}).find(Image(holes_picture(np.random.default_rng(8)), 500.0))
    assert found.holes
    assert "torch is not installed" in found.note
    with pytest.raises(BadInput, match=r"pip install epicycle\[networks\]"):
        network_holes({"weights": "mine.safetensors"})


def test_own_weights_that_are_not_there_are_refused():
    with pytest.raises(BadInput, match="no weights at"):
        network_holes({"weights": "nowhere.safetensors"})
    with pytest.raises(BadInput, match=r"'treshold'.*weights"):
        network_holes({"treshold": 1})


def test_weights_are_taken_from_the_folder_of_a_training(tmp_path):
    with pytest.raises(BadInput, match=r"holds neither hole-maps.safetensors nor hole-scores.safetensors"):
        network_holes({"weights": tmp_path})
    image = Image(holes_picture(np.random.default_rng(8)), 500.0)
    usual = network_holes({}).find(image)
    scorer = OwnScorer()
    network_weights.save(scorer, tmp_path / "hole-scores.safetensors", scorer.architecture)
    scored_anew = network_holes({"weights": tmp_path}).find(image)
    assert [hole.row_px for hole in scored_anew.holes] == [hole.row_px for hole in usual.holes]
    assert [hole.features.get("fit") for hole in scored_anew.holes] != [
        hole.features.get("fit") for hole in usual.holes
    ]
    shutil.copy(network_weights.shipped("hole-maps"), tmp_path)
    assert network_holes({"weights": tmp_path}).find(image) == scored_anew
    (tmp_path / "hole-maps.safetensors").write_bytes(b"cut")
    with pytest.raises(BadInput, match=r"hole-maps\.safetensors"):
        network_holes({"weights": tmp_path})


def test_a_lone_hole_that_leaves_no_room_beside_it(finder):
    """What discs elsewhere do cannot be asked where there is no elsewhere."""
    pixels = np.full((300, 300), 200, np.float32)
    cv2.circle(pixels, (150, 150), 80, 300.0, -1, cv2.LINE_AA)
    noise = np.random.default_rng(3).normal(0, 8, pixels.shape)
    found = finder.find(Image((cv2.GaussianBlur(pixels, (0, 0), 1.5) + noise).astype(np.float32)))
    assert len(found.holes) <= 1
