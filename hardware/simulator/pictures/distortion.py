"""Where the lenses draw what lies off the axis: pincushion or barrel, and spiral, to third order.

The image's middle stays and distances near it keep their scale, so the affine that goes with a calibrated pixel size
holds there and is a little off in the corners.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..grid.cells import Floats

ROUNDS = 6
"""Steps of the inversion; each gains about two decimal places."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """The distortion of images of one size.

    Attributes
    ----------
    radial
        How much further from the middle a corner is drawn than it should be, as a fraction; negative for a barrel.
    spiral
        Angle in radians by which a corner is turned, from columns towards rows.
    rows_px, cols_px
        Size of the image.
    """

    radial: float
    spiral: float
    rows_px: int
    cols_px: int

    @property
    def margin_px(self) -> int:
        """How far beyond the image's edge lies some of what it shows."""
        return math.ceil((abs(self.radial) + abs(self.spiral)) * self._reach_px) + 2

    def straight(self, drawn: Floats) -> Floats:
        """Give where a lens without distortion would draw what lies at these pixels (..., 2), (row, col)."""
        off = np.asarray(drawn, np.float64) - self._middle
        return np.asarray(self._middle + off - self._bent(off))

    def drawn(self, straight: Floats) -> Floats:
        """Give where things are drawn that a lens without distortion would draw at (..., 2); inverts `straight`."""
        aim = np.asarray(straight, np.float64) - self._middle
        off = aim
        for _ in range(ROUNDS):
            off = aim + self._bent(off)
        return np.asarray(self._middle + off)

    def apply(self, layer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bend a layer that was laid out straight, ``margin_px`` larger on each side; returns (rows, cols)."""
        whole, part = _maps(self)
        return np.asarray(cv2.remap(layer, whole, part, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    @property
    def _middle(self) -> Floats:
        return np.array([(self.rows_px - 1) / 2, (self.cols_px - 1) / 2])

    @property
    def _reach_px(self) -> float:
        return math.hypot(self.rows_px, self.cols_px) / 2

    def _bent(self, off: Floats) -> Floats:
        """Give the displacement of what is drawn at ``off`` from the middle: it grows with the cube of the distance."""
        square = (off**2).sum(axis=-1, keepdims=True) / self._reach_px**2
        turned = np.stack([off[..., 1], -off[..., 0]], axis=-1)
        return np.asarray((self.radial * off + self.spiral * turned) * square)


@lru_cache(maxsize=6)
def _maps(distortion: Distortion) -> tuple[NDArray[np.int16], NDArray[np.uint16]]:
    """Give `Distortion.straight` of all pixels, counted from the margin's corner, as OpenCV wants it."""
    half_rows, half_cols = (distortion.rows_px - 1) / 2, (distortion.cols_px - 1) / 2
    down = np.arange(distortion.rows_px, dtype=np.float32)[:, None] - np.float32(half_rows)
    right = np.arange(distortion.cols_px, dtype=np.float32)[None, :] - np.float32(half_cols)
    square = down * down + right * right
    square *= np.float32(4 / (distortion.rows_px**2 + distortion.cols_px**2))
    radial, spiral = np.float32(distortion.radial), np.float32(distortion.spiral)
    y = (down + np.float32(half_rows + distortion.margin_px)) - (radial * down + spiral * right) * square
    x = (right + np.float32(half_cols + distortion.margin_px)) - (radial * right - spiral * down) * square
    whole, part = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return np.asarray(whole), np.asarray(part)
