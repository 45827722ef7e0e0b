"""The grid at a glance: every square in its place on the atlas, those tried filled by their share of usable exposures.

What the policy only guessed (the finder's score) is drawn pale, what was measured is drawn full and says its numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import dist
from statistics import median

from .night import GridNight, SquareNight
from .overlays import Outline, Overlay
from .pictures import Picture

STEPS = 5
"""Shades of the scale."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One square: its outline, its shade (0: worst) and what it says; ``numbers`` is empty where nothing was judged."""

    outline: Outline
    step: int
    numbers: str
    title: str


@dataclass(frozen=True, slots=True)
class QualityMap:
    """All squares of a grid, in pixels of its atlas; ``letters`` is the height of the numbers."""

    width: int
    height: int
    letters: float
    cells: tuple[Cell, ...]
    alt: str


def quality_map(grid: GridNight, overlay: Overlay, picture: Picture) -> QualityMap | None:
    """Fill the outlines drawn over the atlas; None before an exposure was judged."""
    outlined = [one for one in grid.squares if one.square.corners_um]
    tried = [one for one in outlined if _judged(one)]
    if not tried or len(outlined) != len(overlay.outlines):
        return None
    cells = tuple(_cell(one, outline) for one, outline in zip(outlined, overlay.outlines, strict=True))
    side = median(dist(*cell.outline.corners[:2]) for cell in cells)
    said = ", ".join(f"square {one.square.number} {_usable(one)} of {_judged(one)}" for one in tried[:12])
    alt = f"Map of slot {grid.summary.slot}: usable of judged exposures by square: {said}"
    return QualityMap(picture.width, picture.height, max(0.55 * side, picture.width / 32), cells, alt)


def _cell(one: SquareNight, outline: Outline) -> Cell:
    judged, usable = _judged(one), _usable(one)
    share = usable / judged if judged else one.square.score
    words = f"{usable} of {judged} exposures usable" if judged else f"not tried, score {one.square.score:.2f}"
    return Cell(
        outline=outline,
        step=min(int(max(share, 0.0) * STEPS), STEPS - 1),
        numbers=f"{usable}/{judged}" if judged else "",
        title=f"square {one.square.number}: {words}",
    )


def _judged(one: SquareNight) -> int:
    return sum(shot.usable is not None for shot in one.shots)


def _usable(one: SquareNight) -> int:
    return sum(shot.usable is True for shot in one.shots)


def shares() -> Sequence[str]:
    """Name the steps of the scale."""
    edges = [round(100 * step / STEPS) for step in range(STEPS + 1)]
    return [f"{low}–{high} %" for low, high in pairwise(edges)]
