"""Sums and movies of one exposure agree; frames by groups are as good as frames rendered each; paths are found."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from epicycle.hardware.simulator.instrument.profile import load_profile
from epicycle.hardware.simulator.pictures.beam_motion import TAPS, induced_path_px, moved, smear, stations
from epicycle.hardware.simulator.pictures.exposure_scene import Scene, Setting
from epicycle.hardware.simulator.pictures.lens import Aberrations, Coherence, wavelength_a
from epicycle.hardware.simulator.pictures.particles import particle_views, place_particles
from epicycle.hardware.simulator.pictures.render_exposure import render_frames, render_sum
from epicycle.imaging.motion import align_frames

SIDE, PIXEL_A, FRAMES = 640, 1.2, 20
LENS = Aberrations(wavelength_a(300.0), 2.7e7, 0.07, 15000.0, 300.0, 0.5)
SETTING = Setting(
    LENS, Coherence(40.0, 2e-5, 15.0), load_profile("collection-300kv").camera, 300.0, PIXEL_A, (SIDE, SIDE)
)


def scene(**changes: Any) -> Scene:
    rng = np.random.default_rng(11)
    views = particle_views(120.0, PIXEL_A, 5, 300.0)
    phase = place_particles((SIDE, SIDE), rng.uniform(0, SIDE, (40, 2)), views, np.arange(40))
    return replace(Scene(40.0, 0.0, False, phase, 50.0, 40.0, 40.0, 4.0), **changes)


def path(seed: int = 2) -> np.ndarray:
    return induced_path_px(FRAMES, 40.0, PIXEL_A, np.random.default_rng(seed))


def movie(what: Scene, seed: int, way: np.ndarray | None = None, **options: Any) -> np.ndarray:
    rendered = render_frames(what, SETTING, path() if way is None else way, np.random.default_rng(seed), 127, **options)
    return np.array([np.asarray(frame, np.float32) for frame in rendered])


def power(image: np.ndarray, bands: int = 16) -> np.ndarray:
    """Mean power in bands up to Nyquist's frequency."""
    wave = np.abs(np.fft.fft2(image - image.mean())) ** 2 / image.size
    at = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) for side in image.shape], indexing="ij"))
    ring = np.minimum((at * 2 * bands).astype(int), bands)
    return np.asarray((np.bincount(ring.ravel(), wave.ravel()) / np.bincount(ring.ravel()))[:bands])


def test_the_sum_at_once_is_like_the_sum_of_the_frames() -> None:
    ours = render_sum(scene(), SETTING, path(), np.random.default_rng(1), 30000).astype(float)
    frames = movie(scene(), 1).sum(axis=0)
    assert ours.mean() == pytest.approx(frames.mean(), rel=0.002)
    assert power(ours)[1:] == pytest.approx(power(frames)[1:], rel=0.06)
    noise = ours.mean()
    assert power(ours)[1] > 1.2 * noise


def test_frames_by_groups_are_as_good_as_frames_one_by_one() -> None:
    """The signal of the aligned sum, up to 0.8 of Nyquist's frequency, loses no more than a few percent."""
    bright = scene(electrons=4000.0)
    signal = {}
    for name, groups in (("grouped", 5), ("each", FRAMES)):
        way = path()
        frames = render_frames(bright, SETTING, way, np.random.default_rng(4), 30000, groups)
        middles = [place.mean(axis=0) for place in stations(way)]
        total = np.zeros((SIDE, SIDE // 2 + 1), complex)
        fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
        for frame, (row, col) in zip(frames, middles, strict=True):
            total += np.fft.rfft2(np.asarray(frame, float)) * np.exp(2j * np.pi * (fy * row + fx * col))
        signal[name] = power(np.fft.irfft2(total, s=(SIDE, SIDE)))
    noise = 4000.0 / (1 + 1000.0 * SETTING.camera.coincidence_s)
    for band in range(1, 13):
        grouped, each = (signal[name][band] for name in ("grouped", "each"))
        assert grouped / noise == pytest.approx(each / noise, rel=0.08), band


def test_the_planted_path_is_found() -> None:
    way = path()
    middles = np.array([place.mean(axis=0) for place in stations(way)])
    off = []
    for seed in range(2, 6):
        _, motion = align_frames(movie(scene(), seed, way), PIXEL_A)
        apart = np.array(motion.shifts_px) - (middles - middles[0])
        off.append(apart - apart.mean(axis=0))
    assert np.sqrt(np.mean(np.square(off))) < 0.3


def test_a_kernel_moves_by_any_part_of_a_pixel() -> None:
    rng = np.random.default_rng(0)
    side, margin = 256, TAPS + 8
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    wave = np.fft.rfft2(rng.standard_normal((side, side))) * (np.hypot(fy, fx) < 0.4)
    picture = np.fft.irfft2(wave, s=(side, side))
    padded = np.pad(picture, margin, mode="wrap").astype(np.float32)
    for place in ([0.5, -0.5], [3.25, -6.7], [0.0, 0.1]):
        exact = np.fft.irfft2(wave * np.exp(-2j * np.pi * (fy * place[0] + fx * place[1])), s=(side, side))
        off = moved(padded, margin, np.array(place)) - exact
        assert off.std() < 0.04 * exact.std()


def test_smear_is_the_mean_of_shifts() -> None:
    fy, fx = np.array([0.0, 0.1]), np.array([0.0, 0.2])
    found = smear([np.array([[1.0, 0.0]]), np.array([[0.0, 2.0], [0.0, 3.0]])], fy, fx)
    wanted = np.exp(-2j * np.pi * 0.1) / 2 + np.exp(-2j * np.pi * 0.2 * 2.5) * np.cos(np.pi * 0.2) / 2
    assert found[0, 0] == pytest.approx(1.0)
    assert found[1, 0] == pytest.approx((np.exp(-2j * np.pi * 0.1) + 1) / 2)
    assert found[0, 1] == pytest.approx(wanted - np.exp(-2j * np.pi * 0.1) / 2 + 0.5)


SCRIPT = """
import hashlib, sys
import cv2, numpy as np
cv2.setNumThreads(int(sys.argv[1]))
sys.path.insert(0, sys.argv[2])
import test_simulator_exposure_movies as here
way = here.path() * 3
total = here.render_sum(here.scene(), here.SETTING, way, np.random.default_rng(3), 30000)
frames = here.movie(here.scene(), 3, way[:5])
print(*(hashlib.sha256(one.tobytes()).hexdigest() for one in (total, frames)))
"""


def test_bytes_are_equal_in_other_processes_with_other_threads() -> None:
    seen = set()
    for threads in ("1", "4"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, threads, os.path.dirname(__file__)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seen.add(done.stdout)
    assert len(seen) == 1
