"""Re-centring: by how much found holes stand beside the places where they were expected.

Every pair of an expected and a found hole proposes a shift; the shift that most pairs agree on wins (a Hough vote), the
smaller one where a lattice makes several equal. Holes that were missed or invented cost votes, not accuracy.

A lattice cannot tell a shift from the same shift and a step of it. What earlier groups showed can: a stage's error
changes little over short moves, so the next group is looked for where the last ones were.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from ..protocols.errors import BadInput
from .points import Points, as_points, distances
from .uncertainty import Place, Spread, even, of_move

_TOLERANCE_OF_PITCH = 0.2
_AS_MANY = 0.9
"""A smaller shift wins over one with more matches when it has at least this share of them: the edge of a picture cuts
some holes off, and the instrument is more often a little wrong than a whole lattice step."""


@dataclass(frozen=True, slots=True)
class StageErrors:
    """How a stage errs, standard deviations per axis; as operators report them, until they are measured.

    Attributes
    ----------
    each_um
        Of any move, new each time.
    long_um, forgotten_um
        Of what long moves leave besides, and the way over which that is forgotten.
    first_um
        Of the first place after a change of level.
    measured_um
        Of one re-centring.
    """

    each_um: float = 0.3
    long_um: float = 1.0
    forgotten_um: float = 1000.0
    first_um: float = 0.5
    measured_um: float = 0.05


Earlier = tuple[tuple[float, float], tuple[float, float]]
"""A place that was gone to, and by how much what was expected there stood beside it, µm."""


def expected_offset(earlier: Sequence[Earlier], place_um: tuple[float, float], errors: StageErrors) -> Place:
    """Give by how much a place will seem off, from what earlier places nearby showed, oldest first; and how surely.

    The stage's lasting error wanders with the way gone; what is new at each move is noise to its measurement. With no
    earlier place nothing is expected but the errors themselves.
    """
    believed = Place(0.0, 0.0, even(errors.first_um))
    noise = even(float(np.hypot(errors.each_um, errors.measured_um)))
    at = earlier[0][0] if earlier else place_um
    for there, off in earlier:
        believed = believed.after(_wandered(at, there, errors)).measured(*off, noise)
        at = there
    return believed.after(_wandered(at, place_um, errors)).after(even(errors.each_um))


def _wandered(start: tuple[float, float], end: tuple[float, float], errors: StageErrors) -> Spread:
    way_um = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    return of_move(way_um, 0.0, errors.long_um, errors.forgotten_um)


def correction(expected_px: ArrayLike, found_px: ArrayLike, limit_px: float) -> tuple[float, float, int]:
    """Give the shift (row, col) that brings expected holes onto found ones.

    Parameters
    ----------
    expected_px
        Where holes should stand, (n, 2) in (row, col) px.
    found_px
        Where holes were found, (m, 2).
    limit_px
        Longest shift believed; beyond half the pitch the lattice makes it ambiguous, and the smallest good one wins.

    Returns
    -------
    tuple of float, float, int
        Shift (row, col) px to add to the expected places, and how many of them matched; ``(0, 0, 0)`` when none did.

    Raises
    ------
    BadInput
        Positions that are no finite pairs, or a limit that is not positive.
    """
    expected, found = as_points(expected_px, "Expected holes"), as_points(found_px, "Found holes")
    if not (np.isfinite(limit_px) and limit_px > 0):
        raise BadInput(f"The limit of a re-centring is {limit_px} px; give a length above 0.")
    if len(expected) == 0 or len(found) == 0:
        return 0.0, 0.0, 0
    tolerance = min(_TOLERANCE_OF_PITCH * _pitch(expected, found, limit_px), limit_px)
    proposals = (found[None, :, :] - expected[:, None, :]).reshape(-1, 2)
    proposals = proposals[np.hypot(proposals[:, 0], proposals[:, 1]) <= limit_px]
    if len(proposals) == 0:
        return 0.0, 0.0, 0
    shift = _refined(_elected(proposals, tolerance), expected, found, tolerance)
    pairs = _pairs(expected + shift, found, tolerance)
    if np.hypot(*shift) > limit_px or not pairs:
        return 0.0, 0.0, 0
    return float(shift[0]), float(shift[1]), len(pairs)


def _pitch(expected: Points, found: Points, otherwise: float) -> float:
    """Give the median distance to the nearest neighbour of the longer list; with single holes, ``otherwise``."""
    longer = expected if len(expected) >= len(found) else found
    if len(longer) < 2:
        return otherwise
    gaps = distances(longer, longer)
    np.fill_diagonal(gaps, np.inf)
    pitch = float(np.median(gaps.min(axis=1)))
    return pitch if pitch > 0 else otherwise


def _elected(proposals: Points, tolerance: float) -> Points:
    """Give the proposal with the most others about it; among nearly as good ones the shortest."""
    votes = np.asarray(KDTree(proposals).query_ball_point(proposals, tolerance, return_length=True))
    good = proposals[votes >= _AS_MANY * votes.max()]
    shortest: Points = good[int(np.argmin(np.hypot(good[:, 0], good[:, 1])))]
    return shortest


def _refined(shift: Points, expected: Points, found: Points, tolerance: float) -> Points:
    """Move the shift to the median of its matched pairs, twice."""
    for _ in range(2):
        pairs = _pairs(expected + shift, found, tolerance)
        if pairs:
            rows = np.array(pairs)
            shift = np.median(found[rows[:, 1]] - expected[rows[:, 0]], axis=0)
    return shift


def _pairs(places: Points, found: Points, tolerance: float) -> list[tuple[int, int]]:
    """Match places and found holes one to one, nearest first, none farther than the tolerance."""
    gaps: NDArray[np.float64] = distances(places, found)
    near = np.argwhere(gaps <= tolerance)
    order = np.argsort(gaps[near[:, 0], near[:, 1]], kind="stable")
    pairs: list[tuple[int, int]] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for place, hole in near[order].tolist():
        if place not in taken[0] and hole not in taken[1]:
            pairs.append((place, hole))
            taken[0].add(place)
            taken[1].add(hole)
    return pairs
