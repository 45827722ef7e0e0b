"""What a grid is made of: its squares and their holes, as arrays."""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cells import Floats
from .ice import Lenses


class SquareKind(IntEnum):
    """What became of a square."""

    INTACT = 0
    EMPTY = 1
    TORN = 2
    CRACKED = 3
    DRY = 4
    THICK = 5
    CONTAMINATED = 6
    SMALL = 7
    CRYSTALLINE = 8


@dataclass(frozen=True, slots=True)
class Squares:
    """Mesh openings, one array element each: indices, centre, what they are and the numbers of their ice.

    ``patch_*`` is a thick patch: centre relative to the square's, size, how round it is (1: a disc), turn, thickness.
    ``wrinkle_*`` is a ridge of the film: centre relative to the square's, turn, how it bends (1/µm), its width, and by
    how much the film on either side has slipped along it (0: there is none).
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    x_um: Floats
    y_um: Floats
    kind: NDArray[np.int64]
    size: Floats
    ice_nm: Floats
    meniscus_nm: Floats
    meniscus_um: Floats
    patch_x_um: Floats
    patch_y_um: Floats
    patch_um: Floats
    patch_round: Floats
    patch_turn: Floats
    patch_nm: Floats
    empty_holes: Floats
    wrinkle_x_um: Floats
    wrinkle_y_um: Floats
    wrinkle_turn: Floats
    wrinkle_bend: Floats
    wrinkle_um: Floats
    wrinkle_slip_um: Floats


class SquaresAt:
    """The squares under many places: each number of `Squares`, gathered for every place when it is asked for."""

    def __init__(self, table: Squares, at: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
        self._table = table
        self._at = at[0] * table.i.shape[1] + at[1]

    def __getattr__(self, name: str) -> Any:
        """Gather one number."""
        return getattr(self._table, name).ravel()[self._at]


@dataclass(frozen=True, slots=True)
class Holes:
    """Holes of the film, one array element each: lattice indices, centre, radius, and the lens of ice in each."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    x_um: Floats
    y_um: Floats
    radius_um: Floats
    lens: Lenses

    @property
    def factor(self) -> Floats:
        """Ice at the edge over that on the film beside it; 0 where a hole is empty."""
        return self.lens.factor

    def where(self, which: NDArray[np.bool_]) -> "Holes":
        """Keep some of them."""
        lens = Lenses(*(getattr(self.lens, part.name)[which] for part in fields(Lenses)))
        x, y, radius = self.x_um[which], self.y_um[which], self.radius_um[which]
        return Holes(self.a[which], self.b[which], x, y, radius, lens)
