"""The rolling defocus series, and where to focus off target."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..protocols.errors import BadInput
from .points import Points, as_point, as_points, distances

_NO_STEP_UM = 1e-4
_STEPS_OUT = 6
_DIRECTIONS = 16


def rolling_defocus(n: int, minimum_um: float, maximum_um: float, step_um: float) -> float:
    """Give the n-th defocus of a rolling series, underfocus negative.

    The series starts at the end nearest to zero, goes away from zero by ``|step_um|`` while it stays in the range, and
    begins again. It depends on ``n`` alone, so a restart goes on where the night stopped. A step of 0 holds the end
    nearest to zero.

    Parameters
    ----------
    n
        Number of the value, from 0.
    minimum_um, maximum_um
        The two ends, in either order, on one side of zero.

    Raises
    ------
    BadInput
        A negative ``n``, values that are not finite, or ends on two sides of zero.
    """
    if n < 0:
        raise BadInput(f"The defocus series is counted from 0, not from {n}.")
    if not np.isfinite([minimum_um, maximum_um, step_um]).all():
        raise BadInput("The ends and the step of a defocus series must be finite numbers.")
    if minimum_um * maximum_um < 0:
        raise BadInput(f"A defocus series from {minimum_um} to {maximum_um} µm passes through focus; choose one side.")
    near, far = sorted((float(minimum_um), float(maximum_um)), key=abs)
    step = abs(float(step_um))
    if step < _NO_STEP_UM:
        return near
    values = int(np.floor(abs(far - near) / step + 1e-6)) + 1
    taken = (n % values) * step
    return round(near + (taken if far > near else -taken), 6)


def focus_point(
    centre_um: ArrayLike,
    holes_um: ArrayLike,
    a_um: Sequence[float] | None,
    b_um: Sequence[float] | None,
    beam_radius_um: float,
    *,
    hole_radius_um: float = 0.0,
    distance_um: float | None = None,
) -> tuple[float, float]:
    """Give the place to focus: on the film, near the group, its beam clear of every hole that is to be exposed.

    With a lattice these are the middles of its cells, half a diagonal from the centre and outward from there; without
    one, directions at ``distance_um``. The nearest clear one is given, the farthest from all holes among equals; when
    none is clear, the one with the widest gap.

    Parameters
    ----------
    centre_um
        Centre of the group, where the stage will stand.
    holes_um
        Holes to be exposed, (n, 2).
    a_um, b_um
        Basis of the hole lattice, or None.
    beam_radius_um
        Radius of the illuminated disc while focusing.
    hole_radius_um
        Radius of a hole; the beam keeps clear of its edge.
    distance_um
        Distance without a lattice; None is twice the beam's radius, at least 1 µm.

    Raises
    ------
    BadInput
        Positions that are not finite, a lattice that is a line, or a radius below 0.
    """
    centre, holes = as_point(centre_um, "The group's centre"), as_points(holes_um, "Holes to be exposed")
    if not (beam_radius_um >= 0 and hole_radius_um >= 0):
        raise BadInput(f"A beam of radius {beam_radius_um} µm or a hole of {hole_radius_um} µm cannot be.")
    if a_um is None or b_um is None:
        reach = distance_um if distance_um is not None else max(2 * beam_radius_um, 1.0)
        places = centre + _circle_steps(reach)
    else:
        places = centre + _cell_middles(as_points([a_um, b_um], "The lattice's basis"))
    gaps = distances(places, holes).min(axis=1) if len(holes) else np.full(len(places), np.inf)
    place = places[_best_place(np.linalg.norm(places - centre, axis=1), gaps, beam_radius_um + hole_radius_um)]
    return float(place[0]), float(place[1])


def focus_places(
    centre_um: ArrayLike,
    holes_um: ArrayLike,
    a_um: Sequence[float] | None,
    b_um: Sequence[float] | None,
    beam_radius_um: float,
    most: int,
    *,
    hole_radius_um: float = 0.0,
    distance_um: float | None = None,
) -> list[tuple[float, float]]:
    """Give places to focus one after the other, the best first: where one shows nothing, the next may.

    The first is that of `focus_point`; each further one is the best of those from which no beam reaches into that of an
    earlier one. Fewer than ``most`` where there are no more. Parameters and errors as there.
    """
    found: list[tuple[float, float]] = []
    taken = as_points(holes_um, "Holes to be exposed")
    while len(found) < most:
        place = focus_point(
            centre_um, taken, a_um, b_um, beam_radius_um, hole_radius_um=hole_radius_um, distance_um=distance_um
        )
        if found and min(np.hypot(place[0] - x, place[1] - y) for x, y in found) < 2 * beam_radius_um:
            break
        found.append(place)
        # A place that was used keeps the next one away as a hole does, by the beam instead of the hole's radius.
        taken = np.vstack([taken, [place]]) if len(taken) else np.array([place])
    return found


def _cell_middles(basis: Points) -> Points:
    """Give the middles of the lattice's cells about a site, on its shorter diagonals, out to some steps."""
    area = abs(np.linalg.det(basis))
    if area <= 1e-9 * np.prod(np.linalg.norm(basis, axis=1)) or area == 0:
        raise BadInput("The lattice's two basis vectors lie on one line; find the holes again.")
    halves = np.arange(-_STEPS_OUT, _STEPS_OUT) + 0.5
    return np.array([i * basis[0] + j * basis[1] for i in halves for j in halves])


def _circle_steps(reach_um: float) -> Points:
    angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    return np.vstack([circle * reach_um * (1 + 0.5 * ring) for ring in range(_STEPS_OUT)])


def _best_place(far: Points, gaps: Points, needed: float) -> int:
    """Give the nearest place with the gap needed; ties (1 nm) go to the wider gap, then to the first."""
    clear = np.flatnonzero(gaps >= needed)
    if clear.size == 0:
        return int(np.lexsort((far, -np.round(gaps, 3)))[0])
    order = np.lexsort((-np.round(gaps[clear], 3), np.round(far[clear], 3)))
    return int(clear[order[0]])
