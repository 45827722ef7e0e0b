"""A view of a grid: where its pixels lie, and the layers of matter in them."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..grid.cells import Floats
from .distortion import Distortion

Layer = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """Pixels and where they lie: ``to_grid`` (2, 3) takes (row, col, 1) to µm in the grid's frame.

    With a distortion that holds near the middle only; `pixels_of` and `places_of` know of it, the lay-out is straight.
    """

    to_grid: Floats
    rows: int
    cols: int
    distortion: Distortion | None = None

    @cached_property
    def pixel_um(self) -> float:
        """Side of a pixel."""
        return float(math.sqrt(abs(np.linalg.det(self.to_grid[:, :2]))))

    def coarser(self, step: int) -> "View":
        """Give the view whose pixels are blocks of step × step of these; the last ones reach beyond the edge."""
        middle = self.to_grid @ np.array([(step - 1) / 2, (step - 1) / 2, 1.0])
        return View(np.column_stack([self.to_grid[:, :2] * step, middle]), -(-self.rows // step), -(-self.cols // step))

    def places(self, step: int) -> tuple[Floats, Floats]:
        """Give the grid coordinates of every step-th pixel, the last node beyond the last pixel."""
        rows = np.arange(0, self.rows + step, step)[:, None]
        cols = np.arange(0, self.cols + step, step)[None, :]
        a = self.to_grid
        return a[0, 0] * rows + a[0, 1] * cols + a[0, 2], a[1, 0] * rows + a[1, 1] * cols + a[1, 2]

    def straightened(self) -> "View":
        """Give the view without distortion that holds all of this one, larger by a margin on each side."""
        if self.distortion is None:
            return self
        margin = self.distortion.margin_px
        first = self.to_grid @ np.array([-margin, -margin, 1.0])
        return View(np.column_stack([self.to_grid[:, :2], first]), self.rows + 2 * margin, self.cols + 2 * margin)

    def pixels_of(self, places: Floats) -> Floats:
        """Give (row, col) of places (..., 2) in the grid's frame."""
        straight = np.asarray((places - self.to_grid[:, 2]) @ self._from_grid)
        return straight if self.distortion is None else self.distortion.drawn(straight)

    def places_of(self, pixels: Floats) -> Floats:
        """Give the places (..., 2) in the grid's frame of pixels (row, col); inverts `pixels_of`."""
        straight = pixels if self.distortion is None else self.distortion.straight(pixels)
        return np.asarray(straight @ self.to_grid[:, :2].T + self.to_grid[:, 2])

    @cached_property
    def _from_grid(self) -> Floats:
        return np.asarray(np.linalg.inv(self.to_grid[:, :2]).T)

    @cached_property
    def corners(self) -> Floats:
        """The corners in the grid's frame, shape (4, 2)."""
        ends = np.array([[0, 0, 1], [0, self.cols, 1], [self.rows, 0, 1], [self.rows, self.cols, 1]], float)
        return ends @ self.to_grid.T


@dataclass(frozen=True, slots=True)
class Stain:
    """Mark of an earlier exposure: centre in the grid's frame, radius of the beam."""

    x_um: float
    y_um: float
    radius_um: float


@dataclass(slots=True)
class Layers:
    """Thickness at every pixel; ``free`` is 1 in the open and 0 behind bars."""

    ice_nm: Layer
    film_nm: Layer
    free: Layer
