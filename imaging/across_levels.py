"""Find a finer view inside a coarser one by normalised correlation: where the instrument really stood.

Used when a finer view holds too little of a lattice to recognise it, and on films without any.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..hardware.records import Affine, Image

_LEAST_PX = 12
_FINEST_PX = 256


@dataclass(frozen=True, slots=True)
class Offset:
    """By how much features of the finer view stand beside where its frame says, in stage µm.

    Attributes
    ----------
    confidence
        Correlation at that place, 0..1.
    lead
        By how much it is above that of the next best place: on a lattice a step away is nearly as good.
    """

    x_um: float
    y_um: float
    confidence: float
    lead: float


def offset_between(coarse: Image, fine: Image, limit_um: float) -> Offset | None:
    """Measure the offset of ``fine``'s frame against ``coarse``'s.

    Parameters
    ----------
    coarse, fine
        Views with pixel size and ``image_to_stage``; the coarse one must hold the fine one's field.
    limit_um
        Longest offset looked for.

    Returns
    -------
    Offset or None
        None when the views do not overlap enough, or are too plain to be compared.
    """
    if None in (coarse.pixel_size_a, fine.pixel_size_a, coarse.image_to_stage, fine.image_to_stage):
        return None
    assert coarse.pixel_size_a is not None
    assert fine.pixel_size_a is not None
    step = max(coarse.pixel_size_a / fine.pixel_size_a, max(fine.pixels.shape) / _FINEST_PX, 1.0)
    size = (max(round(fine.pixels.shape[0] / step), 1), max(round(fine.pixels.shape[1] / step), 1))
    if min(size) < _LEAST_PX:
        return None
    small = np.asarray(cv2.resize(fine.pixels, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    margin = int(np.ceil(limit_um * 1e4 / (fine.pixel_size_a * step))) + 1
    patch = _seen_by_coarse(coarse, fine, step, size, margin)
    if patch is None or small.std() == 0:
        return None
    match = np.asarray(cv2.matchTemplate(patch, small, cv2.TM_CCOEFF_NORMED), np.float64)
    if not np.isfinite(match).all():
        return None
    row, col = np.unravel_index(int(match.argmax()), match.shape)
    drow = (_vertex(match[:, col], int(row)) - margin) * step
    dcol = (_vertex(match[row, :], int(col)) - margin) * step
    (a, b, _), (c, d, _) = _frame(fine)
    best = float(np.clip(match[row, col], 0.0, 1.0))
    return Offset(-float(a * drow + b * dcol), -float(c * drow + d * dcol), best, _lead(match))


def _lead(match: NDArray[np.float64]) -> float:
    """Give by how much the highest peak stands above the second."""
    summits = match == np.asarray(cv2.dilate(match, np.ones((3, 3))))
    heights = np.sort(match[summits])
    return float(heights[-1] - heights[-2]) if len(heights) > 1 else 1.0


def _frame(image: Image) -> Affine:
    assert image.image_to_stage is not None
    return image.image_to_stage


def _seen_by_coarse(
    coarse: Image, fine: Image, step: float, size: tuple[int, int], margin: int
) -> NDArray[np.float32] | None:
    """Sample the coarse view on the fine one's grid, widened by the margin; None when much of it lies outside."""
    fine_linear, fine_origin = _parts(_frame(fine))
    coarse_linear, coarse_origin = _parts(_frame(coarse))
    back = np.linalg.inv(coarse_linear)
    middle = (step - 1) / 2 - margin * step
    # Grid (row, col) → fine px → stage µm → coarse px.
    linear = back @ fine_linear * step
    origin = back @ (fine_linear @ np.array([middle, middle]) + fine_origin - coarse_origin)
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    warp = np.column_stack([swap @ linear @ swap, swap @ origin])
    shape = (size[1] + 2 * margin, size[0] + 2 * margin)
    inside = cv2.warpAffine(
        np.ones(coarse.pixels.shape, np.float32), warp, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    if float(np.asarray(inside).mean()) < 0.7:
        return None
    seen = cv2.warpAffine(
        coarse.pixels,
        warp,
        shape,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(seen, np.float32)


def _parts(affine: Affine) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    matrix = np.asarray(affine, np.float64)
    return matrix[:, :2], matrix[:, 2]


def _vertex(line: NDArray[np.float64], peak: int) -> float:
    """Give the place of a peak to a part of a pixel, by the parabola through it and its neighbours."""
    if not 0 < peak < len(line) - 1:
        return float(peak)
    before, at, after = line[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return float(peak) if bend == 0 else peak + 0.5 * float((before - after) / bend)
