"""What a simulated picture shows, in its own pixels: every opening of the mesh and every hole, from the truth.

Places are (row, col) px, origin at the centre of the first pixel, and follow the true view: where things really fell,
not where the instrument believed it looked. Nothing that decides or detects may import this.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ....protocols.preset import Preset
from ..grid.cells import Floats
from ..grid.film import RIM_UM
from ..grid.openings import SquareKind
from ..grid.world import GridWorld
from ..instrument.instrument import Instrument
from ..pictures.illuminated import light_of, matter_of
from ..pictures.specimen import holes_in
from ..pictures.view import View
from .truth import EMPTY_NM, USABLE_A, spoilt_by
from .truth_table import Grade, HoleRow, SquareRow, hole_rows, square_row

SMALLEST_HOLE_PX = 2.0
"""Holes of a smaller radius are not labelled: nobody sees them one by one."""

_TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)

GONE = ("no film", "tear", "mark")
"""A hole that is spoilt by one of these does not show."""

MOST_FIELDS = 2.0
"""An opening so many times wider than the picture has no label."""

ROSE = 5.0
"""A thing stands out when it differs from its surroundings by so many standard deviations of its counts (Rose 1948)."""


class HoleState(StrEnum):
    """What an exposure of a hole would be worth."""

    USABLE = "usable"
    POOR = "poor"
    EMPTY = "empty"
    SPOILT = "spoilt"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class SquareLabel:
    """One opening of the mesh.

    Attributes
    ----------
    i, j
        Its indices on the grid.
    grade
        What an operator would call it.
    kind
        What the world drew it as, a name of `SquareKind` in small letters.
    row_px, col_px
        Its middle.
    corners_px
        Shape (n, 2): 4 corners, or 6 of a hexagonal mesh; they may lie outside the picture. Its corners are round, so
        these are a little beyond the bars.
    ice_nm
        Ice on the film in its middle half, median.
    usable
        Fraction of its holes that are usable; of its film, where that has no holes.
    cut
        Whether the picture's border cuts it.
    rim
        Whether the grid's ring covers some of it.
    """

    i: int
    j: int
    grade: Grade
    kind: str
    row_px: float
    col_px: float
    corners_px: NDArray[np.float64]
    ice_nm: float
    usable: float
    cut: bool
    rim: bool


@dataclass(frozen=True, slots=True)
class HoleLabel:
    """One hole of the film.

    Attributes
    ----------
    a, b
        Its indices on the film's lattice.
    row_px, col_px, radius_px
        Its middle, and the mean radius of its outline.
    outline_px
        Shape (n, 2), in order around it: a circle on the grid, whatever tilt and lenses make of it.
    ice_nm, resolution_a
        Ice in its middle, and what an exposure would reach; infinite where there is nothing to see.
    state
        What that makes it.
    spoilt_by
        Why there is nothing to see, if there is not: see `truth.TrueHole`.
    snr
        By how many standard deviations of its own counts it differs from the film around it.
    cut
        Whether the picture's border cuts it.
    """

    a: int
    b: int
    row_px: float
    col_px: float
    radius_px: float
    outline_px: NDArray[np.float64]
    ice_nm: float
    resolution_a: float
    state: HoleState
    spoilt_by: str
    snr: float
    cut: bool

    @property
    def visible(self) -> bool:
        """Whether it stands out of the film."""
        return self.snr >= ROSE


class _Present(NamedTuple):
    """A hole that is there, in the grid's frame."""

    a: int
    b: int
    x_um: float
    y_um: float
    radius_um: float
    ice_nm: float
    resolution_a: float
    state: HoleState
    spoilt_by: str


def squares_seen(instrument: Instrument, preset: Preset, at: datetime) -> list[SquareLabel]:
    """Label every opening of which this picture shows something; none where one fills it many times over."""
    world, view = instrument.world, instrument.view(preset, at)
    if world is None or world.bars.mesh.opening_um > MOST_FIELDS * min(view.rows, view.cols) * view.pixel_um:
        return []
    found = []
    for i, j in _near(world, view):
        corners = _corners(world, i, j)
        if np.hypot(*corners.T).min() >= RIM_UM:
            continue
        at_px = drawn(view, corners)
        if shown_part(at_px, view.rows, view.cols)[1] > 0:
            rim = bool(np.hypot(*corners.T).max() > RIM_UM)
            found.append(_square(square_row(world, i, j, *_exposure(instrument)), view, at_px, rim=rim))
    return found


def holes_seen(instrument: Instrument, preset: Preset, at: datetime) -> list[HoleLabel]:
    """Label every hole of which this picture shows something; none where they are too small to be told apart.

    A hole whose film is gone (an empty square, a tear) or that metal hides is not there and has no label. One that a
    bar covers in part is labelled `HoleState.CUT`.
    """
    world, view = instrument.world, instrument.view(preset, at)
    if world is None or world.film.hole_um / 2 < SMALLEST_HOLE_PX * view.pixel_um:
        return []
    present = [hole for i, j in _near(world, view) for hole in _present(world, i, j, *_exposure(instrument))]
    if not present:
        return []
    places = np.array([[hole.x_um, hole.y_um] for hole in present])
    radii_um = np.array([hole.radius_um for hole in present])
    centres = drawn(view, places)
    outlines = drawn(view, places[:, None] + radii_um[:, None, None] * _CIRCLE)
    radii = np.linalg.norm(outlines - centres[:, None], axis=-1).mean(axis=1)
    snr = _snr(instrument, preset, present, radii, light_of(instrument, preset, at).electrons)
    low, high = outlines.min(axis=1) + 0.5, outlines.max(axis=1) + 0.5
    ends = np.array([view.rows, view.cols])
    touching, inside = ((high > 0) & (low < ends)).all(axis=1), ((low >= 0) & (high <= ends)).all(axis=1)
    return [
        HoleLabel(
            hole.a, hole.b, float(centres[n, 0]), float(centres[n, 1]), float(radii[n]), outlines[n], hole.ice_nm,
            hole.resolution_a, hole.state, hole.spoilt_by, float(snr[n]), not bool(inside[n]),
        )
        for n, hole in enumerate(present)
        if touching[n]
    ]  # fmt: skip


def drawn(view: View, places: Floats) -> Floats:
    """Give (row, col) of places (..., 2) in the grid's frame, also of those so far outside that no lens law holds."""
    straight = np.asarray((places - view.to_grid[:, 2]) @ np.linalg.inv(view.to_grid[:, :2]).T)
    middle = np.array([(view.rows - 1) / 2, (view.cols - 1) / 2])
    off = straight - middle
    far = np.linalg.norm(off, axis=-1, keepdims=True) / np.linalg.norm(middle)
    near = middle + off / np.maximum(far, 1.0)
    bent = view.pixels_of(near @ view.to_grid[:, :2].T + view.to_grid[:, 2]) - near
    return np.asarray(straight + bent)


def shown_part(outline_px: Floats, rows: int, cols: int) -> tuple[Floats, float]:
    """Cut a convex outline (n, 2) by the picture's border: what is left of it, (m, 2), and its area in px²."""
    frame = np.array([[-0.5, -0.5], [-0.5, cols - 0.5], [rows - 0.5, cols - 0.5], [rows - 0.5, -0.5]])
    area, left = cv2.intersectConvexConvex(outline_px.astype(np.float32), frame.astype(np.float32))
    return np.asarray([] if left is None else left, np.float64).reshape(-1, 2), float(area)


def _exposure(instrument: Instrument) -> tuple[float, float]:
    """Give voltage in kV and dose in e⁻/Å² of the exposures that labels tell the worth of."""
    profile = instrument.profile
    return profile.optics.voltage_kv, profile.levels["exposure"].preset.dose_e_per_a2


def _square(true: SquareRow, view: View, corners_px: Floats, *, rim: bool) -> SquareLabel:
    row, col = drawn(view, np.array([true.x_um, true.y_um]))
    inside = (corners_px >= -0.5).all() and (corners_px <= [view.rows - 0.5, view.cols - 0.5]).all()
    return SquareLabel(
        true.i, true.j, true.grade, true.kind, float(row), float(col), corners_px, true.ice_nm, true.usable,
        not inside, rim,
    )  # fmt: skip


def _present(world: GridWorld, i: int, j: int, voltage_kv: float, dose_e_per_a2: float) -> list[_Present]:
    """Give the holes of a square whose film is there, whole ones and those a bar covers in part."""
    if world.square(i, j).kind[0] == SquareKind.EMPTY:
        return []
    whole = [
        _Present(
            hole.a, hole.b, hole.x_um, hole.y_um, hole.radius_um, hole.ice_nm, hole.resolution_a, _state(hole),
            hole.spoilt_by,
        )
        for hole in hole_rows(world, i, j, voltage_kv, (dose_e_per_a2,))
        if hole.spoilt_by not in GONE
    ]  # fmt: skip
    return [hole for hole in [*whole, *_cut_by_bars(world, i, j)] if math.hypot(hole.x_um, hole.y_um) < RIM_UM]


def _state(hole: HoleRow) -> HoleState:
    if hole.ice_nm < EMPTY_NM:
        return HoleState.EMPTY
    if math.isinf(hole.resolution_a):
        return HoleState.SPOILT
    return HoleState.USABLE if hole.resolution_a <= USABLE_A else HoleState.POOR


def _snr(instrument: Instrument, preset: Preset, holes: list[_Present], radius_px: Floats, electrons: float) -> Floats:
    """Compare what the holes let through with the film beside them, by the counts their areas give."""
    world = instrument.world
    assert world is not None
    paths, _ = matter_of(instrument, preset)
    x, y, ice = np.array([(hole.x_um, hole.y_um, hole.ice_nm) for hole in holes]).T
    through = np.exp(-ice / paths.ice_nm)
    film = np.exp(-world.ice_nm(x, y) / paths.ice_nm - world.film.thickness_nm / paths.film_nm)
    counts = electrons * math.pi * radius_px**2
    return np.asarray(np.abs(through - film) * np.sqrt(counts / np.maximum(film, 1e-6)))


def _cut_by_bars(world: GridWorld, i: int, j: int) -> list[_Present]:
    half = world.bars.mesh.opening_um * 0.75
    holes = holes_in(world, world.centre_of(i, j) + half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]))
    own = world.squares_at(holes.x_um, holes.y_um)
    edge = world.bar_distance_um(holes.x_um, holes.y_um, own)
    part = (own.i == i) & (own.j == j) & (np.abs(edge) < holes.radius_um)
    picked = holes.where(part)
    ice, why = world.ice_in_hole(picked), spoilt_by(world, (i, j), np.stack([picked.x_um, picked.y_um], axis=-1))
    table = zip(picked.a, picked.b, picked.x_um, picked.y_um, picked.radius_um, ice, why, strict=True)
    return [
        _Present(int(a), int(b), float(x), float(y), float(radius), float(thick), math.inf, HoleState.CUT, "bar")
        for a, b, x, y, radius, thick, cause in table
        if cause not in GONE
    ]


def _near(world: GridWorld, view: View) -> list[tuple[int, int]]:
    """Give the indices of all openings that could reach into a view."""
    index = (view.corners - world.offset_um) @ np.linalg.inv(world.bars.basis_um).T
    low, high = np.floor(index.min(axis=0) - 1).astype(int), np.ceil(index.max(axis=0) + 1).astype(int)
    reach = world.squares.i.shape[0] // 2
    low, high = np.maximum(low, -reach), np.minimum(high, reach)
    middle = view.corners.mean(axis=0)
    far = np.linalg.norm(view.corners - middle, axis=1).max() + 0.75 * world.bars.mesh.opening_um
    spanned = [(i, j) for i in range(low[0], high[0] + 1) for j in range(low[1], high[1] + 1)]
    return [index for index in spanned if math.dist(world.centre_of(*index), middle) < far]


def _corners(world: GridWorld, i: int, j: int) -> Floats:
    """Give the corners of an opening in the grid's frame, in order around it, (n, 2)."""
    half = world.bars.mesh.opening_um / 2 * float(world.square(i, j).size[0])
    if world.bars.mesh.lattice == "hexagonal":
        turn = np.radians(30 + 60 * np.arange(6))
        around = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 2 / math.sqrt(3)
    else:
        around = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    return np.asarray(world.centre_of(i, j) + half * around)
