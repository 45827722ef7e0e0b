"""Thon rings tell the defocus that was planted, the wrong height, the thick ice, the drift that was left."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from epicycle.files.mrc import read_frames
from epicycle.hardware.records import Shot, StagePosition
from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures import movie
from epicycle.hardware.simulator.pictures.exposure_scene import Scene, Setting
from epicycle.hardware.simulator.pictures.half_plane import HalfPlane, response, rings_left
from epicycle.hardware.simulator.pictures.lens import Aberrations, Coherence, phase_per_nm, wavelength_a
from epicycle.hardware.simulator.pictures.render_exposure import render_frames

Make = Callable[..., Any]

PIXEL_A, SIDE, CS_A, CONTRAST = 1.2, 1024, 2.7e7, 0.07


def spectrum_of(image: np.ndarray, box: int = 512) -> np.ndarray:
    """Mean power over overlapping boxes, origin in the corner."""
    window = np.outer(np.hanning(box), np.hanning(box))
    starts = range(0, image.shape[0] - box + 1, box // 2)
    parts = [image[r : r + box, c : c + box] for r in starts for c in starts]
    return np.mean([np.abs(np.fft.fft2((part - part.mean()) * window)) ** 2 for part in parts], axis=0)


def profile(power: np.ndarray, wedge_deg: tuple[float, float] | None = None) -> np.ndarray:
    """Average over rings; within a wedge of directions from the column axis, both ways."""
    n = power.shape[0]
    ky, kx = np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None, :]
    ring = np.rint(np.hypot(ky, kx) * n).astype(int)
    use = ring < n // 2
    if wedge_deg is not None:
        off = np.abs((np.degrees(np.arctan2(ky, kx)) - wedge_deg[0] + 90) % 180 - 90)
        use &= off < wedge_deg[1]
    return np.bincount(ring[use], power[use], n // 2) / np.maximum(np.bincount(ring[use], minlength=n // 2), 1)


def zeros_a(defocus_a: float, count: int) -> list[float]:
    """Resolutions in Å of the first zeros of the contrast transfer."""
    wave = wavelength_a(200.0)
    found = []
    for n in range(1, count + 1):
        target = n * math.pi - math.asin(CONTRAST)
        # π λ Δf k² - (π/2) Cs λ³ k⁴ = target, solved for k².
        a, b = -0.5 * math.pi * CS_A * wave**3, math.pi * wave * defocus_a
        k2 = (-b + math.sqrt(b * b + 4 * a * target)) / (2 * a)
        found.append(1 / math.sqrt(k2))
    return found


def first_minimum_a(
    image: np.ndarray, pixel_a: float, near_a: float, wedge_deg: tuple[float, float] | None = None
) -> float:
    """Resolution of the deepest point of the profile within 15 % of a guess."""
    box = 512
    rings = np.arange(box // 2)
    line = profile(spectrum_of(image, box), wedge_deg)
    with np.errstate(divide="ignore"):
        at_a = box * pixel_a / rings
    close = np.nonzero(np.abs(at_a / near_a - 1) < 0.15)[0]
    lowest = close[0] + int(np.argmin(line[close]))
    left, mid, right = line[lowest - 1 : lowest + 2]
    return float(box * pixel_a / (lowest + 0.5 * (left - right) / (left - 2 * mid + right)))


def lens(defocus_a: float, astigmatism_a: float = 0.0, angle_deg: float = 0.0) -> Aberrations:
    return Aberrations(wavelength_a(200.0), CS_A, CONTRAST, defocus_a, astigmatism_a, math.radians(angle_deg))


def frames(
    optics: Aberrations,
    path: object,
    ice_nm: float = 30.0,
    phase: np.ndarray | None = None,
    electrons: float = 3000.0,
    side: int = SIDE,
) -> list[np.ndarray]:
    camera = load_profile("screening-200kv").camera
    setting = Setting(optics, Coherence(b_a2=40.0), camera, 200.0, PIXEL_A, (side, side))
    scene = Scene(ice_nm, 0.0, False, phase, electrons, ice_nm, 1.0, 100.0)
    rendered = render_frames(scene, setting, np.asarray(path, float), np.random.default_rng(7), 10**6)
    return [frame.astype(float) for frame in rendered]


def shot(
    defocus_a: float, thickness_nm: float = 30.0, astigmatism_a: float = 0.0, angle_deg: float = 0.0
) -> np.ndarray:
    return frames(lens(defocus_a, astigmatism_a, angle_deg), np.zeros((2, 2)), thickness_nm)[0]


@pytest.mark.parametrize("defocus_a", [8000.0, 15000.0, 25000.0])
def test_first_zero_lies_where_the_defocus_puts_it(defocus_a: float) -> None:
    expected = zeros_a(defocus_a, 1)[0]
    assert first_minimum_a(shot(defocus_a), PIXEL_A, expected) == pytest.approx(expected, rel=0.02)


def test_astigmatism_shifts_the_zero_by_direction() -> None:
    image = shot(9000.0, astigmatism_a=5000.0, angle_deg=30.0)
    far, near = zeros_a(11500.0, 1)[0], zeros_a(6500.0, 1)[0]
    assert first_minimum_a(image, PIXEL_A, far, (30.0, 12.0)) == pytest.approx(far, rel=0.03)
    assert first_minimum_a(image, PIXEL_A, near, (120.0, 12.0)) == pytest.approx(near, rel=0.03)


def test_matter_is_dark_in_underfocus() -> None:
    spot = np.zeros((SIDE, SIDE), np.float32)
    spot[504:520, 504:520] = 0.3
    for sign in (1, -1):
        image = frames(lens(sign * 15000.0), np.zeros((2, 2)), 0.0, spot)[0]
        assert bool(image[508:516, 508:516].mean() < image.mean()) is (sign > 0)


def depth_of_rings(image: np.ndarray, between_a: tuple[float, float]) -> float:
    """How far the rings swing around their local mean, as a fraction, between two resolutions."""
    box = 512
    line = profile(spectrum_of(image, box))
    low, high = (int(box * PIXEL_A / a) for a in between_a)
    smooth = np.convolve(line, np.ones(9) / 9, mode="same")
    return float(np.std((line / smooth)[low:high]))


def test_thick_ice_loses_its_rings_sooner() -> None:
    depth = [depth_of_rings(shot(6000.0, nm), (7.0, 5.0)) for nm in (30.0, 80.0, 160.0)]
    assert depth[0] > 1.5 * depth[1] > 2.0 * depth[2]


def test_thickness_blurs_rings_to_nothing_at_its_node() -> None:
    """Where ``λ t k² = 1`` the power is even: no rings at all."""
    thickness_nm = 100.0
    node_k = 1 / math.sqrt(wavelength_a(200.0) * thickness_nm * 10)
    plane = HalfPlane((2048, 2048), PIXEL_A)
    k = np.fft.rfftfreq(2048, PIXEL_A)
    left = rings_left(k, wavelength_a(200.0), thickness_nm).astype(np.float32)
    seen = response(plane.phase(lens(15000.0), slice(0, 1)), left[None])[0]
    at_node = np.abs(k - node_k) < 0.002
    assert np.ptp(seen[at_node] ** 2) < 0.1 * 4.0
    inside = (k > 0.3 * node_k) & (k < 0.5 * node_k)
    assert np.ptp(seen[inside] ** 2) > 0.8 * 4.0


def test_movement_blurs_along_its_direction() -> None:
    depth = {}
    for name, path in (("still", [[0, 0], [0, 0]]), ("moved", [[0, 0], [0, 8.0]])):
        power = spectrum_of(frames(lens(15000.0), path)[0])
        low, high = int(512 * PIXEL_A / 12), int(512 * PIXEL_A / 8)
        noise = profile(power, (45.0, 90.0))[-20:].mean()
        depth[name] = [profile(power, (angle, 20.0))[low:high].mean() - noise for angle in (0.0, 90.0)]
    assert depth["moved"][0] < 0.6 * depth["still"][0]
    assert depth["moved"][1] == pytest.approx(depth["still"][1], rel=0.15)


def test_frames_stand_where_the_path_says() -> None:
    spot = np.zeros((64, 64), np.float32)
    spot[30:34, 30:34] = 1.0
    optics = Aberrations(wavelength_a(200.0), 0.0, 1.0, 0.0)
    path = [[0.0, 0.0], [0.0, 0.0], [6.0, -3.0], [6.0, -3.0]]
    found = frames(optics, path, 0.0, spot, 3e4, 64)
    rows, cols = np.indices((64, 64))
    for frame, where in ((found[0], (0.0, 0.0)), (found[2], (6.0, -3.0))):
        weight = np.maximum(np.median(frame) - frame - 500, 0)
        middle = (rows * weight).sum() / weight.sum() - 31.5, (cols * weight).sum() / weight.sum() - 31.5
        assert middle == pytest.approx(where, abs=0.3)


def test_a_wrong_height_shows_as_wrong_rings(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench(camera_scale=0.5)
    microscope = night.connect()
    at = on_square(microscope)
    instrument = behind(microscope)
    preset = microscope.presets()["exposure"].model_copy(update={"dose_e_per_a2": 80.0})
    for name, up in (("right", 0.0), ("high", 1.0)):
        microscope.go_to(StagePosition(at.x_um, at.y_um, at.z_um + up))
        microscope.use(preset)
        microscope.set_defocus(-1.5)
        instrument.state.drift_a_per_s = 0.0
        instrument.state.error_z_um = 0.0
        instrument.state.focal_um = instrument.height_um(instrument.looked_at(night.clock.now())) - up
        true = -instrument.true_defocus_um(instrument.looked_at(night.clock.now()), night.clock.now()) * 1e4
        assert true == pytest.approx(15000 + up * 1e4, abs=50)
        image = microscope.acquire(Shot(preset, save_frames=True), name)
        still = read_frames(image.path)[-1].astype(float)
        pixel_a, _ = instrument.true_level(preset)
        expected = zeros_a(true, 1)[0]
        assert first_minimum_a(still, pixel_a, expected) == pytest.approx(expected, rel=0.05)


def test_drift_after_a_move_shows_in_the_frames(bench: Make, on_square: Make, behind: Make) -> None:
    night = bench()
    microscope = night.connect()
    on_square(microscope)
    instrument = behind(microscope)
    lengths = {}
    for name, rate in (("calm", 0.0), ("drifting", 25.0)):
        instrument.state.drift_a_per_s, instrument.state.moved_at = rate, night.clock.now()
        preset = microscope.presets()["exposure"]
        path = movie.path_px(instrument, preset, night.clock.now(), PIXEL_A, np.random.default_rng(0))
        lengths[name] = float(np.linalg.norm(path[-1] - path[0])) * PIXEL_A
    assert lengths["drifting"] - lengths["calm"] > 0.5 * 25.0 * 4.0 * 0.5


def test_wavelength_and_phase_are_the_textbooks() -> None:
    assert wavelength_a(100.0) == pytest.approx(0.0370, abs=1e-4)
    assert wavelength_a(200.0) == pytest.approx(0.0251, abs=1e-4)
    assert wavelength_a(300.0) == pytest.approx(0.0197, abs=1e-4)
    # 7.29e-3 rad per V and nm at 200 kV.
    assert phase_per_nm(200.0, "ice") == pytest.approx(7.29e-3 * 3.5, rel=0.01)
