"""Noise, clouds, gradients and bars: no square and no hole with a score above a half."""

import cv2
import numpy as np
import pytest

from epicycle.detectors.holes import lattice_holes
from epicycle.detectors.squares import mixture_squares
from epicycle.hardware.records import Image

SHAPE = (320, 400)


def noise(kind, rng):
    rows, cols = np.indices(SHAPE).astype(float)
    turn = rng.uniform(0, np.pi)
    across = (rows - SHAPE[0] / 2) * np.sin(turn) + (cols - SHAPE[1] / 2) * np.cos(turn)
    match kind:
        case "gauss":
            return rng.normal(0, 1, SHAPE)
        case "poisson":
            return rng.poisson(100, SHAPE)
        case "sparse":
            return rng.poisson(0.7, SHAPE)
        case "gradient":
            return rng.poisson(50 + 0.2 * (across - across.min()))
        case "vignette":
            return rng.poisson(100 * np.exp(-(across**2) / 2e4))
        case "dark bar":
            return rng.poisson(np.where(np.abs(across) < 25, 3, 90))
        case "bright bar":
            return rng.poisson(np.where(np.abs(across) < 25, 90, 3))
        case "bar in equal noise":
            return np.where(np.abs(across) < 15, 100, 0) + rng.normal(0, 5, SHAPE)
        case "fine clouds":
            return cv2.GaussianBlur(rng.normal(0, 1, SHAPE), (0, 0), 3)
        case "coarse clouds":
            return cv2.GaussianBlur(rng.normal(0, 1, SHAPE), (0, 0), 20) + rng.normal(0, 0.01, SHAPE)
        case _:
            return np.where(rng.random(SHAPE) < 1e-3, 5000, 0) + rng.normal(0, 1, SHAPE)


KINDS = ["gauss", "poisson", "sparse", "gradient", "vignette", "dark bar", "bright bar", "bar in equal noise"]
KINDS += ["fine clouds", "coarse clouds", "hot pixels"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_sure_in(kind, seed):
    pixels = np.asarray(noise(kind, np.random.default_rng(seed)), np.float32)
    squares = mixture_squares({}).find(Image(pixels))
    holes = lattice_holes({}).find(Image(pixels))
    assert max((square.score for square in squares.squares), default=0.0) <= 0.5
    assert max((hole.score for hole in holes.holes), default=0.0) <= 0.5
    assert squares.squares or len(squares.reason.split()) > 3
    assert holes.holes or len(holes.reason.split()) > 3


def test_particles_in_ice_are_no_lattice(real):
    found = lattice_holes({}).find(real("micrograph_07jan05b_binned"))
    assert not found.holes
    assert "lattice" in found.reason
