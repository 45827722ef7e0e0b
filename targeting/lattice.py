"""The lattice that holes stand on: its two steps found from neighbours, and its points near holes."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..protocols.errors import BadInput
from .points import Points

_NEIGHBOURS = 8
_NEAR = 1.3
_TURN_DEG = 20.0
_PACK = 1 << 24
_GROWING = (1.6, 3.2, 6.4, 12.8, 25.6, 51.2)


def basis_of(points: Points) -> NDArray[np.float64]:
    """Find the two steps of the lattice, rows of (2, 2) µm, the one nearer to the x axis first.

    Differences of near neighbours elect two directions; the steps are then refined over ever wider surroundings, so
    that a small error of angle does not add up.

    Raises
    ------
    BadInput
        Fewer than 4 holes, or all neighbours on one line.
    """
    if len(points) < 4:
        raise BadInput(f"A lattice cannot be found from {len(points)} holes; give its two steps.")
    tree = KDTree(points)
    gaps, others = map(np.asarray, tree.query(points, k=min(_NEIGHBOURS + 1, len(points))))
    pitch = float(np.median(gaps[:, 1]))
    steps = (points[others[:, 1:]] - points[:, None, :]).reshape(-1, 2)
    steps = steps[np.hypot(steps[:, 0], steps[:, 1]) <= _NEAR * pitch]
    first = _elected(steps)
    second = _elected(steps[_apart_deg(steps, first) > 45.0])
    basis = np.array([first, second])
    for reach in _GROWING:
        basis = _refined(basis, points, tree, reach * pitch)
    order = np.argsort(np.abs(_folded_deg(basis)), kind="stable")
    return np.asarray(basis[order])


def _folded_deg(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give directions without sense, −90 to 90."""
    angles: NDArray[np.float64] = (np.rad2deg(np.arctan2(steps[:, 1], steps[:, 0])) + 90.0) % 180.0 - 90.0
    return angles


def _apart_deg(steps: NDArray[np.float64], way: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.abs(_folded_deg(steps) - _folded_deg(way[None])[0])
    return np.asarray(np.minimum(angle, 180.0 - angle))


def _elected(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mean step about the direction that most of them take."""
    if len(steps) == 0:
        raise BadInput("The holes stand on one line, which is no lattice; give its two steps.")
    angles = _folded_deg(steps)
    some = angles[:: max(len(angles) // 500, 1)]
    apart = np.abs(some[:, None] - angles[None, :])
    votes = (np.minimum(apart, 180.0 - apart) <= _TURN_DEG / 2).sum(axis=1)
    mode = np.deg2rad(some[int(np.argmax(votes))])
    way = np.array([np.cos(mode), np.sin(mode)])
    near = steps[_apart_deg(steps, way) <= _TURN_DEG / 2]
    mean: NDArray[np.float64] = (near * np.sign(near @ way)[:, None]).mean(axis=0)
    return mean


def _refined(basis: NDArray[np.float64], points: Points, tree: KDTree, reach_um: float) -> NDArray[np.float64]:
    """Fit the steps to the differences from some holes to all others within reach, each rounded to whole steps."""
    some = np.linspace(0, len(points) - 1, min(len(points), 60)).astype(int)
    rows, columns = [], []
    for place in some.tolist():
        near = np.asarray(tree.query_ball_point(points[place], reach_um))
        gaps = points[near] - points[place]
        whole = np.rint(np.linalg.solve(basis.T, gaps.T).T)
        rows.append(whole)
        columns.append(gaps)
    whole, gaps = np.vstack(rows), np.vstack(columns)
    if np.linalg.matrix_rank(whole) < 2:
        return basis
    return np.asarray(np.linalg.lstsq(whole, gaps, rcond=None)[0])


def lattice_points(points: Points, basis: NDArray[np.float64], reach_um: float) -> Points:
    """Give the lattice's points within reach of a hole, sorted by x, then y.

    The holes hang the lattice: its origin is the one that the holes agree on.
    """
    area = abs(np.linalg.det(basis))
    if not area > 1e-9 * np.prod(np.linalg.norm(basis, axis=1)):
        raise BadInput("The lattice's two basis vectors lie on one line; find the holes again.")
    in_steps = np.linalg.solve(basis.T, points.T).T
    turns = np.exp(2j * np.pi * in_steps).mean(axis=0)
    origin = np.angle(turns) / (2 * np.pi)
    sites = np.rint(in_steps - origin).astype(np.int64)
    spare = int(np.ceil(reach_um / min(np.linalg.norm(basis, axis=1)))) + 1
    steps = np.array([(i, j) for i in range(-spare, spare + 1) for j in range(-spare, spare + 1)])
    steps = steps[np.linalg.norm(steps @ basis, axis=1) <= reach_um + float(np.linalg.norm(basis, axis=1).max())]
    packed = np.unique((sites[:, None, :] + steps[None, :, :]).reshape(-1, 2) @ np.array([_PACK, 1]))
    columns = (packed + _PACK // 2) % _PACK - _PACK // 2
    around = np.column_stack([(packed - columns) // _PACK, columns])
    places = (around + origin) @ basis
    gaps, _ = KDTree(points).query(places)
    near = places[gaps <= reach_um]
    return np.asarray(near[np.lexsort((near[:, 1], near[:, 0]))])
