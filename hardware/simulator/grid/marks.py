"""Marks in the metal of a mesh: an asymmetric one at the centre, and figures at the rim, one on each side.

They tell how a grid lies, whatever side it is seen from and however it was turned when it was loaded.
"""

import math

import numpy as np

from .cells import Floats
from .film import RIM_UM

SEGMENTS = {"1": "bc", "2": "abged", "4": "fgbc", "7": "abc"}
"""Figures at the rim, as the seven strokes of a display; none of these looks like another in a mirror or turned."""

_ENDS = {
    "a": ((-1, 2), (1, 2)), "b": ((1, 2), (1, 0)), "c": ((1, 0), (1, -2)), "d": ((-1, -2), (1, -2)),
    "e": ((-1, 0), (-1, -2)), "f": ((-1, 2), (-1, 0)), "g": ((-1, 0), (1, 0)),
}  # fmt: skip

RIM_SHARE, STROKE_SHARE = 0.84, 0.11
"""Where the figures stand, as a fraction of the way to the rim, and how wide their strokes are in openings; assumed."""


def marks_of(basis_um: Floats, offset_um: Floats, opening_um: float) -> tuple[Floats, ...]:
    """Lay out the marks of a mesh: outlines (n, 2) of metal, in the grid's frame."""
    crossing = offset_um + basis_um @ np.array([0.5, 0.5])
    return (*_centre(crossing, opening_um), *_rim(basis_um, offset_um, opening_um))


def _centre(crossing: Floats, opening: float) -> list[Floats]:
    """Draw a disc over the crossing of two bars, with a long tooth into one opening and a short one into the next."""
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    disc = crossing + 0.42 * opening * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tooth = opening * np.array([[0.3, 0.14], [0.3, -0.14], [1.0, 0.0]])
    diagonal = np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)
    long = crossing + tooth @ diagonal.T
    short = crossing + (tooth * [0.62, 1.0]) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) @ diagonal.T
    return [disc, long, short]


def _rim(basis: Floats, offset: Floats, opening: float) -> list[Floats]:
    found: list[Floats] = []
    for (figure, strokes), turn in zip(SEGMENTS.items(), np.arange(4) * math.pi / 2, strict=True):
        assert figure
        place = RIM_SHARE * RIM_UM * np.array([math.cos(turn), math.sin(turn)])
        cell = np.rint(np.linalg.inv(basis) @ (place - offset))
        middle = offset + basis @ cell
        for stroke in strokes:
            ends = 0.2 * opening * np.array(_ENDS[stroke], float)
            found.append(middle + _bar(ends, STROKE_SHARE * opening))
    return found


def _bar(ends: Floats, width: float) -> Floats:
    along = ends[1] - ends[0]
    along = along / np.linalg.norm(along) * width / 2
    across = np.array([-along[1], along[0]])
    first, last = ends[0] - along, ends[1] + along
    return np.array([first + across, last + across, last - across, first - across])
