"""Images of requests as rows: the finders run in a process of their own, which is ended when it takes too long."""

import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.pool import Pool

import cv2
import numpy as np
from numpy.typing import NDArray

from ...files.usable import SMALLEST_PX
from ...hardware.records import Image
from ...protocols.errors import BadInput, EpicycleError
from ..ptolemy_format import squares_items
from ..records import FoundSquare, HoleDetections, HoleFinder, Site, SquareDetections, SquareFinder
from .state import UNKNOWN, HoleRow, SquareRow

MOST_SIDE_PX = 16384

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Finders:
    """The two finders that look."""

    squares: SquareFinder
    holes: HoleFinder


class TookTooLong(EpicycleError):
    """A finder was ended after its time; the sentence says which."""


class Looking:
    """Two finders in a process of their own.

    Parameters
    ----------
    make
        Makes the finders; called in the other process, so it must be a function of a module.
    most_s
        Seconds after which a search is ended.
    """

    def __init__(self, make: Callable[[], Finders], most_s: float) -> None:
        self._make = make
        self._most_s = most_s
        self._pool: Pool | None = None

    def squares(self, pixels: Pixels) -> SquareDetections:
        """Find squares; raises `TookTooLong`."""
        answer = self._run(_squares, pixels)
        assert isinstance(answer, SquareDetections)
        return answer

    def holes(self, pixels: Pixels, vacuum: float | None = None) -> HoleDetections:
        """Find holes, `vacuum` being the counts per pixel with nothing in the beam; raises `TookTooLong`."""
        answer = self._run(_holes, pixels, vacuum)
        assert isinstance(answer, HoleDetections)
        return answer

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()
            self._pool = None

    def _run(self, what: Callable[..., object], *asked: object) -> object:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = context.Pool(1, initializer=_begin, initargs=(self._make,))
        try:
            return self._pool.apply_async(what, asked).get(self._most_s)
        except multiprocessing.TimeoutError:
            self.close()
            raise TookTooLong(
                f"the search took more than {self._most_s:g} s and was ended; send a smaller image"
            ) from None


_FINDERS: list[Finders] = []
"""Of the searching process: it is made once and asked often."""


def _begin(make: Callable[[], Finders]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's: it ends this process
    cv2.setNumThreads(1)
    _FINDERS[:] = [make()]


def _squares(pixels: Pixels) -> SquareDetections:
    return _FINDERS[0].squares.find(Image(pixels))


def _holes(pixels: Pixels, vacuum: float | None) -> HoleDetections:
    return _FINDERS[0].holes.find(Image(pixels, nominal_counts=vacuum))


def image_of(nested: object) -> Pixels:
    """Bring nested lists to an image.

    Raises
    ------
    BadInput
        Not a rectangle of numbers, too small, too large, or holding what is no number.
    """
    try:
        pixels = np.array(nested, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise BadInput("image is no rectangle of numbers; send rows of equal length") from None
    if pixels.ndim != 2:
        raise BadInput(f"image has {pixels.ndim} dimensions; send a list of rows")
    if min(pixels.shape) < SMALLEST_PX or max(pixels.shape) > MOST_SIDE_PX:
        rows, cols = pixels.shape
        raise BadInput(f"image is {cols}×{rows} px; sides from {SMALLEST_PX} to {MOST_SIDE_PX} px can be searched")
    if not np.isfinite(pixels).all():
        raise BadInput("image holds values that are no numbers; send it without them")
    return pixels


def square_rows(pixels: Pixels, found: SquareDetections, grid_id: int, tile_id: int) -> list[SquareRow]:
    """Give the squares of a tile as rows, not yet numbered."""
    rows = []
    for square, item in zip(found.squares, squares_items(found), strict=True):
        corners = tuple((float(x), float(y)) for x, y in item["vertices"])
        rows.append(
            SquareRow(
                UNKNOWN, tile_id, grid_id, square.col_px, square.row_px, corners, square.mean, item["area"],
                square.score, False, _square_features(pixels, square),
            )
        )  # fmt: skip
    return rows


def hole_rows(found: HoleDetections, ids: tuple[int, int, int], vacuum: float | None) -> list[HoleRow]:
    """Give the holes of a view as rows, not yet numbered; `ids` are those of grid, square and image."""
    grid_id, square_id, image_id = ids
    offered = [hole for hole in found.holes if hole.status in (Site.HOLE, Site.PARTIAL)]
    usual = max((abs(hole.mean) for hole in offered), default=1.0)
    unit = vacuum or usual or 1.0
    return [
        HoleRow(
            UNKNOWN, image_id, square_id, grid_id, hole.col_px, hole.row_px, hole.radius_px, hole.merit,
            features=(hole.mean / unit, hole.score, float(hole.status is Site.HOLE)),
        )
        for hole in offered
    ]  # fmt: skip


def _square_features(pixels: Pixels, square: FoundSquare) -> tuple[float, ...]:
    """Mean, largest value, variance and area, as the published server learns from."""
    corners = np.rint(np.array(square.corners_px)[:, ::-1]).astype(np.int32)
    low = np.maximum(corners.min(axis=0), 0)
    high = np.minimum(corners.max(axis=0) + 1, pixels.shape[::-1])
    window = pixels[low[1] : high[1], low[0] : high[0]]
    inside = cv2.fillConvexPoly(np.zeros(window.shape, np.uint8), corners - low, 1) > 0
    own = window[inside] if inside.any() else np.array([square.mean], np.float32)
    return float(own.mean()), float(own.max()), float(own.var()), square.area_px
