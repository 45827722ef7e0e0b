"""How a specimen moves while it is exposed, and how pictures of it are moved: in Fourier space or by short kernels."""

import math
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.float32]
Floats = NDArray[np.float64]

SUBSTEPS = 5
"""Most positions into which the movement during one frame is cut."""

TAPS, FAITHFUL_TO = 11, 0.9
"""Length of the kernel that moves a picture by part of a pixel, and the part of Nyquist's frequency it is made for."""


def induced_path_px(frames: int, dose: float, pixel_size_a: float, rng: np.random.Generator) -> Floats:
    """Draw the movement that the beam itself causes: fast at first, one way, with some wandering; (frames + 1, 2)."""
    turn = rng.uniform(0, 2 * math.pi)
    reach = 14.0 * math.exp(0.5 * rng.standard_normal())
    given = np.linspace(0, dose, frames + 1)
    along = reach * (1 - np.exp(-given / 6.0)) + 0.05 * given
    wander = np.concatenate([[[0.0, 0.0]], np.cumsum(rng.normal(0, 1.2 / math.sqrt(frames), (frames, 2)), axis=0)])
    return np.asarray((along[:, None] * [math.sin(turn), math.cos(turn)] + wander) / pixel_size_a)


def stations(path_px: Floats) -> list[Floats]:
    """Cut the way during each frame into places where the specimen stands for a moment, (steps, 2) for each frame.

    Parameters
    ----------
    path_px
        Where the specimen stands at the beginning of each frame and at the end of the last, (row, col); shape
        (frames + 1, 2).
    """
    found = []
    for start, end in pairwise(path_px):
        steps = int(min(max(math.ceil(2 * math.dist(start, end)), 1), SUBSTEPS))
        found.append(start + (end - start) * ((np.arange(steps)[:, None] + 0.5) / steps))
    return found


def smear(places_px: list[Floats], fy: Floats, fx: Floats) -> NDArray[np.complex64]:
    """Give the mean of the shifts by all stations of some frames as a factor of the spectrum.

    ``fy`` (rows,) and ``fx`` (cols,) are frequencies in cycles per pixel; each frame counts the same.
    """
    every = np.concatenate(places_px)
    weight = np.concatenate([np.full(len(frame), 1 / len(frame) / len(places_px)) for frame in places_px])
    down = (np.exp(-2j * math.pi * every[:, 0, None] * fy) * weight[:, None]).astype(np.complex64)
    right = np.exp(-2j * math.pi * every[:, 1, None] * fx).astype(np.complex64)
    # No matrix product of a library: its sums come in another order with another number of threads.
    return np.asarray(np.einsum("sy,sx->yx", down, right, optimize=False))


def moved(padded: Layer, margin: int, place_px: Floats) -> Layer:
    """Give a picture moved by (row, col) px.

    ``padded`` has ``margin`` px more on every side than what is answered; no move may be further than that
    less half the kernel.
    """
    rows, cols = (side - 2 * margin for side in padded.shape)
    whole = np.rint(place_px).astype(int)
    down, right = (_kernel(float(part)) for part in place_px - whole)
    top, left = margin - int(whole[0]), margin - int(whole[1])
    reach = TAPS // 2
    near = padded[top - reach : top + rows + reach, left - reach : left + cols + reach]
    out = cv2.sepFilter2D(near, -1, right, down, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(out[reach : reach + rows, reach : reach + cols])


def _kernel(part: float) -> Layer:
    """Give the taps, for correlation, that move by ``part`` of a pixel: best in least squares up to `FAITHFUL_TO`."""
    taps = np.arange(TAPS) - TAPS // 2
    gram = FAITHFUL_TO * np.sinc(FAITHFUL_TO * (taps[:, None] - taps[None, :]))
    wanted = FAITHFUL_TO * np.sinc(FAITHFUL_TO * (taps + part))
    found = np.linalg.solve(gram + 1e-6 * np.eye(TAPS), wanted)
    return np.asarray(found / found.sum(), np.float32)
