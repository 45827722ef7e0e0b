"""Where to focus and whether to: on film or spent holes, never on a target; not at all where the height is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .defocus import focus_places
from .height_plane import FEWEST, Plane, Predicted, Scatter, plane_near, pooled, predicted
from .points import Points, as_point, as_points, distances


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to focus at, µm, and the rows of the targets that its beam would reach: they can be targets no more."""

    x_um: float
    y_um: float
    spoils: tuple[int, ...] = ()


def focus_spots(
    centre_um: ArrayLike,
    targets_um: ArrayLike,
    others_um: ArrayLike,
    basis_um: Sequence[Sequence[float]] | None,
    beam_radius_um: float,
    most: int,
    *,
    hole_radius_um: float = 0.0,
    distance_um: float | None = None,
    towards_um: ArrayLike | None = None,
) -> list[Spot]:
    """Give places to focus one after the other, the best first, their beams clear of every target.

    Clear of all holes where there is room; else clear of the targets alone, so that spent holes and such as nobody
    wants may be lit. Where not even that can be, the place that spoils the fewest targets is given, and which.

    Parameters
    ----------
    centre_um
        Centre of the group.
    targets_um
        Holes still to be exposed, (n, 2).
    others_um
        All other holes, (m, 2).
    basis_um
        The two steps of the hole lattice, or None.
    beam_radius_um, hole_radius_um
        Of the illuminated disc while focusing, and of the holes.
    most
        How many places at most.
    distance_um
        Distance from the centre where there is no lattice; None is left to `focus_places`.
    towards_um
        Where there is film for certain; the first place is mirrored at the centre if that is nearer to it and as clear.

    Raises
    ------
    BadInput
        As `focus_places` does.
    """
    targets, others = as_points(targets_um, "Targets"), as_points(others_um, "Other holes")
    first, second = (None, None) if basis_um is None else (basis_um[0], basis_um[1])
    needed = beam_radius_um + hole_radius_um

    def places(holes: Points) -> list[tuple[float, float]]:
        return focus_places(
            centre_um,
            holes,
            first,
            second,
            beam_radius_um,
            most,
            hole_radius_um=hole_radius_um,
            distance_um=distance_um,
        )

    everything = np.vstack([targets, others])
    for holes in (everything, targets):
        found = places(holes)
        clear = [place for place in found if not _lit(place, holes, needed)]
        if clear:
            mirrored = None if towards_um is None else _mirrored(clear[0], centre_um, towards_um)
            if mirrored is not None and not _lit(mirrored, holes, needed):
                clear[0] = mirrored
            return [Spot(*place) for place in clear]
    spots = [Spot(x, y, tuple(_lit((x, y), targets, needed))) for x, y in found]
    return sorted(spots, key=lambda spot: len(spot.spoils))


def known_height(
    place_um: ArrayLike, measured_um: ArrayLike, heights_um: ArrayLike, elsewhere: Sequence[Plane] = ()
) -> tuple[Plane, Predicted] | None:
    """Tell the height of a place from those measured in its square, and how surely; None where they tell nothing.

    Parameters
    ----------
    place_um
        (x, y).
    measured_um, heights_um
        Where heights were measured in this square, (n, 2), and these, (n,).
    elsewhere
        Planes of other squares of the grid or the night, each of a part as wide, which tell how heights scatter.
    """
    plane = plane_near(place_um, measured_um, heights_um)
    if plane is None:
        return None
    told = predicted(plane, pooled(elsewhere) if elsewhere else Scatter(0.0, 0), place_um)
    return None if told is None else (plane, told)


def spread_first(places_um: ArrayLike) -> tuple[int, ...]:
    """Give rows of places that lie far apart over all of them: focused first, they tell of the others.

    A third of them, and no fewer than tell anything; none where the others would be too few to be worth it. The first
    is the one farthest from the middle, each next one the farthest from those before.
    """
    places = as_points(places_um, "Places to focus for")
    count = max(FEWEST, len(places) // 3)
    if len(places) <= count + 1:
        return ()
    away = np.linalg.norm(places - places.mean(axis=0), axis=1)
    rows = [int(np.argmax(np.round(away, 3)))]
    gaps = np.full(len(places), np.inf)
    while len(rows) < count:
        gaps = np.minimum(gaps, distances(places, places[rows[-1:]])[:, 0])
        rows.append(int(np.argmax(np.round(gaps, 3))))
    return tuple(rows)


def _mirrored(place: tuple[float, float], centre_um: ArrayLike, towards_um: ArrayLike) -> tuple[float, float] | None:
    """Give the place on the other side of the centre, None if it is no nearer to where one would rather be."""
    centre, there = as_point(centre_um, "The centre"), as_point(towards_um, "The middle of the square")
    x_um, y_um = (2 * centre - place).tolist()
    nearer = np.linalg.norm((x_um, y_um) - there) < np.linalg.norm(place - there)
    return (x_um, y_um) if nearer else None


def _lit(place: tuple[float, float], holes: Points, needed: float) -> list[int]:
    """Give the rows of the holes that a beam at a place reaches."""
    if len(holes) == 0:
        return []
    near: NDArray[np.intp] = np.flatnonzero(distances(np.array([place]), holes)[0] < needed - 1e-9)
    return [int(row) for row in near]
