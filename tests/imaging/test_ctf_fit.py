"""Planted defocus and astigmatism come back; noise is told from rings; a poor fit says so."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from epicycle.imaging.ctf import fit_ctf
from epicycle.imaging.records import CtfFit
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]


def fit(image: np.ndarray, pixel_a: float, kv: float = 300.0) -> CtfFit:
    return fit_ctf(image.astype(np.float32), pixel_a, kv, 2.7, 0.07)


def angle_error_deg(found: float, planted: float) -> float:
    return abs((found - planted + 90) % 180 - 90)


@pytest.mark.parametrize("kv", [200, 300])
@pytest.mark.parametrize("pixel_a", [0.8, 1.3, 2.0])
@pytest.mark.parametrize("defocus_um", [0.8, 1.6, 3.0])
def test_defocus_and_astigmatism_come_back(micrograph: Make, kv: int, pixel_a: float, defocus_um: float) -> None:
    rng = np.random.default_rng([kv, int(10 * pixel_a), int(10 * defocus_um)])
    strength, angle = float(rng.uniform(0, 1000)), float(rng.uniform(-90, 90))
    image = micrograph(rng, 1024, pixel_a, kv, defocus_um, astigmatism_a=strength, angle_deg=angle, snr=0.15)
    found = fit(image, pixel_a, kv)
    assert found.defocus_um == pytest.approx(defocus_um, rel=0.01)
    assert found.astigmatism_a == pytest.approx(strength, abs=150)
    assert strength < 500 or angle_error_deg(found.angle_deg, angle) < 8
    assert found.confidence > 0.8
    assert 2 * pixel_a <= found.fit_resolution_a < 7


@pytest.mark.parametrize("snr", [0.5, 0.1, 0.05])
def test_many_pixels_make_up_for_noise(micrograph: Make, snr: float) -> None:
    rng = np.random.default_rng(int(snr * 100))
    image = micrograph(rng, 2048, 1.1, 200, 1.4, astigmatism_a=600, angle_deg=-40, snr=snr)
    begun = time.process_time()
    found = fit(image, 1.1, 200)
    assert time.process_time() - begun < 1.5
    assert found.defocus_um == pytest.approx(1.4, rel=0.005)
    assert found.astigmatism_a == pytest.approx(600, abs=100)
    assert angle_error_deg(found.angle_deg, -40) < 6


def test_strong_astigmatism_is_followed(micrograph: Make) -> None:
    image = micrograph(np.random.default_rng(1), 1024, 1.2, 300, 1.8, astigmatism_a=4000, angle_deg=65, snr=0.3)
    found = fit(image, 1.2)
    assert (found.defocus_um, found.astigmatism_a) == (pytest.approx(1.8, rel=0.02), pytest.approx(4000, rel=0.05))
    assert angle_error_deg(found.angle_deg, 65) < 2


@pytest.mark.parametrize("defocus_um", [0.4, 5.0])
def test_the_ends_of_the_range(micrograph: Make, defocus_um: float) -> None:
    found = fit(micrograph(np.random.default_rng(2), 1024, 1.4, 300, defocus_um, snr=0.3), 1.4)
    assert found.defocus_um == pytest.approx(defocus_um, rel=0.02)


def test_the_fit_ends_where_the_envelope_does(micrograph: Make) -> None:
    reached = [
        fit(micrograph(np.random.default_rng(3), 1024, 1.2, 300, 1.2, snr=0.1, b_a2=b), 1.2).fit_resolution_a
        for b in (40, 150, 600)
    ]
    assert reached[0] < reached[1] < reached[2]
    assert reached[0] >= 2.4


@pytest.mark.parametrize("kind", ["white", "coloured", "particles", "edge"])
@pytest.mark.parametrize("side", [256, 512, 1024])
def test_noise_without_rings_is_told(kind: str, side: int) -> None:
    rng = np.random.default_rng(side + len(kind))
    image = rng.normal(size=(side, side))
    if kind == "coloured":
        image = 0.3 * image + gaussian_filter(image, 1.5)
    if kind == "particles":
        image += 3 * gaussian_filter((rng.random((side, side)) < 2e-4) * 500.0, 5)
    if kind == "edge":
        image[:, : side // 3] -= 5
    found = fit(image, 1.2)
    assert found.confidence < 0.3
    assert np.isfinite([found.defocus_um, found.astigmatism_a, found.angle_deg, found.fit_resolution_a]).all()


@pytest.mark.parametrize("trouble", ["crystals", "film edge", "camera lines", "hot pixels", "gradient"])
def test_what_real_micrographs_hold_is_borne(micrograph: Make, trouble: str) -> None:
    rng = np.random.default_rng(len(trouble))
    image = micrograph(rng, 1024, 1.1, 300, 1.3, astigmatism_a=400, angle_deg=20, snr=0.1).astype(np.float64)
    rows, cols = np.mgrid[:1024, :1024]
    if trouble == "crystals":
        k = np.hypot(np.fft.fftfreq(1024, 1.1)[:, None], np.fft.fftfreq(1024, 1.1)[None, :])
        peak = sum(np.exp(-(((k - 1 / a) / 0.004) ** 2)) for a in (3.9, 3.67, 3.44))
        image += 20 * np.fft.ifft2(np.fft.fft2(rng.normal(size=k.shape)) * peak).real
    if trouble == "film edge":
        image = np.where(0.9 * cols + 0.3 * rows < 350, rng.normal(10, 6, image.shape), image)
    if trouble == "camera lines":
        image[::64] += 40
        image += 5 * np.sin(0.7 * cols)
    if trouble == "hot pixels":
        image.ravel()[rng.integers(0, image.size, 200)] = 1e5
        image[500, 500] = np.nan
    if trouble == "gradient":
        image += 0.3 * rows + 3 * ((rows - 500) / 100) ** 2
    found = fit(image, 1.1)
    assert found.defocus_um == pytest.approx(1.3, rel=0.01)
    assert found.astigmatism_a == pytest.approx(400, abs=200)
    assert found.confidence > 0.7


@pytest.mark.parametrize("shape", [(256, 256), (64, 64), (100, 900), (333, 517)])
def test_few_pixels_do_not_crash_and_do_not_boast(micrograph: Make, shape: tuple[int, int]) -> None:
    image = micrograph(np.random.default_rng(4), 1024, 1.2, 300, 1.2, snr=0.1)[: shape[0], : shape[1]]
    found = fit(image, 1.2)
    assert found.confidence < 0.5 or found.defocus_um == pytest.approx(1.2, rel=0.05)


@pytest.mark.parametrize("image", [np.zeros((256, 256)), np.full((300, 300), 5.0), np.full((128, 128), np.nan)])
def test_blank_images_have_no_fit(image: np.ndarray) -> None:
    found = fit(image, 1.0)
    assert (found.confidence, found.fit_resolution_a) == (0.0, 30.0)


def test_a_real_micrograph_is_borne_at_any_pixel_size(real_image: Make) -> None:
    image = real_image("micrograph_07jan05b_binned")
    for pixel_a in (1.5, 6.5, 13.0):
        found = fit_ctf(image, pixel_a, 120, 2.0, 0.1)
        assert 0 <= found.confidence <= 1
        assert found.fit_resolution_a >= 2 * pixel_a or found.confidence < 0.1


def test_impossible_arguments_are_refused() -> None:
    image = np.zeros((128, 128), np.float32)
    with pytest.raises(BadInput, match="too small"):
        fit_ctf(image[:50], 1.0, 300, 2.7, 0.07)
    with pytest.raises(BadInput, match="pixel size"):
        fit_ctf(image, 0.0, 300, 2.7, 0.07)
    with pytest.raises(BadInput, match="defocus range"):
        fit_ctf(image, 1.0, 300, 2.7, 0.07, (3.0, 1.0))
