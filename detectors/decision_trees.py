"""Decision trees as plain arrays: many trees walked at once, without the library that grew them.

A file of such arrays holds numbers and nothing else, so that reading it can run no code.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..protocols.errors import BadInput

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Trees:
    """Trees laid one after the other.

    Attributes
    ----------
    first
        Index of each tree's root among the nodes, (trees,).
    column, cut
        What a node asks: whether the number in this column is at most `cut`; column -1 marks a leaf, (nodes,).
    left, right
        Where the walk goes on if so, and if not, as indices of nodes, (nodes,).
    value
        What a leaf says, (nodes, outputs).
    """

    first: NDArray[np.int32]
    column: NDArray[np.int32]
    cut: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]

    def said(self, table: NDArray[np.floating]) -> NDArray[np.float32]:
        """Walk every row (n, columns) through every tree: the leaves' values, (n, trees, outputs)."""
        table = table.astype(np.float32)  # as the trees were grown
        at = np.broadcast_to(self.first, (len(table), self.first.size)).astype(np.intp)
        rows = np.arange(len(table))[:, None]
        while True:
            column = self.column[at]
            inner = column >= 0
            if not inner.any():
                return np.asarray(self.value[at])
            goes_left = table[rows, np.maximum(column, 0)] <= self.cut[at]
            at = np.where(inner, np.where(goes_left, self.left[at], self.right[at]), at)

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """Give the arrays by name, for a file."""
        return {f"{prefix}.{name}": getattr(self, name) for name in self.__slots__}


def trees_of(arrays: Arrays, prefix: str, columns: int) -> Trees:
    """Take trees out of a file's arrays, checked, so that no walk can leave them or go round in circles.

    Raises
    ------
    BadInput
        An array is missing, of another length, or points where it must not.
    """
    try:
        found = Trees(*(np.asarray(arrays[f"{prefix}.{name}"]) for name in Trees.__slots__))  # type: ignore[arg-type]
    except KeyError as error:
        raise BadInput(f"the weights hold no {error.args[0]}; take the whole file as it was written") from None
    nodes = found.column.size
    inner = np.flatnonzero(found.column >= 0)
    lengths = {found.cut.shape, found.left.shape, found.right.shape, found.value.shape[:1], (nodes,)}
    # Children come after their parents, therefore every walk ends.
    sound = (
        len(lengths) == 1 and found.value.ndim == 2 and nodes > 0 and found.first.size > 0
        and bool(((found.first >= 0) & (found.first < nodes)).all())
        and bool((found.column < columns).all())
        and all(bool(((to[inner] > inner) & (to[inner] < nodes)).all()) for to in (found.left, found.right))
    )  # fmt: skip
    if not sound:
        raise BadInput(f"the trees of {prefix} in the weights do not hang together; take the file as it was written")
    return found
