"""What the pages of a report are made of: per grid its figures, charts, squares, exposures and decisions.

All pictures of one report come from one `Darkroom`, which knows how large each level may be; the templates only lay
out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ..db.views import AtlasView, DecisionView, ExposureView, GroupView, ImageView, RankedGrid
from . import plots, sentences
from .night import GridNight, SquareNight, WholeNight
from .overlays import ATLAS_SHOWN, HOLE_SHOWN, SQUARE_SHOWN, Overlay, atlas_overlay, group_overlay, square_overlay
from .pictures import Picture, Sides, picture_of, sides_for, smaller
from .quality_map import QualityMap, quality_map

THUMBNAIL_PX = 144
"""Side of the atlas on a card: twice what is shown, for dense screens."""
MEASURES = ("fit_resolution_a", "ice_nm", "defocus_um", "motion_a")


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture with what is drawn over it and what it says to those who cannot see it.

    ``shown`` is about how wide it comes out on the page; 0 where nothing is drawn over it.
    """

    anchor: str
    picture: Picture
    overlay: Overlay
    alt: str
    shown: int = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle and ends of some measured numbers."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ShotCell:
    """One exposure: the micrograph and its spectrum with the fit."""

    shot: ExposureView
    micrograph: Figure | None
    spectrum: Figure | None


@dataclass(frozen=True, slots=True)
class SquareSection:
    """One square visited."""

    inside: SquareNight
    figure: Figure | None
    groups: tuple[tuple[GroupView, Figure | None], ...]
    shots: tuple[ShotCell, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a decision took something."""

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
    """One grid of the report: why it stands where it does, what to do with it, its measures by name, its pictures."""

    grid: GridNight
    why: str
    atlas: Figure | None
    thumbnail: Figure | None
    next_step: str
    classes: tuple[tuple[str, int], ...]
    spreads: Mapping[str, Spread]
    squares: tuple[SquareSection, ...]
    quality: QualityMap | None
    by_square: plots.Chart | None
    by_ice: plots.Chart | None
    decisions: tuple[DecisionSection, ...]
    faults: tuple[tuple[str, str], ...]

    @property
    def ranked(self) -> RankedGrid:
        """Where the grid stands."""
        return self.grid.ranked


class Darkroom:
    """Makes the figures of one report, each at the size its level was given."""

    def __init__(self, folder: Path, sides: Sides) -> None:
        self._folder = folder
        self._sides = sides

    def atlas(self, grid: GridNight, atlas: AtlasView) -> tuple[Figure, Figure] | None:
        """Show an atlas with its squares outlined, and small and bare for the card."""
        picture = self._picture(atlas.image, self._sides.atlas)
        if picture is None:
            return None
        alt = f"Atlas of slot {grid.summary.slot}"
        more = f"{alt} with {len(grid.squares)} squares outlined, {len(grid.visited)} visited"
        large = Figure(f"atlas-{atlas.id}", picture, atlas_overlay(grid, atlas, picture), more, ATLAS_SHOWN)
        return large, Figure("", smaller(picture, THUMBNAIL_PX), Overlay(), alt)

    def square(self, grid: GridNight, inside: SquareNight) -> Figure | None:
        """Show a square with its holes."""
        square = inside.square
        picture = self._picture(square.image, self._sides.square)
        if picture is None:
            return None
        alt = f"Square {square.number} with {square.holes} lattice sites, {square.holes_exposed} exposed"
        return Figure(f"square-{square.id}", picture, square_overlay(grid, inside, picture), alt, SQUARE_SHOWN)

    def group(self, grid: GridNight, inside: SquareNight, group: GroupView) -> Figure | None:
        """Show a hole view with its targets."""
        picture = self._picture(group.image, self._sides.hole)
        if picture is None:
            return None
        alt = f"Hole view of group {group.number}, {sentences.count(group.holes, 'hole')}"
        return Figure(f"group-{group.id}", picture, group_overlay(grid, inside, group, picture), alt, HOLE_SHOWN)

    def shot(self, shot: ExposureView, ending: str) -> Figure | None:
        """Show one of the pictures that the analysis of an exposure left."""
        found = [image for image in shot.images if image.kind == "picture" and _stem(image).endswith(f"-{ending}")]
        picture = self._picture(found[-1] if found else None, self._sides.shot)
        alt = f"{ending.capitalize()} of exposure {shot.number}"
        return None if picture is None else Figure("", picture, Overlay(), alt)

    def _picture(self, image: ImageView | None, side: int) -> Picture | None:
        return None if image is None else picture_of(self._folder / image.path, side, shown_as=image.path)


def sides_of(night: WholeNight) -> Sides:
    """Choose the sizes of a report's pictures from how many there are."""
    squares = [one for grid in night.grids for one in grid.squares]
    return sides_for(
        grids=sum(1 for grid in night.grids if grid.atlas is not None),
        squares=sum(1 for one in squares if one.square.image),
        holes=sum(1 for one in squares for group in one.groups if group.image),
        shots=sum(len(one.shots) for one in squares),
    )


def grid_section(grid: GridNight, darkroom: Darkroom) -> GridSection:
    """Gather what the page shows of one grid."""
    atlas = None if grid.atlas is None else darkroom.atlas(grid, grid.atlas)
    counted = grid.summary.categories
    return GridSection(
        grid=grid,
        why=sentences.why(grid.ranked, grid.faults),
        faults=tuple(sentences.fault_digest(grid.faults, ())),
        atlas=None if atlas is None else atlas[0],
        thumbnail=None if atlas is None else atlas[1],
        next_step=sentences.next_step(grid.ranked, [one.square for one in grid.squares]),
        classes=tuple((name, counted[name]) for name in sentences.CATEGORIES if name in counted),
        spreads={name: found for name in MEASURES if (found := _spread(name, grid.shots)) is not None},
        squares=tuple(_square_section(grid, inside, darkroom) for inside in grid.visited),
        quality=None if atlas is None else quality_map(grid, atlas[0].overlay, atlas[0].picture),
        by_square=plots.resolution_by_square(grid),
        by_ice=plots.resolution_by_ice(grid),
        decisions=tuple(decision_section(decision, [grid]) for decision in grid.decisions),
    )


def decision_section(decision: DecisionView, grids: Sequence[GridNight]) -> DecisionSection:
    """Put a decision into words: what it took and why, and how many it left for which reason."""
    names = _names(decision, grids)
    chosen = [int(one) for one in decision.chosen]

    def reason(one: int) -> str:
        return sentences.reason(str(decision.reasons.get(str(one), "")))

    taken = [Reason(names.get(one, f"no. {one}"), decision.scores.get(str(one)), reason(one)) for one in chosen]
    left = Counter(sentences.kind_of_reason(reason(int(n))) for n in decision.offered if int(n) not in set(chosen))
    inside = [one.square.number for grid in grids for one in grid.squares if one.square.id == decision.of_id]
    of = f" of square {inside[0]}" if decision.of_kind == "square" and inside else ""
    return DecisionSection(decision, f"Which {decision.question}{of}?", tuple(taken), tuple(left.most_common(8)))


def _square_section(grid: GridNight, inside: SquareNight, darkroom: Darkroom) -> SquareSection:
    return SquareSection(
        inside,
        darkroom.square(grid, inside),
        tuple((group, darkroom.group(grid, inside, group)) for group in inside.groups),
        tuple(ShotCell(s, darkroom.shot(s, "micrograph"), darkroom.shot(s, "spectrum")) for s in inside.shots),
    )


def _names(decision: DecisionView, grids: Sequence[GridNight]) -> dict[int, str]:
    """Give the names of what was offered, by id."""
    if decision.question == "grids":
        return {grid.summary.id: f"slot {grid.summary.slot}" for grid in grids}
    squares = [one for grid in grids for one in grid.squares]
    if decision.question == "squares":
        return {one.square.id: f"square {one.square.number}" for one in squares}
    return {hole.id: f"hole {hole.number}" for one in squares for hole in one.holes}


def _spread(name: str, shots: Sequence[ExposureView]) -> Spread | None:
    values = sorted(shot.measures[name] for shot in shots if shot.status == "done" and name in shot.measures)
    return Spread(median(values), values[0], values[-1]) if values else None


def _stem(image: ImageView) -> str:
    return image.name.removesuffix(".png")
