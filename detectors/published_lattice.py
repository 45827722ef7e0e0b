"""The published search for a square lattice through marked hole centres (Kim et al. 2023).

Every pair of near centres proposes a square lattice; the one wins whose patches cover most of what is marked and
least of what is not. Patches that reach beyond the image count with the part inside only: in the published program
they wrap around to the opposite side and are charged there.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .regions import Mask, Points

PATCH_PX = 15
"""Half the side of the patch that one site covers."""

BEYOND_PX = 100.0
"""Sites so far outside the image still count."""

_NEAREST = 6
_MISSED_COST = 10.0
_SITES = 100


@dataclass(frozen=True, slots=True)
class SquareLattice:
    """Sites at ``origin + i * step + j * (step turned by 90°)``, all (row, col) px; ``cost`` as published."""

    origin: Points
    step: Points
    cost: float

    @property
    def pitch(self) -> float:
        """Distance of neighbouring sites in px."""
        return float(np.hypot(*self.step))

    @property
    def basis(self) -> Points:
        """Both steps, one in each row."""
        return np.array([self.step, [-self.step[1], self.step[0]]])

    def sites(self, shape: tuple[int, ...], beyond: float) -> Points:
        """Give the sites in the image grown by `beyond` px on all sides (or shrunk), (n, 2), in order of indices."""
        numbers = np.arange(-_SITES, _SITES)
        i, j = np.meshgrid(numbers, numbers, indexing="ij")
        places = self.origin + np.stack([i.ravel(), j.ravel()], axis=1) @ self.basis
        inside = (places >= -beyond) & (places <= np.array(shape[:2]) - 1 + beyond)
        return np.asarray(places[inside.all(axis=1)])


def square_lattice(mask: Mask, centres: Points) -> SquareLattice | None:
    """Find the lattice of least cost: 10 for each marked pixel left uncovered, 1 for each covered one not marked.

    Parameters
    ----------
    mask
        What is marked.
    centres
        Middles of the marks, (n, 2) (row, col).

    Returns
    -------
    SquareLattice | None
        None when no two centres are further apart than a patch; lattices finer than that cover everything and never
        win.
    """
    summed = np.asarray(cv2.integral(mask.astype(np.uint8)), np.float64)
    best: SquareLattice | None = None
    for centre in centres:
        away = centres - centre
        nearest = np.argsort(np.hypot(*away.T), kind="stable")[:_NEAREST]
        for step in away[nearest]:
            if np.abs(step).max() < 2 * PATCH_PX:
                continue
            tried = SquareLattice(centre, step, 0.0)
            cost = _cost(summed, tried.sites(mask.shape, BEYOND_PX))
            if best is None or cost < best.cost:
                best = SquareLattice(centre, step, cost)
    return best


def _cost(summed: NDArray[np.float64], sites: Points) -> float:
    """Weigh one lattice; `summed` is the mask's integral image. Patches of one lattice do not overlap."""
    middle = np.rint(sites).astype(np.int64)
    last = np.array(summed.shape) - 1
    low, high = np.clip(middle - PATCH_PX, 0, last), np.clip(middle + PATCH_PX, 0, last)
    marked = summed[high[:, 0], high[:, 1]] - summed[low[:, 0], high[:, 1]]
    marked -= summed[high[:, 0], low[:, 1]] - summed[low[:, 0], low[:, 1]]
    covered, hit = float((high - low).prod(axis=1).sum()), float(marked.sum())
    return _MISSED_COST * (float(summed[-1, -1]) - hit) + covered - hit
