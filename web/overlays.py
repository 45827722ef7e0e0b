"""What is drawn over pictures: outlines of squares, rings of holes, numbers of visits, a scale bar.

Everything is geometry in the pixels of the shown picture; the templates turn it into SVG with a dark halo under every
line, so that it can be read on bright film and on dark. Kinds differ in colour and in the dashes of the line, or in
shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..db.views import AtlasView, ExposureView, GroupView, HoleView, ImageView
from ..protocols.errors import BadInput
from ..targeting.frames import IDENTITY, apply, invert
from .night import GridNight, Rows, SquareNight
from .pictures import Picture
from .sentences import CATEGORIES

_NICE_UM = tuple(m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5))

ATLAS_SHOWN, SQUARE_SHOWN, HOLE_SHOWN = 520, 330, 170
"""About how wide the pictures of each level come out on the page, so that letters over them can be read."""


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A length to measure by: ``width`` in shown pixels."""

    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Outline:
    """One square on the atlas; ``visit`` is its place in the order of visits, empty when it was not visited.

    ``step`` is a fifth of the score's range, from 0; ``result`` is usable, poor or empty where nothing was judged.
    """

    category: str
    step: int
    corners: tuple[tuple[float, float], ...]
    x: float
    y: float
    visit: str
    result: str
    title: str

    @property
    def points(self) -> str:
        """The corners as SVG writes them."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.corners)


@dataclass(frozen=True, slots=True)
class Rings:
    """All holes of one status: middles (x, y) and their common radius, shown pixels."""

    status: str
    centres: tuple[tuple[float, float], ...]
    radius: float

    @property
    def path(self) -> str:
        """All of them as one SVG path."""
        return circles(self.centres, self.radius)

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.centres)


@dataclass(frozen=True, slots=True)
class Mark:
    """An exposure taken: where the beam was set, its number in the night and its verdict (usable, poor, open, lost).

    ``label`` is empty where it would cover that of another.
    """

    x: float
    y: float
    label: str
    verdict: str
    title: str


@dataclass(frozen=True, slots=True)
class Overlay:
    """Everything over one picture; empty where the image does not know where it lies."""

    outlines: tuple[Outline, ...] = ()
    rings: tuple[Rings, ...] = ()
    marks: tuple[Mark, ...] = ()
    bar: ScaleBar | None = None


class Projection:
    """From stage µm at the first load to pixels of a shown picture."""

    def __init__(self, image: ImageView, picture: Picture, frame: Rows | None) -> None:
        """Raise BadInput when the image has no place, or one that flattens the plane."""
        if image.image_to_stage is None:
            raise BadInput(f"{image.name} does not say where it lies")
        self._to_pixels = invert(_affine(image.image_to_stage))
        self._frame = _affine(frame) if frame is not None else IDENTITY
        self._scale = picture.scale
        (a, b, _), (c, d, _) = self._to_pixels
        self.pixels_per_um = math.sqrt(abs(a * d - b * c)) * self._scale

    def xy(self, points_um: ArrayLike, moved_um: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
        """Carry stage positions (n, 2) to (x, y) of the shown picture, origin at its upper left corner.

        ``moved_um`` is by how much the specimen stood beside where the stage said when the image was taken.
        """
        found = apply(self._to_pixels, apply(self._frame, points_um) + np.array(moved_um))
        return (found[:, ::-1] + 0.5) * self._scale


def atlas_overlay(grid: GridNight, atlas: AtlasView, picture: Picture) -> Overlay:
    """Outline every square of a grid on its atlas, the visited ones numbered in their order."""
    projection = _projection(grid, atlas.image, picture)
    if projection is None:
        return Overlay()
    order = {one.square.id: place for place, one in enumerate(grid.visited, 1)}
    outlines = [_outline(one, projection, order.get(one.square.id)) for one in grid.squares if one.square.corners_um]
    return Overlay(outlines=tuple(outlines), bar=scale_bar(projection, picture))


def square_overlay(grid: GridNight, inside: SquareNight, picture: Picture) -> Overlay:
    """Ring every hole of a square, and mark the exposures."""
    projection = _projection(grid, inside.square.image, picture)
    return _holes_overlay(projection, inside.holes, inside.shots, picture, SQUARE_SHOWN)


def group_overlay(grid: GridNight, inside: SquareNight, group: GroupView, picture: Picture) -> Overlay:
    """Ring the holes of one group on its own view, where re-centring found them."""
    holes = [hole for hole in inside.holes if hole.group_id == group.id]
    found = (group.correction_x_um, group.correction_y_um)
    return _holes_overlay(_projection(grid, group.image, picture), holes, inside.shots, picture, HOLE_SHOWN, found)


def scale_bar(projection: Projection, picture: Picture) -> ScaleBar:
    """Choose a round length of about a fifth of the picture."""
    wanted = 0.22 * picture.width / projection.pixels_per_um
    length = max((nice for nice in _NICE_UM if nice <= wanted), default=_NICE_UM[0])
    label = f"{length:g} µm" if length >= 1 else f"{1000 * length:g} nm"
    return ScaleBar(length * projection.pixels_per_um, label)


def _projection(grid: GridNight, image: ImageView | None, picture: Picture) -> Projection | None:
    if image is None or picture.missing:
        return None
    try:
        return Projection(image, picture, grid.frame_of(image))
    except BadInput:
        return None


def _outline(one: SquareNight, projection: Projection, visit: int | None) -> Outline:
    square = one.square
    corners = projection.xy(square.corners_um)
    x, y = corners.mean(axis=0)
    words = f"square {square.number}: {CATEGORIES.get(square.category, square.category)}, score {square.score:.2f}"
    if square.exposures:
        words += f", {square.usable} of {square.exposures} exposures usable"
    result = "usable" if 2 * square.usable >= square.exposures else "poor"
    return Outline(
        category=square.category if square.category in CATEGORIES else "other",
        step=min(int(max(square.score, 0.0) * 5), 4),
        corners=tuple((float(px), float(py)) for px, py in corners),
        x=float(x),
        y=float(y),
        visit="" if visit is None else str(visit),
        result=result if square.exposures else "",
        title=f"{words}, cut by the border" if square.partial else words,
    )


def _holes_overlay(
    projection: Projection | None,
    holes: Sequence[HoleView],
    shots: Sequence[ExposureView],
    picture: Picture,
    shown: int,
    moved_um: tuple[float, float] = (0.0, 0.0),
) -> Overlay:
    if projection is None:
        return Overlay()
    if not holes:
        return Overlay(bar=scale_bar(projection, picture))
    shots_on: dict[int, list[ExposureView]] = {}
    for shot in shots:
        shots_on.setdefault(shot.hole_id, []).append(shot)
    centres = projection.xy([(hole.stage_x_um, hole.stage_y_um) for hole in holes], moved_um)
    radius = max(median(hole.radius_um for hole in holes) * projection.pixels_per_um, 1.0)
    rings: dict[str, list[tuple[float, float]]] = {}
    for hole, (x, y) in zip(holes, centres, strict=True):
        if _inside(x, y, picture, radius):
            kind = "exposed" if hole.id in shots_on else _ring_kind(hole)
            rings.setdefault(kind, []).append((float(x), float(y)))
    marks = [_mark(shot, projection, moved_um) for hole in holes for shot in shots_on.get(hole.id, ())]
    marks = [mark for mark in marks if _inside(mark.x, mark.y, picture, radius)]
    return Overlay(
        rings=tuple(Rings(kind, tuple(at), radius) for kind, at in sorted(rings.items())),
        marks=uncrowded(marks, picture.width / shown),
        bar=scale_bar(projection, picture),
    )


def _ring_kind(hole: HoleView) -> str:
    if hole.status in ("chosen", "failed", "lost"):
        return hole.status
    return hole.site if hole.site in ("hole", "partial", "covered", "missing") else "hole"


def _mark(shot: ExposureView, projection: Projection, moved_um: tuple[float, float]) -> Mark:
    x, y = projection.xy([(shot.stage_x_um + shot.offset_x_um, shot.stage_y_um + shot.offset_y_um)], moved_um)[0]
    verdict = "lost" if shot.status != "done" else {True: "usable", False: "poor", None: "open"}[shot.usable]
    words = {"usable": "usable", "poor": "not usable", "open": "not judged", "lost": shot.status}[verdict]
    return Mark(float(x), float(y), str(shot.number), verdict, f"exposure {shot.number}, {words}")


def uncrowded(marks: Sequence[Mark], k: float) -> tuple[Mark, ...]:
    """Take the labels away that would cover an earlier one; ``k`` is picture pixels per pixel on the page."""
    kept: list[Mark] = []
    placed: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (len(mark.label), mark.label)):
        reach = 4.5 * k * (len(mark.label) + 1)
        free = all(abs(mark.x - other.x) > reach or abs(mark.y - other.y) > 13 * k for other in placed)
        if free:
            placed.append(mark)
        kept.append(mark if free else replace(mark, label=""))
    return tuple(kept)


def circles(centres: Sequence[tuple[float, float]], radius: float) -> str:
    """Draw circles as one SVG path."""
    r = f"{radius:.1f}"
    arc = f"a{r} {r} 0 1 0 {2 * radius:.1f} 0a{r} {r} 0 1 0 {-2 * radius:.1f} 0"
    return "".join(f"M{x - radius:.1f} {y:.1f}{arc}" for x, y in centres)


def crosses(centres: Sequence[tuple[float, float]], radius: float) -> str:
    """Draw diagonal crosses as one SVG path."""
    d, back = f"{2 * radius:.1f}", f"{-2 * radius:.1f}"
    return "".join(
        f"M{x - radius:.1f} {y - radius:.1f}l{d} {d}M{x + radius:.1f} {y - radius:.1f}l{back} {d}" for x, y in centres
    )


def _inside(x: float, y: float, picture: Picture, slack: float) -> bool:
    return -slack <= x <= picture.width + slack and -slack <= y <= picture.height + slack


def _affine(rows: Rows) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    (a, b, c), (d, e, f) = rows
    return ((float(a), float(b), float(c)), (float(d), float(e), float(f)))
