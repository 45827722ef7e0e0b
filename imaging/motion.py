"""How the specimen moved while it was exposed: frames aligned by cross-correlation with the sum of the others.

Frames are averaged down, low-passed as radiation damage and noise demand, and each is correlated with the sum of all
the others at their present shifts; this is repeated until nothing moves. Full-size frames are shifted in Fourier space
and summed once. Whole-frame motion only.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from ..hardware.records import Pixels
from ..protocols.errors import BadInput
from .pixels import clipped, shrunk
from .records import Motion

MEASURED_PX = 1024
"""Frames are averaged down until their longer side is at most this."""

B_FACTOR_A2 = 500.0
"""Low-pass applied to the correlation: exp(-B k² / 4)."""

COARSEST_A = 400.0
"""Slower variations (illumination, ice gradient) are taken off before the correlation."""

CLIP_SIGMA = 4.0
"""Pixels beyond this many deviations are clipped, after averaging."""

SURE_SIGMA = 5.0
"""Deviations of the correlation that its peak must reach; the highest of chance is about 4.5."""

ROUNDS = 6
"""Most rounds of alignment; usually three are enough."""

SETTLED_PX = 0.02
"""Alignment ends when no shift changes by more than this, in averaged pixels."""

STILL_PX = 0.05
"""Frames shifted by less than this are summed as they are."""


def align_frames(frames: NDArray[np.generic], pixel_size_a: float, max_shift_a: float = 100.0) -> tuple[Pixels, Motion]:
    """Align whole frames and sum them.

    Parameters
    ----------
    frames
        Shape (frames, rows, cols), any real dtype.
    pixel_size_a
        Å per pixel.
    max_shift_a
        Farthest a frame may lie from the mean of all.

    Returns
    -------
    pixels
        Sum of the aligned frames in the position of the first, float32; a shift wraps what leaves at one side to the
        other.
    motion
        ``shifts_px[i]``: a feature at p in the first frame stands at p + shift in frame i. Zero for a single
        frame, and for frames in which nothing can be followed.

    Raises
    ------
    BadInput
        Not a stack of frames, or a pixel size that is no positive number.
    """
    if frames.ndim != 3 or frames.shape[0] == 0:
        raise BadInput(f"Frames of shape {frames.shape} cannot be aligned; give frames × rows × columns.")
    if not (math.isfinite(pixel_size_a) and pixel_size_a > 0):
        raise BadInput(f"A pixel size of {pixel_size_a} Å cannot be; give the true one in Å.")
    if len(frames) == 1:
        return np.asarray(frames[0], np.float32), Motion(((0.0, 0.0),), 0.0)
    factor = max(1, -(-max(frames.shape[1:]) // MEASURED_PX))
    shifts = _measure(frames, factor, pixel_size_a, max_shift_a) * factor
    shifts -= shifts[0]
    motion = Motion(tuple((float(row), float(col)) for row, col in shifts), _length(shifts) * pixel_size_a)
    return _sum_shifted(frames, -shifts), motion


def _length(path: NDArray[np.float64]) -> float:
    """Length of a path smoothed over a few frames of many, so that the jitter of the measurement does not add up."""
    smooth = ndimage.gaussian_filter1d(path, len(path) / 24, axis=0, mode="nearest") if len(path) >= 8 else path
    return float(np.hypot(*np.diff(smooth, axis=0).T).sum())


def _measure(frames: NDArray[np.generic], factor: int, pixel_size_a: float, max_shift_a: float) -> NDArray[np.float64]:
    """Displacement of every frame's content in averaged pixels, shape (frames, 2), up to a common shift."""
    # Hot pixels stand still and would hold the frames in place: they are clipped.
    small = [clipped(shrunk(np.asarray(frame, np.float32), factor), CLIP_SIGMA) for frame in frames]
    shape = small[0].shape
    waves = [fft.rfft2(frame) for frame in small]
    pixel_a = pixel_size_a * factor
    ky, kx = fft.fftfreq(shape[0]).astype(np.float32)[:, None], fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    k2 = (ky * ky + kx * kx) / np.float32(pixel_a**2)
    weight = np.exp(-B_FACTOR_A2 / 4 * k2) * (1 - np.exp(-k2 * np.float32(COARSEST_A / 4) ** 2))
    reach = max(2, min(int(max_shift_a / pixel_a), min(shape) // 4))
    shifts = np.zeros((len(waves), 2))
    for _ in range(ROUNDS):
        moved = [wave * _ramp(ky, kx, -shift) for wave, shift in zip(waves, shifts, strict=True)]
        total = np.sum(moved, axis=0)
        change = np.array([_peak((total - own) * weight, own, shape, reach) for own in moved])
        change -= change.mean(axis=0)
        shifts += change
        if np.abs(change).max() < SETTLED_PX:
            break
    return shifts


def _ramp(ky: Pixels, kx: Pixels, shift: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Fourier factor that moves content by ``shift`` (row, col) px."""
    rows = np.exp(np.float32(-2 * np.pi * shift[0]) * 1j * ky).astype(np.complex64)
    cols = np.exp(np.float32(-2 * np.pi * shift[1]) * 1j * kx).astype(np.complex64)
    return np.asarray(rows * cols)


def _peak(
    reference: NDArray[np.complex64], own: NDArray[np.complex64], shape: tuple[int, ...], reach: int
) -> tuple[float, float]:
    """How far ``own``'s content stands from the reference's: the correlation's peak within ``reach``, sub-pixel.

    Nothing where no peak stands out: a frame without contrast keeps its place.
    """
    score = fft.irfft2(own * np.conj(reference), shape)
    near = np.roll(score, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, col = (int(i) for i in np.unravel_index(int(np.argmax(near)), near.shape))
    if near[row, col] <= SURE_SIGMA * float(np.std(score)):
        return 0.0, 0.0
    return row - reach + _vertex(near[:, col], row), col - reach + _vertex(near[row], col)


def _vertex(line: Pixels, at: int) -> float:
    """Offset of a parabola's top from the highest sample."""
    if not 0 < at < len(line) - 1:
        return 0.0
    below, here, above = (float(v) for v in line[at - 1 : at + 2])
    bend = below - 2 * here + above
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (below - above) / bend))


def _sum_shifted(frames: NDArray[np.generic], moves: NDArray[np.float64]) -> Pixels:
    """Sum frames moved by ``moves`` px, in Fourier space where the move is no whole number of pixels."""
    shape = frames.shape[1:]
    total = np.zeros(shape, np.float32)
    wave: NDArray[np.complex64] | None = None
    ky, kx = fft.fftfreq(shape[0]).astype(np.float32)[:, None], fft.rfftfreq(shape[1]).astype(np.float32)[None, :]
    for frame, move in zip(frames, moves, strict=True):
        whole = np.round(move)
        if np.abs(move - whole).max() < STILL_PX:
            total += np.roll(np.asarray(frame, np.float32), whole.astype(int), (0, 1))
            continue
        moved = np.asarray(fft.rfft2(np.asarray(frame, np.float32)) * _ramp(ky, kx, move), np.complex64)
        wave = moved if wave is None else np.add(wave, moved, out=wave)
    if wave is not None:
        total += fft.irfft2(wave, shape)
    return total
