"""One exposure's file in, everything known about it out; it can cross to a worker process and back."""

import math
import pickle
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.files.mrc import BadImage, write_mrc
from epicycle.imaging.recorded import judge_recorded
from epicycle.imaging.records import MicrographVerdict
from epicycle.imaging.verdict import judge

Make = Callable[..., Any]
JUDGE = partial(judge, voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.07, mean_free_path_nm=300.0)


def exposed(rng: np.random.Generator, image: NDArray[np.float32], electrons: float, frames: int) -> NDArray[np.int16]:
    """Counts of a still scene whose mean is ``electrons`` over all frames."""
    contrast = 0.15 * (image - image.mean()) / image.std()
    expected = np.clip(electrons / frames * (1 + contrast), 0, None)
    return rng.poisson(np.repeat(expected[None], frames, axis=0)).astype(np.int16)


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[NDArray[Any]], Path]:
    def write(pixels: NDArray[Any]) -> Path:
        path = tmp_path / "exposure.mrc"
        write_mrc(path, pixels, 1.2)
        return path

    return write


def picture(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))


def test_a_good_exposure_is_known_through_and_through(micrograph: Make, on_disk: Make) -> None:
    rng = np.random.default_rng(1)
    frames = exposed(rng, micrograph(rng, 1024, 1.2, 300, 1.4, astigmatism_a=300, angle_deg=10, snr=100), 36.0, 4)
    path = on_disk(frames)
    verdict = JUDGE(path, pixel_size_a=1.2, expected_counts=45.0, vacuum_counts=45.0)
    assert verdict.flags == ()
    assert verdict.ctf is not None
    assert verdict.ctf.defocus_um == pytest.approx(1.4, rel=0.01)
    assert verdict.mean_counts == pytest.approx(36.0, rel=0.01)
    assert verdict.ice_nm == pytest.approx(300 * math.log(45 / 36), rel=0.05)
    assert verdict.motion is not None
    assert verdict.motion.total_a < 3
    assert max(picture(verdict.micrograph_png).shape) == 512
    assert picture(verdict.spectrum_png).shape == (384, 384)
    assert pickle.loads(pickle.dumps(verdict)) == verdict
    assert pickle.loads(pickle.dumps(JUDGE)).func is judge


def test_the_pictures_show_the_rings_and_the_model_beside_them(micrograph: Make, on_disk: Make) -> None:
    """Left half data, right half model: mirrored, they rise and fall together."""
    rng = np.random.default_rng(2)
    path = on_disk(exposed(rng, micrograph(rng, 1024, 1.2, 300, 1.0, snr=1e4), 400.0, 1))
    verdict = JUDGE(path, pixel_size_a=1.2, expected_counts=None, vacuum_counts=None)
    shown = picture(verdict.spectrum_png).astype(np.float64)
    rows, cols = np.mgrid[-192:192, -192:192]
    ring = np.hypot(rows, cols).astype(int)
    band = (ring > 25) & (ring < 110) & (np.abs(rows) > 8) & (np.abs(cols) > 8)
    left, right = (
        np.bincount(ring[band & side], shown[band & side], 110)[25:]
        / np.maximum(np.bincount(ring[band & side], minlength=110)[25:], 1)
        for side in (cols < 0, cols > 0)
    )
    assert np.corrcoef(left, right)[0, 1] > 0.6


def test_a_single_image_has_no_motion(micrograph: Make, on_disk: Make) -> None:
    rng = np.random.default_rng(3)
    path = on_disk(exposed(rng, micrograph(rng, 512, 1.2, 300, 1.4, snr=100), 40.0, 1)[0])
    verdict = JUDGE(path, pixel_size_a=1.2, expected_counts=None, vacuum_counts=None)
    assert (verdict.motion, verdict.ice_nm) == (None, None)
    assert verdict.ctf is not None
    assert verdict.flags == ()


@pytest.mark.parametrize(("mean", "expected", "black"), [(0.2, 40.0, True), (4.0, 40.0, False), (0.0, None, True)])
def test_no_beam_is_told_by_the_counts(on_disk: Make, mean: float, expected: float | None, black: bool) -> None:
    path = on_disk(np.random.default_rng(4).poisson(mean / 2, (2, 256, 256)).astype(np.int16))
    verdict = JUDGE(path, pixel_size_a=1.2, expected_counts=expected, vacuum_counts=expected)
    assert ("black" in verdict.flags) is black
    if black:
        assert verdict.ctf is None
        assert verdict.ice_nm is None
        assert picture(verdict.micrograph_png).shape == (256, 256)


def test_no_rings_are_flagged(on_disk: Make) -> None:
    path = on_disk(np.random.default_rng(5).poisson(10, (2, 512, 512)).astype(np.int16))
    verdict = JUDGE(path, pixel_size_a=1.2, expected_counts=20.0, vacuum_counts=20.0)
    assert verdict.flags == ("no-fit",)
    assert verdict.ctf is not None
    assert verdict.ctf.confidence < 0.3


def test_a_stamp_is_judged_as_far_as_it_goes(on_disk: Make) -> None:
    path = on_disk(np.random.default_rng(6).poisson(10, (2, 32, 40)).astype(np.int16))
    verdict = JUDGE(path, pixel_size_a=1.2, expected_counts=20.0, vacuum_counts=20.0)
    assert verdict.flags == ("too-small",)
    assert (verdict.ctf, verdict.spectrum_png) == (None, b"")


def test_a_damaged_file_is_the_file_s_own_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.mrc"
    path.write_bytes(b"\0" * 900)
    with pytest.raises(BadImage, match=r"cut\.mrc"):
        JUDGE(path, pixel_size_a=1.2, expected_counts=None, vacuum_counts=None)


def test_four_frames_of_2k_in_little_time(micrograph: Make, on_disk: Make) -> None:
    rng = np.random.default_rng(7)
    path = on_disk(exposed(rng, micrograph(rng, 2048, 1.2, 300, 1.4, snr=100), 40.0, 4))
    begun = time.process_time()
    JUDGE(path, pixel_size_a=1.2, expected_counts=50.0, vacuum_counts=50.0)
    assert time.process_time() - begun < 3.0


def test_a_recorded_fit_is_taken_as_it_was() -> None:
    verdict = judge_recorded({"ctf_max_res": 3.7, "ctf_confidence": 0.91})
    assert verdict.ctf is not None
    assert (verdict.ctf.fit_resolution_a, verdict.ctf.confidence) == (3.7, 0.91)
    assert math.isnan(verdict.ctf.defocus_um)
    assert verdict.flags == ()
    assert (verdict.motion, verdict.ice_nm, verdict.micrograph_png) == (None, None, b"")


@pytest.mark.parametrize("details", [{}, {"ctf_max_res": None}, {"ctf_max_res": 100000.0}, {"ctf_max_res": "none"}])
def test_a_recorded_failure_is_no_fit(details: dict[str, Any]) -> None:
    verdict: MicrographVerdict = judge_recorded(details)
    assert verdict.ctf is None
    assert verdict.flags == ("no-fit",)


def test_a_recorded_confidence_beyond_its_range_is_brought_back() -> None:
    verdict = judge_recorded({"ctf_max_res": "4.5", "ctf_confidence": -0.02})
    assert verdict.ctf is not None
    assert verdict.ctf.confidence == 0.0
