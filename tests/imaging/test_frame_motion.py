"""Frames are brought together; the path between them is measured in Å."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from epicycle.imaging.motion import align_frames
from epicycle.protocols.errors import BadInput

Make = Callable[..., Any]


def movie(
    rng: np.random.Generator,
    still: NDArray[np.float32],
    path_px: Sequence[tuple[float, float]],
    electrons: float,
    contrast: float = 0.12,
) -> NDArray[np.int16]:
    """Counts of one scene that moves along a path, row and col px."""
    wave = np.fft.fft2((still - still.mean()) / still.std())
    ky, kx = np.fft.fftfreq(still.shape[0])[:, None], np.fft.fftfreq(still.shape[1])[None, :]
    frames = []
    for row, col in path_px:
        moved = np.fft.ifft2(wave * np.exp(-2j * np.pi * (ky * row + kx * col))).real
        frames.append(rng.poisson(np.clip(electrons * (1 + contrast * moved), 0, None)))
    return np.array(frames, np.int16)


@pytest.fixture
def still(micrograph: Make) -> NDArray[np.float32]:
    return np.asarray(micrograph(np.random.default_rng(1), 512, 1.2, 300, 1.5, snr=1e4))


def test_shifts_are_found_to_a_tenth_of_a_pixel(still: NDArray[np.float32]) -> None:
    path = [(0.0, 0.0), (3.3, -1.4), (4.6, -2.5), (5.1, -2.7)]
    summed, motion = align_frames(movie(np.random.default_rng(2), still, path, 10.0), 1.2)
    np.testing.assert_allclose(motion.shifts_px, path, atol=0.1)
    steps = np.hypot(*np.diff(np.array(path), axis=0).T)
    assert motion.total_a == pytest.approx(1.2 * steps.sum(), rel=0.05)
    assert summed.mean() == pytest.approx(40.0, rel=0.02)


def test_forty_frames_of_one_electron_each(still: NDArray[np.float32]) -> None:
    at = np.arange(40)
    path = np.stack([6 * (1 - np.exp(-at / 8)), -0.05 * at], axis=1)
    _, motion = align_frames(movie(np.random.default_rng(3), still, [(r, c) for r, c in path], 1.0), 1.2)
    assert np.sqrt(np.mean((np.array(motion.shifts_px) - path) ** 2)) < 0.35


def test_alignment_brings_back_what_the_motion_blurred(still: NDArray[np.float32]) -> None:
    path = [(0.0, 0.0), (4.0, 3.0), (7.5, 5.5), (9.0, 7.0)]
    rng = np.random.default_rng(4)
    moved, stood = movie(rng, still, path, 10.0), movie(rng, still, [(0.0, 0.0)] * 4, 10.0)
    summed, _ = align_frames(moved, 1.2)
    best = np.corrcoef(stood.sum(axis=0).ravel(), still.ravel())[0, 1]
    assert np.corrcoef(summed.ravel(), still.ravel())[0, 1] > 0.97 * best
    assert np.corrcoef(moved.sum(axis=0).ravel(), still.ravel())[0, 1] < 0.7 * best


def test_hot_pixels_do_not_hold_the_frames(still: NDArray[np.float32]) -> None:
    path = [(0.0, 0.0), (5.0, 0.0), (8.0, 0.0)]
    rng = np.random.default_rng(5)
    frames = movie(rng, still, path, 10.0)
    at = rng.integers(0, 512, (60, 2))
    frames[:, at[:, 0], at[:, 1]] = 3000
    np.testing.assert_allclose(align_frames(frames, 1.2)[1].shifts_px, path, atol=0.2)


@pytest.mark.parametrize("count", [2, 4, 30])
def test_noise_alone_does_not_move(count: int) -> None:
    frames = np.random.default_rng(count).poisson(5, (count, 256, 256))
    _, motion = align_frames(frames, 1.0)
    assert motion.total_a < 5.0


def test_no_frame_is_sought_beyond_the_limit(still: NDArray[np.float32]) -> None:
    frames = movie(np.random.default_rng(8), still, [(0.0, 0.0), (1.0, 0.0), (30.0, 0.0)], 20.0)
    _, motion = align_frames(frames, 1.2, max_shift_a=12.0)
    assert np.abs(np.array(motion.shifts_px)).max() < 25


def test_one_frame_and_blank_frames_stand_still() -> None:
    single = np.random.default_rng(7).poisson(5, (1, 64, 64))
    summed, motion = align_frames(single, 1.0)
    np.testing.assert_array_equal(summed, single[0])
    assert (motion.shifts_px, motion.total_a) == (((0.0, 0.0),), 0.0)
    summed, motion = align_frames(np.full((3, 64, 64), 2.0, np.float32), 1.0)
    np.testing.assert_allclose(summed, 6.0)
    assert motion.total_a == 0.0


def test_what_is_no_movie_is_refused() -> None:
    with pytest.raises(BadInput, match="frames × rows × columns"):
        align_frames(np.zeros((64, 64)), 1.0)
    with pytest.raises(BadInput, match="pixel size"):
        align_frames(np.zeros((2, 64, 64)), 0.0)
