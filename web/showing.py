"""One picture of a night, named as people name things: a grid's atlas, a square, a hole's view, an exposure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..db.views import HoleView
from ..protocols.errors import BadInput
from .night import GridNight, SquareNight, WholeNight
from .pictures import Sides
from .sections import Darkroom, Figure

LARGE = Sides(atlas=1400, square=1200, hole=1000, shot=1000)
EXAMPLE = "grid 3, grid 3 square 14, or grid 3 square 14 hole 7"


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure, a short name for a file, and what it says in words."""

    figure: Figure
    name: str
    title: str


def show(night: WholeNight, folder: Path, place: Sequence[str]) -> list[Shown]:
    """Find the pictures of a place.

    Parameters
    ----------
    night
        The whole night.
    folder
        The folder of its record.
    place
        Pairs of words, ``grid 3 square 14 hole 7``; a grid is named by its slot. Nothing: every grid that was seen.

    Raises
    ------
    BadInput
        The words name nothing, or nothing that has a picture.
    """
    named = _named(place)
    darkroom = Darkroom(folder, LARGE)
    if not named:
        return [shown for grid in night.grids if grid.atlas is not None for shown in _atlas(grid, darkroom)]
    slot = named["grid"]
    grid = next((one for one in night.grids if one.summary.slot == slot), None)
    if grid is None:
        raise BadInput(f"the record has no grid in slot {slot}; it has slots {_listed(night)}")
    if "square" not in named:
        return _atlas(grid, darkroom) or _nothing(f"grid {slot} has no atlas")
    inside = next((one for one in grid.squares if one.square.number == named["square"]), None)
    if inside is None:
        raise BadInput(f"grid {slot} has no square {named['square']}; it has {len(grid.squares)} squares")
    if "hole" not in named:
        return _square(grid, inside, darkroom) or _nothing(f"square {named['square']} was not visited")
    hole = next((one for one in inside.holes if one.number == named["hole"]), None)
    if hole is None:
        raise BadInput(f"square {named['square']} has no hole {named['hole']}; it has {len(inside.holes)} holes")
    return _hole(grid, inside, hole, darkroom) or _nothing(f"hole {hole.number} has no view of its own")


def _named(place: Sequence[str]) -> Mapping[str, int]:
    kinds = ("grid", "square", "hole")
    pairs = list(zip(place[::2], place[1::2], strict=False))
    fits = len(place) == 2 * len(pairs) and tuple(kind for kind, _ in pairs) == kinds[: len(pairs)]
    if not fits or not all(number.isdecimal() for _, number in pairs):
        raise BadInput(f"{' '.join(place)} names nothing; say for example {EXAMPLE}")
    return {kind: int(number) for kind, number in pairs}


def _atlas(grid: GridNight, darkroom: Darkroom) -> list[Shown]:
    figures = None if grid.atlas is None else darkroom.atlas(grid, grid.atlas)
    if figures is None:
        return []
    slot = grid.summary.slot
    return [Shown(figures[0], f"grid{slot:02d}", f"slot {slot}, {grid.summary.name}: {figures[0].alt}")]


def _square(grid: GridNight, inside: SquareNight, darkroom: Darkroom) -> list[Shown]:
    figure = darkroom.square(grid, inside)
    if figure is None:
        return []
    slot, number = grid.summary.slot, inside.square.number
    return [Shown(figure, f"grid{slot:02d}-square{number}", f"slot {slot}: {figure.alt}")]


def _hole(grid: GridNight, inside: SquareNight, hole: HoleView, darkroom: Darkroom) -> list[Shown]:
    slot, number = grid.summary.slot, inside.square.number
    name, where = (
        f"grid{slot:02d}-square{number}-hole{hole.number}",
        f"slot {slot}, square {number}, hole {hole.number}",
    )
    groups = [group for group in inside.groups if group.id == hole.group_id]
    found = [(darkroom.group(grid, inside, group), "view") for group in groups]
    for shot in (shot for shot in inside.shots if shot.hole_id == hole.id):
        which = f"shot{shot.shot}-" if shot.shot else ""
        found += [(darkroom.shot(shot, ending), which + ending) for ending in ("micrograph", "spectrum")]
    return [
        Shown(figure, f"{name}-{ending}", f"{where}: {figure.alt}") for figure, ending in found if figure is not None
    ]


def _listed(night: WholeNight) -> str:
    return ", ".join(str(slot) for slot in sorted(grid.summary.slot for grid in night.grids))


def _nothing(why: str) -> list[Shown]:
    raise BadInput(f"{why}; there is no picture to show")
