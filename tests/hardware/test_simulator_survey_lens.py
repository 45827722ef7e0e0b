"""What lens, stage and specimen do to survey pictures: distortion, focus of a tilted grid, drift, filter, contrast."""

import math
from datetime import timedelta
from typing import Any

import cv2
import numpy as np
import pytest

from epicycle.hardware.simulator.evaluation import studio
from epicycle.hardware.simulator.grid.cassette_world import GridSpec
from epicycle.hardware.simulator.instrument.instrument import Instrument
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.distortion import Distortion
from epicycle.hardware.simulator.pictures.lens import phase_per_nm
from epicycle.hardware.simulator.pictures.render_survey import Blur, Paths, blurred, moved, transmitted
from epicycle.hardware.simulator.pictures.specimen import Layers, Stain
from epicycle.hardware.simulator.pictures.survey import focus_over, movement_px
from epicycle.protocols.preset import Preset

CALM = {"torn": 0.0, "cracked": 0.0, "empty": 0.0, "thick": 0.0, "dry": 0.0, "contaminated": 0.0, "crystals": 0.0}
CLEAN = {"read_noise_counts": 0.0, "hot_pixels": 0.0, "dead_pixels": 0.0, "xrays_per_s": 0.0, "glow": 0.0}


def stood(
    level: str, *, spec: dict[str, Any] | None = None, lens: dict[str, Any] | None = None, **preset: Any
) -> tuple[Instrument, Preset]:
    """An instrument over the middle of an intact square, with a clean camera and one level changed."""
    profile = load_profile("demo-2k")
    own = profile.levels[level]
    chosen = own.preset.model_copy(update={"rows_px": 512, "cols_px": 512, **preset})
    levels = {**profile.levels, level: own.model_copy(update={"preset": chosen, **(lens or {})})}
    profile = profile.model_copy(update={"levels": levels, "camera": profile.camera.model_copy(update=CLEAN)})
    instrument = studio.stand_up(profile, GridSpec(**{**CALM, "empty_holes": 0.0, **(spec or {})}), 3)
    square = studio.square_like(studio.world_of(instrument), "intact")
    studio.aim(instrument, chosen, (square.x_um, square.y_um))
    return instrument, chosen


def holes_found(instrument: Instrument, preset: Preset) -> tuple[np.ndarray, np.ndarray]:
    """Where the holes of a picture are by their pixels, and where the view says they are; (n, 2) each."""
    pixels = cv2.GaussianBlur(studio.photograph(instrument, preset).astype(np.float32), (0, 0), 2)
    view = instrument.view(preset, studio.BEGINNING)
    world = studio.world_of(instrument)
    square = studio.square_like(world, "intact")
    said = view.pixels_of(np.array([(hole.x_um, hole.y_um) for hole in square.holes]))
    half = round(0.72 * world.film.hole_um / view.pixel_um)
    inside = ((said > half + 2) & (said < preset.rows_px - half - 3)).all(axis=1)
    found = []
    for row, col in said[inside]:
        r, c = round(row), round(col)
        near = pixels[r - half : r + half + 1, c - half : c + half + 1]
        bright = near > (np.percentile(near, 10) + np.percentile(near, 95)) / 2
        count, labels, _, centres = cv2.connectedComponentsWithStats(bright.astype(np.uint8))
        assert count > 1
        middle = labels[half - 2 : half + 3, half - 2 : half + 3]
        own = int(np.bincount(middle[middle > 0]).argmax())
        found.append(centres[own][::-1] + np.array([r - half, c - half]))
    return np.array(found), said[inside]


@pytest.mark.parametrize("kind", ["pincushion", "barrel", "spiral"])
def test_a_distorted_picture_draws_holes_where_the_view_says(kind: str) -> None:
    bent = {
        "pincushion": {"distortion_radial": 0.03, "distortion_spiral": 0.0},
        "barrel": {"distortion_radial": -0.03, "distortion_spiral": 0.0},
        "spiral": {"distortion_radial": 0.0, "distortion_spiral": 0.03},
    }[kind]
    # Ice that leans or piles up would shift the bright part of a hole.
    even = {"lean": 0.0, "collar_nm": 0.0, "ice_spread_inside": 0.02, "lens": 0.05}
    instrument, preset = stood("hole", spec=even, lens=bent, pixel_size_a=250.0, defocus_um=-5.0, dose_e_per_a2=0.02)
    found, said = holes_found(instrument, preset)
    assert len(found) > 12
    assert np.median(np.linalg.norm(found - said, axis=1)) < 0.5
    view = instrument.view(preset, studio.BEGINNING)
    straight = Distortion(0.0, 0.0, preset.rows_px, preset.cols_px)
    places = view.places_of(said)
    nominal = (places - view.to_grid[:, 2]) @ np.linalg.inv(view.to_grid[:, :2]).T
    off = nominal - straight.drawn(nominal)
    assert np.abs(off).max() < 1e-9
    far = np.linalg.norm(said - 255.5, axis=1) > 250
    assert np.linalg.norm(found - nominal, axis=1)[far].mean() > 2.0, "the affine alone is off far from the middle"


def test_distortion_and_its_inverse_agree_and_spare_the_middle() -> None:
    bent = Distortion(0.02, -0.015, 400, 600)
    points = np.random.default_rng(1).uniform([0, 0], [399, 599], (200, 2))
    assert np.abs(bent.straight(bent.drawn(points)) - points).max() < 1e-6
    middle = np.array([199.5, 299.5])
    assert bent.drawn(middle) == pytest.approx(middle)
    corner = bent.straight(np.array([0.0, 0.0])) - middle
    assert np.linalg.norm(corner) == pytest.approx(0.98 * math.hypot(199.5, 299.5), rel=2e-3)


def test_a_bent_layer_shows_at_each_pixel_what_lies_straight_behind_it() -> None:
    bent = Distortion(0.01, -0.006, 200, 320)
    margin = bent.margin_px
    rows, cols = np.indices((200 + 2 * margin, 320 + 2 * margin), np.float32)
    straight = bent.straight(np.stack(np.mgrid[:200, :320], axis=-1).astype(float))
    assert straight.min() > -margin
    # OpenCV interpolates in steps of a 32nd of a pixel.
    assert np.abs(bent.apply(rows) - margin - straight[..., 0]).max() < 0.02
    assert np.abs(bent.apply(cols) - margin - straight[..., 1]).max() < 0.02


def test_a_tilted_grid_is_in_focus_on_one_side_only() -> None:
    instrument, preset = stood("square", lens={"rotation_deg": 0.0}, pixel_size_a=1000.0)
    view = instrument.view(preset, studio.BEGINNING)
    assert np.ptp(focus_over(instrument, preset, view, studio.BEGINNING)) < 25
    instrument.state.alpha_deg = 45.0
    studio.aim(instrument, preset, tuple(view.places_of(np.array([255.5, 255.5]))), tilt_deg=45.0)
    tilted = instrument.view(preset, studio.BEGINNING)
    focus = focus_over(instrument, preset, tilted, studio.BEGINNING)
    assert focus.size > 1
    # 512 pixels of 0.1 µm across the tilt axis, at 45°: 51 µm between the first and the last row; the grid's own
    # hills add some.
    rows = focus.mean(axis=1)
    assert abs(rows[-1] - rows[0]) == pytest.approx(51.1, abs=6)
    assert (np.diff(rows) < 0).all() or (np.diff(rows) > 0).all()


def test_what_is_further_from_focus_is_less_sharp() -> None:
    noise = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    nodes = np.linspace(0.3, 3.0, 9, dtype=np.float32)[:, None] * np.ones((1, 9), np.float32)
    out = blurred(noise, Blur(0.3, nodes, np.zeros(2)))
    sharp = np.abs(np.diff(out, axis=1)).mean(axis=1)
    bands = sharp.reshape(8, 32).mean(axis=1)
    assert (np.diff(bands) < 0).all()
    assert bands[0] > 4 * bands[-1]


def test_a_tilted_picture_is_sharper_on_one_side() -> None:
    instrument, preset = stood(
        "hole", lens={"rotation_deg": 0.0}, pixel_size_a=250.0, dose_e_per_a2=0.5, beam_diameter_um=500.0
    )
    optics = instrument.profile.optics.model_copy(update={"survey_convergence_mrad": 30.0})
    instrument.profile = instrument.profile.model_copy(update={"optics": optics})
    square = studio.square_like(studio.world_of(instrument), "intact")
    studio.aim(instrument, preset, (square.x_um, square.y_um), tilt_deg=50.0, defocus_um=-8.0)
    pixels = studio.photograph(instrument, preset).astype(np.float32)
    focus = focus_over(instrument, preset, instrument.view(preset, studio.BEGINNING), studio.BEGINNING)
    steps = np.abs(np.diff(cv2.GaussianBlur(pixels, (0, 0), 1.0), axis=0))
    top, bottom = np.percentile(steps[20:140], 99), np.percentile(steps[-140:-20], 99)
    nearer_top = np.abs(focus[:3]).mean() < np.abs(focus[-3:]).mean()
    assert (top > 1.15 * bottom) if nearer_top else (bottom > 1.15 * top)


def test_tilt_foreshortens_across_its_axis() -> None:
    flat, preset = stood("hole", lens={"rotation_deg": 0.0})
    before = flat.view(preset, studio.BEGINNING).to_grid[:, :2]
    flat.state.alpha_deg = 60.0
    after = flat.view(preset, studio.BEGINNING).to_grid[:, :2]
    assert np.linalg.norm(after[:, 0]) == pytest.approx(2 * np.linalg.norm(before[:, 0]), rel=1e-3)
    assert np.linalg.norm(after[:, 1]) == pytest.approx(np.linalg.norm(before[:, 1]), rel=1e-3)


def test_drift_blurs_along_its_direction_only() -> None:
    noise = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    along = moved(noise, np.array([0.0, 6.0]))
    assert np.abs(np.diff(along, axis=1)).mean() < 0.35 * np.abs(np.diff(along, axis=0)).mean()
    assert np.array_equal(moved(noise, np.array([0.0, 0.1])), noise)
    spot = np.zeros((65, 65), np.float32)
    spot[32, 32] = 1.0
    smeared = moved(spot, np.array([8.0, 8.0]))
    rows, cols = np.indices(spot.shape)
    assert smeared.sum() == pytest.approx(1.0, abs=1e-5)
    assert (smeared * rows).sum() == pytest.approx(32, abs=0.01)
    assert (smeared * (rows - 32) * (cols - 32)).sum() > 4


def test_a_drifting_stage_moves_the_image_while_the_shutter_is_open() -> None:
    instrument, preset = stood("hole", exposure_s=2.0)
    state = instrument.state
    state.moved_at = studio.BEGINNING
    state.drift_a_per_s, state.drift_turn_rad, state.drift_tau_s = 500.0, 0.7, 1e6
    way = movement_px(instrument, preset, studio.BEGINNING)
    assert np.linalg.norm(way) == pytest.approx(1000.0 / instrument.true_level(preset)[0], rel=0.01)
    # What a later view sees at one pixel, an earlier one saw further along the way.
    early = instrument.view(preset, studio.BEGINNING)
    late = instrument.view(preset, studio.BEGINNING + timedelta(seconds=2))
    place = early.places_of(np.array([255.5, 255.5]))
    assert late.pixels_of(place) - 255.5 == pytest.approx(way, abs=0.02)
    drifting = studio.photograph(instrument, preset).astype(np.float32)
    state.drift_a_per_s = 0.0
    still = studio.photograph(instrument, preset).astype(np.float32)
    gradients = [np.abs(np.diff(cv2.GaussianBlur(image, (0, 0), 1), axis=0)).mean() for image in (drifting, still)]
    assert gradients[0] < gradients[1]


def test_holes_are_bright_in_thin_ice_and_dark_where_they_hold_more_than_the_film() -> None:
    for kind, sign in (("good", 1), ("filled-holes", -1)):
        instrument, preset = stood("hole", spec={"kind": kind}, defocus_um=-20.0)
        pixels = studio.photograph(instrument, preset).astype(np.float32)
        view = instrument.view(preset, studio.BEGINNING)
        world = studio.world_of(instrument)
        hole = studio.hole_of(studio.square_like(world, "intact"))
        assert hole is not None
        basis = world.film.basis_um
        between = np.array([hole.x_um, hole.y_um]) + basis @ [0.5, 0.5]

        def seen(place: np.ndarray, view: Any = view, pixels: np.ndarray = pixels) -> float:
            row, col = (round(float(at)) for at in view.pixels_of(place))
            return float(pixels[row - 8 : row + 9, col - 8 : col + 9].mean())

        inside = seen(np.array([hole.x_um, hole.y_um]))
        assert sign * (inside - seen(between)) > 0.02 * inside, kind


def test_the_slit_takes_electrons_that_lost_energy() -> None:
    profile = load_profile("collection-300kv")
    preset = profile.levels["hole"].preset.model_copy(update={"rows_px": 256, "cols_px": 256})
    means = {}
    for slit in (None, 20.0):
        chosen = preset.model_copy(update={"slit_ev": slit})
        levels = {**profile.levels, "hole": profile.levels["hole"].model_copy(update={"preset": chosen})}
        instrument = studio.stand_up(profile.model_copy(update={"levels": levels}), GridSpec(**CALM), 3)
        square = studio.square_like(studio.world_of(instrument), "intact")
        studio.aim(instrument, chosen, (square.x_um, square.y_um))
        means[slit] = studio.photograph(instrument, chosen).mean()
    assert 0.5 * means[None] < means[20.0] < 0.95 * means[None]


def test_fringes_change_side_with_the_sign_of_defocus() -> None:
    film = np.zeros((64, 64), np.float32)
    film[:, 32:] = 20.0
    layers = Layers(np.zeros_like(film), film, np.ones_like(film))
    flat = transmitted(layers, Paths(300.0, 200.0), False, 0.0, 0.01, 200.0)[32]
    under, over = (
        transmitted(layers, Paths(300.0, 200.0), False, defocus, 0.01, 200.0)[32] / flat for defocus in (-50.0, 50.0)
    )
    assert phase_per_nm(200.0, "carbon") > 0
    assert under[:32].max() > 1.01, "underfocus: bright on the side of the vacuum"
    assert over[:32].min() < 0.99
    assert under[32:].min() < 0.99
    assert over[32:].max() > 1.01


@pytest.mark.parametrize("level", ["square", "hole"])
def test_an_exposed_spot_shows_at_square_and_hole_level(level: str) -> None:
    instrument, preset = stood(level)
    view = instrument.view(preset, studio.BEGINNING)
    middle = (preset.rows_px - 1) / 2
    x, y = view.places_of(np.array([middle, middle]))
    before = studio.photograph(instrument, preset).astype(np.float32)
    after = studio.photograph(instrument, preset, marks=[Stain(float(x), float(y), 0.5)]).astype(np.float32)
    rows, cols = np.indices(before.shape) - middle
    away = np.hypot(rows, cols) * view.pixel_um
    spot, beside = away < 0.4, (away > 2) & (away < 6)
    change = after / np.maximum(before, 1)
    noise = float(change[beside].std()) / math.sqrt(spot.sum())
    assert float(change[spot].mean() - change[beside].mean()) > 3 * noise
