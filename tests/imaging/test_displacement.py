"""The shift between two views of one scene, and an honest word on whether to trust it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from epicycle.imaging.correlation import find_lag
from epicycle.imaging.registration import displacement

Make = Callable[..., Any]


def scene(rng: np.random.Generator, side: int, grain_px: float) -> NDArray[np.float64]:
    raw = gaussian_filter(rng.normal(size=(side, side)), grain_px)
    return np.asarray(raw / raw.std())


@pytest.mark.parametrize("grain_px", [1.5, 4.0, 8.0])
@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
def test_one_scene_twice_gives_its_shift(grain_px: float, noise: float) -> None:
    rng = np.random.default_rng(int(10 * grain_px + noise))
    for shift in ((0, 0), (17, -42), (-60, 55)):
        world = scene(rng, 512, grain_px)
        fixed = world[128:384, 128:384] + noise * rng.normal(size=(256, 256))
        first = (128 + shift[0], 128 + shift[1])
        moving = world[first[0] : first[0] + 256, first[1] : first[1] + 256] + noise * rng.normal(size=(256, 256))
        found = displacement(fixed.astype(np.float32), moving.astype(np.float32))
        assert (found.row_px, found.col_px) == pytest.approx(shift, abs=1.5 if noise > 1 else 0.6)
        assert found.confidence > 0.5


def test_parts_of_a_pixel_are_seen() -> None:
    rng = np.random.default_rng(3)
    fine = scene(rng, 1200, 16.0)
    fixed, moving = (fine[first : first + 1024, 40:1064].reshape(256, 4, 256, 4).mean((1, 3)) for first in (80, 81))
    found = displacement(fixed.astype(np.float32), moving.astype(np.float32))
    assert (found.row_px, found.col_px) == pytest.approx((0.25, 0.0), abs=0.06)


@pytest.mark.parametrize("grain_px", [0.0, 2.0, 6.0])
def test_unrelated_noise_is_not_believed(grain_px: float) -> None:
    rng = np.random.default_rng(int(grain_px) + 1)
    sides = rng.integers(100, 320, 25)
    believed = [
        displacement(*(scene(rng, side, grain_px).astype(np.float32) for _ in range(2))).confidence for side in sides
    ]
    assert max(believed) < 0.3


def test_a_pure_lattice_is_not_believed_beyond_its_period() -> None:
    """Every period fits alike: a shift is found, but nothing says which."""
    rng = np.random.default_rng(9)
    at = np.arange(300)
    lattice = np.cos(2 * np.pi * at / 24)[:, None] + np.cos(2 * np.pi * at / 24)[None, :]
    fixed, moving = (lattice + 0.3 * rng.normal(size=(300, 300)) for _ in range(2))
    found = displacement(fixed.astype(np.float32), np.roll(moving, (5, 0), (0, 1)).astype(np.float32))
    assert found.confidence < 0.6
    assert found.row_px % 24 == pytest.approx(19, abs=0.5)


def test_the_limit_is_kept() -> None:
    rng = np.random.default_rng(4)
    world = scene(rng, 400, 3.0).astype(np.float32)
    far = displacement(world[50:306, 50:306], world[90:346, 50:306], max_shift_px=20)
    assert abs(far.row_px) <= 22
    assert abs(far.col_px) <= 22
    assert far.confidence < 0.3
    near = displacement(world[50:306, 50:306], world[62:318, 50:306], max_shift_px=20)
    assert near.row_px == pytest.approx(12, abs=0.2)


def test_views_of_two_sizes_and_of_many_pixels() -> None:
    rng = np.random.default_rng(5)
    world = scene(rng, 2600, 12.0).astype(np.float32)
    found = displacement(world[200:2400, 200:2400], world[500:1700, 350:1550])
    assert (found.row_px, found.col_px) == pytest.approx((300, 150), abs=0.5)


@pytest.mark.parametrize("fill", [0.0, 7.0])
def test_blank_pictures_have_no_shift(fill: float) -> None:
    found = displacement(np.full((128, 128), fill, np.float32), np.full((128, 128), fill, np.float32))
    assert (found.row_px, found.col_px, found.confidence) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", ["lowmag_20may08a", "square_leginon", "holes_leginon"])
def test_real_views_find_themselves_under_noise(real_image: Make, name: str) -> None:
    rng = np.random.default_rng(6)
    image = real_image(name)
    side = int(0.75 * image.shape[0])
    parts = [image[:side, :side], image[41 : 41 + side, 23 : 23 + side]]
    noisy = [part + (image.std() * rng.normal(size=part.shape)).astype(np.float32) for part in parts]
    found = displacement(*noisy)
    assert (found.row_px, found.col_px) == pytest.approx((41, 23), abs=0.6)
    assert found.confidence > 0.9


def test_half_a_pixel_does_not_make_a_place_fit_worse() -> None:
    rng = np.random.default_rng(4)
    fine = scene(rng, 640, 2.5).astype(np.float32)  # detail of 1.25 px at every second row and column
    fixed, beside = fine[::2, ::2], fine[1::2, 1::2][20:280, 30:290]
    aligned = fixed[20:280, 30:290]
    scores = []
    for moving, between in ((aligned, False), (beside, False), (beside, True)):
        found = find_lag(
            fixed, moving, expected=(20.0, 30.0), reach=(40.0, 40.0), least_overlap=6e4, between_pixels=between
        )
        assert (found.row_px, found.col_px) == pytest.approx((20, 30) if moving is aligned else (20.5, 30.5), abs=0.1)
        scores.append(found.score)
    assert scores[0] > 0.99
    assert scores[1] < 0.95
    assert scores[2] > 0.97
