"""What the pages of a report are made of: per grid its figures, charts, squares, exposures and decisions.

All pictures of one report come from one `Darkroom`, which knows how large each level may be; the templates only lay
out.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import plots, sentences
from .night import (
    AtlasView,
    DecisionView,
    ExposureView,
    GridView,
    GroupView,
    ImageView,
    NightView,
    SquareView,
)
from .overlays import Overlay, atlas_overlay, group_overlay, square_overlay
from .pictures import Picture, Sides, picture_of, sides_for
from .ranking import Spread, Standing, spread

THUMBNAIL_PX = 168
"""Side of the atlas on a card: twice what is shown, for dense screens."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with what is drawn over it and what it says to those who cannot see it."""

    anchor: str
    picture: Picture
    overlay: Overlay
    alt: str


@dataclass(frozen=True, slots=True)
class ShotCell:
    """One exposure: the micrograph and its spectrum with the fit."""

    shot: ExposureView
    hole: int
    micrograph: Figure | None
    spectrum: Figure | None


@dataclass(frozen=True, slots=True)
class SquareSection:
    """One square visited."""

    square: SquareView
    figure: Figure | None
    groups: tuple[tuple[GroupView, Figure | None], ...]
    shots: tuple[ShotCell, ...]
    usable: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a decision took or left something, or how many it left for the same reason."""

    what: str
    score: float | None
    text: str


@dataclass(frozen=True, slots=True)
class DecisionSection:
    """One decision with its reasons; ``left`` gathers what was left by reason."""

    decision: DecisionView
    title: str
    taken: tuple[Reason, ...]
    left: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class GridSection:
    """One grid of the report."""

    standing: Standing
    atlas: Figure | None
    thumbnail: Figure | None
    atlas_note: str
    classes: tuple[tuple[str, int], ...]
    squares: tuple[SquareSection, ...]
    by_square: plots.Chart | None
    by_ice: plots.Chart | None
    defocus: Spread | None
    motion: Spread | None
    decisions: tuple[DecisionSection, ...]

    @property
    def anchor(self) -> str:
        """Where the section is found in the page."""
        return f"grid-{self.standing.grid.id}"


class Darkroom:
    """Makes the figures of one report, each at the size its level was given."""

    def __init__(self, folder: Path, sides: Sides) -> None:
        self._folder = folder
        self.sides = sides

    def atlas(self, grid: GridView, atlas: AtlasView) -> Figure | None:
        """Show an atlas with its squares outlined."""
        picture = self._picture(atlas.image, self.sides.atlas)
        if picture is None:
            return None
        alt = f"Atlas of slot {grid.slot} with {len(grid.squares)} squares outlined, {len(grid.visited)} visited"
        return Figure(f"atlas-{atlas.id}", picture, atlas_overlay(grid, atlas, picture), alt)

    def thumbnail(self, grid: GridView, atlas: AtlasView) -> Figure | None:
        """Show an atlas small and bare."""
        picture = self._picture(atlas.image, THUMBNAIL_PX)
        return None if picture is None else Figure("", picture, Overlay(), f"Atlas of slot {grid.slot}")

    def square(self, grid: GridView, square: SquareView) -> Figure | None:
        """Show a square with its holes."""
        picture = self._picture(square.image, self.sides.square)
        if picture is None:
            return None
        alt = f"Square {square.number} with {len(square.holes)} lattice sites, {len(square.exposures)} exposed"
        return Figure(f"square-{square.id}", picture, square_overlay(grid, square, picture), alt)

    def group(self, grid: GridView, group: GroupView) -> Figure | None:
        """Show a hole view with its targets."""
        picture = self._picture(group.image, self.sides.hole)
        if picture is None:
            return None
        alt = f"Hole view of group {group.number}, {len(group.holes)} holes"
        return Figure(f"group-{group.id}", picture, group_overlay(grid, group, picture), alt)

    def shot(self, shot: ExposureView, ending: str) -> Figure | None:
        """Show one of the pictures that the analysis of an exposure left."""
        found = [image for image in shot.images if image.kind == "picture" and Path(image.name).stem.endswith(ending)]
        picture = self._picture(found[-1] if found else None, self.sides.shot)
        alt = f"{ending.strip('-').capitalize()} of exposure {shot.number}"
        return None if picture is None else Figure(f"shot-{shot.id}{ending}", picture, Overlay(), alt)

    def _picture(self, image: ImageView | None, side: int) -> Picture | None:
        return None if image is None else picture_of(self._folder / image.path, side, shown_as=image.path)


def sides_of(night: NightView) -> Sides:
    """Choose the sizes of a report's pictures from how many there are."""
    squares = [square for grid in night.grids for square in grid.squares]
    groups = [group for square in squares for group in square.groups]
    return sides_for(
        grids=sum(1 for grid in night.grids if grid.atlases),
        squares=sum(1 for square in squares if square.image),
        holes=sum(1 for group in groups if group.image),
        shots=sum(len(grid.exposures) for grid in night.grids),
    )


def grid_section(night: NightView, standing: Standing, darkroom: Darkroom) -> GridSection:
    """Gather what the page shows of one grid."""
    grid = standing.grid
    atlas = next((atlas for atlas in grid.atlases if atlas.image is not None), None)
    notes = [atlas.reason for atlas in grid.atlases if atlas.reason]
    taken = [shot for shot in grid.exposures if shot.status == "done"]
    counted = Counter(square.category for square in grid.squares)
    return GridSection(
        standing=standing,
        atlas=None if atlas is None else darkroom.atlas(grid, atlas),
        thumbnail=None if atlas is None else darkroom.thumbnail(grid, atlas),
        atlas_note="; ".join(notes),
        classes=tuple((name, counted.pop(name)) for name in sentences.CATEGORIES if name in counted),
        squares=tuple(_square_section(grid, square, darkroom) for square in grid.visited),
        by_square=plots.resolution_by_square(grid),
        by_ice=plots.resolution_by_ice(grid),
        defocus=spread("defocus_um", taken),
        motion=spread("motion_a", taken),
        decisions=tuple(decision_section(night, decision) for decision in night.decisions if _about(grid, decision)),
    )


def _square_section(grid: GridView, square: SquareView, darkroom: Darkroom) -> SquareSection:
    numbers = {hole.id: hole.number for hole in square.holes}
    cells = tuple(
        ShotCell(shot, numbers[shot.hole_id], darkroom.shot(shot, "-micrograph"), darkroom.shot(shot, "-spectrum"))
        for shot in square.exposures
    )
    return SquareSection(
        square,
        darkroom.square(grid, square),
        tuple((group, darkroom.group(grid, group)) for group in square.groups),
        cells,
        sum(1 for shot in square.exposures if shot.usable),
    )


def _about(grid: GridView, decision: DecisionView) -> bool:
    """Whether a decision was made on this grid: on its squares, or on the holes of one of them."""
    if decision.of_kind == "grid":
        return decision.of_id == grid.id
    return decision.of_kind == "square" and any(square.id == decision.of_id for square in grid.squares)


def decision_section(night: NightView, decision: DecisionView) -> DecisionSection:
    """Put a decision into words: what it took and why, and how many it left for which reason."""
    names = _names(night, decision)
    chosen = [int(one) for one in decision.chosen]

    def reason(one: int) -> str:
        return str(decision.reasons.get(str(one), ""))

    taken = tuple(Reason(names.get(one, f"no. {one}"), decision.scores.get(str(one)), reason(one)) for one in chosen)
    left = Counter(reason(int(one)) for one in decision.offered if int(one) not in set(chosen))
    noun = {"grids": "grids", "squares": "squares", "holes": "holes"}.get(decision.question, decision.question)
    of = next(
        (
            f" of square {s.number}"
            for g in night.grids
            for s in g.squares
            if decision.of_kind == "square" and s.id == decision.of_id
        ),
        "",
    )
    return DecisionSection(decision, f"Which {noun}{of}?", taken, tuple(left.most_common(8)))


def _names(night: NightView, decision: DecisionView) -> dict[int, str]:
    if decision.question == "grids":
        return {grid.id: f"slot {grid.slot}" for grid in night.grids}
    squares = [square for grid in night.grids for square in grid.squares]
    if decision.question == "squares":
        return {square.id: f"square {square.number}" for square in squares}
    return {hole.id: f"hole {hole.number}" for s in squares if s.id == decision.of_id for hole in s.holes}
