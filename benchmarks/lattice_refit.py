"""The published lattice, laid anew through all of the network's marks: how much of an error is the search's own.

The published search lays a rigid square lattice through two marks and leaves it so; what those two are off by grows
with the distance from them. Here all marks on sites of that lattice give one affine lattice by least squares.
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

ON_SITE = 0.3
"""A mark further from every site than this part of the pitch belongs to none."""

OUTLIER = 3.0
"""Marks off by more than so many medians do not count."""

ROUNDS = 4


def refitted(sites: Points, marks: Points) -> Points:
    """Give the sites (n, 2) moved to where all marks (m, 2) together say they are; (row, col) px."""
    if len(sites) < 3 or len(marks) < 3:
        return sites
    away = np.hypot(*(marks[:, None] - sites[None]).transpose(2, 0, 1))
    own = sites[away.argmin(axis=1)]
    apart = np.hypot(*(sites[:, None] - sites[None]).transpose(2, 0, 1))
    pitch = float(np.where(apart > 0, apart, np.inf).min())
    on_site = away.min(axis=1) < ON_SITE * pitch
    kept, matrix = on_site, None
    for _ in range(ROUNDS):
        if kept.sum() < 3:
            break
        matrix = np.linalg.lstsq(_with_one(own[kept]), marks[kept], rcond=None)[0]
        left = np.hypot(*(marks - _with_one(own) @ matrix).T)
        kept = on_site & (left <= max(OUTLIER * float(np.median(left[kept])), 2.0))
    return sites if matrix is None else np.asarray(_with_one(sites) @ matrix)


def _with_one(places: Points) -> Points:
    return np.column_stack([places, np.ones(len(places))])
