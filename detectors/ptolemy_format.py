"""Detections in the very form that Ptolemy's two scripts write, for programs that call those scripts.

JSON: one line, a list sorted by falling score; x is the column, y the row, origin at the centre of the first stored
pixel. Text: a heading and whole-numbered centres, in the order of detection. Leginon's and SmartScope's shells read
these (Kim et al., IUCrJ 10, 90-102, 2023; Leginon's "Ptolemy API information for developers").
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .records import FoundHole, FoundSquare, HoleDetections, Lattice, Site, SquareDetections

Points = NDArray[np.float64]

_MARGIN_PX = 10
"""How much shorter than half the lattice's pitch the published boxes of holes are on each side."""

_OFFERED = (Site.HOLE, Site.PARTIAL)
"""What stands for a hole. A caller that takes every entry shall be offered no bare film and no dirt."""


def squares_items(found: SquareDetections) -> list[dict[str, Any]]:
    """Give the squares as Ptolemy's `lowmag_cli.py` does, in the order of detection."""
    return [_square(square) for square in found.squares]


def holes_items(found: HoleDetections) -> list[dict[str, Any]]:
    """Give the holes as Ptolemy's `medmag_cli.py` does, in the order of detection.

    Whole and cut holes are given; sites that are covered or missing are not: Ptolemy has no word for them. The score
    is the chance of being fit to be exposed where the finder tells it, as Ptolemy's is meant to be.
    """
    return [_hole(hole, found.lattice) for hole in found.holes if hole.status in _OFFERED]


def as_json(items: Sequence[dict[str, Any]]) -> str:
    """Write one line, the best first."""
    return json.dumps(sorted(items, key=lambda item: -float(item["score"])))


def as_text(items: Sequence[dict[str, Any]]) -> str:
    """Write a heading and one line ``x<TAB>y`` for each centre."""
    lines = ["x_coord\ty_coord", *("\t".join(map(str, item["center"])) for item in items)]
    return "\n".join(lines)


def _square(square: FoundSquare) -> dict[str, Any]:
    # Published boxes go round against the clock as seen on a screen, ours with it.
    corners = np.array(square.corners_px, float)[[0, 3, 2, 1], ::-1]
    return {
        "vertices": corners.tolist(),
        "center": _centre(corners),
        "area": _area(corners),
        "brightness": square.mean,
        "score": square.score,
    }


def _hole(hole: FoundHole, lattice: Lattice | None) -> dict[str, Any]:
    corners = _box(hole, lattice)
    return {"vertices": corners.tolist(), "center": _centre(corners), "area": _area(corners), "score": hole.merit}


def _box(hole: FoundHole, lattice: Lattice | None) -> Points:
    """Corners (x, y) of the box along the lattice around a hole, clockwise on a screen, never less than the hole."""
    right, half = np.array([1.0, 0.0]), hole.radius_px
    if lattice is not None:
        steps = np.array([lattice.a_px, lattice.b_px])[:, ::-1]
        lengths = np.hypot(*steps.T)
        half = max(half, int(lengths.min() / 2) - _MARGIN_PX)
        right = steps[0] / lengths[0]
        # Of the four directions of the sides, the one that goes right and not down.
        while not (right[0] > 0 and right[1] <= 0):
            right = np.array([-right[1], right[0]])
    down = np.array([-right[1], right[0]])
    around = [-right - down, right - down, right + down, down - right]
    return np.array([hole.col_px, hole.row_px]) + half * np.array(around)


def _centre(corners: Points) -> list[int]:
    return [int(value) for value in corners.mean(axis=0)]


def _area(corners: Points) -> float:
    x, y = corners.T
    return 0.5 * abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1)))
