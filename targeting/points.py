"""Positions as arrays, checked once at the door."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocols.errors import BadInput

Points = NDArray[np.float64]
"""Positions, shape (n, 2)."""


def as_points(values: ArrayLike | Sequence[object], what: str) -> Points:
    """Give positions as an (n, 2) array; none is an array of shape (0, 2).

    Parameters
    ----------
    values
        Anything array-like of n pairs.
    what
        What they are, for the sentence of the error.

    Raises
    ------
    BadInput
        Not numbers, not pairs, or not finite.
    """
    try:
        points = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"{what} are not all numbers; give a list of pairs.") from None
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise BadInput(f"{what} have the shape {points.shape}; give n pairs, shape (n, 2).")
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if wrong.size:
        raise BadInput(f"{what}: number {wrong[0]} (counted from 0) is not finite; leave it out or correct it.")
    return points


def as_point(values: ArrayLike | Sequence[object], what: str) -> Points:
    """Give one position as an array of shape (2,); raises BadInput as `as_points` does."""
    return as_points([values], what).reshape(2)


def distances(first: Points, second: Points) -> NDArray[np.float64]:
    """Give the distance of every point of ``first`` (n, 2) to every point of ``second`` (m, 2), shape (n, m)."""
    gap = first[:, None, :] - second[None, :, :]
    squares: NDArray[np.float64] = gap[..., 0] ** 2 + gap[..., 1] ** 2
    return np.sqrt(squares)
