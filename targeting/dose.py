"""Where a hole is shot, and which holes are left so that no shot spoils another: no illuminated disc on a hole or disc.

A hole whose neighbour stands so near that the beam on one would touch the other cannot be exposed beside it; the
better one of the two is.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..protocols.errors import BadInput
from .points import Points, as_points
from .wishes import Beam, Offsets

_SPARE = 1e-9


def shots_in_hole(count: int, beam: Beam | None, given: Offsets | None = None) -> Points:
    """Give where in a hole its shots go, offsets (count, 2) in µm from its middle.

    One shot goes to the middle, more onto a ring, with one of them in the middle where only that fits; or they go where
    they are told to. Discs do not overlap, and no offset is longer than the hole's radius less the beam's.

    Raises
    ------
    BadInput
        So many shots of this beam have no room in the hole, or not at the places that were given.
    """
    if given is not None:
        return _as_given(given, beam)
    if count == 1 or beam is None:
        return np.zeros((count, 2))
    reach = beam.hole_radius_um - beam.radius_um
    for middle in (0, 1):
        ring = count - middle
        needed = beam.radius_um / np.sin(np.pi / ring) if ring > 1 else 0.0
        needed = max(needed, 2 * beam.radius_um if middle else 0.0) * (1 + _SPARE)
        if needed <= reach:
            angles = 2 * np.pi * np.arange(ring) / ring
            circle = (needed + reach) / 2 * np.column_stack([np.cos(angles), np.sin(angles)])
            return np.vstack([np.zeros((middle, 2)), circle])
    raise BadInput(
        f"{count} shots of a beam of {beam.radius_um:g} µm radius have no room in a hole of "
        f"{beam.hole_radius_um:g} µm; take fewer or a smaller beam."
    )


def _as_given(given: Offsets, beam: Beam | None) -> Points:
    """Check offsets that somebody gave."""
    offsets = as_points(given, "The offsets of the shots")
    if beam is None:
        return offsets
    out = np.linalg.norm(offsets, axis=1)
    far = int(out.argmax())
    if out[far] + beam.radius_um > beam.hole_radius_um * (1 + _SPARE):
        raise BadInput(
            f"The shot at {_told(offsets[far])} µm, with a beam of {beam.radius_um:g} µm radius, reaches beyond a hole "
            f"of {beam.hole_radius_um:g} µm radius; move it in or take a smaller beam."
        )
    gaps = np.linalg.norm(offsets[:, None] - offsets[None], axis=2) + np.diag(np.full(len(offsets), np.inf))
    one, other = sorted(np.unravel_index(int(gaps.argmin()), gaps.shape))
    if gaps[one, other] < 2 * beam.radius_um * (1 - _SPARE):
        raise BadInput(
            f"The shots at {_told(offsets[one])} and {_told(offsets[other])} µm would light each other with a beam of "
            f"{beam.radius_um:g} µm radius; move them apart or take a smaller beam."
        )
    return offsets


def _told(place: NDArray[np.float64]) -> str:
    return f"{place[0]:g}, {place[1]:g}"


def spared(holes: Points, values: NDArray[np.float64], beam: Beam, shots: Points) -> NDArray[np.bool_]:
    """Say which holes can be exposed together, the more valuable ones first, of equal ones those in fewer ones' way."""
    pairs = _conflicts(holes, beam, shots)
    if len(pairs) == 0:
        return np.ones(len(holes), dtype=bool)
    rivals: list[list[int]] = [[] for _ in range(len(holes))]
    for first, second in pairs.tolist():
        rivals[first].append(second)
        rivals[second].append(first)
    crowded = np.array([len(others) for others in rivals])
    kept, barred = np.zeros(len(holes), dtype=bool), np.zeros(len(holes), dtype=bool)
    for hole in np.lexsort((holes[:, 1], holes[:, 0], crowded, -values)).tolist():
        if not barred[hole]:
            kept[hole] = True
            barred[rivals[hole]] = True
    return kept


def _conflicts(holes: Points, beam: Beam, shots: Points) -> NDArray[np.intp]:
    """Give the pairs of holes of which a shot's disc would touch the other hole or one of its discs."""
    out = float(np.linalg.norm(shots, axis=1).max())
    far = max(out + beam.radius_um + beam.hole_radius_um, 2 * (out + beam.radius_um))
    pairs = KDTree(holes).query_pairs(far, output_type="ndarray").astype(np.intp)
    if len(pairs) == 0:
        return pairs
    gap = holes[pairs[:, 1]] - holes[pairs[:, 0]]
    on_hole = np.minimum(
        np.linalg.norm(gap[:, None, :] - shots, axis=2).min(axis=1),
        np.linalg.norm(gap[:, None, :] + shots, axis=2).min(axis=1),
    )
    between = gap[:, None, None, :] + shots[None, None, :, :] - shots[None, :, None, :]
    on_disc = np.linalg.norm(between, axis=3).min(axis=(1, 2))
    touching = (on_hole < beam.radius_um + beam.hole_radius_um) | (on_disc < 2 * beam.radius_um)
    return np.asarray(pairs[touching])
