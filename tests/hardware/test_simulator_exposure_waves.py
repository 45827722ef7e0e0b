"""What an exposure shows of its lens, its specimen and the beam: rings, coherence, coma, damage, crystals, film."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.amorphous import CRYSTAL_A, film_power, ice_power, spot_weights
from epicycle.hardware.simulator.pictures.beam_motion import induced_path_px
from epicycle.hardware.simulator.pictures.damage import critical_dose, ice_power_left, signal_left
from epicycle.hardware.simulator.pictures.exposure_scene import Scene, Setting
from epicycle.hardware.simulator.pictures.half_plane import HalfPlane
from epicycle.hardware.simulator.pictures.lens import (
    Aberrations,
    Coherence,
    coherence_envelope,
    focal_spread_a,
    phase_per_nm,
    wavelength_a,
)
from epicycle.hardware.simulator.pictures.render_exposure import render_frames, render_sum

SIDE, PIXEL_A = 768, 1.2
STILL = np.zeros((2, 2))
LENS = Aberrations(wavelength_a(300.0), 2.7e7, 0.07, 12000.0)
CAMERA = load_profile("screening-200kv").camera


def setting(optics: Aberrations = LENS, coherence: Coherence | None = None, camera: Any = CAMERA) -> Setting:
    return Setting(optics, coherence or Coherence(), camera, 300.0, PIXEL_A, (SIDE, SIDE))


def scene(**changes: Any) -> Scene:
    plain = Scene(30.0, 0.0, False, None, 4000.0, 30.0, 0.01, 1e6)
    return replace(plain, **changes)


def taken(what: Scene, how: Setting, seed: int = 1) -> np.ndarray:
    return render_sum(what, how, STILL, np.random.default_rng(seed), 30000).astype(float)


def power(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give frequencies in Å⁻¹ and the mean power over rings; white noise of one count per pixel gives 1."""
    side = image.shape[0]
    wave = np.abs(np.fft.fft2(image - image.mean())) ** 2 / side**2
    ring = np.rint(np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(side)], indexing="ij")) * side).astype(int)
    mean = np.bincount(ring.ravel(), wave.ravel()) / np.bincount(ring.ravel())
    return np.arange(side // 2) / side / PIXEL_A, mean[: side // 2]


@pytest.mark.parametrize("shift_deg", [0.0, 90.0])
def test_rings_end_where_defocus_cs_and_phase_plate_put_them(shift_deg: float) -> None:
    lens = replace(LENS, phase_shift_rad=math.radians(shift_deg))
    k, found = power(taken(scene(ice_nm=60.0, thickness_nm=1.0), setting(lens)))
    chi = math.pi * lens.wavelength_a * lens.defocus_a * k**2 - math.pi / 2 * lens.cs_a * lens.wavelength_a**3 * k**4
    turns = (chi + math.asin(0.07) + math.radians(shift_deg)) / math.pi
    smooth = np.convolve(found, np.ones(3) / 3, mode="same")
    for zero in (1, 2, 3):
        expected = float(np.interp(zero, turns[: int(np.argmax(turns))], k[: int(np.argmax(turns))]))
        near = np.nonzero(np.abs(k / expected - 1) < 0.12)[0]
        assert k[near[np.argmin(smooth[near])]] == pytest.approx(expected, rel=0.03)


def test_coherence_follows_the_textbook() -> None:
    # 2.7 mm, 0.7 eV at 300 kV without unstable lenses: about 33 Å.
    spread = focal_spread_a(300.0, 2.7, 0.7, 0.0)
    assert spread == pytest.approx(2.7e7 * 0.7 / 2.355 / 3e5 * 1.227, rel=0.02)
    k = np.array([0.1, 0.4])
    temporal = coherence_envelope(k, LENS, Coherence(focal_spread_a=spread))
    assert temporal == pytest.approx(np.exp(-((math.pi * LENS.wavelength_a * spread * k**2) ** 2) / 2))
    spatial = coherence_envelope(k, LENS, Coherence(convergence_rad=1e-4))
    far = coherence_envelope(k, replace(LENS, defocus_a=30000.0), Coherence(convergence_rad=1e-4))
    assert far[0] < spatial[0] < 1


def test_the_envelope_shows_in_the_image() -> None:
    blurred = Coherence(b_a2=120.0)
    k, plain = power(taken(scene(ice_nm=400.0, thickness_nm=1.0), setting()))
    _, damped = power(taken(scene(ice_nm=400.0, thickness_nm=1.0), setting(coherence=blurred)))
    band = (k > 0.14) & (k < 0.18)
    noise = 4000.0
    assert (damped[band].mean() - noise) / (plain[band].mean() - noise) == pytest.approx(
        math.exp(-60 * 0.16**2), rel=0.2
    )


def test_a_tilted_beam_turns_phases_by_coma() -> None:
    tilt = 3e-3
    lens = replace(LENS, tilt_rad=(0.0, tilt))
    plane = HalfPlane((64, 64), PIXEL_A)
    factor = plane.coma(lens, slice(0, 1))[0]
    k = np.fft.rfftfreq(64, PIXEL_A)
    expected = 2 * math.pi * lens.cs_a * lens.wavelength_a**2 * k**3 * tilt
    assert np.unwrap(np.angle(factor)) == pytest.approx(expected, rel=1e-3, abs=1e-3)
    rng = np.random.default_rng(3)
    phase = rng.normal(0, 0.4, (SIDE, SIDE)).astype(np.float32)
    images = [taken(scene(ice_nm=0.0, phase=phase, thickness_nm=1.0), setting(optics)) for optics in (LENS, lens)]
    straight, tilted = (np.fft.rfft2(image)[0] for image in images)
    k = np.fft.rfftfreq(SIDE, PIXEL_A)
    # The row of frequencies along the tilt alone.
    turned = np.angle(tilted * np.conj(straight))
    wanted = 2 * math.pi * lens.cs_a * lens.wavelength_a**2 * k**3 * tilt
    away = np.angle(np.exp(1j * (turned - wanted)))
    band = (k > 0.05) & (k < 0.2)
    assert np.median(np.abs(away[band])) < 0.35
    assert np.median(np.abs(np.angle(np.exp(1j * (turned + wanted))))[band & (k > 0.12)]) > 0.6


def test_critical_doses_are_those_published() -> None:
    assert critical_dose(np.array([0.1, 1 / 3]), 300.0) == pytest.approx([14.14, 4.34], abs=0.02)
    assert critical_dose(np.array([0.2]), 200.0) == pytest.approx(0.8 * critical_dose(np.array([0.2]), 300.0))


def test_late_frames_have_lost_what_is_fine() -> None:
    rng = np.random.default_rng(5)
    phase = rng.normal(0, 0.5, (SIDE, SIDE)).astype(np.float32)
    what = scene(ice_nm=0.0, phase=phase, thickness_nm=1.0, dose_e_per_a2=40.0, electrons=8e4)
    frames = list(render_frames(what, setting(), np.zeros((9, 2)), np.random.default_rng(2), 10**6))
    truth = np.conj(np.fft.rfft2(phase))
    ky, kx = np.fft.fftfreq(SIDE, PIXEL_A)[:, None], np.fft.rfftfreq(SIDE, PIXEL_A)[None, :]
    k = np.hypot(ky, kx)
    first, last = (np.fft.rfft2(np.asarray(frame, float)) * truth for frame in (frames[0], frames[-1]))
    for low, high in ((0.04, 0.06), (0.1, 0.12), (0.2, 0.22)):
        band = (k > low) & (k < high)
        left = np.abs((last[band] * np.sign(first[band].real)).real.mean() / np.abs(first[band].real).mean())
        middle = np.array([(low + high) / 2])
        expected = float(signal_left(middle, 35.0, 40.0, 300.0)[0] / signal_left(middle, 0.0, 5.0, 300.0)[0])
        assert left == pytest.approx(expected, abs=0.04)


def test_stirred_ice_is_another_ice_later_and_carbon_is_not() -> None:
    def alike(what: Scene, band_a: tuple[float, float]) -> float:
        frames = list(render_frames(what, setting(), np.zeros((9, 2)), np.random.default_rng(2), 10**6))
        first, last = (np.fft.rfft2(np.asarray(frame, float) - np.mean(frame)) for frame in (frames[0], frames[-1]))
        k = np.hypot(np.fft.fftfreq(SIDE, PIXEL_A)[:, None], np.fft.rfftfreq(SIDE, PIXEL_A)[None, :])
        band = (k > 1 / band_a[0]) & (k < 1 / band_a[1])
        return float((first * np.conj(last))[band].real.sum() / (np.abs(first) ** 2)[band].sum())

    ice = scene(ice_nm=300.0, thickness_nm=1.0, dose_e_per_a2=40.0, electrons=8e5)
    carbon = replace(ice, ice_nm=0.0, film_nm=100.0)
    assert alike(ice, (5.0, 4.0)) < 0.35
    assert alike(ice, (60.0, 30.0)) > 0.6
    assert alike(carbon, (5.0, 4.0)) > 0.6


def test_power_of_stirred_ice_falls_with_dose_and_frequency() -> None:
    k = np.array([0.02, 0.27])
    assert ice_power_left(k, 0.0, 300.0) == pytest.approx(1.0)
    # 2 π² k² 1.1 / 3 per e⁻/Å²; for long exposures the mean over pairs goes as 2 / x.
    x = 2 * math.pi**2 * 0.27**2 * 1.1 / 3 * 40
    assert ice_power_left(k, 40.0, 300.0)[1] == pytest.approx(2 * (x - 1) / x**2, rel=0.01)


def test_ice_has_its_broad_maximum_and_carbon_a_slope() -> None:
    k = np.linspace(0.02, 0.5, 400)
    ice, carbon = ice_power(k, 200.0), film_power(k, 200.0, gold=False)
    assert 1 / k[np.argmax(ice)] == pytest.approx(3.7, abs=0.1)
    assert ice[np.argmin(np.abs(k - 0.05))] < 0.4 * ice.max()
    assert (np.diff(carbon) < 0).all()


def test_crystalline_ice_has_rings_at_its_spacings() -> None:
    what = scene(ice_nm=60.0, thickness_nm=1.0, spots=spot_weights(np.random.default_rng(4)))
    k, found = power(taken(what, setting()))
    _, glass = power(taken(replace(what, spots=None), setting()))
    for spacing in CRYSTAL_A:
        near = np.abs(k - 1 / spacing) < 0.004
        assert found[near].max() > 3 * glass[near].max()
    between = np.abs(k - 1 / 6.0) < 0.02
    assert found[between].mean() == pytest.approx(glass[between].mean(), rel=0.1)


def test_the_beam_moves_the_specimen_most_at_first() -> None:
    steps = np.mean(
        [
            np.linalg.norm(np.diff(induced_path_px(40, 40.0, 1.0, np.random.default_rng(seed)), axis=0), axis=1)
            for seed in range(40)
        ],
        axis=0,
    )
    assert steps[:3].mean() > 5 * steps[-10:].mean()


def test_gold_is_opaque_and_coarse_grained() -> None:
    carbon = taken(scene(ice_nm=0.0, film_nm=40.0, thickness_nm=40.0), setting())
    gold = taken(scene(ice_nm=0.0, film_nm=40.0, gold=True, thickness_nm=40.0), setting())
    k, grains = power(gold)
    _, smooth = power(carbon)
    coarse = (k > 0.01) & (k < 0.03)
    assert grains[coarse].mean() > 3 * smooth[coarse].mean()
    assert phase_per_nm(300.0, "gold") > 2 * phase_per_nm(300.0, "carbon")
