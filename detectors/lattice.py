"""A lattice with a free basis through scattered points, some of them wrong and many sites without one.

Steps that recur between neighbours propose the basis; chains of such steps number the points, so that an error of the
first guess does not grow over a wide view; robust least squares gives origin and basis. Nothing is assumed of angle or
ratio: square, rectangular, hexagonal and sheared lattices, as tilt makes them, are the same case.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from .records import LatticeKind

Points = NDArray[np.float64]

_NEIGHBOURS = 9
_MODES = 6
_LEAST_ANGLE = np.deg2rad(28)
_TOLERANCE = 0.16
_MOVES = np.array([(1, 0), (0, 1), (1, 1), (1, -1)])


@dataclass(frozen=True, slots=True)
class Fit:
    """A lattice through points.

    Attributes
    ----------
    origin
        (row, col) of site (0, 0).
    basis
        (2, 2), one step per row, (row, col) each; reduced, so both steps are about the shortest.
    members
        Indices of the points it explains.
    numbers
        (members, 2) whole numbers of the sites they stand at.
    residual
        Root mean square distance of the members from their sites, px.
    """

    origin: Points
    basis: Points
    members: NDArray[np.intp]
    numbers: NDArray[np.int64]
    residual: float

    @property
    def pitch(self) -> float:
        """Length of the shorter step, px."""
        return pitch_of(self.basis)


def recurring_steps(
    points: Points, weights: NDArray[np.float64], least: float, most: float, tolerance: float
) -> tuple[Points, NDArray[np.float64]]:
    """Find the steps (n, 2) that recur between neighbouring points, most frequent first, and their support.

    Parameters
    ----------
    points, weights
        (n, 2) px and (n,).
    least, most
        Lengths of a step looked at, px.
    tolerance
        Steps nearer than this (px) are the same.
    """
    distance, other = map(np.asarray, cKDTree(points).query(points, k=min(_NEIGHBOURS + 1, len(points))))
    first = np.repeat(np.arange(len(points)), distance.shape[1] - 1)
    second, length = other[:, 1:].ravel(), distance[:, 1:].ravel()
    kept = (length >= least) & (length <= most)
    first, second = first[kept], second[kept]
    steps = points[second] - points[first]
    steps[(steps[:, 0] < 0) | ((steps[:, 0] == 0) & (steps[:, 1] < 0))] *= -1
    if len(steps) == 0:
        return np.empty((0, 2)), np.empty(0)
    weight = np.minimum(weights[first], weights[second])
    return _modes(np.concatenate((steps, -steps)), np.concatenate((weight, weight)), tolerance)


def _modes(steps: Points, weight: NDArray[np.float64], tolerance: float) -> tuple[Points, NDArray[np.float64]]:
    """Pick dense places of `steps` one after the other, each taking its surroundings with it."""
    bin_px = tolerance / 2
    most = np.abs(steps).max() + 2 * tolerance
    size = 2 * int(np.ceil(most / bin_px)) + 1
    index = np.rint(steps / bin_px).astype(np.intp) + size // 2
    votes = np.bincount(index[:, 0] * size + index[:, 1], weight, size * size).reshape(size, size)
    density = ndimage.uniform_filter(votes, 3, mode="constant") * 9
    support = density[index[:, 0], index[:, 1]]
    free = np.ones(len(steps), np.bool_)
    found: list[Points] = []
    supports: list[float] = []
    while free.any() and len(found) < _MODES:
        top = int(np.argmax(np.where(free, support, -1.0)))
        near = _within(steps, steps[top], tolerance, exactly=True)
        mode = np.average(steps[near], axis=0, weights=weight[near])
        found.append(mode)
        supports.append(float(weight[near].sum()))
        for own in (mode, -mode):
            free[_within(steps, own, 2 * tolerance)] = False
        free[top] = False
    order = np.argsort(-np.array(supports), kind="stable")
    return np.array(found).reshape(-1, 2)[order], np.array(supports)[order]


def _within(steps: Points, middle: Points, reach: float, exactly: bool = False) -> NDArray[np.intp]:
    """Give which steps end less than `reach` from a place, or up to exactly so far; most are ruled out by a box."""
    off = steps - middle
    boxed = np.flatnonzero((np.abs(off[:, 0]) <= reach) & (np.abs(off[:, 1]) <= reach))
    away = np.hypot(off[boxed, 0], off[boxed, 1])
    kept = boxed[away <= reach if exactly else away < reach]
    return np.asarray(kept, np.intp)


def bases(steps: Points, support: NDArray[np.float64], most: int | None = None) -> list[Points]:
    """Pair recurring steps to reduced bases, best supported first, each lattice once; so many at most."""
    pairs: list[tuple[float, Points]] = []
    for i in range(len(steps)):
        for j in range(i + 1, len(steps)):
            if min(support[i], support[j]) < 0.3 * support[0]:
                continue
            basis = reduced(np.array([steps[i], steps[j]]))
            if _usable(basis):
                pairs.append((float(support[i] + support[j]), basis))
    pairs.sort(key=lambda pair: -pair[0])
    found: list[Points] = []
    for _, basis in pairs:
        if len(found) == most:
            break
        if not any(_same_lattice(basis, other) for other in found):
            found.append(basis)
    return found


def reduced(basis: Points) -> Points:
    """Lagrange-Gauss reduction: the two shortest steps of the same lattice, b·a ≥ 0, a pointing down or right."""
    a, b = np.array(basis[0], float), np.array(basis[1], float)
    for _ in range(50):
        if a @ a > b @ b:
            a, b = b, a
        if a @ a <= 0:
            break
        turns = np.rint((a @ b) / (a @ a))
        if turns == 0:
            break
        b = b - turns * a
    if a[0] < 0 or (a[0] == 0 and a[1] < 0):
        a = -a
    if a @ b < 0:
        b = -b
    return np.array([a, b])


def _usable(basis: Points) -> bool:
    lengths = np.hypot(basis[:, 0], basis[:, 1])
    if lengths.min() <= 0 or lengths.max() > 3.2 * lengths.min():
        return False
    return bool(abs(np.linalg.det(basis)) > np.sin(_LEAST_ANGLE) * lengths.prod())


def _same_lattice(one: Points, other: Points) -> bool:
    change = one @ np.linalg.inv(other)
    return bool(np.abs(change - np.rint(change)).max() < 0.12 and abs(abs(np.linalg.det(np.rint(change))) - 1) < 0.5)


def fit_lattice(points: Points, basis: Points) -> Fit | None:
    """Fit origin and basis to the points that hang together by steps of `basis`; None when fewer than three do."""
    tolerance = _TOLERANCE * float(np.hypot(basis[:, 0], basis[:, 1]).min())
    numbered = _numbered(points, basis, 1.3 * tolerance)
    if numbered is None:
        return None
    members, numbers = numbered
    for _ in range(5):
        solution = _solve(points[members], numbers)
        if solution is None:
            return None
        origin, basis = solution
        if not _usable(reduced(basis)):
            return None
        sites = np.rint((points - origin) @ np.linalg.inv(basis)).astype(np.int64)
        off = np.hypot(*(points - origin - sites @ basis).T)
        now = _one_per_site(np.flatnonzero(off < tolerance), sites, off)
        if len(now) < 3:
            return None
        settled = np.array_equal(now, members)
        members, numbers = now, sites[now]
        if settled:
            break
    return _reduced_fit(points, origin, basis, members)


def _numbered(points: Points, basis: Points, tolerance: float) -> tuple[NDArray[np.intp], NDArray[np.int64]] | None:
    """Give whole numbers to the largest set of points linked by steps of the basis."""
    size, steps = len(points), _MOVES @ basis
    aims = (points + steps[:, None]).reshape(-1, 2)
    distance, other = map(np.asarray, cKDTree(points).query(aims, distance_upper_bound=tolerance))
    linked = np.flatnonzero(np.isfinite(distance))
    if len(linked) == 0:
        return None
    start, end, moves = linked % size, other[linked].astype(np.intp), _MOVES[linked // size]
    graph = coo_array((np.ones(len(start)), (start, end)), shape=(size, size)).tocsr()
    _, label = connected_components(graph, directed=False)
    largest = int(np.argmax(np.bincount(label)))
    root = int(np.flatnonzero(label == largest)[0])
    order, before = (nodes.astype(np.intp) for nodes in breadth_first_order(graph, root, directed=False))
    nodes, parents = order[1:], before[order[1:]]
    ways = _ways(start * size + end, moves, parents * size + nodes, nodes * size + parents)
    along, across = [0] * size, [0] * size
    for node, parent, (first, second) in zip(nodes.tolist(), parents.tolist(), ways.tolist(), strict=True):
        along[node], across[node] = along[parent] + first, across[parent] + second
    numbers = np.array([along, across], np.int64).T
    members = np.sort(order)
    return (members, numbers[members]) if len(members) >= 3 else None


def _ways(
    links: NDArray[np.intp], moves: NDArray[np.int64], forth: NDArray[np.intp], back: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Give the moves of links that were made forth, or the contrary ones of those that were made back."""
    order = np.argsort(links, kind="stable")
    links, moves = links[order], moves[order]
    made, contrary = (np.searchsorted(links, wanted, side="right") - 1 for wanted in (forth, back))
    return np.where((links[made] == forth)[:, None], moves[made], -moves[contrary])


def _solve(points: Points, numbers: NDArray[np.int64]) -> tuple[Points, Points] | None:
    """Least squares of points = origin + numbers @ basis, points far off down-weighted."""
    design = np.c_[np.ones(len(points)), numbers]
    if _on_a_line(numbers):
        return None
    weight = np.ones(len(points))
    for _ in range(4):
        weighed = design.T * weight
        solution = np.linalg.solve(weighed @ design, weighed @ points)
        off = np.hypot(*(points - design @ solution).T)
        ordered = np.sort(off)
        scale = max(float(ordered[(len(off) - 1) // 2] + ordered[len(off) // 2]) / 2 * 1.5, 1e-9)
        weight = 1 / (1 + (off / (2 * scale)) ** 2)
    return solution[0], solution[1:]


def _on_a_line(numbers: NDArray[np.int64]) -> bool:
    """Tell whether sites lie on one line: then they give no basis. Whole numbers make it exact."""
    away = numbers - numbers[0]
    squares, mixed = (away**2).sum(0), int((away[:, 0] * away[:, 1]).sum())
    return int(squares[0]) * int(squares[1]) == mixed**2


def _one_per_site(members: NDArray[np.intp], sites: NDArray[np.int64], off: NDArray[np.float64]) -> NDArray[np.intp]:
    """Keep the nearest point of each site."""
    order = members[np.argsort(off[members], kind="stable")]
    _, first = np.unique(sites[order], axis=0, return_index=True)
    return np.sort(order[first])


def _reduced_fit(points: Points, origin: Points, basis: Points, members: NDArray[np.intp]) -> Fit:
    basis = reduced(basis)
    away = (points[members] - origin) @ np.linalg.inv(basis)
    numbers = np.rint(away).astype(np.int64)
    off = points[members] - origin - numbers @ basis
    return Fit(origin, basis, members, numbers, float(np.sqrt((off**2).sum(1).mean())))


def sites_within(
    origin: Points, basis: Points, shape: tuple[int, ...], margin: float = 0.0
) -> tuple[NDArray[np.int64], Points]:
    """All sites of a lattice inside an image grown by `margin` px: whole numbers (n, 2) and positions (n, 2)."""
    low, high = -0.5 - margin, np.array(shape[:2]) - 0.5 + margin
    corners = np.array([(low, low), (low, high[1]), (high[0], low), (high[0], high[1])])
    numbers = (corners - origin) @ np.linalg.inv(basis)
    first, last = np.floor(numbers.min(0)).astype(int), np.ceil(numbers.max(0)).astype(int)
    if np.prod((last - first + 1).astype(float)) > 2e6:
        return np.empty((0, 2), np.int64), np.empty((0, 2))
    grid = np.stack(np.meshgrid(*(np.arange(f, e + 1) for f, e in zip(first, last, strict=True)), indexing="ij"), -1)
    grid = grid.reshape(-1, 2)
    places = origin + grid @ basis
    inside = ((places >= low) & (places < high)).all(1)
    return grid[inside].astype(np.int64), places[inside]


def kind_of(basis: Points) -> LatticeKind:
    """Name the shape of a reduced basis: square, hexagonal or rectangular to about 4 % and 2.5°, else oblique."""
    a, b = np.hypot(basis[:, 0], basis[:, 1])
    angle = float(np.rad2deg(np.arccos(np.clip(abs(basis[0] @ basis[1]) / (a * b), 0, 1))))
    equal = abs(np.log(b / a)) < 0.045
    if angle > 87.5:
        return LatticeKind.SQUARE if equal else LatticeKind.RECTANGULAR
    if equal and abs(angle - 60) < 2.5:
        return LatticeKind.HEXAGONAL
    return LatticeKind.OBLIQUE


def pitch_of(basis: Points) -> float:
    """Length of the shorter step, px."""
    return float(np.hypot(basis[:, 0], basis[:, 1]).min())
