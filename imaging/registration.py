"""The shift between two pictures of one scene; with `reregister`, also where a whole grid lies after a reload."""

from ..hardware.records import Pixels
from .correlation import band_pass, find_lag
from .pixels import shrunk
from .records import Displacement
from .reload import reregister

__all__ = ["displacement", "reregister"]

MEASURED_PX = 1100
"""Pictures are averaged down until their longer side is at most this, before they are correlated."""

FINE_PX, COARSE_PX = 1.0, 16.0
"""Pass band of `displacement` in px of the averaged picture."""


def displacement(fixed: Pixels, moving: Pixels, max_shift_px: float | None = None) -> Displacement:
    """Measure the shift that brings ``moving`` onto ``fixed``.

    Parameters
    ----------
    fixed, moving
        Two pictures of one scene at one pixel size, shape (rows, cols); the shapes may differ.
    max_shift_px
        Largest shift to consider along each axis; None means half of the smaller picture.

    Returns
    -------
    Displacement
        A feature at p in ``moving`` stands at p + shift in ``fixed``. ``confidence`` is the probability of this lag
        against all others and against chance; zero shift with confidence zero when a picture is blank.
    """
    factor = max(1, -(-max(*fixed.shape, *moving.shape) // MEASURED_PX))
    first, second = (_prepared(picture, factor) for picture in (fixed, moving))
    sides = [min(a, b) for a, b in zip(first.shape, second.shape, strict=True)]
    reach = [side / 2 if max_shift_px is None else min(max_shift_px / factor + 0.5, side - 4) for side in sides]
    least = 0.2 * sides[0] * sides[1]
    lag = find_lag(first, second, reach=(reach[0], reach[1]), least_overlap=least)
    return Displacement(lag.row_px * factor, lag.col_px * factor, lag.confidence)


def _prepared(picture: Pixels, factor: int) -> Pixels:
    """Average down and band-pass."""
    return band_pass(shrunk(picture, factor), FINE_PX, COARSE_PX)
