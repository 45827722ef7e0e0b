"""The sites of the hole lattice as they truly are: what became of each, its ice, and how it stands beside the others.

The terms in which error models tell what finders make of holes; see `conditions`.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..evaluation import truth
from ..grid.cells import Floats
from ..grid.film import RIM_UM
from ..grid.openings import SquareKind
from ..grid.world import GridWorld
from ..instrument.instrument import Instrument
from ..pictures.illuminated import matter_of
from ..pictures.specimen import View, holes_in
from .conditions import Ints, on_material, path_of
from .error_models import PARTICULAR

FILLED_SHARE = 0.5
"""A hole counts as filled when its ice leaves it less than this share of the contrast of an empty one."""

NUMBERS = ("x_um", "y_um", "radius_um", "ice_nm", "brighter", "beyond_radii")
"""Fields of sites that are put together from square to square."""

CUT = "cut"
NOT_WHOLE = (CUT, "gone", "border")
"""Sites that say nothing of what is usual: no whole hole is seen there."""

LEAST_BRIGHTER = 0.01
"""The least by which the usual hole counts as brighter than film, as part of the beam."""

ICE_NM = (40.0, 80.0, 120.0, 200.0, 300.0)
HOLDING = ("to 40 nm", "to 80 nm", "to 120 nm", "to 200 nm", "to 300 nm", "thicker")
"""Ice tells holes apart that stand alike beside the others of their view."""

OPEN, FILLED = "open", "filled"
"""Whether a hole is brighter than the film, as most are, or holds so much ice that it hardly is."""


@dataclass(frozen=True, slots=True)
class Sites:
    """Sites of the hole lattice, one array element each: indices, place in the grid's frame, radius, ice, class.

    ``brighter`` is how much more of the beam gets through in the middle of the hole than through the film around it;
    ``beyond_radii`` how far the middle lies beyond the edge of the opening or the grid's rim, less than none within.
    """

    a: Ints
    b: Ints
    x_um: Floats
    y_um: Floats
    radius_um: Floats
    ice_nm: Floats
    brighter: Floats
    beyond_radii: Floats
    of: tuple[str, ...]


Known = dict[tuple[int, int], Sites]
"""Sites of squares by the squares' indices."""


@dataclass(frozen=True, slots=True)
class SitesInView:
    """Sites that a view shows, one array element each; ``places_px`` (n, 2) are true places (row, col).

    ``stands`` is how each stands beside the usual hole of the view; see `_standing_beside`.
    """

    a: Ints
    b: Ints
    places_px: Floats
    radius_um: Floats
    ice_nm: Floats
    stands: Floats
    of: tuple[str, ...]


def known_sites(instrument: Instrument, world: GridWorld, known: Known, i: int, j: int) -> Sites:
    """Give the sites of one square; ``known`` keeps squares that were looked at before."""
    if (i, j) not in known:
        known[i, j] = sites_of(instrument, world, i, j)
    return known[i, j]


def sites_of(instrument: Instrument, world: GridWorld, i: int, j: int) -> Sites:
    """Describe every site of one square, those that the bars cut included."""
    half = world.bars.mesh.opening_um * 0.75
    corners = world.centre_of(i, j) + half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    holes = holes_in(world, corners)
    own = world.squares_at(holes.x_um, holes.y_um)
    edge = world.bar_distance_um(holes.x_um, holes.y_um, own)
    edge = np.maximum(edge, np.hypot(holes.x_um, holes.y_um) - RIM_UM)
    shown = np.nonzero((own.i == i) & (own.j == j) & (edge < 0.5 * holes.radius_um))
    ice = world.ice_in_hole(holes)[shown]
    beyond = (edge / holes.radius_um)[shown]
    known = {(hole.a, hole.b): hole.resolution_a for hole in truth.square_of(world, i, j).holes}
    a, b = holes.a[shown], holes.b[shown]
    empty_square = int(world.square(i, j).kind[0]) == SquareKind.EMPTY
    brighter, filled = _against_film(instrument, world, holes.x_um[shown], holes.y_um[shown], ice)
    of = []
    for n, (first, second) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        reached = known.get((first, second), math.inf)
        name = _site_class(reached, float(ice[n]), bool(beyond[n] < -1), empty_square)
        of.append(_site(world, name, FILLED if filled[n] else OPEN, float(ice[n])))
    places = (holes.x_um[shown], holes.y_um[shown], holes.radius_um[shown])
    return Sites(a, b, *places, ice, brighter, beyond, tuple(of))


def _against_film(
    instrument: Instrument, world: GridWorld, x: Floats, y: Floats, ice_nm: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Say how much brighter holes are than the film around them, and in which ice makes up for the film that is gone.

    Those stand out little, or are dark.
    """
    paths, _ = matter_of(instrument)
    empty, around_nm = world.film.thickness_nm / paths.film_nm, world.ice_nm(x, y)
    contrast = (around_nm - ice_nm) / paths.ice_nm + empty
    brighter = np.exp(-ice_nm / paths.ice_nm) - np.exp(-around_nm / paths.ice_nm - empty)
    return np.asarray(brighter), np.asarray(contrast < FILLED_SHARE * empty)


def _site_class(reached_a: float, ice_nm: float, whole: bool, empty_square: bool) -> str:
    if empty_square:
        return "gone"
    if not whole:
        return CUT
    if math.isfinite(reached_a):
        return "ice"
    return "dry" if ice_nm < truth.EMPTY_NM else "spoilt"


def _site(world: GridWorld, name: str, holds: str, ice_nm: float) -> str:
    """Tell classes of sites apart by film, whether the hole is filled, how much ice that is, and lattice."""
    return path_of(on_material(world, name), holds, HOLDING[bisect_left(ICE_NM, ice_nm)], world.spec.hole_type)


def squares_under(world: GridWorld, view: View) -> list[tuple[int, int]]:
    """Name the squares that a view may show."""
    corners = view.corners
    low, high = corners.min(axis=0), corners.max(axis=0)
    half = world.bars.mesh.opening_um / 2
    limit = world.squares.i.shape[0] // 2
    i, j = world.square_at(*corners.T)
    found = []
    for first in range(max(int(i.min()) - 1, -limit), min(int(i.max()) + 2, limit + 1)):
        for second in range(max(int(j.min()) - 1, -limit), min(int(j.max()) + 2, limit + 1)):
            middle = world.centre_of(first, second)
            if (middle + half > low).all() and (middle - half < high).all():
                found.append((first, second))
    return found


def sites_in(instrument: Instrument, world: GridWorld, view: View, known: Known) -> SitesInView:
    """Describe the sites in a view, none on a film without a lattice; ``known`` keeps squares that were looked at."""
    under = squares_under(world, view) if world.film.hole_um else []
    found = [known_sites(instrument, world, known, *index) for index in under]
    if not found:
        none = np.zeros(0)
        return SitesInView(none.astype(np.int64), none.astype(np.int64), np.zeros((0, 2)), none, none, none, ())
    x, y, radius, ice, brighter, beyond = (np.concatenate([getattr(part, name) for part in found]) for name in NUMBERS)
    a, b = (np.concatenate([getattr(part, name) for part in found]) for name in ("a", "b"))
    of = [name for part in found for name in part.of]
    places = view.pixels_of(np.stack([x, y], axis=-1))
    size, reach = np.array([view.rows, view.cols]), radius / view.pixel_um
    shown = np.flatnonzero(((places >= -0.5) & (places <= size - 0.5)).all(axis=1))
    inner = np.asarray(((places - reach[:, None] >= -0.5) & (places + reach[:, None] <= size - 0.5)).all(axis=1))
    names = tuple(of[n] if inner[n] else _at_border(world, of[n]) for n in shown)
    stands = _standing_beside(brighter[shown], beyond[shown], names)
    return SitesInView(a[shown], b[shown], places[shown], radius[shown], ice[shown], stands, names)


def _standing_beside(brighter: Floats, beyond_radii: Floats, of: Sequence[str]) -> Floats:
    """Say how much brighter than film each hole is, against the usual one of its view; of cut ones what is hidden.

    Finders score a hole by how much brighter than its film it is, against the others of the picture: of these the ones
    with the least ice score best, and all that are well above the usual alike. Ice alone does not tell that. Of a hole
    that a bar cuts they make the more the less is hidden: told by how far its middle lies beyond the edge, in radii.
    """
    whole = np.array([not name.startswith(NOT_WHOLE) for name in of], np.bool_)
    among = brighter[whole & (brighter > 0)]
    usual = max(float(np.median(among)), LEAST_BRIGHTER) if len(among) else LEAST_BRIGHTER
    cut = np.array([name.startswith(CUT) for name in of], np.bool_)
    return np.where(cut, beyond_radii, brighter / usual)


def _at_border(world: GridWorld, of: str) -> str:
    """Give the class of a site that the picture's border cuts."""
    return path_of(on_material(world, "border"), of.partition(PARTICULAR)[2])


def middle_site(sites: SitesInView, middle_px: Floats) -> str:
    """Give the class of the site nearest to the middle of a view; ``no site`` where there is none."""
    if not sites.of:
        return "no site"
    return sites.of[int(np.linalg.norm(sites.places_px - middle_px, axis=1).argmin())].partition(PARTICULAR)[0]


def holes_at(instrument: Instrument, world: GridWorld, known: Known, x_um: float, y_um: float) -> str:
    """Say whether most holes of the square at a place are open or filled; empty where there are none."""
    if world.film.hole_um == 0:
        return ""
    i, j = world.square_at(np.array([x_um]), np.array([y_um]))
    every = known_sites(instrument, world, known, int(i[0]), int(j[0])).of
    if not every:
        return ""
    filled = sum(FILLED in name.split(PARTICULAR) for name in every)
    return FILLED if 2 * filled > len(every) else OPEN
