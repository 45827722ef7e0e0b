"""Tiles are joined where they overlap, whatever the stage said; where nothing can be told, the stage is believed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.hardware.records import Image
from epicycle.imaging.records import Stitched
from epicycle.imaging.stitching import stitch
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]
SIDE, PIXEL_UM = 384, 0.8


@dataclass(frozen=True)
class Atlas:
    tiles: tuple[Image, ...]
    places_px: NDArray[np.float64]
    to_stage: NDArray[np.float64]


@pytest.fixture
def atlas(mesh: Make, affine: Make, seen: Make, as_image: Make) -> Callable[..., Atlas]:
    """Tiles with stage errors: true places in px of the mosaic, and the true affine of place 0."""

    def make(
        seed: int,
        *,
        count: int = 3,
        error_um: float = 2.0,
        calibration: float = 1.0,
        blank: Sequence[int] = (),
        pitch_um: float = 84.0,
        turn_deg: float = 13.0,
        vary: float = 0.3,
    ) -> Atlas:
        rng = np.random.default_rng(seed)
        world = mesh(rng, 1500, PIXEL_UM, pitch_um, vary, 0.1)
        tiles, stages = [], []
        for row in range(count):
            for col in range(count):
                step = SIDE * 0.9 * (np.array([row, col]) - (count - 1) / 2)
                asked = affine(PIXEL_UM, 30.0, np.zeros(2), (1, 1))[:, :2] @ step
                stood = asked + rng.normal(0, error_um, 2)
                true = affine(PIXEL_UM, 30.0, stood, (SIDE, SIDE))
                pixels = seen(world, PIXEL_UM, true, math.radians(turn_deg - 30), np.zeros(2), (SIDE, SIDE), 25.0, rng)
                if len(tiles) in blank:
                    pixels = rng.poisson(0.5, pixels.shape).astype(np.float32)
                r, c = np.ogrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
                pixels = (pixels * (1 - 0.08 * (r**2 + c**2))).astype(np.float32)
                believed = affine(PIXEL_UM * calibration, 30.0, asked, (SIDE, SIDE))
                tiles.append(as_image(pixels, believed))
                stages.append(true)
        linear = stages[0][:, :2]
        places = np.array([np.linalg.inv(linear) @ (stage[:, 2] - stages[0][:, 2]) for stage in stages])
        return Atlas(tuple(tiles), places, stages[0])

    return make


def errors_px(joined: Stitched, truth: Atlas, of: Sequence[int] | None = None) -> NDArray[np.float64]:
    gap = np.array(joined.offsets_px) - truth.places_px
    chosen = gap if of is None else gap[list(of)]
    return np.asarray(np.hypot(*(chosen - chosen.mean(axis=0)).T))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tiles_come_together_to_a_fraction_of_a_pixel(atlas: Make, seed: int) -> None:
    truth = atlas(seed)
    joined = stitch(truth.tiles)
    assert errors_px(joined, truth).max() < 0.5
    assert joined.overlaps_used == 12
    assert joined.residual_px < 0.3
    assert joined.pixels.dtype == np.float32
    assert np.isfinite(joined.pixels).all()


def test_a_blank_tile_stays_where_the_stage_put_it_among_its_neighbours(atlas: Make) -> None:
    truth = atlas(4, blank=[4])
    joined = stitch(truth.tiles)
    others = [n for n in range(9) if n != 4]
    assert errors_px(joined, truth, others).max() < 0.6
    assert joined.overlaps_used == 8
    nominal = np.array([np.asarray(tile.image_to_stage)[:, 2] for tile in truth.tiles])
    linear = np.asarray(joined.image_to_stage)[:, :2]
    moved = np.array(joined.offsets_px) @ linear.T - nominal
    assert np.linalg.norm(moved[4] - np.median(moved[others], axis=0)) < 4.0


def test_tiles_all_blank_keep_the_stage_s_places(atlas: Make) -> None:
    truth = atlas(5, blank=range(9))
    joined = stitch(truth.tiles)
    nominal = np.array([np.asarray(tile.image_to_stage)[:, 2] for tile in truth.tiles])
    linear = np.asarray(truth.tiles[0].image_to_stage)[:, :2]
    expected = (nominal - nominal[0]) @ np.linalg.inv(linear).T
    got = np.array(joined.offsets_px) - joined.offsets_px[0]
    assert np.abs(got - expected).max() < 0.5
    assert (joined.overlaps_used, joined.residual_px) == (0, 0.0)


def test_the_mosaic_knows_where_it_is_even_when_the_magnification_was_off(atlas: Make) -> None:
    """The calibration is 1.5 % wrong; the stage's own scale corrects it, to its errors over the atlas."""
    truth = atlas(6, calibration=1.015, error_um=0.5)
    joined = stitch(truth.tiles)
    assert errors_px(joined, truth).max() < 0.5
    assert joined.pixel_size_a == pytest.approx(PIXEL_UM * 1e4, rel=0.004)
    corners = np.array([[r, c, 1.0] for r in (0, 1000) for c in (0, 1000)])
    in_tile_0 = corners - np.array([*joined.offsets_px[0], 0.0])
    off = corners @ np.asarray(joined.image_to_stage).T - in_tile_0 @ truth.to_stage.T
    assert np.linalg.norm(off, axis=1).max() < 2.5


def test_a_lattice_of_holes_does_not_pull_tiles_by_a_period(atlas: Make) -> None:
    """The pitch is about what the stage may be off by; every period looks nearly alike."""
    truth = atlas(7, pitch_um=14.0, error_um=2.5)
    assert errors_px(stitch(truth.tiles), truth).max() < 0.6


def test_one_wrong_neighbour_does_not_tear_the_mosaic(atlas: Make) -> None:
    """A tile taken of another place: its own overlaps fit nowhere or wrongly, the others hold."""
    truth, other = atlas(8), atlas(80)
    tiles = list(truth.tiles)
    tiles[4] = replace(tiles[4], pixels=other.tiles[2].pixels)
    joined = stitch(tiles)
    assert errors_px(joined, truth, [0, 1, 2, 3, 5, 6, 7, 8]).max() < 0.6


def test_uncovered_corners_hold_the_dark_level(atlas: Make) -> None:
    truth = atlas(9)
    tiles = [truth.tiles[n] for n in (0, 1, 3)]
    joined = stitch(tiles)
    corner = joined.pixels[-100:, -100:]
    assert float(np.ptp(corner)) == 0.0
    assert corner[0, 0] <= np.percentile(joined.pixels[:300, :300], 5)


def test_one_tile_is_its_own_mosaic(atlas: Make) -> None:
    tile = atlas(10).tiles[0]
    joined = stitch([tile])
    np.testing.assert_allclose(joined.pixels, tile.pixels, atol=1e-3)
    np.testing.assert_allclose(joined.image_to_stage, tile.image_to_stage, atol=1e-6)
    assert joined.offsets_px == ((0.0, 0.0),)


def test_a_real_tile_cut_in_two_comes_together(real_image: Make, as_image: Make, affine: Make) -> None:
    whole = real_image("lowmag_20may08a")
    parts = [whole[:, :560], whole[:, 450:]]
    places = [affine(0.3, 0.0, np.zeros(2), (1, 1)), affine(0.3, 0.0, np.array([0.3 * 4, 0.3 * 441]), (1, 1))]
    joined = stitch([as_image(part, place) for part, place in zip(parts, places, strict=True)])
    gap = np.array(joined.offsets_px[1]) - joined.offsets_px[0]
    np.testing.assert_allclose(gap, (0, 450), atol=0.3)


@pytest.mark.parametrize("change", [{"image_to_stage": None}, {"pixel_size_a": None}])
def test_a_tile_without_position_or_scale_is_named(atlas: Make, change: dict[str, None]) -> None:
    tiles = list(atlas(11, count=2).tiles)
    tiles[2] = replace(tiles[2], name="t-2", **change)
    with pytest.raises(BadInput, match="Tile t-2 has no pixel size or stage position"):
        stitch(tiles)


def test_tiles_of_two_magnifications_are_refused(atlas: Make) -> None:
    first, second = atlas(12, count=1).tiles[0], atlas(12, count=1, calibration=1.1).tiles[0]
    with pytest.raises(BadInput, match="one preset"):
        stitch([first, second])
    with pytest.raises(BadInput, match="no tiles"):
        stitch([])
