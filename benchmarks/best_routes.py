"""The cheapest way through stops, proven: a linear program with subtour cuts, then branch and bound by HiGHS.

The reference for `benchmarks/routes.py`; too slow for a night. The open way is closed by a free return to the start
(asymmetric travelling salesman, Dantzig, Fulkerson and Johnson 1954): each stop is left once and reached once, and no
set of stops is without a way out. Cuts are looked for by maximum flow. Arcs that cannot be in a way cheaper than a
known one, by their reduced costs, are left out of the branch and bound.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import coo_array, csr_array, csr_matrix, vstack
from scipy.sparse.csgraph import connected_components, maximum_flow

Table = NDArray[np.float64]
Set = NDArray[np.bool_]

_ROUNDS = 60
_CUTS_AT_ONCE = 40
_SCALE = 100_000
_SPARE = 1e-7


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of the cheapest way: no way costs less than ``bound``; ``best`` is that of one found."""

    bound: float
    best: float

    @property
    def proven(self) -> bool:
        return self.best - self.bound <= 1e-6 * max(self.best, 1.0)


def least_cost(costs: Table, known: float, *, seconds: float | None) -> Proof:
    """Bound the cost of the ways from node 0 through all others.

    Parameters
    ----------
    costs
        From each node to each, (n, n).
    known
        The cost of some way.
    seconds
        CPU seconds for branch and bound, after which the best bound so far is given; None keeps to the linear program.
    """
    arcs = _Arcs.of(costs)
    bound, reduced, cuts = _relaxed(arcs)
    if seconds is None or known - bound <= _SPARE * known:
        return Proof(min(bound, known), known)
    arcs = arcs.only(reduced <= known - bound + _SPARE * known)
    end = time.process_time() + seconds
    while (left := end - time.process_time()) > 0:
        answer = milp(
            arcs.costs,
            constraints=[arcs.degrees(), *arcs.rules(cuts)],
            integrality=np.ones(len(arcs.costs)),
            bounds=Bounds(0, 1),
            options={"time_limit": left, "mip_rel_gap": 1e-7},
        )
        if answer.mip_dual_bound is not None:
            bound = min(max(bound, float(answer.mip_dual_bound)), known)
        if answer.x is None or answer.status != 0:
            break
        broken = list(_closed_parts(arcs, np.asarray(answer.x) > 0.5))
        if not broken:
            return Proof(float(answer.fun), min(float(answer.fun), known))
        cuts += broken
    return Proof(bound, known)


@dataclass(frozen=True, slots=True)
class _Arcs:
    nodes: int
    tails: NDArray[np.intp]
    heads: NDArray[np.intp]
    costs: Table

    @classmethod
    def of(cls, costs: Table) -> "_Arcs":
        tails, heads = np.nonzero(~np.eye(len(costs), dtype=bool))
        return cls(len(costs), tails, heads, np.where(heads == 0, 0.0, costs[tails, heads]))

    def only(self, kept: Set) -> "_Arcs":
        return _Arcs(self.nodes, self.tails[kept], self.heads[kept], self.costs[kept])

    def degree_rows(self) -> csr_array:
        ones, numbers = np.ones(len(self.costs)), np.arange(len(self.costs))
        shape = (self.nodes, len(self.costs))
        leaving, arriving = (csr_array(coo_array((ones, (ends, numbers)), shape)) for ends in (self.tails, self.heads))
        return csr_array(vstack([leaving, arriving]))

    def degrees(self) -> LinearConstraint:
        return LinearConstraint(self.degree_rows(), 1, 1)

    def cut_rows(self, cuts: list[Set]) -> csr_array:
        inside = np.array(cuts)
        return csr_array((inside[:, self.tails] & ~inside[:, self.heads]).astype(float))

    def rules(self, cuts: list[Set]) -> list[LinearConstraint]:
        return [LinearConstraint(self.cut_rows(cuts), 1, np.inf)] if cuts else []


def _relaxed(arcs: _Arcs) -> tuple[float, Table, list[Set]]:
    """Solve the linear program with all subtour cuts it breaks; give its value, reduced costs, and the cuts."""
    cuts: list[Set] = []
    for _ in range(_ROUNDS):
        answer = linprog(
            arcs.costs,
            A_eq=arcs.degree_rows(),
            b_eq=np.ones(2 * arcs.nodes),
            A_ub=-arcs.cut_rows(cuts) if cuts else None,
            b_ub=-np.ones(len(cuts)) if cuts else None,
            bounds=(0, 1),
            method="highs",
        )
        used = np.asarray(answer.x)
        broken = list(_broken_cuts(arcs, used))
        if not broken:
            break
        cuts += broken
    reduced = np.asarray(answer.lower.marginals)
    return float(answer.fun), reduced, cuts


def _broken_cuts(arcs: _Arcs, used: Table) -> Iterator[Set]:
    """Give sets of stops that too little leaves: closed parts, else behind the smallest flows to the start."""
    closed = list(_closed_parts(arcs, used > _SPARE))
    if closed:
        yield from closed
        return
    flows = csr_matrix(
        (np.floor(used * _SCALE).astype(np.int32), (arcs.tails, arcs.heads)), shape=(arcs.nodes, arcs.nodes)
    )
    flows.eliminate_zeros()
    covered = np.zeros(arcs.nodes, dtype=bool)
    given = 0
    for stop in range(1, arcs.nodes):
        if covered[stop] or given == _CUTS_AT_ONCE:
            continue
        flow = maximum_flow(flows, stop, 0)
        if flow.flow_value >= _SCALE * (1 - 1e-3):
            continue
        left = csr_matrix(flows - flow.flow)
        left.data[left.data < 0] = 0
        left.eliminate_zeros()
        inside = _reached(left, stop)
        covered |= inside
        given += 1
        yield inside


def _reached(flows: csr_matrix, stop: int) -> Set:
    inside, waiting = np.zeros(flows.shape[0], dtype=bool), [stop]
    inside[stop] = True
    while waiting:
        here = waiting.pop()
        for there in flows.indices[flows.indptr[here] : flows.indptr[here + 1]].tolist():
            if not inside[there]:
                inside[there] = True
                waiting.append(there)
    return inside


def _closed_parts(arcs: _Arcs, used: Set) -> Iterator[Set]:
    """Give the parts that the used arcs do not join to the start."""
    links = coo_array((np.ones(int(used.sum())), (arcs.tails[used], arcs.heads[used])), shape=(arcs.nodes, arcs.nodes))
    count, labels = connected_components(links, directed=True, connection="weak")
    for label in range(count):
        inside = np.asarray(labels == label)
        if not inside[0]:
            yield inside
