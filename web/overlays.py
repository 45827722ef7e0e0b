"""What is drawn over pictures: outlines of squares, rings of holes, numbers of visits, a scale bar.

Everything is geometry in the pixels of the shown picture; the templates turn it into SVG with a dark halo under every
line, so that it can be read on bright film and on dark. Kinds differ in colour and in the dashes of the line, or in
shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..protocols.errors import BadInput
from ..targeting.frames import apply, compose, invert
from .night import AtlasView, GridView, GroupView, HoleView, ImageView, SquareView
from .pictures import Picture
from .ranking import is_good
from .sentences import CATEGORIES

Rows = Sequence[Sequence[float]]
_NICE_UM = tuple(m * 10.0**e for e in range(-3, 4) for m in (1, 2, 5))


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A length to measure by: ``width`` in shown pixels."""

    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Outline:
    """One square on the atlas; ``visit`` is its place in the order of visits, empty when it was not visited."""

    category: str
    points: str
    x: float
    y: float
    size: float
    visit: str
    result: str
    title: str


@dataclass(frozen=True, slots=True)
class Rings:
    """All holes of one status as one path."""

    status: str
    path: str
    number: int


@dataclass(frozen=True, slots=True)
class Mark:
    """An exposure taken: where the beam was set, its number in the night and its verdict (usable, poor, open, lost)."""

    x: float
    y: float
    radius: float
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
        to_pixels = invert(_affine(image.image_to_stage))
        self._to_pixels = compose(to_pixels, _affine(frame)) if frame is not None else to_pixels
        self._scale = picture.scale
        (a, b, _), (c, d, _) = self._to_pixels
        self.pixels_per_um = math.sqrt(abs(a * d - b * c)) * self._scale

    def xy(self, points_um: ArrayLike) -> NDArray[np.float64]:
        """Carry stage positions (n, 2) to (x, y) of the shown picture, origin at its upper left corner."""
        found = apply(self._to_pixels, points_um)
        return (found[:, ::-1] + 0.5) * self._scale


def frame_at(image: ImageView, grid: GridView) -> Rows | None:
    """Choose the frame an image was taken in: the stage's own at the first load, the grid's after a later one."""
    surveys = [(a.load_number, a.image.taken_at) for a in grid.atlases if a.image is not None]
    loads = [number for number, at in surveys if at <= image.taken_at]
    return grid.frame if loads and max(loads) > min(number for number, _ in surveys) else None


def atlas_overlay(grid: GridView, atlas: AtlasView, picture: Picture) -> Overlay:
    """Outline every square of a grid on its atlas, the visited ones numbered in their order."""
    projection = _projection(atlas.image, picture, grid)
    if projection is None:
        return Overlay()
    order = {square.id: place for place, square in enumerate(grid.visited, 1)}
    outlines = [
        _outline(square, projection, order.get(square.id))
        for square in sorted(grid.squares, key=lambda square: square.id in order)
        if square.corners_um
    ]
    return Overlay(outlines=tuple(outlines), bar=scale_bar(projection, picture))


def square_overlay(grid: GridView, square: SquareView, picture: Picture) -> Overlay:
    """Ring every hole of a square, and mark the exposures."""
    return _holes_overlay(grid, square.image, square.holes, picture, (0.0, 0.0))


def group_overlay(grid: GridView, group: GroupView, picture: Picture) -> Overlay:
    """Ring the holes of one group on its own view, where re-centring found them."""
    found = (group.correction_x_um, group.correction_y_um)
    return _holes_overlay(grid, group.image, group.holes, picture, found)


def scale_bar(projection: Projection, picture: Picture) -> ScaleBar:
    """Choose a round length of about a fifth of the picture."""
    wanted = 0.22 * picture.width / projection.pixels_per_um
    length = max((nice for nice in _NICE_UM if nice <= wanted), default=_NICE_UM[0])
    label = f"{length:g} µm" if length >= 1 else f"{1000 * length:g} nm"
    return ScaleBar(length * projection.pixels_per_um, label)


def _projection(image: ImageView | None, picture: Picture, grid: GridView) -> Projection | None:
    if image is None or picture.missing:
        return None
    try:
        return Projection(image, picture, frame_at(image, grid))
    except BadInput:
        return None


def _outline(square: SquareView, projection: Projection, visit: int | None) -> Outline:
    corners = projection.xy(square.corners_um)
    x, y = corners.mean(axis=0)
    usable = sum(1 for shot in square.exposures if shot.usable)
    shots = len(square.exposures)
    result = "" if not shots else "usable" if 2 * usable >= shots else "poor"
    words = f"square {square.number}: {CATEGORIES.get(square.category, square.category)}, score {square.score:.2f}"
    if shots:
        words += f", {usable} of {shots} exposures usable"
    return Outline(
        category=square.category if square.category in CATEGORIES else "other",
        points=" ".join(f"{px:.1f},{py:.1f}" for px, py in corners),
        x=float(x),
        y=float(y),
        size=float(np.ptp(corners, axis=0).min()),
        visit="" if visit is None else str(visit),
        result=result,
        title=words + ("" if is_good(square) or not square.partial else ", cut by the border"),
    )


def _holes_overlay(
    grid: GridView,
    image: ImageView | None,
    holes: Sequence[HoleView],
    picture: Picture,
    moved_um: tuple[float, float],
) -> Overlay:
    projection = _projection(image, picture, grid)
    if projection is None:
        return Overlay()
    if not holes:
        return Overlay(bar=scale_bar(projection, picture))
    shift = np.array(moved_um)
    centres = projection.xy(np.array([(hole.stage_x_um, hole.stage_y_um) for hole in holes]) + shift)
    radius = max(median(hole.radius_um for hole in holes) * projection.pixels_per_um, 1.0)
    rings: dict[str, list[tuple[float, float]]] = {}
    for hole, (x, y) in zip(holes, centres, strict=True):
        if _inside(x, y, picture, radius):
            rings.setdefault(_ring_kind(hole), []).append((float(x), float(y)))
    marks = [_mark(hole, projection, radius, shift) for hole in holes if hole.exposure is not None]
    return Overlay(
        rings=tuple(Rings(kind, circles(at, radius), len(at)) for kind, at in sorted(rings.items())),
        marks=tuple(mark for mark in marks if _inside(mark.x, mark.y, picture, radius)),
        bar=scale_bar(projection, picture),
    )


def _ring_kind(hole: HoleView) -> str:
    if hole.exposure is not None:
        return "exposed"
    if hole.status in ("chosen", "failed", "lost"):
        return hole.status
    return hole.site if hole.site in ("hole", "partial", "covered", "missing") else "hole"


def _mark(hole: HoleView, projection: Projection, radius: float, shift: NDArray[np.float64]) -> Mark:
    shot = hole.exposure
    assert shot is not None
    aimed = np.array([[hole.stage_x_um + shot.offset_x_um, hole.stage_y_um + shot.offset_y_um]]) + shift
    x, y = projection.xy(aimed)[0]
    verdict = "lost" if shot.status != "done" else {True: "usable", False: "poor", None: "open"}[shot.usable]
    words = {"usable": "usable", "poor": "not usable", "open": "not judged", "lost": shot.status}[verdict]
    return Mark(float(x), float(y), radius, str(shot.number), verdict, f"exposure {shot.number}, {words}")


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
